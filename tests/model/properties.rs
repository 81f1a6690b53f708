//! What is promised, and what must be seen to happen so that the promises are not kept by nothing happening.

use stateright::Property;

use crate::{
    bounds::Pipeline,
    state::{Change, Content, Event, Id, Place, State, Status},
};

type Check = fn(&Pipeline, &State) -> bool;

/// In every state.
pub const ALWAYS: [(&str, Check); 8] = [
    ("Written once", written_once),
    ("Acknowledged means stored", acknowledged_means_stored),
    (
        "Only a conflict is dead-lettered",
        only_a_conflict_is_dead_lettered,
    ),
    ("Nothing invented", nothing_invented),
    ("Checkpoint is honest", checkpoint_is_honest),
    ("Order per notification", order_per_notification),
    ("Status", status),
    ("Effect", effect),
];

/// At the end of every path. Both stay true once they are: of two paths that meet, one cannot hide the other.
pub const EVENTUALLY: [(&str, Check); 2] =
    [("Progress", progress), ("Conservation", conservation)];

/// In some state.
pub const SOMETIMES: [(&str, Check); 9] = [
    ("both messages of an id at once", |_, s| {
        s.workers.iter().flatten().count() > 1
            && s.workers
                .iter()
                .flatten()
                .all(|job| s.messages[usize::from(job.message)].id == 0)
    }),
    ("a copy at work after the message is deleted", |_, s| {
        s.workers
            .iter()
            .flatten()
            .any(|job| s.messages[usize::from(job.message)].place == Place::Deleted)
    }),
    ("stored, not acknowledged, nobody at work", |_, s| {
        let unknown = |m: &&crate::state::Message| m.place == Place::Visible && m.was_received;
        s.workers.iter().all(Option::is_none)
            && s.messages.iter().filter(unknown).any(|m| is_stored(s, m.id, m.content))
    }),
    ("a conflict in the dead-letter queue", |_, s| {
        s.messages.iter().any(|m| m.place == Place::DeadLetterQueue)
    }),
    ("the second message of an id wins", |_, s| {
        s.items[0].content() == Some(Content::Other)
    }),
    ("an event twice in the stream", |_, s| {
        s.records.iter().any(|records| {
            let is_repeated = |event: &Event| records.iter().filter(|e| *e == event).count() > 1;
            records.iter().any(is_repeated)
        })
    }),
    ("INIT again after DONE in the stream", |_, s| {
        let after_done = |records: &Vec<Event>| {
            let done = records.iter().position(|event| event.status == Status::Done);
            done.is_some_and(|done| records[done..].iter().any(|e| e.status == Status::Init))
        };
        s.records.iter().any(after_done)
    }),
    ("published behind the checkpoint's back", |_, s| {
        let beyond = &s.changes[usize::from(s.checkpoint)..];
        s.publishing.is_none() && beyond.iter().any(|change| s.is_published(change))
    }),
    ("DONE before its consumer knows", |_, s| {
        s.consumers.iter().any(|consumer| {
            let unread = s.records.iter().zip(&consumer.positions).enumerate();
            consumer.completing.is_none()
                && unread
                    .filter(|(_, (records, position))| usize::from(**position) < records.len())
                    .any(|(id, _)| s.status(id as Id) == Some(Status::Done))
        })
    }),
];

pub fn all() -> Vec<Property<Pipeline>> {
    let always = ALWAYS.map(|(name, check)| Property::always(name, check));
    let eventually = EVENTUALLY.map(|(name, check)| Property::eventually(name, check));
    let sometimes = SOMETIMES.map(|(name, check)| Property::sometimes(name, check));
    always.into_iter().chain(eventually).chain(sometimes).collect()
}

fn is_stored(state: &State, id: Id, content: Content) -> bool {
    state.items[usize::from(id)].content() == Some(content)
}

fn written_once(_: &Pipeline, state: &State) -> bool {
    state.items.iter().all(|item| item.inserts <= 1)
}

fn acknowledged_means_stored(_: &Pipeline, state: &State) -> bool {
    let deleted = state.messages.iter().filter(|m| m.place == Place::Deleted);
    deleted.into_iter().all(|m| is_stored(state, m.id, m.content))
}

fn only_a_conflict_is_dead_lettered(_: &Pipeline, state: &State) -> bool {
    let dead = |m: &&crate::state::Message| m.place == Place::DeadLetterQueue;
    let is_conflict = |m: &crate::state::Message| {
        let stored = state.items[usize::from(m.id)].content();
        stored.is_some_and(|content| content != m.content)
    };
    state.messages.iter().filter(dead).all(is_conflict)
}

fn nothing_invented(_: &Pipeline, state: &State) -> bool {
    let is_told = |id: Id, event: &Event| {
        let event = *event;
        state.changes.contains(&Change { id, event })
    };
    (0..)
        .zip(&state.records)
        .all(|(id, records)| records.iter().all(|event| is_told(id, event)))
}

fn checkpoint_is_honest(_: &Pipeline, state: &State) -> bool {
    let passed = &state.changes[..usize::from(state.checkpoint)];
    passed.iter().all(|change| state.is_published(change))
}

/// The first appearances of an id's events are in the order of its changes.
fn order_per_notification(_: &Pipeline, state: &State) -> bool {
    (0..).zip(&state.records).all(|(id, records)| {
        let changes = state.changes.iter().filter(|change| change.id == id);
        let first = |event: &Event| records.iter().position(|record| record == event);
        let places = changes.map(|change| first(&change.event).unwrap_or(usize::MAX));
        places.is_sorted_by(|one, next| one <= next)
    })
}

fn status(_: &Pipeline, state: &State) -> bool {
    state.items.iter().all(|item| {
        let is_done = item.event.is_some_and(|event| event.status == Status::Done);
        item.transitions == u8::from(is_done)
    })
}

fn effect(_: &Pipeline, state: &State) -> bool {
    state.items.iter().all(|item| item.effects == item.transitions.min(1))
}

fn progress(_: &Pipeline, state: &State) -> bool {
    state.is_everything_done()
}

/// Every change was published, and nobody is told less than everything.
fn conservation(_: &Pipeline, state: &State) -> bool {
    state.is_everything_done() && state.changes.iter().all(|change| state.is_published(change))
}
