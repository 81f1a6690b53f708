//! The records of a notification in the stream.

use std::time::Duration;

use aws_sdk_kinesis::{
    primitives::DateTime,
    types::{Record, Shard, ShardFilter, ShardFilterType, ShardIteratorType},
};
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use onewrite::event::NotificationEvent;
use serde::Serialize;
use tokio::time::Instant;

use crate::{clients::Clients, error::StackError, stack::Stack};

/// The pause between two reads of a shard. Kinesis allows five reads a second, and the functions read too.
const READ_INTERVAL: Duration = Duration::from_millis(400);

/// The most time to read a whole stream.
const READ_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The pause after a throttled read. After a response of 10 MB, Kinesis throttles reads of the shard for five seconds
/// (Kinesis API reference, `GetRecords`).
const THROTTLED_INTERVAL: Duration = Duration::from_secs(1);

/// The error codes of a throttled read (same source).
const THROTTLED: [&str; 2] = [
    "ProvisionedThroughputExceededException",
    "KMSThrottlingException",
];

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

/// The part of the stream to search, and how long the search may take.
#[derive(Clone, Copy, Debug)]
pub struct StreamSearch {
    /// Skip records that Kinesis accepted before this time.
    pub since: Option<Timestamp>,
    /// Stop at records that Kinesis accepted at this time. A busy shard has no other end: records arrive faster than they
    /// are read.
    pub until: Timestamp,
    /// Stop at this time, whatever was reached.
    pub deadline: Instant,
}

/// The result of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundRecords {
    pub records: Vec<StreamRecord>,
    /// If the deadline ended the search: records after this time were not searched.
    pub searched_until: Option<Timestamp>,
}

/// Searches the records of a notification, in the shards that can hold its partition key.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn find_records(
    stack: &Stack,
    id: &str,
    search: StreamSearch,
) -> Result<FoundRecords, StackError> {
    let mut found = FoundRecords::default();
    let stream = &stack.outputs.stream;
    for shard in list_shards(stack, stream).await? {
        if !can_hold(&shard, id) {
            continue;
        }
        let name = shard.shard_id();
        let first = get_iterator(stack, stream, name, search.since).await?;
        let read = |iterator| read_page(stack, iterator);
        let mut keep = |record: &Record| {
            if record.partition_key() == Some(id) {
                found.records.push(StreamRecord::from_sdk(name, record));
            }
        };
        let reached = read_shard(first, search, read, &mut keep).await?;
        found.searched_until = found.searched_until.into_iter().chain(reached).min();
    }
    found.records.sort_by_key(|record| record.at);
    Ok(found)
}

/// Reads every record of the stream up to now, shard by shard in the shard's order. Returns them with the shard's id.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_records(
    clients: &Clients,
    stream: &str,
) -> Result<Vec<(String, Record)>, StackError> {
    let search = StreamSearch {
        since: None,
        until: Timestamp::now(),
        deadline: Instant::now() + READ_LIMIT,
    };
    let mut records = Vec::new();
    for shard in list_shards(clients, stream).await? {
        let name = shard.shard_id();
        let first = get_iterator(clients, stream, name, None).await?;
        let read = |iterator| read_page(clients, iterator);
        let mut keep = |record: &Record| records.push((name.to_owned(), record.clone()));
        if read_shard(first, search, read, &mut keep).await?.is_some() {
            return Err(StackError::Call {
                call: "GetRecords",
                reason: "the stream is too long to be read".to_owned(),
            });
        }
    }
    Ok(records)
}

/// Lists all shards that still have records, including closed ones.
async fn list_shards(clients: &Clients, stream: &str) -> Result<Vec<Shard>, StackError> {
    let filter = ShardFilter::builder()
        .r#type(ShardFilterType::FromTrimHorizon)
        .build()
        .map_err(|error| StackError::Call {
            call: "ListShards",
            reason: error.to_string(),
        })?;
    let (mut shards, mut next) = (Vec::new(), None);
    loop {
        let list = clients.kinesis.list_shards();
        // A token replaces the stream name and the filter (Kinesis API reference, ListShards).
        let list = match next {
            None => list.stream_name(stream).shard_filter(filter.clone()),
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

/// One response of `GetRecords`.
struct Page {
    records: Vec<Record>,
    /// How far the page is behind the newest record.
    behind: SignedDuration,
    next: Option<String>,
}

async fn read_page(clients: &Clients, iterator: String) -> Result<Page, StackError> {
    let page = clients.kinesis.get_records().shard_iterator(iterator);
    let page = page.send().await;
    let page = page.map_err(|error| StackError::from_sdk("GetRecords", &error))?;
    Ok(Page {
        records: page.records,
        behind: SignedDuration::from_millis(page.millis_behind_latest.unwrap_or(0)),
        next: page.next_shard_iterator,
    })
}

/// Reads a shard until `search` ends. Returns the time up to which it was read, if the deadline ended it.
async fn read_shard<F: Future<Output = Result<Page, StackError>>>(
    first: Option<String>,
    search: StreamSearch,
    read: impl Fn(String) -> F,
    keep: &mut impl FnMut(&Record),
) -> Result<Option<Timestamp>, StackError> {
    let (mut next, mut reached) = (first, search.since.unwrap_or_default());
    while let Some(iterator) = next {
        if Instant::now() >= search.deadline {
            return Ok(Some(reached));
        }
        let page = match read(iterator.clone()).await {
            Err(StackError::Call { reason, .. }) if THROTTLED.contains(&reason.as_str()) => {
                next = Some(iterator);
                tokio::time::sleep(THROTTLED_INTERVAL).await;
                continue;
            }
            page => page?,
        };
        page.records.iter().for_each(&mut *keep);
        // An empty page alone is not the end: there may be records further on.
        let is_tip = page.behind.is_zero();
        reached = Timestamp::now().checked_sub(page.behind).unwrap_or(reached);
        next = page.next.filter(|_| !is_tip && reached < search.until);
        if next.is_some() {
            tokio::time::sleep(READ_INTERVAL).await;
        }
    }
    Ok(None)
}

async fn get_iterator(
    clients: &Clients,
    stream: &str,
    shard: &str,
    since: Option<Timestamp>,
) -> Result<Option<String>, StackError> {
    let request = clients
        .kinesis
        .get_shard_iterator()
        .stream_name(stream)
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

    fn search(until: Timestamp, seconds: u64) -> StreamSearch {
        StreamSearch {
            since: None,
            until,
            deadline: Instant::now() + Duration::from_secs(seconds),
        }
    }

    fn page(behind: i64) -> Page {
        Page {
            records: Vec::new(),
            behind: SignedDuration::from_secs(behind),
            next: Some("next".to_owned()),
        }
    }

    /// Reads a shard that gives these answers, the last one for ever. Returns the result and the number of reads.
    async fn read_answers(
        search: StreamSearch,
        answer: impl Fn(usize) -> Result<Page, StackError>,
    ) -> (Result<Option<Timestamp>, StackError>, usize) {
        let reads = std::cell::Cell::new(0);
        let read = |_| {
            reads.set(reads.get() + 1);
            std::future::ready(answer(reads.get()))
        };
        let first = Some("first".to_owned());
        let reached = read_shard(first, search, read, &mut |_| ()).await;
        (reached, reads.get())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_while_kinesis_throttles_and_continues() {
        let throttled = || StackError::Call {
            call: "GetRecords",
            reason: THROTTLED[0].to_owned(),
        };
        let until = Timestamp::now();
        let answer = |read| match read {
            2..=6 => Err(throttled()),
            read => Ok(page(if read == 1 { 9 } else { 0 })),
        };
        let (reached, reads) = read_answers(search(until, 60), answer).await;
        assert_eq!((reached.unwrap(), reads), (None, 7));
        let other = |_| Err(StackError::AccessDenied { call: "GetRecords" });
        let (failed, reads) = read_answers(search(until, 60), other).await;
        assert!(failed.is_err() && reads == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stops_at_the_end_of_the_search_in_a_shard_without_end() {
        let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
        let answer = |read| Ok(page(if read < 3 { 7_200 } else { 3_000 }));
        let (reached, reads) = read_answers(search(hour_ago, 60), answer).await;
        assert_eq!((reached.unwrap(), reads), (None, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn reports_how_far_it_came_when_the_time_is_over() {
        let now = Timestamp::now();
        let (reached, _) = read_answers(search(now, 10), |_| Ok(page(7_200))).await;
        let reached = reached.unwrap().unwrap();
        assert!(
            reached < now - SignedDuration::from_secs(7_000),
            "{reached}"
        );
    }
}
