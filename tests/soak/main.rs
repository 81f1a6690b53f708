//! `cargo local soak`: the very pipeline under steady load and random trouble for as long as is asked, then the oracle.
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
    messages::send,
    oracle::{self, Meaning, Report, Sent},
    progress::Progress,
    quiet::until_quiet,
    sample::Sample,
    stack::{Stack, StackOptions, StackOutputs},
    survey,
};
use onewrite_tests::trouble::{Climate, Tally, Trouble};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Sends messages for a while, while connections are cut, answers come late or never, calls are throttled or fail in
/// part, function processes are killed and event sources stopped and started. Then looks whether anything was lost.
///
/// Exits with 1 where a promise was broken, or where the trouble that was asked for did not come.
#[derive(Parser)]
#[command(name = "cargo local soak", bin_name = "cargo local soak")]
struct Options {
    /// How long messages are sent. What is in the queue then is still waited for.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Fails where fewer messages were sent.
    #[arg(long, value_name = "N", default_value_t = 0)]
    at_least: usize,
    /// Draws the messages and the trouble.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Few enough that six receives of a message do not all meet trouble.
const CLIMATE: Climate = Climate {
    writes: 50,
    puts: 10,
    kill: Duration::from_secs(4),
    stop: Duration::from_secs(20),
};

/// Messages that are sent at a time.
const WAVE: usize = 100;

/// With more in the queue, no more are sent: a stack that is only behind shows nothing.
const BACKLOG: usize = 500;

/// How often the stack is looked at.
const LOOK: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match soak(&options).await {
        Ok(is_good) => ExitCode::from(u8::from(!is_good)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn soak(options: &Options) -> anyhow::Result<bool> {
    let progress = Progress::detect();
    let stack = StackOptions::named("soak")
        // Functions start anew for each invocation here, several at once and on a busy machine.
        .parameter("IngestTimeoutSeconds", "2")
        .parameter("IngestBatchSize", "50")
        .parameter("IngestBatchingWindowSeconds", "1")
        .parameter("ShardCount", "2");
    let mut stack = Stack::start(StackOptions {
        event_sources: false,
        progress,
        ..stack
    })
    .await?;
    let mut trouble = Trouble::before(&stack, CLIMATE, options.seed).await?;
    let choices = Choices::default_outcomes();
    stack.start_event_sources(None, choices).await?;

    let time = Duration::from_secs(60 * u64::from(options.minutes));
    let started = Instant::now();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let is_over = AtomicBool::new(false);
    let sending = async {
        let sent = sending(&clients, &outputs, options.seed, time, progress).await;
        is_over.store(true, Ordering::Relaxed);
        sent
    };
    let stirring = trouble.stir(&stack, |_| is_over.load(Ordering::Relaxed));
    let (sent, ()) = tokio::try_join!(sending, stirring)?;
    let took = started.elapsed().as_secs_f64();
    settle(&mut stack).await?;
    if !until_quiet(&mut stack, sent.len(), progress).await? {
        println!("The pipeline stands still with work left.");
    }
    let found = survey::survey(&clients, &outputs).await?;
    let report = oracle::judge(&sent, &found);
    let tally = trouble.tally();
    print(&report, &tally, took);
    let is_good = report.violations.is_empty() && all_came(&tally) && enough(options, sent.len());
    if is_good {
        stack.stop().await;
    } else {
        println!("The logs are in {}", stack.directory().display());
        stack.end().await;
    }
    Ok(is_good)
}

/// Sends wave after wave, as fast as the pipeline takes them.
async fn sending(
    clients: &Clients,
    outputs: &StackOutputs,
    seed: u64,
    time: Duration,
    progress: Progress,
) -> anyhow::Result<Vec<Sent>> {
    let mut bar = progress.bar(time.as_secs());
    let (started, mut mail, mut sent) = (Instant::now(), Mail::new(seed), Vec::new());
    while started.elapsed() < time {
        let depth = survey::depth(clients, &outputs.queue_url).await?;
        bar.at(
            started.elapsed().as_secs(),
            format!(
                "s, {} sent, {} in the queue, {} of them received",
                sent.len(),
                depth.total(),
                depth.hidden
            ),
        );
        if depth.visible > BACKLOG {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let wave: Vec<Sample> = (0..WAVE).map(|_| mail.next()).collect();
        sent.extend(send(clients, &outputs.queue_url, &wave, |_| {}).await?);
    }
    bar.finish();
    Ok(sent)
}

/// Waits until the queue is empty, which is cheaper to ask than whether every item is DONE.
async fn settle(stack: &mut Stack) -> anyhow::Result<()> {
    /// Far longer than six receives take.
    const PATIENCE: Duration = Duration::from_secs(600);
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(failure) = stack.failure() {
            return Err(failure.into());
        }
        let waiting = survey::depth(&clients, &outputs.queue_url).await?.total();
        let is_idle = stack
            .event_sources()
            .is_none_or(onewrite_local::event_sources::EventSources::is_idle);
        if waiting == 0 && is_idle {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn print(report: &Report, tally: &Tally, took: f64) {
    print!("{}", demo::render(report));
    println!("\ntrouble               times");
    for (fault, count) in &tally.wire {
        println!("{:<18} {count:>8}", format!("{fault:?}"));
    }
    println!("{:<18} {:>8}", "killed", tally.killed);
    println!("{:<18} {:>8}", "sources stopped", tally.stopped);
    let counts = &report.counts;
    println!(
        "{} messages in {took:.0} s; lost or unexpected: {}; repeated events: {}",
        counts.sent,
        report.violations.len(),
        counts.repeated
    );
}

/// Trouble that did not come is no proof.
fn all_came(tally: &Tally) -> bool {
    /// Every kind of fault on the wire, and calls without one.
    const KINDS: usize = 9;
    let all = tally.wire.len() == KINDS && tally.killed > 0 && tally.stopped > 0;
    if !all {
        println!("Not all of the trouble has come: run it for longer.");
    }
    all
}

fn enough(options: &Options, sent: usize) -> bool {
    let is_enough = sent >= options.at_least;
    if !is_enough {
        println!("Only {sent} of {} messages were sent.", options.at_least);
    }
    is_enough
}

/// Messages without end: new ones, and among them copies, conflicts and malformed ones.
struct Mail {
    random: StdRng,
    ids: u64,
}

impl Mail {
    fn new(seed: u64) -> Self {
        Self {
            // Not what the trouble is drawn from.
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
                let of = self.earlier();
                valid(of, "conflict")
            }
            2..12 if self.ids > 0 => {
                let of = self.earlier();
                valid(of, "first")
            }
            _ => {
                self.ids += 1;
                valid(self.ids, "first")
            }
        }
    }

    /// Mostly one that may still be under way.
    fn earlier(&mut self) -> u64 {
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
