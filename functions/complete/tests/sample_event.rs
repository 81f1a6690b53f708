//! The sample event of `infra/events`, as a person hands it to `cargo lambda invoke` after those of `ingest`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use aws_lambda_events::event::{dynamodb, kinesis::KinesisEvent, streams::KinesisEventResponse};
use onewrite::{
    budget::Budget,
    completion::Completer,
    event::NotificationEvent,
    item::{NotificationItem, attribute},
    table::NewNotifications,
    testing::InMemoryTable,
};
use onewrite_complete::{downstream::LogOnly, handler::Complete};
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
    let budget = Budget::of_remaining(None, Duration::from_secs(10));
    let response = complete.handle(event(), budget).await.unwrap();
    assert_eq!(response, KinesisEventResponse::default());
    let stored = table.item("rf_8841").unwrap();
    let status = AttributeValue::S("DONE".to_owned());
    assert_eq!(stored.get(attribute::STATUS), Some(&status));
}

#[tokio::test]
async fn without_an_item_it_is_returned_to_its_shard() {
    let complete = Complete::new(Completer::new(InMemoryTable::default(), 0), LogOnly, 4);
    let budget = Budget::of_remaining(None, Duration::from_secs(10));
    let response = complete.handle(event(), budget).await.unwrap();
    let sequence_number = event().records[0].kinesis.sequence_number.clone();
    assert_eq!(
        response.batch_item_failures[0].item_identifier,
        Some(sequence_number)
    );
}

#[test]
fn its_data_is_the_document_of_that_item() {
    let document = NotificationEvent::of_item(&item()).to_json();
    let data = event().records[0].kinesis.data.0.clone();
    assert_eq!(String::from_utf8(data).unwrap(), document);
}
