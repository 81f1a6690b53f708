//! Handles the sample events of `infra/events`, which you can pass to `cargo lambda invoke`.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use onewrite::{item::Enrichment, notification::MessagePointers};
use onewrite_ingest::handler::{Ingest, METRICS};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::InMemoryTable;
use serde_json::{Value, json};

const NEW: &str = include_str!("../../../infra/events/ingest.json");
const DUPLICATE: &str = include_str!("../../../infra/events/ingest-duplicate.json");
const CONFLICT: &str = include_str!("../../../infra/events/ingest-conflict.json");
const CHANGE: &str = include_str!("../../../infra/events/forward.json");

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

async fn handle(table: &InMemoryTable, event: &str) -> SqsBatchResponse {
    let event: SqsEvent = serde_json::from_str(event).unwrap();
    let pointers = MessagePointers::default();
    let ingest = Ingest::new(table.clone(), pointers, 4, |_| Enrichment::default()).with_observer(
        Observer::default()
            .with_clock(|| "2026-11-23T10:00:00.123Z".parse::<Timestamp>().unwrap())
            .with_metrics(|metrics| {
                EMITTED.with_borrow_mut(|emitted| emitted.push(metrics.clone()))
            }),
    );
    let budget = Budget::from_remaining(None, Duration::from_secs(10));
    ingest.handle(event, budget).await.unwrap()
}

#[tokio::test]
async fn writes_the_item_of_forwards_sample_event() {
    let table = InMemoryTable::default();
    let response = handle(&table, NEW).await;
    assert_eq!(response, SqsBatchResponse::default());
    let change: Value = serde_json::from_str(CHANGE).unwrap();
    let item = json!(table.item("rf_8841").unwrap());
    assert_eq!(item, change["Records"][0]["dynamodb"]["NewImage"]);
}

#[tokio::test]
async fn measures_the_time_to_store_only_for_new_items() {
    let table = InMemoryTable::default();
    handle(&table, NEW).await;
    handle(&table, DUPLICATE).await;
    handle(&table, CONFLICT).await;
    let emitted = EMITTED.take();
    let times: Vec<(u64, f64)> = emitted
        .iter()
        .map(|one| one.times("QueueToStored"))
        .collect();
    assert_eq!(times, [(1, 123.0), (0, 0.0), (0, 0.0)]);
    assert!(emitted.iter().all(|one| one.times("RemainingTime").0 == 1));
    let mut names: Vec<&str> = emitted[0].names().collect();
    let mut expected = METRICS;
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn acknowledges_a_duplicate_without_a_write() {
    let table = InMemoryTable::default();
    let response = handle(&table, DUPLICATE).await;
    assert_eq!(response, SqsBatchResponse::default());
    assert_eq!(table.items().len(), 1);
}

#[tokio::test]
async fn reports_a_conflict_as_a_batch_item_failure() {
    let table = InMemoryTable::default();
    handle(&table, NEW).await;
    let before = table.items();
    let response = handle(&table, CONFLICT).await;
    assert_eq!(
        response.batch_item_failures[0].item_identifier,
        "059f36b4-87a3-44ab-83d2-661975830a7d"
    );
    assert_eq!(table.items(), before);
}
