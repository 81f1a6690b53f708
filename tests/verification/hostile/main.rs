//! Hostile input: runs a corpus of message bodies and events through the parser and the real handlers, and compares
//! each outcome. The expected outcomes follow from the documentation and from AWS's rules. None was recorded from the
//! code.
//!
//! - `corpus/bodies/`: message bodies, by class; [`text`] explains the notation `⟨x × 3⟩`
//! - `corpus/pairs.yaml`: two messages with the same id
//! - `corpus/events/`: whole events of each function, as Lambda sends them
//!
//! The tests measure no time. Cases with 100,000 levels of nesting on a small stack, and batches of 10,000 records,
//! reveal unbounded work. [`memory`] bounds the memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod check;
mod complete;
mod compressed;
mod corpus;
mod forward;
mod ingest;
mod memory;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use onewrite_verification::repository;

#[test]
fn corpus_covers_every_class_and_every_rejection() {
    let bodies = corpus::bodies();
    let mut cases: BTreeMap<&str, usize> = bodies
        .iter()
        .map(|(class, bodies)| (class.as_str(), bodies.len()))
        .collect();
    cases.insert("pairs", corpus::pairs().len());
    let functions = ["ingest", "forward", "complete"].map(|name| (name, corpus::events(name)));
    for (name, events) in &functions {
        cases.insert(name, events.len());
    }
    let total: usize = cases.values().sum();
    for (class, cases) in &cases {
        println!("{cases:>5} {class}");
    }
    println!("{total:>5} in all");
    assert!(total >= 300, "{total}");

    let of_bodies = bodies.values().flatten().map(|body| body.outcome.as_str());
    let records = functions
        .iter()
        .flat_map(|(_, events)| events.iter().flat_map(corpus::Event::each));
    let seen: BTreeSet<&str> = of_bodies
        .chain(records.map(|record| record.outcome.as_str()))
        .collect();
    for name in rejections() {
        assert!(
            seen.contains(name.as_str()),
            "no case is rejected as {name}"
        );
    }
}

/// The names of all documented rejections. Another test checks that the list is complete.
fn rejections() -> Vec<String> {
    let document = std::fs::read_to_string(repository("docs/messages-and-events.md")).unwrap();
    let (_, rest) = document.split_once("### Rejected messages").unwrap();
    let rows = rest.lines().take_while(|line| !line.starts_with("## "));
    let names: Vec<_> = rows
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert!(!names.is_empty());
    names
}
