//! The protocol, exhaustively, and that the model is of this code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod actions;
pub mod bounds;
pub mod bugs;
pub mod check;
pub mod door;
pub mod properties;
pub mod reduction;
pub mod replay;
pub mod state;

use bounds::{Bounds, Pipeline};
use bugs::Bug;
use rand::{SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use stateright::Model as _;

const BOUNDS: Bounds = Bounds {
    ids: 2,
    duplicates: 2,
    workers: 2,
    crashes: 2,
    losses: 1,
    elsewhere: 1,
    refusals: 1,
};

fn walk(pipeline: &Pipeline, seed: u64) -> Vec<actions::Action> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut state = pipeline.init_states().remove(0);
    let mut walk = Vec::new();
    loop {
        let mut actions = Vec::new();
        pipeline.actions(&state, &mut actions);
        let Some(action) = actions.choose(&mut rng) else {
            return walk;
        };
        walk.push(action.clone());
        state = pipeline.next_state(&state, action.clone()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_real_handlers_do_what_the_model_does() {
    let mut pipeline = Pipeline::new(BOUNDS);
    pipeline.is_reduced = false;
    let start = std::time::Instant::now();
    let mut steps = 0;
    for seed in 0..500 {
        let actions = walk(&pipeline, seed);
        steps += actions.len();
        if let Err(divergence) = replay::replay(&pipeline, &actions).await {
            panic!("seed {seed}: {divergence}");
        }
    }
    println!("{steps} steps in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_bug_s_trace_is_not_the_code_s() {
    for bug in Bug::ALL {
        let (bounds, trace) = check::find(bug).unwrap();
        let e = replay::replay(&Pipeline::with(bug, bounds), &trace.into_actions())
            .await
            .expect_err("diverges");
        println!("{bug:?}: {e}");
    }
}
