//! Reads the DynamoDB stream of a table.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::primitives::Blob;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use onewrite_event_sources::stream::{DynamoDbRecord, Position, ShardDescription, SourceInfo};
use serde_json::{Map, Value, json};

use super::source::{IteratorStart, Page, ReadError, Source};
use crate::error::causes;

pub(crate) struct TableStreamSource {
    pub(crate) client: aws_sdk_dynamodbstreams::Client,
    pub(crate) facts: SourceInfo,
}

impl Source for TableStreamSource {
    async fn list_shards(&self) -> Result<Vec<ShardDescription>, String> {
        let mut shards = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let request = self.client.describe_stream().stream_arn(&self.facts.arn);
            let page = request
                .set_exclusive_start_shard_id(last)
                .send()
                .await
                .map_err(|error| causes(&error))?;
            let description = page
                .stream_description
                .ok_or("the response has no description")?;
            for shard in description.shards.unwrap_or_default() {
                shards.push(ShardDescription {
                    id: shard
                        .shard_id
                        .ok_or("the response has a shard without an id")?,
                    parents: shard.parent_shard_id.into_iter().collect(),
                });
            }
            last = description.last_evaluated_shard_id;
            if last.is_none() {
                return Ok(shards);
            }
        }
    }

    async fn iterator(&self, shard: &str, start: &IteratorStart) -> Result<String, ReadError> {
        let request = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.facts.arn)
            .shard_id(shard);
        let request = match start {
            // A mapping of a DynamoDB stream cannot start at a timestamp (D4).
            IteratorStart::Position(Position::TrimHorizon | Position::AtTimestamp(_)) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            IteratorStart::Position(Position::Latest) => {
                request.shard_iterator_type(ShardIteratorType::Latest)
            }
            IteratorStart::Position(Position::After(number)) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(number),
            IteratorStart::At(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .sequence_number(number),
        };
        let response = request
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(GetShardIteratorError::TrimmedDataAccessException(_)) => ReadError::Trimmed,
                _ => ReadError::Other(causes(&error)),
            })?;
        response
            .shard_iterator
            .ok_or_else(ReadError::missing_iterator)
    }

    async fn read(&self, _: &str, iterator: &str, limit: u32) -> Result<Page, ReadError> {
        let request = self.client.get_records().shard_iterator(iterator);
        let response = request
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await;
        let page = response.map_err(|error| match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => ReadError::Expired,
            Some(GetRecordsError::TrimmedDataAccessException(_)) => ReadError::Trimmed,
            _ => ReadError::Other(causes(&error)),
        })?;
        let records = page.records.unwrap_or_default().into_iter();
        let records = records.map(|record| Some(change(record)?.encode(&self.facts)));
        let records = records.collect::<Option<_>>();
        Ok(Page {
            records: records.ok_or_else(ReadError::incomplete_record)?,
            next: page.next_shard_iterator,
        })
    }
}

/// Returns `None` if the record is incomplete or has an attribute type that this SDK version does not know.
fn change(record: Record) -> Option<DynamoDbRecord> {
    let stream_record = record.dynamodb?;
    let image = |image: Option<HashMap<String, AttributeValue>>| match image {
        Some(attributes) => item(attributes).map(Some),
        None => Some(None),
    };
    Some(DynamoDbRecord {
        event_id: record.event_id?,
        event_name: record.event_name?.as_str().to_owned(),
        event_version: record.event_version?,
        created_seconds: u64::try_from(stream_record.approximate_creation_date_time?.secs())
            .ok()?,
        keys: item(stream_record.keys?)?,
        new_image: image(stream_record.new_image)?,
        old_image: image(stream_record.old_image)?,
        sequence_number: stream_record.sequence_number?,
        // The emulator reports 0 for every record.
        size_bytes: stream_record.size_bytes?,
        stream_view_type: stream_record.stream_view_type?.as_str().to_owned(),
        user_identity: record
            .user_identity
            .and_then(|identity| Some((identity.r#type?, identity.principal_id?))),
    })
}

fn item(attributes: HashMap<String, AttributeValue>) -> Option<Value> {
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| Some((name, attribute(value)?)));
    Some(Value::Object(attributes.collect::<Option<Map<_, _>>>()?))
}

/// Encodes DynamoDB JSON: type descriptors, numbers as text, binary values as base64 (D25, D27).
fn attribute(value: AttributeValue) -> Option<Value> {
    let base64 = |bytes: &Blob| BASE64_STANDARD.encode(bytes);
    Some(match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) => json!({ "B": base64(&bytes) }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        AttributeValue::Null(truth) => json!({ "NULL": truth }),
        AttributeValue::M(attributes) => json!({ "M": item(attributes)? }),
        AttributeValue::L(values) => {
            let values = values.into_iter().map(attribute);
            json!({ "L": values.collect::<Option<Vec<_>>>()? })
        }
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => {
            json!({ "BS": blobs.iter().map(base64).collect::<Vec<_>>() })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodbstreams::primitives::DateTime;
    use aws_sdk_dynamodbstreams::types::{Identity, OperationType, StreamRecord, StreamViewType};

    use super::*;

    #[test]
    fn encodes_every_attribute_type_with_its_descriptor() {
        use AttributeValue as A;
        let text = |text: &str| text.to_owned();
        let map = HashMap::from([(text("k"), A::L(vec![A::N(text("1.0")), A::Null(true)]))]);
        for (value, expected) in [
            (A::S(text("é")), json!({"S": "é"})),
            (A::N(text("1e400")), json!({"N": "1e400"})),
            (A::B(Blob::new([0, 255])), json!({"B": "AP8="})),
            (A::Bool(false), json!({"BOOL": false})),
            (A::Ss(vec![text("a")]), json!({"SS": ["a"]})),
            (A::Ns(vec![text("1")]), json!({"NS": ["1"]})),
            (A::Bs(vec![Blob::new([1])]), json!({"BS": ["AQ=="]})),
            (
                A::M(map),
                json!({"M": {"k": {"L": [{"N": "1.0"}, {"NULL": true}]}}}),
            ),
        ] {
            assert_eq!(attribute(value), Some(expected));
        }
    }

    fn stream_record() -> aws_sdk_dynamodbstreams::types::builders::StreamRecordBuilder {
        StreamRecord::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_700_000_000))
            .keys("id", AttributeValue::S("a".to_owned()))
            .old_image("id", AttributeValue::S("a".to_owned()))
            .sequence_number("7")
            .size_bytes(12)
            .stream_view_type(StreamViewType::NewAndOldImages)
    }

    fn record(
        stream_record: StreamRecord,
    ) -> aws_sdk_dynamodbstreams::types::builders::RecordBuilder {
        Record::builder()
            .event_id("e")
            .event_name(OperationType::Remove)
            .event_version("1.1")
            .dynamodb(stream_record)
    }

    #[test]
    fn keeps_every_field_of_a_stream_record() {
        let identity = Identity::builder()
            .r#type("Service")
            .principal_id("dynamodb.amazonaws.com")
            .build();
        let record = record(stream_record().build())
            .user_identity(identity)
            .build();
        let change = change(record).unwrap();
        assert_eq!(change.event_name, "REMOVE");
        assert_eq!(change.created_seconds, 1_700_000_000);
        assert_eq!(change.keys, json!({"id": {"S": "a"}}));
        assert_eq!(change.old_image, Some(json!({"id": {"S": "a"}})));
        assert_eq!(change.new_image, None);
        assert_eq!(
            (change.sequence_number.as_str(), change.size_bytes),
            ("7", 12)
        );
        assert_eq!(change.stream_view_type, "NEW_AND_OLD_IMAGES");
        let principal = ("Service".to_owned(), "dynamodb.amazonaws.com".to_owned());
        assert_eq!(change.user_identity, Some(principal));
    }

    #[test]
    fn rejects_incomplete_records() {
        for stream_record in [
            stream_record().set_sequence_number(None).build(),
            stream_record()
                .set_approximate_creation_date_time(None)
                .build(),
            stream_record().set_keys(None).build(),
            stream_record().set_size_bytes(None).build(),
        ] {
            assert!(change(record(stream_record).build()).is_none());
        }
    }
}
