//! Builds the events that Lambda sends for a DynamoDB stream and for a Kinesis shard, as JSON or as any type that is parsed
//! from their JSON.

use std::{fmt::Debug, str::FromStr};

use aws_smithy_types::base64;
use serde_json::{Value, json};

use super::{Change, StoredRecord};
use onewrite::item::attribute;

const REGION: &str = "us-east-1";

/// Builds an event of the table's stream from changes.
#[must_use]
pub fn dynamodb<E: FromStr<Err: Debug>>(changes: &[Change]) -> E {
    parse(&dynamodb_json(changes))
}

/// Builds the JSON that Lambda sends for changes of the table.
#[must_use]
pub fn dynamodb_json(changes: &[Change]) -> Value {
    json!({"Records": changes.iter().map(dynamodb_record).collect::<Vec<_>>()})
}

/// Builds an event of the Kinesis stream from the records of one shard.
#[must_use]
pub fn kinesis<E: FromStr<Err: Debug>>(records: &[StoredRecord]) -> E {
    parse(&kinesis_json(records))
}

/// Builds the JSON that Lambda sends for records of one shard.
#[must_use]
pub fn kinesis_json(records: &[StoredRecord]) -> Value {
    json!({"Records": records.iter().map(kinesis_record).collect::<Vec<_>>()})
}

fn dynamodb_record(change: &Change) -> Value {
    let name = match (&change.old, &change.new) {
        (None, _) => "INSERT",
        (_, None) => "REMOVE",
        _ => "MODIFY",
    };
    let mut stream_record = json!({
        // Rounded down to the second.
        "ApproximateCreationDateTime": change.at.as_second() as f64,
        "Keys": {attribute::NOTIFICATION_ID: {"S": change.id}},
        "SequenceNumber": change.sequence_number,
        "SizeBytes": 1,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    for (image, item) in [("OldImage", &change.old), ("NewImage", &change.new)] {
        if let Some(item) = item {
            stream_record[image] = json!(item);
        }
    }
    let mut record = json!({
        "eventID": format!("event-{}", change.sequence_number),
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": stream_record,
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/notifications/stream/2026-11-23T00:00:00.000",
    });
    if change.by_ttl {
        record["userIdentity"] =
            json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    }
    record
}

fn kinesis_record(stored: &StoredRecord) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": stored.record.id.as_str(),
            "sequenceNumber": stored.sequence_number,
            "data": base64::encode(&stored.record.data),
            "approximateArrivalTimestamp": stored.at.as_millisecond() as f64 / 1_000.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("{}:{}", stored.shard_id, stored.sequence_number),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::000000000000:role/complete",
        "awsRegion": REGION,
        "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/notifications",
    })
}

/// Parses an event from its JSON.
///
/// # Panics
/// The JSON is not such an event.
#[must_use]
pub fn parse<E: FromStr<Err: Debug>>(event: &Value) -> E {
    let parsed = event.to_string().parse();
    parsed.unwrap_or_else(|error| panic!("invalid Lambda event: {error:?}"))
}
