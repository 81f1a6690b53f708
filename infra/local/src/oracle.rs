//! Checks the final state of a run against the messages that were sent. Without I/O.
//!
//! Every message that the queue accepted must be stored or dead-lettered. A run is valid if nothing is lost and nothing is
//! unexpected; repeated events are allowed and counted. A run that sent copies but processed no duplicate is a failure,
//! because it tested nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

mod violation;

pub use violation::Violation;

/// The meaning of a sent message.
#[derive(Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A notification that must be stored, unless other content with its id was stored first.
    Valid {
        /// Notification id.
        id: String,
        /// Notification type.
        kind: String,
        /// Two messages with the same id are duplicates if and only if their contents are equal.
        content: String,
        /// The payload as it was sent.
        payload: String,
    },
    /// Any other message. It must reach the dead-letter queue.
    Malformed,
}

impl Meaning {
    /// The notification id of a valid message.
    #[must_use]
    pub fn id(&self) -> Option<&String> {
        match self {
            Self::Valid { id, .. } => Some(id),
            Self::Malformed => None,
        }
    }
}

impl fmt::Debug for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid { id, .. } => write!(f, "Valid({id})"),
            Self::Malformed => f.write_str("Malformed"),
        }
    }
}

/// A message that the queue accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// The id that SQS assigned.
    pub message_id: String,
    pub meaning: Meaning,
}

/// An item of the table.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Notification id.
    pub id: String,
    /// `INIT`, `DONE` or `REFUSED`.
    pub status: String,
    /// 1 in INIT, 2 in DONE and REFUSED.
    pub version: u64,
    /// Notification type.
    pub kind: String,
    /// The payload, byte for byte.
    pub payload: String,
}

/// An event in the Kinesis stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    pub shard: String,
    pub partition_key: String,
    /// CloudEvents `id`.
    pub event_id: String,
    /// CloudEvents `subject`: the notification id.
    pub id: String,
    /// `INIT`, `DONE` or `REFUSED`.
    pub status: String,
    /// The payload, byte for byte.
    pub payload: String,
}

/// The contents of a stack after a run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FinalState {
    /// All items of the table.
    pub items: Vec<Item>,
    /// All events of the stream. Events of the same shard are in the shard's order.
    pub events: Vec<Event>,
    /// Stream records that cannot be decoded: shard and sequence number.
    pub unreadable: Vec<(String, String)>,
    /// The ids of the messages in the dead-letter queue.
    pub dead_letters: Vec<String>,
    /// The number of messages in the queue, visible or not.
    pub waiting: usize,
    pub settlement: Settlement,
}

/// What moves the notifications of a pipeline to DONE or REFUSED.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Settlement {
    /// Targets whose effects are unknown. Every notification must be settled.
    #[default]
    Targets,
    /// A target with a ledger. Every notification must be settled, and those in DONE must be booked once.
    Ledger {
        /// The notification ids in the ledger.
        booked: Vec<String>,
        /// The number of calls of the target, if it is known.
        calls: Option<u64>,
    },
    /// Nothing in this pipeline: it has no downstream, so notifications may stay in INIT.
    Elsewhere,
}

/// Whether an item is in a status that is final.
#[must_use]
pub fn is_final(status: &str) -> bool {
    status == DONE || status == REFUSED
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the queue accepted.
    pub sent: usize,
    /// Items of the table.
    pub created: usize,
    /// Messages with the content of a stored item, except the first one, that were removed from the queue.
    pub duplicates: usize,
    /// Messages in the dead-letter queue whose id is stored with other content.
    pub conflicts: usize,
    /// Malformed messages in the dead-letter queue.
    pub rejected: usize,
    /// Distinct events in the stream.
    pub forwarded: usize,
    /// Stream records after the first of each event. Consumers deduplicate them by event id.
    pub repeated: usize,
    /// Items in DONE.
    pub done: usize,
    /// Items in REFUSED.
    pub refused: usize,
    /// Entries of the ledger, if there is one.
    pub booked: Option<usize>,
    /// Calls of the target with the ledger, if they are known.
    pub calls: Option<u64>,
    /// Messages in the dead-letter queue.
    pub dead_lettered: usize,
}

/// The result of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub counts: Counts,
    /// Notification ids by shard, each once, in the order of their first event.
    pub shards: BTreeMap<String, Vec<String>>,
    /// Every broken guarantee. Empty for a valid run.
    pub violations: Vec<Violation>,
}

/// Verifies the final state of a run against the messages that were sent.
#[must_use]
pub fn verify(sent: &[SentMessage], state: &FinalState) -> Report {
    let by_id = messages_by_id(sent);
    let stored: BTreeMap<&str, &Item> = state
        .items
        .iter()
        .map(|item| (item.id.as_str(), item))
        .collect();
    let contents: BTreeMap<&str, &str> = state
        .items
        .iter()
        .filter_map(|item| {
            Some((
                item.id.as_str(),
                content_of(item, by_id.get(item.id.as_str())?)?,
            ))
        })
        .collect();

    let mut violations = Vec::new();
    let mut counts = verify_messages(sent, state, &contents, &mut violations);
    verify_items(state, &by_id, &contents, &mut violations);
    verify_events(state, &stored, &mut violations);
    verify_ledger(state, &stored, &mut violations);

    if has_copies_of_stored(&by_id, &contents) && counts.duplicates == 0 {
        violations.push(Violation::NoDuplicateProcessed);
    }
    let events: BTreeSet<&str> = state
        .events
        .iter()
        .map(|event| event.event_id.as_str())
        .collect();
    counts.forwarded = events.len();
    counts.repeated = state.events.len() - events.len();
    violations.sort();
    Report {
        counts,
        shards: ids_by_shard(&state.events),
        violations,
    }
}

fn messages_by_id(sent: &[SentMessage]) -> BTreeMap<&str, Vec<&Meaning>> {
    let mut by_id: BTreeMap<&str, Vec<&Meaning>> = BTreeMap::new();
    for message in sent {
        if let Some(id) = message.meaning.id() {
            by_id.entry(id).or_default().push(&message.meaning);
        }
    }
    by_id
}

/// The content of the message that an item was created from: one with the same type and payload.
fn content_of<'a>(item: &Item, messages: &[&'a Meaning]) -> Option<&'a str> {
    messages.iter().find_map(|meaning| match meaning {
        Meaning::Valid {
            kind,
            payload,
            content,
            ..
        } if *kind == item.kind && *payload == item.payload => Some(content.as_str()),
        _ => None,
    })
}

/// Whether stored content was sent more than once.
fn has_copies_of_stored(
    by_id: &BTreeMap<&str, Vec<&Meaning>>,
    contents: &BTreeMap<&str, &str>,
) -> bool {
    contents.iter().any(|(id, stored)| {
        let is_copy = |meaning: &&&Meaning| matches!(meaning, Meaning::Valid { content, .. } if content == stored);
        by_id[id].iter().filter(is_copy).count() > 1
    })
}

fn verify_messages(
    sent: &[SentMessage],
    state: &FinalState,
    contents: &BTreeMap<&str, &str>,
    violations: &mut Vec<Violation>,
) -> Counts {
    let dead_letters = verify_dead_letters(sent, state, violations);
    let (booked, calls) = match &state.settlement {
        Settlement::Ledger { booked, calls } => (Some(booked.len()), *calls),
        Settlement::Targets | Settlement::Elsewhere => (None, None),
    };
    let mut counts = Counts {
        sent: sent.len(),
        created: state.items.len(),
        done: count_settled(state, DONE),
        refused: count_settled(state, REFUSED),
        booked,
        calls,
        dead_lettered: state.dead_letters.len(),
        ..Counts::default()
    };
    let mut stored_ids: BTreeSet<&String> = BTreeSet::new();
    for message in sent {
        let message_id = message.message_id.clone();
        let is_dead_letter = dead_letters.contains(message_id.as_str());
        let is_stored = match &message.meaning {
            Meaning::Malformed => None,
            Meaning::Valid { id, content, .. } => {
                contents.get(id.as_str()).map(|stored| stored == content)
            }
        };
        match (&message.meaning, is_stored, is_dead_letter) {
            (Meaning::Malformed, _, true) => counts.rejected += 1,
            (Meaning::Valid { .. }, Some(false), true) => counts.conflicts += 1,
            (Meaning::Valid { id, .. }, Some(true), false) => {
                counts.duplicates += usize::from(!stored_ids.insert(id));
            }
            (Meaning::Valid { .. }, _, true) => {
                violations.push(Violation::WronglyDeadLettered { message_id });
            }
            // It may be one of the messages in the queue, which fail the run by themselves.
            (_, _, false) if state.waiting > 0 => {}
            (_, _, false) => violations.push(Violation::Lost { message_id }),
        }
    }
    if state.waiting > 0 {
        violations.push(Violation::QueueNotEmpty {
            messages: state.waiting,
        });
    }
    counts
}

/// Returns the ids in the dead-letter queue that were sent.
fn verify_dead_letters<'a>(
    sent: &[SentMessage],
    state: &'a FinalState,
    violations: &mut Vec<Violation>,
) -> BTreeSet<&'a str> {
    let sent: BTreeSet<&str> = sent
        .iter()
        .map(|message| message.message_id.as_str())
        .collect();
    let mut dead_letters = BTreeSet::new();
    for message_id in &state.dead_letters {
        if !sent.contains(message_id.as_str()) || !dead_letters.insert(message_id.as_str()) {
            violations.push(Violation::UnexpectedDeadLetter {
                message_id: message_id.clone(),
            });
        }
    }
    dead_letters
}

fn count_settled(state: &FinalState, status: &str) -> usize {
    let is_settled = |item: &&Item| item.status == status && is_settled(item);
    state.items.iter().filter(is_settled).count()
}

fn is_settled(item: &Item) -> bool {
    is_final(&item.status) && item.version == 2
}

fn is_open(item: &Item) -> bool {
    item.status == INIT && item.version == 1
}

fn verify_items(
    state: &FinalState,
    by_id: &BTreeMap<&str, Vec<&Meaning>>,
    contents: &BTreeMap<&str, &str>,
    violations: &mut Vec<Violation>,
) {
    for item in &state.items {
        let id = item.id.clone();
        if !by_id.contains_key(id.as_str()) {
            violations.push(Violation::UnexpectedItem { id });
            continue;
        }
        if !contents.contains_key(id.as_str()) {
            violations.push(Violation::ItemChanged { id: id.clone() });
        }
        let may_be_open = state.settlement == Settlement::Elsewhere;
        let is_expected = is_settled(item) || (may_be_open && is_open(item));
        if !is_expected {
            violations.push(Violation::NotSettled { id });
        }
    }
}

/// Verifies that the ledger has each notification in DONE once, and no other one. A notification in INIT may be booked: its
/// settlement may be under way, and is missed elsewhere if it never happens.
fn verify_ledger(
    state: &FinalState,
    stored: &BTreeMap<&str, &Item>,
    violations: &mut Vec<Violation>,
) {
    let Settlement::Ledger { booked, .. } = &state.settlement else {
        return;
    };
    let mut bookings: BTreeMap<&str, usize> = BTreeMap::new();
    for id in booked {
        *bookings.entry(id).or_default() += 1;
    }
    for (id, item) in stored {
        if item.status == DONE && !bookings.contains_key(id) {
            let id = item.id.clone();
            violations.push(Violation::NotBooked { id });
        }
    }
    for (id, times) in bookings {
        let status = stored.get(id).map(|item| item.status.as_str());
        let id = id.to_owned();
        if !matches!(status, Some(INIT | DONE)) {
            violations.push(Violation::UnexpectedBooking { id: id.clone() });
        }
        if times > 1 {
            violations.push(Violation::BookedAgain { id });
        }
    }
}

const INIT: &str = "INIT";
const DONE: &str = "DONE";
const REFUSED: &str = "REFUSED";

fn verify_events(
    state: &FinalState,
    stored: &BTreeMap<&str, &Item>,
    violations: &mut Vec<Violation>,
) {
    for (shard, sequence_number) in &state.unreadable {
        let (shard, sequence_number) = (shard.clone(), sequence_number.clone());
        violations.push(Violation::UnreadableEvent {
            shard,
            sequence_number,
        });
    }
    let mut by_id: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &state.events {
        by_id.entry(&event.id).or_default().push(event);
        verify_event(event, stored.get(event.id.as_str()).copied(), violations);
    }
    for (id, item) in stored {
        let events = by_id.get(id).map(Vec::as_slice).unwrap_or_default();
        let settled = is_settled(item).then_some(item.status.as_str());
        for status in [INIT].into_iter().chain(settled) {
            if !events.iter().any(|event| event.status == status) {
                violations.push(Violation::MissingEvent {
                    id: item.id.clone(),
                    status: status.to_owned(),
                });
            }
        }
    }
    for (id, events) in by_id {
        verify_history(id, &events, violations);
    }
}

fn verify_event(event: &Event, item: Option<&Item>, violations: &mut Vec<Violation>) {
    let (id, status) = (event.id.clone(), event.status.clone());
    if event.partition_key != event.id {
        violations.push(Violation::WrongPartitionKey { id: id.clone() });
    }
    match item {
        Some(item) if event.payload != item.payload => {
            violations.push(Violation::EventChanged { id, status })
        }
        Some(item) if status == INIT || (status == item.status && is_settled(item)) => {}
        _ => violations.push(Violation::UnexpectedEvent { id, status }),
    }
}

/// Verifies the events of one notification, which are in the order of their shard.
fn verify_history(id: &str, events: &[&Event], violations: &mut Vec<Violation>) {
    let id = id.to_owned();
    if events.iter().any(|event| event.shard != events[0].shard) {
        violations.push(Violation::SeveralShards { id: id.clone() });
    } else if events[0].status != INIT {
        violations.push(Violation::OutOfOrder { id: id.clone() });
    }
    let pairs: BTreeSet<(&str, &str)> = events
        .iter()
        .map(|e| (e.status.as_str(), e.event_id.as_str()))
        .collect();
    let statuses: BTreeSet<&str> = pairs.iter().map(|(status, _)| *status).collect();
    let names: BTreeSet<&str> = pairs.iter().map(|(_, event_id)| *event_id).collect();
    if pairs.len() != statuses.len() || pairs.len() != names.len() {
        violations.push(Violation::EventIdNotUnique { id });
    }
}

fn ids_by_shard(events: &[Event]) -> BTreeMap<String, Vec<String>> {
    let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for event in events {
        if seen.insert((event.shard.as_str(), event.id.as_str())) {
            shards
                .entry(event.shard.clone())
                .or_default()
                .push(event.id.clone());
        }
    }
    shards
}

#[cfg(test)]
mod tests;
