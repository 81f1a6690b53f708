//! Which records a mapping's filter criteria drop. Filters are judged by their effect, not by their wording.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use onewrite::item::attribute;
use onewrite_event_sources::filter::{FilterCriteria, Source};
use serde_json::{Value, json};

/// Describes the first change that must become an event and that the filters of `forward` drop.
pub(super) fn dropped_change(filters: &[String]) -> Option<String> {
    dropped(Source::DynamoDb, filters, &changes())
}

/// Describes the event that `complete` must receive and that its filters drop.
pub(super) fn dropped_event(filters: &[String]) -> Option<String> {
    dropped(Source::Kinesis, filters, &[event()])
}

fn dropped(
    source: Source,
    filters: &[String],
    records: &[(&'static str, Value)],
) -> Option<String> {
    // A pattern that does not compile here is not one that AWS accepts: assume that it drops everything.
    let criteria = FilterCriteria::compile(source, filters);
    let passes = |record: &Value| {
        criteria
            .as_ref()
            .is_ok_and(|criteria| criteria.matches(&record.to_string()))
    };
    let (name, _) = records.iter().find(|(_, record)| !passes(record))?;
    Some(format!("{} drops {name}", filters.join(" or ")))
}

fn changes() -> [(&'static str, Value); 3] {
    let init = || image("INIT", None);
    [
        ("a new notification", change("INSERT", None, &init())),
        (
            "a change to DONE",
            change("MODIFY", Some(&init()), &image("DONE", None)),
        ),
        (
            "a redrive",
            change("MODIFY", Some(&init()), &image("INIT", Some("1"))),
        ),
    ]
}

fn image(status: &str, redrives: Option<&str>) -> Value {
    let mut image = json!({
        attribute::NOTIFICATION_ID: {"S": "rf_8841"},
        attribute::STATUS: {"S": status},
        attribute::TYPE: {"S": "refund"},
        attribute::PAYLOAD: {"S": "{}"},
        attribute::FINGERPRINT: {"B": BASE64_STANDARD.encode([0xcd; 32])},
        attribute::CREATED_AT: {"S": "2026-11-23T10:00:00.123Z"},
        attribute::VERSION: {"N": if status == "INIT" { "1" } else { "2" }},
        attribute::SOURCE_MESSAGE_ID: {"S": "3f7a"},
    });
    if status != "INIT" {
        image[attribute::UPDATED_AT] = json!({"S": "2026-11-23T10:00:05.250Z"});
        image[attribute::SETTLED_BY] = json!({"S": "complete"});
    }
    if let Some(redrives) = redrives {
        image[attribute::REDRIVES] = json!({"N": redrives});
    }
    image
}

fn change(name: &str, old: Option<&Value>, new: &Value) -> Value {
    let mut record = json!({
        "eventID": "1",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_795_428_000,
            "Keys": {attribute::NOTIFICATION_ID: {"S": "rf_8841"}},
            "NewImage": new,
            "SequenceNumber": "100000000000000000001",
            "SizeBytes": 300,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:1:table/t/stream/1",
    });
    if let Some(old) = old {
        record["dynamodb"]["OldImage"] = old.clone();
    }
    record
}

fn event() -> (&'static str, Value) {
    let event = json!({
        "specversion": "1.0",
        "id": "rf_8841/INIT",
        "source": "onewrite",
        "type": "refund.init",
        "subject": "rf_8841",
        "time": "2026-11-23T10:00:00.123Z",
        "datacontenttype": "application/json",
        "partitionkey": "rf_8841",
        "sequence": "1",
        "status": "INIT",
        "fingerprint": "cd74aea9",
        "data": {},
    });
    let record = json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "rf_8841",
            "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
            "data": BASE64_STANDARD.encode(event.to_string()),
            "approximateArrivalTimestamp": 1_795_428_000.123,
        },
        "eventSource": "aws:kinesis",
        "eventName": "aws:kinesis:record",
    });
    ("the event of a new notification", record)
}
