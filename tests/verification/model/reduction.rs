//! Partial-order reduction: skips interleavings that cannot change a result.
//!
//! If the next action of a party cannot be hindered or noticed by any other party, the model executes it at once and
//! delays all other actions. Of all orders of independent actions, the model visits one (ample sets). The graph has no
//! cycles, so no action is delayed forever. All actions of this party stay possible, including its crash.
//!
//! The reduction relies on two facts. An existing item keeps its content, and DONE stays DONE, so a call that meets
//! them changes nothing and gets the same response at any later moment. And a response in flight concerns its receiver
//! alone.
//!
//! Tests compare runs with and without the reduction.

use crate::{
    actions::Action,
    bounds::Pipeline,
    state::{Id, Request, State, Status},
};

impl Pipeline {
    /// Lists the actions of one party that can act independently. Returns false if there is no such party.
    pub fn private_actions(&self, state: &State, actions: &mut Vec<Action>) -> bool {
        if let Some(message) = self.receives_exhausted(state).next() {
            actions.push(Action::DeadLetter { message });
        } else if let Some(request) = without_effect(state) {
            actions.push(Action::Land(request));
        } else if let Some(worker) = worker_with_known_response(state) {
            self.ingest_actions(state, worker, actions);
        } else if let Some(consumer) = consumer_that_completed(state) {
            self.advance_actions(state, consumer, actions);
        } else if let Some((consumer, id)) = self.too_late(state) {
            self.complete_actions(state, consumer, id, actions);
        } else if self.is_all_confirmed(state) {
            self.forward_actions(state, actions);
        } else {
            return false;
        }
        true
    }

    /// A consumer that has unread records of an item that is already in DONE.
    fn too_late(&self, state: &State) -> Option<(u8, Id)> {
        let done = |id: &Id| state.status(*id).is_some_and(Status::is_settled);
        let consumers = (0..).zip(&state.consumers);
        let too_late = consumers.filter_map(|(consumer, reader)| {
            let id = self.unread(state, consumer).find(done)?;
            Some((reader, (consumer, id)))
        });
        least(too_late)
    }

    fn is_all_confirmed(&self, state: &State) -> bool {
        let mut batch = state.publishing.iter();
        batch.any(|batch| self.call(state, batch).is_empty())
    }
}

/// A late request that no longer has an effect.
fn without_effect(state: &State) -> Option<Request> {
    let is_without_effect = |request: &&Request| match request {
        Request::Insert { id, .. } => state.status(*id).is_some(),
        Request::Complete(id) => state.status(*id).is_some_and(Status::is_settled),
        Request::Put(_) => false,
    };
    state.delayed.iter().find(is_without_effect).copied()
}

/// A worker that has the table's response, or for which only one response is possible.
fn worker_with_known_response(state: &State) -> Option<u8> {
    let workers = (0..).zip(&state.workers);
    least(workers.filter_map(|(worker, job)| {
        let job = job.as_ref()?;
        let message = &state.messages[usize::from(job.message)];
        let is_settled = job.answer.is_some() || state.status(message.id).is_some();
        is_settled.then_some((job, worker))
    }))
}

fn consumer_that_completed(state: &State) -> Option<u8> {
    let consumers = (0..).zip(&state.consumers);
    let ended = consumers.filter(|(_, reader)| reader.completing.is_some());
    least(ended.map(|(consumer, reader)| (reader, consumer)))
}

/// Of several parties, the least by its data rather than by its index, so that parties stay interchangeable.
fn least<K: Ord, T>(parties: impl Iterator<Item = (K, T)>) -> Option<T> {
    let parties = parties.min_by(|(one, _), (other, _)| one.cmp(other));
    parties.map(|(_, party)| party)
}
