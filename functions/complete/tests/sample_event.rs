//! Handles the sample event of `infra/events`, which you can pass to `cargo lambda invoke` after those for `ingest`.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use aws_lambda_events::event::{dynamodb, kinesis::KinesisEvent, streams::KinesisEventResponse};
use onewrite::{
    completion::Completer,
    event::NotificationEvent,
    item::{NotificationItem, attribute},
    table::NewNotifications,
};
use onewrite_complete::{
    handler::{Complete, METRICS},
    record::ShardEvent,
};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{Accepting, InMemoryTable};
use serde_dynamo::AttributeValue;

const EVENT: &str = include_str!("../../../infra/events/complete.json");
const CHANGE: &str = include_str!("../../../infra/events/forward.json");

fn event() -> ShardEvent {
    EVENT.parse().unwrap()
}

/// The item in the sample event of `forward`.
fn item() -> NotificationItem {
    let change: dynamodb::Event = serde_json::from_str(CHANGE).unwrap();
    NotificationItem::from_item(&change.records[0].change.new_image).unwrap()
}

#[tokio::test]
async fn completes_the_item_of_forwards_sample_event() {
    let table = InMemoryTable::default();
    table.insert(&item()).await.unwrap();
    let complete = Complete::new(Completer::new(table.clone(), 0), Accepting, 4);
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
    let response = complete.handle(event(), budget).await.unwrap();
    assert_eq!(response, KinesisEventResponse::default());
    let stored = table.item("rf_8841").unwrap();
    let status = AttributeValue::S("DONE".to_owned());
    assert_eq!(stored.get(attribute::STATUS), Some(&status));
}

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test]
async fn measures_the_time_to_done_once() {
    let table = InMemoryTable::default();
    table.insert(&item()).await.unwrap();
    let complete = Complete::new(Completer::new(table, 0), Accepting, 4).with_observer(
        Observer::default()
            .with_clock(|| "2026-11-23T10:00:02Z".parse().unwrap())
            .with_metrics(|metrics| {
                EMITTED.with_borrow_mut(|emitted| emitted.push(metrics.clone()))
            }),
    );
    for _ in 0..2 {
        let budget = Budget::from_remaining(None, Duration::from_secs(10));
        let _ = complete.handle(event(), budget).await.unwrap();
    }
    let emitted = EMITTED.take();
    let times: Vec<_> = emitted
        .iter()
        .map(|one| one.times("StoredToDone"))
        .collect();
    assert_eq!(times, [(1, 1877.0), (0, 0.0)]);
    assert!(emitted.iter().all(|one| one.times("RemainingTime").0 == 1));
    assert_eq!(emitted[0].names().collect::<BTreeSet<_>>(), METRICS.into());
}

#[tokio::test]
async fn reports_an_event_without_an_item() {
    let complete = Complete::new(Completer::new(InMemoryTable::default(), 0), Accepting, 4);
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
    let response = complete.handle(event(), budget).await.unwrap();
    let sequence_number = event().records[0].sequence_number.clone();
    assert_eq!(
        response.batch_item_failures[0].item_identifier,
        Some(sequence_number)
    );
}

#[test]
fn has_the_document_of_the_item_as_its_data() {
    let document = NotificationEvent::from_item(&item()).to_json();
    let data = event().records[0].data.clone().unwrap();
    assert_eq!(String::from_utf8(data).unwrap(), document);
}

#[test]
fn reads_the_fields_that_aws_lambda_events_reads() {
    let theirs: KinesisEvent = serde_json::from_str(EVENT).unwrap();
    let ours = event();
    assert_eq!(ours.records.len(), theirs.records.len());
    for (ours, theirs) in ours.records.into_iter().zip(theirs.records) {
        assert_eq!(ours.sequence_number, theirs.kinesis.sequence_number);
        assert_eq!(ours.data, Some(theirs.kinesis.data.0));
    }
}
