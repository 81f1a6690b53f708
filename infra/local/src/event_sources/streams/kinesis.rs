//! A stream of Kinesis.
//!
//! The emulator reshards unlike AWS: a shard that is split or merged is gone at once, with its unread records, no read
//! ever ends a shard, and `UpdateShardCount` empties the stream and gives the old ids to new shards. So its streams
//! must not be resharded while they are in use.

use async_trait::async_trait;
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use aws_smithy_types::DateTime;
use onewrite_event_sources::Millis;
use onewrite_event_sources::stream::{KinesisRecord, Position, ShardDescription, SourceFacts};

use super::{Page, ReadFailure, Source, Start};
use crate::error::causes;

pub(in super::super) struct DataStream {
    pub(in super::super) client: aws_sdk_kinesis::Client,
    pub(in super::super) facts: SourceFacts,
}

#[async_trait]
impl Source for DataStream {
    async fn list(&self) -> Result<Vec<ShardDescription>, String> {
        let mut shards: Vec<ShardDescription> = Vec::new();
        loop {
            // Pages by shard id: AWS takes a token only without the stream, the emulator only with it.
            let request = self.client.list_shards().stream_arn(&self.facts.arn);
            let request =
                request.set_exclusive_start_shard_id(shards.last().map(|shard| shard.id.clone()));
            let page = request.send().await.map_err(|error| causes(&error))?;
            shards.extend(page.shards.unwrap_or_default().into_iter().map(|shard| {
                let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
                ShardDescription {
                    id: shard.shard_id,
                    parents: parents.into_iter().flatten().collect(),
                }
            }));
            if page.next_token.is_none() {
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
            Start::Position(Position::TrimHorizon) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Start::Position(Position::Latest) => {
                request.shard_iterator_type(ShardIteratorType::Latest)
            }
            Start::Position(Position::AtTimestamp(at)) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(
                    i64::try_from(*at).unwrap_or(i64::MAX),
                )),
            Start::Position(Position::After(number)) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number),
            Start::At(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number),
        };
        let by_number = matches!(start, Start::At(_) | Start::Position(Position::After(_)));
        let answer = request.send().await;
        let answer = answer.map_err(|error| match error.as_service_error() {
            // Its word for a sequence number that the shard does not know, or no longer.
            Some(GetShardIteratorError::InvalidArgumentException(_)) if by_number => {
                ReadFailure::Trimmed
            }
            _ => ReadFailure::Failed(causes(&error)),
        })?;
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
        let records = page.records.into_iter();
        let records = records.map(|record| Some(data(record)?.encode(&self.facts, shard)));
        let records = records.collect::<Option<_>>();
        Ok(Page {
            records: records.ok_or_else(|| ReadFailure::incomplete("a record"))?,
            next: page.next_shard_iterator,
        })
    }
}

/// None where the record lacks what every record has.
fn data(record: Record) -> Option<KinesisRecord> {
    let arrived = record.approximate_arrival_timestamp?.to_millis().ok()?;
    Some(KinesisRecord {
        partition_key: record.partition_key?,
        sequence_number: record.sequence_number,
        data: record.data.into_inner(),
        arrived: Millis::try_from(arrived).ok()?,
    })
}
