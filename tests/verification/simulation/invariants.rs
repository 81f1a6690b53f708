//! Checks the guarantees of docs/guarantees.md at every step of a world.

mod life;
mod violation;

use std::collections::{BTreeMap, HashMap, HashSet};

use onewrite::event::NotificationEvent;
use onewrite::item::attribute;
use onewrite::notification::Status;
use onewrite_event_sources::queue::Queue;
use onewrite_testing::{Change, InMemoryTable, StoredRecord};

use crate::messages::{Meaning, Message};
use crate::receivers::Receivers;
use crate::witness::Witness;
use life::{Document, Life, document_of, effect_of_verdict, settler, status, written_once};
pub(crate) use life::{fingerprint, text};
pub(crate) use violation::{CheckResult, Violation, violated};

/// A message that was sent.
pub(crate) struct SentMessage {
    pub(crate) message_id: String,
    pub(crate) message: Message,
    /// The fingerprint of its notification. A malformed message has none.
    fingerprint: Option<String>,
    /// Whether an operator redrove it from the dead-letter queue.
    pub(crate) is_redriven: bool,
}

/// A change of the table in its stream.
struct StreamChange {
    id: String,
    /// Index of the event that the change requires, if any.
    document: Option<usize>,
    shard: String,
    /// Whether the mapping discarded it with a failure record, or the stream dropped it.
    is_discarded: bool,
}

/// An event in Kinesis.
struct PublishedEvent {
    id: String,
    status: Status,
    fingerprint: String,
}

#[derive(Default)]
pub(crate) struct Invariants {
    /// The receivers, if they are the downstream.
    receivers: Option<Receivers>,
    lives: BTreeMap<String, Life>,
    pub(crate) sent: Vec<SentMessage>,
    places: HashMap<String, usize>,
    /// The changes by their sequence numbers in the table's stream, which sort in the order of the changes.
    changes: BTreeMap<String, StreamChange>,
    /// The event of each Kinesis record, by sequence number.
    published_events: HashMap<String, PublishedEvent>,
    /// Ids with an event that a consumer's mapping discarded.
    pub(crate) unconsumed: HashSet<String>,
    pub(crate) repeated_events: u64,
    /// By process of `forward`, the changes whose events were confirmed to it although it reported an earlier change as failed.
    confirmed: HashMap<u64, HashSet<String>>,
}

/// The source of the records that an invocation received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumer {
    Forward,
    Complete,
}

impl Invariants {
    /// Checks effects at these receivers, or in the ledger if there are none.
    pub(crate) fn new(receivers: Option<Receivers>) -> Self {
        Self {
            receivers,
            ..Self::default()
        }
    }

    /// Records a message that is now in the queue.
    pub(crate) fn record_sent(&mut self, message_id: String, message: Message) {
        let known = message.fingerprint().map(|known| known.to_string());
        if let (Meaning::Valid { id, .. }, Some(fingerprint)) = (&message.meaning, &known) {
            let life = self.lives.entry(id.clone()).or_default();
            life.payloads.insert(message.payload.clone());
            life.fingerprints.insert(fingerprint.clone());
        }
        self.places.insert(message_id.clone(), self.sent.len());
        self.sent.push(SentMessage {
            message_id,
            message,
            fingerprint: known,
            is_redriven: false,
        });
    }

    /// Marks a message as redriven from the dead-letter queue and returns it, so that it can be sent again.
    pub(crate) fn mark_redriven(&mut self, message_id: &str) -> Message {
        let sent = &mut self.sent[self.places[message_id]];
        sent.is_redriven = true;
        sent.message.clone()
    }

    /// The notification ids of these messages.
    pub(crate) fn ids_of_messages(&self, message_ids: &[String]) -> Vec<String> {
        let sent = |message_id: &String| &self.sent[self.places[message_id]].message;
        message_ids
            .iter()
            .map(sent)
            .map(|sent| sent.id().to_owned())
            .collect()
    }

    /// The notification ids of these stream records.
    pub(crate) fn ids_of_records(&self, consumer: Consumer, numbers: &[String]) -> Vec<String> {
        let id = |number: &String| match consumer {
            Consumer::Forward => self.changes[number].id.clone(),
            Consumer::Complete => self.published_events[number].id.clone(),
        };
        numbers.iter().map(id).collect()
    }

    /// Records that an operator is about to make an item unreadable.
    pub(crate) fn mark_unreadable(&mut self, id: &str) {
        self.lives.entry(id.to_owned()).or_default().is_unreadable = true;
    }

    /// Checks "Acknowledged means stored": a message is deleted only if the table has its notification.
    pub(crate) fn check_deleted(&self, message_id: &str) -> CheckResult {
        const GUARANTEE: &str = "Acknowledged means stored";
        let sent = &self.sent[self.places[message_id]];
        let Meaning::Valid { id, .. } = &sent.message.meaning else {
            return violated(GUARANTEE, "?", "a malformed message was deleted");
        };
        let stored = self.lives.get(id).and_then(|life| life.stored.as_ref());
        match stored {
            None => violated(
                GUARANTEE,
                id,
                "the message was deleted, but there is no item",
            ),
            stored if stored != sent.fingerprint.as_ref() => violated(
                GUARANTEE,
                id,
                "the message was deleted, but the item has different content",
            ),
            Some(_) => Ok(()),
        }
    }

    /// Records and checks a change of the table, which its stream now has under this sequence number.
    pub(crate) fn check_change(
        &mut self,
        change: &Change,
        shard: String,
        number: String,
        table: &InMemoryTable,
        fifo: Option<&Queue>,
    ) -> CheckResult {
        let id = &change.id;
        let life = self.lives.entry(id.clone()).or_default();
        let document = document_of(change, life);
        let stream_change = StreamChange {
            id: id.clone(),
            document,
            shard,
            is_discarded: false,
        };
        self.changes.insert(number, stream_change);
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
        if before.as_deref() == Some("INIT") && life.is_settled() {
            life.settled.extend(life.stored.clone());
            self.effect_of_verdict(id, table)?;
        }
        Ok(())
    }

    /// Checks that a settled item names the consumer that has settled it.
    pub(crate) fn check_settler(&self, change: &Change, witness: &Witness) -> CheckResult {
        settler(&change.id, change, witness.settler(&change.id))
    }

    /// Checks that no process publishes an event again for a change that Lambda redelivers after an earlier one failed, if it was
    /// confirmed.
    pub(crate) fn check_memory(&mut self, witness: &Witness) -> CheckResult {
        for publishing in witness.take_publishings() {
            let mut known = self
                .confirmed
                .remove(&publishing.process)
                .unwrap_or_default();
            for (id, event) in &publishing.put {
                let requires = |number: &&String| self.event_of(number) == Some((id, *event));
                let mut requiring = publishing.numbers.iter().filter(requires).peekable();
                if requiring.peek().is_some() && requiring.all(|number| known.contains(number)) {
                    let what = "a process publishes an event again that was confirmed to it";
                    return violated("Bounded copies", id, what);
                }
            }
            let mut confirmed = publishing.confirmed;
            let mut is_behind = false;
            for number in &publishing.numbers {
                let event = self.event_of(number).map(|(_, event)| event);
                let times = event.and_then(|event| confirmed.get_mut(&event));
                // Of changes that require the same event, the first ones are published first.
                let times = times.filter(|times| **times > 0 && !known.contains(number));
                if let Some(times) = times {
                    *times -= 1;
                    known.extend(is_behind.then(|| number.clone()));
                }
                is_behind |= publishing.failed.as_ref() == Some(number);
            }
            self.confirmed.insert(publishing.process, known);
        }
        Ok(())
    }

    /// The id of a change, and the hash of the event that it requires.
    fn event_of(&self, number: &str) -> Option<(&String, u64)> {
        let change = self.changes.get(number)?;
        let document = self.lives[&change.id].documents.get(change.document?)?;
        Some((&change.id, document.hash))
    }

    /// Checks that these notifications are settled, with all their events published, and that no event was published too often.
    pub(crate) fn check_copies(&self, ids: &[String], max: usize) -> CheckResult {
        for id in ids {
            let documents = self.lives.get(id).map(|life| &life.documents);
            let copies = documents
                .into_iter()
                .flatten()
                .map(|document| document.copies);
            if let Some(copies) = copies.max().filter(|copies| *copies > max) {
                let what = format!("an event was published {copies} times");
                return violated("Bounded copies", id, what);
            }
        }
        Ok(())
    }

    /// The notifications in INIT among the events with these sequence numbers that are not settled.
    pub(crate) fn unsettled<'a>(&'a self, numbers: &'a [String]) -> impl Iterator<Item = &'a str> {
        let events = numbers.iter().map(|number| &self.published_events[number]);
        let is_open = |event: &&PublishedEvent| {
            event.status == Status::Init
                && !self.lives[&event.id].settled.contains(&event.fingerprint)
        };
        events.filter(is_open).map(|event| event.id.as_str())
    }

    /// Checks that the effect of a settled notification is the one that its status says.
    fn effect_of_verdict(&self, id: &str, table: &InMemoryTable) -> CheckResult {
        let life = &self.lives[id];
        match &self.receivers {
            Some(receivers) => receivers.check_verdict(id, life.stored.as_ref()),
            None => effect_of_verdict(id, life, table),
        }
    }

    /// Checks that a message of a FIFO group is stored only after each earlier message of the group is stored or has left
    /// the queue.
    fn fifo_order(&self, change: &Change, fifo: Option<&Queue>) -> CheckResult {
        let source = change
            .new
            .as_ref()
            .and_then(|new| text(new, attribute::SOURCE_MESSAGE_ID));
        let (Some(queue), Some(source)) = (fifo, source) else {
            return Ok(());
        };
        let Some(place) = self.places.get(&source) else {
            return violated("Nothing invented", &change.id, "stored without a message");
        };
        let group = &self.sent[*place].message.group;
        let earlier = self.sent[..*place].iter();
        let mut before = earlier.filter(|sent| sent.message.group == *group);
        let is_open =
            |sent: &&SentMessage| queue.contains(&sent.message_id) && !self.is_in_table(sent);
        match before.find(is_open) {
            Some(_) => violated(
                "FIFO order",
                &change.id,
                "the message overtook an earlier message of its group",
            ),
            None => Ok(()),
        }
    }

    /// Checks "Nothing invented" and "Order per notification": a record is the event of a change of its item, its
    /// partition key is the item's id, and it first appears after the events of earlier changes.
    pub(crate) fn check_published(&mut self, record: &StoredRecord) -> CheckResult {
        const INVENTED: &str = "Nothing invented";
        let key = record.record.id.as_str();
        let Ok(event) = NotificationEvent::parse(&record.record.data) else {
            return violated(INVENTED, key, "the record is not an event");
        };
        if event.subject.as_str() != key {
            let id = event.subject.as_str();
            return violated(INVENTED, id, format!("its partition key is {key}"));
        }
        let known = PublishedEvent {
            id: key.to_owned(),
            status: event.status,
            fingerprint: event.fingerprint.to_string(),
        };
        self.published_events
            .insert(record.sequence_number.clone(), known);
        let life = self.lives.entry(key.to_owned()).or_default();
        let document = String::from_utf8_lossy(&record.record.data);
        let Some(place) = life.document(&document) else {
            return violated(INVENTED, key, format!("no change requires {}", event.id()));
        };
        let document = &mut life.documents[place];
        document.copies += 1;
        if document.copies > 1 {
            self.repeated_events += 1;
            return Ok(());
        }
        match life.latest {
            Some(latest) if latest > place => {
                let what = format!(
                    "change {} first appears after change {}",
                    place + 1,
                    latest + 1
                );
                violated("Order per notification", key, what)
            }
            _ => {
                life.latest = Some(place);
                Ok(())
            }
        }
    }

    /// Checks "Checkpoint is honest": every record that an invocation confirmed is published or completed.
    pub(crate) fn check_confirmed(&self, consumer: Consumer, numbers: &[String]) -> CheckResult {
        const GUARANTEE: &str = "Checkpoint is honest";
        for number in numbers {
            match consumer {
                Consumer::Forward => {
                    let change = &self.changes[number];
                    let is_published =
                        |document: usize| self.lives[&change.id].documents[document].is_published();
                    if !change.document.is_none_or(is_published) {
                        return violated(
                            GUARANTEE,
                            &change.id,
                            "a change was checkpointed but not published",
                        );
                    }
                }
                Consumer::Complete => {
                    let event = &self.published_events[number];
                    let life = &self.lives[&event.id];
                    // The item may have been removed since then.
                    let was_settled = life.settled.contains(&event.fingerprint);
                    if event.status == Status::Init && !was_settled {
                        let now = life.status.as_deref();
                        let what = format!("an event was consumed, but its item is in {now:?}");
                        return violated(GUARANTEE, &event.id, what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Records that a mapping discarded a batch with a failure record, from one sequence number to another.
    pub(crate) fn record_discarded(
        &mut self,
        consumer: Consumer,
        shard: &str,
        first: &str,
        last: &str,
    ) {
        match consumer {
            Consumer::Forward => {
                let range = first.to_owned()..=last.to_owned();
                for (_, change) in self.changes.range_mut(range) {
                    change.is_discarded |= change.shard == shard;
                }
            }
            Consumer::Complete => {
                let in_range = |number: &&String| (first..=last).contains(&number.as_str());
                let is_published = self
                    .published_events
                    .iter()
                    .filter(|(number, _)| in_range(number));
                self.unconsumed
                    .extend(is_published.map(|(_, event)| event.id.clone()));
            }
        }
    }

    /// Records that the stream dropped all its records.
    pub(crate) fn record_trimmed(&mut self) {
        for change in self.changes.values_mut() {
            change.is_discarded = true;
        }
    }

    /// Checks that a settled notification is redriven only if a mapping or the stream discarded one of its changes. Consumers
    /// would get its event once more for nothing.
    pub(crate) fn check_redrive(&self, id: &str) -> CheckResult {
        let is_settled = self.lives.get(id).is_some_and(Life::is_settled);
        let mut changes = self.changes.values().filter(|change| change.id == id);
        if !is_settled || changes.any(|change| change.is_discarded) {
            return Ok(());
        }
        violated(
            "Conservation",
            id,
            "redriven, but none of its events was discarded",
        )
    }

    fn is_published(&self, change: &StreamChange) -> bool {
        let is_published =
            |document: usize| self.lives[&change.id].documents[document].is_published();
        change.document.is_none_or(is_published)
    }

    /// The first unfinished work: a change to publish that no mapping discarded, or an item to complete.
    pub(crate) fn unfinished_work(&self) -> Option<Violation> {
        let mut changes = self.changes.values();
        if let Some(change) =
            changes.find(|change| !change.is_discarded && !self.is_published(change))
        {
            let what = "a change was neither published nor discarded with a failure record";
            return violated("Conservation", &change.id, what).err();
        }
        let mut lives = self.lives.iter();
        let pending = |(id, life): &(&String, &Life)| {
            let is_init = life.status.as_deref() == Some("INIT");
            let is_published = life.documents.iter().all(Document::is_published);
            is_init && !life.is_unreadable && is_published && !self.unconsumed.contains(*id)
        };
        let (id, _) = lives.find(pending)?;
        violated(
            "Progress",
            id,
            "the event is published, but the item is not settled",
        )
        .err()
    }

    /// Records that DynamoDB removed a settled item by its time to live. Its id may be used again, for another notification.
    pub(crate) fn record_expired(&mut self, id: &str) {
        if let Some(life) = self.lives.get_mut(id) {
            life.was_inserted = false;
            life.stored = None;
            life.payload = None;
        }
    }

    /// Whether a readable item is in INIT.
    pub(crate) fn has_open_item(&self) -> bool {
        let is_open = |life: &Life| life.status.as_deref() == Some("INIT") && !life.is_unreadable;
        self.lives.values().any(is_open)
    }

    /// Ids that have an item.
    pub(crate) fn ids(&self) -> Vec<&str> {
        let there = self.lives.iter().filter(|(_, life)| life.status.is_some());
        there.map(|(id, _)| id.as_str()).collect()
    }

    /// Ids of readable items that are settled.
    pub(crate) fn settled_ids(&self) -> Vec<String> {
        let is_settled = |life: &Life| life.is_settled() && !life.is_unreadable;
        let lives = self.lives.iter().filter(|(_, life)| is_settled(life));
        lives.map(|(id, _)| id.clone()).collect()
    }

    /// Checks "Conservation" and "Progress" after faults have stopped, the world is idle and discarded events have
    /// been redriven.
    pub(crate) fn check_final_state(&self, queue: &Queue, table: &InMemoryTable) -> CheckResult {
        for sent in self.sent.iter().filter(|sent| !sent.is_redriven) {
            let dead = queue.dead_letter_queue();
            let is_dead = dead.is_some_and(|dead| dead.contains(&sent.message_id));
            if sent.message.meaning == Meaning::Malformed && !is_dead {
                let what = "a malformed message is not in the dead-letter queue";
                return violated("Conservation", "?", what);
            }
        }
        for (id, life) in &self.lives {
            if life.is_unreadable || life.status.is_none() {
                continue;
            }
            if !life.is_settled() {
                return violated("Progress", id, "not settled");
            }
            if life
                .documents
                .last()
                .is_some_and(|document| !document.is_published())
            {
                return violated("Conservation", id, "its last event was never published");
            }
            self.effect_of_verdict(id, table)?;
        }
        Ok(())
    }

    /// Whether the table has the notification of this message, with its content.
    fn is_in_table(&self, sent: &SentMessage) -> bool {
        let Meaning::Valid { id, .. } = &sent.message.meaning else {
            return false;
        };
        let stored = self.lives.get(id).and_then(|life| life.stored.as_ref());
        stored.is_some() && stored == sent.fingerprint.as_ref()
    }

    /// Whether the item is stored with the content that was sent.
    pub(crate) fn is_stored(&self, id: &str) -> bool {
        self.lives.get(id).is_some_and(|life| life.stored.is_some())
    }
}
