//! `PutRecord` for each change, in order. Lambda retries the batch from the first failed record.

use aws_config::BehaviorVersion;
use aws_lambda_events::event::{
    dynamodb::{Event, EventRecord},
    streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse},
};
use aws_sdk_kinesis::{Client, primitives::Blob};
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_dynamo::AttributeValue;

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let stream = std::env::var("STREAM_NAME")?;
    let client = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    run(service_fn(async |event: LambdaEvent<Event>| {
        let mut response = DynamoDbEventResponse::default();
        for record in &event.payload.records {
            if let Err(error) = put(&client, &stream, record).await {
                tracing::error!(%error, "failed");
                let mut failure = DynamoDbBatchItemFailure::default();
                failure.item_identifier = record.change.sequence_number.clone();
                response.batch_item_failures.push(failure);
                break;
            }
        }
        Ok::<_, Error>(response)
    }))
    .await
}

async fn put(client: &Client, stream: &str, record: &EventRecord) -> Result<(), Error> {
    let image = &record.change.new_image;
    let Some(AttributeValue::S(id)) = image.get("notification_id") else {
        return Err("no id".into());
    };
    client
        .put_record()
        .stream_name(stream)
        .partition_key(id)
        .data(Blob::new(serde_json::to_vec(image)?))
        .send()
        .await?;
    Ok(())
}
