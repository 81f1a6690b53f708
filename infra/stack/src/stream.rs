//! The records of a notification in the stream.

use std::time::Duration;

use aws_sdk_kinesis::{
    primitives::DateTime,
    types::{Record, Shard, ShardFilter, ShardFilterType, ShardIteratorType},
};
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use onewrite::event::NotificationEvent;
use serde::Serialize;

use crate::{error::StackError, stack::Stack};

/// The pause between two reads of a shard. Kinesis allows five reads a second, and the functions read too.
const READ_INTERVAL: Duration = Duration::from_millis(400);

/// A record of the notification stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamRecord {
    pub shard: String,
    pub sequence_number: String,
    /// When Kinesis accepted the record.
    pub at: Timestamp,
    /// The event id, which every repetition of the event has; `None` if the record is not an event.
    pub event_id: Option<String>,
    /// The status in the event.
    pub status: Option<String>,
}

impl StreamRecord {
    fn from_sdk(shard: &str, record: &Record) -> Self {
        let event = NotificationEvent::parse(record.data().as_ref()).ok();
        let at = record
            .approximate_arrival_timestamp()
            .and_then(|at| at.to_millis().ok())
            .and_then(|at| Timestamp::from_millisecond(at).ok());
        Self {
            shard: shard.to_owned(),
            sequence_number: record.sequence_number().to_owned(),
            at: at.unwrap_or_default(),
            event_id: event.as_ref().map(NotificationEvent::id),
            status: event.map(|event| event.status.to_string()),
        }
    }
}

/// Reads the records of a notification, from the shards that can hold its partition key.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_records(
    stack: &Stack,
    id: &str,
    since: Option<Timestamp>,
) -> Result<Vec<StreamRecord>, StackError> {
    let mut records = Vec::new();
    for shard in list_shards(stack).await? {
        if can_hold(&shard, id) {
            read_shard(stack, id, shard.shard_id(), since, &mut records).await?;
        }
    }
    records.sort_by_key(|record| record.at);
    Ok(records)
}

/// Lists all shards that still have records, including closed ones.
async fn list_shards(stack: &Stack) -> Result<Vec<Shard>, StackError> {
    let filter = ShardFilter::builder()
        .r#type(ShardFilterType::FromTrimHorizon)
        .build()
        .map_err(|error| StackError::Call {
            call: "ListShards",
            reason: error.to_string(),
        })?;
    let (mut shards, mut next) = (Vec::new(), None);
    loop {
        let list = stack.kinesis.list_shards();
        // A token replaces the stream name and the filter (Kinesis API reference, ListShards).
        let list = match next {
            None => list
                .stream_name(&stack.outputs.stream)
                .shard_filter(filter.clone()),
            Some(token) => list.next_token(token),
        };
        let page = list
            .send()
            .await
            .map_err(|error| StackError::from_sdk("ListShards", &error))?;
        shards.extend(page.shards.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

/// Whether the shard can hold records with this partition key. The MD5 hash of the key, as a number, selects the shard
/// (Kinesis developer guide).
fn can_hold(shard: &Shard, partition_key: &str) -> bool {
    let hash = u128::from_be_bytes(Md5::digest(partition_key).into());
    let Some(range) = shard.hash_key_range() else {
        return true;
    };
    let bound = |text: &str| text.parse::<u128>().ok();
    match (
        bound(range.starting_hash_key()),
        bound(range.ending_hash_key()),
    ) {
        (Some(start), Some(end)) => (start..=end).contains(&hash),
        _ => true,
    }
}

async fn read_shard(
    stack: &Stack,
    id: &str,
    shard: &str,
    since: Option<Timestamp>,
    records: &mut Vec<StreamRecord>,
) -> Result<(), StackError> {
    let mut next = get_iterator(stack, shard, since).await?;
    while let Some(iterator) = next {
        let page = stack
            .kinesis
            .get_records()
            .shard_iterator(iterator)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("GetRecords", &error))?;
        let own = page
            .records
            .iter()
            .filter(|record| record.partition_key() == Some(id));
        records.extend(own.map(|record| StreamRecord::from_sdk(shard, record)));
        // An empty page alone is not the end: there may be records further on.
        let is_end = page.millis_behind_latest.unwrap_or(0) == 0;
        next = page.next_shard_iterator.filter(|_| !is_end);
        if next.is_some() {
            tokio::time::sleep(READ_INTERVAL).await;
        }
    }
    Ok(())
}

async fn get_iterator(
    stack: &Stack,
    shard: &str,
    since: Option<Timestamp>,
) -> Result<Option<String>, StackError> {
    let request = stack
        .kinesis
        .get_shard_iterator()
        .stream_name(&stack.outputs.stream)
        .shard_id(shard);
    let request = match since {
        Some(since) => request
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(DateTime::from_millis(since.as_millisecond())),
        None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
    };
    let response = request
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetShardIterator", &error))?;
    Ok(response.shard_iterator)
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange};

    use super::*;

    fn shard(start: &str, end: &str) -> Shard {
        let range = HashKeyRange::builder()
            .starting_hash_key(start)
            .ending_hash_key(end);
        let numbers = SequenceNumberRange::builder().starting_sequence_number("0");
        Shard::builder()
            .shard_id("shard-0")
            .hash_key_range(range.build().unwrap())
            .sequence_number_range(numbers.build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn reads_only_the_shard_that_can_hold_the_id() {
        let half = u128::MAX / 2;
        let lower = shard("0", &half.to_string());
        let upper = shard(&(half + 1).to_string(), &u128::MAX.to_string());
        // The MD5 hash of "a" begins with 0x0c, that of "b" with 0x92.
        for (id, is_lower) in [("a", true), ("b", false)] {
            assert_eq!(can_hold(&lower, id), is_lower);
            assert_eq!(can_hold(&upper, id), !is_lower);
        }
        let exactly = u128::from_be_bytes(Md5::digest("a").into()).to_string();
        assert!(can_hold(&shard(&exactly, &exactly), "a"));
    }
}
