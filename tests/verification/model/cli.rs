//! The model with other bounds: `cargo model --losses 2 --tables`. The dev profile optimises this crate, so
//! `--release` gains little.
#![allow(clippy::print_stdout)]

pub mod actions;
pub mod bounds;
pub mod bugs;
pub mod check;
pub mod properties;
pub mod reduction;
pub mod report;
pub mod state;
pub mod steps;

use std::process::ExitCode;

use bounds::{Bounds, Pipeline};
use clap::Parser;

/// Visit every state of the protocol within bounds and check its guarantees
#[derive(Parser)]
#[command(name = "cargo model", bin_name = "cargo model")]
struct Arguments {
    #[command(flatten)]
    bounds: Bounds,
    /// Visit independent actions in every order too (many times more states)
    #[arg(long)]
    in_every_order: bool,
    /// Print the situations that happen, and the planted bugs with the guarantees they break
    #[arg(long)]
    tables: bool,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let pipeline = Pipeline {
        bounds: arguments.bounds,
        in_every_order: arguments.in_every_order,
        ..Pipeline::default()
    };
    let exploration = check::visit_all_states(pipeline, arguments.threads);
    println!("{exploration}");
    let mut is_good = exploration.broken.is_empty();
    if arguments.tables {
        is_good &= report::print_situations()
            .iter()
            .all(|(_, found)| found.is_some());
        is_good &= report::print_bugs()
            .iter()
            .all(|(_, found)| found.is_some());
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
