//! The sample events of `infra/events`, as a person hands them to `cargo lambda invoke` after that of `ingest`.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, time::Duration};

use aws_lambda_events::event::{
    dynamodb::Event, kinesis::KinesisEvent, streams::DynamoDbEventResponse,
};
use onewrite::{
    event::{EventSource, NotificationEvent},
    notification::Status,
    stream::Record,
};
use onewrite_forward::handler::Forward;
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::InMemoryStream;

const INSERT: &str = include_str!("../../../infra/events/forward.json");
const MODIFY: &str = include_str!("../../../infra/events/forward-modify.json");
const RECORD: &str = include_str!("../../../infra/events/complete.json");

thread_local! {
    static TOLD: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

/// The one record that an event becomes.
async fn forwarded(event: &str) -> Record {
    published(serde_json::from_str(event).unwrap()).await
}

async fn published(event: Event) -> Record {
    let stream = InMemoryStream::new(1);
    let forward = Forward::new(stream.clone(), EventSource::default()).with_observer(
        Observer::default()
            .with_clock(|| "2026-11-23T10:00:02Z".parse().unwrap())
            .with_metrics(|metrics| TOLD.with_borrow_mut(|told| told.push(metrics.clone()))),
    );
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
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

#[tokio::test]
async fn the_time_from_table_to_stream_is_told_but_not_of_a_redrive() {
    forwarded(INSERT).await;
    let mut redrive: Event = serde_json::from_str(INSERT).unwrap();
    let record = &mut redrive.records[0];
    "MODIFY".clone_into(&mut record.event_name);
    record.change.old_image = record.change.new_image.clone();
    record.change.old_image.insert(
        "redrives".to_owned(),
        serde_dynamo::AttributeValue::N("7".to_owned()),
    );
    published(redrive).await;
    let told = TOLD.take();
    let times: Vec<_> = told
        .iter()
        .map(|one| (one.get("Redrives"), one.times("StoredToForwarded")))
        .collect();
    assert_eq!(times, [(0, (1, 1877.0)), (1, (0, 0.0))]);
    assert!(told.iter().all(|one| one.times("RemainingTime").0 == 1));
}
