//! Reads what decides about the messages of a deployed stack. The double write gets the same settings.

use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_event_sources::Millis;
use onewrite_stack::dead_letter::MessageRules;
use onewrite_stack::outputs::StackOutputs;
use serde_json::Value;

use super::double_write::Settings;
use super::tally::QueueRules;
use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::event_sources;

/// Reads the settings that a double write beside a stack has in common with it.
///
/// # Errors
/// A failed call.
pub(crate) async fn double_write_settings(
    clients: &Clients,
    outputs: &StackOutputs,
    seed: u64,
) -> Result<Settings> {
    let queue = read_queue(clients, &outputs.queue_url).await?;
    Ok(Settings {
        seed,
        is_fifo: outputs.is_fifo(),
        visibility: queue.visibility,
        max_receives: queue.max_receives,
        concurrency: event_sources::queue_concurrency(clients, &outputs.ingest).await?,
        resends: false,
    })
}

/// Reads the rules by which the deployed `ingest` accepts a message.
pub(super) async fn read_message_rules(clients: &Clients, ingest: &str) -> Result<MessageRules> {
    let configuration = clients.functions.function_configuration(ingest).await?;
    Ok(message_rules(&configuration))
}

fn message_rules(configuration: &Value) -> MessageRules {
    let variables = &configuration["Environment"]["Variables"];
    MessageRules::from_variables(|name| variables[name].as_str())
}

pub(super) async fn read_queue(clients: &Clients, url: &str) -> Result<QueueRules> {
    let request = clients.sqs.get_queue_attributes().queue_url(url);
    let response = request
        .attribute_names(QueueAttributeName::All)
        .send()
        .await;
    let attributes = response.map_err(|error| LocalError::aws("GetQueueAttributes", &error))?;
    let attributes = attributes.attributes.unwrap_or_default();
    let default = QueueRules::default();
    let visibility = attributes.get(&QueueAttributeName::VisibilityTimeout);
    let policy = attributes.get(&QueueAttributeName::RedrivePolicy);
    let policy: Value = policy
        .and_then(|policy| serde_json::from_str(policy).ok())
        .unwrap_or_default();
    Ok(QueueRules {
        max_receives: max_receives(&policy).unwrap_or(default.max_receives),
        visibility: visibility
            .and_then(|seconds| seconds.parse::<Millis>().ok())
            .map_or(default.visibility, |seconds| seconds * 1_000),
    })
}

/// SQS accepts a number and a text.
fn max_receives(policy: &Value) -> Option<u32> {
    let count = &policy["maxReceiveCount"];
    match count.as_u64() {
        Some(number) => u32::try_from(number).ok(),
        None => count.as_str()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Response;
    use onewrite::notification::MessagePointers;
    use onewrite_event_sources::sqs::MAXIMUM_CONCURRENCY;
    use onewrite_stack::call_proxy::Call;
    use serde_json::json;
    use tokio::task::JoinSet;

    use super::*;
    use crate::scripted;

    /// Clients of a stack whose queue was deployed with these values, and whose mapping has this configuration of its scaling.
    async fn clients(scaling: Value) -> (Clients, JoinSet<()>) {
        let answer = move |call: Call| {
            let answer = if call.operation == "GetQueueAttributes" {
                let policy = json!({"maxReceiveCount": 3}).to_string();
                json!({"Attributes": {"VisibilityTimeout": "18", "RedrivePolicy": policy}})
            } else {
                json!({"EventSourceMappings": [{
                    "UUID": "u",
                    "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:queue.fifo",
                    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:ingest",
                    "BatchSize": 1,
                    "FunctionResponseTypes": ["ReportBatchItemFailures"],
                    "ScalingConfig": scaling,
                    "State": "Enabled",
                }]})
            };
            async move { Some(Response::new(answer.to_string().into())) }
        };
        let (clients, _, tasks) = scripted::clients(answer).await;
        (clients, tasks)
    }

    #[tokio::test]
    async fn the_double_write_has_the_deployed_settings() {
        for (scaling, concurrency) in [
            (json!({"MaximumConcurrency": 7}), 7),
            (Value::Null, MAXIMUM_CONCURRENCY),
        ] {
            let (clients, _tasks) = clients(scaling).await;
            let outputs = scripted::outputs("http://127.0.0.1/1/queue.fifo", "dead-letters.fifo");
            let settings = double_write_settings(&clients, &outputs, 9).await.unwrap();
            let expected = Settings {
                seed: 9,
                is_fifo: true,
                visibility: 18_000,
                max_receives: 3,
                concurrency,
                resends: false,
            };
            assert_eq!(settings, expected);
        }
    }

    #[test]
    fn reads_the_rules_of_the_deployed_function() {
        let variables = json!({"PAYLOAD_POINTER": "/data", "PAYLOAD_COMPRESSION": "never"});
        let rules = message_rules(&json!({"Environment": {"Variables": variables}}));
        assert_eq!(rules.pointers.payload.to_string(), "/data");
        assert_eq!(rules.compression, onewrite::item::PayloadCompression::Never);
        let rules = message_rules(&json!({}));
        assert_eq!(rules.pointers, MessagePointers::default());
    }

    #[test]
    fn reads_the_receives_of_a_redrive_policy() {
        assert_eq!(max_receives(&json!({"maxReceiveCount": 6})), Some(6));
        assert_eq!(max_receives(&json!({"maxReceiveCount": "7"})), Some(7));
        assert_eq!(max_receives(&Value::Null), None);
    }
}
