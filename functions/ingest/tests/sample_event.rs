//! Handles the sample events of `infra/events`, which you can pass to `cargo lambda invoke`.
#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use onewrite::{item::Enrichment, notification::MessagePointers};
use onewrite_ingest::{
    handler::{Ingest, METRICS},
    message::{MessageAttributes, QueueEvent, SqsRecord, SystemAttributes, TextAttribute},
};
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
    let event: QueueEvent = event.parse().unwrap();
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

#[test]
fn reads_the_fields_that_aws_lambda_events_reads() {
    for event in [NEW, DUPLICATE, CONFLICT] {
        let theirs: SqsEvent = serde_json::from_str(event).unwrap();
        let ours: QueueEvent = event.parse().unwrap();
        assert_eq!(ours.records.len(), theirs.records.len());
        for (ours, theirs) in ours.records.into_iter().zip(theirs.records) {
            let attribute = |name: &str| theirs.attributes.get(name).cloned();
            let expected = SqsRecord {
                attributes: Some(SystemAttributes {
                    approximate_receive_count: attribute("ApproximateReceiveCount"),
                    sent_timestamp: attribute("SentTimestamp"),
                    aws_trace_header: attribute("AWSTraceHeader"),
                    message_group_id: attribute("MessageGroupId"),
                }),
                message_attributes: Some(MessageAttributes {
                    traceparent: theirs
                        .message_attributes
                        .get("traceparent")
                        .map(|attribute| TextAttribute {
                            string_value: attribute.string_value.clone(),
                        }),
                }),
                message_id: theirs.message_id,
                receipt_handle: theirs.receipt_handle,
                body: theirs.body,
                event_source_arn: theirs.event_source_arn,
                is_undecodable: false,
            };
            assert!(ours == expected);
        }
    }
}
