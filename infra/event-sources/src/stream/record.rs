//! The records of a stream as the function receives them (D26, D27, K5).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::Millis;

/// The parts of a record that a poller needs.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamRecord {
    pub sequence_number: String,
    /// Records with the same key are processed in order: the item's key (D7) or the partition key (K7).
    pub key: String,
    pub arrived: Millis,
    /// The element of the event's `Records` as JSON text.
    pub event: String,
}

impl fmt::Debug for StreamRecord {
    /// Omits the event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRecord")
            .field("sequence_number", &self.sequence_number)
            .field("arrived", &self.arrived)
            .finish_non_exhaustive()
    }
}

/// The properties of the source that every record contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    pub arn: String,
    pub region: String,
    /// The role of the function; only Kinesis records contain it.
    pub invoke_identity_arn: String,
}

/// A Kinesis record.
#[derive(Clone)]
pub struct KinesisRecord {
    pub partition_key: String,
    pub sequence_number: String,
    pub data: Vec<u8>,
    pub arrived: Millis,
}

impl KinesisRecord {
    /// Encodes the record as the function receives it (K5).
    #[must_use]
    pub fn encode(self, source: &SourceInfo, shard_id: &str) -> StreamRecord {
        let event = json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": self.partition_key,
                "sequenceNumber": self.sequence_number,
                "data": BASE64_STANDARD.encode(&self.data),
                "approximateArrivalTimestamp": self.arrived as f64 / 1_000.0,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{shard_id}:{}", self.sequence_number),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": source.invoke_identity_arn,
            "awsRegion": source.region,
            "eventSourceARN": source.arn,
        });
        StreamRecord {
            key: self.partition_key,
            sequence_number: self.sequence_number,
            arrived: self.arrived,
            event: event.to_string(),
        }
    }
}

/// A DynamoDB Streams record. Items are in DynamoDB JSON with type descriptors, and binary values are base64.
#[derive(Clone)]
pub struct DynamoDbRecord {
    pub event_id: String,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub event_name: String,
    /// `1.1`.
    pub event_version: String,
    /// The time of the change in seconds since 1970.
    pub created_seconds: u64,
    pub keys: Value,
    /// The item after the change, if the view type includes it.
    pub new_image: Option<Value>,
    /// The item before the change, if the view type includes it.
    pub old_image: Option<Value>,
    pub sequence_number: String,
    pub size_bytes: i64,
    pub stream_view_type: String,
    /// The type and principal of a service that made the change (TTL); absent for other changes.
    pub user_identity: Option<(String, String)>,
}

impl DynamoDbRecord {
    /// Encodes the record as the function receives it (D26, D27).
    #[must_use]
    pub fn encode(self, source: &SourceInfo) -> StreamRecord {
        // The maps of serde_json are sorted, so equal keys have equal texts.
        let key = self.keys.to_string();
        let mut event = json!({
            "eventID": self.event_id,
            "eventName": self.event_name,
            "eventVersion": self.event_version,
            "eventSource": "aws:dynamodb",
            "awsRegion": source.region,
            "dynamodb": {
                // With a decimal point, as recorded.
                "ApproximateCreationDateTime": self.created_seconds as f64,
                "Keys": self.keys,
                "SequenceNumber": self.sequence_number,
                "SizeBytes": self.size_bytes,
                "StreamViewType": self.stream_view_type,
            },
            "eventSourceARN": source.arn,
        });
        for (name, image) in [("NewImage", self.new_image), ("OldImage", self.old_image)] {
            if let Some(image) = image {
                event["dynamodb"][name] = image;
            }
        }
        if let Some((kind, principal)) = self.user_identity {
            event["userIdentity"] = json!({"type": kind, "principalId": principal});
        }
        StreamRecord {
            sequence_number: self.sequence_number,
            key,
            arrived: self.created_seconds * 1_000,
            event: event.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> SourceInfo {
        SourceInfo {
            arn: "arn:aws:kinesis:eu-west-1:111111111111:stream/s".to_owned(),
            region: "eu-west-1".to_owned(),
            invoke_identity_arn: "arn:aws:iam::111111111111:role/complete".to_owned(),
        }
    }

    fn change() -> DynamoDbRecord {
        DynamoDbRecord {
            event_id: "e1".to_owned(),
            event_name: "INSERT".to_owned(),
            event_version: "1.1".to_owned(),
            created_seconds: 1_700_000_000,
            keys: json!({"id": {"S": "a"}}),
            new_image: Some(json!({"id": {"S": "a"}, "blob": {"B": "AAE="}})),
            old_image: None,
            sequence_number: "000000000000000000001".to_owned(),
            size_bytes: 12,
            stream_view_type: "NEW_AND_OLD_IMAGES".to_owned(),
            user_identity: None,
        }
    }

    fn json_of(record: &StreamRecord) -> Value {
        serde_json::from_str(&record.event).unwrap()
    }

    #[test]
    fn k5_a_kinesis_record_has_these_fields() {
        let record = KinesisRecord {
            partition_key: "pk".to_owned(),
            sequence_number: "49".to_owned(),
            data: vec![0, 255],
            arrived: 1_700_000_000_123,
        };
        let record = record.encode(&source(), "shardId-000000000001");
        assert_eq!(
            (record.key.as_str(), record.arrived),
            ("pk", 1_700_000_000_123)
        );
        assert_eq!(
            json_of(&record),
            json!({
                "kinesis": {
                    "kinesisSchemaVersion": "1.0", "partitionKey": "pk", "sequenceNumber": "49", "data": "AP8=",
                    "approximateArrivalTimestamp": 1_700_000_000.123,
                },
                "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": "shardId-000000000001:49",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::111111111111:role/complete", "awsRegion": "eu-west-1",
                "eventSourceARN": "arn:aws:kinesis:eu-west-1:111111111111:stream/s",
            })
        );
    }

    #[test]
    fn d26_only_ttl_changes_have_a_user_identity() {
        assert_eq!(
            json_of(&change().encode(&source())).get("userIdentity"),
            None
        );
        let by_ttl = DynamoDbRecord {
            event_name: "REMOVE".to_owned(),
            user_identity: Some(("Service".to_owned(), "dynamodb.amazonaws.com".to_owned())),
            ..change()
        };
        let event = json_of(&by_ttl.encode(&source()));
        assert_eq!(
            event["userIdentity"],
            json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"})
        );
        assert_eq!(
            (
                &event["eventSource"],
                &event["eventName"],
                &event["eventVersion"]
            ),
            (&json!("aws:dynamodb"), &json!("REMOVE"), &json!("1.1"))
        );
    }

    #[test]
    fn d27_missing_image_is_absent() {
        let record = change().encode(&source());
        assert_eq!(record.arrived, 1_700_000_000_000);
        assert_eq!(
            json_of(&record)["dynamodb"],
            json!({
                "ApproximateCreationDateTime": 1_700_000_000.0,
                "Keys": {"id": {"S": "a"}},
                "NewImage": {"id": {"S": "a"}, "blob": {"B": "AAE="}},
                "SequenceNumber": "000000000000000000001", "SizeBytes": 12, "StreamViewType": "NEW_AND_OLD_IMAGES",
            })
        );
    }
}
