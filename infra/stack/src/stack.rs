//! A deployed stack: the SDK clients for it, its outputs and its parameters.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
    str::FromStr,
};

use aws_config::SdkConfig;
use onewrite::notification::MessagePointers;

use crate::{clients::Clients, error::StackError, location::is_loopback, outputs::StackOutputs};

/// A deployed stack. It dereferences to its clients.
#[derive(Debug, Clone)]
pub struct Stack {
    pub name: String,
    pub clients: Clients,
    pub outputs: StackOutputs,
    /// The template's parameters and their deployed values.
    pub parameters: BTreeMap<String, String>,
    /// Whether the stack runs in an emulator on this machine, where `cargo local` polls in place of the mappings.
    pub is_local: bool,
}

impl Deref for Stack {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Stack {
    /// Creates the clients for a stack whose outputs are known.
    #[must_use]
    pub fn new(
        name: String,
        config: &SdkConfig,
        outputs: StackOutputs,
        parameters: BTreeMap<String, String>,
    ) -> Self {
        Self {
            name,
            clients: Clients::new(config),
            outputs,
            parameters,
            is_local: config.endpoint_url().is_some_and(is_loopback),
        }
    }

    /// Reads the pointers by which `ingest` finds the parts of a message, from the configuration of the function.
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
