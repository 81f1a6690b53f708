//! Shared code of the samples: writes a message as an item with its status and a fingerprint, which detects different messages
//! with the same id.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use aws_sdk_dynamodb::{
    Client,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use lambda_runtime::Error;
use sha2::{Digest, Sha256};

/// Writes one message, unless its id exists. A different fingerprint is an error.
pub async fn store(client: &Client, table: &str, message: &SqsMessage) -> Result<(), Error> {
    let body = message.body.as_deref().ok_or("no body")?;
    let body: serde_json::Value = serde_json::from_str(body)?;
    let id = body["notification_id"].as_str().ok_or("no id")?;
    let kind = body["type"].as_str().unwrap_or("notification");
    let payload = body["payload"].to_string();
    let digest = Sha256::digest(&payload);
    let fingerprint: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = client
        .put_item()
        .table_name(table)
        .item("notification_id", text(id))
        .item("type", text(kind))
        .item("payload", text(&payload))
        .item("fingerprint", text(&fingerprint))
        .item("status", text("INIT"))
        .item("version", AttributeValue::N("1".to_owned()))
        .item("created_at", AttributeValue::N(now.as_millis().to_string()))
        .condition_expression("attribute_not_exists(notification_id)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    let Err(error) = put else { return Ok(()) };
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(failed))
            if failed
                .item()
                .is_some_and(|old| has_fingerprint(old, &fingerprint)) =>
        {
            Ok(())
        }
        _ => Err(error.into()),
    }
}

fn has_fingerprint(old: &HashMap<String, AttributeValue>, fingerprint: &str) -> bool {
    old.get("fingerprint")
        .and_then(|old| old.as_s().ok())
        .map(String::as_str)
        == Some(fingerprint)
}

/// The partial batch response with the failed messages.
pub fn response(failed: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    response
}
