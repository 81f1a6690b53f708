//! What all vectors are made of.

use std::path::PathBuf;

use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, NotificationItem, PayloadCompression, to_rfc3339},
    notification::MessagePointers,
};
use onewrite_tests::template::repository;
use serde_json::{Value, json};

/// The version of the contract. A change that an existing consumer would notice is a new version.
pub(crate) const VERSION: u32 = 1;

/// The time at which all vectors settle notifications.
pub(crate) const NOW: &str = "2026-11-23T10:00:05.250Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// The item of a message as `ingest` stores it.
pub(crate) fn item(id: &str, kind: &str, payload: &str) -> NotificationItem {
    let (id, kind) = (Value::from(id), Value::from(kind));
    let body = format!(r#"{{"notification_id":{id},"type":{kind},"payload":{payload}}}"#);
    let notification = MessagePointers::default().parse(&body).unwrap();
    let message_id = "00000000-0000-4000-8000-000000000000".to_owned();
    let created_at = "2026-11-23T10:00:00.123Z".parse().unwrap();
    let enrichment = Enrichment::default();
    NotificationItem::new(
        notification,
        &enrichment,
        message_id,
        None,
        created_at,
        PayloadCompression::Auto,
    )
    .unwrap()
}

pub(crate) fn refund(id: &str) -> NotificationItem {
    item(id, "refund", r#"{"amount":1.0,"order":8841}"#)
}

pub(crate) fn event_json(item: &NotificationItem) -> Value {
    serde_json::from_str(&NotificationEvent::from_item(item).to_json()).unwrap()
}

pub(crate) fn item_json(item: &NotificationItem) -> Value {
    serde_json::to_value(item.to_item()).unwrap()
}

/// The item as an older version of onewrite stored it: the fingerprint is text, and nothing is absent in INIT.
pub(crate) fn older_item_json(item: &NotificationItem) -> Value {
    let mut older = item_json(item);
    older["fingerprint"] = json!({"S": item.notification.fingerprint.to_string()});
    older["updated_at"] = json!({"S": to_rfc3339(item.updated_at)});
    older["redrives"] = json!({"N": "0"});
    older
}

pub(crate) fn directory() -> PathBuf {
    repository("shared/contract/vectors")
}
