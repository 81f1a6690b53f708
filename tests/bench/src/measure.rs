//! The measurements. Peers run in turns, in a different order in each run, so that other activity on the machine affects
//! all of them equally.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::body::Bytes;
use nix::time::ClockId;
use onewrite::item::PayloadCompression;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::{
    events::{self, Ids},
    figures::{
        BENCH_SHARE, BILLED, COLD_START, COMPLETE_CALLS, COMPLETE_CPU, CONNECTIONS,
        FORWARD_BATCH_CPU, FORWARD_CALLS, FORWARD_CPU, Figure, Figures, INGEST_CALLS, INGEST_CPU,
        INGEST_WALL, INITIALISATION, MEMORY, PROGRAM, WARM_MEMORY,
    },
    payloads::{ONE_KB, Payloads},
    peer::Peer,
    process::Process,
    stub::Stub,
};

/// Memory of each function in the template, in MB.
pub const MEMORY_MB: u64 = 256;
/// Batch size of `ingest` in the template.
pub const INGEST_BATCH: usize = 10;
/// Batch size of `forward` in the template.
pub const FORWARD_BATCH: usize = 500;
/// Batch size of `complete` in the template.
pub const COMPLETE_BATCH: usize = 100;
/// Latency of a call to DynamoDB in measurements with latency.
pub const LATENCY: Duration = Duration::from_millis(5);
/// Messages that a function processes before it is measured, and at least in each run.
const RUN_MESSAGES: usize = 200;
/// The same for records of `forward`, which take a fraction of the time.
const RUN_RECORDS: usize = 1_000;

const MEBIBYTE: f64 = 1_048_576.0;

/// Figures of the first batches of a process.
const WALL_SAMPLES: usize = 6;
/// The case of a start with a batch of ten, and calls that take as long as in a data centre.
pub const FIRST_BATCH: &str = "batch of 10, 5 ms per call";
/// The case of one message in a warm process: a round trip.
pub const ALONE: &str = "one message, warm";
/// The case of the connections that the first batch of ten had to open.
pub const BY_FIRST_EVENT: &str = "by the first event";

/// The case without a CPU limit.
pub const WHOLE_CORE: &str = "whole core";

/// The environment and the results of the measurements.
pub struct Bench<'a> {
    pub stub: &'a Stub,
    /// The directory for the output of the functions.
    pub logs: &'a Path,
    /// Number of runs of each measurement.
    pub runs: usize,
    pub figures: Figures,
    /// Reports the start of each measurement.
    pub report: fn(&str),
}

/// The name of the case with this batch size and payloads of 1 KB.
#[must_use]
pub fn batch_of(messages: usize) -> String {
    batch_with(messages, ONE_KB)
}

/// The name of the case with this batch size and these payloads.
#[must_use]
pub fn batch_with(messages: usize, payloads: &str) -> String {
    match payloads {
        ONE_KB => format!("batch of {messages}"),
        _ => format!("batch of {messages}, {payloads}"),
    }
}

/// The name of the case with items of these payloads.
#[must_use]
pub fn stored(payloads: &str, compression: PayloadCompression) -> String {
    match compression {
        PayloadCompression::Auto => format!("{payloads}, compressed"),
        PayloadCompression::Never => payloads.to_owned(),
    }
}

/// The name of the case of the memory, or of the benchmark's own share, in the measurement of this figure.
#[must_use]
pub fn memory_of(figure: Figure, case: &str) -> String {
    format!("{}, {case}", figure.name)
}

/// The name of the case of the first batch of a process, optionally with the CPU share of this memory.
#[must_use]
pub fn first_event(memory_mb: Option<u64>) -> String {
    match memory_mb {
        None => "first event".to_owned(),
        Some(memory) => format!("first event, {memory} MB"),
    }
}

/// The name of the case with this number of changes.
#[must_use]
pub fn changes_of(changes: usize, ids: Ids) -> String {
    match ids {
        Ids::Distinct => format!("{changes}"),
        Ids::One => format!("{changes} of one id"),
    }
}

/// The order of the peers in a run. It is shuffled because the end of a process delays the start of the next one (by 10 ms
/// after Node), so no peer may always follow the same other peer.
fn turns(run: usize, places: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..places).collect();
    order.shuffle(&mut StdRng::seed_from_u64(run as u64));
    order
}

/// A peer with the events of a case.
#[derive(Clone, Copy)]
struct Contender<'a> {
    peer: &'a Peer,
    case: &'a str,
    event: &'a dyn Fn() -> Bytes,
}

impl<'a> Contender<'a> {
    fn all(peers: &[&'a Peer], case: &'a str, event: &'a dyn Fn() -> Bytes) -> Vec<Self> {
        let with = |peer: &&'a Peer| Self { peer, case, event };
        peers.iter().map(with).collect()
    }
}

impl Bench<'_> {
    /// Records the size of the programs.
    pub fn programs(&mut self, peers: &[&Peer]) {
        for peer in peers {
            let bytes = peer.bytes.into_iter();
            let megabytes: Vec<_> = bytes.map(|bytes| bytes as f64 / 1e6).collect();
            self.figures.add(PROGRAM, "stripped", peer.name, &megabytes);
        }
    }

    /// Starts each peer for one message, optionally with the CPU share of this memory.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn cold(
        &mut self,
        peers: &[&Peer],
        memory_mb: Option<u64>,
        event: impl Fn() -> Bytes,
    ) -> Result<()> {
        let case = memory_mb.map_or(WHOLE_CORE.to_owned(), |memory| format!("{memory} MB"));
        (self.report)(&format!("cold start, {case}"));
        self.stub.set_latency(Duration::ZERO);
        let mut samples = vec![(Vec::new(), Vec::new(), Vec::new()); peers.len()];
        // The first start reads the program from the disk, so it does not count.
        for run in 0..=self.runs {
            for place in turns(run, peers.len()) {
                let (peer, samples) = (peers[place], &mut samples[place]);
                let name = peer.name;
                let process = Process::start(peer, self.stub, memory_mb, self.logs);
                let mut process = process.await.context(name)?;
                process.invoke(event()).await.context(name)?;
                let response = process.age();
                let initialised = process.initialised_after().unwrap_or_default();
                if run > 0 {
                    samples.0.push(response.as_secs_f64() * 1e3);
                    samples.1.push(initialised.as_secs_f64() * 1e3);
                    samples.2.push(process.peak_memory()? as f64 / MEBIBYTE);
                }
                process.end().await?;
            }
        }
        for (peer, (responses, initialised, memory)) in peers.iter().zip(&samples) {
            let name = peer.name;
            self.figures.add(COLD_START, &*case, name, responses);
            self.figures.add(INITIALISATION, &*case, name, initialised);
            if memory_mb.is_none() {
                self.figures.add(MEMORY, "one message", name, memory);
            }
        }
        Ok(())
    }

    /// Measures the CPU time of warm functions for batches of this many messages.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn ingest_cpu(
        &mut self,
        peers: &[&Peer],
        messages: usize,
        payloads: &Payloads,
    ) -> Result<()> {
        let event = || events::sqs(messages, payloads);
        let case = batch_with(messages, payloads.name);
        self.cpu((INGEST_CPU, INGEST_CALLS), &case, peers, messages, event)
            .await
    }

    /// Measures the CPU time of warm functions for batches of this many changes.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn forward_cpu(
        &mut self,
        peers: &[&Peer],
        changes: usize,
        ids: Ids,
        payloads: &Payloads,
    ) -> Result<()> {
        let event = || events::stream(changes, ids, payloads, PayloadCompression::Never);
        let case = changes_of(changes, ids);
        self.cpu((FORWARD_CPU, FORWARD_CALLS), &case, peers, changes, event)
            .await
    }

    /// Measures the CPU time of warm functions for batches of this many events.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn complete_cpu(
        &mut self,
        peers: &[&Peer],
        events: usize,
        payloads: &Payloads,
    ) -> Result<()> {
        let event = || events::kinesis(events, payloads);
        let case = batch_with(events, payloads.name);
        let figures = (COMPLETE_CPU, COMPLETE_CALLS);
        self.cpu(figures, &case, peers, events, event).await
    }

    /// Measures CPU time and calls per message or record.
    async fn cpu(
        &mut self,
        (cpu, calls): (Figure, Figure),
        case: &str,
        peers: &[&Peer],
        size: usize,
        event: impl Fn() -> Bytes,
    ) -> Result<()> {
        let batches = RUN_MESSAGES.div_ceil(size);
        let contenders = Contender::all(peers, case, &event);
        let measured = self.warm(cpu, &contenders, (batches, size)).await?;
        for (peer, (micros, calls_per_unit)) in peers.iter().zip(measured) {
            self.figures.add(cpu, case, peer.name, &micros);
            self.figures.add(calls, case, peer.name, &[calls_per_unit]);
        }
        Ok(())
    }

    /// Starts a peer and lets it process this many events.
    async fn start_warm(
        &self,
        peer: &Peer,
        memory_mb: Option<u64>,
        events: usize,
        event: impl Fn() -> Bytes,
    ) -> Result<Process> {
        let process = Process::start(peer, self.stub, memory_mb, self.logs);
        let mut process = process.await.context(peer.name)?;
        for _ in 0..events {
            process.invoke(event()).await.context(peer.name)?;
        }
        Ok(process)
    }

    /// Measures the CPU time of a record in batches of the template's size: with text for all peers, and with compressed items for
    /// those that can decompress. Both are measured in turns, because they are compared.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn forward_batch_cpu(
        &mut self,
        peers: &[&Peer],
        decompressing: &[&Peer],
        payloads: &Payloads,
    ) -> Result<()> {
        let event = |compression| {
            move || events::stream(FORWARD_BATCH, Ids::Distinct, payloads, compression)
        };
        let case = |compression| stored(payloads.name, compression);
        let (never, auto) = (PayloadCompression::Never, PayloadCompression::Auto);
        let (plain, compressed) = (event(never), event(auto));
        let (text, deflated) = (case(never), case(auto));
        let mut contenders = Contender::all(peers, &text, &plain);
        contenders.extend(Contender::all(decompressing, &deflated, &compressed));
        let batches = (RUN_RECORDS.div_ceil(FORWARD_BATCH), FORWARD_BATCH);
        let measured = self.warm(FORWARD_BATCH_CPU, &contenders, batches).await?;
        for (one, (micros, _)) in contenders.iter().zip(measured) {
            let name = one.peer.name;
            self.figures.add(FORWARD_BATCH_CPU, one.case, name, &micros);
        }
        Ok(())
    }

    /// Returns, for each contender, the microseconds of CPU per message or record in each run, and the calls per message or record.
    async fn warm(
        &mut self,
        figure: Figure,
        contenders: &[Contender<'_>],
        (batches, size): (usize, usize),
    ) -> Result<Vec<(Vec<f64>, f64)>> {
        let mut cases: Vec<_> = contenders.iter().map(|one| one.case).collect();
        cases.dedup();
        (self.report)(&format!("{}, {}", figure.name, cases.join("; ")));
        self.stub.set_latency(Duration::ZERO);
        let mut warm = Vec::new();
        for one in contenders {
            let process = self.start_warm(one.peer, None, batches, one.event).await?;
            warm.push((process, Vec::new(), 0.0, Vec::new()));
        }
        for run in 0..self.runs {
            for place in turns(run, contenders.len()) {
                let Contender { peer, event, .. } = contenders[place];
                let (process, micros, calls, shares) = &mut warm[place];
                let events: Vec<_> = (0..batches).map(|_| event()).collect();
                drop(self.stub.reset_calls());
                let own = || ClockId::CLOCK_PROCESS_CPUTIME_ID.now().map(Duration::from);
                let (before, own_before, began) = (process.cpu()?, own()?, Instant::now());
                for event in events {
                    process.invoke(event).await.context(peer.name)?;
                }
                let (used, own_used) = (process.cpu()? - before, own()? - own_before);
                let units = (batches * size) as f64;
                micros.push(used.as_secs_f64() * 1e6 / units);
                shares.push(100.0 * own_used.as_secs_f64() / began.elapsed().as_secs_f64());
                *calls = self.stub.reset_calls().values().sum::<u64>() as f64 / units;
            }
        }
        let mut measured = Vec::new();
        for ((process, micros, calls, shares), one) in warm.into_iter().zip(contenders) {
            let (case, peer) = (memory_of(figure, one.case), one.peer);
            let memory = process.peak_memory()? as f64 / MEBIBYTE;
            self.figures.add(WARM_MEMORY, &*case, peer.name, &[memory]);
            self.figures.add(BENCH_SHARE, &*case, peer.name, &shares);
            process.end().await?;
            measured.push((micros, calls));
        }
        Ok(measured)
    }

    /// Measures what Lambda bills: the time of a warm invocation with latency and the CPU share of the template's memory.
    ///
    /// # Errors
    /// If a peer fails, or CPU shares are not available.
    pub async fn billed(
        &mut self,
        peers: &[&Peer],
        case: &str,
        event: impl Fn() -> Bytes,
    ) -> Result<()> {
        (self.report)(&format!("{}, {case}", BILLED.name));
        self.stub.set_latency(LATENCY);
        let mut warm = Vec::new();
        for peer in peers {
            let process = self.start_warm(peer, Some(MEMORY_MB), 3, &event).await?;
            warm.push((process, Vec::new()));
        }
        for run in 0..self.runs {
            for place in turns(run, peers.len()) {
                let (process, times) = &mut warm[place];
                let time = process.invoke(event()).await;
                times.push(time.context(peers[place].name)?.as_secs_f64() * 1e3);
            }
        }
        self.stub.set_latency(Duration::ZERO);
        for ((process, times), peer) in warm.into_iter().zip(peers) {
            process.end().await?;
            self.figures.add(BILLED, case, peer.name, &times);
        }
        Ok(())
    }

    /// Measures the time of a batch of ten with latency: the first batch of a process, and a warm one. Also counts the
    /// connections that were opened for the first one: before it, in the initialisation, or by it.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn ingest_wall(
        &mut self,
        peers: &[&Peer],
        memory_mb: Option<u64>,
        payloads: &Payloads,
    ) -> Result<()> {
        let first = first_event(memory_mb);
        (self.report)(&format!("{}, {first}", INGEST_WALL.name));
        let mut samples = vec![[const { Vec::new() }; WALL_SAMPLES]; peers.len()];
        self.stub.set_latency(LATENCY);
        for run in 0..=self.runs {
            for place in turns(run, peers.len()) {
                let measured = self.first_batches(peers[place], memory_mb, payloads).await;
                let measured = measured.context(peers[place].name)?;
                if run > 0 {
                    let samples = samples[place].iter_mut().zip(measured);
                    samples.for_each(|(samples, measured)| samples.push(measured));
                }
            }
        }
        self.stub.set_latency(Duration::ZERO);
        for (peer, samples) in peers.iter().zip(&samples) {
            let ([cold, first_batch, warm, alone, before, by_first], name) = (samples, peer.name);
            self.figures.add(INGEST_WALL, &*first, name, first_batch);
            if memory_mb.is_none() {
                self.figures.add(COLD_START, FIRST_BATCH, name, cold);
                self.figures.add(INGEST_WALL, "warm", name, warm);
                self.figures.add(INGEST_WALL, ALONE, name, alone);
                self.figures
                    .add(CONNECTIONS, "in the initialisation", name, before);
                self.figures
                    .add(CONNECTIONS, BY_FIRST_EVENT, name, by_first);
            }
        }
        Ok(())
    }

    /// The times of the start with the first batch, the first batch, a warm batch and a warm message, and the connections before
    /// and during the first batch.
    async fn first_batches(
        &self,
        peer: &Peer,
        memory_mb: Option<u64>,
        payloads: &Payloads,
    ) -> Result<[f64; WALL_SAMPLES]> {
        let connections = self.stub.connections();
        let mut process = Process::start(peer, self.stub, memory_mb, self.logs).await?;
        // Waits until the function asks for its first event, so that the time does not include its initialization.
        while process.initialised_after().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            anyhow::ensure!(process.age() < Duration::from_secs(60), "no request");
        }
        let initialised = self.stub.connections();
        let mut times = Vec::new();
        let (mut cold, mut after_first) = (None, None);
        for messages in [INGEST_BATCH, INGEST_BATCH, INGEST_BATCH, INGEST_BATCH, 1] {
            let time = process.invoke(events::sqs(messages, payloads)).await?;
            times.push(time.as_secs_f64() * 1e3);
            cold.get_or_insert_with(|| process.age());
            after_first.get_or_insert_with(|| self.stub.connections());
        }
        process.end().await?;
        let by_first = after_first.unwrap_or(initialised) - initialised;
        let before = initialised - connections;
        let cold = cold.unwrap_or_default().as_secs_f64() * 1e3;
        let (before, by_first) = (before as f64, by_first as f64);
        Ok([cold, times[0], times[3], times[4], before, by_first])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_every_peer_in_a_different_order() {
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
