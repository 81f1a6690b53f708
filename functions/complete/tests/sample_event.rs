//! The sample event of `infra/events`, as a person hands it to `cargo lambda invoke` after those of `ingest`.
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
    downstream::LogOnly,
    handler::{Complete, METRICS},
};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::InMemoryTable;
use serde_dynamo::AttributeValue;

const EVENT: &str = include_str!("../../../infra/events/complete.json");
const CHANGE: &str = include_str!("../../../infra/events/forward.json");

fn event() -> KinesisEvent {
    serde_json::from_str(EVENT).unwrap()
}

/// The item that `forward`'s sample tells of.
fn item() -> NotificationItem {
    let change: dynamodb::Event = serde_json::from_str(CHANGE).unwrap();
    NotificationItem::from_item(&change.records[0].change.new_image).unwrap()
}

#[tokio::test]
async fn the_event_of_forward_s_sample_takes_its_item_to_done() {
    let table = InMemoryTable::default();
    table.insert(&item()).await.unwrap();
    let complete = Complete::new(Completer::new(table.clone(), 0), LogOnly, 4);
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
    let response = complete.handle(event(), budget).await.unwrap();
    assert_eq!(response, KinesisEventResponse::default());
    let stored = table.item("rf_8841").unwrap();
    let status = AttributeValue::S("DONE".to_owned());
    assert_eq!(stored.get(attribute::STATUS), Some(&status));
}

thread_local! {
    static TOLD: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test]
async fn the_time_from_table_to_done_is_told_once() {
    let table = InMemoryTable::default();
    table.insert(&item()).await.unwrap();
    let complete = Complete::new(Completer::new(table, 0), LogOnly, 4).with_observer(
        Observer::default()
            .with_clock(|| "2026-11-23T10:00:02Z".parse().unwrap())
            .with_metrics(|metrics| TOLD.with_borrow_mut(|told| told.push(metrics.clone()))),
    );
    for _ in 0..2 {
        let budget = Budget::from_remaining(None, Duration::from_secs(10));
        let _ = complete.handle(event(), budget).await.unwrap();
    }
    let told = TOLD.take();
    let times: Vec<_> = told.iter().map(|one| one.times("StoredToDone")).collect();
    assert_eq!(times, [(1, 1877.0), (0, 0.0)]);
    assert!(told.iter().all(|one| one.times("RemainingTime").0 == 1));
    assert_eq!(told[0].names().collect::<BTreeSet<_>>(), METRICS.into());
}

#[tokio::test]
async fn without_an_item_it_is_returned_to_its_shard() {
    let complete = Complete::new(Completer::new(InMemoryTable::default(), 0), LogOnly, 4);
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
    let response = complete.handle(event(), budget).await.unwrap();
    let sequence_number = event().records[0].kinesis.sequence_number.clone();
    assert_eq!(
        response.batch_item_failures[0].item_identifier,
        Some(sequence_number)
    );
}

#[test]
fn its_data_is_the_document_of_that_item() {
    let document = NotificationEvent::from_item(&item()).to_json();
    let data = event().records[0].kinesis.data.0.clone();
    assert_eq!(String::from_utf8(data).unwrap(), document);
}
