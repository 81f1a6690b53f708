//! The model at any bounds: `cargo run --release -p onewrite-tests --example model -- --ids 2 --crashes 2`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

pub mod actions;
pub mod bounds;
pub mod bugs;
pub mod check;
pub mod properties;
pub mod reduction;
pub mod state;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    bounds: bounds::Bounds,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() {
    let Arguments { bounds, threads } = Arguments::parse();
    let checked = check::exhaust(bounds, threads);
    println!("{} {} {} {:?}", checked.states, checked.unique, checked.depth, checked.time);
    let mut d: Vec<_> = checked.discoveries.iter().collect();
    d.sort_by_key(|(n, _)| **n);
    for (name, trace) in d {
        println!("{name}: {}", trace.clone().into_actions().len());
    }
    if std::env::var_os("BUGS").is_some() { for bug in bugs::Bug::ALL {
        match check::find(bug) {
            Some((b, t)) => println!("{bug:?} {b:?} {}", t.into_actions().len()),
            None => println!("{bug:?} NOT FOUND"),
        }
    } }
}
