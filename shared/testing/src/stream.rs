//! The in-memory stream: models the shards, routing, order and limits of Kinesis, without faults.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use md5::{Digest as _, Md5};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::lock::lock;
use onewrite::error::ServiceError;
use onewrite::{
    limits::{MAX_PUT_RECORDS, MAX_PUT_RECORDS_BYTES, MAX_RECORD_BYTES},
    notification::NotificationId,
    stream::{EventStream, PutResult, Record, StreamError},
};

/// Models a Kinesis stream. The MD5 of the partition key selects the shard, and each shard keeps its records in the order
/// of storage. The records of one call are stored in their order, unless [`InMemoryStream::shuffling`] is used.
#[derive(Clone)]
pub struct InMemoryStream {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

struct State {
    shards: Vec<Shard>,
    stored: u64,
    shuffle: Option<StdRng>,
}

/// A shard and its records.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The shard id: `shardId-` and twelve digits.
    pub id: String,
    /// The shard that this one was split from. Consumers read the parent to its end first.
    pub parent: Option<String>,
    /// The range of hash keys that this shard stores.
    pub hash_keys: RangeInclusive<u128>,
    /// Whether the shard accepts new records.
    pub is_open: bool,
    /// The records, in the order of storage.
    pub records: Vec<StoredRecord>,
}

/// A record as a shard stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The sequence number. All have the same length, so they sort as numbers, across shards too.
    pub sequence_number: String,
    /// The id of the shard that stores the record.
    pub shard_id: String,
    /// The record that the producer put.
    pub record: Record,
    /// The time of storage.
    pub at: Timestamp,
}

impl InMemoryStream {
    /// Creates a stream whose shards (at least one) share the hash keys evenly.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        let count = u128::from(shards.max(1));
        let width = u128::MAX / count;
        let shards = (0..count)
            .map(|index| {
                let end = if index == count - 1 {
                    u128::MAX
                } else {
                    (index + 1) * width - 1
                };
                Shard::open(index as usize, index * width..=end, None)
            })
            .collect();
        let state = State {
            shards,
            stored: 0,
            shuffle: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock: Arc::new(Timestamp::now),
        }
    }

    /// Shuffles the records of each call, because PutRecords guarantees no order.
    #[must_use]
    pub fn shuffling(self, seed: u64) -> Self {
        lock(&self.state).shuffle = Some(StdRng::seed_from_u64(seed));
        self
    }

    /// Uses another clock for the time of storage.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            ..self
        }
    }

    /// Splits every open shard into two.
    pub fn split(&self) {
        let mut state = lock(&self.state);
        for index in 0..state.shards.len() {
            let next = state.shards.len();
            let shard = &mut state.shards[index];
            if !shard.is_open || shard.hash_keys.start() == shard.hash_keys.end() {
                continue;
            }
            shard.is_open = false;
            let (start, end) = (*shard.hash_keys.start(), *shard.hash_keys.end());
            let middle = start + (end - start) / 2;
            let parent = Some(shard.id.clone());
            let halves = [start..=middle, middle + 1..=end];
            for (offset, hash_keys) in halves.into_iter().enumerate() {
                let shard = Shard::open(next + offset, hash_keys, parent.clone());
                state.shards.push(shard);
            }
        }
    }

    /// Returns all shards, including closed ones, parents before their children.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        lock(&self.state).shards.clone()
    }

    /// Returns all records, in the order in which they were stored.
    #[must_use]
    pub fn records(&self) -> Vec<StoredRecord> {
        self.records_since(0)
    }

    /// Skips the first `count` records and returns the rest, in the order in which they were stored.
    #[must_use]
    pub fn records_since(&self, count: u64) -> Vec<StoredRecord> {
        let state = lock(&self.state);
        if count >= state.stored {
            return Vec::new();
        }
        let last = sequence_number(count);
        let behind = |shard: &Shard| {
            let records = &shard.records;
            let from = records.partition_point(|record| record.sequence_number <= last);
            records[from..].to_vec()
        };
        let mut records: Vec<_> = state.shards.iter().flat_map(behind).collect();
        records.sort_by(|one, other| one.sequence_number.cmp(&other.sequence_number));
        records
    }

    /// Returns at most `limit` records of a shard and whether the shard ends with them. Starts after the sequence number
    /// `after`, or at the start of the shard. Returns `None` if the shard does not exist.
    #[must_use]
    pub fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Option<(Vec<StoredRecord>, bool)> {
        let state = lock(&self.state);
        let shard = state.shards.iter().find(|other| other.id == shard)?;
        let is_before = |record: &StoredRecord| {
            after.is_some_and(|number| record.sequence_number.as_str() <= number)
        };
        let rest = &shard.records[shard.records.partition_point(is_before)..];
        let records = &rest[..limit.min(rest.len())];
        let is_end = !shard.is_open && records.len() == rest.len();
        Some((records.to_vec(), is_end))
    }

    /// Returns the id and the parent of each shard, including closed ones.
    #[must_use]
    pub fn describe(&self) -> Vec<(String, Option<String>)> {
        let state = lock(&self.state);
        let shards = state.shards.iter();
        shards
            .map(|shard| (shard.id.clone(), shard.parent.clone()))
            .collect()
    }
}

impl EventStream for InMemoryStream {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let bytes: usize = records.iter().map(Record::bytes).sum();
        let within_limits = (1..=MAX_PUT_RECORDS).contains(&records.len())
            && bytes <= MAX_PUT_RECORDS_BYTES
            && records.iter().all(|r| r.bytes() <= MAX_RECORD_BYTES);
        if !within_limits {
            return Err(StreamError::Service(ServiceError::Refused {
                code: "ValidationException".to_owned(),
            }));
        }
        let mut state = lock(&self.state);
        let mut order: Vec<_> = records.iter().enumerate().collect();
        if let Some(rng) = &mut state.shuffle {
            order.shuffle(rng);
        }
        let mut puts: Vec<_> = order
            .into_iter()
            .map(|(place, record)| (place, state.store(record, (self.clock)())))
            .collect();
        puts.sort_by_key(|(place, _)| *place);
        Ok(puts.into_iter().map(|(_, put)| put).collect())
    }
}

impl State {
    fn store(&mut self, record: &Record, at: Timestamp) -> PutResult {
        let hash_key = hash_key(&record.id);
        let Some(shard) = self
            .shards
            .iter_mut()
            .find(|shard| shard.is_open && shard.hash_keys.contains(&hash_key))
        else {
            unreachable!("the open shards share all hash keys");
        };
        self.stored += 1;
        let stored = StoredRecord {
            sequence_number: sequence_number(self.stored),
            shard_id: shard.id.clone(),
            record: record.clone(),
            at,
        };
        let put = PutResult::Confirmed {
            shard_id: stored.shard_id.clone(),
            sequence_number: stored.sequence_number.clone(),
        };
        shard.records.push(stored);
        put
    }
}

impl Shard {
    fn open(number: usize, hash_keys: RangeInclusive<u128>, parent: Option<String>) -> Self {
        Self {
            id: format!("shardId-{number:012}"),
            parent,
            hash_keys,
            is_open: true,
            records: Vec::new(),
        }
    }
}

fn sequence_number(count: u64) -> String {
    format!("49{count:054}")
}

/// MD5 of the partition key as a 128-bit number (Kinesis API reference, `PutRecordsRequestEntry`).
fn hash_key(id: &NotificationId) -> u128 {
    u128::from_be_bytes(Md5::digest(id.as_str()).into())
}
