//! One shard: what was read of it, in its lanes, and the checkpoint, which is behind every record that is done with
//! before the first that is not.

use std::collections::VecDeque;

use super::batch::{Lane, PendingRecord};
use super::contract::{CallId, Position};
use super::record::StreamRecord;
use crate::Millis;
use crate::choices::{Choices, stable_hash};
use crate::mapping::StreamMapping;

/// The most records that are read beyond the checkpoint. AWS names no figure; it bounds memory where one lane fails for
/// long while the others go on (Q11).
const READ_AHEAD: usize = 20_000;

/// How far a shard is done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing is done with: it is read from here.
    From(Position),
    /// The record of this sequence number and all before it are done with.
    Through(String),
    /// The shard is closed, and all of it is done with.
    Finished,
}

struct Slot {
    sequence_number: String,
    done: bool,
}

pub(super) struct Shard {
    pub(super) parents: Vec<String>,
    pub(super) progress: Progress,
    /// Where to read next.
    pub(super) position: Position,
    /// Nothing is left to read.
    pub(super) ended: bool,
    pub(super) read: Option<CallId>,
    /// When it may be read again.
    pub(super) read_after: Millis,
    pub(super) read_pause: Millis,
    pub(super) lanes: Vec<Lane>,
    /// Every record from the checkpoint to the last that was read.
    slots: VecDeque<Slot>,
    /// The place of the first slot.
    first_place: u64,
    /// Slots that are not done.
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

    /// Forgets what was read and is not done with; answers to what is under way find nothing.
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

    /// Records that were read and are not done with.
    pub(super) fn records(&self) -> usize {
        self.open
    }

    /// Whether everything that was read is done with.
    pub(super) fn is_drained(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether more is wanted than was read.
    pub(super) fn has_room(&self, mapping: &StreamMapping) -> bool {
        let wants_more = |lane: &Lane| lane.waiting() < mapping.batch_size;
        self.slots.len() < READ_AHEAD && self.lanes.iter().any(wants_more)
    }

    /// Takes what was read; what the filters drop is done with at once (D24). Returns how many were dropped.
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

    /// These records are done with.
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

    /// What was read next is gone: reading goes on with the oldest record there is (D20).
    pub(super) fn trimmed(&mut self) {
        self.position = Position::TrimHorizon;
        if self.slots.is_empty() {
            self.progress = Progress::From(Position::TrimHorizon);
        }
    }
}

/// The lane of a key: always the same, and any other hash would do as well (Q18).
fn lane_of(key: &str, lanes: usize, seed: u64) -> usize {
    (stable_hash(key, seed) % lanes.max(1) as u64) as usize
}
