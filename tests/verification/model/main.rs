//! Checks the protocol exhaustively within bounds, and checks that the model matches the code.
//!
//! - `state`, `actions`, `steps`: the model; `bounds`: its limits; `reduction`: orders that need not be explored
//! - `properties`: the guarantees, and situations that must occur; `bugs`: planted bugs that break guarantees
//! - `check`, `report`: exhaustive runs and shortest paths; `explore`: an independent check of them
//! - `replay`, `call_gate`: traces of the model, replayed through the real handlers
//!
//! The model covers a standard queue and its dead-letter queue, `ingest`, the table with its change stream (one
//! shard), `forward`, the notification stream, and two consumers. Other tests cover FIFO queues, batches of several
//! messages or ids in `ingest` and `complete`, resharding, TTL, redrives, limits, and unreadable bytes.
//!
//! `cargo model --help` lists options for other bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

pub mod actions;
pub mod bounds;
pub mod bugs;
pub mod call_gate;
pub mod check;
pub mod explore;
pub mod properties;
pub mod reduction;
pub mod replay;
pub mod report;
pub mod state;
#[cfg(test)]
mod state_check;
pub mod steps;

use std::{
    collections::{BTreeSet, HashSet},
    mem::discriminant,
};

use bounds::{Bounds, Pipeline};
use bugs::Bug;
use properties::SOMETIMES;

#[test]
fn guarantees_hold_in_every_state() {
    let exploration = check::visit_all_states(Pipeline::default(), 2);
    println!("\n{exploration}");
    assert!(exploration.broken.is_empty(), "{exploration}");
}

#[test]
fn reaches_every_situation_that_guarantees_cover() {
    for (name, found) in report::print_situations() {
        assert!(found.is_some(), "{name}");
    }
}

#[test]
fn detects_every_planted_bug() {
    for (bug, found) in report::print_bugs() {
        assert!(found.is_some(), "{bug:?}");
    }
}

/// Bounds that are small enough to visit every order.
const SMALL: [Bounds; 3] = [
    bounds(1, [1, 2, 1, 1, 1]),
    bounds(2, [0, 1, 0, 0, 1]),
    bounds(2, [1, 1, 0, 0, 0]),
];

const fn bounds(ids: u8, [duplicates, workers, crashes, losses, elsewhere]: [u8; 5]) -> Bounds {
    Bounds {
        ids,
        duplicates,
        workers,
        crashes,
        losses,
        elsewhere,
        refusals: 1,
    }
}

#[test]
fn reduction_preserves_verdicts_and_final_states() {
    let right = SMALL.map(|bounds| Pipeline {
        bounds,
        ..Pipeline::default()
    });
    let wrong = Bug::ALL.map(|bug| {
        check::find(bug.description().1, Some(bug))
            .unwrap()
            .pipeline
    });
    for reduced in right.into_iter().chain(wrong) {
        let full = Pipeline {
            in_every_order: true,
            ..reduced
        };
        let [some, all] = [reduced, full].map(|pipeline| explore::explore(&pipeline));
        println!(
            "{}: {} states stand for {}",
            reduced.bounds, some.states, all.states
        );
        assert!(some.states < all.states);
        assert_eq!(some.broken, all.broken, "{reduced:?}");
        assert_eq!(some.situations, all.situations, "{reduced:?}");
        assert!(
            some.final_states == all.final_states,
            "{reduced:?}: the reduction changed the final states"
        );
    }
}

/// Visits all interleavings within the bounds, so that the code also meets those that the reduction skips.
const WALK_PIPELINE: Pipeline = Pipeline {
    bounds: bounds(2, [2, 2, 2, 2, 1]),
    bug: None,
    in_every_order: true,
    property: None,
};

const WALKS: u64 = 1_000;

#[tokio::test(start_paused = true)]
async fn code_matches_model_on_random_walks() {
    let (mut steps, mut kinds, mut situations) = (0, HashSet::new(), BTreeSet::new());
    for seed in 0..WALKS {
        let walk = explore::walk(&WALK_PIPELINE, seed);
        steps += walk.len();
        kinds.extend(walk.iter().map(discriminant));
        let states = replay::replay(&WALK_PIPELINE, &walk).await;
        let states = states.unwrap_or_else(|divergence| panic!("seed {seed}: {divergence}"));
        for (name, check) in SOMETIMES {
            if states.iter().any(|state| check(&WALK_PIPELINE, state)) {
                situations.insert(name);
            }
        }
    }
    println!("\n{WALKS} walks, {steps} steps: the code matched the model");
    assert_eq!(
        situations,
        SOMETIMES.iter().map(|(name, _)| *name).collect()
    );
    assert_eq!(
        kinds.len(),
        14,
        "the walks must contain every kind of action"
    );
}

#[tokio::test(start_paused = true)]
async fn code_matches_model_on_shortest_paths() {
    for (name, _) in SOMETIMES {
        let found = check::find(name, None).unwrap();
        let states = replay::replay(&found.pipeline, &found.actions).await;
        assert!(states.is_ok(), "{name}: {}", states.unwrap_err());
    }
}

#[tokio::test(start_paused = true)]
async fn code_diverges_from_model_with_planted_bug() {
    for bug in Bug::ALL {
        let (what, guarantee) = bug.description();
        let found = check::find(guarantee, Some(bug)).unwrap();
        let divergence = replay::replay(&found.pipeline, &found.actions).await;
        let divergence = divergence.expect_err("the replay must report a divergence");
        println!("{what}: {divergence}");
    }
}
