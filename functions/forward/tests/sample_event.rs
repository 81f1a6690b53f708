//! Handles the sample events of `infra/events`, which you can pass to `cargo lambda invoke` after the one for `ingest`.
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
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

/// Returns the only record that `forward` publishes for an event.
async fn forwarded(event: &str) -> Record {
    published(serde_json::from_str(event).unwrap()).await
}

async fn published(event: Event) -> Record {
    let stream = InMemoryStream::new(1);
    let forward = Forward::new(stream.clone(), EventSource::default()).with_observer(
        Observer::default()
            .with_clock(|| "2026-11-23T10:00:02Z".parse().unwrap())
            .with_metrics(|metrics| {
                EMITTED.with_borrow_mut(|emitted| emitted.push(metrics.clone()))
            }),
    );
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
    let response = forward.handle(event, budget).await.unwrap();
    assert_eq!(response, DynamoDbEventResponse::default());
    let records = stream.records();
    assert_eq!(records.len(), 1);
    records[0].record.clone()
}

#[tokio::test]
async fn publishes_the_record_of_completes_sample_event() {
    let record = forwarded(INSERT).await;
    let sample: KinesisEvent = serde_json::from_str(RECORD).unwrap();
    let kinesis = &sample.records[0].kinesis;
    assert_eq!(kinesis.partition_key, record.id.as_str());
    assert_eq!(kinesis.data.0, record.data);
}

#[tokio::test]
async fn publishes_a_done_event_for_the_modify() {
    let record = forwarded(MODIFY).await;
    let event = NotificationEvent::parse(&record.data).unwrap();
    assert_eq!((event.status, event.sequence), (Status::Done, 2));
}

#[tokio::test]
async fn measures_the_time_to_publish_except_for_redrives() {
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
    let emitted = EMITTED.take();
    let times: Vec<_> = emitted
        .iter()
        .map(|one| (one.get("Redrives"), one.times("StoredToForwarded")))
        .collect();
    assert_eq!(times, [(0, (1, 1877.0)), (1, (0, 0.0))]);
    assert!(emitted.iter().all(|one| one.times("RemainingTime").0 == 1));
}
