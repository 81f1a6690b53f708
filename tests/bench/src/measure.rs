//! The measurements. Peers run in turns, in a different order in each run, so that other activity on the machine affects
//! all of them equally.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hyper::body::Bytes;
use nix::time::ClockId;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::{
    events::{self, Ids},
    figures::{
        BENCH_SHARE, BILLED, COLD_START, COMPLETE_CALLS, COMPLETE_CPU, FORWARD_CALLS, FORWARD_CPU,
        FORWARD_RATE, Figure, Figures, INGEST_CALLS, INGEST_CPU, INGEST_WALL, INITIALISATION,
        MEMORY, PROGRAM,
    },
    peer::Peer,
    process::Process,
    stub::Stub,
};

/// Memory of each function in the template, in MB.
pub const MEMORY_MB: u64 = 256;
/// Default payload size in bytes.
pub const PAYLOAD: usize = 1_024;
/// Small enough that ten thousand changes fit in one Lambda event of at most 6 MB.
pub const SMALL_PAYLOAD: usize = 64;
/// Latency of a call to DynamoDB in measurements with latency.
pub const LATENCY: Duration = Duration::from_millis(5);
/// Messages that a function processes before it is measured.
const WARM_UP_MESSAGES: usize = 200;

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

/// The name of the case with this batch size.
#[must_use]
pub fn batch_of(messages: usize) -> String {
    format!("batch of {messages}")
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

impl Bench<'_> {
    /// Records the size of the programs.
    pub fn programs(&mut self, peers: &[Peer]) {
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
        event: fn() -> Bytes,
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
                    samples.2.push(process.peak_memory()? as f64 / 1_048_576.0);
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
    pub async fn ingest_cpu(&mut self, peers: &[&Peer], messages: usize) -> Result<()> {
        let event = || events::sqs(messages, PAYLOAD);
        let case = batch_of(messages);
        self.cpu((INGEST_CPU, INGEST_CALLS), &case, peers, messages, event)
            .await
    }

    /// Measures the CPU time of warm functions for batches of this many small changes.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn forward_cpu(&mut self, peers: &[&Peer], changes: usize, ids: Ids) -> Result<()> {
        let event = || events::stream(changes, ids, SMALL_PAYLOAD);
        let case = changes_of(changes, ids);
        self.cpu((FORWARD_CPU, FORWARD_CALLS), &case, peers, changes, event)
            .await
    }

    /// Measures the CPU time of warm functions for batches of this many events.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn complete_cpu(&mut self, peers: &[&Peer], events: usize) -> Result<()> {
        let event = || events::kinesis(events, PAYLOAD);
        let case = batch_of(events);
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
        let measured = self.warm(cpu, case, peers, size, event).await?;
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

    /// Measures how many records of 1 KB a function publishes per second of CPU time.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn forward_rate(&mut self, peers: &[&Peer]) -> Result<()> {
        const CHANGES: usize = 1_000;
        let case = "1 KB, batch of 1,000";
        let event = || events::stream(CHANGES, Ids::Distinct, PAYLOAD);
        let micros = self.warm(FORWARD_RATE, case, peers, CHANGES, event);
        for (peer, (micros, _)) in peers.iter().zip(micros.await?) {
            let rates: Vec<_> = micros.iter().map(|micros| 1e6 / micros).collect();
            self.figures.add(FORWARD_RATE, case, peer.name, &rates);
        }
        Ok(())
    }

    /// Returns, for each peer, the microseconds of CPU per message or record in each run, and the calls per message or record.
    async fn warm(
        &mut self,
        figure: Figure,
        case: &str,
        peers: &[&Peer],
        size: usize,
        event: impl Fn() -> Bytes,
    ) -> Result<Vec<(Vec<f64>, f64)>> {
        (self.report)(&format!("{}, {case}", figure.name));
        self.stub.set_latency(Duration::ZERO);
        let batches = WARM_UP_MESSAGES.div_ceil(size);
        let mut warm = Vec::new();
        for peer in peers {
            let process = self.start_warm(peer, None, batches, &event).await?;
            warm.push((process, Vec::new(), 0.0, Vec::new()));
        }
        for run in 0..self.runs {
            for place in turns(run, peers.len()) {
                let peer = peers[place];
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
        for ((process, micros, calls, shares), peer) in warm.into_iter().zip(peers) {
            process.end().await?;
            let case = format!("{}, {case}", figure.name);
            self.figures.add(BENCH_SHARE, case, peer.name, &shares);
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
        size: usize,
        event: impl Fn(usize, usize) -> Bytes,
    ) -> Result<()> {
        let case = batch_of(size);
        (self.report)(&format!("{}, {case}", BILLED.name));
        self.stub.set_latency(LATENCY);
        let mut warm = Vec::new();
        for peer in peers {
            let event = || event(size, PAYLOAD);
            let process = self.start_warm(peer, Some(MEMORY_MB), 3, event).await?;
            warm.push((process, Vec::new()));
        }
        for run in 0..self.runs {
            for place in turns(run, peers.len()) {
                let (process, times) = &mut warm[place];
                let time = process.invoke(event(size, PAYLOAD)).await;
                times.push(time.context(peers[place].name)?.as_secs_f64() * 1e3);
            }
        }
        self.stub.set_latency(Duration::ZERO);
        for ((process, times), peer) in warm.into_iter().zip(peers) {
            process.end().await?;
            self.figures.add(BILLED, &*case, peer.name, &times);
        }
        Ok(())
    }

    /// Measures the time of a batch of ten with latency: the first batch of a process, and a warm one.
    ///
    /// # Errors
    /// If a peer fails.
    pub async fn ingest_wall(&mut self, peers: &[&Peer]) -> Result<()> {
        const MESSAGES: usize = 10;
        (self.report)(INGEST_WALL.name);
        let mut samples = vec![(Vec::new(), Vec::new(), Vec::new()); peers.len()];
        for run in 0..=self.runs {
            for place in turns(run, peers.len()) {
                let peer = peers[place];
                let (first, warm, alone) = &mut samples[place];
                self.stub.set_latency(LATENCY);
                let process = Process::start(peer, self.stub, None, self.logs);
                let mut process = process.await.context(peer.name)?;
                // Waits until the function asks for its first event, so that the time does not include its initialization.
                while process.initialised_after().is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    anyhow::ensure!(process.age() < Duration::from_secs(60), "{}", peer.name);
                }
                let mut times = Vec::new();
                for _ in 0..4 {
                    let event = events::sqs(MESSAGES, PAYLOAD);
                    let time = process.invoke(event).await.context(peer.name)?;
                    times.push(time.as_secs_f64() * 1e3);
                }
                let round_trip = process.invoke(events::sqs(1, PAYLOAD)).await;
                let round_trip = round_trip.context(peer.name)?;
                if run > 0 {
                    first.push(times[0]);
                    warm.push(times[3]);
                    alone.push(round_trip.as_secs_f64() * 1e3);
                }
                process.end().await?;
            }
        }
        self.stub.set_latency(Duration::ZERO);
        for (peer, (first, warm, alone)) in peers.iter().zip(&samples) {
            let name = peer.name;
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
