//! One stack, step by step: what comes, what each place can take, what is left waiting.
//!
//! Within a step the flow goes from left to right, so that what meets no limit is through in the step it came in. What
//! services and polls take is added to that; no limit makes it longer.

use serde::Serialize;

use crate::{
    backlog::{Backlog, Cohort},
    growth::OnDemand,
    lambda::{Environments, Work, slot_seconds},
    ledger::{Ledger, Limit},
    limits::{
        ON_DEMAND_GROWTH_SECONDS, PARTITION_BYTES, PARTITION_UNITS, POLLER_RECEIVES, RECEIVES,
        SHARD_BYTES, SHARD_READ_BYTES, SHARD_RECORDS, SQS_IN_FLIGHT, STREAM_POLL_SECONDS,
        TABLE_GROWTH_SECONDS, TABLE_STREAM_POLL_SECONDS, TABLE_STREAM_READ_BYTES,
        TABLE_STREAM_READ_RECORDS,
    },
    pollers::{Pollers, Wanted},
    settings::{Batches, Load, Settings, Speed, Stream},
};

/// The table's bytes of one item beside it (DynamoDB developer guide, "Item sizes and formats").
const STORED_ITEM_BYTES: f64 = 100.0;

/// How it stands after one step, in one stack. Rates are of a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the start.
    pub seconds: f64,
    /// Messages that came, copies included.
    pub arrived: f64,
    /// Messages that wait in the queue, those included that are hidden after a receive in vain.
    pub queue: f64,
    /// Age of the oldest, in seconds.
    pub oldest: f64,
    /// Invocations of `ingest` at the same time.
    pub ingest_concurrency: f64,
    /// Provisioned pollers.
    pub pollers: f64,
    /// Messages that DynamoDB throttled.
    pub throttled: f64,
    /// Notifications that were stored.
    pub stored: f64,
    /// Write units.
    pub units: f64,
    /// Changes that wait in the table's stream.
    pub table_stream: f64,
    /// How far `forward` is behind, in seconds.
    pub forward_age: f64,
    /// Invocations of `forward` at the same time.
    pub forward_concurrency: f64,
    /// Shards of the notification stream.
    pub shards: f64,
    /// Records that it took.
    pub published: f64,
    /// Events that wait in it.
    pub stream: f64,
    /// How far `complete` is behind, in seconds.
    pub complete_age: f64,
    /// Invocations of `complete` at the same time.
    pub complete_concurrency: f64,
    /// Notifications that became DONE.
    pub done: f64,
    /// Seconds from arrival to DONE, for half of what became DONE in this step.
    pub p50: f64,
    /// And for ninety-nine in a hundred.
    pub p99: f64,
    /// Dead letters so far.
    pub dead: f64,
}

/// Sums since the start, in one stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Messages that came, copies included.
    pub arrived: f64,
    /// Notifications stored.
    pub stored: f64,
    /// Copies that were found to be stored already.
    pub copies: f64,
    /// Messages that were received too often.
    pub dead: f64,
    /// Notifications that became DONE.
    pub done: f64,
    /// Records of the notification stream.
    pub published: f64,
    /// Events of the hottest id among them.
    pub hot_published: f64,
    /// Redrives of the hottest id that the table did not take.
    pub hot_refused: f64,
    /// Write units consumed.
    pub units: f64,
    /// Invocations of `ingest`, `forward` and `complete`.
    pub invocations: [f64; 3],
    /// Their seconds.
    pub invocation_seconds: [f64; 3],
    /// Messages received, those in vain included.
    pub received: f64,
    /// Receives of them.
    pub receives: f64,
    /// Hours of shards.
    pub shard_hours: f64,
}

/// One stack as it flows.
#[derive(Debug, Clone)]
pub struct Flow {
    load: Load,
    settings: Settings,
    batches: Batches,
    work: [Work; 3],
    call_seconds: [f64; 3],
    tail: f64,
    step: f64,
    now: f64,
    queue: Backlog,
    hidden: Vec<(f64, Cohort)>,
    table_stream: Backlog,
    hot_changes: f64,
    stream: Backlog,
    pollers: Pollers,
    environments: [Environments; 3],
    table: OnDemand,
    shards: Shards,
    /// Slots that forward and complete wanted in the last step, and write units that DONE did.
    wanted_before: ([f64; 2], f64),
    ledger: Ledger,
    totals: Totals,
}

#[derive(Debug, Clone)]
enum Shards {
    Provisioned(f64),
    OnDemand(OnDemand),
}

impl Shards {
    fn now(&self) -> f64 {
        match self {
            Self::Provisioned(shards) => *shards,
            Self::OnDemand(shards) => shards.capacity(),
        }
    }
}

/// What one function had in a step.
struct Had {
    records: f64,
    concurrency: f64,
}

impl Flow {
    /// One of the stacks, with its share of the load and of the account, in steps of so many seconds.
    #[must_use]
    pub fn new(load: &Load, settings: &Settings, speed: &Speed, step: f64) -> Self {
        let shards = match settings.stream {
            Stream::Provisioned { shards } => Shards::Provisioned(shards.into()),
            Stream::OnDemand { first, quota } => {
                Shards::OnDemand(OnDemand::new(first, quota, ON_DEMAND_GROWTH_SECONDS))
            }
        };
        Self {
            batches: Batches::of(load, settings),
            work: [
                speed.ingest(settings),
                speed.forward(settings),
                speed.complete(settings),
            ],
            call_seconds: [
                speed.dynamodb_ms / 1_000.0,
                speed.kinesis_ms / 1_000.0,
                (speed.downstream_ms + speed.dynamodb_ms) / 1_000.0,
            ],
            tail: speed.tail,
            step,
            now: 0.0,
            queue: Backlog::default(),
            hidden: Vec::new(),
            table_stream: Backlog::default(),
            hot_changes: 0.0,
            stream: Backlog::default(),
            pollers: Pollers::new(settings.polling),
            environments: <[Environments; 3]>::default(),
            table: OnDemand::new(
                settings.table_warm_units,
                settings.table_quota_units,
                TABLE_GROWTH_SECONDS,
            ),
            shards,
            wanted_before: ([0.0; 2], 0.0),
            ledger: Ledger::default(),
            totals: Totals::default(),
            load: load.clone(),
            settings: settings.clone(),
        }
    }

    /// How near each limit was.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Notifications that are stored and not DONE: INIT waits in the table's stream or in the notification stream.
    #[must_use]
    pub fn pending(&self) -> f64 {
        self.table_stream.parts()[0] + self.stream.parts()[0]
    }

    /// Messages that are not stored.
    #[must_use]
    pub fn queued(&self) -> f64 {
        self.queue.amount() + self.hidden()
    }

    /// Events of the hottest id that wait for `forward`.
    #[must_use]
    pub fn hot_waiting(&self) -> f64 {
        self.hot_changes
    }

    /// Shards of the table's stream.
    #[must_use]
    pub fn table_stream_shards(&self) -> f64 {
        if let Some(shards) = self.settings.table_stream_shards {
            return shards.into();
        }
        let stored = self.totals.stored * (self.load.item_bytes() + STORED_ITEM_BYTES);
        let by_units = self.table.level() / PARTITION_UNITS;
        by_units.max(stored / PARTITION_BYTES).ceil().max(1.0)
    }

    fn hidden(&self) -> f64 {
        self.hidden.iter().map(|(_, cohort)| cohort.amount()).sum()
    }

    fn grant(&mut self, limit: Limit, wanted: f64, has: f64) -> f64 {
        let at = (self.now, self.step);
        self.ledger.grant(limit, wanted, has, at)
    }

    /// Goes on by one step.
    pub fn step(&mut self) -> Sample {
        let arrived = self.arrive();
        let ingest_batch = self.ingest_batch();
        let ingest = self.receive(ingest_batch);
        let (stored, throttled, units) = self.store(ingest.records);
        let forward = self.forward();
        let changes = self.table_stream.amount() + self.hot_changes;
        let changed = self.table_stream.oldest_entered();
        let (complete, latencies) = self.complete(units);
        let units = units
            + self
                .wanted_before
                .1
                .min(complete.records * self.load.units());
        self.table.took(units / self.step, self.step);
        self.totals.units += units;
        self.totals.shard_hours += self.shards.now() * self.step / 3_600.0;
        self.now += self.step;
        let waits = self.waits(ingest_batch, &ingest, &forward, &complete);
        let age = |since: Option<f64>| since.map_or(0.0, |since| (self.now - since).max(0.0));
        let hidden_born = self.hidden.iter().map(|(_, cohort)| cohort.born);
        let born = hidden_born.chain(self.queue.oldest_born());
        Sample {
            seconds: self.now,
            arrived: arrived / self.step,
            queue: self.queued(),
            oldest: age(born.min_by(f64::total_cmp)),
            ingest_concurrency: ingest.concurrency,
            pollers: self.pollers.provisioned(),
            throttled: throttled / self.step,
            stored: stored / self.step,
            units: units / self.step,
            table_stream: changes,
            forward_age: age(changed),
            forward_concurrency: forward.concurrency,
            shards: self.shards.now(),
            published: forward.records / self.step,
            stream: self.stream.amount(),
            complete_age: age(self.stream.oldest_entered()),
            complete_concurrency: complete.concurrency,
            done: complete.records / self.step,
            p50: quantile(&latencies, 0.50) + waits.0,
            p99: quantile(&latencies, 0.99) + waits.1,
            dead: self.totals.dead,
        }
    }

    fn arrive(&mut self) -> f64 {
        let (now, visible): (f64, f64) = (self.now, self.now + 1e-9);
        let ready = self.hidden.extract_if(.., |(until, _)| *until <= visible);
        let ready: Vec<_> = ready.collect();
        for (_, cohort) in ready {
            self.queue.push(cohort);
        }
        let messages = self.load.at(now) / f64::from(self.settings.stacks) * self.step;
        let hot = messages * self.load.hot_share;
        let parts = [messages - hot, messages * self.load.duplicates, hot];
        self.queue.push(Cohort {
            born: now,
            entered: now,
            receives: 0,
            parts,
        });
        let arrived = parts.iter().sum();
        self.totals.arrived += arrived;
        arrived
    }

    /// Messages of an invocation of `ingest`.
    fn ingest_batch(&self) -> f64 {
        let each_second = self.queue.amount() / self.step / self.pollers.collectors().max(1.0);
        let window = f64::from(self.settings.ingest_window);
        let [work, ..] = self.work;
        let batch = work.batch(each_second, window, self.batches.ingest);
        if self.pollers.provisioned() > 0.0 {
            // They do not receive more often than this.
            return batch.max((each_second / POLLER_RECEIVES).min(self.batches.ingest));
        }
        batch
    }

    /// What `ingest` gets of the queue.
    fn receive(&mut self, batch: f64) -> Had {
        let available = self.queue.amount();
        let seconds = self.work[0].seconds(batch);
        let each_slot = batch / seconds * self.step;
        let wanted = available / self.step;
        self.pollers.scale(
            Wanted {
                concurrency: available / each_slot,
                messages: wanted,
                message_bytes: self.load.message_bytes(),
            },
            self.step,
        );
        let (now, most) = self.pollers.messages(self.load.message_bytes());
        // The most there can be is judged by what comes, not by what has piled up: that only takes longer.
        let coming = self.load.at(self.now) / f64::from(self.settings.stacks);
        let coming = (coming * (1.0 + self.load.duplicates)).min(wanted);
        self.grant(Limit::PollerThroughput, coming, most);
        let full = self.batches.ingest;
        let most = self.pollers.most_concurrency() * full / self.work[0].seconds(full);
        self.grant(Limit::IngestConcurrency, coming, most);
        let by_concurrency = self.pollers.concurrency() * each_slot / self.step;
        let now = now.min(by_concurrency);
        if !self.pollers.are_all() {
            self.grant(Limit::PollersNow, wanted, now);
        }
        let mut each_second = wanted.min(now);
        let held = seconds + f64::from(self.settings.ingest_window);
        let free = (SQS_IN_FLIGHT - self.hidden()).max(0.0);
        each_second = self.grant(Limit::InFlight, each_second * held, free) / held;
        let slots = each_second / batch * slot_seconds(seconds);
        let slots = self.slots(0, slots);
        let records = (slots / slot_seconds(seconds) * batch * self.step).min(available);
        self.had(0, records, batch, seconds)
    }

    /// The concurrency that a function gets of what it wants: its own growth, and its share of the account's.
    fn slots(&mut self, function: usize, wanted: f64) -> f64 {
        let most = self.environments[function].most();
        let grown = self.grant(Limit::FunctionGrowth, wanted, most);
        let account =
            f64::from(self.settings.account_concurrency) / f64::from(self.settings.stacks);
        let [forward, complete] = self.wanted_before.0.map(|wanted| wanted.min(account / 3.0));
        let used: f64 = self.environments[..function]
            .iter()
            .map(Environments::in_use)
            .sum();
        let others = match function {
            0 => forward + complete,
            1 => used + complete,
            _ => used,
        };
        let slots = self.grant(
            Limit::AccountConcurrency,
            grown,
            (account - others).max(0.0),
        );
        if function > 0 {
            self.wanted_before.0[function - 1] = grown;
        }
        self.environments[function].used(slots, self.step);
        slots
    }

    fn had(&mut self, function: usize, records: f64, batch: f64, seconds: f64) -> Had {
        let invocations = records / batch;
        self.totals.invocations[function] += invocations;
        self.totals.invocation_seconds[function] += invocations * seconds;
        if function == 0 {
            self.totals.received += records;
            self.totals.receives += records / batch.clamp(1.0, crate::limits::RECEIVE_MESSAGES);
        }
        Had {
            records,
            concurrency: invocations * seconds / self.step,
        }
    }

    /// What the table takes of `messages`; the rest is hidden until its visibility timeout ends. Answers what was stored,
    /// throttled, and the write units.
    fn store(&mut self, messages: f64) -> (f64, f64, f64) {
        let units = self.load.units();
        let taken = self.queue.take(messages);
        let has = self.table.capacity() * self.step;
        let done = self.wanted_before.1;
        let redrives = self.load.hot_redrives * self.step;
        let wanted = (messages + redrives) * units;
        let at = (self.now, self.step);
        let quota = self.table.quota() * self.step;
        self.ledger
            .grant(Limit::TableQuota, wanted + done, quota, at);
        self.ledger
            .grant(Limit::TableGrowth, wanted + done, has, at);
        // Both kinds of writes are throttled alike.
        let share = (has / (wanted + done).max(1e-9)).min(1.0);
        let hot: f64 = taken.iter().map(|cohort| cohort.parts[2]).sum();
        let partition = PARTITION_UNITS * self.step;
        let hot_wanted = (hot + redrives) * units;
        self.ledger
            .grant(Limit::HotPartition, hot_wanted, partition, at);
        let hot_share = share.min(partition / hot_wanted.max(1e-9));
        let (mut stored, mut throttled, mut written) = (0.0, 0.0, 0.0);
        for cohort in taken {
            let [fresh, copies, hot] = cohort.parts;
            let kept = [fresh * share, copies * share, hot * hot_share];
            self.totals.copies += kept[1] + kept[2];
            stored += kept[0];
            written += kept.iter().sum::<f64>();
            self.table_stream.push(Cohort {
                entered: self.now,
                parts: [kept[0], 0.0, 0.0],
                ..cohort
            });
            let back = Cohort {
                receives: cohort.receives + 1,
                parts: [fresh - kept[0], copies - kept[1], hot - kept[2]],
                ..cohort
            };
            throttled += back.amount();
            if back.receives >= RECEIVES {
                self.totals.dead += back.amount();
            } else if back.amount() > 1e-9 {
                let until = self.now + f64::from(self.settings.visibility_seconds);
                self.hidden.push((until, back));
            }
        }
        let touched = redrives * hot_share;
        self.totals.hot_refused += redrives - touched;
        self.hot_changes += touched;
        self.totals.stored += stored;
        (stored, throttled, (written + touched) * units)
    }

    /// What `forward` publishes.
    fn forward(&mut self) -> Had {
        let shards = self.table_stream_shards();
        let lanes = shards * f64::from(self.settings.forward_parallelization);
        let available = self.table_stream.amount();
        let work = self.work[1];
        let each_second = available / self.step / lanes;
        let batch = work.batch(each_second, TABLE_STREAM_POLL_SECONDS, self.batches.forward);
        let seconds = work.seconds(batch);
        let mut records = self.grant(
            Limit::ForwardLanes,
            available,
            lanes * batch / seconds * self.step,
        );
        let each_read = TABLE_STREAM_READ_RECORDS
            .min(TABLE_STREAM_READ_BYTES / self.load.change_bytes())
            .max(1.0);
        let read = shards * each_read / TABLE_STREAM_POLL_SECONDS * self.step;
        records = self.grant(Limit::TableStreamRead, records, read);
        let slots = self.slots(1, records / batch * slot_seconds(seconds) / self.step);
        records = records.min(slots / slot_seconds(seconds) * batch * self.step);
        // One record of an id in a call, one call after the other; and its shard.
        let bytes = self.load.record_bytes();
        let of_shard = SHARD_RECORDS.min(SHARD_BYTES / bytes) * self.step;
        let in_order = self.step / self.call_seconds[1].max(1e-6);
        let hot = self.grant(Limit::HotOrder, self.hot_changes, in_order.min(of_shard));
        let capacity = self.shards.now() * of_shard;
        let hot = hot.min(capacity);
        records = self.grant(Limit::StreamWrite, records, capacity - hot);
        self.hot_changes -= hot;
        for cohort in self.table_stream.take(records) {
            self.stream.push(Cohort {
                entered: self.now,
                ..cohort
            });
        }
        self.totals.published += records + hot;
        self.totals.hot_published += hot;
        if let Shards::OnDemand(growth) = &mut self.shards {
            growth.took((records + hot) / of_shard, self.step);
        }
        let had = self.had(1, records, batch, seconds);
        Had {
            records: records + hot,
            ..had
        }
    }

    /// What `complete` makes DONE, and how long each has taken so far.
    fn complete(&mut self, units_used: f64) -> (Had, Vec<(f64, f64)>) {
        let shards = self.shards.now();
        let lanes = shards * f64::from(self.settings.complete_parallelization);
        let [init, ..] = self.stream.parts();
        let available = self.stream.amount();
        let read = shards * SHARD_READ_BYTES / self.load.record_bytes() * self.step;
        let records = self.grant(Limit::StreamRead, available, read);
        let share = init / available.max(1e-9);
        let work = self.work[2];
        let each_second = init / self.step / lanes;
        let batch = work.batch(each_second, STREAM_POLL_SECONDS, self.batches.complete);
        let seconds = work.seconds(batch);
        let mut inits = self.grant(
            Limit::CompleteLanes,
            records * share,
            lanes * batch / seconds * self.step,
        );
        let slots = self.slots(2, inits / batch * slot_seconds(seconds) / self.step);
        inits = inits.min(slots / slot_seconds(seconds) * batch * self.step);
        let units = self.load.units();
        self.wanted_before.1 = inits * units;
        let left = (self.table.capacity() * self.step - units_used).max(0.0);
        inits = inits.min(left / units);
        let mut done = 0.0;
        let mut latencies = Vec::new();
        for cohort in self.stream.take_within(records, inits) {
            // What is not INIT is filtered out by the mapping.
            let [init, ..] = cohort.parts;
            done += init;
            latencies.push((self.now - cohort.born, init));
            self.table_stream.push(Cohort {
                entered: self.now,
                parts: [0.0, init, 0.0],
                ..cohort
            });
        }
        self.totals.done += done;
        (self.had(2, done, batch, seconds), latencies)
    }

    /// What polls, windows and services take where nothing waits: half of them at least, and ninety-nine in a hundred.
    fn waits(&self, batch: f64, ingest: &Had, forward: &Had, complete: &Had) -> (f64, f64) {
        let collected = ingest.records / self.step / self.pollers.collectors().max(1.0);
        let window = f64::from(self.settings.ingest_window).min(batch / collected.max(1e-9));
        let polls = window + TABLE_STREAM_POLL_SECONDS + STREAM_POLL_SECONDS;
        let hads = [ingest, forward, complete];
        let totals = hads.iter().enumerate().map(|(function, had)| {
            let invocations = self.totals.invocations[function].max(1e-9);
            let seconds = self.totals.invocation_seconds[function] / invocations;
            let calls = self.call_seconds[function];
            if had.records > 0.0 {
                (seconds, calls)
            } else {
                (0.0, 0.0)
            }
        });
        let (work, calls) = totals.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (polls / 2.0 + work, polls + work + calls * (self.tail - 1.0))
    }
}

/// The least value that has such a share of the weight at or below it.
fn quantile(values: &[(f64, f64)], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let weight: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    for (value, weight_of_it) in &sorted {
        sum += weight_of_it;
        if sum >= weight * share {
            return *value;
        }
    }
    0.0
}
