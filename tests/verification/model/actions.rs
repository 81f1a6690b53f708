//! The actions that are possible in a state. One action is one step of one party: a call with its response, or a
//! response with its consequences. Between two actions every other party may act, and every process may crash.
//!
//! Invocations change state through calls only. An invocation that crashes or times out before its first call has
//! changed nothing, so `forward` and `complete` start with their first call. `ingest` starts earlier, because its
//! message is in flight from the receive on.

use stateright::{Model, Property};

use crate::{
    bounds::Pipeline,
    bugs::Bug,
    properties,
    state::{Answer, Id, Place, Publishing, Request, State, Status},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// SQS makes a message visible that is in flight or was deleted.
    Duplicate { message: u8 },
    /// SQS moves a message to the dead-letter queue after too many receives.
    DeadLetter { message: u8 },
    /// An instance of `ingest` receives a message.
    Receive { worker: u8, message: u8 },
    /// `ingest` sends the conditional write.
    Insert { worker: u8, fate: Fate },
    /// `ingest` responds, and Lambda deletes the message if it succeeded.
    Respond { worker: u8, fate: Fate },
    /// `ingest` crashes.
    CrashIngest { worker: u8 },
    /// `forward` sends a `PutRecords` request, with one fate per entry. The first request starts an invocation with
    /// all changes after the checkpoint.
    Publish { fates: Vec<Fate> },
    /// `forward` responds, and Lambda moves the checkpoint.
    Checkpoint,
    /// `forward` crashes.
    CrashForward,
    /// A consumer receives the records of one id and sends its transaction: INIT to DONE with the effect.
    Complete { consumer: u8, id: Id, fate: Fate },
    /// `complete` responds, and Lambda moves the position of the consumer.
    Advance { consumer: u8 },
    /// `complete` crashes.
    CrashComplete { consumer: u8 },
    /// A process that does not read the notification stream moves an item from INIT to DONE.
    CompleteElsewhere { id: Id },
    /// A request takes effect after its sender gave up.
    Land(Request),
}

/// The fate of a call. A call that takes effect at once but whose response is lost is `Late`, and lands in the next
/// action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The call takes effect and is answered.
    Answered,
    /// The call fails or never arrives.
    Failed,
    /// The sender sees a failure, but the call takes effect later.
    Late,
}

impl Model for Pipeline {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.in_every_order && self.private_actions(state, actions) {
            return;
        }
        self.queue_actions(state, actions);
        for worker in 0..state.workers.len() as u8 {
            self.ingest_actions(state, worker, actions);
        }
        self.forward_actions(state, actions);
        for consumer in 0..state.consumers.len() as u8 {
            self.advance_actions(state, consumer, actions);
            for id in self.unread(state, consumer) {
                self.complete_actions(state, consumer, id, actions);
            }
        }
        if state.remaining.elsewhere > 0 {
            let ids = 0..state.items.len() as Id;
            let init = ids.filter(|id| state.status(*id) == Some(Status::Init));
            actions.extend(init.map(|id| Action::CompleteElsewhere { id }));
        }
        actions.extend(state.delayed.iter().map(|request| Action::Land(*request)));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut after = before.clone();
        self.apply(&mut after, &action);
        let max = self.bounds.refusals;
        assert!(
            after.distance(max) < before.distance(max),
            "{action:?} does not bring the run closer to its end: {before:?}"
        );
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::named_or_all(self.property)
    }
}

impl Pipeline {
    fn queue_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let dead = self.receives_exhausted(state);
        actions.extend(dead.map(|message| Action::DeadLetter { message }));
        // Idle workers are interchangeable, so the first one represents all of them.
        let idle = state.workers.iter().position(Option::is_none);
        for (message, sent) in (0..).zip(&state.messages) {
            match (sent.place, idle) {
                (Place::Visible, Some(worker)) if sent.refusals < self.bounds.refusals => {
                    let worker = worker as u8;
                    actions.push(Action::Receive { worker, message });
                }
                (Place::InFlight | Place::Deleted, _) if state.remaining.duplicates > 0 => {
                    actions.push(Action::Duplicate { message });
                }
                _ => {}
            }
        }
    }

    /// Messages that were refused the maximum number of times.
    pub fn receives_exhausted(&self, state: &State) -> impl Iterator<Item = u8> {
        let messages = (0..).zip(&state.messages);
        let receives_exhausted = messages.filter(|(_, message)| {
            message.place == Place::Visible && message.refusals >= self.bounds.refusals
        });
        receives_exhausted.map(|(place, _)| place)
    }

    pub fn ingest_actions(&self, state: &State, worker: u8, actions: &mut Vec<Action>) {
        let Some(job) = state.workers[usize::from(worker)] else {
            return;
        };
        match job.answer {
            None => actions.extend(fates(state).map(|fate| Action::Insert { worker, fate })),
            Some(answer) => {
                let is_lossy = answer == Answer::Stored && state.remaining.losses > 0;
                let fates = [Fate::Answered, Fate::Failed].into_iter();
                let fates = fates.filter(|fate| is_lossy || *fate == Fate::Answered);
                actions.extend(fates.map(|fate| Action::Respond { worker, fate }));
            }
        }
        if state.remaining.crashes > 0 {
            actions.push(Action::CrashIngest { worker });
        }
    }

    pub fn forward_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(batch) = self.batch(state) else {
            return;
        };
        let call = self.call(state, &batch);
        if !call.is_empty() || state.publishing.is_none() {
            let answered = vec![Fate::Answered; call.len()];
            let faulty = masks(call.len()).filter(|_| state.remaining.losses > 0);
            let fates = std::iter::once(answered).chain(faulty);
            actions.extend(fates.map(|fates| Action::Publish { fates }));
        }
        if state.publishing.is_none() {
            return;
        }
        // The invocation may time out only after a fault has cost it time. Crashes cover the other cases.
        if call.is_empty() || batch.failed != 0 {
            actions.push(Action::Checkpoint);
        }
        if state.remaining.crashes > 0 {
            actions.push(Action::CrashForward);
        }
    }

    /// The current invocation of `forward`, or the one that would start next.
    pub fn batch(&self, state: &State) -> Option<Publishing> {
        let changes = state.changes.iter().enumerate();
        let dropped = changes
            .filter(|(_, change)| self.has(Bug::ModifyDropped) && change.event.status.is_settled());
        let next = Publishing {
            end: state.changes.len() as u8,
            confirmed: dropped.map(|(place, _)| 1 << place).sum(),
            failed: 0,
        };
        let next = Some(next).filter(|batch| state.checkpoint < batch.end);
        state.publishing.or(next)
    }

    /// The changes of the next call: the first unconfirmed change of each id. If all of these have failed, they are
    /// sent again.
    pub fn call(&self, state: &State, batch: &Publishing) -> Vec<u8> {
        let mut seen = 0_u8;
        let (mut ready, mut again) = (Vec::new(), Vec::new());
        for change in state.checkpoint..batch.end {
            let (bit, id) = (1 << change, 1 << state.changes[usize::from(change)].id);
            if batch.confirmed & bit != 0 || seen & id != 0 {
                continue;
            }
            let has_failed = batch.failed & bit != 0;
            let is_passed = has_failed && self.has(Bug::RetryOvertakes);
            if !is_passed && !self.has(Bug::SameIdInOneCall) {
                seen |= id;
            }
            let call = if has_failed { &mut again } else { &mut ready };
            call.push(change);
        }
        if ready.is_empty() { again } else { ready }
    }

    /// The ids for which a consumer has unread records.
    pub fn unread(&self, state: &State, consumer: u8) -> impl Iterator<Item = Id> {
        let reader = &state.consumers[usize::from(consumer)];
        let unread = (0..).zip(state.records.iter().zip(&reader.positions));
        let unread = unread.filter(|(_, (records, position))| {
            reader.completing.is_none() && usize::from(**position) < records.len()
        });
        unread.map(|(id, _)| id)
    }

    pub fn complete_actions(&self, state: &State, consumer: u8, id: Id, actions: &mut Vec<Action>) {
        actions.extend(fates(state).map(|fate| Action::Complete { consumer, id, fate }));
    }

    pub fn advance_actions(&self, state: &State, consumer: u8, actions: &mut Vec<Action>) {
        if state.consumers[usize::from(consumer)].completing.is_some() {
            actions.push(Action::Advance { consumer });
            if state.remaining.crashes > 0 {
                actions.push(Action::CrashComplete { consumer });
            }
        }
    }
}

fn fates(state: &State) -> impl Iterator<Item = Fate> + use<> {
    let is_lossy = state.remaining.losses > 0;
    let fates = [Fate::Answered, Fate::Failed, Fate::Late].into_iter();
    fates.filter(move |fate| is_lossy || *fate == Fate::Answered)
}

/// Every combination of failures for this number of entries.
fn masks(entries: usize) -> impl Iterator<Item = Vec<Fate>> {
    let fate = |digit| [Fate::Answered, Fate::Failed, Fate::Late][digit % 3];
    (1..3_usize.pow(entries as u32)).map(move |mask| {
        (0..entries as u32)
            .map(|entry| fate(mask / 3_usize.pow(entry)))
            .collect()
    })
}
