//! The poller of the shards of a stream, DynamoDB Streams or Kinesis, as a pure state machine (rules D1 to D27, K1 to
//! K10, X1 to X3, X10 to X12).
//!
//! [`StreamPoller::handle`] receives what happened and returns what to do next. It decides which shards to read, what
//! to filter, batch, invoke, retry, split and discard, and the checkpoint of each shard. The rules of the stream
//! itself (sequence numbers, shards that split, retention) are in [`crate::shards`].
//!
//! A record is processed for three reasons only: the function succeeded, the filters dropped the record, or it was
//! discarded with a failure record. The checkpoint of a shard is before its first unprocessed record (D8, Q11).

mod batch;
mod contract;
mod record;
mod results;
mod shard;

use std::collections::{BTreeMap, BTreeSet};

pub use contract::{
    Action, CallId, Finding, InFlight, Input, InvocationId, Position, ShardDescription, Span,
};
pub use record::{DynamoDbRecord, KinesisRecord, SourceInfo, StreamRecord};

use crate::Millis;
use crate::choices::{Choices, Mixer};
use crate::mapping::{Change, Lifecycle, StartingPosition, State, StreamKind, StreamMapping};
use batch::{Batch, next_pause};
use shard::{Progress, Shard};

/// The interval between reads of a DynamoDB Streams shard: 4 reads a second (D1).
pub const DYNAMODB_POLL_MILLIS: Millis = 250;
/// The interval between reads of a Kinesis shard: one read a second (K1).
pub const KINESIS_POLL_MILLIS: Millis = 1_000;
/// The maximum number of records of a DynamoDB Streams read (D1).
pub const DYNAMODB_READ_RECORDS: u32 = 1_000;
/// The maximum number of records of a Kinesis read (K3).
pub const KINESIS_READ_RECORDS: u32 = 10_000;
/// The interval between listings of the shards, unless a shard ends. AWS documents no number.
pub const LIST_MILLIS: Millis = 10_000;

/// The checkpoint of each shard of a mapping: what AWS keeps when a poller is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints {
    listed: bool,
    shards: BTreeMap<String, (Vec<String>, Progress)>,
}

/// The shard and lane of a batch in flight.
type Place = (String, usize);

struct PendingFailureRecord {
    shard: String,
    lane: usize,
    records: Span,
    places: Vec<u64>,
}

pub struct StreamPoller {
    mapping: StreamMapping,
    choices: Choices,
    mixer: Mixer,
    lifecycle: Lifecycle,
    /// The latest time passed in.
    now: Millis,
    last_id: u64,
    shards: BTreeMap<String, Shard>,
    /// Whether the shards were listed once. Shards that are found later are read from their start (Q17).
    listed: bool,
    listing: Option<CallId>,
    list_after: Millis,
    list_pause: Millis,
    running: BTreeMap<InvocationId, Place>,
    failure_records: BTreeMap<CallId, PendingFailureRecord>,
    /// After a disable or an update: batches in flight complete first, then all records that were read are forgotten.
    draining: bool,
    /// The settings that apply after draining.
    next_mapping: Option<StreamMapping>,
}

impl StreamPoller {
    /// Creates a poller that waits for [`Input::Enable`].
    #[must_use]
    pub fn new(mapping: StreamMapping, choices: Choices) -> Self {
        Self::resume(mapping, choices, &Checkpoints::default())
    }

    /// Creates a poller that continues from the checkpoints of a lost one.
    #[must_use]
    pub fn resume(mut mapping: StreamMapping, choices: Choices, checkpoints: &Checkpoints) -> Self {
        mapping.filter_criteria.apply(&choices);
        let lanes = mapping.parallelization_factor;
        let shards = checkpoints.shards.iter().map(|(id, (parents, progress))| {
            let shard = Shard::new(parents.clone(), progress.clone(), lanes, &choices);
            (id.clone(), shard)
        });
        Self {
            lifecycle: Lifecycle::new(mapping.enabled),
            mixer: Mixer::new(choices.seed),
            now: 0,
            last_id: 0,
            shards: shards.collect(),
            listed: checkpoints.listed,
            listing: None,
            list_after: 0,
            list_pause: choices.retry_base_millis,
            running: BTreeMap::new(),
            failure_records: BTreeMap::new(),
            draining: false,
            next_mapping: None,
            mapping,
            choices,
        }
    }

    /// Returns the checkpoint of each shard.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints {
        let shards = self.shards.iter();
        Checkpoints {
            listed: self.listed,
            shards: shards
                .map(|(id, shard)| (id.clone(), (shard.parents.clone(), shard.progress.clone())))
                .collect(),
        }
    }

    /// Handles what happened at `now`, and returns what to do, in order. Times MUST NOT go backwards.
    #[must_use = "the driver must perform the actions"]
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.now = self.now.max(now);
        match input {
            Input::Enable => self.enable(),
            Input::Disable => self.disable(),
            Input::Reconfigure(mapping) => self.reconfigure(mapping),
            Input::Shards { call, shards } => self.shards_listed(call, shards),
            Input::ListFailed { call } => self.list_failed(call, &mut actions),
            Input::Records {
                call,
                records,
                end_of_shard,
            } => self.records(call, records, end_of_shard, &mut actions),
            Input::ReadFailed { call } => self.read_failed(call, &mut actions),
            Input::Trimmed { call } => self.trimmed(call, &mut actions),
            Input::Invoked {
                invocation,
                request_id,
                outcome,
            } => self.handle_result(invocation, request_id, outcome, &mut actions),
            Input::FailureRecordDelivered { call } => {
                self.handle_failure_record_result(call, true, &mut actions)
            }
            Input::FailureRecordRejected { call } => {
                self.handle_failure_record_result(call, false, &mut actions)
            }
            Input::Wake => {}
        }
        self.end_drain();
        if self.is_polling() {
            self.invoke_due(&mut actions);
            self.finish_shards(&mut actions);
            self.list_if_due(&mut actions);
            self.read_more(&mut actions);
        }
        actions
    }

    /// Returns when to call [`handle`](Self::handle) with [`Input::Wake`] if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Millis> {
        if !self.is_polling() {
            return None;
        }
        let (batch_size, window) = (self.mapping.batch_size, self.mapping.batching_window());
        let lanes = self.shards.values().flat_map(|shard| &shard.lanes);
        let batches = lanes.filter_map(|lane| lane.due_at(batch_size, window));
        let reads = self
            .shards
            .values()
            .filter(|shard| self.wants_read(shard))
            .map(|shard| shard.read_after);
        let list = self.listing.is_none().then_some(self.list_after);
        let times = batches.chain(reads).chain(list);
        times.filter(|time| *time > self.now).min()
    }

    /// The state of the mapping. `Disabling` and `Updating` last until nothing is in flight.
    #[must_use]
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    /// Returns what is in flight.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        let reads = self.shards.values().filter(|shard| shard.read.is_some());
        InFlight {
            calls: reads.count() + usize::from(self.listing.is_some()),
            records: self.shards.values().map(Shard::records).sum(),
            invocations: self.running.len(),
            failure_records: self.failure_records.len(),
        }
    }

    /// Returns whether no record is buffered, invoked or being reported. The stream may contain more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let InFlight {
            calls: _,
            records,
            invocations,
            failure_records,
        } = self.in_flight();
        records + invocations + failure_records == 0
    }

    fn is_polling(&self) -> bool {
        self.state() == State::Enabled && !self.draining
    }

    fn enable(&mut self) {
        // A request during another change completes that change first.
        self.change(Change::Settle);
        self.change(Change::Update {
            enabled: Some(true),
        });
        self.change(Change::Settle);
    }

    fn disable(&mut self) {
        if matches!(self.state(), State::Disabling | State::Disabled) {
            return;
        }
        self.change(Change::Settle);
        self.change(Change::Update {
            enabled: Some(false),
        });
        self.drain();
    }

    fn reconfigure(&mut self, mut mapping: StreamMapping) {
        mapping.filter_criteria.apply(&self.choices);
        self.next_mapping = Some(mapping);
        if self.state() != State::Disabling {
            self.change(Change::Settle);
            self.change(Change::Update { enabled: None });
        }
        self.drain();
    }

    fn change(&mut self, change: Change) {
        if let Ok(Some(next)) = self.lifecycle.apply(change) {
            self.lifecycle = next;
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        if self.choices.ignore_in_flight_on_change {
            // Q13, the other answer: results of what is in flight have no effect.
            self.running.clear();
            self.failure_records.clear();
        }
    }

    /// Forgets unprocessed records; they are read again from the checkpoint.
    fn end_drain(&mut self) {
        if !self.draining || !self.running.is_empty() || !self.failure_records.is_empty() {
            return;
        }
        self.draining = false;
        if let Some(mapping) = self.next_mapping.take() {
            self.mapping = mapping;
        }
        let lanes = self.mapping.parallelization_factor;
        for shard in self.shards.values_mut() {
            shard.rewind(lanes);
        }
        if matches!(self.state(), State::Disabling | State::Updating) {
            self.change(Change::Settle);
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn list_if_due(&mut self, actions: &mut Vec<Action>) {
        if self.listing.is_none() && self.list_after <= self.now {
            let call = CallId(self.next_id());
            self.listing = Some(call);
            actions.push(Action::ListShards { call });
        }
    }

    fn shards_listed(&mut self, call: CallId, shards: Vec<ShardDescription>) {
        if self.listing.take_if(|listing| *listing == call).is_none() {
            return;
        }
        self.list_after = self.now + LIST_MILLIS;
        self.list_pause = self.choices.retry_base_millis;
        let listed: BTreeSet<String> = shards.iter().map(|shard| shard.id.clone()).collect();
        self.shards.retain(|id, shard| {
            // The stream removes a shard with its last record, so nothing is left to read.
            shard.ended |= !listed.contains(id);
            listed.contains(id) || !shard.is_finished()
        });
        let start = match self.mapping.starting_position {
            _ if self.listed => Position::TrimHorizon,
            StartingPosition::TrimHorizon => Position::TrimHorizon,
            StartingPosition::Latest => Position::Latest,
            StartingPosition::AtTimestamp(at) => Position::AtTimestamp(at),
        };
        let lanes = self.mapping.parallelization_factor;
        for ShardDescription { id, parents } in shards {
            let choices = &self.choices;
            let progress = Progress::From(start.clone());
            self.shards
                .entry(id)
                .or_insert_with(|| Shard::new(parents, progress, lanes, choices));
        }
        self.listed = true;
    }

    fn list_failed(&mut self, call: CallId, actions: &mut Vec<Action>) {
        if self.listing.take_if(|listing| *listing == call).is_none() {
            return;
        }
        self.list_after = self.now + self.list_pause;
        self.list_pause = next_pause(self.list_pause, &self.choices);
        actions.push(Action::Report(Finding::ListFailed {
            retry_at: self.list_after,
        }));
    }

    /// Finishes closed shards whose records are all processed. Then their children can be read (D6, K4).
    fn finish_shards(&mut self, actions: &mut Vec<Action>) {
        for (id, shard) in &mut self.shards {
            if shard.ended && shard.is_drained() && !shard.is_finished() {
                shard.progress = Progress::Finished;
                self.list_after = self.list_after.min(self.now);
                actions.push(Action::Report(Finding::ShardFinished { shard: id.clone() }));
            }
        }
    }

    /// Returns whether to read a shard, now or after its pause.
    fn wants_read(&self, shard: &Shard) -> bool {
        let is_done_with = |parent: &String| self.shards.get(parent).is_none_or(Shard::is_finished);
        shard.read.is_none()
            && !shard.ended
            && shard.has_room(&self.mapping)
            && shard.parents.iter().all(is_done_with)
    }

    fn read_more(&mut self, actions: &mut Vec<Action>) {
        let (limit, interval) = match self.mapping.kind {
            StreamKind::DynamoDb => (DYNAMODB_READ_RECORDS, DYNAMODB_POLL_MILLIS),
            StreamKind::Kinesis => (KINESIS_READ_RECORDS, KINESIS_POLL_MILLIS),
        };
        let shards = self.shards.iter();
        let due =
            shards.filter(|(_, shard)| shard.read_after <= self.now && self.wants_read(shard));
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            let call = CallId(self.next_id());
            let Some(shard) = self.shards.get_mut(&id) else {
                continue;
            };
            shard.read = Some(call);
            shard.read_after = self.now + interval;
            actions.push(Action::Read {
                call,
                position: shard.position.clone(),
                shard: id,
                limit,
            });
        }
    }

    fn records(
        &mut self,
        call: CallId,
        records: Vec<StreamRecord>,
        end_of_shard: bool,
        actions: &mut Vec<Action>,
    ) {
        if self.draining {
            return;
        }
        if let Some((id, shard)) = end_read(&mut self.shards, call) {
            shard.read_pause = self.choices.retry_base_millis;
            shard.ended |= end_of_shard;
            let count = shard.add_records(self.now, records, &self.mapping, self.choices.seed);
            if count > 0 {
                actions.push(Action::Report(Finding::Filtered {
                    shard: id.clone(),
                    count,
                }));
            }
        }
    }

    fn read_failed(&mut self, call: CallId, actions: &mut Vec<Action>) {
        if let Some((id, shard)) = end_read(&mut self.shards, call) {
            shard.read_after = self.now + shard.read_pause;
            shard.read_pause = next_pause(shard.read_pause, &self.choices);
            actions.push(Action::Report(Finding::ReadFailed {
                shard: id.clone(),
                retry_at: shard.read_after,
            }));
        }
    }

    fn trimmed(&mut self, call: CallId, actions: &mut Vec<Action>) {
        if let Some((id, shard)) = end_read(&mut self.shards, call) {
            shard.trimmed();
            actions.push(Action::Report(Finding::Trimmed { shard: id.clone() }));
        }
    }

    /// Invokes the batches that are due in each lane. Records that are too old are discarded instead (D18).
    fn invoke_due(&mut self, actions: &mut Vec<Action>) {
        let (batch_size, window) = (self.mapping.batch_size, self.mapping.batching_window());
        let (now, choices) = (self.now, self.choices);
        let is_due =
            |lane: &batch::Lane| lane.due_at(batch_size, window).is_some_and(|at| at <= now);
        let shards = self.shards.iter();
        let due = shards.filter(|(_, shard)| shard.lanes.iter().any(is_due));
        let ids: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in ids {
            for lane in 0..self.mapping.parallelization_factor {
                while let Some(batch) = self.shards.get_mut(&id).and_then(|shard| {
                    let lane = shard.lanes.get_mut(lane)?;
                    let due = lane.due_at(batch_size, window)?;
                    (due <= now).then(|| lane.remove_due(batch_size, &choices))?
                }) {
                    if let Some(batch) = self.discard_expired(&id, lane, batch, actions) {
                        self.invoke(&id, lane, batch, actions);
                    }
                }
            }
        }
    }

    fn invoke(&mut self, id: &str, lane: usize, batch: Batch, actions: &mut Vec<Action>) {
        let invocation = InvocationId(self.next_id());
        actions.push(Action::Invoke {
            invocation,
            payload: batch::event(&batch.records),
            shard: id.to_owned(),
            sequence_numbers: batch.sequence_numbers(),
        });
        self.running.insert(invocation, (id.to_owned(), lane));
        if let Some(lane) = self.lane(id, lane) {
            lane.running = Some((invocation, batch));
        }
    }

    fn lane(&mut self, id: &str, lane: usize) -> Option<&mut batch::Lane> {
        self.shards.get_mut(id)?.lanes.get_mut(lane)
    }

    fn mark_processed(&mut self, id: &str, places: impl IntoIterator<Item = u64>) {
        if let Some(shard) = self.shards.get_mut(id) {
            shard.mark_processed(places);
        }
    }
}

/// Ends a read and returns its shard, or `None` if the poller no longer waits for it.
fn end_read(shards: &mut BTreeMap<String, Shard>, call: CallId) -> Option<(&String, &mut Shard)> {
    shards.iter_mut().find_map(|(id, shard)| {
        shard.read.take_if(|read| *read == call)?;
        Some((id, shard))
    })
}

#[cfg(test)]
mod tests;
