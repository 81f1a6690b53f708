//! One conditional `PutItem` for each message, with concurrent calls.

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_dynamodb::{
    Client,
    primitives::Blob,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use futures::{StreamExt, stream};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

/// Concurrent calls, as in `ingest` by default.
const IN_FLIGHT: usize = 32;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let table = std::env::var("TABLE_NAME")?;
    let client = Client::new(&bare::config().await);
    run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        stream::iter(event.payload.records)
            .map(|message| put(&client, &table, message))
            .buffer_unordered(IN_FLIGHT)
            .for_each(async |put| put.expect("PutItem"))
            .await;
        Ok::<Value, Error>(json!({"batchItemFailures": []}))
    }))
    .await
}

async fn put(client: &Client, table: &str, message: SqsMessage) -> Result<(), Error> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let id = message.message_id.unwrap_or_default();
    client
        .put_item()
        .table_name(table)
        .item("notification_id", text(&id))
        .item("source_message_id", text(&id))
        .item("type", text("notification"))
        .item("payload", text(&message.body.unwrap_or_default()))
        .item("fingerprint", AttributeValue::B(Blob::new([0xcd; 32])))
        .item("status", text("INIT"))
        .item("version", AttributeValue::N("1".to_owned()))
        .item("created_at", text("2026-11-23T10:00:00.123Z"))
        .condition_expression("attribute_not_exists(notification_id)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await?;
    Ok(())
}
