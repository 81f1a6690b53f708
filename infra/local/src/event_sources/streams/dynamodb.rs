//! The change stream of a table.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::primitives::Blob;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use onewrite_event_sources::stream::{DynamoDbRecord, Position, ShardDescription, SourceFacts};
use serde_json::{Map, Value, json};

use super::{Page, ReadFailure, Source, Start};
use crate::error::causes;

pub(in super::super) struct TableStream {
    pub(in super::super) client: aws_sdk_dynamodbstreams::Client,
    pub(in super::super) facts: SourceFacts,
}

#[async_trait]
impl Source for TableStream {
    async fn list(&self) -> Result<Vec<ShardDescription>, String> {
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
                .ok_or("no description in the answer")?;
            for shard in description.shards.unwrap_or_default() {
                shards.push(ShardDescription {
                    id: shard.shard_id.ok_or("a shard without id in the answer")?,
                    parents: shard.parent_shard_id.into_iter().collect(),
                });
            }
            last = description.last_evaluated_shard_id;
            if last.is_none() {
                return Ok(shards);
            }
        }
    }

    async fn iterator(&self, shard: &str, start: &Start) -> Result<String, ReadFailure> {
        let request = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.facts.arn)
            .shard_id(shard);
        let request = match start {
            // A mapping of a table's stream has no timestamp to start at (D4).
            Start::Position(Position::TrimHorizon | Position::AtTimestamp(_)) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Start::Position(Position::Latest) => {
                request.shard_iterator_type(ShardIteratorType::Latest)
            }
            Start::Position(Position::After(number)) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(number),
            Start::At(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .sequence_number(number),
        };
        let answer = request
            .send()
            .await
            .map_err(|error| match error.as_service_error() {
                Some(GetShardIteratorError::TrimmedDataAccessException(_)) => ReadFailure::Trimmed,
                _ => ReadFailure::Failed(causes(&error)),
            })?;
        let none = || ReadFailure::Failed("no iterator in the answer".to_owned());
        answer.shard_iterator.ok_or_else(none)
    }

    async fn read(&self, _: &str, iterator: &str, limit: u32) -> Result<Page, ReadFailure> {
        let request = self.client.get_records().shard_iterator(iterator);
        let answer = request
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await;
        let page = answer.map_err(|error| match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => ReadFailure::Expired,
            Some(GetRecordsError::TrimmedDataAccessException(_)) => ReadFailure::Trimmed,
            _ => ReadFailure::Failed(causes(&error)),
        })?;
        let records = page.records.unwrap_or_default().into_iter();
        let records = records.map(|record| Some(change(record)?.encode(&self.facts)));
        let records = records.collect::<Option<_>>();
        Ok(Page {
            records: records.ok_or_else(|| ReadFailure::incomplete("a record"))?,
            next: page.next_shard_iterator,
        })
    }
}

/// None where the record lacks what every record has, or holds a type that this SDK does not know.
fn change(record: Record) -> Option<DynamoDbRecord> {
    let of_item = record.dynamodb?;
    let image = |image: Option<HashMap<String, AttributeValue>>| match image {
        Some(attributes) => item(attributes).map(Some),
        None => Some(None),
    };
    Some(DynamoDbRecord {
        event_id: record.event_id?,
        event_name: record.event_name?.as_str().to_owned(),
        event_version: record.event_version?,
        created_seconds: u64::try_from(of_item.approximate_creation_date_time?.secs()).ok()?,
        keys: item(of_item.keys?)?,
        new_image: image(of_item.new_image)?,
        old_image: image(of_item.old_image)?,
        sequence_number: of_item.sequence_number?,
        // The emulator says 0 of every record.
        size_bytes: of_item.size_bytes?,
        stream_view_type: of_item.stream_view_type?.as_str().to_owned(),
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

/// DynamoDB's JSON: the type's descriptor, numbers as text, binary as base64 (D25, D27).
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
    fn every_type_of_attribute_has_its_descriptor() {
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

    fn of_item() -> aws_sdk_dynamodbstreams::types::builders::StreamRecordBuilder {
        StreamRecord::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_700_000_000))
            .keys("id", AttributeValue::S("a".to_owned()))
            .old_image("id", AttributeValue::S("a".to_owned()))
            .sequence_number("7")
            .size_bytes(12)
            .stream_view_type(StreamViewType::NewAndOldImages)
    }

    fn record(of_item: StreamRecord) -> aws_sdk_dynamodbstreams::types::builders::RecordBuilder {
        Record::builder()
            .event_id("e")
            .event_name(OperationType::Remove)
            .event_version("1.1")
            .dynamodb(of_item)
    }

    #[test]
    fn a_change_keeps_everything_that_the_stream_tells() {
        let identity = Identity::builder()
            .r#type("Service")
            .principal_id("dynamodb.amazonaws.com")
            .build();
        let record = record(of_item().build()).user_identity(identity).build();
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
    fn a_record_that_cannot_be_told_whole_is_not_told_at_all() {
        for of_item in [
            of_item().set_sequence_number(None).build(),
            of_item().set_approximate_creation_date_time(None).build(),
            of_item().set_keys(None).build(),
            of_item().set_size_bytes(None).build(),
        ] {
            assert!(change(record(of_item).build()).is_none());
        }
    }
}
