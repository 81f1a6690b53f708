//! One shard: the records in its lanes, and its checkpoint, which is before the first unprocessed record.

use std::collections::VecDeque;

use super::batch::{Lane, PendingRecord};
use super::contract::{CallId, Position};
use super::record::StreamRecord;
use crate::Millis;
use crate::choices::{Choices, stable_hash};
use crate::mapping::StreamMapping;

/// The maximum number of records that are read beyond the checkpoint. AWS documents no number. It bounds memory if
/// one lane fails for long while the others continue (Q11).
const READ_AHEAD: usize = 20_000;

/// The checkpoint of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing is processed; reading starts here.
    From(Position),
    /// The record with this sequence number and all before it are processed.
    Through(String),
    /// The shard is closed and all of its records are processed.
    Finished,
}

struct Slot {
    sequence_number: String,
    done: bool,
}

pub(super) struct Shard {
    pub(super) parents: Vec<String>,
    pub(super) progress: Progress,
    /// The position of the next read.
    pub(super) position: Position,
    /// Whether nothing is left to read.
    pub(super) ended: bool,
    pub(super) read: Option<CallId>,
    /// The earliest time of the next read.
    pub(super) read_after: Millis,
    pub(super) read_pause: Millis,
    pub(super) lanes: Vec<Lane>,
    /// Every record from the checkpoint to the last one that was read.
    slots: VecDeque<Slot>,
    /// The position of the first slot.
    first_place: u64,
    /// The number of unprocessed slots.
    open: usize,
}

impl Shard {
    pub(super) fn new(
        parents: Vec<String>,
        progress: Progress,
        lanes: usize,
        choices: &Choices,
    ) -> Self {
        let mut shard = Self {
            parents,
            progress,
            position: Position::TrimHorizon,
            ended: false,
            read: None,
            read_after: 0,
            read_pause: choices.retry_base_millis,
            lanes: Vec::new(),
            slots: VecDeque::new(),
            first_place: 0,
            open: 0,
        };
        shard.rewind(lanes);
        shard
    }

    /// Forgets unprocessed records; results of what is in flight then find nothing.
    pub(super) fn rewind(&mut self, lanes: usize) {
        self.position = match &self.progress {
            Progress::From(position) => position.clone(),
            Progress::Through(sequence_number) => Position::After(sequence_number.clone()),
            Progress::Finished => Position::Latest,
        };
        self.ended = self.is_finished();
        self.read = None;
        self.lanes = (0..lanes.max(1)).map(|_| Lane::default()).collect();
        self.first_place += self.slots.len() as u64;
        self.slots.clear();
        self.open = 0;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.progress == Progress::Finished
    }

    /// The number of unprocessed records.
    pub(super) fn records(&self) -> usize {
        self.open
    }

    /// Returns whether all records that were read are processed.
    pub(super) fn is_drained(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns whether the shard has room for more records.
    pub(super) fn has_room(&self, mapping: &StreamMapping) -> bool {
        let wants_more = |lane: &Lane| lane.waiting() < mapping.batch_size;
        self.slots.len() < READ_AHEAD && self.lanes.iter().any(wants_more)
    }

    /// Adds records that were read. Records that the filters drop are processed at once (D24). Returns their number.
    pub(super) fn add_records(
        &mut self,
        now: Millis,
        records: Vec<StreamRecord>,
        mapping: &StreamMapping,
        seed: u64,
    ) -> usize {
        if let Some(last) = records.last() {
            self.position = Position::After(last.sequence_number.clone());
        }
        let mut dropped = 0;
        for record in records {
            let place = self.first_place + self.slots.len() as u64;
            let passes = mapping.filter_criteria.matches(&record.event);
            self.slots.push_back(Slot {
                sequence_number: record.sequence_number.clone(),
                done: !passes,
            });
            if passes {
                self.open += 1;
                let lane = lane_of(&record.key, self.lanes.len(), seed);
                self.lanes[lane].push(
                    now,
                    mapping.batching_window(),
                    PendingRecord { record, place },
                );
            } else {
                dropped += 1;
            }
        }
        self.advance();
        dropped
    }

    /// Marks records as processed and advances the checkpoint.
    pub(super) fn mark_processed(&mut self, places: impl IntoIterator<Item = u64>) {
        for place in places {
            let index = place
                .checked_sub(self.first_place)
                .and_then(|index| usize::try_from(index).ok());
            if let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) {
                self.open -= usize::from(!slot.done);
                slot.done = true;
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.done) {
            self.progress = Progress::Through(slot.sequence_number);
            self.first_place += 1;
        }
    }

    /// Handles a trimmed position: reading continues with the oldest record (D20).
    pub(super) fn trimmed(&mut self) {
        self.position = Position::TrimHorizon;
        if self.slots.is_empty() {
            self.progress = Progress::From(Position::TrimHorizon);
        }
    }
}

/// Returns the lane of a key: always the same one. AWS does not document its hash (Q18).
fn lane_of(key: &str, lanes: usize, seed: u64) -> usize {
    (stable_hash(key, seed) % lanes.max(1) as u64) as usize
}
