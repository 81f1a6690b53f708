//! The pointers by which the deployed `ingest` finds the parts of a message.

use std::{collections::HashMap, str::FromStr};

use onewrite::notification::MessagePointers;

use crate::{error::StackError, stack::Stack};

impl Stack {
    /// Reads the pointers from the configuration of the function.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    pub async fn message_pointers(&self) -> Result<MessagePointers, StackError> {
        let configuration = self
            .lambda
            .get_function_configuration()
            .function_name(&self.outputs.ingest)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("GetFunctionConfiguration", &error))?;
        let variables = configuration
            .environment
            .and_then(|environment| environment.variables)
            .unwrap_or_default();
        let default = MessagePointers::default();
        Ok(MessagePointers {
            message: parsed(&variables, "MESSAGE_POINTER", default.message),
            id: parsed(&variables, "NOTIFICATION_ID_POINTER", default.id),
            kind: parsed(&variables, "NOTIFICATION_TYPE_POINTER", default.kind),
            payload: parsed(&variables, "PAYLOAD_POINTER", default.payload),
        })
    }
}

/// A variable's value, or the default if it is absent or invalid.
fn parsed<T: FromStr>(variables: &HashMap<String, String>, name: &str, default: T) -> T {
    let value = variables.get(name).and_then(|text| text.parse().ok());
    value.unwrap_or(default)
}
