//! Lambda events in the format of the event source mappings. Each notification has its own id.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::body::Bytes;
use onewrite::{
    event::NotificationEvent,
    item::{NotificationItem, PayloadCompression},
    notification::{Fingerprint, NotificationId},
};
use serde_dynamo::AttributeValue;
use serde_json::{Value, json};

use crate::payloads::{Payloads, body, id};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// The fingerprints of the payloads of the last batch of [`kinesis`].
static FINGERPRINTS: Mutex<Vec<Fingerprint>> = Mutex::new(Vec::new());

/// The fingerprint that the table has for a notification of the last batch of [`kinesis`].
pub(crate) fn fingerprint(id: &str) -> Option<Fingerprint> {
    let (_, digits) = id.rsplit_once('-')?;
    let number = usize::from_str_radix(digits, 16).ok()?;
    let fingerprints = FINGERPRINTS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = number.checked_rem(fingerprints.len())?;
    fingerprints.get(place).copied()
}

/// The number of a new notification. It also chooses the payload: one after the other.
fn new_number() -> usize {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A copy of the item of one of these payloads.
fn new_item(payloads: &Payloads, compression: PayloadCompression) -> NotificationItem {
    let number = new_number();
    let items = payloads.items(compression);
    let mut item = items[number % items.len()].clone();
    set_id(&mut item, &id(number));
    item
}

fn set_id(item: &mut NotificationItem, id: &str) {
    match NotificationId::parse(id) {
        Ok(parsed) => item.notification.id = parsed,
        Err(error) => unreachable!("{error:?}"),
    }
    item.source_message_id = id.to_owned();
}

/// A batch of SQS messages with these payloads.
#[must_use]
pub fn sqs(messages: usize, payloads: &Payloads) -> Bytes {
    let texts = payloads.texts();
    let record = |_| {
        let number = new_number();
        let id = id(number);
        let body = body(&id, &texts[number % texts.len()]);
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

/// A batch of changes of the table: new notifications with these payloads.
#[must_use]
pub fn stream(
    changes: usize,
    ids: Ids,
    payloads: &Payloads,
    compression: PayloadCompression,
) -> Bytes {
    let mut item = new_item(payloads, compression);
    let mut record = |index: usize| {
        let mut old_image = None;
        match ids {
            _ if index == 0 => (),
            Ids::Distinct => item = new_item(payloads, compression),
            Ids::One => {
                old_image = Some(image(&item));
                item.redrives += 1;
            }
        }
        change(index, &item, old_image)
    };
    records(&(0..changes).map(&mut record).collect::<Vec<_>>())
}

/// The change that created this item.
#[must_use]
pub fn change_of(item: &NotificationItem) -> String {
    change(0, item, None).to_string()
}

/// The change that stored this item.
fn change(index: usize, item: &NotificationItem, old_image: Option<Value>) -> Value {
    let event_name = if old_image.is_none() {
        "INSERT"
    } else {
        "MODIFY"
    };
    let mut change = json!({
        "ApproximateCreationDateTime": 1_795_428_001.0,
        "Keys": {"notification_id": {"S": item.notification.id.as_str()}},
        "NewImage": image(item),
        "SequenceNumber": format!("{:025}", 4_421_584_500_000_000_u64 + index as u64),
        "SizeBytes": item.bytes() + 36 + 15,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    if let Some(image) = old_image {
        change["OldImage"] = image;
    }
    json!({
        "eventID": "c81e728d9d4c2f636f067f89cc14862c",
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/notifications/stream/2026-11-23T10:00:00.000",
    })
}

/// An item in the format of a change.
fn image(item: &NotificationItem) -> Value {
    let attributes = item.attributes().map(|(name, value)| {
        let value = match value {
            AttributeValue::S(text) => json!({"S": text}),
            AttributeValue::N(number) => json!({"N": number}),
            AttributeValue::B(bytes) => json!({"B": BASE64_STANDARD.encode(bytes)}),
            other => unreachable!("{name} has a type that no item has: {other:?}"),
        };
        (name, value)
    });
    json!(attributes.collect::<BTreeMap<_, _>>())
}

/// A batch of Kinesis records: the events of new notifications with these payloads.
#[must_use]
pub fn kinesis(events: usize, payloads: &Payloads) -> Bytes {
    let compression = PayloadCompression::Never;
    let items = payloads.items(compression).iter();
    let fingerprints = items.map(|item| item.notification.fingerprint);
    *FINGERPRINTS.lock().unwrap_or_else(PoisonError::into_inner) = fingerprints.collect();
    let record = |index: usize| {
        let item = new_item(payloads, compression);
        let event = NotificationEvent::from_item(&item).to_json();
        let sequence = format!("{:056}", 49_545_115_243_490_985_u64 + index as u64);
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": item.notification.id.as_str(),
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

fn records(records: &[Value]) -> Bytes {
    Bytes::from(json!({"Records": records}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payloads::ONE_KB;

    #[test]
    fn ids_are_distinct_or_shared() {
        let ids = |event: &Bytes| {
            let event: Value = serde_json::from_slice(event).unwrap();
            let records = event["Records"].as_array().unwrap().iter();
            let id =
                |record: &Value| record["dynamodb"]["Keys"]["notification_id"]["S"].to_string();
            records.map(id).collect::<std::collections::BTreeSet<_>>()
        };
        let payloads = Payloads::synthetic(ONE_KB, 1_024);
        let stream = |ids| stream(3, ids, &payloads, PayloadCompression::Auto);
        assert_eq!(ids(&stream(Ids::Distinct)).len(), 3);
        assert_eq!(ids(&stream(Ids::One)).len(), 1);
        assert_ne!(sqs(1, &payloads), sqs(1, &payloads));
    }

    #[test]
    fn changes_have_the_images_that_the_table_would_have() {
        let payloads = Payloads::synthetic(ONE_KB, 1_024);
        for (compression, kind) in [
            (PayloadCompression::Auto, "B"),
            (PayloadCompression::Never, "S"),
        ] {
            let event = stream(2, Ids::One, &payloads, compression);
            let event: Value = serde_json::from_slice(&event).unwrap();
            let [insert, modify] = [0, 1].map(|index| &event["Records"][index]);
            assert_eq!(insert["eventName"], "INSERT");
            assert_eq!(insert["dynamodb"]["OldImage"], Value::Null);
            assert!(insert["dynamodb"]["NewImage"]["payload"][kind].is_string());
            assert_eq!(modify["eventName"], "MODIFY");
            assert_eq!(
                modify["dynamodb"]["OldImage"],
                insert["dynamodb"]["NewImage"]
            );
            assert_eq!(
                modify["dynamodb"]["NewImage"]["redrives"],
                json!({"N": "1"})
            );
        }
    }

    #[test]
    fn the_table_has_the_fingerprint_of_each_event() {
        let payloads = Payloads::synthetic(ONE_KB, 1_024);
        let event: Value = serde_json::from_slice(&kinesis(30, &payloads)).unwrap();
        for record in event["Records"].as_array().unwrap() {
            let data = record["kinesis"]["data"].as_str().unwrap();
            let event = BASE64_STANDARD.decode(data).unwrap();
            let event: Value = serde_json::from_slice(&event).unwrap();
            let id = record["kinesis"]["partitionKey"].as_str().unwrap();
            let expected = fingerprint(id).unwrap().to_string();
            assert_eq!(event["fingerprint"], expected, "{event}");
        }
        assert_eq!(fingerprint("any"), None);
    }
}
