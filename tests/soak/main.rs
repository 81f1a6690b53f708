//! `cargo soak`: runs the pipeline under steady load with random faults, then verifies that nothing was lost.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use clap::Parser;
use onewrite_event_sources::choices::Choices;
use onewrite_local::{
    clients::Clients,
    demo,
    downstream::{Downstream, Function, Table, Targets},
    event_sources::EventSources,
    inspect,
    messages::send,
    oracle::{self, Meaning, Report, SentMessage, Settlement},
    pipeline::Pipeline as _,
    progress::Progress,
    sample::Sample,
    settled::wait_until_settled,
    stack::{Stack, StackOptions},
    workspace::Workspace,
};
use onewrite_stack::outputs::StackOutputs;
use onewrite_tests::random_faults::{FaultCounts, FaultRates, RandomFaults};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Send messages while random faults happen, then verify that nothing was lost.
///
/// The faults: cut connections, late or missing responses, throttled or partly failed calls, killed function processes, and
/// event sources that stop and start. The exit code is 1 if a guarantee was broken or if a kind of fault did not happen.
#[derive(Parser)]
#[command(name = "cargo soak", bin_name = "cargo soak")]
struct Options {
    /// Send messages for this many minutes, then wait until the queue is empty.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Fail if fewer messages were sent.
    #[arg(long, value_name = "N", default_value_t = 0)]
    at_least: usize,
    /// Seed of the random messages and faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Deliver to a function in Python, whose ledger entries complete commits together with DONE, instead of to a URL.
    #[arg(long)]
    function: bool,
}

/// Rare enough that no message fails in all six receives.
const RATES: FaultRates = FaultRates {
    writes: 50,
    puts: 10,
    kill: Duration::from_secs(4),
    stop: Duration::from_secs(20),
};

/// The number of messages that are sent at once.
const WAVE: usize = 100;

/// Sending pauses while more messages than this are waiting: a growing backlog would hide faults.
const MAX_BACKLOG: usize = 500;

const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Boxed, because the future is large.
    match Box::pin(soak(&options)).await {
        Ok(is_good) => ExitCode::from(u8::from(!is_good)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn soak(options: &Options) -> anyhow::Result<bool> {
    let progress = Progress::detect();
    let stack = StackOptions::new("soak")
        // The emulator starts a new process for each invocation, several at once on a busy machine.
        .parameter("IngestTimeoutSeconds", "2")
        .parameter("IngestBatchSize", "50")
        .parameter("BatchingWindowSeconds", "1")
        .parameter("ShardCount", "2");
    let mut stack = Stack::start(StackOptions {
        event_sources: false,
        downstream: downstream(options),
        progress,
        ..stack
    })
    .await?;
    let mut faults = RandomFaults::prepare(&stack, RATES, options.seed).await?;
    let choices = Choices::default_outcomes();
    stack.start_event_sources(None, choices).await?;

    let time = Duration::from_secs(60 * u64::from(options.minutes));
    let started = Instant::now();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let is_over = AtomicBool::new(false);
    let sending = async {
        let sent = send_waves(&clients, &outputs, options.seed, time, progress).await;
        is_over.store(true, Ordering::Relaxed);
        sent
    };
    let injecting = faults.inject_until(&stack, |_| is_over.load(Ordering::Relaxed));
    let (sent, ()) = tokio::try_join!(sending, injecting)?;
    let took = started.elapsed().as_secs_f64();
    wait_for_empty_queue(&mut stack).await?;
    if !wait_until_settled(&mut stack, sent.len(), progress).await? {
        println!("The pipeline is stuck with work left.");
    }
    let mut found = inspect::read_final_state(&clients, &outputs).await?;
    found.settlement = settlement(&stack).await?;
    let report = oracle::verify(&sent, &found);
    let counts = faults.counts();
    print(&report, &counts, took);
    let is_good = report.violations.is_empty()
        && every_fault_happened(&counts)
        && is_enough(options, sent.len());
    if is_good {
        stack.stop().await;
    } else {
        println!("The logs are in {}", stack.directory().display());
        stack.end().await;
    }
    Ok(is_good)
}

fn downstream(options: &Options) -> Downstream {
    if !options.function {
        return Downstream::Ledger;
    }
    let function = Function {
        file: Workspace::here().root().join("tests/soak/ledger.py"),
        table: Table {
            name: "ledger".to_owned(),
            key: "entry_id".to_owned(),
        },
    };
    Downstream::Targets(Targets {
        function: Some(function),
        ..Targets::default()
    })
}

/// What is booked. Each entry of the function is the notification id, `#`, and a random id.
async fn settlement(stack: &Stack) -> anyhow::Result<Settlement> {
    let mut settlement = stack.settlement().await?;
    if let Settlement::Ledger { booked, .. } = &mut settlement {
        for entry in booked {
            entry.truncate(entry.find('#').unwrap_or(entry.len()));
        }
    }
    Ok(settlement)
}

/// Sends wave after wave, as fast as the pipeline processes them.
async fn send_waves(
    clients: &Clients,
    outputs: &StackOutputs,
    seed: u64,
    time: Duration,
    progress: Progress,
) -> anyhow::Result<Vec<SentMessage>> {
    let mut bar = progress.bar(time.as_secs());
    let (started, mut random, mut sent) = (Instant::now(), RandomMessages::new(seed), Vec::new());
    while started.elapsed() < time {
        let depth = inspect::read_queue_depth(clients, &outputs.queue_url).await?;
        bar.at(
            started.elapsed().as_secs(),
            format!(
                "s, {} sent, {} in the queue, {} of them received",
                sent.len(),
                depth.total(),
                depth.hidden
            ),
        );
        if depth.waiting > MAX_BACKLOG {
            tokio::time::sleep(POLL_INTERVAL).await;
            continue;
        }
        let wave: Vec<Sample> = (0..WAVE).map(|_| random.next()).collect();
        sent.extend(send(clients, &outputs.queue_url, &wave, |_| {}).await?);
    }
    bar.finish();
    Ok(sent)
}

/// Waits until the queue is empty. Asking whether every item is DONE would cost more.
async fn wait_for_empty_queue(stack: &mut Stack) -> anyhow::Result<()> {
    /// Much longer than six receives take.
    const TIMEOUT: Duration = Duration::from_secs(600);
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let started = Instant::now();
    while started.elapsed() < TIMEOUT {
        if let Some(failure) = stack.failure() {
            return Err(failure.into());
        }
        let waiting = inspect::read_queue_depth(&clients, &outputs.queue_url)
            .await?
            .total();
        let is_idle = stack.event_sources().is_none_or(EventSources::is_idle);
        if waiting == 0 && is_idle {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

fn print(report: &Report, faults: &FaultCounts, took: f64) {
    print!("{}", demo::render(report));
    println!("\nfault                 times");
    for (fault, count) in &faults.wire {
        println!("{:<18} {count:>8}", format!("{fault:?}"));
    }
    println!("{:<18} {:>8}", "killed", faults.killed);
    println!("{:<18} {:>8}", "sources stopped", faults.stopped);
    let counts = &report.counts;
    println!(
        "{} messages in {took:.0} s; lost or unexpected: {}; repeated events: {}",
        counts.sent,
        report.violations.len(),
        counts.repeated
    );
}

/// A run without every kind of fault proves nothing.
fn every_fault_happened(faults: &FaultCounts) -> bool {
    let all = faults.wire.len() == FaultCounts::KINDS && faults.killed > 0 && faults.stopped > 0;
    if !all {
        println!("Some kinds of faults did not happen: use more --minutes.");
    }
    all
}

fn is_enough(options: &Options, sent: usize) -> bool {
    let is_enough = sent >= options.at_least;
    if !is_enough {
        println!("Only {sent} of {} messages were sent.", options.at_least);
    }
    is_enough
}

/// An endless sequence of new messages, copies, conflicts and malformed messages.
struct RandomMessages {
    random: StdRng,
    ids: u64,
}

impl RandomMessages {
    fn new(seed: u64) -> Self {
        Self {
            // A different sequence than that of the faults.
            random: StdRng::seed_from_u64(!seed),
            ids: 0,
        }
    }

    fn next(&mut self) -> Sample {
        match self.random.random_range(0..100) {
            0 => Sample {
                body: format!(r#"{{"notification_id":"n-{}","payload":"#, self.ids),
                meaning: Meaning::Malformed,
            },
            1 if self.ids > 0 => {
                let id = self.earlier_id();
                valid(id, "conflict")
            }
            2..12 if self.ids > 0 => {
                let id = self.earlier_id();
                valid(id, "first")
            }
            _ => {
                self.ids += 1;
                valid(self.ids, "first")
            }
        }
    }

    /// Prefers a message that may still be in flight.
    fn earlier_id(&mut self) -> u64 {
        let oldest = if self.random.random() {
            self.ids.saturating_sub(200)
        } else {
            0
        };
        self.random.random_range(oldest..self.ids) + 1
    }
}

fn valid(number: u64, content: &str) -> Sample {
    let id = format!("n-{number}");
    let payload = format!(r#"{{"content": "{content}", "n": {number}.0}}"#);
    Sample {
        body: format!(r#"{{"notification_id":"{id}","type":"refund","payload":{payload}}}"#),
        meaning: Meaning::Valid {
            id,
            kind: "refund".to_owned(),
            content: content.to_owned(),
            payload,
        },
    }
}
