//! `PutRecords` with five hundred records per call, in the order of the batch.

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_dynamo::AttributeValue;
use serde_json::{Value, json};

const RECORDS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let stream = std::env::var("STREAM_NAME")?;
    let client = Client::new(&bare::config().await);
    run(service_fn(async |event: LambdaEvent<Event>| {
        let mut entries = event.payload.records.into_iter().map(entry).peekable();
        while entries.peek().is_some() {
            let chunk = entries.by_ref().take(RECORDS).collect();
            client
                .put_records()
                .stream_name(&stream)
                .set_records(Some(chunk))
                .send()
                .await
                .expect("PutRecords");
        }
        Ok::<Value, Error>(json!({"batchItemFailures": []}))
    }))
    .await
}

/// The item as JSON.
fn entry(record: EventRecord) -> PutRecordsRequestEntry {
    let image = record.change.new_image;
    let id = match image.get("notification_id") {
        Some(AttributeValue::S(id)) => id.clone(),
        _ => panic!("no id"),
    };
    PutRecordsRequestEntry::builder()
        .partition_key(id)
        .data(Blob::new(serde_json::to_vec(&image).expect("JSON")))
        .build()
        .expect("an entry")
}
