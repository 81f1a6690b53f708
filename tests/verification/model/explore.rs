//! A second, simple exploration of the states. It checks that neither the reduction nor stateright hides a state, and
//! generates the walks to replay.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use rand::{SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use stateright::{Model as _, Representative as _};

use crate::{
    actions::Action,
    bounds::Pipeline,
    properties::{ALWAYS, Check, EVENTUALLY, SOMETIMES},
    state::{Change, Item, Place, Records, State},
};

/// Properties seen in the states of a pipeline.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StateSpace {
    /// Broken guarantees.
    pub broken: BTreeSet<&'static str>,
    /// `sometimes` properties that hold in some state.
    pub situations: BTreeSet<&'static str>,
    /// Durable data of the final states.
    pub final_states: HashSet<FinalState>,
    pub states: usize,
}

/// The durable data.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FinalState {
    places: Vec<Place>,
    items: Vec<Item>,
    changes: Vec<Change>,
    records: Vec<Records>,
}

impl FinalState {
    fn from_state(state: &State) -> Self {
        Self {
            places: state.messages.iter().map(|message| message.place).collect(),
            items: state.items.to_vec(),
            changes: state.changes.to_vec(),
            records: state.records.to_vec(),
        }
    }
}

/// Visits every state.
pub fn explore(pipeline: &Pipeline) -> StateSpace {
    let (mut space, mut visited) = (StateSpace::default(), HashSet::new());
    let hashes = RandomState::new();
    let mut pending = pipeline.init_states();
    let mut actions = Vec::new();
    while let Some(state) = pending.pop() {
        if !visited.insert(hashes.hash_one(state.representative())) {
            continue;
        }
        space.states += 1;
        let which = |properties: &[(&'static str, Check)], is: bool| {
            let properties = properties.iter();
            let found = properties.filter(|(_, check)| check(pipeline, &state) == is);
            found.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        space.situations.extend(which(&SOMETIMES, true));
        space.broken.extend(which(&ALWAYS, false));
        pipeline.actions(&state, &mut actions);
        if actions.is_empty() {
            space.broken.extend(which(&EVENTUALLY, false));
            space.final_states.insert(FinalState::from_state(&state));
        }
        let next = actions
            .drain(..)
            .filter_map(|action| pipeline.next_state(&state, action));
        pending.extend(next);
    }
    space
}

/// A path to a final state. The same seed gives the same path.
pub fn walk(pipeline: &Pipeline, seed: u64) -> Vec<Action> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut walk = Vec::new();
    let mut states = pipeline.init_states();
    while let Some(state) = states.pop() {
        let mut actions = Vec::new();
        pipeline.actions(&state, &mut actions);
        if let Some(action) = actions.choose(&mut random) {
            walk.push(action.clone());
            states.extend(pipeline.next_state(&state, action.clone()));
        }
    }
    walk
}
