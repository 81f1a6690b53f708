//! Lambda events in the format of the event source mappings. Each notification has its own id.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::body::Bytes;
use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, InvalidItem, NotificationItem},
    notification::MessagePointers,
};
use serde_json::{Value, json};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The fingerprint of the notifications of the last batch of [`kinesis`], which all have the same payload.
static FINGERPRINT: Mutex<String> = Mutex::new(String::new());

/// The fingerprint that the table has for the notifications of the last batch of [`kinesis`].
pub(crate) fn fingerprint() -> String {
    let fingerprint = FINGERPRINT.lock().unwrap_or_else(PoisonError::into_inner);
    fingerprint.clone()
}

fn new_id() -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("6a1f3c52-0d4e-4b8a-9c37-{number:012x}")
}

/// A JSON object of about this many bytes: an order with order lines.
fn payload(bytes: usize) -> String {
    const LINE: &str = r#"{"sku":"A-104-77","quantity":2,"price":12.50,"gift":false}"#;
    let mut text = r#"{"amount":25.00,"currency":"EUR","lines":["#.to_owned();
    let mut first = true;
    while text.len() + LINE.len() < bytes.saturating_sub(40) {
        if !std::mem::replace(&mut first, false) {
            text.push(',');
        }
        text.push_str(LINE);
    }
    let rest = bytes.saturating_sub(text.len() + 12);
    text.push_str(&format!(r#"],"note":"{}"}}"#, "x".repeat(rest)));
    text
}

/// A batch of SQS messages with this many bytes of payload each.
#[must_use]
pub fn sqs(messages: usize, payload_bytes: usize) -> Bytes {
    let payload = payload(payload_bytes);
    let record = |_| {
        let id = new_id();
        let body = body(&id, &payload);
        json!({
            "messageId": id,
            "receiptHandle": "AQEB".repeat(90),
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1795428000123",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1795428000456",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:onewrite-NotificationQueue",
            "awsRegion": "us-east-1",
        })
    };
    records(&(0..messages).map(record).collect::<Vec<_>>())
}

/// The ids of the changes in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Each change has its own id.
    Distinct,
    /// All changes have the same id, as after several redrives.
    One,
}

/// A batch of changes of the table: new notifications with this many bytes of payload each.
#[must_use]
pub fn stream(changes: usize, ids: Ids, payload_bytes: usize) -> Bytes {
    let payload = payload(payload_bytes);
    let shared_id = new_id();
    let record = |index: usize| {
        let id = match ids {
            Ids::Distinct => new_id(),
            Ids::One => shared_id.clone(),
        };
        let (first, redrives) = (ids == Ids::Distinct || index == 0, index);
        let image = |redrives: usize| {
            json!({
                "notification_id": {"S": id},
                "status": {"S": "INIT"},
                "version": {"N": "1"},
                "type": {"S": "refund"},
                "payload": {"S": payload},
                "fingerprint": {"S": "cd74aea99a5facf3eb8f26076243e984533b4b33713158eb4908dcfbdd69d8a1"},
                "created_at": {"S": "2026-11-23T10:00:00.123Z"},
                "updated_at": {"S": "2026-11-23T10:00:00.123Z"},
                "source_message_id": {"S": id},
                "redrives": {"N": redrives.to_string()},
            })
        };
        let mut change = json!({
            "ApproximateCreationDateTime": 1_795_428_001.0,
            "Keys": {"notification_id": {"S": id}},
            "NewImage": image(if first { 0 } else { redrives }),
            "SequenceNumber": format!("{:025}", 4_421_584_500_000_000_u64 + index as u64),
            "SizeBytes": payload_bytes + 400,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        });
        if !first {
            change["OldImage"] = image(redrives - 1);
        }
        json!({
            "eventID": "c81e728d9d4c2f636f067f89cc14862c",
            "eventName": if first { "INSERT" } else { "MODIFY" },
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": change,
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/notifications/stream/2026-11-23T10:00:00.000",
        })
    };
    records(&(0..changes).map(record).collect::<Vec<_>>())
}

/// A batch of Kinesis records: the events of new notifications with this many bytes of payload each.
///
/// # Panics
/// Never, because the notifications are valid.
#[must_use]
pub fn kinesis(events: usize, payload_bytes: usize) -> Bytes {
    let payload = payload(payload_bytes);
    let fingerprint = item("any", &payload).notification.fingerprint;
    *FINGERPRINT.lock().unwrap_or_else(PoisonError::into_inner) = fingerprint.to_string();
    let record = |index: usize| {
        let id = new_id();
        let event = NotificationEvent::from_item(&item(&id, &payload)).to_json();
        let sequence = format!("{:056}", 49_545_115_243_490_985_u64 + index as u64);
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": id,
                "sequenceNumber": sequence,
                "data": BASE64_STANDARD.encode(event),
                "approximateArrivalTimestamp": 1_795_428_001.123,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000006:{sequence}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/complete",
            "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/notifications",
        })
    };
    records(&(0..events).map(record).collect::<Vec<_>>())
}

/// A new id, and a payload of this many bytes.
pub(crate) fn sample(payload_bytes: usize) -> (String, String) {
    (new_id(), payload(payload_bytes))
}

/// The body of an SQS message.
pub(crate) fn body(id: &str, payload: &str) -> String {
    format!(r#"{{"notification_id":"{id}","type":"refund","payload":{payload}}}"#)
}

/// The item that `ingest` would write.
pub(crate) fn item(id: &str, payload: &str) -> NotificationItem {
    let body = body(id, payload);
    let item = MessagePointers::default()
        .parse(&body)
        .map_err(InvalidItem::from)
        .and_then(|notification| {
            let enrichment = Enrichment::default();
            let now = Timestamp::UNIX_EPOCH;
            NotificationItem::new(notification, &enrichment, id.to_owned(), None, now)
        });
    match item {
        Ok(item) => item,
        Err(rejection) => unreachable!("{rejection}"),
    }
}

fn records(records: &[Value]) -> Bytes {
    Bytes::from(json!({"Records": records}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_of_the_requested_size() {
        for bytes in [100, 1_024, 10_000] {
            let text = payload(bytes);
            assert!(
                text.len().abs_diff(bytes) <= 12,
                "{} for {bytes}",
                text.len()
            );
            serde_json::from_str::<Value>(&text).unwrap();
        }
    }

    #[test]
    fn ids_are_distinct_or_shared() {
        let ids = |event: &Bytes| {
            let event: Value = serde_json::from_slice(event).unwrap();
            let records = event["Records"].as_array().unwrap().iter();
            let id =
                |record: &Value| record["dynamodb"]["Keys"]["notification_id"]["S"].to_string();
            records.map(id).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(ids(&stream(3, Ids::Distinct, 100)).len(), 3);
        assert_eq!(ids(&stream(3, Ids::One, 100)).len(), 1);
        assert_ne!(sqs(1, 100), sqs(1, 100));
    }
}
