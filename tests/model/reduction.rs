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
        for message in self.worn_out(state) {
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
        for (worker, job) in (0..).zip(&state.workers) {
            let message = |n: u8| &state.messages[usize::from(n)];
            if job.is_some_and(|job| job.answer.is_some() || settled(message(job.message).id)) {
                self.ingest_actions(state, worker, actions);
                return true;
            }
        }
        for (consumer, reader) in (0..).zip(&state.consumers) {
            if reader.completing.is_some() {
                self.advance_actions(state, consumer, actions);
                return true;
            }
            for id in self.unread(state, consumer).filter(|id| done(*id)) {
                self.complete_actions(state, consumer, id, actions);
                return true;
            }
        }
        if state.publishing.is_some_and(|batch| self.call(state, &batch).is_empty()) {
            self.forward_actions(state, actions);
            return true;
        }
        false
    }
}
