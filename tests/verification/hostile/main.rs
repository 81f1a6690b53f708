//! Hostile input: a corpus of message bodies and events, each with what must become of it, through the parser and the
//! real handlers. The expectations follow from the README and the documented rules; none was recorded from the code.
//!
//! - `corpus/bodies/`: message bodies, by class; [`text`] says what `⟨x × 3⟩` is
//! - `corpus/pairs.yaml`: two messages of one id
//! - `corpus/events/`: whole events of each function, as Lambda hands them over
//!
//! Nothing is timed. That work is bounded shows where it is not: on a small stack, by cases of 100,000 levels and
//! batches of 10,000.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod check;
mod complete;
mod corpus;
mod forward;
mod ingest;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use onewrite_verification::repository;

#[test]
fn every_class_has_its_cases_and_every_rejection_one() {
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

/// The names of all rejections, as the README lists them: that it lists them all is a test of its own.
fn rejections() -> Vec<String> {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let (_, rest) = readme.split_once("(`Rejected<Name>`):").unwrap();
    let (list, _) = rest.split_once("A message's trace").unwrap();
    let names: Vec<_> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(!names.is_empty());
    names
}
