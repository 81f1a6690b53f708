//! The change stream of a table.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use onewrite_event_sources::stream::{DynamoDbRecord, Position, ShardDescription, SourceFacts};
use serde_json::{Map, Value, json};

use super::{Page, ReadFailure, Source};
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
            let described = description.shards.unwrap_or_default().into_iter();
            shards.extend(described.filter_map(|shard| {
                Some(ShardDescription {
                    id: shard.shard_id?,
                    parents: shard.parent_shard_id.into_iter().collect(),
                })
            }));
            last = description.last_evaluated_shard_id;
            if last.is_none() {
                return Ok(shards);
            }
        }
    }

    async fn iterator(&self, shard: &str, position: &Position) -> Result<String, ReadFailure> {
        let request = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.facts.arn)
            .shard_id(shard);
        let request = match position {
            // A mapping of a table's stream has no timestamp to start at (D4).
            Position::TrimHorizon | Position::AtTimestamp(_) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::After(number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
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
        Ok(Page {
            records: records
                .map(|record| change(record).encode(&self.facts))
                .collect(),
            next: page.next_shard_iterator,
        })
    }
}

fn change(record: Record) -> DynamoDbRecord {
    let kind = record.event_name.as_ref();
    let name = kind.map_or_else(String::new, |kind| kind.as_str().to_owned());
    let identity = record.user_identity.map(|identity| {
        let kind = identity.r#type.unwrap_or_default();
        (kind, identity.principal_id.unwrap_or_default())
    });
    let mut change = DynamoDbRecord {
        event_id: record.event_id.unwrap_or_default(),
        event_name: name,
        event_version: record.event_version.unwrap_or_default(),
        created_seconds: 0,
        keys: Value::Null,
        new_image: None,
        old_image: None,
        sequence_number: String::new(),
        size_bytes: 0,
        stream_view_type: String::new(),
        user_identity: identity,
    };
    if let Some(of_item) = record.dynamodb {
        let created = of_item.approximate_creation_date_time;
        change.created_seconds = created
            .and_then(|at| u64::try_from(at.secs()).ok())
            .unwrap_or(0);
        change.keys = item(of_item.keys.unwrap_or_default());
        change.new_image = of_item.new_image.map(item);
        change.old_image = of_item.old_image.map(item);
        change.sequence_number = of_item.sequence_number.unwrap_or_default();
        change.size_bytes = of_item.size_bytes.unwrap_or(0);
        let view = of_item.stream_view_type;
        change.stream_view_type = view.map_or_else(String::new, |view| view.as_str().to_owned());
    }
    change
}

/// Attributes in DynamoDB's JSON.
fn item(attributes: HashMap<String, AttributeValue>) -> Value {
    let members = attributes
        .into_iter()
        .map(|(name, value)| (name, attribute(value)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn attribute(value: AttributeValue) -> Value {
    let binary = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    match value {
        AttributeValue::B(bytes) => json!({"B": binary(bytes.as_ref())}),
        AttributeValue::Bool(truth) => json!({"BOOL": truth}),
        AttributeValue::Bs(set) => {
            let set: Vec<String> = set.iter().map(|bytes| binary(bytes.as_ref())).collect();
            json!({"BS": set})
        }
        AttributeValue::L(list) => {
            json!({"L": list.into_iter().map(attribute).collect::<Vec<_>>()})
        }
        AttributeValue::M(map) => json!({"M": item(map)}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Ns(set) => json!({"NS": set}),
        AttributeValue::Null(truth) => json!({"NULL": truth}),
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::Ss(set) => json!({"SS": set}),
        // A type that this SDK does not know: nobody can read it.
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodbstreams::primitives::{Blob, DateTime};
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
            assert_eq!(attribute(value), expected);
        }
    }

    #[test]
    fn a_change_keeps_everything_that_the_stream_tells() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let of_item = StreamRecord::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_700_000_000))
            .keys("id", text("a"))
            .old_image("id", text("a"))
            .sequence_number("7")
            .size_bytes(12)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        let identity = Identity::builder()
            .r#type("Service")
            .principal_id("dynamodb.amazonaws.com")
            .build();
        let record = Record::builder()
            .event_id("e")
            .event_name(OperationType::Remove)
            .event_version("1.1")
            .dynamodb(of_item)
            .user_identity(identity)
            .build();
        let change = change(record);
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
}
