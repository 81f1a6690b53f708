//! The rules by which the deployed `ingest` accepts a message.

use std::{collections::HashMap, str::FromStr};

use onewrite::notification::MessagePointers;

use crate::{dead_letter::MessageRules, error::StackError, stack::Stack};

impl Stack {
    /// Reads the rules from the configuration of the function.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    pub async fn message_rules(&self) -> Result<MessageRules, StackError> {
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
        let MessageRules {
            pointers,
            compression,
        } = MessageRules::default();
        Ok(MessageRules {
            pointers: MessagePointers {
                message: parsed(&variables, "MESSAGE_POINTER", pointers.message),
                id: parsed(&variables, "NOTIFICATION_ID_POINTER", pointers.id),
                kind: parsed(&variables, "NOTIFICATION_TYPE_POINTER", pointers.kind),
                payload: parsed(&variables, "PAYLOAD_POINTER", pointers.payload),
            },
            compression: parsed(&variables, "PAYLOAD_COMPRESSION", compression),
        })
    }
}

/// A variable's value, or the default if it is absent or invalid.
fn parsed<T: FromStr>(variables: &HashMap<String, String>, name: &str, default: T) -> T {
    let value = variables.get(name).and_then(|text| text.parse().ok());
    value.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use onewrite::item::PayloadCompression;
    use serde_json::json;

    use crate::wire;

    #[tokio::test]
    async fn reads_the_rules_of_the_deployed_function() {
        let path = "GET /2015-03-31/functions/ingest/configuration";
        let variables = json!({"PAYLOAD_POINTER": "/data", "PAYLOAD_COMPRESSION": "never"});
        let deployed = json!({"Environment": {"Variables": variables}});
        let (stack, _) = wire::stack(&[(path, deployed)]).await;
        let rules = stack.message_rules().await.unwrap();
        assert_eq!(rules.pointers.payload.to_string(), "/data");
        assert_eq!(rules.compression, PayloadCompression::Never);
        // A stack of an earlier version has no such variable.
        let (stack, _) = wire::stack(&[(path, json!({}))]).await;
        let rules = stack.message_rules().await.unwrap();
        assert_eq!(rules.pointers.payload.to_string(), "/payload");
        assert_eq!(rules.compression, PayloadCompression::Auto);
    }
}
