//! The contract of the ports, checked from outside: what an adapter MUST do, on the model and on the real thing.
//!
//! Each function panics at the first broken promise. Ids begin with `prefix`, so that runs share a table in peace.

use jiff::Timestamp;

use crate::{
    item::{Enrichment, NotificationItem, expiry, to_millis},
    notification::{MessagePointers, NotificationId, Status},
    table::Completion,
};

/// A notification as `ingest` would write it.
///
/// # Panics
/// Where `id` is no id or `payload` no JSON.
#[must_use]
pub fn notification(id: &str, payload: &str) -> NotificationItem {
    let body = format!(r#"{{"notification_id":"{id}","type":"refund","payload":{payload}}}"#);
    let notification = MessagePointers::default().parse(body.as_bytes());
    let notification = notification.unwrap_or_else(|error| panic!("no notification: {error}"));
    let now = to_millis(Timestamp::now());
    let message_id = format!("message-of-{id}");
    NotificationItem::new(notification, &Enrichment::default(), message_id, None, now)
        .unwrap_or_else(|error| panic!("no item: {error}"))
}

/// The completion of a notification as its INIT event would ask for it.
///
/// # Panics
/// Where `id` is no id.
#[must_use]
pub fn completion(id: &str) -> Completion {
    let now = to_millis(Timestamp::now());
    Completion {
        id: NotificationId::parse(id).unwrap_or_else(|error| panic!("no id: {error}")),
        version: Status::Init.version(),
        at: now,
        expires_at: Some(expiry(now, 30)),
    }
}
