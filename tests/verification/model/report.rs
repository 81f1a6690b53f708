//! Prints findings as tables.

use crate::{
    bugs::Bug,
    check::{self, ShortestPath},
    properties::SOMETIMES,
};

/// Prints the situations that occur without a broken guarantee, and the shortest path to each.
pub fn print_situations() -> Vec<(&'static str, Option<ShortestPath>)> {
    println!("\n{:<46} {:>7}  within", "situation", "actions");
    let situations = SOMETIMES.map(|(name, _)| (name, check::find(name, None)));
    for (name, found) in &situations {
        println!("{name:<46} {}", row(found.as_ref()));
    }
    situations.into()
}

/// Prints each planted bug, the guarantee it breaks, and the shortest path to the violation.
pub fn print_bugs() -> Vec<(Bug, Option<ShortestPath>)> {
    println!(
        "\n{:<46} {:<25} {:>7}  within",
        "planted bug", "breaks", "actions"
    );
    let bugs = Bug::ALL.map(|bug| {
        let (what, guarantee) = bug.description();
        let found = check::find(guarantee, Some(bug));
        println!("{what:<46} {guarantee:<25} {}", row(found.as_ref()));
        (bug, found)
    });
    bugs.into()
}

fn row(found: Option<&ShortestPath>) -> String {
    found.map_or_else(
        || "NOT FOUND".to_owned(),
        |found| format!("{:>7}  {}", found.actions.len(), found.pipeline.bounds),
    )
}
