//! The guarantees, and situations that must occur. A guarantee proves nothing if its situation never occurs.

use stateright::Property;

use crate::{
    bounds::Pipeline,
    state::{Change, Content, Event, Id, Message, Place, Records, Request, State, Status},
};

pub type Check = fn(&Pipeline, &State) -> bool;

/// Guarantees that hold in every state.
pub const ALWAYS: [(&str, Check); 9] = [
    ("Written once", written_once),
    ("Acknowledged means stored", acknowledged_means_stored),
    ("Only a conflict is dead-lettered", only_a_conflict_is_dead),
    ("Nothing invented", nothing_invented),
    ("Checkpoint is honest", checkpoint_is_honest),
    ("Order per notification", order_per_notification),
    ("Status", status),
    ("Verdict", verdict),
    ("Effect", effect),
];

/// Guarantees that hold at the end of every path. Once true, they stay true. When two paths meet, stateright keeps the
/// result of only one of them, which is therefore valid for the other too.
pub const EVENTUALLY: [(&str, Check); 2] = [("Progress", progress), ("Conservation", conservation)];

/// Situations that occur in some state.
pub const SOMETIMES: [(&str, Check); 12] = [
    (
        "both messages of an id are processed at once",
        both_messages_of_an_id,
    ),
    (
        "a copy is processed after the deletion",
        copy_after_deletion,
    ),
    (
        "stored, not acknowledged, no worker active",
        stored_not_acknowledged,
    ),
    ("a conflict is dead-lettered", conflict_is_dead),
    ("the second message of an id wins", second_message_wins),
    ("a delayed write meets an existing item", late_write),
    ("reported as failed but stored", failed_and_stored),
    ("published beyond the checkpoint", published_beyond),
    ("an event is in the stream twice", event_twice),
    ("INIT is published again after DONE", init_after_done),
    ("DONE before a consumer has read INIT", done_before_read),
    ("a notification is refused", is_refused),
];

/// Returns one property by name, or all guarantees.
pub fn named_or_all(name: Option<&'static str>) -> Vec<Property<Pipeline>> {
    let always = ALWAYS.map(|(name, check)| Property::always(name, check));
    let eventually = EVENTUALLY.map(|(name, check)| Property::eventually(name, check));
    let mut properties: Vec<_> = always.into_iter().chain(eventually).collect();
    if let Some(name) = name {
        properties.extend(SOMETIMES.map(|(name, check)| Property::sometimes(name, check)));
        properties.retain(|property| property.name == name);
    }
    properties
}

fn written_once(_: &Pipeline, state: &State) -> bool {
    state.items.iter().all(|item| item.inserts <= 1)
}

fn acknowledged_means_stored(_: &Pipeline, state: &State) -> bool {
    let mut deleted = messages_in(state, Place::Deleted);
    deleted.all(|message| is_stored(state, message))
}

fn only_a_conflict_is_dead(_: &Pipeline, state: &State) -> bool {
    let stored = |message: &Message| state.item(message.id).content();
    messages_in(state, Place::DeadLetterQueue)
        .all(|message| stored(message).is_some_and(|content| content != message.content))
}

fn nothing_invented(_: &Pipeline, state: &State) -> bool {
    let is_required = |id, event: &Event| state.changes.contains(&Change { id, event: *event });
    by_id(state).all(|(id, records)| records.iter().all(|event| is_required(id, event)))
}

fn checkpoint_is_honest(_: &Pipeline, state: &State) -> bool {
    let mut passed = state.changes[..usize::from(state.checkpoint)].iter();
    passed.all(|change| state.is_published(change))
}

/// The first appearances of an id's events are in the order of its changes.
fn order_per_notification(_: &Pipeline, state: &State) -> bool {
    by_id(state).all(|(id, records)| {
        let changes = state.changes.iter().filter(|change| change.id == id);
        let first = |event: &Event| records.iter().position(|record| record == event);
        changes
            .map(|change| first(&change.event).unwrap_or(usize::MAX))
            .is_sorted()
    })
}

fn status(_: &Pipeline, state: &State) -> bool {
    state.items.iter().all(|item| {
        let is_settled = item.event.is_some_and(|event| event.status.is_settled());
        item.transitions == u8::from(is_settled)
    })
}

/// A settled item has the status that the downstream decided.
fn verdict(_: &Pipeline, state: &State) -> bool {
    let mut events = state.items.iter().filter_map(|item| item.event);
    events.all(|event| !event.status.is_settled() || event.status == event.content.verdict())
}

/// An item has one effect if it is in DONE, and none otherwise.
fn effect(_: &Pipeline, state: &State) -> bool {
    state.items.iter().all(|item| {
        let is_done = item.event.is_some_and(|event| event.status == Status::Done);
        item.effects == u8::from(is_done)
    })
}

fn progress(_: &Pipeline, state: &State) -> bool {
    state.is_everything_settled()
}

/// No more changes are possible, and every change was published.
fn conservation(_: &Pipeline, state: &State) -> bool {
    let mut changes = state.changes.iter();
    state.is_everything_settled() && changes.all(|change| state.is_published(change))
}

fn both_messages_of_an_id(_: &Pipeline, state: &State) -> bool {
    let is_processed = |content| {
        let mut received = received(state);
        received.any(|message| message.id == 0 && message.content == content)
    };
    is_processed(Content::First) && is_processed(Content::Other)
}

fn copy_after_deletion(_: &Pipeline, state: &State) -> bool {
    received(state).any(|message| message.place == Place::Deleted)
}

fn stored_not_acknowledged(_: &Pipeline, state: &State) -> bool {
    let mut visible = messages_in(state, Place::Visible);
    state.workers.iter().all(Option::is_none)
        && visible.any(|message| message.was_received && is_stored(state, message))
}

fn conflict_is_dead(_: &Pipeline, state: &State) -> bool {
    messages_in(state, Place::DeadLetterQueue).next().is_some()
}

fn second_message_wins(_: &Pipeline, state: &State) -> bool {
    state.item(0).content() == Some(Content::Other)
}

fn late_write(_: &Pipeline, state: &State) -> bool {
    state.delayed.iter().any(|request| match request {
        Request::Insert { id, .. } => state.status(*id).is_some(),
        _ => false,
    })
}

fn failed_and_stored(_: &Pipeline, state: &State) -> bool {
    state.publishing.is_some_and(|batch| {
        let mut changes = (0..).zip(&state.changes);
        changes.any(|(n, change)| batch.failed & 1 << n != 0 && state.is_published(change))
    })
}

fn published_beyond(_: &Pipeline, state: &State) -> bool {
    let mut beyond = state.changes[usize::from(state.checkpoint)..].iter();
    state.publishing.is_none() && beyond.any(|change| state.is_published(change))
}

fn event_twice(_: &Pipeline, state: &State) -> bool {
    state.records.iter().any(|records| {
        let count = |event| records.iter().filter(|record| *record == event).count();
        records.iter().any(|event| count(event) > 1)
    })
}

fn init_after_done(_: &Pipeline, state: &State) -> bool {
    let is_done = |event: &Event| event.status.is_settled();
    state.records.iter().any(|records| {
        let since_done = records.iter().skip_while(|event| !is_done(event));
        since_done.into_iter().any(|event| !is_done(event))
    })
}

fn done_before_read(_: &Pipeline, state: &State) -> bool {
    state.consumers.iter().any(|consumer| {
        let mut ids = by_id(state).zip(&consumer.positions);
        consumer.completing.is_none()
            && ids.any(|((id, records), position)| {
                usize::from(*position) < records.len()
                    && state.status(id).is_some_and(Status::is_settled)
            })
    })
}

fn is_refused(_: &Pipeline, state: &State) -> bool {
    state.status(0) == Some(Status::Refused)
}

fn by_id(state: &State) -> impl Iterator<Item = (Id, &Records)> {
    (0..).zip(&state.records)
}

fn messages_in(state: &State, place: Place) -> impl Iterator<Item = &Message> {
    let messages = state.messages.iter();
    messages.filter(move |message| message.place == place)
}

/// The messages that instances of `ingest` are processing.
fn received(state: &State) -> impl Iterator<Item = &Message> {
    let jobs = state.workers.iter().flatten();
    jobs.map(|job| &state.messages[usize::from(job.message)])
}

fn is_stored(state: &State, message: &Message) -> bool {
    state.item(message.id).content() == Some(message.content)
}
