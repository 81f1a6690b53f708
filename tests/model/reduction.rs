//! What need not be interleaved with everything else.
//!
//! Where a party is about to do what nobody else can hinder or notice, it does so at once, and what else is possible
//! waits: of all orders of independent actions one is visited (partial-order reduction by ample sets; the graph has no
//! cycles, so nothing waits for good). All that this party itself may do or suffer then stays possible, its death
//! included. What is used: an item that is there keeps its content, and DONE stays DONE, so that a call which meets
//! them changes nothing and is answered alike at any later moment; and an answer on its way concerns its receiver
//! alone.
//!
//! That no verdict depends on it is tested, by runs with and without it.

use crate::{
    actions::Action,
    bounds::Pipeline,
    state::{Request, State, Status},
};

impl Pipeline {
    /// Lists the actions of one party that is so placed. False where none is.
    pub fn private_actions(&self, state: &State, actions: &mut Vec<Action>) -> bool {
        let settled = |id| state.status(id).is_some();
        let done = |id| state.status(id) == Some(Status::Done);
        if let Some(message) = self.worn_out(state).next() {
            actions.push(Action::DeadLetter { message });
            return true;
        }
        for request in &state.air {
            let is_without_effect = match *request {
                Request::Insert { id, .. } => settled(id),
                Request::Complete(id) => done(id),
                Request::Put(_) => false,
            };
            if is_without_effect {
                actions.push(Action::Land(*request));
                return true;
            }
        }
        // The least of several, whatever its place, so that places stay interchangeable.
        let job = |worker: &u8| state.workers[usize::from(*worker)];
        let workers = (0..state.workers.len() as u8).filter(|worker| {
            job(worker).is_some_and(|job| {
                let message = state.messages[usize::from(job.message)];
                job.answer.is_some() || settled(message.id)
            })
        });
        if let Some(worker) = workers.min_by_key(job) {
            self.ingest_actions(state, worker, actions);
            return true;
        }
        let consumers = 0..state.consumers.len() as u8;
        let reader = |consumer: &u8| &state.consumers[usize::from(*consumer)];
        let answered = consumers
            .clone()
            .filter(|consumer| reader(consumer).completing.is_some());
        if let Some(consumer) = answered.min_by_key(reader) {
            self.advance_actions(state, consumer, actions);
            return true;
        }
        let late = |consumer: &u8| self.unread(state, *consumer).find(|id| done(*id));
        let late = consumers.filter_map(|consumer| Some((consumer, late(&consumer)?)));
        if let Some((consumer, id)) = late.min_by_key(|(consumer, _)| reader(consumer)) {
            self.complete_actions(state, consumer, id, actions);
            return true;
        }
        if state
            .publishing
            .is_some_and(|batch| self.call(state, &batch).is_empty())
        {
            self.forward_actions(state, actions);
            return true;
        }
        false
    }
}
