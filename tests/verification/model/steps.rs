//! The effect of each action on the state.

use crate::{
    actions::{Action, Fate},
    bounds::Pipeline,
    bugs::Bug,
    state::{
        Answer, Change, Completing, Content, Event, Id, Ingesting, Place, Request, State, Status,
    },
};

impl Pipeline {
    pub fn apply(&self, state: &mut State, action: &Action) {
        match action {
            Action::Duplicate { message } => {
                state.remaining.duplicates -= 1;
                state.messages[usize::from(*message)].place = Place::Visible;
            }
            Action::DeadLetter { message } => {
                state.messages[usize::from(*message)].place = Place::DeadLetterQueue;
            }
            Action::Receive { worker, message } => self.receive(state, *worker, *message),
            Action::Insert { worker, fate } => self.insert(state, *worker, *fate),
            Action::Respond { worker, fate } => self.respond(state, *worker, *fate),
            Action::CrashIngest { worker } => {
                state.remaining.crashes -= 1;
                if let Some(job) = state.workers[usize::from(*worker)].take() {
                    return_message(state, job.message);
                }
            }
            Action::Publish { fates } => self.publish(state, fates),
            Action::Checkpoint => self.checkpoint(state),
            Action::CrashForward => {
                state.remaining.crashes -= 1;
                state.publishing = None;
            }
            Action::Complete { consumer, id, fate } => {
                self.complete(state, *consumer, *id, *fate);
            }
            Action::Advance { consumer } => advance(state, *consumer),
            Action::CrashComplete { consumer } => {
                state.remaining.crashes -= 1;
                state.consumers[usize::from(*consumer)].completing = None;
            }
            Action::CompleteElsewhere { id } => {
                state.remaining.elsewhere -= 1;
                self.transit(state, *id);
            }
            Action::Land(request) => self.land(state, request),
        }
        filter_settled(state);
    }

    fn receive(&self, state: &mut State, worker: u8, message: u8) {
        let received = &mut state.messages[usize::from(message)];
        received.was_received = true;
        received.place = Place::InFlight;
        if self.has(Bug::AcknowledgedBeforeWrite) {
            received.place = Place::Deleted;
        }
        let (id, content) = (received.id, received.content);
        if self.has(Bug::PublishedBeforeWrite) {
            let status = Status::Init;
            state.records[usize::from(id)].push(Event { content, status });
        }
        state.workers[usize::from(worker)] = Some(Ingesting {
            message,
            answer: None,
        });
    }

    fn insert(&self, state: &mut State, worker: u8, fate: Fate) {
        let Some(mut job) = state.workers[usize::from(worker)] else {
            return;
        };
        let message = state.messages[usize::from(job.message)];
        let (id, content) = (message.id, message.content);
        let is_same = match fate {
            Fate::Answered => Some(self.write(state, id, content)),
            Fate::Failed => None,
            Fate::Late => {
                delay(state, Request::Insert { id, content });
                None
            }
        };
        state.remaining.losses -= u8::from(fate != Fate::Answered);
        job.answer = match is_same {
            Some(true) => Some(Answer::Stored),
            Some(false) if self.has(Bug::ConflictAcknowledged) => Some(Answer::Stored),
            Some(false) => Some(Answer::Conflict),
            None => self.has(Bug::FailureAcknowledged).then_some(Answer::Stored),
        };
        state.workers[usize::from(worker)] = Some(job).filter(|job| job.answer.is_some());
        if job.answer.is_none() {
            return_message(state, job.message);
        }
    }

    /// Executes the conditional write. Returns whether the item in the table has this content.
    fn write(&self, state: &mut State, id: Id, content: Content) -> bool {
        let item = &mut state.items[usize::from(id)];
        match item.event {
            Some(there) if !self.has(Bug::WriteWithoutCondition) => there.content == content,
            _ => {
                let status = Status::Init;
                let event = Event { content, status };
                item.event = Some(event);
                item.inserts += 1;
                state.changes.push(Change { id, event });
                true
            }
        }
    }

    fn respond(&self, state: &mut State, worker: u8, fate: Fate) {
        let Some(job) = state.workers[usize::from(worker)].take() else {
            return;
        };
        state.remaining.losses -= u8::from(fate != Fate::Answered);
        let message = &mut state.messages[usize::from(job.message)];
        match job.answer {
            // DeleteMessage with an old receipt handle may have no effect (SQS API reference, DeleteMessage).
            Some(Answer::Stored) if fate == Fate::Answered && message.place == Place::InFlight => {
                message.place = Place::Deleted;
            }
            Some(Answer::Conflict) => {
                message.refusals = self.bounds.refusals.min(message.refusals + 1);
                return_message(state, job.message);
            }
            _ => return_message(state, job.message),
        }
    }

    fn publish(&self, state: &mut State, fates: &[Fate]) {
        let Some(mut batch) = self.batch(state) else {
            return;
        };
        for (change, fate) in self.call(state, &batch).into_iter().zip(fates) {
            let bit = 1 << change;
            let record = state.changes[usize::from(change)];
            match fate {
                Fate::Answered => state.records[usize::from(record.id)].push(record.event),
                Fate::Failed => {}
                Fate::Late => delay(state, Request::Put(record)),
            }
            if *fate == Fate::Answered || self.has(Bug::EntryFailuresDropped) {
                batch.confirmed |= bit;
                batch.failed &= !bit;
            } else {
                batch.failed |= bit;
            }
        }
        state.remaining.losses -= u8::from(fates.iter().any(|fate| *fate != Fate::Answered));
        state.publishing = Some(batch);
    }

    fn checkpoint(&self, state: &mut State) {
        let Some(batch) = state.publishing.take() else {
            return;
        };
        let mut unconfirmed =
            (state.checkpoint..batch.end).filter(|change| batch.confirmed & 1 << change == 0);
        let reported = if self.has(Bug::CheckpointAtHighestFailure) {
            unconfirmed.next_back()
        } else if self.has(Bug::CheckpointPastUnconfirmed) {
            None
        } else {
            unconfirmed.next()
        };
        state.checkpoint = reported.unwrap_or(batch.end);
    }

    fn complete(&self, state: &mut State, consumer: u8, id: Id, fate: Fate) {
        let item = &mut state.items[usize::from(id)];
        if self.has(Bug::EffectOutsideTransaction)
            && item.content().map(Content::verdict) == Some(Status::Done)
        {
            item.effects += 1;
        }
        match fate {
            Fate::Answered => self.transit(state, id),
            Fate::Failed if self.has(Bug::FailureRefuses) => {
                self.settle(state, id, Status::Refused);
            }
            Fate::Failed => {}
            Fate::Late => delay(state, Request::Complete(id)),
        }
        state.remaining.losses -= u8::from(fate != Fate::Answered);
        if fate == Fate::Answered || self.has(Bug::FailedCompletionPassed) {
            let end = state.records[usize::from(id)].len() as u8;
            state.consumers[usize::from(consumer)].completing = Some(Completing { id, end });
        }
    }

    /// Executes the transaction that the verdict of the downstream requires.
    fn transit(&self, state: &mut State, id: Id) {
        if let Some(content) = state.item(id).content() {
            self.settle(state, id, content.verdict());
        }
    }

    /// INIT to DONE together with the effect, INIT to REFUSED, or nothing.
    fn settle(&self, state: &mut State, id: Id, status: Status) {
        let item = &mut state.items[usize::from(id)];
        let Some(event) = &mut item.event else { return };
        if event.status.is_settled() && !self.has(Bug::DoneWithoutCondition) {
            return;
        }
        let is_change = !event.status.is_settled();
        event.status = status;
        let event = *event;
        item.transitions += 1;
        if status == Status::Done && !self.has(Bug::EffectOutsideTransaction) {
            item.effects += 1;
        }
        if is_change {
            state.changes.push(Change { id, event });
        }
    }

    fn land(&self, state: &mut State, request: &Request) {
        if let Ok(place) = state.delayed.binary_search(request) {
            state.delayed.remove(place);
        }
        match *request {
            Request::Insert { id, content } => {
                self.write(state, id, content);
            }
            Request::Put(change) => state.records[usize::from(change.id)].push(change.event),
            Request::Complete(id) => self.transit(state, id),
        }
    }
}

/// Makes a message that was not deleted visible again, unless another delivery of it has already been handled.
fn return_message(state: &mut State, message: u8) {
    let message = &mut state.messages[usize::from(message)];
    if message.place == Place::InFlight {
        message.place = Place::Visible;
    }
}

fn advance(state: &mut State, consumer: u8) {
    let consumer = &mut state.consumers[usize::from(consumer)];
    if let Some(job) = consumer.completing.take() {
        consumer.positions[usize::from(job.id)] = job.end;
    }
}

fn delay(state: &mut State, request: Request) {
    state.delayed.push(request);
    state.delayed.sort_unstable();
}

/// Applies the filter of the event source mapping: only events in INIT reach a consumer.
fn filter_settled(state: &mut State) {
    for consumer in &mut state.consumers {
        for (records, position) in state.records.iter().zip(&mut consumer.positions) {
            let unread = &records[usize::from(*position)..];
            let settled = unread.iter().take_while(|event| event.status.is_settled());
            *position += settled.count() as u8;
        }
    }
}
