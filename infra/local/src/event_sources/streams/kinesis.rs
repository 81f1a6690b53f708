//! Reads a Kinesis data stream.
//!
//! The emulator's resharding differs from AWS: a shard that is split or merged disappears at once with its unread
//! records, no read ever reaches the end of a shard, and `UpdateShardCount` empties the stream and reuses the old ids for
//! new shards. Do not reshard a stream of the emulator while it is in use.

use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use aws_smithy_types::DateTime;
use onewrite_event_sources::Millis;
use onewrite_event_sources::stream::{KinesisRecord, Position, ShardDescription, SourceInfo};

use super::source::{IteratorStart, Page, ReadError, Source};
use crate::error::causes;

pub(crate) struct KinesisSource {
    pub(crate) client: aws_sdk_kinesis::Client,
    pub(crate) facts: SourceInfo,
}

impl Source for KinesisSource {
    async fn list_shards(&self) -> Result<Vec<ShardDescription>, String> {
        let mut shards: Vec<ShardDescription> = Vec::new();
        loop {
            // Pages by shard id: AWS accepts a token only without the stream, the emulator only with it.
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

    async fn iterator(&self, shard: &str, start: &IteratorStart) -> Result<String, ReadError> {
        let request = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.facts.arn)
            .shard_id(shard);
        let request = match start {
            IteratorStart::Position(Position::TrimHorizon) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            IteratorStart::Position(Position::Latest) => {
                request.shard_iterator_type(ShardIteratorType::Latest)
            }
            IteratorStart::Position(Position::AtTimestamp(at)) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(
                    i64::try_from(*at).unwrap_or(i64::MAX),
                )),
            IteratorStart::Position(Position::After(number)) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number),
            IteratorStart::At(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number),
        };
        let by_sequence_number = matches!(
            start,
            IteratorStart::At(_) | IteratorStart::Position(Position::After(_))
        );
        let response = request.send().await;
        let response = response.map_err(|error| match error.as_service_error() {
            // Kinesis returns this error for a sequence number that the shard does not have, or no longer has.
            Some(GetShardIteratorError::InvalidArgumentException(_)) if by_sequence_number => {
                ReadError::Trimmed
            }
            _ => ReadError::Other(causes(&error)),
        })?;
        response
            .shard_iterator
            .ok_or_else(ReadError::missing_iterator)
    }

    async fn read(&self, shard: &str, iterator: &str, limit: u32) -> Result<Page, ReadError> {
        let request = self.client.get_records().shard_iterator(iterator);
        let response = request
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await;
        let page = response.map_err(|error| match error.as_service_error() {
            Some(GetRecordsError::ExpiredIteratorException(_)) => ReadError::Expired,
            _ => ReadError::Other(causes(&error)),
        })?;
        let records = page.records.into_iter();
        let records = records.map(|record| Some(data(record)?.encode(&self.facts, shard)));
        let records = records.collect::<Option<_>>();
        Ok(Page {
            records: records.ok_or_else(ReadError::incomplete_record)?,
            next: page.next_shard_iterator,
        })
    }
}

/// Returns `None` if the record is incomplete.
fn data(record: Record) -> Option<KinesisRecord> {
    let arrived = record.approximate_arrival_timestamp?.to_millis().ok()?;
    Some(KinesisRecord {
        partition_key: record.partition_key?,
        sequence_number: record.sequence_number,
        data: record.data.into_inner(),
        arrived: Millis::try_from(arrived).ok()?,
    })
}
