//! The poller of a queue, standard or FIFO, as a pure state machine (rules S1 to S21, F1 to F13, X1 to X3, X10 to
//! X12).
//!
//! [`SqsPoller::handle`] receives what happened and returns what to do next. It decides what to receive, filter,
//! batch, invoke, delete and release. The rules of the queue itself (visibility, receive counts, message groups, dead
//! letters) are in [`crate::queue`].
//!
//! A message leaves the queue for two reasons only: the function acknowledged it, or the filters dropped it. In every
//! other case the poller does nothing, so that the message returns when its visibility timeout ends (S7, S8).

mod batch;
mod concurrency;
mod contract;
mod record;
mod results;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use contract::{
    Action, CallId, DeleteEntry, Finding, InFlight, Input, InvocationId, QueueInfo, ReleaseCause,
};

use crate::Millis;
use crate::choices::{Choices, Mixer};
use crate::mapping::{Change, Lifecycle, SqsMapping, State};
use crate::message::{MAX_RECEIVE, Message};
use batch::{Batch, Collector, Receive, ReceivedMessage};
use concurrency::Concurrency;
pub use concurrency::MAXIMUM as MAXIMUM_CONCURRENCY;

/// The maximum wait time of a receive, in seconds (S1).
pub const MAX_WAIT_SECONDS: u32 = 20;
/// The maximum number of messages of one delete.
pub const MAX_DELETE: usize = 10;
/// Concurrent receives while nothing is in flight (S5).
const IDLE_RECEIVES: usize = 2;
/// Concurrent receives in addition to the batches in flight. AWS runs as many as it may invoke; on one machine a few
/// find every message just as fast.
const SPARE_RECEIVES: usize = 5;

/// Generates the numbers of calls and invocations.
struct Ids(u64);

impl Ids {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A throttled batch that waits for its retry.
struct ThrottledBatch {
    batch: Batch,
    retry_at: Millis,
}

pub struct SqsPoller {
    mapping: SqsMapping,
    queue: QueueInfo,
    choices: Choices,
    mixer: Mixer,
    lifecycle: Lifecycle,
    concurrency: Concurrency,
    /// The latest time passed in.
    now: Millis,
    ids: Ids,
    collectors: Vec<Collector>,
    ready: VecDeque<Batch>,
    running: BTreeMap<InvocationId, Batch>,
    throttled: Vec<ThrottledBatch>,
    deletes: BTreeSet<CallId>,
    receive_pause: Millis,
    receive_after: Millis,
}

impl SqsPoller {
    /// Creates a poller that waits for [`Input::Enable`].
    #[must_use]
    pub fn new(mut mapping: SqsMapping, queue: QueueInfo, choices: Choices) -> Self {
        mapping.filter_criteria.apply(&choices);
        Self {
            lifecycle: Lifecycle::new(mapping.enabled),
            concurrency: Concurrency::new(mapping.maximum_concurrency),
            mapping,
            queue,
            choices,
            mixer: Mixer::new(choices.seed),
            now: 0,
            ids: Ids(0),
            collectors: Vec::new(),
            ready: VecDeque::new(),
            running: BTreeMap::new(),
            throttled: Vec::new(),
            deletes: BTreeSet::new(),
            receive_pause: choices.retry_base_millis,
            receive_after: 0,
        }
    }

    /// Handles what happened at `now`, and returns what to do, in order. Times MUST NOT go backwards.
    #[must_use = "the driver must perform the actions"]
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.now = self.now.max(now);
        match input {
            Input::Enable => self.enable(),
            Input::Disable => self.disable(&mut actions),
            Input::Reconfigure(mapping) => self.reconfigure(mapping, &mut actions),
            Input::Received { call, messages } => self.received(call, messages, &mut actions),
            Input::ReceiveFailed { call } => self.receive_failed(call, &mut actions),
            Input::Invoked {
                invocation,
                outcome,
            } => self.handle_result(invocation, outcome, &mut actions),
            Input::Deleted { call } => {
                self.deletes.remove(&call);
            }
            Input::DeleteFailed { call, message_ids } => {
                self.deletes.remove(&call);
                actions.push(Action::Report(Finding::DeleteFailed { message_ids }));
            }
            Input::Wake => {}
        }
        self.release_expired(&mut actions);
        self.close_windows();
        self.invoke_due(&mut actions);
        self.receive_more(&mut actions);
        self.settle();
        actions
    }

    /// Returns when to call [`handle`](Self::handle) with [`Input::Wake`] if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Millis> {
        let window = self.mapping.batching_window();
        let collectors = self.collectors.iter().flat_map(|collector| {
            let window_ends = collector
                .window_ends(window)
                .filter(|_| collector.receive.is_none());
            window_ends
                .into_iter()
                .chain(collector.messages.iter().map(|message| message.until))
        });
        let throttled = self
            .throttled
            .iter()
            .flat_map(|t| t.batch.until().into_iter().chain([t.retry_at]));
        let ready = self.ready.iter().filter_map(Batch::until);
        let polling = (self.state() == State::Enabled).then(|| {
            self.concurrency
                .grows_at(self.busy())
                .into_iter()
                .chain([self.receive_after])
        });
        let times = collectors
            .chain(throttled)
            .chain(ready)
            .chain(polling.into_iter().flatten());
        times.filter(|time| *time > self.now).min()
    }

    /// The state of the mapping. `Disabling` lasts until nothing is in flight.
    #[must_use]
    pub fn state(&self) -> State {
        self.lifecycle.state()
    }

    /// Returns whether no message is buffered, invoked or being deleted. Receives may be waiting.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let InFlight {
            receives: _,
            buffered,
            invocations,
            deletes,
        } = self.in_flight();
        buffered + invocations + deletes == 0
    }

    /// Returns what is in flight.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        let batches = self
            .ready
            .iter()
            .chain(self.throttled.iter().map(|throttled| &throttled.batch));
        let waiting: usize = batches
            .map(|batch| batch.messages.len() + batch.rest.len())
            .sum();
        let behind_running: usize = self.running.values().map(|batch| batch.rest.len()).sum();
        let collected: usize = self
            .collectors
            .iter()
            .map(|collector| collector.messages.len())
            .sum();
        InFlight {
            receives: self
                .collectors
                .iter()
                .filter(|collector| collector.receive.is_some())
                .count(),
            buffered: waiting + behind_running + collected,
            invocations: self.running.len(),
            deletes: self.deletes.len(),
        }
    }

    fn enable(&mut self) {
        // A request during another change completes that change first.
        self.change(Change::Settle);
        self.change(Change::Update {
            enabled: Some(true),
        });
        self.change(Change::Settle);
    }

    fn disable(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.state(), State::Disabling | State::Disabled) {
            return;
        }
        self.change(Change::Settle);
        self.change(Change::Update {
            enabled: Some(false),
        });
        self.abandon_in_flight(actions);
    }

    fn reconfigure(&mut self, mut mapping: SqsMapping, actions: &mut Vec<Action>) {
        mapping.filter_criteria.apply(&self.choices);
        self.concurrency.set_maximum(mapping.maximum_concurrency);
        self.mapping = mapping;
        if self.state() != State::Disabling {
            self.change(Change::Settle);
            self.change(Change::Update { enabled: None });
            self.change(Change::Settle);
        }
        self.abandon_in_flight(actions);
    }

    fn change(&mut self, change: Change) {
        if let Ok(Some(next)) = self.lifecycle.apply(change) {
            self.lifecycle = next;
        }
    }

    /// `Disabling` ends when every received message is handled.
    fn settle(&mut self) {
        let InFlight {
            receives,
            buffered,
            invocations,
            deletes: _,
        } = self.in_flight();
        if self.state() == State::Disabling && receives + buffered + invocations == 0 {
            self.change(Change::Settle);
        }
    }

    /// Q13, the other answer: forgets everything in flight, so that its results have no effect.
    fn abandon_in_flight(&mut self, actions: &mut Vec<Action>) {
        if !self.choices.ignore_in_flight_on_change {
            return;
        }
        let collected = std::mem::take(&mut self.collectors)
            .into_iter()
            .flat_map(|collector| collector.messages);
        let running = std::mem::take(&mut self.running).into_values();
        let throttled = std::mem::take(&mut self.throttled)
            .into_iter()
            .map(|throttled| throttled.batch);
        let batches = running
            .chain(throttled)
            .chain(std::mem::take(&mut self.ready));
        let messages =
            collected.chain(batches.flat_map(|batch| batch.messages.into_iter().chain(batch.rest)));
        let message_ids = messages.map(|message| message.message_id).collect();
        release(ReleaseCause::MappingChanged, message_ids, actions);
    }

    fn received(&mut self, call: CallId, messages: Vec<Message>, actions: &mut Vec<Action>) {
        let Some((index, receive)) = self.end_receive(call) else {
            let message_ids = messages.into_iter().map(|message| message.message_id);
            return release(ReleaseCause::MappingChanged, message_ids.collect(), actions);
        };
        self.receive_pause = self.choices.retry_base_millis;
        let window = self.mapping.batching_window();
        let until = self.now + receive.visibility_timeout;
        let (matching, dropped): (Vec<ReceivedMessage>, Vec<ReceivedMessage>) = messages
            .into_iter()
            .map(|message| self.receive_message(message, until))
            .partition(|message| self.mapping.filter_criteria.matches(&message.record));
        for message in matching {
            self.collectors[index].add(self.now, window, message);
        }
        if !dropped.is_empty() {
            actions.push(Action::Report(Finding::Filtered {
                message_ids: batch::ids(&dropped),
            }));
            self.delete(dropped, actions);
        }
    }

    /// Ends a receive and returns its collector, or `None` if the poller no longer waits for it.
    fn end_receive(&mut self, call: CallId) -> Option<(usize, Receive)> {
        let mut collectors = self.collectors.iter_mut().enumerate();
        collectors.find_map(|(index, collector)| {
            let receive = collector.receive.take_if(|receive| receive.call == call)?;
            Some((index, receive))
        })
    }

    fn receive_message(&self, mut message: Message, until: Millis) -> ReceivedMessage {
        let windowed = self.mapping.batching_window() > 0;
        let record = record::encode(&message, &self.queue, windowed);
        let group = message.attributes.remove("MessageGroupId");
        ReceivedMessage {
            message_id: message.message_id,
            receipt_handle: message.receipt_handle,
            group: group.filter(|_| self.queue.fifo),
            record,
            until,
        }
    }

    fn visibility_timeout_seconds(&self) -> u32 {
        let QueueInfo {
            visibility_timeout_seconds,
            function_timeout_seconds,
            ..
        } = self.queue;
        self.mapping
            .effective_visibility_timeout(visibility_timeout_seconds, function_timeout_seconds)
    }

    fn receive_failed(&mut self, call: CallId, actions: &mut Vec<Action>) {
        // Concurrent receives that fail count as one failure.
        if self.end_receive(call).is_none() || self.now < self.receive_after {
            return;
        }
        self.receive_after = self.now + self.receive_pause;
        self.receive_pause = self.next_pause(self.receive_pause);
        actions.push(Action::Report(Finding::ReceiveFailed {
            retry_at: self.receive_after,
        }));
    }

    fn next_pause(&self, pause: Millis) -> Millis {
        pause
            .saturating_mul(2)
            .clamp(1, self.choices.retry_cap_millis.max(1))
    }

    fn delete(&mut self, done: Vec<ReceivedMessage>, actions: &mut Vec<Action>) {
        let entries: Vec<DeleteEntry> = done
            .into_iter()
            .map(|message| DeleteEntry {
                message_id: message.message_id,
                receipt_handle: message.receipt_handle,
            })
            .collect();
        for entries in entries.chunks(MAX_DELETE) {
            let call = CallId(self.ids.next());
            self.deletes.insert(call);
            actions.push(Action::Delete {
                call,
                entries: entries.to_vec(),
            });
        }
    }

    /// Releases messages whose visibility timeout ended. They may be delivered again, so invoking them would only add
    /// duplicates.
    fn release_expired(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        let mut waiting = Vec::new();
        for collector in &mut self.collectors {
            waiting.extend(batch::remove_expired(&mut collector.messages, now));
        }
        for batch in &mut self.ready {
            waiting.extend(batch::remove_expired(&mut batch.messages, now));
            waiting.extend(batch::remove_expired(&mut batch.rest, now));
        }
        self.ready.retain(|batch| !batch.messages.is_empty());
        release(ReleaseCause::VisibilityTimeoutEnded, waiting, actions);
        let mut throttled = Vec::new();
        for waiting in &mut self.throttled {
            throttled.extend(batch::remove_expired(&mut waiting.batch.messages, now));
            throttled.extend(batch::remove_expired(&mut waiting.batch.rest, now));
        }
        self.throttled
            .retain(|waiting| !waiting.batch.messages.is_empty());
        release(ReleaseCause::Throttled, throttled, actions);
    }

    /// Creates the batches that are due: full events, ended windows and, after a disable, everything.
    fn close_windows(&mut self) {
        let window = if self.state() == State::Enabled {
            self.mapping.batching_window()
        } else {
            0
        };
        let (now, batch_size) = (self.now, self.mapping.batch_size);
        let mut collectors = std::mem::take(&mut self.collectors);
        for collector in &mut collectors {
            if self.queue.fifo {
                let messages = std::mem::take(&mut collector.messages);
                let parts = if self.choices.fifo_one_group_per_batch {
                    batch::by_group(messages)
                } else {
                    vec![messages]
                };
                let batches = parts
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| self.batch(part));
                self.ready.extend(batches.collect::<Vec<_>>());
            } else {
                let due = collector.remove_due(now, batch_size, window);
                self.ready.extend(
                    due.into_iter()
                        .map(|messages| self.batch(messages))
                        .collect::<Vec<_>>(),
                );
            }
        }
        self.collectors = collectors;
    }

    /// Creates a batch of the messages that fit in one event. Only FIFO queues leave a rest.
    fn batch(&self, mut messages: Vec<ReceivedMessage>) -> Batch {
        let rest = messages.split_off(batch::fitting(&messages, self.mapping.batch_size));
        Batch {
            messages,
            rest,
            reports_failures: self.mapping.report_batch_item_failures,
            throttle_pause: self.choices.retry_base_millis,
        }
    }

    fn invoke_due(&mut self, actions: &mut Vec<Action>) {
        self.concurrency.observe(self.now, self.busy());
        while self.running.len() < self.concurrency.allowed() {
            let retry = self
                .throttled
                .iter()
                .position(|throttled| throttled.retry_at <= self.now);
            let retried = retry.map(|index| self.throttled.swap_remove(index).batch);
            let Some(batch) = retried.or_else(|| self.ready.pop_front()) else {
                return;
            };
            let invocation = InvocationId(self.ids.next());
            let (payload, message_ids) = (batch.event(), batch.message_ids());
            actions.push(Action::Invoke {
                invocation,
                payload,
                message_ids,
            });
            self.running.insert(invocation, batch);
        }
    }

    /// Keeps receives waiting: for every window that is not full, and for as many new batches as can be invoked.
    fn receive_more(&mut self, actions: &mut Vec<Action>) {
        if self.state() != State::Enabled {
            self.collectors
                .retain(|collector| collector.receive.is_some() || !collector.is_empty());
            return;
        }
        self.adjust_collectors();
        if self.now < self.receive_after {
            return;
        }
        let (now, window) = (self.now, self.mapping.batching_window());
        let visibility_timeout_seconds = self.visibility_timeout_seconds();
        for collector in self
            .collectors
            .iter_mut()
            .filter(|collector| collector.receive.is_none())
        {
            let call = CallId(self.ids.next());
            collector.receive = Some(Receive {
                call,
                visibility_timeout: Millis::from(visibility_timeout_seconds) * 1_000,
            });
            let left = self
                .mapping
                .batch_size
                .saturating_sub(collector.messages.len());
            let wait = collector
                .window_ends(window)
                .map(|end| end.saturating_sub(now).div_ceil(1_000));
            actions.push(Action::Receive {
                call,
                max_messages: u32::try_from(left)
                    .unwrap_or(u32::MAX)
                    .clamp(1, MAX_RECEIVE),
                wait_seconds: wait.map_or(MAX_WAIT_SECONDS, |wait| {
                    wait.min(u64::from(MAX_WAIT_SECONDS)) as u32
                }),
                visibility_timeout_seconds,
            });
        }
    }

    /// Every collector may become a batch, so there are no more collectors than batches that can be invoked.
    fn adjust_collectors(&mut self) {
        let busy = self.busy();
        let wanted = if busy == 0 {
            IDLE_RECEIVES
        } else {
            SPARE_RECEIVES
        };
        let wanted = wanted.min(self.concurrency.allowed().saturating_sub(busy));
        let mut empty = self
            .collectors
            .iter()
            .filter(|c| c.is_empty() && c.receive.is_some())
            .count();
        self.collectors.retain(|collector| {
            let spare = collector.is_empty() && collector.receive.is_none();
            empty += usize::from(spare);
            !spare || empty <= wanted
        });
        for _ in empty..wanted {
            self.collectors.push(Collector::default());
        }
    }

    /// Batches in flight or being collected.
    fn busy(&self) -> usize {
        let collecting = self
            .collectors
            .iter()
            .filter(|collector| !collector.is_empty())
            .count();
        self.running.len() + self.throttled.len() + self.ready.len() + collecting
    }
}

fn release(cause: ReleaseCause, message_ids: Vec<String>, actions: &mut Vec<Action>) {
    if !message_ids.is_empty() {
        actions.push(Action::Report(Finding::Released { cause, message_ids }));
    }
}

#[cfg(test)]
mod tests;
