//! Prints findings as tables.

use crate::{
    bugs::Bug,
    check::{self, Found},
    properties::SOMETIMES,
};

/// Prints the situations that occur without a broken guarantee, and the shortest path to each.
pub fn print_witnesses() -> Vec<(&'static str, Option<Found>)> {
    println!("\n{:<46} {:>7}  within", "situation", "actions");
    let witnesses = SOMETIMES.map(|(name, _)| (name, check::find(name, None)));
    for (name, found) in &witnesses {
        println!("{name:<46} {}", row(found.as_ref()));
    }
    witnesses.into()
}

/// Prints each planted bug, the guarantee it breaks, and the shortest path to the violation.
pub fn print_bugs() -> Vec<(Bug, Option<Found>)> {
    println!(
        "\n{:<46} {:<25} {:>7}  within",
        "planted bug", "breaks", "actions"
    );
    let bugs = Bug::ALL.map(|bug| {
        let (what, promise) = bug.what();
        let found = check::find(promise, Some(bug));
        println!("{what:<46} {promise:<25} {}", row(found.as_ref()));
        (bug, found)
    });
    bugs.into()
}

fn row(found: Option<&Found>) -> String {
    found.map_or_else(
        || "NOT FOUND".to_owned(),
        |found| format!("{:>7}  {}", found.actions.len(), found.pipeline.bounds),
    )
}
