//! The poller of a queue, standard or FIFO, as a pure state machine (rules S1 to S21, F1 to F13, X1 to X3, X10 to X12).
//!
//! [`SqsPoller::handle`] is told what happened and says what to do next. It decides what is received, filtered, put
//! into one batch, invoked, deleted, and let go of. The queue's own rules (visibility, receive counts, message groups,
//! dead letters) are not here but with the queue: [`crate::queue`] is a model of one.
//!
//! A message leaves the queue for two reasons only: the function acknowledged it, or the filters dropped it. In every
//! other case nothing is done to it, so that it returns when its visibility timeout is over (S7, S8).

mod batch;
mod concurrency;
mod message;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

pub use batch::MAX_EVENT_BYTES;
pub use message::{AttributeValue, Message, MessageAttribute};

use crate::Millis;
use crate::choices::{Choices, Mixer};
use crate::mapping::{Change, Lifecycle, SqsMapping, State};
use crate::outcome::Outcome;
use crate::report::{self, Malformed, Report};
use batch::{Batch, Collector, Held};
use concurrency::Concurrency;

/// The most messages of one receive (S1).
pub const MAX_RECEIVE: u32 = 10;
/// The longest wait of one receive, in seconds (S1).
pub const MAX_WAIT_SECONDS: u32 = 20;
/// The most messages of one delete.
pub const MAX_DELETE: usize = 10;
/// Receives that wait side by side while nothing is in flight (S5).
pub const IDLE_RECEIVES: usize = 2;
/// Receives that wait side by side beyond the batches that are in flight. AWS runs as many as it may invoke; on one
/// machine a few find every message just as soon.
pub const SPARE_RECEIVES: usize = 5;

/// What the poller has to know about its queue and function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueFacts {
    /// ARN of the queue, as records name it.
    pub arn: String,
    /// Region of the queue, as records name it.
    pub region: String,
    /// Whether it is a FIFO queue.
    pub fifo: bool,
    /// The queue's visibility timeout.
    pub visibility_timeout_seconds: u32,
    /// The function's timeout; with a batching window it may lengthen the visibility timeout (S4).
    pub function_timeout_seconds: u32,
}

/// Names one receive or delete; unique within a poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names one invocation; unique within a poller. A throttled batch that is tried again is another invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// What happened. Every action but [`Action::Report`] MUST be answered, once, with the input that its documentation
/// names; answers to actions that the poller has given up meanwhile are welcome and have no effect.
#[derive(Clone)]
pub enum Input {
    /// Start to poll, or resume.
    Enable,
    /// Stop to poll. What was received is still invoked and its outcome honoured, unless the choice
    /// [`Choices::ignore_in_flight_on_change`] says otherwise (Q13).
    Disable,
    /// Go on with other settings; in-flight batches as for [`Input::Disable`]. Their `enabled` is not read.
    Reconfigure(SqsMapping),
    /// A receive ended, possibly with no message.
    Received {
        /// The receive.
        call: CallId,
        /// What it returned, in its order.
        messages: Vec<Message>,
    },
    /// A receive failed. Messages that it may have taken return after their visibility timeout.
    ReceiveFailed {
        /// The receive.
        call: CallId,
    },
    /// An invocation ended.
    Invoked {
        /// The invocation.
        invocation: InvocationId,
        /// How.
        outcome: Outcome,
    },
    /// All messages of a delete are deleted.
    Deleted {
        /// The delete.
        call: CallId,
    },
    /// Some messages of a delete, or all, are not deleted or may not be. They return after their visibility timeout.
    DeleteFailed {
        /// The delete.
        call: CallId,
        /// The messages that failed.
        message_ids: Vec<String>,
    },
    /// The time of [`SqsPoller::next_wakeup`] has come.
    Wake,
}

/// What to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Receive messages with all system attributes and message attributes.
    /// Answer: [`Input::Received`] or [`Input::ReceiveFailed`].
    Receive {
        /// Names the call in its answer.
        call: CallId,
        /// The most messages to return.
        max_messages: u32,
        /// How long to wait for a first message.
        wait_seconds: u32,
        /// The visibility timeout to ask for: the queue's, unless a batching window needs more (S4).
        visibility_timeout_seconds: u32,
    },
    /// Invoke the function synchronously. Answer: [`Input::Invoked`].
    Invoke {
        /// Names the invocation in its answer.
        invocation: InvocationId,
        /// The event, as JSON text.
        payload: String,
        /// Ids of its messages, in order.
        message_ids: Vec<String>,
    },
    /// Delete at most ten messages. Answer: [`Input::Deleted`] or [`Input::DeleteFailed`].
    Delete {
        /// Names the call in its answer.
        call: CallId,
        /// What to delete.
        entries: Vec<DeleteEntry>,
    },
    /// Log and count. No answer.
    Report(Finding),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive {
                call,
                max_messages,
                wait_seconds,
                visibility_timeout_seconds,
            } => f
                .debug_struct("Receive")
                .field("call", call)
                .field("max_messages", max_messages)
                .field("wait_seconds", wait_seconds)
                .field("visibility_timeout_seconds", visibility_timeout_seconds)
                .finish(),
            // Without the payload.
            Self::Invoke {
                invocation,
                message_ids,
                ..
            } => f
                .debug_struct("Invoke")
                .field("invocation", invocation)
                .field("message_ids", message_ids)
                .finish_non_exhaustive(),
            Self::Delete { call, entries } => f
                .debug_struct("Delete")
                .field("call", call)
                .field("entries", entries)
                .finish(),
            Self::Report(finding) => f.debug_tuple("Report").field(finding).finish(),
        }
    }
}

/// A message to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteEntry {
    /// Its id.
    pub message_id: String,
    /// The handle of the receipt that was acknowledged.
    pub receipt_handle: String,
}

/// Something worth a log line or a counter. Ids alone, never a body or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The filters dropped these messages, so they are deleted (S19, Q16).
    Filtered {
        /// The messages.
        message_ids: Vec<String>,
    },
    /// A valid partial batch response: these messages stay until their visibility timeout is over (S13).
    BatchItemFailures {
        /// The invocation.
        invocation: InvocationId,
        /// The messages that failed.
        message_ids: Vec<String>,
    },
    /// The answer breaks the contract of partial batch responses, so the whole batch failed (S12, Q2, Q3).
    MalformedResponse {
        /// The invocation.
        invocation: InvocationId,
        /// What is wrong with the answer.
        reason: Malformed,
        /// The batch.
        message_ids: Vec<String>,
    },
    /// The answer names messages more than once; it was read as a set (Q1).
    RepeatedIdentifiers {
        /// The invocation.
        invocation: InvocationId,
        /// Entries beyond the first of their message.
        count: usize,
    },
    /// FIFO: the answer acknowledges messages behind a failed one of their group. They are deleted as told, so the
    /// failed one will be processed after them (F6, Q5).
    BrokenFifoOrder {
        /// The invocation.
        invocation: InvocationId,
        /// The messages that were acknowledged too early.
        message_ids: Vec<String>,
    },
    /// The function failed: nothing is deleted (S7).
    FunctionError {
        /// The invocation.
        invocation: InvocationId,
        /// The batch.
        message_ids: Vec<String>,
    },
    /// The function was not run, for another reason than throttling: nothing is deleted (X2).
    InvocationError {
        /// The invocation.
        invocation: InvocationId,
        /// The batch.
        message_ids: Vec<String>,
    },
    /// The function was not run. The batch is held and tried again (S9).
    Throttled {
        /// The invocation.
        invocation: InvocationId,
        /// When it is tried again, if its visibility lasts.
        retry_at: Millis,
    },
    /// Messages that were received are given up without an outcome. They return with a higher receive count (S9).
    LetGo {
        /// Why.
        cause: LetGo,
        /// The messages.
        message_ids: Vec<String>,
    },
    /// A receive failed; polling pauses.
    ReceiveFailed {
        /// When it goes on.
        retry_at: Millis,
    },
    /// A delete failed after the function acknowledged the messages, so they will be delivered again (Q14).
    DeleteFailed {
        /// The messages.
        message_ids: Vec<String>,
    },
}

/// Why messages were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// Their visibility ran out while the function was throttled (S9, Q20).
    Throttled,
    /// Their visibility ran out before their turn came.
    VisibilityRanOut,
    /// FIFO: a message before them in their group failed (F5).
    GroupFailed,
    /// The mapping was disabled or changed (Q13).
    MappingChanged,
}

/// How much the poller has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Receives that wait for messages.
    pub receives: usize,
    /// Messages that were received and wait for their invocation, throttled ones included.
    pub buffered: usize,
    /// Invocations that run.
    pub invocations: usize,
    /// Deletes that were not answered yet.
    pub deletes: usize,
}

/// Numbers calls and invocations.
struct Ids(u64);

impl Ids {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A batch that waits out a throttle.
struct Throttled {
    batch: Batch,
    retry_at: Millis,
}

/// The poller of one mapping.
pub struct SqsPoller {
    mapping: SqsMapping,
    queue: QueueFacts,
    choices: Choices,
    mixer: Mixer,
    lifecycle: Lifecycle,
    concurrency: Concurrency,
    /// The latest time handed in.
    now: Millis,
    ids: Ids,
    collectors: Vec<Collector>,
    ready: VecDeque<Batch>,
    running: BTreeMap<InvocationId, Batch>,
    throttled: Vec<Throttled>,
    deletes: BTreeSet<CallId>,
    receive_pause: Millis,
    receive_after: Millis,
}

impl SqsPoller {
    /// A poller that waits for [`Input::Enable`].
    #[must_use]
    pub fn new(mapping: SqsMapping, queue: QueueFacts, choices: Choices) -> Self {
        Self {
            lifecycle: Lifecycle::created(mapping.enabled),
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

    /// Takes in what happened at `now`, and returns what to do, in order. Times MUST not go backwards.
    #[must_use = "the actions are not done by themselves"]
    pub fn handle(&mut self, now: Millis, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.now = self.now.max(now);
        match input {
            Input::Enable => self.enable(),
            Input::Disable => self.disable(&mut actions),
            Input::Reconfigure(mapping) => self.reconfigure(mapping, &mut actions),
            Input::Received { call, messages } => self.received(call, &messages, &mut actions),
            Input::ReceiveFailed { call } => self.receive_failed(call, &mut actions),
            Input::Invoked {
                invocation,
                outcome,
            } => self.invoked(invocation, outcome, &mut actions),
            Input::Deleted { call } => {
                self.deletes.remove(&call);
            }
            Input::DeleteFailed { call, message_ids } => {
                self.deletes.remove(&call);
                actions.push(Action::Report(Finding::DeleteFailed { message_ids }));
            }
            Input::Wake => {}
        }
        self.let_go_of_expired(&mut actions);
        self.close_windows();
        self.invoke_due(&mut actions);
        self.receive_more(&mut actions);
        self.settle();
        actions
    }

    /// When to call [`handle`](Self::handle) with [`Input::Wake`], if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Millis> {
        let window = self.mapping.batching_window();
        let collectors = self.collectors.iter().flat_map(|collector| {
            let window_ends = collector
                .window_ends(window)
                .filter(|_| collector.call.is_none());
            window_ends
                .into_iter()
                .chain(collector.held.iter().map(|held| held.until))
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

    /// Whether no message is held, invoked or being deleted; receives may be waiting.
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

    /// How much is under way.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        let batches = self
            .ready
            .iter()
            .chain(self.throttled.iter().map(|throttled| &throttled.batch));
        let waiting: usize = batches
            .map(|batch| batch.held.len() + batch.rest.len())
            .sum();
        let behind_running: usize = self.running.values().map(|batch| batch.rest.len()).sum();
        let collected: usize = self
            .collectors
            .iter()
            .map(|collector| collector.held.len())
            .sum();
        InFlight {
            receives: self
                .collectors
                .iter()
                .filter(|collector| collector.call.is_some())
                .count(),
            buffered: waiting + behind_running + collected,
            invocations: self.running.len(),
            deletes: self.deletes.len(),
        }
    }

    fn enable(&mut self) {
        // A request in the middle of another change ends that change first.
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
        self.abandon_if_chosen(actions);
    }

    fn reconfigure(&mut self, mapping: SqsMapping, actions: &mut Vec<Action>) {
        self.concurrency.set_maximum(mapping.maximum_concurrency);
        self.mapping = mapping;
        if self.state() != State::Disabling {
            self.change(Change::Settle);
            self.change(Change::Update { enabled: None });
            self.change(Change::Settle);
        }
        self.abandon_if_chosen(actions);
    }

    fn change(&mut self, change: Change) {
        if let Ok(Some(next)) = self.lifecycle.apply(change) {
            self.lifecycle = next;
        }
    }

    /// `Disabling` ends when everything that was received has come to an end.
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

    /// Q13, the other outcome: forgets everything under way, so that answers to it come to nothing.
    fn abandon_if_chosen(&mut self, actions: &mut Vec<Action>) {
        if !self.choices.ignore_in_flight_on_change {
            return;
        }
        let collected = std::mem::take(&mut self.collectors)
            .into_iter()
            .flat_map(|collector| collector.held);
        let running = std::mem::take(&mut self.running).into_values();
        let throttled = std::mem::take(&mut self.throttled)
            .into_iter()
            .map(|throttled| throttled.batch);
        let batches = running
            .chain(throttled)
            .chain(std::mem::take(&mut self.ready));
        let held =
            collected.chain(batches.flat_map(|batch| batch.held.into_iter().chain(batch.rest)));
        let message_ids = held.map(|held| held.message_id).collect();
        let_go(LetGo::MappingChanged, message_ids, actions);
    }

    fn received(&mut self, call: CallId, messages: &[Message], actions: &mut Vec<Action>) {
        let Some(index) = self
            .collectors
            .iter()
            .position(|collector| collector.call == Some(call))
        else {
            let message_ids = messages
                .iter()
                .map(|message| message.message_id.clone())
                .collect();
            return let_go(LetGo::MappingChanged, message_ids, actions);
        };
        self.receive_pause = self.choices.retry_base_millis;
        let window = self.mapping.batching_window();
        let (matching, dropped): (Vec<Held>, Vec<Held>) = messages
            .iter()
            .map(|message| self.hold(message, window > 0))
            .partition(|held| self.mapping.filter_criteria.matches(&held.record));
        if let Some(collector) = self.collectors.get_mut(index) {
            collector.call = None;
            for held in matching {
                collector.add(self.now, window, held);
            }
        }
        if !dropped.is_empty() {
            actions.push(Action::Report(Finding::Filtered {
                message_ids: batch::ids(&dropped),
            }));
            self.delete(dropped, actions);
        }
    }

    fn hold(&self, message: &Message, windowed: bool) -> Held {
        let group = message
            .attributes
            .get("MessageGroupId")
            .filter(|_| self.queue.fifo);
        Held {
            message_id: message.message_id.clone(),
            receipt_handle: message.receipt_handle.clone(),
            group: group.cloned(),
            record: message::encode(message, &self.queue, windowed),
            until: self.now + Millis::from(self.visibility_timeout_seconds()) * 1_000,
        }
    }

    fn visibility_timeout_seconds(&self) -> u32 {
        let QueueFacts {
            visibility_timeout_seconds,
            function_timeout_seconds,
            ..
        } = self.queue;
        self.mapping
            .effective_visibility_timeout(visibility_timeout_seconds, function_timeout_seconds)
    }

    fn receive_failed(&mut self, call: CallId, actions: &mut Vec<Action>) {
        let Some(collector) = self
            .collectors
            .iter_mut()
            .find(|collector| collector.call == Some(call))
        else {
            return;
        };
        collector.call = None;
        self.receive_after = self.now + self.receive_pause;
        self.receive_pause = self.longer(self.receive_pause);
        actions.push(Action::Report(Finding::ReceiveFailed {
            retry_at: self.receive_after,
        }));
    }

    fn invoked(&mut self, invocation: InvocationId, outcome: Outcome, actions: &mut Vec<Action>) {
        let Some(batch) = self.running.remove(&invocation) else {
            return;
        };
        let message_ids = batch.message_ids();
        let report = match outcome {
            Outcome::Throttled => return self.hold_throttled(invocation, batch, actions),
            Outcome::Response(response) => {
                self.concurrency.function_succeeded();
                report::read(&response, batch.reports_failures, &message_ids)
            }
            Outcome::FunctionError(_) => {
                if !batch.reports_failures {
                    self.concurrency.function_failed();
                }
                actions.push(Action::Report(Finding::FunctionError {
                    invocation,
                    message_ids,
                }));
                return self.finish(batch, |_| true, actions);
            }
            Outcome::InvocationError(_) => {
                actions.push(Action::Report(Finding::InvocationError {
                    invocation,
                    message_ids,
                }));
                return self.finish(batch, |_| true, actions);
            }
        };
        match report {
            Report::AllSucceeded => self.finish(batch, |_| false, actions),
            Report::WholeBatchFailed(reason) => {
                actions.push(Action::Report(Finding::MalformedResponse {
                    invocation,
                    reason,
                    message_ids,
                }));
                self.finish(batch, |_| true, actions);
            }
            Report::Partial(failures) => {
                let failed = |held: &Held| failures.contains(&held.message_id);
                let message_ids = batch::ids(batch.held.iter().filter(|held| failed(held)));
                actions.push(Action::Report(Finding::BatchItemFailures {
                    invocation,
                    message_ids,
                }));
                if failures.duplicates() > 0 {
                    let count = failures.duplicates();
                    actions.push(Action::Report(Finding::RepeatedIdentifiers {
                        invocation,
                        count,
                    }));
                }
                let message_ids = batch::ids(batch::acknowledged_out_of_order(&batch.held, failed));
                if !message_ids.is_empty() {
                    actions.push(Action::Report(Finding::BrokenFifoOrder {
                        invocation,
                        message_ids,
                    }));
                }
                self.finish(batch, failed, actions);
            }
        }
    }

    /// Deletes what did not fail, leaves alone what did (S8), and lets the rest of a FIFO batch follow or go.
    fn finish(&mut self, batch: Batch, failed: impl Fn(&Held) -> bool, actions: &mut Vec<Action>) {
        let (failed, done): (Vec<Held>, Vec<Held>) = batch.held.into_iter().partition(failed);
        let one_in = self.choices.delete_fails_one_in;
        let (forgotten, done): (Vec<Held>, Vec<Held>) = done
            .into_iter()
            .partition(|_| one_in > 0 && self.mixer.one_in(one_in));
        self.delete(done, actions);
        if !forgotten.is_empty() {
            actions.push(Action::Report(Finding::DeleteFailed {
                message_ids: batch::ids(&forgotten),
            }));
        }
        let (stuck, rest): (Vec<Held>, Vec<Held>) = batch
            .rest
            .into_iter()
            .partition(|held| failed.iter().any(|failed| failed.group == held.group));
        let_go(LetGo::GroupFailed, batch::ids(&stuck), actions);
        if !rest.is_empty() {
            let next = self.batch(rest);
            self.ready.push_front(next);
        }
        if self.mapping.batching_window() > 0 && self.state() == State::Enabled {
            self.collectors.push(Collector {
                opened_at: Some(self.now),
                ..Collector::default()
            });
        }
    }

    fn hold_throttled(
        &mut self,
        invocation: InvocationId,
        mut batch: Batch,
        actions: &mut Vec<Action>,
    ) {
        let retry_at = self.now + batch.throttle_pause;
        batch.throttle_pause = self.longer(batch.throttle_pause);
        actions.push(Action::Report(Finding::Throttled {
            invocation,
            retry_at,
        }));
        self.throttled.push(Throttled { batch, retry_at });
    }

    fn longer(&self, pause: Millis) -> Millis {
        pause
            .saturating_mul(2)
            .clamp(1, self.choices.retry_cap_millis.max(1))
    }

    fn delete(&mut self, done: Vec<Held>, actions: &mut Vec<Action>) {
        let entries: Vec<DeleteEntry> = done
            .into_iter()
            .map(|held| DeleteEntry {
                message_id: held.message_id,
                receipt_handle: held.receipt_handle,
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

    /// A message whose visibility has run out is anybody's: to invoke it as if it were held would only add a duplicate.
    fn let_go_of_expired(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        let mut waiting = Vec::new();
        for collector in &mut self.collectors {
            waiting.extend(batch::take_expired(&mut collector.held, now));
        }
        for batch in self.ready.iter_mut().chain(self.running.values_mut()) {
            waiting.extend(batch::take_expired(&mut batch.rest, now));
        }
        for batch in &mut self.ready {
            waiting.extend(batch::take_expired(&mut batch.held, now));
        }
        self.ready.retain(|batch| !batch.held.is_empty());
        let_go(LetGo::VisibilityRanOut, waiting, actions);
        let mut throttled = Vec::new();
        for waiting in &mut self.throttled {
            throttled.extend(batch::take_expired(&mut waiting.batch.held, now));
            throttled.extend(batch::take_expired(&mut waiting.batch.rest, now));
        }
        self.throttled
            .retain(|waiting| !waiting.batch.held.is_empty());
        let_go(LetGo::Throttled, throttled, actions);
    }

    /// Makes batches of what is due: full events, ended windows, and at a disable all there is.
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
                let held = std::mem::take(&mut collector.held);
                let parts = if self.choices.fifo_one_group_per_batch {
                    batch::by_group(held)
                } else {
                    vec![held]
                };
                let batches = parts
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| self.batch(part));
                self.ready.extend(batches.collect::<Vec<_>>());
            } else {
                let due = collector.take_due(now, batch_size, window);
                self.ready.extend(
                    due.into_iter()
                        .map(|held| self.batch(held))
                        .collect::<Vec<_>>(),
                );
            }
        }
        self.collectors = collectors;
    }

    /// A batch of the messages that fit one event; only a FIFO queue's leave a rest.
    fn batch(&self, mut held: Vec<Held>) -> Batch {
        let rest = held.split_off(batch::fitting(&held, self.mapping.batch_size));
        Batch {
            held,
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

    /// Keeps receives waiting: for every window that is not full, and for as many new batches as could be invoked.
    fn receive_more(&mut self, actions: &mut Vec<Action>) {
        if self.state() != State::Enabled {
            self.collectors
                .retain(|collector| collector.call.is_some() || !collector.is_empty());
            return;
        }
        self.match_collectors_to_room();
        if self.now < self.receive_after {
            return;
        }
        let (now, window) = (self.now, self.mapping.batching_window());
        let visibility_timeout_seconds = self.visibility_timeout_seconds();
        for collector in self
            .collectors
            .iter_mut()
            .filter(|collector| collector.call.is_none())
        {
            let call = CallId(self.ids.next());
            collector.call = Some(call);
            let left = self.mapping.batch_size.saturating_sub(collector.held.len());
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

    /// Every collector may become a batch, so there are no more of them than could be invoked.
    fn match_collectors_to_room(&mut self) {
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
            .filter(|c| c.is_empty() && c.call.is_some())
            .count();
        self.collectors.retain(|collector| {
            let spare = collector.is_empty() && collector.call.is_none();
            empty += usize::from(spare);
            !spare || empty <= wanted
        });
        for _ in empty..wanted {
            self.collectors.push(Collector::default());
        }
    }

    /// Batches in flight or in the making.
    fn busy(&self) -> usize {
        let collecting = self
            .collectors
            .iter()
            .filter(|collector| !collector.is_empty())
            .count();
        self.running.len() + self.throttled.len() + self.ready.len() + collecting
    }
}

fn let_go(cause: LetGo, message_ids: Vec<String>, actions: &mut Vec<Action>) {
    if !message_ids.is_empty() {
        actions.push(Action::Report(Finding::LetGo { cause, message_ids }));
    }
}

#[cfg(test)]
mod tests;
