//! The rules by which the deployed `ingest` accepts a message.

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
        let variable = |name: &str| variables.get(name).map(String::as_str);
        Ok(MessageRules::from_variables(variable))
    }
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
