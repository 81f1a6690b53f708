//! Exhaustive runs, and the shortest paths to their findings.

use std::{
    fmt::{self, Display},
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::{
    actions::Action,
    bounds::{Bounds, Pipeline},
    bugs::Bug,
};

/// The result of an exhaustive run.
#[derive(Debug)]
pub struct Exploration {
    bounds: Bounds,
    /// Transitions.
    states: usize,
    unique: usize,
    depth: usize,
    time: Duration,
    /// The broken guarantees, each with the actions that break it.
    pub broken: Vec<(&'static str, Vec<Action>)>,
}

/// Visits every state. Treats workers as interchangeable, and consumers too.
pub fn visit_all_states(pipeline: Pipeline, threads: usize) -> Exploration {
    let start = Instant::now();
    let checker = pipeline.checker().threads(threads).symmetry();
    let checker = checker.spawn_dfs().join();
    let broken = checker.discoveries().into_iter();
    Exploration {
        bounds: pipeline.bounds,
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: start.elapsed(),
        broken: broken
            .map(|(name, path)| (name, path.into_actions()))
            .collect(),
    }
}

impl Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} states, {} unique, depth {}, {:.1} s",
            self.bounds,
            self.states,
            self.unique,
            self.depth,
            self.time.as_secs_f64()
        )?;
        for (name, actions) in &self.broken {
            writeln!(f, "BROKEN: {name}, by")?;
            actions
                .iter()
                .try_for_each(|action| writeln!(f, "    {action:?}"))?;
        }
        Ok(())
    }
}

/// A shortest path to a state, within the smallest bounds that it needs.
pub struct ShortestPath {
    pub pipeline: Pipeline,
    pub actions: Vec<Action>,
}

/// Searches for a state that a `sometimes` property names, or for a broken guarantee.
pub fn find(property: &'static str, bug: Option<Bug>) -> Option<ShortestPath> {
    ascending_bounds().into_iter().find_map(|bounds| {
        let pipeline = Pipeline {
            bounds,
            bug,
            in_every_order: false,
            property: Some(property),
        };
        let longest = search(pipeline, None)?.len();
        let shortest = (0..longest).find_map(|depth| search(pipeline, Some(depth)));
        let actions = shortest.or_else(|| search(pipeline, None))?;
        Some(ShortestPath { pipeline, actions })
    })
}

/// Searches breadth first, up to `depth` actions. Stateright explores a little further before it stops, so its first
/// result may not be the shortest.
fn search(pipeline: Pipeline, depth: Option<usize>) -> Option<Vec<Action>> {
    let checker = pipeline.checker().finish_when(HasDiscoveries::Any);
    // Stateright counts states and does not check the last one.
    let checker = match depth {
        Some(depth) => checker.target_max_depth(depth + 2),
        None => checker,
    };
    let found = checker
        .spawn_bfs()
        .join()
        .discoveries()
        .into_values()
        .next()?;
    Some(found.into_actions())
}

/// Bounds in ascending order of faults.
fn ascending_bounds() -> Vec<Bounds> {
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
    all.sort_by_key(|b| b.duplicates + b.crashes + b.elsewhere + b.losses);
    all
}
