//! Trouble for a running stack, drawn at random: faults on the wire of each function, its processes killed, its event
//! sources stopped and started.

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

/// What a call can meet, and `PutRecords` what stands first too.
const FAULTS: [WireFault; 8] = [
    WireFault::PartlyFailed,
    WireFault::CutBefore,
    WireFault::CutAfter,
    WireFault::Late(300),
    WireFault::Silent,
    WireFault::InternalError,
    WireFault::Unavailable,
    WireFault::Throttled,
];

/// Calls that are scripted ahead.
const AHEAD: usize = 64;

/// How much of each trouble there is.
#[derive(Debug, Clone, Copy)]
pub struct Climate {
    /// Of so many calls of one item, one meets a fault.
    pub writes: u32,
    /// Of so many `PutRecords`, one meets a fault.
    pub puts: u32,
    /// The longest from one killed process to the next.
    pub kill: Duration,
    /// The longest from one stop of the event sources to the next.
    pub stop: Duration,
}

/// What has been done to the stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls by the fault they met.
    pub wire: BTreeMap<WireFault, usize>,
    /// Function processes that were killed.
    pub killed: usize,
    /// Times that the event sources were stopped and started.
    pub stopped: usize,
}

/// Trouble, once it is stirred.
pub struct Trouble {
    climate: Climate,
    wires: Vec<Wire>,
    killed: usize,
    stopped: usize,
    random: StdRng,
}

struct Wire {
    operation: &'static str,
    proxy: FaultProxy,
}

impl Trouble {
    /// Puts itself between the functions of a stack and their services. The event sources are not to run yet.
    ///
    /// # Errors
    /// A call that fails, or no port to be had.
    pub async fn before(stack: &Stack, climate: Climate, seed: u64) -> anyhow::Result<Self> {
        let outputs = stack.outputs();
        let emulator = stack.endpoint().trim_start_matches("http://").parse()?;
        let mut wires = Vec::new();
        for (function, service, operation) in [
            (&outputs.ingest, "DYNAMODB", "PutItem"),
            (&outputs.forward, "KINESIS", "PutRecords"),
            (&outputs.complete, "DYNAMODB", "UpdateItem"),
        ] {
            let proxy = FaultProxy::start(emulator).await?;
            redirect(stack.clients(), function, service, &proxy.endpoint()).await?;
            wires.push(Wire { operation, proxy });
        }
        Ok(Self {
            climate,
            wires,
            killed: 0,
            stopped: 0,
            random: StdRng::seed_from_u64(seed),
        })
    }

    /// Goes on until there was `enough`; then there is no trouble any more.
    ///
    /// # Errors
    /// Where the machine does not tell its processes.
    pub async fn stir(
        &mut self,
        stack: &Stack,
        enough: impl Fn(&Tally) -> bool,
    ) -> anyhow::Result<()> {
        const TICK: Duration = Duration::from_millis(100);
        let (mut until_kill, mut until_stop) = (self.climate.kill, self.climate.stop);
        while !enough(&self.tally()) {
            self.script();
            sleep(TICK).await;
            until_kill = until_kill.saturating_sub(TICK);
            until_stop = until_stop.saturating_sub(TICK);
            if until_kill.is_zero() {
                until_kill = self.within(self.climate.kill);
                self.kill(stack).await?;
            }
            if let Some(sources) = stack.event_sources().filter(|_| until_stop.is_zero()) {
                until_stop = self.within(self.climate.stop);
                sources.disable();
                sleep(self.within(Duration::from_secs(1))).await;
                sources.enable();
                self.stopped += 1;
            }
        }
        for wire in &self.wires {
            wire.proxy.relent();
        }
        Ok(())
    }

    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut wire = BTreeMap::new();
        for (fault, count) in self.wires.iter().flat_map(|wire| wire.proxy.met()) {
            *wire.entry(fault).or_default() += count;
        }
        Tally {
            wire,
            killed: self.killed,
            stopped: self.stopped,
        }
    }

    fn script(&mut self) {
        for wire in &self.wires {
            let missing = AHEAD.saturating_sub(wire.proxy.scripted());
            let is_put = wire.operation == "PutRecords";
            let (one_of, faults) = if is_put {
                (self.climate.puts, &FAULTS[..])
            } else {
                (self.climate.writes, &FAULTS[1..])
            };
            let random = &mut self.random;
            let mut draw = || match random.random_ratio(1, one_of) {
                true => faults[random.random_range(0..faults.len())],
                false => WireFault::None,
            };
            let drawn: Vec<WireFault> = (0..missing).map(|_| draw()).collect();
            wire.proxy.script(wire.operation, drawn);
        }
    }

    fn within(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.random())
    }

    /// Kills one function that runs, if one does.
    async fn kill(&mut self, stack: &Stack) -> anyhow::Result<()> {
        let running = functions(stack.directory()).await?;
        if running.is_empty() {
            return Ok(());
        }
        let chosen = running[self.random.random_range(0..running.len())];
        // It may have ended meanwhile, which is no trouble.
        if kill(chosen, Signal::SIGKILL).is_ok() {
            self.killed += 1;
        }
        Ok(())
    }
}

/// The processes of functions: those whose program lies in the stack's own directory.
async fn functions(directory: &Path) -> anyhow::Result<Vec<Pid>> {
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
        let is_function = program.starts_with(&*directory) && program.ends_with("/bootstrap");
        is_function.then(|| pid.parse().ok().map(Pid::from_raw))?
    });
    Ok(processes.collect())
}
