//! One stack, step by step: what arrives, how much each stage can process, and how much is left waiting.
//!
//! Within a step, messages pass all stages in order. So a message that no limit stops becomes DONE in the step in which it
//! arrived. The time that services and polls need is added to the latency afterwards.

use onewrite_cost::estimate::STORED_ITEM_BYTES;

use crate::{
    backlog::{Backlog, Cohort},
    growth::OnDemandCapacity,
    lambda::{Environments, Work, slot_seconds},
    limit_usage::{Limit, LimitTracker},
    limits::{
        ON_DEMAND_GROWTH_SECONDS, PARTITION_BYTES, PARTITION_UNITS, POLLER_RECEIVES, RECEIVES,
        SHARD_BYTES, SHARD_READ_BYTES, SHARD_RECORDS, SQS_IN_FLIGHT, STREAM_POLL_SECONDS,
        TABLE_GROWTH_SECONDS, TABLE_STREAM_POLL_SECONDS, TABLE_STREAM_READ_BYTES,
        TABLE_STREAM_READ_RECORDS,
    },
    pollers::{Demand, Pollers},
    sample::{Sample, Totals},
    settings::{Batches, Load, Settings, Speed, Stream},
};

/// The simulation of one stack.
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
    /// Messages that are hidden after a failed receive, and when they become visible.
    hidden: Vec<(f64, Cohort)>,
    table_stream: Backlog,
    hot_changes: f64,
    stream: Backlog,
    pollers: Pollers,
    environments: [Environments; 3],
    table: OnDemandCapacity,
    shards: Shards,
    /// Demand of the previous step: slots of `forward` and `complete`, and write units for DONE.
    previous_demand: ([f64; 2], f64),
    limits: LimitTracker,
    totals: Totals,
}

#[derive(Debug, Clone)]
enum Shards {
    Provisioned(f64),
    OnDemand(OnDemandCapacity),
}

impl Shards {
    fn now(&self) -> f64 {
        match self {
            Self::Provisioned(shards) => *shards,
            Self::OnDemand(shards) => shards.capacity(),
        }
    }
}

/// The work of one function in a step.
struct Throughput {
    records: f64,
    concurrency: f64,
}

impl Flow {
    /// Simulates one of the stacks, with its share of the load and of the account, in steps of this many seconds.
    #[must_use]
    pub fn new(load: &Load, settings: &Settings, speed: &Speed, step: f64) -> Self {
        let shards = match settings.stream {
            Stream::Provisioned { shards } => Shards::Provisioned(shards.into()),
            Stream::OnDemand { first, quota } => Shards::OnDemand(OnDemandCapacity::new(
                first,
                quota,
                ON_DEMAND_GROWTH_SECONDS,
            )),
        };
        Self {
            batches: Batches::new(load, settings),
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
            table: OnDemandCapacity::new(
                settings.table_warm_units,
                settings.table_quota_units,
                TABLE_GROWTH_SECONDS,
            ),
            shards,
            previous_demand: ([0.0; 2], 0.0),
            limits: LimitTracker::default(),
            totals: Totals::default(),
            load: load.clone(),
            settings: settings.clone(),
        }
    }

    #[must_use]
    pub fn limits(&self) -> &LimitTracker {
        &self.limits
    }

    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Notifications in INIT, which wait in the table's stream or in the notification stream.
    #[must_use]
    pub fn pending(&self) -> f64 {
        self.table_stream.parts()[0] + self.stream.parts()[0]
    }

    /// Messages in the queue, including hidden ones.
    #[must_use]
    pub fn queued(&self) -> f64 {
        self.queue.amount() + self.hidden()
    }

    /// Changes of the hottest id that wait for `forward`.
    #[must_use]
    pub fn hot_waiting(&self) -> f64 {
        self.hot_changes
    }

    #[must_use]
    pub fn table_stream_shards(&self) -> f64 {
        if let Some(shards) = self.settings.table_stream_shards {
            return shards.into();
        }
        let stored = self.totals.stored * (self.load.item_bytes() + STORED_ITEM_BYTES as f64);
        let by_units = self.table.level() / PARTITION_UNITS;
        by_units.max(stored / PARTITION_BYTES).ceil().max(1.0)
    }

    fn hidden(&self) -> f64 {
        self.hidden.iter().map(|(_, cohort)| cohort.amount()).sum()
    }

    fn grant(&mut self, limit: Limit, wanted: f64, has: f64) -> f64 {
        let at = (self.now, self.step);
        self.limits.grant(limit, wanted, has, at)
    }

    /// Advances by one step.
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
                .previous_demand
                .1
                .min(complete.records * self.load.units());
        self.table.record_usage(units / self.step, self.step);
        self.totals.units += units;
        self.totals.shard_hours += self.shards.now() * self.step / 3_600.0;
        self.now += self.step;
        let waits = self.waits(ingest_batch, &ingest, &forward, &complete);
        let age = |since: Option<f64>| since.map_or(0.0, |since| (self.now - since).max(0.0));
        let hidden_arrivals = self.hidden.iter().map(|(_, cohort)| cohort.arrived);
        let born = hidden_arrivals.chain(self.queue.oldest_arrival());
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
        let messages = self.load.rate_at(now) / f64::from(self.settings.stacks) * self.step;
        let hot = messages * self.load.hot_share;
        let parts = [messages - hot, messages * self.load.duplicates, hot];
        self.queue.push(Cohort {
            arrived: now,
            entered: now,
            receives: 0,
            parts,
        });
        let arrived = parts.iter().sum();
        self.totals.arrived += arrived;
        arrived
    }

    /// The average batch of `ingest`.
    fn ingest_batch(&self) -> f64 {
        let each_second = self.queue.amount() / self.step / self.pollers.collectors().max(1.0);
        let window = f64::from(self.settings.ingest_window);
        let [work, ..] = self.work;
        let batch = work.batch(each_second, window, self.batches.ingest);
        if self.pollers.provisioned() > 0.0 {
            // Provisioned pollers receive at most this often.
            return batch.max((each_second / POLLER_RECEIVES).min(self.batches.ingest));
        }
        batch
    }

    /// Lets `ingest` receive messages.
    fn receive(&mut self, batch: f64) -> Throughput {
        let available = self.queue.amount();
        let seconds = self.work[0].seconds(batch);
        let each_slot = batch / seconds * self.step;
        let wanted = available / self.step;
        self.pollers.scale(
            Demand {
                concurrency: available / each_slot,
                messages: wanted,
                message_bytes: self.load.message_bytes(),
            },
            self.step,
        );
        let (current, maximum) = self.pollers.messages(self.load.message_bytes());
        // The final capacity is compared with the arriving messages: a backlog only takes longer.
        let arriving = self.load.rate_at(self.now) / f64::from(self.settings.stacks);
        let arriving = (arriving * (1.0 + self.load.duplicates)).min(wanted);
        self.grant(Limit::PollerThroughput, arriving, maximum);
        let full = self.batches.ingest;
        let maximum = self.pollers.maximum_concurrency() * full / self.work[0].seconds(full);
        self.grant(Limit::IngestConcurrency, arriving, maximum);
        let by_concurrency = self.pollers.concurrency() * each_slot / self.step;
        let current = current.min(by_concurrency);
        if !self.pollers.are_fully_scaled() {
            self.grant(Limit::PollersNow, wanted, current);
        }
        let mut each_second = wanted.min(current);
        let in_flight_seconds = seconds + f64::from(self.settings.ingest_window);
        let free = (SQS_IN_FLIGHT - self.hidden()).max(0.0);
        each_second =
            self.grant(Limit::InFlight, each_second * in_flight_seconds, free) / in_flight_seconds;
        let slots = each_second / batch * slot_seconds(seconds);
        let slots = self.slots(0, slots);
        let records = (slots / slot_seconds(seconds) * batch * self.step).min(available);
        self.record_invocations(0, records, batch, seconds)
    }

    /// Limits the concurrency of a function by its own growth and by its share of the account's concurrency.
    fn slots(&mut self, function: usize, wanted: f64) -> f64 {
        let available = self.environments[function].available();
        let grown = self.grant(Limit::FunctionGrowth, wanted, available);
        let account =
            f64::from(self.settings.account_concurrency) / f64::from(self.settings.stacks);
        let [forward, complete] = self
            .previous_demand
            .0
            .map(|wanted| wanted.min(account / 3.0));
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
            self.previous_demand.0[function - 1] = grown;
        }
        self.environments[function].record_usage(slots, self.step);
        slots
    }

    fn record_invocations(
        &mut self,
        function: usize,
        records: f64,
        batch: f64,
        seconds: f64,
    ) -> Throughput {
        let invocations = records / batch;
        self.totals.invocations[function] += invocations;
        self.totals.invocation_seconds[function] += invocations * seconds;
        if function == 0 {
            self.totals.received += records;
            self.totals.receives += records / batch.clamp(1.0, crate::limits::RECEIVE_MESSAGES);
        }
        Throughput {
            records,
            concurrency: invocations * seconds / self.step,
        }
    }

    /// Writes `messages` to the table. Throttled messages are hidden until their visibility timeout ends. Returns the
    /// numbers of stored and throttled messages, and the write units.
    fn store(&mut self, messages: f64) -> (f64, f64, f64) {
        let units = self.load.units();
        let received = self.queue.remove(messages);
        let has = self.table.capacity() * self.step;
        let done = self.previous_demand.1;
        let redrives = self.load.hot_redrives * self.step;
        let wanted = (messages + redrives) * units;
        let at = (self.now, self.step);
        let quota = self.table.quota() * self.step;
        self.limits
            .grant(Limit::TableQuota, wanted + done, quota, at);
        self.limits
            .grant(Limit::TableGrowth, wanted + done, has, at);
        // INIT and DONE are throttled alike.
        let share = (has / (wanted + done).max(1e-9)).min(1.0);
        let hot: f64 = received.iter().map(|cohort| cohort.parts[2]).sum();
        let partition = PARTITION_UNITS * self.step;
        let hot_wanted = (hot + redrives) * units;
        self.limits
            .grant(Limit::HotPartition, hot_wanted, partition, at);
        let hot_share = share.min(partition / hot_wanted.max(1e-9));
        let (mut stored, mut throttled, mut written) = (0.0, 0.0, 0.0);
        for cohort in received {
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
            self.hide(back);
        }
        let redriven = redrives * hot_share;
        self.totals.hot_refused += redrives - redriven;
        self.hot_changes += redriven;
        self.totals.stored += stored;
        (stored, throttled, (written + redriven) * units)
    }

    /// Hides messages until their visibility timeout ends, or moves them to the dead-letter queue.
    fn hide(&mut self, cohort: Cohort) {
        if cohort.receives >= RECEIVES {
            self.totals.dead += cohort.amount();
        } else if cohort.amount() > 1e-9 {
            let until = self.now + f64::from(self.settings.visibility_seconds);
            self.hidden.push((until, cohort));
        }
    }

    /// Lets `forward` publish changes.
    fn forward(&mut self) -> Throughput {
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
        // An id has one record in a call, its calls are sequential, and it has one shard.
        let bytes = self.load.record_bytes();
        let of_shard = SHARD_RECORDS.min(SHARD_BYTES / bytes) * self.step;
        let in_order = self.step / self.call_seconds[1].max(1e-6);
        let hot = self.grant(Limit::HotOrder, self.hot_changes, in_order.min(of_shard));
        let capacity = self.shards.now() * of_shard;
        let hot = hot.min(capacity);
        records = self.grant(Limit::StreamWrite, records, capacity - hot);
        self.hot_changes -= hot;
        for cohort in self.table_stream.remove(records) {
            self.stream.push(Cohort {
                entered: self.now,
                ..cohort
            });
        }
        self.totals.published += records + hot;
        self.totals.hot_published += hot;
        if let Shards::OnDemand(growth) = &mut self.shards {
            growth.record_usage((records + hot) / of_shard, self.step);
        }
        let throughput = self.record_invocations(1, records, batch, seconds);
        Throughput {
            records: records + hot,
            ..throughput
        }
    }

    /// Lets `complete` write DONE. Returns also the age of the completed notifications, with their numbers.
    fn complete(&mut self, units_used: f64) -> (Throughput, Vec<(f64, f64)>) {
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
        self.previous_demand.1 = inits * units;
        let left = (self.table.capacity() * self.step - units_used).max(0.0);
        inits = inits.min(left / units);
        let mut done = 0.0;
        let mut latencies = Vec::new();
        for cohort in self.stream.remove_limited(records, inits) {
            // The mapping's filter excludes records other than INIT.
            let [init, ..] = cohort.parts;
            done += init;
            latencies.push((self.now - cohort.arrived, init));
            self.table_stream.push(Cohort {
                entered: self.now,
                parts: [0.0, init, 0.0],
                ..cohort
            });
        }
        self.totals.done += done;
        (self.record_invocations(2, done, batch, seconds), latencies)
    }

    /// Latency of polls, windows and services without a backlog: median and 99th percentile.
    fn waits(
        &self,
        batch: f64,
        ingest: &Throughput,
        forward: &Throughput,
        complete: &Throughput,
    ) -> (f64, f64) {
        let collected = ingest.records / self.step / self.pollers.collectors().max(1.0);
        let window = f64::from(self.settings.ingest_window).min(batch / collected.max(1e-9));
        let polls = window + TABLE_STREAM_POLL_SECONDS + STREAM_POLL_SECONDS;
        let throughputs = [ingest, forward, complete];
        let totals = throughputs
            .iter()
            .enumerate()
            .map(|(function, throughput)| {
                let invocations = self.totals.invocations[function].max(1e-9);
                let seconds = self.totals.invocation_seconds[function] / invocations;
                let calls = self.call_seconds[function];
                if throughput.records > 0.0 {
                    (seconds, calls)
                } else {
                    (0.0, 0.0)
                }
            });
        let (work, calls) = totals.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (polls / 2.0 + work, polls + work + calls * (self.tail - 1.0))
    }
}

/// The smallest value for which this share of the weight is at or below it.
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
