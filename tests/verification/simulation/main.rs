//! One deterministic world, one seed: the real handlers, fed by the real event-source state machines, over models of
//! queue, table and streams, in virtual time, on one thread. The seed decides everything: what is sent, what happens
//! next, what fails.
//!
//! While the storm lasts, faults are injected everywhere; then they stop, and the guarantees are checked: those that
//! must hold at every step, while it runs; at its end also that nothing is lost and that everything drains.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod bugs;
mod clock;
mod effects;
mod functions;
mod mailbox;
mod plan;
mod process;
mod run;
mod settings;
mod shrink;
mod sources;
mod trouble;
mod weather;
mod witness;
mod world;

use bugs::Bug;
use onewrite_verification::repository;
use plan::Plan;
use weather::Kind;
use world::World;

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 10_000;

fn plans(seeds: u64) -> Vec<Plan> {
    (0..seeds).map(Plan::of_seed).collect()
}

#[test]
fn the_guarantees_hold_in_every_world() {
    let summary = run::all(&plans(SEEDS), None, || {});
    if let Some(broken) = &summary.broken {
        let short = shrink::shrink(&broken.plan, None);
        panic!("{}", run::report(&short, None));
    }
    summary.print();
    let gaps = summary.gaps();
    assert!(gaps.is_empty(), "{gaps:#?}");
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of_name(kind.name()), Some(*kind));
    }
}

#[test]
fn a_world_has_twenty_messages_and_more() {
    for seed in 0..100 {
        let run = World::run(&Plan::of_seed(seed), None, false);
        assert!(run.messages >= 20, "seed {seed}: {}", run.messages);
    }
}

#[test]
fn a_seed_is_one_world() {
    for seed in 0..20 {
        let plan = Plan::of_seed(seed);
        let (one, other) = (World::run(&plan, None, true), World::run(&plan, None, true));
        assert_eq!(one.history, other.history, "seed {seed}");
        assert!(one.history.len() > 20);
    }
}

#[test]
fn finds_every_planted_bug_as_documented() {
    let document = std::fs::read_to_string(repository("docs/testing.md")).unwrap();
    assert!(document.contains(run::TABLE_OF_BUGS));
    for bug in Bug::ALL {
        let row = run::row(&(0..SEEDS), *bug);
        let row = row.unwrap_or_else(|| panic!("{}: nothing catches it", bug.name()));
        assert!(
            document.lines().any(|line| line == row),
            "docs/testing.md does not have the row {row}"
        );
    }
}

#[test]
fn the_plain_handlers_that_bugs_are_planted_in_are_right() {
    let summary = run::all(&plans(300), Some(Bug::Nothing), || {});
    if let Some(broken) = &summary.broken {
        panic!("{}", run::report(&broken.plan, Some(Bug::Nothing)));
    }
}

#[test]
fn a_failing_world_is_made_short_and_its_history_tells_why() {
    let bug = Bug::Unconditional;
    let run = run::first_broken(0..SEEDS, bug).unwrap();
    let short = shrink::shrink(&run.plan, Some(bug));
    let letters = short.letters.as_ref().map_or(usize::MAX, Vec::len);
    assert!(letters <= 5, "{letters} letters");
    let report = run::report(&short, Some(bug));
    assert!(report.contains(run.broken.unwrap().guarantee), "{report}");
    assert!(
        report.contains("in the table: nothing became INIT"),
        "{report}"
    );
    assert!(report.contains(&short.command(Some(bug))), "{report}");
}
