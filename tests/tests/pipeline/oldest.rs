//! The oldest supported form of an item and of its event, as the first version wrote them. Every later version must read them, so
//! these files never change.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use onewrite::{event::NotificationEvent, item::NotificationItem, notification::MessagePointers};
use onewrite_local::sample::Sample;
use serde_json::Value;

use super::support::valid;

const ITEM: &str = include_str!("oldest/item.json");
const EVENT: &str = include_str!("oldest/event.json");

/// The id in the files.
const ID: &str = "rf_8841";

/// The item with this id, in INIT.
pub(super) fn item(id: &str) -> HashMap<String, AttributeValue> {
    let attributes: HashMap<String, Value> = serde_json::from_str(&ITEM.replace(ID, id)).unwrap();
    let value = |value: &Value| match (value["S"].as_str(), value["N"].as_str()) {
        (Some(text), None) => AttributeValue::S(text.to_owned()),
        (None, Some(digits)) => AttributeValue::N(digits.to_owned()),
        other => panic!("{other:?}"),
    };
    attributes
        .into_iter()
        .map(|(name, stored)| (name, value(&stored)))
        .collect()
}

/// The event of [`item`], as it was published.
pub(super) fn event(id: &str) -> String {
    EVENT.replace(ID, id)
}

/// The message of [`item`].
pub(super) fn message(id: &str) -> Sample {
    valid(id, r#"{"n": 1.0}"#)
}

#[test]
fn the_oldest_item_is_the_item_of_its_message() {
    let item = NotificationItem::from_item(&item(ID).into()).unwrap();
    let pointers = MessagePointers::default();
    let notification = pointers.parse(&message(ID).body).unwrap();
    assert_eq!(item.notification, notification);
}

#[test]
fn the_oldest_event_is_the_event_of_its_item_byte_for_byte() {
    let item = NotificationItem::from_item(&item(ID).into()).unwrap();
    let of_the_item = NotificationEvent::from_item(&item);
    let event = NotificationEvent::parse(event(ID).as_bytes()).unwrap();
    assert_eq!(event, of_the_item);
    // A consumer that stored what the first version published sees a repeated event, not another one.
    assert_eq!(of_the_item.to_json(), EVENT);
}
