//! Checks the guarantees of docs/guarantees.md at every step of a world.

use std::collections::{BTreeMap, HashMap, HashSet};

use onewrite::event::NotificationEvent;
use onewrite::item::{NotificationItem, attribute};
use onewrite::notification::{Fingerprint, Status};
use onewrite_event_sources::queue::Queue;
use onewrite_testing::{Change, InMemoryTable, StoredRecord};
use serde_dynamo::{AttributeValue, Item};

use crate::effects::{LEDGER, OF};
use crate::mailbox::{Letter, Meaning, fingerprint};

/// A violated guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) guarantee: &'static str,
    pub(crate) what: String,
    /// The notification concerned.
    pub(crate) id: Option<String>,
}

impl Broken {
    /// Creates a violation that no single notification causes.
    pub(crate) fn of_all(guarantee: &'static str, what: impl Into<String>) -> Self {
        Self {
            guarantee,
            what: what.into(),
            id: None,
        }
    }
}

pub(crate) type Verdict = Result<(), Broken>;

pub(crate) fn broken(guarantee: &'static str, id: &str, what: impl Into<String>) -> Verdict {
    Err(Broken {
        guarantee,
        what: what.into(),
        id: Some(id.to_owned()),
    })
}

/// A message that was sent.
pub(crate) struct Sent {
    pub(crate) message_id: String,
    pub(crate) letter: Letter,
    /// Whether an operator redrove it from the dead-letter queue.
    pub(crate) is_redriven: bool,
}

/// Everything known about one notification id.
#[derive(Default)]
struct Life {
    /// The payloads and fingerprints that were sent with this id.
    payloads: HashSet<String>,
    fingerprints: HashSet<String>,
    stored: Option<String>,
    payload: Option<String>,
    status: Option<String>,
    was_inserted: bool,
    /// Whether an operator made the item unreadable.
    is_spoiled: bool,
    /// The events that its changes require, in the order of the changes, and whether each was published.
    documents: Vec<(String, bool)>,
    /// Index of the latest published event.
    latest: Option<usize>,
}

/// A change of the table in its stream.
struct InStream {
    id: String,
    /// Index of the event that the change requires, if any.
    document: Option<usize>,
    shard: String,
    /// Whether the mapping discarded it with a notice, or the stream dropped it.
    is_given_up: bool,
}

#[derive(Default)]
pub(crate) struct Witness {
    lives: BTreeMap<String, Life>,
    pub(crate) sent: Vec<Sent>,
    places: HashMap<String, usize>,
    /// The changes by their sequence numbers in the table's stream, which sort in the order of the changes.
    changes: BTreeMap<String, InStream>,
    /// The event of each Kinesis record, by sequence number.
    told: HashMap<String, (String, Status)>,
    /// Ids with an event that a consumer's mapping discarded.
    pub(crate) unconsumed: HashSet<String>,
    pub(crate) repeated_events: u64,
}

/// The source of the records that an invocation received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumer {
    Forward,
    Complete,
}

impl Witness {
    /// Records a message that is now in the queue.
    pub(crate) fn sent(&mut self, message_id: String, letter: Letter) {
        if let Meaning::Valid { id, content } = &letter.meaning {
            let life = self.lives.entry(id.clone()).or_default();
            life.payloads.insert(letter.payload.clone());
            let fingerprint: Fingerprint = fingerprint(id, *content);
            life.fingerprints.insert(fingerprint.to_string());
        }
        self.places.insert(message_id.clone(), self.sent.len());
        self.sent.push(Sent {
            message_id,
            letter,
            is_redriven: false,
        });
    }

    /// Marks a message as redriven from the dead-letter queue and returns it, so that it can be sent again.
    pub(crate) fn redriven(&mut self, message_id: &str) -> Letter {
        let sent = &mut self.sent[self.places[message_id]];
        sent.is_redriven = true;
        sent.letter.clone()
    }

    /// The notification ids of these messages.
    pub(crate) fn ids_of_messages(&self, message_ids: &[String]) -> Vec<String> {
        let sent = |message_id: &String| &self.sent[self.places[message_id]].letter.meaning;
        let id = |meaning: &Meaning| match meaning {
            Meaning::Valid { id, .. } => id.clone(),
            Meaning::Malformed => "?".to_owned(),
        };
        message_ids.iter().map(sent).map(id).collect()
    }

    /// The notification ids of these stream records.
    pub(crate) fn ids_of_records(&self, consumer: Consumer, numbers: &[String]) -> Vec<String> {
        let id = |number: &String| match consumer {
            Consumer::Forward => self.changes[number].id.clone(),
            Consumer::Complete => self.told[number].0.clone(),
        };
        numbers.iter().map(id).collect()
    }

    /// Records that an operator is about to make an item unreadable.
    pub(crate) fn spoiled(&mut self, id: &str) {
        self.lives.entry(id.to_owned()).or_default().is_spoiled = true;
    }

    /// Checks "Acknowledged means stored": a message is deleted only if the table has its notification.
    pub(crate) fn deleted(&self, message_id: &str) -> Verdict {
        const GUARANTEE: &str = "Acknowledged means stored";
        let sent = &self.sent[self.places[message_id]];
        let Meaning::Valid { id, content } = &sent.letter.meaning else {
            return broken(GUARANTEE, "?", "a malformed message was deleted");
        };
        let stored = self.lives.get(id).and_then(|life| life.stored.as_ref());
        match stored {
            None => broken(
                GUARANTEE,
                id,
                "the message was deleted, but there is no item",
            ),
            Some(stored) if *stored != fingerprint(id, *content).to_string() => broken(
                GUARANTEE,
                id,
                "the message was deleted, but the item has different content",
            ),
            Some(_) => Ok(()),
        }
    }

    /// Records and checks a change of the table, which its stream now has under this sequence number.
    pub(crate) fn changed(
        &mut self,
        change: &Change,
        shard: String,
        number: String,
        table: &InMemoryTable,
        fifo: Option<&Queue>,
    ) -> Verdict {
        let id = &change.id;
        let life = self.lives.entry(id.clone()).or_default();
        let document = document_of(change, life);
        let in_stream = InStream {
            id: id.clone(),
            document,
            shard,
            is_given_up: false,
        };
        self.changes.insert(number, in_stream);
        written_once(id, change, life)?;
        status(id, change, life)?;
        if change.old.is_none() {
            self.fifo_order(change, fifo)?;
        }
        let life = self.lives.entry(id.clone()).or_default();
        let before = life.status.take();
        life.status = change
            .new
            .as_ref()
            .and_then(|new| text(new, attribute::STATUS));
        if before.as_deref() == Some("INIT") && life.status.as_deref() == Some("DONE") {
            one_effect(id, table)?;
        }
        Ok(())
    }

    /// Checks that a message of a FIFO group is stored only after all earlier messages of the group have left the
    /// queue.
    fn fifo_order(&self, change: &Change, fifo: Option<&Queue>) -> Verdict {
        let source = change
            .new
            .as_ref()
            .and_then(|new| text(new, attribute::SOURCE_MESSAGE_ID));
        let (Some(queue), Some(source)) = (fifo, source) else {
            return Ok(());
        };
        let Some(place) = self.places.get(&source) else {
            return broken("Nothing invented", &change.id, "stored without a message");
        };
        let group = &self.sent[*place].letter.group;
        let earlier = self.sent[..*place].iter();
        let mut before = earlier.filter(|sent| sent.letter.group == *group);
        match before.find(|sent| queue.contains(&sent.message_id)) {
            Some(_) => broken(
                "FIFO order",
                &change.id,
                "the message overtook an earlier message of its group",
            ),
            None => Ok(()),
        }
    }

    /// Checks "Nothing invented" and "Order per notification": a record is the event of a change of its item, its
    /// partition key is the item's id, and it first appears after the events of earlier changes.
    pub(crate) fn published(&mut self, record: &StoredRecord) -> Verdict {
        const INVENTED: &str = "Nothing invented";
        let key = record.record.id.as_str();
        let Ok(event) = NotificationEvent::parse(&record.record.data) else {
            return broken(INVENTED, key, "the record is not an event");
        };
        if event.subject.as_str() != key {
            let id = event.subject.as_str();
            return broken(INVENTED, id, format!("its partition key is {key}"));
        }
        let known = (key.to_owned(), event.status);
        self.told.insert(record.sequence_number.clone(), known);
        let life = self.lives.entry(key.to_owned()).or_default();
        let document = String::from_utf8_lossy(&record.record.data);
        let place = life
            .documents
            .iter()
            .position(|(other, _)| *other == document);
        let Some(place) = place else {
            return broken(INVENTED, key, format!("no change requires {}", event.id()));
        };
        if life.documents[place].1 {
            self.repeated_events += 1;
            return Ok(());
        }
        life.documents[place].1 = true;
        match life.latest {
            Some(latest) if latest > place => {
                let what = format!(
                    "change {} first appears after change {}",
                    place + 1,
                    latest + 1
                );
                broken("Order per notification", key, what)
            }
            _ => {
                life.latest = Some(place);
                Ok(())
            }
        }
    }

    /// Checks "Checkpoint is honest": every record that an invocation confirmed is published or completed.
    pub(crate) fn passed(&self, consumer: Consumer, numbers: &[String]) -> Verdict {
        const GUARANTEE: &str = "Checkpoint is honest";
        for number in numbers {
            match consumer {
                Consumer::Forward => {
                    let change = &self.changes[number];
                    let told = |document: usize| self.lives[&change.id].documents[document].1;
                    if !change.document.is_none_or(told) {
                        return broken(
                            GUARANTEE,
                            &change.id,
                            "a change was checkpointed but not published",
                        );
                    }
                }
                Consumer::Complete => {
                    let (id, status) = &self.told[number];
                    let now = self.lives[id].status.as_deref();
                    if *status == Status::Init && now != Some("DONE") {
                        let what = format!("an event was consumed, but its item is in {now:?}");
                        return broken(GUARANTEE, id, what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Records the notice of a mapping about a batch that it discarded, from one sequence number to another.
    pub(crate) fn given_up(&mut self, consumer: Consumer, shard: &str, first: &str, last: &str) {
        match consumer {
            Consumer::Forward => {
                let range = first.to_owned()..=last.to_owned();
                for (_, change) in self.changes.range_mut(range) {
                    change.is_given_up |= change.shard == shard;
                }
            }
            Consumer::Complete => {
                let in_range = |number: &&String| (first..=last).contains(&number.as_str());
                let told = self.told.iter().filter(|(number, _)| in_range(number));
                self.unconsumed.extend(told.map(|(_, (id, _))| id.clone()));
            }
        }
    }

    /// Records that the stream dropped all its records.
    pub(crate) fn trimmed(&mut self) {
        for change in self.changes.values_mut() {
            change.is_given_up = true;
        }
    }

    fn is_told(&self, change: &InStream) -> bool {
        let told = |document: usize| self.lives[&change.id].documents[document].1;
        change.document.is_none_or(told)
    }

    /// The first unfinished work: a change to publish that no mapping discarded, or an item to complete.
    pub(crate) fn outstanding(&self) -> Option<Broken> {
        let mut changes = self.changes.values();
        if let Some(change) = changes.find(|change| !change.is_given_up && !self.is_told(change)) {
            let what = "a change was neither published nor discarded with a notice";
            return broken("Conservation", &change.id, what).err();
        }
        let mut lives = self.lives.iter();
        let pending = |(id, life): &(&String, &Life)| {
            let is_init = life.status.as_deref() == Some("INIT");
            let is_told = life.documents.iter().all(|(_, told)| *told);
            is_init && !life.is_spoiled && is_told && !self.unconsumed.contains(*id)
        };
        let (id, _) = lives.find(pending)?;
        broken(
            "Progress",
            id,
            "the event is published, but the item is not DONE",
        )
        .err()
    }

    /// Ids whose last event was discarded before it was published or consumed. Reconciliation must list them.
    pub(crate) fn pending(&self) -> Vec<String> {
        let lives = self.lives.iter().filter(|(_, life)| {
            let is_told = life.documents.last().is_none_or(|(_, told)| *told);
            !life.is_spoiled && (!is_told || life.status.as_deref() == Some("INIT"))
        });
        lives.map(|(id, _)| id.clone()).collect()
    }

    /// Ids that have an item.
    pub(crate) fn ids(&self) -> Vec<&str> {
        let there = self.lives.iter().filter(|(_, life)| life.status.is_some());
        there.map(|(id, _)| id.as_str()).collect()
    }

    /// Ids of readable items in DONE.
    pub(crate) fn done(&self) -> Vec<String> {
        let done = |life: &Life| life.status.as_deref() == Some("DONE") && !life.is_spoiled;
        let lives = self.lives.iter().filter(|(_, life)| done(life));
        lives.map(|(id, _)| id.clone()).collect()
    }

    /// Checks "Conservation" and "Progress" after faults have stopped, the world is idle and discarded events have
    /// been redriven.
    pub(crate) fn at_the_end(&self, queue: &Queue, table: &InMemoryTable) -> Verdict {
        for sent in self.sent.iter().filter(|sent| !sent.is_redriven) {
            let dead = queue.dead_letter_queue();
            let is_dead = dead.is_some_and(|dead| dead.contains(&sent.message_id));
            if sent.letter.meaning == Meaning::Malformed && !is_dead {
                let what = "a malformed message is not in the dead-letter queue";
                return broken("Conservation", "?", what);
            }
        }
        for (id, life) in &self.lives {
            if life.is_spoiled || life.status.is_none() {
                continue;
            }
            if life.status.as_deref() != Some("DONE") {
                return broken("Progress", id, "not DONE");
            }
            if life.documents.last().is_some_and(|(_, told)| !told) {
                return broken("Conservation", id, "its last event was never published");
            }
            one_effect(id, table)?;
        }
        Ok(())
    }

    /// Whether the item is stored with the content that was sent.
    pub(crate) fn is_stored(&self, id: &str) -> bool {
        self.lives.get(id).is_some_and(|life| life.stored.is_some())
    }
}

/// Records the event that a change requires and returns its index. An event is required for a new item and for a
/// change of the status or of the redrive count.
fn document_of(change: &Change, life: &mut Life) -> Option<usize> {
    let new = change.new.as_ref()?;
    let tells = |name: &str| {
        let old = change.old.as_ref().and_then(|old| old.get(name));
        old.is_none() || old != new.get(name)
    };
    if !tells(attribute::STATUS) && !tells(attribute::REDRIVES) {
        return None;
    }
    let item = NotificationItem::from_item(new).ok()?;
    let document = NotificationEvent::from_item(&item).to_json();
    let known = life
        .documents
        .iter()
        .position(|(other, _)| *other == document);
    Some(known.unwrap_or_else(|| {
        life.documents.push((document, false));
        life.documents.len() - 1
    }))
}

/// Checks that each id has one INSERT of content that was sent, and that only an operator changes the content.
fn written_once(id: &str, change: &Change, life: &mut Life) -> Verdict {
    const GUARANTEE: &str = "Written once";
    let Some(new) = &change.new else {
        return Ok(());
    };
    let payload = text(new, attribute::PAYLOAD);
    if change.old.is_none() {
        if life.was_inserted {
            return broken(GUARANTEE, id, "a second INSERT");
        }
        life.was_inserted = true;
        let fingerprint = text(new, attribute::FINGERPRINT).unwrap_or_default();
        let was_sent = payload
            .as_ref()
            .is_some_and(|text| life.payloads.contains(text))
            && life.fingerprints.contains(&fingerprint);
        if !was_sent {
            return broken("Nothing invented", id, "stored, but never sent");
        }
        life.stored = Some(fingerprint);
        life.payload = payload;
    } else if payload != life.payload && !life.is_spoiled {
        return broken(GUARANTEE, id, "the payload changed");
    }
    Ok(())
}

/// Checks that the status goes from INIT to DONE once, and that only an item in DONE has a time to live.
fn status(id: &str, change: &Change, life: &Life) -> Verdict {
    const GUARANTEE: &str = "Status";
    let Some(new) = &change.new else {
        return Ok(());
    };
    let (old, status) = (life.status.as_deref(), text(new, attribute::STATUS));
    match (old, status.as_deref()) {
        (None, Some("INIT")) | (Some("INIT"), Some("DONE")) => {}
        (Some(old), Some(new)) if old == new => {}
        (old, new) => return broken(GUARANTEE, id, format!("{old:?} became {new:?}")),
    }
    let expires = new.get(attribute::EXPIRES_AT).is_some();
    if expires && status.as_deref() != Some("DONE") {
        return broken(GUARANTEE, id, "an item in INIT may expire");
    }
    Ok(())
}

/// Checks that an effect that commits with DONE happens once.
fn one_effect(id: &str, table: &InMemoryTable) -> Verdict {
    let entries = table.other_items(LEDGER).into_values();
    let count = entries
        .filter(|entry| text(entry, OF).as_deref() == Some(id))
        .count();
    if count == 1 {
        return Ok(());
    }
    broken("Effect", id, format!("{count} effects of one notification"))
}

/// The string value of an attribute.
pub(crate) fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name)? {
        AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    }
}
