//! `cargo simulate`: runs any number of worlds, reproduces one world, or checks the planted bugs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod bugs;
mod clock;
mod deferrals;
mod downstream;
mod earlier;
mod effects;
mod fault_injection;
mod fault_plan;
mod functions;
mod invariants;
mod messages;
mod pending;
mod plan;
mod process;
mod receivers;
mod run;
mod settings;
mod shrink;
mod sources;
mod witness;
mod world;

use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use onewrite_event_sources::Millis;

use bugs::Bug;
use fault_plan::FaultKind;
use plan::{FAULT_PERIOD, Plan};

/// Run the real handlers and event sources in simulated worlds with injected faults
///
/// Exits with 1 if a guarantee breaks, and prints the history and the command that reproduces it. Also exits with 1 if
/// the worlds did not meet all faults that they should have met.
#[derive(Parser)]
#[command(name = "cargo simulate", bin_name = "cargo simulate")]
struct Options {
    /// Number of worlds to run
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// First seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Disable a fault, by its name in the summary
    #[arg(long, value_name = "FAULT", value_parser = fault)]
    without: Vec<FaultKind>,
    /// Send only the messages with these numbers
    #[arg(long, value_delimiter = ',')]
    messages: Option<Vec<usize>>,
    /// Stop injecting faults after this many milliseconds
    #[arg(long, default_value_t = FAULT_PERIOD)]
    fault_period: Millis,
    /// Plant one bug, by its name in the list of --bugs
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Plant each bug in turn, and print the guarantee that catches it and the number of worlds it took
    #[arg(long, conflicts_with_all = ["without", "messages", "fault_period", "bug"])]
    bugs: bool,
}

fn fault(name: &str) -> Result<FaultKind, String> {
    FaultKind::from_name(name)
        .ok_or_else(|| format!("unknown fault {name:?}: the summary lists the names"))
}

fn bug(name: &str) -> Result<Bug, String> {
    let mut bugs = Bug::ALL.iter().copied();
    bugs.find(|bug| bug.name() == name)
        .ok_or_else(|| format!("unknown bug {name:?}: `cargo simulate --bugs` lists the names"))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_good = if options.bugs {
        find_bugs(&options)
    } else {
        simulate(&options)
    };
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A progress bar on a terminal, hidden elsewhere.
fn progress(worlds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} worlds, {per_sec}, {eta} left");
    ProgressBar::new(worlds).with_style(style.unwrap())
}

fn simulate(options: &Options) -> bool {
    let seeds = options.from..options.from.saturating_add(options.seeds);
    let plans: Vec<Plan> = seeds
        .map(|seed| Plan {
            seed,
            without: options.without.clone(),
            messages: options.messages.clone(),
            fault_period: options.fault_period,
        })
        .collect();
    let started = std::time::Instant::now();
    let bar = progress(options.seeds);
    let summary = run::all(&plans, options.bug, || bar.inc(1));
    bar.finish_and_clear();
    summary.print();
    println!("{:.1} s", started.elapsed().as_secs_f64());
    if let Some(violation) = &summary.violation {
        // A plan with explicit options is reported as given, without shrinking.
        let is_whole = violation.plan == Plan::from_seed(violation.plan.seed);
        let short = if is_whole {
            shrink::shrink(&violation.plan, options.bug)
        } else {
            violation.plan.clone()
        };
        println!("\n{}", run::report(&short, options.bug));
        return false;
    }
    let gaps = summary.gaps();
    for gap in &gaps {
        println!("{gap}");
    }
    println!("Every guarantee held.");
    gaps.is_empty()
}

/// Number of worlds for the simple handlers.
const PLAIN_WORLDS: u64 = 300;

fn find_bugs(options: &Options) -> bool {
    let seeds = options.from..options.from.saturating_add(options.seeds);
    let mut is_good = true;
    println!("{}", run::TABLE_OF_BUGS);
    for bug in Bug::ALL {
        let row = run::row(&seeds, *bug);
        is_good &= row.is_some();
        println!(
            "{}",
            row.unwrap_or_else(|| format!("| {} | NOTHING | {} |", bug.name(), options.seeds))
        );
    }
    // Some bugs are planted in simple handlers, which must be correct without them.
    let plain = run::first_violation(options.from..options.from + PLAIN_WORLDS, Bug::Nothing);
    if let Some(run) = plain {
        println!("\n{}", run::report(&run.plan, Some(Bug::Nothing)));
        return false;
    }
    is_good
}
