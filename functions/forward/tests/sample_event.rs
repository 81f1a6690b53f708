//! The sample events of `infra/events`, as a person hands them to `cargo lambda invoke` after that of `ingest`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use aws_lambda_events::event::{
    dynamodb::Event, kinesis::KinesisEvent, streams::DynamoDbEventResponse,
};
use onewrite::{
    budget::Budget,
    event::{EventSource, NotificationEvent},
    notification::Status,
    stream::Record,
    testing::InMemoryStream,
};
use onewrite_forward::handler::Forward;

const INSERT: &str = include_str!("../../../infra/events/forward.json");
const MODIFY: &str = include_str!("../../../infra/events/forward-modify.json");
const RECORD: &str = include_str!("../../../infra/events/complete.json");

/// The one record that an event becomes.
async fn forwarded(event: &str) -> Record {
    let event: Event = serde_json::from_str(event).unwrap();
    let stream = InMemoryStream::new(1);
    let forward = Forward::new(stream.clone(), EventSource::default());
    let budget = Budget::of_remaining(None, Duration::from_secs(10));
    let response = forward.handle(event, budget).await.unwrap();
    assert_eq!(response, DynamoDbEventResponse::default());
    let records = stream.records();
    assert_eq!(records.len(), 1);
    records[0].record.clone()
}

#[tokio::test]
async fn the_insert_becomes_the_record_that_complete_s_sample_shows() {
    let record = forwarded(INSERT).await;
    let sample: KinesisEvent = serde_json::from_str(RECORD).unwrap();
    let kinesis = &sample.records[0].kinesis;
    assert_eq!(kinesis.partition_key, record.id.as_str());
    assert_eq!(kinesis.data.0, record.data);
}

#[tokio::test]
async fn the_modify_becomes_a_done_event() {
    let record = forwarded(MODIFY).await;
    let event = NotificationEvent::parse(&record.data).unwrap();
    assert_eq!((event.status, event.sequence), (Status::Done, 2));
}
