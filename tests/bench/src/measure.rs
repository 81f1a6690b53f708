//! The measurements. Contenders take turns, each run in another order, so that what this machine does meanwhile meets all
//! of them alike.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::body::Bytes;
use nix::time::ClockId;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::{
    contender::Contender,
    cost::MEMORY_MB,
    events::{self, Ids},
    figures::{
        BENCH_SHARE, BILLED, COLD_START, COMPLETE_CALLS, COMPLETE_CPU, FORWARD_CALLS, FORWARD_CPU,
        FORWARD_RATE, Figure, Figures, INGEST_CALLS, INGEST_CPU, INGEST_WALL, INITIALISATION,
        MEMORY, PROGRAM,
    },
    process::Process,
    stub::Stub,
};

/// Bytes of a payload where nothing else is said.
pub const PAYLOAD: usize = 1_024;
/// Small enough that ten thousand changes are one event that Lambda delivers: at most 6 MB.
pub const SMALL_PAYLOAD: usize = 64;
/// How long a call to DynamoDB takes where it takes its time.
pub const LATENCY: Duration = Duration::from_millis(5);
/// Messages that a warm function has taken before it is measured.
const WARMED_BY: usize = 200;

/// The case of a function that has as much of a core as it wants.
pub const WHOLE_CORE: &str = "whole core";

/// Where it is measured, and how often.
pub struct Bench<'a> {
    /// The services.
    pub stub: &'a Stub,
    /// What the functions print.
    pub logs: &'a Path,
    /// Runs of each.
    pub runs: usize,
    /// All that was measured.
    pub figures: Figures,
    /// Told of each step.
    pub tell: fn(&str),
}

/// The name of a case.
#[must_use]
pub fn batch_of(messages: usize) -> String {
    format!("batch of {messages}")
}

/// The name of a case.
#[must_use]
pub fn changes_of(changes: usize, ids: Ids) -> String {
    match ids {
        Ids::Distinct => format!("{changes}"),
        Ids::One => format!("{changes} of one id"),
    }
}

/// The places of a run, in an order of its own: what ends costs whom comes next (a process that starts behind Node's end,
/// 10 ms), so nobody may always come behind the same one.
fn turns(run: usize, places: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..places).collect();
    order.shuffle(&mut StdRng::seed_from_u64(run as u64));
    order
}

impl Bench<'_> {
    /// The size of what is deployed.
    pub fn programs(&mut self, contenders: &[Contender]) {
        for contender in contenders {
            let bytes = contender.bytes.into_iter();
            let megabytes: Vec<_> = bytes.map(|bytes| bytes as f64 / 1e6).collect();
            self.figures
                .add(PROGRAM, "stripped", contender.name, &megabytes);
        }
    }

    /// Starts each anew for one message, with the share of this memory where it is given.
    ///
    /// # Errors
    /// A contender's.
    pub async fn cold(
        &mut self,
        contenders: &[&Contender],
        memory_mb: Option<u64>,
        event: fn() -> Bytes,
    ) -> Result<()> {
        let case = memory_mb.map_or(WHOLE_CORE.to_owned(), |memory| format!("{memory} MB"));
        (self.tell)(&format!("cold start, {case}"));
        self.stub.set_latency(Duration::ZERO);
        let mut taken = vec![(Vec::new(), Vec::new(), Vec::new()); contenders.len()];
        // The first start of a program reads it from the disk, which says nothing of it: it is not counted.
        for run in 0..=self.runs {
            for place in turns(run, contenders.len()) {
                let (contender, taken) = (contenders[place], &mut taken[place]);
                let name = contender.name;
                let process = Process::start(contender, self.stub, memory_mb, self.logs);
                let mut process = process.await.context(name)?;
                process.invoke(event()).await.context(name)?;
                let response = process.age();
                let initialised = process.initialised_after().unwrap_or_default();
                if run > 0 {
                    taken.0.push(response.as_secs_f64() * 1e3);
                    taken.1.push(initialised.as_secs_f64() * 1e3);
                    taken.2.push(process.peak_memory()? as f64 / 1_048_576.0);
                }
                process.end().await?;
            }
        }
        for (contender, (responses, initialised, memory)) in contenders.iter().zip(&taken) {
            let name = contender.name;
            self.figures.add(COLD_START, &*case, name, responses);
            self.figures.add(INITIALISATION, &*case, name, initialised);
            if memory_mb.is_none() {
                self.figures.add(MEMORY, "one message", name, memory);
            }
        }
        Ok(())
    }

    /// CPU of warm functions for batches of this many messages.
    ///
    /// # Errors
    /// A contender's.
    pub async fn ingest_cpu(&mut self, contenders: &[&Contender], messages: usize) -> Result<()> {
        let event = || events::sqs(messages, PAYLOAD);
        let case = batch_of(messages);
        self.cpu(
            (INGEST_CPU, INGEST_CALLS),
            &case,
            contenders,
            messages,
            event,
        )
        .await
    }

    /// CPU of warm functions for batches of this many small changes.
    ///
    /// # Errors
    /// A contender's.
    pub async fn forward_cpu(
        &mut self,
        contenders: &[&Contender],
        changes: usize,
        ids: Ids,
    ) -> Result<()> {
        let event = || events::stream(changes, ids, SMALL_PAYLOAD);
        let case = changes_of(changes, ids);
        self.cpu(
            (FORWARD_CPU, FORWARD_CALLS),
            &case,
            contenders,
            changes,
            event,
        )
        .await
    }

    /// CPU of warm functions for batches of this many events.
    ///
    /// # Errors
    /// A contender's.
    pub async fn complete_cpu(&mut self, contenders: &[&Contender], events: usize) -> Result<()> {
        let event = || events::kinesis(events, PAYLOAD);
        let case = batch_of(events);
        let figures = (COMPLETE_CPU, COMPLETE_CALLS);
        self.cpu(figures, &case, contenders, events, event).await
    }

    /// CPU and calls, each for one message or record.
    async fn cpu(
        &mut self,
        (cpu, calls): (Figure, Figure),
        case: &str,
        contenders: &[&Contender],
        size: usize,
        event: impl Fn() -> Bytes,
    ) -> Result<()> {
        let measured = self.warm(cpu, case, contenders, size, event).await?;
        for (contender, (micros, calls_of_one)) in contenders.iter().zip(measured) {
            self.figures.add(cpu, case, contender.name, &micros);
            self.figures
                .add(calls, case, contender.name, &[calls_of_one]);
        }
        Ok(())
    }

    /// One that has taken this many events.
    async fn start_warm(
        &self,
        contender: &Contender,
        memory_mb: Option<u64>,
        events: usize,
        event: impl Fn() -> Bytes,
    ) -> Result<Process> {
        let process = Process::start(contender, self.stub, memory_mb, self.logs);
        let mut process = process.await.context(contender.name)?;
        for _ in 0..events {
            process.invoke(event()).await.context(contender.name)?;
        }
        Ok(process)
    }

    /// Records of 1 KB that a second of CPU publishes.
    ///
    /// # Errors
    /// A contender's.
    pub async fn forward_rate(&mut self, contenders: &[&Contender]) -> Result<()> {
        const CHANGES: usize = 1_000;
        let case = "1 KB, batch of 1,000";
        let event = || events::stream(CHANGES, Ids::Distinct, PAYLOAD);
        let micros = self.warm(FORWARD_RATE, case, contenders, CHANGES, event);
        for (contender, (micros, _)) in contenders.iter().zip(micros.await?) {
            let rates: Vec<_> = micros.iter().map(|micros| 1e6 / micros).collect();
            self.figures.add(FORWARD_RATE, case, contender.name, &rates);
        }
        Ok(())
    }

    /// Microseconds of CPU for a message or record in each run, and the calls that one makes.
    async fn warm(
        &mut self,
        figure: Figure,
        case: &str,
        contenders: &[&Contender],
        size: usize,
        event: impl Fn() -> Bytes,
    ) -> Result<Vec<(Vec<f64>, f64)>> {
        (self.tell)(&format!("{}, {case}", figure.name));
        self.stub.set_latency(Duration::ZERO);
        let batches = WARMED_BY.div_ceil(size);
        let mut warm = Vec::new();
        for contender in contenders {
            let process = self.start_warm(contender, None, batches, &event).await?;
            warm.push((process, Vec::new(), 0.0, Vec::new()));
        }
        for run in 0..self.runs {
            for place in turns(run, contenders.len()) {
                let contender = contenders[place];
                let (process, micros, calls, shares) = &mut warm[place];
                let events: Vec<_> = (0..batches).map(|_| event()).collect();
                drop(self.stub.take_calls());
                let own = || ClockId::CLOCK_PROCESS_CPUTIME_ID.now().map(Duration::from);
                let (before, own_before, began) = (process.cpu()?, own()?, Instant::now());
                for event in events {
                    process.invoke(event).await.context(contender.name)?;
                }
                let (used, own_used) = (process.cpu()? - before, own()? - own_before);
                let units = (batches * size) as f64;
                micros.push(used.as_secs_f64() * 1e6 / units);
                shares.push(100.0 * own_used.as_secs_f64() / began.elapsed().as_secs_f64());
                *calls = self.stub.take_calls().values().sum::<u64>() as f64 / units;
            }
        }
        let mut measured = Vec::new();
        for ((process, micros, calls, shares), contender) in warm.into_iter().zip(contenders) {
            process.end().await?;
            let case = format!("{}, {case}", figure.name);
            self.figures.add(BENCH_SHARE, case, contender.name, &shares);
            measured.push((micros, calls));
        }
        Ok(measured)
    }

    /// How long a warm invocation takes with the share of the memory that the template gives it, where a call takes its
    /// time: what Lambda bills.
    ///
    /// # Errors
    /// A contender's, or there are no shares here.
    pub async fn billed(
        &mut self,
        contenders: &[&Contender],
        size: usize,
        event: impl Fn(usize, usize) -> Bytes,
    ) -> Result<()> {
        let case = batch_of(size);
        (self.tell)(&format!("{}, {case}", BILLED.name));
        self.stub.set_latency(LATENCY);
        let mut warm = Vec::new();
        for contender in contenders {
            let event = || event(size, PAYLOAD);
            let process = self
                .start_warm(contender, Some(MEMORY_MB), 3, event)
                .await?;
            warm.push((process, Vec::new()));
        }
        for run in 0..self.runs {
            for place in turns(run, contenders.len()) {
                let (process, times) = &mut warm[place];
                let time = process.invoke(event(size, PAYLOAD)).await;
                times.push(time.context(contenders[place].name)?.as_secs_f64() * 1e3);
            }
        }
        self.stub.set_latency(Duration::ZERO);
        for ((process, times), contender) in warm.into_iter().zip(contenders) {
            process.end().await?;
            self.figures.add(BILLED, &*case, contender.name, &times);
        }
        Ok(())
    }

    /// How long a batch of ten takes where a call takes its time: the first one of a process, and a warm one.
    ///
    /// # Errors
    /// A contender's.
    pub async fn ingest_wall(&mut self, contenders: &[&Contender]) -> Result<()> {
        const MESSAGES: usize = 10;
        (self.tell)(INGEST_WALL.name);
        let mut taken = vec![(Vec::new(), Vec::new(), Vec::new()); contenders.len()];
        for run in 0..=self.runs {
            for place in turns(run, contenders.len()) {
                let contender = contenders[place];
                let (first, warm, alone) = &mut taken[place];
                self.stub.set_latency(LATENCY);
                let process = Process::start(contender, self.stub, None, self.logs);
                let mut process = process.await.context(contender.name)?;
                // The first event comes when the function waits for it, so that its initialisation is not in it.
                while process.initialised_after().is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    anyhow::ensure!(
                        process.age() < Duration::from_secs(60),
                        "{}",
                        contender.name
                    );
                }
                let mut times = Vec::new();
                for _ in 0..4 {
                    let event = events::sqs(MESSAGES, PAYLOAD);
                    let time = process.invoke(event).await.context(contender.name)?;
                    times.push(time.as_secs_f64() * 1e3);
                }
                let round_trip = process.invoke(events::sqs(1, PAYLOAD)).await;
                let round_trip = round_trip.context(contender.name)?;
                if run > 0 {
                    first.push(times[0]);
                    warm.push(times[3]);
                    alone.push(round_trip.as_secs_f64() * 1e3);
                }
                process.end().await?;
            }
        }
        self.stub.set_latency(Duration::ZERO);
        for (contender, (first, warm, alone)) in contenders.iter().zip(&taken) {
            let name = contender.name;
            self.figures.add(INGEST_WALL, "first event", name, first);
            self.figures.add(INGEST_WALL, "warm", name, warm);
            self.figures
                .add(INGEST_WALL, "one message, warm", name, alone);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_take_their_turn_in_each_run_and_nobody_always_behind_the_same_one() {
        for places in [4, 6, 13] {
            let mut behind = vec![vec![0_usize; places]; places];
            let mut before = None;
            for run in 0..20 {
                let order = turns(run, places);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..places), "{order:?}");
                for place in order {
                    if let Some(before) = before.replace(place) {
                        behind[place][before] += 1;
                    }
                }
            }
            let most = behind.iter().flatten().max();
            assert!(most < Some(&12), "{places}: {behind:?}");
        }
    }
}
