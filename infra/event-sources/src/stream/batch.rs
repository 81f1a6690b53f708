//! The records that wait in a lane, and its batches.

use std::collections::VecDeque;

use super::contract::{InvocationId, Span};
use super::record::StreamRecord;
use crate::Millis;
use crate::choices::Choices;
use crate::invocation::{self, EMPTY_EVENT_BYTES, MAX_EVENT_BYTES};

/// A record that was read and is not processed yet.
pub(super) struct PendingRecord {
    pub(super) record: StreamRecord,
    /// The position of the record in its shard.
    pub(super) place: u64,
}

/// The records of one invocation.
pub(super) struct Batch {
    pub(super) records: Vec<PendingRecord>,
    /// The failed attempts: invocations that ran the function with this batch (D9, D14).
    pub(super) runs: u64,
    /// The request id of the last invocation.
    pub(super) request_id: Option<String>,
    /// The earliest time of the next invocation.
    pub(super) not_before: Millis,
    pause: Millis,
    /// Whether earlier records of the batch succeeded.
    pub(super) is_remainder: bool,
}

impl Batch {
    pub(super) fn new(records: Vec<PendingRecord>, choices: &Choices) -> Self {
        Self {
            records,
            runs: 0,
            request_id: None,
            not_before: 0,
            pause: choices.retry_base_millis,
            is_remainder: false,
        }
    }

    /// Pauses before the next invocation, longer each time (Q6).
    pub(super) fn wait(&mut self, now: Millis, choices: &Choices) {
        self.not_before = now + self.pause;
        self.pause = next_pause(self.pause, choices);
    }

    /// Removes the processed records before `index`. The number of attempts starts again (D14).
    pub(super) fn split_off_processed(
        &mut self,
        index: usize,
        choices: &Choices,
    ) -> Vec<PendingRecord> {
        let rest = self.records.split_off(index);
        let done = std::mem::replace(&mut self.records, rest);
        if !done.is_empty() {
            self.runs = 0;
            self.pause = choices.retry_base_millis;
            self.is_remainder = true;
        }
        done
    }

    /// Splits the batch into halves (D15, Q7, Q8). A batch of one record stays whole.
    pub(super) fn bisect(mut self, choices: &Choices) -> (Self, Option<Self>) {
        let count = self.records.len();
        let cut = if choices.bisect_round_up {
            count.div_ceil(2)
        } else {
            count / 2
        };
        let rest = self.records.split_off(cut.max(1));
        let runs = if choices.bisect_carries_attempts {
            self.runs
        } else {
            0
        };
        let second = Self {
            records: rest,
            runs,
            request_id: self.request_id.clone(),
            ..Self::new(Vec::new(), choices)
        };
        self.runs = runs;
        (
            self,
            Some(second).filter(|second| !second.records.is_empty()),
        )
    }

    pub(super) fn sequence_numbers(&self) -> Vec<String> {
        self.records
            .iter()
            .map(|record| record.record.sequence_number.clone())
            .collect()
    }
}

/// Doubles a pause, up to the maximum.
pub(super) fn next_pause(pause: Millis, choices: &Choices) -> Millis {
    pause
        .saturating_mul(2)
        .clamp(1, choices.retry_cap_millis.max(1))
}

pub(super) fn event(records: &[PendingRecord]) -> String {
    invocation::event(records.iter().map(|record| record.record.event.as_str()))
}

/// Returns the range of these records; there is at least one.
pub(super) fn span(shard: &str, records: &[PendingRecord]) -> Span {
    let number = |record: Option<&PendingRecord>| {
        record
            .map(|record| record.record.sequence_number.clone())
            .unwrap_or_default()
    };
    Span {
        shard: shard.to_owned(),
        first: number(records.first()),
        last: number(records.last()),
        count: records.len(),
    }
}

/// Records of a shard that are processed in order: the whole shard, or all keys with the same hash (D7, K7). A lane
/// has one batch in flight at a time.
#[derive(Default)]
pub(super) struct Lane {
    /// Records that are in no batch yet.
    waiting: VecDeque<PendingRecord>,
    /// The size of the waiting records in an event.
    waiting_bytes: usize,
    /// Failed batches to retry, in order, before the waiting records.
    pub(super) retries: VecDeque<Batch>,
    pub(super) running: Option<(InvocationId, Batch)>,
    /// Whether a failure record about records of this lane is in flight.
    pub(super) notifying: bool,
    window_opened: Option<Millis>,
}

impl Lane {
    /// Returns whether a batch or a failure record is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.notifying || self.running.is_some()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, now: Millis, window: Millis, record: PendingRecord) {
        let is_open = self
            .window_opened
            .is_some_and(|opened| !self.waiting.is_empty() || now < opened + window);
        if !is_open {
            self.window_opened = Some(now);
        }
        self.waiting_bytes += bytes(&record);
        self.waiting.push_back(record);
    }

    /// Opens a new window at the end of an invocation (X11).
    pub(super) fn open_window(&mut self, now: Millis) {
        self.window_opened = Some(now);
    }

    /// Returns when the next batch is due, if there is one and nothing is in flight.
    pub(super) fn due_at(&self, batch_size: usize, window: Millis) -> Option<Millis> {
        if self.is_busy() {
            return None;
        }
        if let Some(batch) = self.retries.front() {
            return Some(batch.not_before);
        }
        if self.waiting.is_empty() {
            return None;
        }
        let is_full = self.waiting.len() >= batch_size
            || self.waiting_bytes + EMPTY_EVENT_BYTES > MAX_EVENT_BYTES;
        let window = if is_full { 0 } else { window };
        Some(self.window_opened.unwrap_or(0) + window)
    }

    /// Removes the batch that is due.
    pub(super) fn remove_due(&mut self, batch_size: usize, choices: &Choices) -> Option<Batch> {
        if let Some(mut batch) = self.retries.pop_front() {
            // Q9, the other answer.
            if choices.top_up_retries && batch.is_remainder && self.retries.is_empty() {
                self.fill(&mut batch, batch_size);
            }
            return Some(batch);
        }
        let mut batch = Batch::new(Vec::new(), choices);
        self.fill(&mut batch, batch_size);
        (!batch.records.is_empty()).then_some(batch)
    }

    /// Adds waiting records to a batch while it has room (D3). A record that is too large for any event is sent
    /// alone.
    fn fill(&mut self, batch: &mut Batch, batch_size: usize) {
        let mut total = EMPTY_EVENT_BYTES + batch.records.iter().map(bytes).sum::<usize>();
        while batch.records.len() < batch_size
            && let Some(record) = self.waiting.pop_front()
        {
            let bytes = bytes(&record);
            if !batch.records.is_empty() && total + bytes > MAX_EVENT_BYTES {
                self.waiting.push_front(record);
                break;
            }
            total += bytes;
            self.waiting_bytes -= bytes;
            batch.records.push(record);
        }
    }
}

/// The size of a record and its comma.
fn bytes(record: &PendingRecord) -> usize {
    record.record.event.len() + 1
}
