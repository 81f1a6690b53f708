//! A reference model of a stream: shards that split and merge, sequence numbers, iterators, retention (rules D1, D5, D6,
//! D19, D20, K3, K4).
//!
//! It keeps what readers may rely on and nothing more: a read may end early, or with nothing although more is there.

use std::collections::BTreeMap;

use crate::Millis;
use crate::choices::{Mixer, stable_hash};
use crate::mapping::StreamKind;
use crate::stream::{
    DYNAMODB_READ_RECORDS, KINESIS_READ_RECORDS, Position, ShardDescription, StreamRecord,
};

/// How long DynamoDB Streams keeps a record: 24 hours (D19).
pub const DYNAMODB_RETENTION: Millis = 24 * 3_600 * 1_000;
/// How long Kinesis keeps a record unless told otherwise: 24 hours (K3).
pub const KINESIS_RETENTION: Millis = 24 * 3_600 * 1_000;

/// What a stream is like.
#[derive(Debug, Clone, Copy)]
pub struct StreamSettings {
    /// Whose stream it is.
    pub kind: StreamKind,
    /// How long records are kept.
    pub retention: Millis,
    /// How long an iterator lives.
    pub iterator_life: Millis,
    /// The most records of a read.
    pub read_records: usize,
    /// The most bytes of a read.
    pub read_bytes: usize,
    /// One read in so many returns nothing although there is something (0: none), as both services may (D1).
    pub empty_one_in: u32,
}

impl StreamSettings {
    /// As the service documents its own (D1, D19, D20, K3).
    #[must_use]
    pub fn new(kind: StreamKind) -> Self {
        const MIB: usize = 1024 * 1024;
        let (retention, minutes, read_records, read_bytes) = match kind {
            StreamKind::DynamoDb => (DYNAMODB_RETENTION, 15, DYNAMODB_READ_RECORDS, MIB),
            StreamKind::Kinesis => (KINESIS_RETENTION, 5, KINESIS_READ_RECORDS, 10 * MIB),
        };
        Self {
            kind,
            retention,
            iterator_life: minutes * 60 * 1_000,
            read_records: read_records as usize,
            read_bytes,
            empty_one_in: 0,
        }
    }
}

/// A place in a shard that lives for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterator {
    shard: String,
    /// Records of the shard before this one are behind it.
    index: u64,
    expires: Millis,
}

/// What a read returned.
#[derive(Debug, Clone)]
pub struct Read {
    /// The records, in order.
    pub records: Vec<StreamRecord>,
    /// Where to go on; none at the end of a closed shard.
    pub next: Option<Iterator>,
}

/// Why a read or an iterator is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// `ResourceNotFoundException`.
    #[error("there is no such shard")]
    NoSuchShard,
    /// `TrimmedDataAccessException`: what comes next was there, and is no longer.
    #[error("the records are older than the stream keeps them")]
    Trimmed,
    /// `ExpiredIteratorException`.
    #[error("the iterator has expired")]
    Expired,
}

struct Shard {
    parents: Vec<String>,
    /// The hashes it takes, both ends included.
    hashes: (u64, u64),
    closed: Option<Millis>,
    records: Vec<StreamRecord>,
    /// Records of it that are trimmed.
    trimmed: u64,
}

/// A stream.
pub struct Stream {
    settings: StreamSettings,
    shards: BTreeMap<String, Shard>,
    sequence: u64,
    mixer: Mixer,
}

impl Stream {
    /// A stream of so many open shards, at least one; `seed` decides which reads return nothing.
    #[must_use]
    pub fn new(settings: StreamSettings, shards: u64, seed: u64) -> Self {
        let mut stream = Self {
            settings,
            shards: BTreeMap::new(),
            sequence: 0,
            mixer: Mixer::new(seed),
        };
        let shards = shards.max(1);
        let width = u64::MAX / shards;
        for index in 0..shards {
            let last = if index + 1 == shards {
                u64::MAX
            } else {
                (index + 1) * width - 1
            };
            stream.open((index * width, last), Vec::new());
        }
        stream
    }

    fn open(&mut self, hashes: (u64, u64), parents: Vec<String>) -> String {
        let id = format!("shardId-{:012}", self.shards.len());
        let shard = Shard {
            parents,
            hashes,
            closed: None,
            records: Vec::new(),
            trimmed: 0,
        };
        self.shards.insert(id.clone(), shard);
        id
    }

    /// Appends a record to the shard of its key. `event` makes its JSON from the shard and the sequence number.
    /// Returns both.
    pub fn put(
        &mut self,
        now: Millis,
        key: &str,
        event: impl FnOnce(&str, &str) -> String,
    ) -> (String, String) {
        self.sequence += 1;
        // Kinesis' are not padded, so that they outgrow each other (K6); DynamoDB's have at least 21 digits (D27).
        let sequence_number = match self.settings.kind {
            StreamKind::DynamoDb => format!("{:021}", self.sequence),
            StreamKind::Kinesis => self.sequence.to_string(),
        };
        let hash = stable_hash(key, 0);
        let open = self.shards.iter_mut().find(|(_, shard)| {
            shard.closed.is_none() && (shard.hashes.0..=shard.hashes.1).contains(&hash)
        });
        let Some((id, shard)) = open else {
            unreachable!("the open shards take every hash");
        };
        shard.records.push(StreamRecord {
            event: event(id, &sequence_number),
            sequence_number: sequence_number.clone(),
            key: key.to_owned(),
            arrived: now,
        });
        (id.clone(), sequence_number)
    }

    /// Closes an open shard and opens two that take its hashes. Returns these; none where it is not open.
    pub fn split(&mut self, now: Millis, id: &str) -> Option<(String, String)> {
        let shard = self.shards.get_mut(id)?;
        let (first, last) = shard.hashes;
        if shard.closed.is_some() || first == last {
            return None;
        }
        shard.closed = Some(now);
        let middle = first + (last - first) / 2;
        let parents = vec![id.to_owned()];
        let low = self.open((first, middle), parents.clone());
        let high = self.open((middle + 1, last), parents);
        Some((low, high))
    }

    /// Closes two open shards whose hashes adjoin and opens one that takes them all. Returns that; none where they
    /// cannot be merged.
    pub fn merge(&mut self, now: Millis, low: &str, high: &str) -> Option<String> {
        let open = |id: &str| {
            let shard = self.shards.get(id)?;
            shard.closed.is_none().then_some(shard.hashes)
        };
        let ((first, middle), (next, last)) = (open(low)?, open(high)?);
        if middle.checked_add(1) != Some(next) {
            return None;
        }
        for id in [low, high] {
            self.shards.get_mut(id)?.closed = Some(now);
        }
        Some(self.open((first, last), vec![low.to_owned(), high.to_owned()]))
    }

    /// Drops what is older than the stream keeps it.
    pub fn trim(&mut self, now: Millis) {
        let oldest = now.saturating_sub(self.settings.retention);
        for shard in self.shards.values_mut() {
            let before = shard.records.len();
            shard.records.retain(|record| record.arrived >= oldest);
            shard.trimmed += (before - shard.records.len()) as u64;
        }
    }

    /// The shards that the stream describes: open ones, and closed ones that closed no longer ago than records are
    /// kept.
    #[must_use]
    pub fn list(&self, now: Millis) -> Vec<ShardDescription> {
        let oldest = now.saturating_sub(self.settings.retention);
        self.shards
            .iter()
            .filter(|(_, shard)| shard.closed.is_none_or(|closed| closed >= oldest))
            .map(|(id, shard)| ShardDescription {
                id: id.clone(),
                parents: shard.parents.clone(),
            })
            .collect()
    }

    /// The shards that are open.
    #[must_use]
    pub fn open_shards(&self) -> Vec<String> {
        let open = self
            .shards
            .iter()
            .filter(|(_, shard)| shard.closed.is_none());
        open.map(|(id, _)| id.clone()).collect()
    }

    /// An iterator at a position.
    ///
    /// # Errors
    /// [`ReadError::NoSuchShard`], [`ReadError::Trimmed`].
    pub fn iterator(
        &self,
        now: Millis,
        id: &str,
        position: &Position,
    ) -> Result<Iterator, ReadError> {
        let shard = self.shards.get(id).ok_or(ReadError::NoSuchShard)?;
        let behind = |is_behind: &dyn Fn(&StreamRecord) -> bool| {
            shard.trimmed + shard.records.partition_point(is_behind) as u64
        };
        let index = match position {
            Position::TrimHorizon => shard.trimmed,
            Position::Latest => shard.trimmed + shard.records.len() as u64,
            Position::AtTimestamp(at) => behind(&|record| record.arrived < *at),
            Position::After(number) => {
                let is_behind = |record: &StreamRecord| {
                    crate::report::compare_sequence_numbers(&record.sequence_number, number).is_le()
                };
                let index = behind(&is_behind);
                // The record itself is gone, and what came right behind it may be.
                if index == shard.trimmed && index > 0 {
                    return Err(ReadError::Trimmed);
                }
                index
            }
        };
        Ok(self.at(now, id, index))
    }

    fn at(&self, now: Millis, id: &str, index: u64) -> Iterator {
        Iterator {
            shard: id.to_owned(),
            index,
            expires: now + self.settings.iterator_life,
        }
    }

    /// Reads on from an iterator, at most `limit` records.
    ///
    /// # Errors
    /// [`ReadError::Expired`], [`ReadError::Trimmed`].
    pub fn read(
        &mut self,
        now: Millis,
        iterator: &Iterator,
        limit: usize,
    ) -> Result<Read, ReadError> {
        if now >= iterator.expires {
            return Err(ReadError::Expired);
        }
        let one_in = self.settings.empty_one_in;
        let is_empty = one_in > 0 && self.mixer.one_in(one_in);
        let shard = self
            .shards
            .get(&iterator.shard)
            .ok_or(ReadError::NoSuchShard)?;
        let behind = iterator
            .index
            .checked_sub(shard.trimmed)
            .ok_or(ReadError::Trimmed)?;
        let rest = shard.records.iter().skip(behind as usize);
        let mut bytes = 0;
        let fits = |record: &&StreamRecord| {
            bytes += record.event.len();
            bytes == record.event.len() || bytes <= self.settings.read_bytes
        };
        let most = if is_empty {
            0
        } else {
            limit.min(self.settings.read_records)
        };
        let records: Vec<StreamRecord> = rest.take(most).take_while(fits).cloned().collect();
        let index = iterator.index + records.len() as u64;
        let is_end = shard.closed.is_some() && index == shard.trimmed + shard.records.len() as u64;
        let next = (!is_end).then(|| self.at(now, &iterator.shard, index));
        Ok(Read { records, next })
    }
}

#[cfg(test)]
mod tests;
