//! Handles the sample events of `infra/events`, which you can pass to `cargo lambda invoke` after the one for `ingest`.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, time::Duration};

use aws_lambda_events::event::{
    dynamodb::Event, kinesis::KinesisEvent, streams::DynamoDbEventResponse,
};
use onewrite::{
    event::{EventSource, NotificationEvent},
    item::{Attributes as _, NotificationItem, attribute},
    notification::Status,
    stream::Record,
};
use onewrite_forward::{change::ChangeEvent, handler::Forward, select::key};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{InMemoryStream, lambda_event};
use serde_json::{Value, json};

const INSERT: &str = include_str!("../../../infra/events/forward.json");
const MODIFY: &str = include_str!("../../../infra/events/forward-modify.json");
const RECORD: &str = include_str!("../../../infra/events/complete.json");

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

/// Returns the only record that `forward` publishes for an event.
async fn forwarded(event: &str) -> Record {
    published(event.parse().unwrap()).await
}

async fn published(event: ChangeEvent) -> Record {
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
    let mut redrive: Value = serde_json::from_str(INSERT).unwrap();
    let record = &mut redrive["Records"][0];
    record["eventName"] = "MODIFY".into();
    record["dynamodb"]["OldImage"] = record["dynamodb"]["NewImage"].clone();
    record["dynamodb"]["OldImage"]["redrives"] = json!({"N": "7"});
    published(lambda_event::parse(&redrive)).await;
    let emitted = EMITTED.take();
    let times: Vec<_> = emitted
        .iter()
        .map(|one| (one.get("Redrives"), one.times("StoredToForwarded")))
        .collect();
    assert_eq!(times, [(0, (1, 1877.0)), (1, (0, 0.0))]);
    assert!(emitted.iter().all(|one| one.times("RemainingTime").0 == 1));
}

#[test]
fn reads_the_fields_that_aws_lambda_events_reads() {
    for event in [INSERT, MODIFY] {
        let theirs: Event = serde_json::from_str(event).unwrap();
        let ours: ChangeEvent = event.parse().unwrap();
        assert_eq!(ours.records.len(), theirs.records.len());
        for (ours, theirs) in ours.records.iter().zip(theirs.records) {
            let change = ours.change.as_ref().unwrap();
            assert_eq!(change.kind, Some(theirs.event_name));
            assert_eq!(ours.sequence_number, theirs.change.sequence_number);
            assert_eq!(key(ours), Some("rf_8841"));
            let image = change.new_image.as_ref().unwrap();
            assert_eq!(
                NotificationItem::from_attributes(image),
                NotificationItem::from_item(&theirs.change.new_image)
            );
            for name in [attribute::STATUS, attribute::REDRIVES] {
                let theirs = theirs.change.old_image.attribute(name);
                assert!(change.old_image.attribute(name) == theirs, "{name}");
            }
        }
    }
}
