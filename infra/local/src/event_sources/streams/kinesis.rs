//! A stream of Kinesis.

use async_trait::async_trait;
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_smithy_types::DateTime;
use onewrite_event_sources::Millis;
use onewrite_event_sources::stream::{KinesisRecord, Position, ShardDescription, SourceFacts};

use super::{Page, ReadFailure, Source};
use crate::error::causes;

pub(in super::super) struct DataStream {
    pub(in super::super) client: aws_sdk_kinesis::Client,
    pub(in super::super) facts: SourceFacts,
}

#[async_trait]
impl Source for DataStream {
    async fn list(&self) -> Result<Vec<ShardDescription>, String> {
        let mut shards = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            // A page after the first is named by its token alone (API reference, ListShards).
            let request = match next.take() {
                Some(token) => request.next_token(token),
                None => request.stream_arn(&self.facts.arn),
            };
            let page = request.send().await.map_err(|error| causes(&error))?;
            next.clone_from(&page.next_token);
            shards.extend(page.shards.unwrap_or_default().into_iter().map(|shard| {
                let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
                ShardDescription {
                    id: shard.shard_id,
                    parents: parents.into_iter().flatten().collect(),
                }
            }));
            if next.is_none() {
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
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            Position::AtTimestamp(at) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(
                    i64::try_from(*at).unwrap_or(i64::MAX),
                )),
            Position::After(number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number),
        };
        let answer = request.send().await;
        let answer = answer.map_err(|error| ReadFailure::Failed(causes(&error)))?;
        let none = || ReadFailure::Failed("no iterator in the answer".to_owned());
        answer.shard_iterator.ok_or_else(none)
    }

    async fn read(&self, shard: &str, iterator: &str, limit: u32) -> Result<Page, ReadFailure> {
        let request = self.client.get_records().shard_iterator(iterator);
        let answer = request
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await;
        let page = answer.map_err(|error| match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => ReadFailure::Expired,
            _ => ReadFailure::Failed(causes(&error)),
        })?;
        let records = page.records.into_iter().map(|record| {
            let arrived = record.approximate_arrival_timestamp;
            KinesisRecord {
                partition_key: record.partition_key.unwrap_or_default(),
                sequence_number: record.sequence_number,
                data: record.data.into_inner(),
                arrived: arrived.map_or(0, millis),
            }
            .encode(&self.facts, shard)
        });
        Ok(Page {
            records: records.collect(),
            next: page.next_shard_iterator,
        })
    }
}

fn millis(at: DateTime) -> Millis {
    at.to_millis()
        .ok()
        .and_then(|millis| Millis::try_from(millis).ok())
        .unwrap_or(0)
}
