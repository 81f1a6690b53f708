//! A reference model of a stream: shards that split and merge, sequence numbers, iterators and retention (rules D1,
//! D5, D6, D19, D20, K3, K4).
//!
//! It implements what readers may rely on and nothing more: a read may end early, or return nothing although there
//! are records.

use std::collections::BTreeMap;

use crate::Millis;
use crate::choices::{Mixer, stable_hash};
use crate::mapping::StreamKind;
use crate::stream::{
    DYNAMODB_READ_RECORDS, KINESIS_READ_RECORDS, Position, ShardDescription, StreamRecord,
};

/// The retention of DynamoDB Streams: 24 hours (D19).
pub const DYNAMODB_RETENTION: Millis = 24 * 3_600 * 1_000;
/// The default retention of Kinesis: 24 hours (K3).
pub const KINESIS_RETENTION: Millis = 24 * 3_600 * 1_000;

/// The settings of a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamSettings {
    pub kind: StreamKind,
    pub retention: Millis,
    pub iterator_life: Millis,
    pub read_records: usize,
    pub read_bytes: usize,
    /// One in this many reads returns nothing although there are records (0: none), as in both services (D1).
    pub empty_one_in: u32,
}

impl StreamSettings {
    /// Creates the settings that the service documents (D1, D19, D20, K3).
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

/// A position in a shard that expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterator {
    shard: String,
    /// The index of the next record in the shard.
    index: u64,
    expires: Millis,
}

/// The response to a read.
#[derive(Debug, Clone)]
pub struct Read {
    pub records: Vec<StreamRecord>,
    /// The iterator of the next read; `None` at the end of a closed shard.
    pub next: Option<Iterator>,
}

/// The reason why a read or an iterator was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// `ResourceNotFoundException`.
    #[error("the shard does not exist")]
    NoSuchShard,
    /// `TrimmedDataAccessException`: the next record is no longer in the stream.
    #[error("the records are older than the retention of the stream")]
    Trimmed,
    /// `ExpiredIteratorException`.
    #[error("the iterator has expired")]
    Expired,
}

struct Shard {
    parents: Vec<String>,
    /// The range of hashes, both ends included.
    hashes: (u64, u64),
    closed: Option<Millis>,
    records: Vec<StreamRecord>,
    /// The number of trimmed records.
    trimmed: u64,
}

pub struct Stream {
    settings: StreamSettings,
    shards: BTreeMap<String, Shard>,
    sequence: u64,
    mixer: Mixer,
}

impl Stream {
    /// Creates a stream with this many open shards (at least one). `seed` decides which reads return nothing.
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

    /// Appends a record to the shard of its key. `event` creates its JSON from the shard and the sequence number.
    /// Returns both.
    pub fn put(
        &mut self,
        now: Millis,
        key: &str,
        event: impl FnOnce(&str, &str) -> String,
    ) -> (String, String) {
        self.sequence += 1;
        // Kinesis does not pad them, so their lengths differ (K6); DynamoDB uses at least 21 digits (D27).
        let sequence_number = match self.settings.kind {
            StreamKind::DynamoDb => format!("{:021}", self.sequence),
            StreamKind::Kinesis => self.sequence.to_string(),
        };
        let hash = stable_hash(key, 0);
        let open = self.shards.iter_mut().find(|(_, shard)| {
            shard.closed.is_none() && (shard.hashes.0..=shard.hashes.1).contains(&hash)
        });
        let Some((id, shard)) = open else {
            unreachable!("open shards cover every hash");
        };
        shard.records.push(StreamRecord {
            event: event(id, &sequence_number),
            sequence_number: sequence_number.clone(),
            key: key.to_owned(),
            arrived: now,
        });
        (id.clone(), sequence_number)
    }

    /// Closes an open shard and opens two for its hashes. Returns them, or `None` if the shard cannot be split.
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

    /// Closes two open shards with adjacent hashes and opens one for both. Returns it, or `None` if they cannot be
    /// merged.
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

    /// Drops records that are older than the retention.
    pub fn trim(&mut self, now: Millis) {
        let oldest = now.saturating_sub(self.settings.retention);
        for shard in self.shards.values_mut() {
            let before = shard.records.len();
            shard.records.retain(|record| record.arrived >= oldest);
            shard.trimmed += (before - shard.records.len()) as u64;
        }
    }

    /// Lists the open shards, and the shards that closed within the retention.
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

    /// Lists the open shards.
    #[must_use]
    pub fn open_shards(&self) -> Vec<String> {
        let open = self
            .shards
            .iter()
            .filter(|(_, shard)| shard.closed.is_none());
        open.map(|(id, _)| id.clone()).collect()
    }

    /// Creates an iterator at a position.
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
                // The record itself is trimmed, and its successors may be too.
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

    /// Reads at most `limit` records from an iterator.
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
