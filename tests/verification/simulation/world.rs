//! The world of one seed: its parties, and which event happens next at what time.

mod drills;
mod phases;

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::{Choices, Mixer};
use onewrite_event_sources::mapping::{SqsMapping, StreamKind};
use onewrite_event_sources::queue::{NewMessage, Queue};
use onewrite_event_sources::shards::Stream;
use onewrite_event_sources::sqs::{self, SqsPoller};
use onewrite_event_sources::stream;
use serde_json::Value;

use crate::bugs::Bug;
use crate::clock;
use crate::fault_plan::{FaultKind, FaultPlan};
use crate::functions::{Functions, Parts, Response};
use crate::invariants::{CheckResult, Invariants, Violation};
use crate::messages::Message;
use crate::pending::{Due, Job, Receive, StreamSource, tail};
use crate::plan::Plan;
use crate::process::InvocationEnd;
use crate::settings;

/// More steps than any world needs, including the hour in which it drains.
const MAX_STEPS: u64 = 2_000_000;

/// The result of one world.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) messages: u64,
    pub(crate) repeated_events: u64,
    pub(crate) dead_letters: u64,
    pub(crate) occurrences: Vec<(FaultKind, u64)>,
    pub(crate) history: Vec<Entry>,
    pub(crate) violation: Option<Violation>,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: Millis,
    /// The notifications concerned. Empty if the entry concerns all of them.
    pub(crate) ids: Vec<String>,
    pub(crate) what: String,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) bug: Option<Bug>,
    pub(crate) mixer: Mixer,
    pub(crate) fault_plan: FaultPlan,
    pub(crate) choices: Choices,
    pub(crate) fifo: bool,
    /// The timeout of `forward` and `complete`, in milliseconds.
    pub(crate) stream_function_timeout: Millis,
    pub(crate) queue: Queue,
    pub(crate) queue_mapping: SqsMapping,
    pub(crate) queue_poller: SqsPoller,
    pub(crate) receives: Vec<Receive>,
    pub(crate) parts: Parts,
    pub(crate) functions: Functions,
    /// The table's change stream, and its number of changes.
    pub(crate) table_stream: Stream,
    changes: usize,
    records: u64,
    /// The mapping of `forward`, then the mappings of two consumers.
    pub(crate) sources: Vec<StreamSource>,
    /// The number of pollers that each mapping has lost: stream mappings first, then the queue's.
    pub(crate) pollers: [u64; 4],
    pub(crate) running: FuturesUnordered<LocalBoxFuture<'static, (Job, InvocationEnd<Response>)>>,
    due: Vec<(Millis, u64, Due)>,
    order: u64,
    steps: u64,
    pub(crate) invariants: Invariants,
    /// The objects in the failure bucket.
    pub(crate) failures: Vec<Value>,
    /// Messages whose notifications the earlier version has stored.
    pub(crate) earlier: Vec<Message>,
    /// Whether the table's stream discarded records that no mapping had read.
    pub(crate) is_trimmed: bool,
    /// Whether to keep a history. It is expensive, so only runs that print a report keep one.
    pub(crate) keeps_history: bool,
    history: Vec<Entry>,
}

impl World {
    /// Runs a whole world. A panic of the event sources counts as a broken guarantee too.
    pub(crate) fn run(plan: &Plan, bug: Option<Bug>, keeps_history: bool) -> Run {
        let run = std::panic::catch_unwind(|| Self::run_unguarded(plan, bug, keeps_history));
        run.unwrap_or_else(|_| Run {
            plan: plan.clone(),
            messages: 0,
            repeated_events: 0,
            dead_letters: 0,
            occurrences: Vec::new(),
            history: Vec::new(),
            violation: Some(Violation::without_id(
                "Totality",
                "the event sources panicked",
            )),
        })
    }

    fn run_unguarded(plan: &Plan, bug: Option<Bug>, keeps_history: bool) -> Run {
        clock::run(plan.seed, async {
            let mut world = Self::new(plan, bug, keeps_history);
            let outcome = world.run_to_end().await;
            let dead = world.queue.dead_letter_queue();
            Run {
                plan: world.plan,
                messages: world.invariants.sent.len() as u64,
                repeated_events: world.invariants.repeated_events,
                dead_letters: dead.map_or(0, |dead| dead.len() as u64),
                occurrences: world.fault_plan.occurrences(),
                history: world.history,
                violation: outcome.err(),
            }
        })
    }

    pub(crate) fn new(plan: &Plan, bug: Option<Bug>, keeps_history: bool) -> Self {
        let seed = plan.seed;
        let mut mixer = Mixer::new(seed);
        let fault_plan = FaultPlan::new(seed, &plan.without);
        let choices = Choices::from_seed(seed);
        let fifo = mixer.one_in(3);
        let parts = Parts::new(
            seed,
            fault_plan.clone(),
            1 + (mixer.next() % 3) as u32,
            1 + (mixer.next() % 8) as usize,
        );
        let sources = [
            StreamKind::DynamoDb,
            StreamKind::Kinesis,
            StreamKind::Kinesis,
        ]
        .map(|kind| {
            let mapping = settings::stream_mapping(kind, &mut mixer, &fault_plan, bug);
            StreamSource::new(mapping, choices)
        });
        let queue_mapping = settings::queue_mapping(fifo, &mut mixer);
        Self {
            plan: plan.clone(),
            bug,
            stream_function_timeout: settings::STREAM_FUNCTION_TIMEOUT,
            queue: Queue::new(settings::queue(fifo, seed, &choices)),
            queue_poller: SqsPoller::new(
                queue_mapping.clone(),
                settings::queue_facts(fifo),
                choices,
            ),
            queue_mapping,
            receives: Vec::new(),
            functions: bug.map_or_else(|| parts.functions(), |bug| bug.plant(&parts)),
            table_stream: Stream::new(settings::table_stream(), 1 + mixer.next() % 2, seed),
            changes: 0,
            records: 0,
            sources: sources.into(),
            pollers: [0; 4],
            running: FuturesUnordered::new(),
            due: Vec::new(),
            order: 0,
            steps: 0,
            invariants: Invariants::new(parts.has_receivers.then(|| parts.receivers.clone())),
            failures: Vec::new(),
            earlier: Vec::new(),
            is_trimmed: false,
            keeps_history,
            history: Vec::new(),
            mixer,
            fault_plan,
            choices,
            fifo,
            parts,
        }
    }

    pub(crate) fn note(&mut self, id: Option<&str>, what: impl FnOnce() -> String) {
        if self.keeps_history {
            self.note_for(id.map(ToOwned::to_owned).into_iter().collect(), what());
        }
    }

    pub(crate) fn note_for(&mut self, ids: Vec<String>, what: String) {
        self.history.push(Entry {
            at: clock::now() - clock::START,
            ids,
            what,
        });
    }

    /// Sends a message and returns its message id.
    pub(crate) fn send(&mut self, message: Message) -> String {
        let mut outgoing = NewMessage::new(message.body.clone());
        if self.fifo {
            outgoing.message_group_id = Some(message.group.clone());
            outgoing.message_deduplication_id = Some(format!("d{}", self.invariants.sent.len()));
        }
        let sent = self.queue.send(clock::now(), outgoing).unwrap();
        self.note(Some(message.id()), || {
            let what = message.content().map_or_else(
                || "malformed".to_owned(),
                |content| format!("content {content}"),
            );
            format!("sent, {what}, as message {}", short(&sent.message_id))
        });
        let message_id = sent.message_id.clone();
        self.invariants.record_sent(sent.message_id, message);
        message_id
    }

    pub(crate) fn schedule(&mut self, at: Millis, due: Due) {
        self.order += 1;
        self.due.push((at, self.order, due));
    }

    /// Drops the pending results of a lost poller.
    pub(crate) fn cancel(&mut self, is_lost: impl Fn(&Due) -> bool) {
        self.due.retain(|(_, _, due)| !is_lost(due));
    }

    /// Advances virtual time to `until` and executes everything that is due by then.
    pub(crate) async fn advance(&mut self, until: Millis) -> CheckResult {
        loop {
            self.observe()?;
            let now = clock::now();
            let next = self.next_due(now);
            if next.is_some_and(|next| next <= now) {
                self.step(now)?;
                continue;
            }
            if now >= until {
                return Ok(());
            }
            let pause = next.map_or(until, |next| next.min(until)) - now;
            if self.running.is_empty() {
                clock::skip(pause).await;
                continue;
            }
            let pause = tokio::time::sleep(Duration::from_millis(pause));
            let ended = tokio::select! {
                biased;
                ended = self.running.next() => ended,
                () = pause => None,
            };
            if let Some((job, ended)) = ended {
                self.observe()?;
                self.handle_end(job, ended)?;
            }
        }
    }

    fn next_due(&self, now: Millis) -> Option<Millis> {
        let due = self.due.iter().map(|(at, _, _)| *at).min();
        let receives = self.receives.iter().map(|receive| receive.until).min();
        let visible = if self.receives.is_empty() {
            None
        } else if self.queue.has_receivable(now) {
            Some(now)
        } else {
            self.queue.next_visible(now)
        };
        let sources = self
            .sources
            .iter()
            .filter_map(|source| source.poller.next_wakeup());
        let next = [
            due,
            receives,
            visible,
            sources.min(),
            self.queue_poller.next_wakeup(),
        ];
        next.into_iter().flatten().min()
    }

    /// Executes one thing that is due now.
    fn step(&mut self, now: Millis) -> CheckResult {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Violation::without_id(
                "Totality",
                "the event sources do not terminate",
            ));
        }
        let due = self
            .due
            .iter()
            .enumerate()
            .filter(|(_, (at, _, _))| *at <= now);
        if let Some((index, _)) = due.min_by_key(|(_, (at, order, _))| (*at, *order)) {
            return match self.due.remove(index).2 {
                Due::Queue(input) => self.handle_queue_input(input),
                Due::Source(which, input) => self.handle_source_input(which, input),
            };
        }
        if self.receive(now)? {
            return Ok(());
        }
        if self.queue_poller.next_wakeup().is_some_and(|at| at <= now) {
            return self.handle_queue_input(sqs::Input::Wake);
        }
        let is_due =
            |source: &StreamSource| source.poller.next_wakeup().is_some_and(|at| at <= now);
        match self.sources.iter().position(is_due) {
            Some(which) => self.handle_source_input(which, stream::Input::Wake),
            None => Ok(()),
        }
    }

    /// Hides the messages that `ingest` deferred. SQS rejects a handle that is not the latest one.
    fn hide_deferred(&mut self) {
        let now = clock::now();
        for request in self.parts.deferrals.take() {
            let timeout = request.until.saturating_sub(now);
            let handle = &request.receipt_handle;
            let result = self.queue.change_visibility(now, handle, timeout);
            self.note(None, || format!("deferral by {timeout} ms: {result:?}"));
        }
    }

    /// Passes new changes and records to the checks, and the changes to the table's stream.
    pub(crate) fn observe(&mut self) -> CheckResult {
        self.hide_deferred();
        self.parts.receivers.check()?;
        let changes = self.parts.table.changes_since(self.changes);
        self.changes += changes.len();
        for change in &changes {
            let (shard, number) = self.stream_change(change);
            self.note(Some(&change.id), || describe(change));
            let fifo = self.fifo.then_some(&self.queue);
            self.invariants
                .check_change(change, shard, number, &self.parts.table, fifo)?;
            self.invariants.check_settler(change, &self.parts.witness)?;
        }
        let records = self.parts.stream.records_since(self.records);
        self.records += records.len() as u64;
        for record in &records {
            let number = tail(Some(&record.sequence_number)).to_owned();
            self.note(Some(record.record.id.as_str()), || {
                format!("in Kinesis, {}, {number}", record.shard_id)
            });
            self.invariants.check_published(record)?;
        }
        self.invariants.check_memory(&self.parts.witness)
    }
}

fn describe(change: &onewrite_testing::Change) -> String {
    let status = |item: &Option<serde_dynamo::Item>| {
        item.as_ref()
            .and_then(|item| crate::invariants::text(item, onewrite::item::attribute::STATUS))
            .unwrap_or_else(|| "nothing".to_owned())
    };
    let by = if change.by_ttl {
        ", by its time to live"
    } else {
        ""
    };
    format!(
        "in the table: {} became {}{by}",
        status(&change.old),
        status(&change.new)
    )
}

/// The first characters of a message id, enough to distinguish it.
pub(crate) fn short(message_id: &str) -> &str {
    message_id.get(..8).unwrap_or(message_id)
}
