//! What must be true of a run once all is quiet, given what was sent and what was found afterwards. Pure.
//!
//! A message that the queue accepted is an obligation. A run is valid when nothing is lost and nothing unexpected is
//! there; repetitions are counted. A run that was to meet duplicates and met none is itself a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a sent message is.
#[derive(Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A notification that must be stored, unless another content of its id was first.
    Valid {
        /// Notification id.
        id: String,
        /// Notification type.
        kind: String,
        /// Equal for two messages of an id exactly when they say the same.
        content: String,
        /// The payload as it was sent.
        payload: String,
    },
    /// Anything else: it must reach the dead-letter queue.
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
pub struct Sent {
    /// As the queue named it.
    pub message_id: String,
    /// What it is.
    pub meaning: Meaning,
}

/// An item of the table.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Notification id.
    pub id: String,
    /// `INIT` or `DONE`.
    pub status: String,
    /// 1 in INIT, 2 in DONE.
    pub version: u64,
    /// Notification type.
    pub kind: String,
    /// The payload, byte for byte.
    pub payload: String,
}

/// A record of the Kinesis stream, read as the event it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The shard it was found in.
    pub shard: String,
    /// The partition key it was put with.
    pub partition_key: String,
    /// CloudEvents `id`.
    pub event_id: String,
    /// CloudEvents `subject`: the notification id.
    pub id: String,
    /// The status it tells of.
    pub status: String,
    /// The payload, byte for byte.
    pub payload: String,
}

/// What was found once all was quiet.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// All items of the table.
    pub items: Vec<Item>,
    /// All events of the stream; those of one shard in the shard's order.
    pub events: Vec<Event>,
    /// Stream records that are no event: shard and sequence number.
    pub unreadable: Vec<(String, String)>,
    /// Message ids in the dead-letter queue.
    pub dead_letters: Vec<String>,
    /// Messages that are still in the queue, visible or not.
    pub waiting: usize,
}

/// An obligation that was broken. Ids alone, never a payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A message is neither stored, nor in the dead-letter queue, nor in the queue.
    Lost {
        /// The message.
        message_id: String,
    },
    /// A message is in the dead-letter queue although its notification is stored, or could have been.
    WronglyDeadLettered {
        /// The message.
        message_id: String,
    },
    /// The dead-letter queue holds a message that was not sent, or holds one twice.
    UnexpectedDeadLetter {
        /// The message.
        message_id: String,
    },
    /// An item that no message asked for.
    UnexpectedItem {
        /// Notification id.
        id: String,
    },
    /// An item whose type or payload is that of no message of its id.
    ItemChanged {
        /// Notification id.
        id: String,
    },
    /// An item that is not DONE at version 2.
    NotDone {
        /// Notification id.
        id: String,
    },
    /// The stream lacks the event of a stored item's status.
    MissingEvent {
        /// Notification id.
        id: String,
        /// `INIT` or `DONE`.
        status: String,
    },
    /// A stream record that is no event.
    UnreadableEvent {
        /// Where it is.
        shard: String,
        /// Where it is there.
        sequence_number: String,
    },
    /// An event of an id or a status that the table does not know.
    UnexpectedEvent {
        /// Notification id.
        id: String,
        /// The status it tells of.
        status: String,
    },
    /// An event whose payload is not the stored one.
    EventChanged {
        /// Notification id.
        id: String,
        /// The status it tells of.
        status: String,
    },
    /// An event with another partition key than its notification id.
    WrongPartitionKey {
        /// Notification id.
        id: String,
    },
    /// Two changes of one notification that share a CloudEvents id, or one change that has two.
    EventIdNotUnique {
        /// Notification id.
        id: String,
    },
    /// DONE appeared before INIT.
    OutOfOrder {
        /// Notification id.
        id: String,
    },
    /// Events of one notification are in two shards.
    SplitOverShards {
        /// Notification id.
        id: String,
    },
    /// Messages are still in the queue.
    StillWaiting {
        /// How many.
        messages: usize,
    },
    /// Copies were sent, yet none was met: the fault that was to be survived did not happen.
    NoDuplicateMet,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { message_id } => write!(f, "lost: message {message_id} is nowhere"),
            Self::WronglyDeadLettered { message_id } => {
                write!(
                    f,
                    "message {message_id} is in the dead-letter queue although it was to be stored"
                )
            }
            Self::UnexpectedDeadLetter { message_id } => {
                write!(
                    f,
                    "the dead-letter queue holds message {message_id}, which was not sent, or holds it twice"
                )
            }
            Self::UnexpectedItem { id } => write!(f, "invented: item {id} was never sent"),
            Self::ItemChanged { id } => {
                write!(f, "item {id} has a type or payload that was never sent")
            }
            Self::NotDone { id } => write!(f, "item {id} did not become DONE"),
            Self::MissingEvent { id, status } => {
                write!(f, "lost: no {status} event of {id} is in the stream")
            }
            Self::UnreadableEvent {
                shard,
                sequence_number,
            } => {
                write!(f, "record {sequence_number} of {shard} is no event")
            }
            Self::UnexpectedEvent { id, status } => write!(f, "invented: a {status} event of {id}"),
            Self::EventChanged { id, status } => {
                write!(f, "the {status} event of {id} has another payload")
            }
            Self::WrongPartitionKey { id } => {
                write!(f, "an event of {id} has another partition key")
            }
            Self::EventIdNotUnique { id } => {
                write!(f, "the event ids of {id} do not name its changes")
            }
            Self::OutOfOrder { id } => write!(f, "DONE came before INIT for {id}"),
            Self::SplitOverShards { id } => write!(f, "events of {id} are in two shards"),
            Self::StillWaiting { messages } => {
                write!(f, "{messages} messages are still in the queue")
            }
            Self::NoDuplicateMet => write!(f, "copies were sent and none was met"),
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the queue accepted.
    pub sent: usize,
    /// Items of the table.
    pub created: usize,
    /// Messages that say what a stored item says, beyond the one that made it, and were taken from the queue.
    pub duplicates: usize,
    /// Messages in the dead-letter queue whose id is stored with another content.
    pub conflicts: usize,
    /// Messages in the dead-letter queue that are malformed.
    pub rejected: usize,
    /// Distinct events in the stream.
    pub forwarded: usize,
    /// Stream records beyond the first of each event: repetitions that consumers drop by event id.
    pub repeated: usize,
    /// Items in DONE.
    pub done: usize,
    /// Messages in the dead-letter queue.
    pub dead_lettered: usize,
}

/// The oracle's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was counted.
    pub counts: Counts,
    /// Notification ids by shard, each once, in the order in which they came.
    pub shards: BTreeMap<String, Vec<String>>,
    /// Every broken obligation; empty for a valid run.
    pub violations: Vec<Violation>,
}

/// Judges a run.
#[must_use]
pub fn judge(sent: &[Sent], found: &Found) -> Report {
    let by_id = messages_by_id(sent);
    let stored: BTreeMap<&str, &Item> = found
        .items
        .iter()
        .map(|item| (item.id.as_str(), item))
        .collect();
    let contents: BTreeMap<&str, &str> = found
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
    let mut counts = judge_messages(sent, found, &contents, &mut violations);
    judge_items(found, &by_id, &contents, &mut violations);
    judge_events(found, &stored, &mut violations);

    if has_copies_of_stored(&by_id, &contents) && counts.duplicates == 0 {
        violations.push(Violation::NoDuplicateMet);
    }
    let events: BTreeSet<&str> = found
        .events
        .iter()
        .map(|event| event.event_id.as_str())
        .collect();
    counts.forwarded = events.len();
    counts.repeated = found.events.len() - events.len();
    violations.sort();
    Report {
        counts,
        shards: ids_by_shard(&found.events),
        violations,
    }
}

fn messages_by_id(sent: &[Sent]) -> BTreeMap<&str, Vec<&Meaning>> {
    let mut by_id: BTreeMap<&str, Vec<&Meaning>> = BTreeMap::new();
    for message in sent {
        if let Some(id) = message.meaning.id() {
            by_id.entry(id).or_default().push(&message.meaning);
        }
    }
    by_id
}

/// The content that an item was made of: that of a message with its very type and payload.
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

/// Whether a content that is stored was sent more than once.
fn has_copies_of_stored(
    by_id: &BTreeMap<&str, Vec<&Meaning>>,
    contents: &BTreeMap<&str, &str>,
) -> bool {
    contents.iter().any(|(id, stored)| {
        let is_copy = |meaning: &&&Meaning| matches!(meaning, Meaning::Valid { content, .. } if content == stored);
        by_id[id].iter().filter(is_copy).count() > 1
    })
}

fn judge_messages(
    sent: &[Sent],
    found: &Found,
    contents: &BTreeMap<&str, &str>,
    violations: &mut Vec<Violation>,
) -> Counts {
    let mut dead: BTreeSet<&str> = BTreeSet::new();
    let known: BTreeSet<&str> = sent
        .iter()
        .map(|message| message.message_id.as_str())
        .collect();
    for message_id in &found.dead_letters {
        if !known.contains(message_id.as_str()) || !dead.insert(message_id) {
            violations.push(Violation::UnexpectedDeadLetter {
                message_id: message_id.clone(),
            });
        }
    }
    let mut counts = Counts {
        sent: sent.len(),
        created: found.items.len(),
        done: found.items.iter().filter(|item| is_done(item)).count(),
        dead_lettered: found.dead_letters.len(),
        ..Counts::default()
    };
    let mut met: BTreeSet<&String> = BTreeSet::new();
    for Sent {
        message_id,
        meaning,
    } in sent
    {
        let is_dead = dead.contains(message_id.as_str());
        let stored = match meaning {
            Meaning::Malformed => None,
            Meaning::Valid { id, content, .. } => {
                contents.get(id.as_str()).map(|stored| stored == content)
            }
        };
        match (meaning, stored, is_dead) {
            (Meaning::Malformed, _, true) => counts.rejected += 1,
            (Meaning::Valid { .. }, Some(false), true) => counts.conflicts += 1,
            (Meaning::Valid { id, .. }, Some(true), false) => {
                counts.duplicates += usize::from(!met.insert(id))
            }
            (Meaning::Valid { .. }, _, true) => {
                violations.push(Violation::WronglyDeadLettered {
                    message_id: message_id.clone(),
                });
            }
            // With messages still waiting there is no telling which; that alone fails the run.
            (_, _, false) if found.waiting > 0 => {}
            (_, _, false) => violations.push(Violation::Lost {
                message_id: message_id.clone(),
            }),
        }
    }
    if found.waiting > 0 {
        violations.push(Violation::StillWaiting {
            messages: found.waiting,
        });
    }
    counts
}

fn is_done(item: &Item) -> bool {
    item.status == "DONE" && item.version == 2
}

fn judge_items(
    found: &Found,
    by_id: &BTreeMap<&str, Vec<&Meaning>>,
    contents: &BTreeMap<&str, &str>,
    violations: &mut Vec<Violation>,
) {
    for item in &found.items {
        let id = item.id.clone();
        if !by_id.contains_key(id.as_str()) {
            violations.push(Violation::UnexpectedItem { id });
            continue;
        }
        if !contents.contains_key(id.as_str()) {
            violations.push(Violation::ItemChanged { id: id.clone() });
        }
        if !is_done(item) {
            violations.push(Violation::NotDone { id });
        }
    }
}

const STATUSES: [&str; 2] = ["INIT", "DONE"];

fn judge_events(found: &Found, stored: &BTreeMap<&str, &Item>, violations: &mut Vec<Violation>) {
    for (shard, sequence_number) in &found.unreadable {
        let (shard, sequence_number) = (shard.clone(), sequence_number.clone());
        violations.push(Violation::UnreadableEvent {
            shard,
            sequence_number,
        });
    }
    let mut by_id: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &found.events {
        by_id.entry(&event.id).or_default().push(event);
        judge_event(event, stored.get(event.id.as_str()).copied(), violations);
    }
    for (id, item) in stored {
        let events = by_id.get(id).map(Vec::as_slice).unwrap_or_default();
        for status in STATUSES.iter().take(if is_done(item) { 2 } else { 1 }) {
            if !events.iter().any(|event| event.status == *status) {
                violations.push(Violation::MissingEvent {
                    id: item.id.clone(),
                    status: (*status).to_owned(),
                });
            }
        }
    }
    for (id, events) in by_id {
        judge_history(id, &events, violations);
    }
}

fn judge_event(event: &Event, item: Option<&Item>, violations: &mut Vec<Violation>) {
    let (id, status) = (event.id.clone(), event.status.clone());
    if event.partition_key != event.id {
        violations.push(Violation::WrongPartitionKey { id: id.clone() });
    }
    match item {
        Some(item) if event.payload != item.payload => {
            violations.push(Violation::EventChanged { id, status })
        }
        Some(item) if status == "INIT" || (status == "DONE" && is_done(item)) => {}
        _ => violations.push(Violation::UnexpectedEvent { id, status }),
    }
}

/// The events of one notification, in the order of their shard.
fn judge_history(id: &str, events: &[&Event], violations: &mut Vec<Violation>) {
    let id = id.to_owned();
    if events.iter().any(|event| event.shard != events[0].shard) {
        violations.push(Violation::SplitOverShards { id: id.clone() });
    } else if events[0].status == "DONE" {
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
