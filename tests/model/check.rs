//! Exhaustive runs, and what they say.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _, Path};

use crate::{
    actions::Action,
    bounds::{Bounds, Pipeline},
    bugs::Bug,
    state::State,
};

pub type Trace = Path<State, Action>;

/// What an exhaustive run came to.
pub struct Checked {
    pub states: usize,
    pub unique: usize,
    pub depth: usize,
    pub time: Duration,
    pub discoveries: HashMap<&'static str, Trace>,
}

/// Visits every state once, workers and consumers being interchangeable.
pub fn exhaust(bounds: Bounds, threads: usize) -> Checked {
    let start = Instant::now();
    let checker = Pipeline::new(bounds).checker().threads(threads).symmetry();
    let checker = checker.spawn_dfs().join();
    Checked {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: start.elapsed(),
        discoveries: checker.discoveries(),
    }
}

/// The shortest way in which a bug breaks its property, within the smallest bounds in which it does.
pub fn find(bug: Bug) -> Option<(Bounds, Trace)> {
    let (_, property) = bug.what();
    growing().into_iter().find_map(|bounds| {
        let checker = Pipeline::with(bug, bounds).checker();
        let stop = HasDiscoveries::AnyOf(BTreeSet::from([property]));
        let checker = checker.finish_when(stop).spawn_bfs().join();
        Some((bounds, checker.discovery(property)?))
    })
}

/// Bounds, the fewest faults first.
fn growing() -> Vec<Bounds> {
    let mut all = Vec::new();
    for (ids, workers) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        for faults in 0..24 {
            all.push(Bounds {
                ids,
                workers,
                duplicates: faults & 1,
                crashes: faults >> 1 & 1,
                elsewhere: faults >> 2 & 1,
                losses: faults >> 3,
                refusals: 1,
            });
        }
    }
    let faults = |b: &Bounds| b.duplicates + b.crashes + b.elsewhere + b.losses;
    all.sort_by_key(faults);
    all
}
