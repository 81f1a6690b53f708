//! Random faults in a running stack: faults on the wire of each function, killed processes, and event sources that stop
//! and start.

use std::{collections::BTreeMap, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use onewrite_local::stack::Stack;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{process::Command, time::sleep};

use crate::fault_proxy::{FaultProxy, WireFault};
use crate::settings::redirect;

/// The faults of a call. The first two are for `PutRecords` only.
const FAULTS: [WireFault; 9] = [
    WireFault::PartlyFailed,
    WireFault::Slow(100_000),
    WireFault::CutBefore,
    WireFault::CutAfter,
    WireFault::Late(300),
    WireFault::Silent,
    WireFault::InternalError,
    WireFault::Unavailable,
    WireFault::Throttled,
];

const PUT_RECORDS: &str = "PutRecords";

/// The number of calls that are scripted ahead, for each operation.
const AHEAD: usize = 64;

/// How often each kind of fault happens.
#[derive(Debug, Clone, Copy)]
pub struct FaultRates {
    /// One in this many writes of a single item has a fault.
    pub writes: u32,
    /// One in this many calls of `PutRecords` has a fault.
    pub puts: u32,
    /// The longest time between two killed processes.
    pub kill: Duration,
    /// The longest time between two stops of the event sources.
    pub stop: Duration,
}

/// The faults that happened so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Calls by fault.
    pub wire: BTreeMap<WireFault, usize>,
    /// Killed function processes.
    pub killed: usize,
    /// Stops of the event sources.
    pub stopped: usize,
}

impl FaultCounts {
    /// The number of kinds of faults of a call, including no fault.
    pub const KINDS: usize = FAULTS.len() + 1;
}

/// Injects random faults into a stack.
pub struct RandomFaults {
    rates: FaultRates,
    wires: Vec<Wire>,
    killed: usize,
    stopped: usize,
    random: StdRng,
}

struct Wire {
    operations: &'static [&'static str],
    proxy: FaultProxy,
}

impl RandomFaults {
    /// Puts proxies between the functions of a stack and their services. The event sources must not run yet.
    ///
    /// # Errors
    /// A call failed, or no port is available.
    pub async fn prepare(stack: &Stack, rates: FaultRates, seed: u64) -> anyhow::Result<Self> {
        let outputs = stack.outputs();
        let emulator = stack.endpoint().trim_start_matches("http://").parse()?;
        let mut wires = Vec::new();
        let settling: &[_] = &["UpdateItem", "TransactWriteItems"];
        for (function, service, operations) in [
            (&outputs.ingest, "DYNAMODB", &["PutItem"][..]),
            (&outputs.forward, "KINESIS", &[PUT_RECORDS]),
            (&outputs.complete, "DYNAMODB", settling),
        ] {
            let proxy = FaultProxy::start(emulator).await?;
            redirect(stack.clients(), function, service, &proxy.endpoint()).await?;
            wires.push(Wire { operations, proxy });
        }
        Ok(Self {
            rates,
            wires,
            killed: 0,
            stopped: 0,
            random: StdRng::seed_from_u64(seed),
        })
    }

    /// Injects faults until `is_enough`. Afterwards there are no more faults.
    ///
    /// # Errors
    /// `ps` cannot list the processes.
    pub async fn inject_until(
        &mut self,
        stack: &Stack,
        is_enough: impl Fn(&FaultCounts) -> bool,
    ) -> anyhow::Result<()> {
        const TICK: Duration = Duration::from_millis(100);
        let (mut until_kill, mut until_stop) = (self.rates.kill, self.rates.stop);
        while !is_enough(&self.counts()) {
            self.script();
            sleep(TICK).await;
            until_kill = until_kill.saturating_sub(TICK);
            until_stop = until_stop.saturating_sub(TICK);
            if until_kill.is_zero() {
                until_kill = self.random_time(self.rates.kill);
                self.kill(stack).await?;
            }
            if let Some(sources) = stack.event_sources().filter(|_| until_stop.is_zero()) {
                until_stop = self.random_time(self.rates.stop);
                sources.disable();
                sleep(self.random_time(Duration::from_secs(1))).await;
                sources.enable();
                self.stopped += 1;
            }
        }
        for wire in &self.wires {
            wire.proxy.clear();
        }
        Ok(())
    }

    /// The faults that happened so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        let mut wire = BTreeMap::new();
        for (fault, count) in self.wires.iter().flat_map(|wire| wire.proxy.injected()) {
            *wire.entry(fault).or_default() += count;
        }
        FaultCounts {
            wire,
            killed: self.killed,
            stopped: self.stopped,
        }
    }

    fn script(&mut self) {
        let random = &mut self.random;
        for wire in &self.wires {
            for operation in wire.operations {
                let missing = AHEAD.saturating_sub(wire.proxy.scripted_of(operation));
                let (one_of, faults) = if *operation == PUT_RECORDS {
                    (self.rates.puts, &FAULTS[..])
                } else {
                    (self.rates.writes, &FAULTS[2..])
                };
                let mut draw = || match random.random_ratio(1, one_of) {
                    true => faults[random.random_range(0..faults.len())],
                    false => WireFault::None,
                };
                let drawn: Vec<WireFault> = (0..missing).map(|_| draw()).collect();
                wire.proxy.script(operation, drawn);
            }
        }
    }

    fn random_time(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.random())
    }

    /// Kills a random running function, if there is one.
    async fn kill(&mut self, stack: &Stack) -> anyhow::Result<()> {
        let running = function_processes(stack.directory()).await?;
        if running.is_empty() {
            return Ok(());
        }
        let chosen = running[self.random.random_range(0..running.len())];
        // A process that ended in the meantime does not count.
        if kill(chosen, Signal::SIGKILL).is_ok() {
            self.killed += 1;
        }
        Ok(())
    }
}

/// The processes whose program is a function in the stack's directory.
async fn function_processes(directory: &Path) -> anyhow::Result<Vec<Pid>> {
    let listing = Command::new("ps")
        .args(["-A", "-w", "-w", "-o", "pid=", "-o", "command="])
        .kill_on_drop(true)
        .output()
        .await?;
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let directory = directory.to_string_lossy();
    let processes = listing.lines().filter_map(|line| {
        let (pid, command) = line.trim_start().split_once(' ')?;
        let program = command.trim_start();
        // The program of the package, or the one that `deploy.py` makes the package execute.
        let path = program.strip_prefix(&*directory);
        let is_function = path
            .is_some_and(|path| path.ends_with("/bootstrap") || path.starts_with("/functions/"));
        is_function.then(|| pid.parse().ok().map(Pid::from_raw))?
    });
    Ok(processes.collect())
}
