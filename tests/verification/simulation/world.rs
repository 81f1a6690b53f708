//! The world of one seed: its parties, and which event happens next at what time.

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

use crate::bugs::Bug;
use crate::clock;
use crate::functions::{Answer, Functions, Parts};
use crate::mailbox::{Letter, Meaning, letters};
use crate::plan::Plan;
use crate::process::Ended;
use crate::settings;
use crate::sources::{Due, Job, Receive, StreamSource, tail};
use crate::weather::{Kind, Weather};
use crate::witness::{Broken, Verdict, Witness, broken};

/// Limit of virtual time in which the world must drain after the storm.
const CALM: Millis = 3_600_000;
/// More steps than any world needs, including the hour in which it drains.
const MAX_STEPS: u64 = 2_000_000;
/// Longer than a stream retains its records.
const LONGER_THAN_RETENTION: Millis = 25 * 3_600_000;

/// The result of one world.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) messages: u64,
    pub(crate) repeated_events: u64,
    pub(crate) dead_letters: u64,
    pub(crate) met: Vec<(Kind, u64)>,
    pub(crate) history: Vec<Entry>,
    pub(crate) broken: Option<Broken>,
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
    pub(crate) weather: Weather,
    pub(crate) choices: Choices,
    pub(crate) fifo: bool,
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
    pub(crate) running: FuturesUnordered<LocalBoxFuture<'static, (Job, Ended<Answer>)>>,
    due: Vec<(Millis, u64, Due)>,
    order: u64,
    steps: u64,
    pub(crate) witness: Witness,
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
            met: Vec::new(),
            history: Vec::new(),
            broken: Some(Broken::of_all("Totality", "the event sources panicked")),
        })
    }

    fn run_unguarded(plan: &Plan, bug: Option<Bug>, keeps_history: bool) -> Run {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            clock::begin(plan.seed);
            let mut world = Self::new(plan, bug, keeps_history);
            let outcome = world.live().await;
            let dead = world.queue.dead_letter_queue();
            Run {
                plan: world.plan,
                messages: world.witness.sent.len() as u64,
                repeated_events: world.witness.repeated_events,
                dead_letters: dead.map_or(0, |dead| dead.len() as u64),
                met: world.weather.met(),
                history: world.history,
                broken: outcome.err(),
            }
        })
    }

    fn new(plan: &Plan, bug: Option<Bug>, keeps_history: bool) -> Self {
        let seed = plan.seed;
        let mut mixer = Mixer::new(seed);
        let weather = Weather::new(seed, &plan.without);
        let choices = Choices::from_seed(seed);
        let fifo = mixer.one_in(3);
        let parts = Parts::new(
            seed,
            weather.clone(),
            1 + (mixer.next() % 3) as u32,
            1 + (mixer.next() % 8) as usize,
        );
        let sources = [
            StreamKind::DynamoDb,
            StreamKind::Kinesis,
            StreamKind::Kinesis,
        ]
        .map(|kind| {
            let mapping = settings::stream_mapping(kind, &mut mixer, &weather, bug);
            StreamSource::new(mapping, choices)
        });
        let queue_mapping = settings::queue_mapping(fifo, &mut mixer);
        Self {
            plan: plan.clone(),
            bug,
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
            witness: Witness::default(),
            keeps_history,
            history: Vec::new(),
            mixer,
            weather,
            choices,
            fifo,
            parts,
        }
    }

    async fn live(&mut self) -> Verdict {
        self.tell_queue(sqs::Input::Enable)?;
        // A new mapping takes time to become active. It must not miss changes made in the meantime.
        for which in 0..self.sources.len() {
            let up = clock::now() + self.mixer.next() % 5_000;
            self.later(up, Due::Source(which, stream::Input::Enable));
        }
        self.storm().await?;
        if self.weather.strikes(Kind::StreamTrimmed) {
            self.trim().await?;
        }
        let expires = self.weather.strikes(Kind::ItemExpires);
        self.note(None, || "the storm is over".to_owned());
        self.weather.calm_down();
        clock::set_error(0);
        self.enable_all()?;
        let fresh = ["fresh0", "fresh1", "fresh2"];
        for id in fresh {
            self.send(Letter::fresh(id));
        }
        self.drain().await?;
        for id in fresh {
            if !self.witness.is_stored(id) {
                return broken(
                    "Progress",
                    id,
                    "sent after all faults had stopped, but not stored",
                );
            }
        }
        self.reconcile().await?;
        self.witness.at_the_end(&self.queue, &self.parts.table)?;
        self.stay_silent(expires).await
    }

    /// Sends messages and injects faults.
    async fn storm(&mut self) -> Verdict {
        let end = clock::START + self.plan.storm;
        let letters = letters(&mut self.mixer, &self.weather, crate::plan::STORM * 3 / 4);
        let kept = letters.into_iter().enumerate();
        let mut letters = kept.filter(|(place, _)| self.plan.sends(*place)).peekable();
        let letters: Vec<Letter> =
            std::iter::from_fn(|| letters.next().map(|(_, letter)| letter)).collect();
        let mut letters = letters.into_iter().peekable();
        let mut next_trouble = clock::START;
        loop {
            let next_letter = letters.peek().map(|letter| clock::START + letter.at);
            let next = [Some(next_trouble), next_letter, Some(end)];
            self.advance(next.into_iter().flatten().min().unwrap_or(end))
                .await?;
            let now = clock::now();
            if next_letter.is_some_and(|at| at <= now)
                && let Some(letter) = letters.next()
            {
                self.send(letter);
            }
            if now >= end {
                break;
            }
            if now >= next_trouble {
                next_trouble = now + 500 + self.mixer.next() % 3_000;
                self.trouble()?;
            }
        }
        for letter in letters {
            self.send(letter);
        }
        Ok(())
    }

    /// Disables the mapping of `forward` for so long that the table's stream drops its records.
    async fn trim(&mut self) -> Verdict {
        self.note(None, || "all mappings are disabled for 25 hours".to_owned());
        self.tell_queue(sqs::Input::Disable)?;
        for which in 0..self.sources.len() {
            self.tell_source(which, stream::Input::Disable)?;
        }
        self.due
            .retain(|(_, _, due)| !matches!(due, Due::Source(_, stream::Input::Enable)));
        self.advance(clock::now() + 2 * settings::VISIBILITY)
            .await?;
        clock::skip(LONGER_THAN_RETENTION);
        self.observe()?;
        self.table_stream.trim(clock::now());
        self.witness.trimmed();
        Ok(())
    }

    fn enable_all(&mut self) -> Verdict {
        self.tell_queue(sqs::Input::Enable)?;
        for which in 0..self.sources.len() {
            self.tell_source(which, stream::Input::Enable)?;
        }
        Ok(())
    }

    /// Runs until every message has been handled and every stream is drained.
    async fn drain(&mut self) -> Verdict {
        let end = clock::now() + CALM;
        loop {
            self.advance(clock::now() + 5_000).await?;
            let outstanding = self.witness.outstanding();
            let is_quiet = self.queue.is_empty()
                && self.running.is_empty()
                && self.queue_poller.is_idle()
                && self.sources.iter().all(|source| source.poller.is_idle());
            if is_quiet && outstanding.is_none() {
                return Ok(());
            }
            if clock::now() >= end {
                let message = self.queue.message_ids().next();
                return outstanding.map_or_else(
                    || {
                        broken(
                            "Progress",
                            message.unwrap_or("?"),
                            "the world does not drain",
                        )
                    },
                    Err,
                );
            }
        }
    }

    /// Redrives the items whose events a mapping discarded, as an operator would.
    async fn reconcile(&mut self) -> Verdict {
        let pending = self.witness.pending();
        self.witness.unconsumed.clear();
        for id in &pending {
            self.redrive(id);
        }
        self.drain().await
    }

    /// Checks that removals and edits publish no events once all work is finished.
    async fn stay_silent(&mut self, expires: bool) -> Verdict {
        let told = self.records;
        for (place, id) in self.witness.done().into_iter().enumerate() {
            if expires && place.is_multiple_of(2) {
                self.note(Some(&id), || "removed by its time to live".to_owned());
                self.parts.table.expire(&id);
            } else {
                self.edit(&id);
            }
        }
        self.advance(clock::now() + 10_000).await?;
        if self.records == told {
            return Ok(());
        }
        broken(
            "Nothing invented",
            "?",
            "an event was published although no status changed",
        )
    }

    pub(crate) fn note(&mut self, id: Option<&str>, what: impl FnOnce() -> String) {
        if self.keeps_history {
            self.note_of(id.map(ToOwned::to_owned).into_iter().collect(), what());
        }
    }

    pub(crate) fn note_of(&mut self, ids: Vec<String>, what: String) {
        self.history.push(Entry {
            at: clock::now() - clock::START,
            ids,
            what,
        });
    }

    pub(crate) fn send(&mut self, letter: Letter) {
        let mut outgoing = NewMessage::new(letter.body.clone());
        if self.fifo {
            outgoing.message_group_id = Some(letter.group.clone());
            outgoing.message_deduplication_id = Some(format!("d{}", self.witness.sent.len()));
        }
        let sent = self.queue.send(clock::now(), outgoing).unwrap();
        let id = match &letter.meaning {
            Meaning::Valid { id, .. } => id.clone(),
            Meaning::Malformed => "?".to_owned(),
        };
        self.note(Some(&id), || {
            let what = match letter.meaning {
                Meaning::Valid { content, .. } => format!("content {content}"),
                Meaning::Malformed => "malformed".to_owned(),
            };
            format!("sent, {what}, as message {}", short(&sent.message_id))
        });
        self.witness.sent(sent.message_id, letter);
    }

    pub(crate) fn later(&mut self, at: Millis, due: Due) {
        self.order += 1;
        self.due.push((at, self.order, due));
    }

    /// Drops the pending results of a lost poller.
    pub(crate) fn forget(&mut self, is_lost: impl Fn(&Due) -> bool) {
        self.due.retain(|(_, _, due)| !is_lost(due));
    }

    /// Advances virtual time to `until` and executes everything that is due by then.
    pub(crate) async fn advance(&mut self, until: Millis) -> Verdict {
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
                clock::skip(pause);
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
                self.ended(job, ended)?;
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
    fn step(&mut self, now: Millis) -> Verdict {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Broken::of_all(
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
                Due::Queue(input) => self.tell_queue(input),
                Due::Source(which, input) => self.tell_source(which, input),
            };
        }
        if self.receive(now)? {
            return Ok(());
        }
        if self.queue_poller.next_wakeup().is_some_and(|at| at <= now) {
            return self.tell_queue(sqs::Input::Wake);
        }
        let is_due =
            |source: &StreamSource| source.poller.next_wakeup().is_some_and(|at| at <= now);
        match self.sources.iter().position(is_due) {
            Some(which) => self.tell_source(which, stream::Input::Wake),
            None => Ok(()),
        }
    }

    /// Passes new changes and records to the witness, and the changes to the table's stream.
    pub(crate) fn observe(&mut self) -> Verdict {
        let changes = self.parts.table.changes_since(self.changes);
        self.changes += changes.len();
        for change in &changes {
            let (shard, number) = self.stream_change(change);
            self.note(Some(&change.id), || describe(change));
            let fifo = self.fifo.then_some(&self.queue);
            self.witness
                .changed(change, shard, number, &self.parts.table, fifo)?;
        }
        let records = self.parts.stream.records_since(self.records);
        self.records += records.len() as u64;
        for record in &records {
            let number = tail(Some(&record.sequence_number)).to_owned();
            self.note(Some(record.record.id.as_str()), || {
                format!("in Kinesis, {}, {number}", record.shard_id)
            });
            self.witness.published(record)?;
        }
        Ok(())
    }
}

fn describe(change: &onewrite_testing::Change) -> String {
    let status = |item: &Option<serde_dynamo::Item>| {
        item.as_ref()
            .and_then(|item| crate::witness::text(item, onewrite::item::attribute::STATUS))
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
