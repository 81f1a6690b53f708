//! A reference model of an SQS queue, standard or FIFO, with its dead-letter queue, in virtual time.
//!
//! It implements the rules of SQS (S8, S14 to S18, F2, F3, F5, F7 to F12) and none of Lambda's; [`crate::sqs`] is the
//! poller. Where SQS guarantees little (order and grouping of a standard queue, Q15), the model guarantees as little
//! as the seed decides.

mod api;
mod md5;

use std::collections::{BTreeMap, BTreeSet};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};

use crate::Millis;
use crate::choices::Mixer;
use crate::message::{MAX_RECEIVE, Message};
pub use api::{
    DeleteResult, MAX_MESSAGE_BYTES, MAX_VISIBILITY_TIMEOUT, NewMessage, QueueSettings, Redrive,
    SendError, SendReceipt, VisibilityError,
};

/// How long a queue remembers a deduplication id after a send (F10).
pub const DEDUPLICATION_INTERVAL: Millis = 5 * 60 * 1000;
/// How many messages from its head a FIFO queue searches for message groups (F12).
pub const FIFO_SEARCH_DEPTH: usize = 120_000;

/// A queue and, with a redrive policy, its dead-letter queue.
///
/// Every call passes the time. Times must not go backwards.
#[derive(Clone)]
pub struct Queue {
    settings: QueueSettings,
    /// By position in the queue. A message keeps its position.
    messages: BTreeMap<u64, StoredMessage>,
    places: BTreeMap<String, u64>,
    /// Enqueue time and position, oldest first, for retention.
    ages: BTreeSet<(Millis, u64)>,
    next_place: u64,
    deduplication: BTreeMap<String, DeduplicationEntry>,
    deleted: BTreeMap<String, (u64, StoredMessage)>,
    expired: BTreeSet<String>,
    dead_letter_queue: Option<Box<Queue>>,
    mixer: Mixer,
}

#[derive(Clone)]
struct StoredMessage {
    message: Message,
    group: Option<String>,
    enqueued_at: Millis,
    visible_at: Millis,
    receive_count: u32,
    /// The number of the latest receive; older receipt handles have no effect.
    receipt: u64,
}

impl StoredMessage {
    fn is_visible(&self, now: Millis) -> bool {
        self.visible_at <= now
    }

    /// Returns whether the message was received and is not visible again.
    fn is_in_flight(&self, now: Millis) -> bool {
        self.receipt > 0 && !self.is_visible(now)
    }

    fn set(&mut self, attribute: &str, value: impl Into<String>) {
        self.message
            .attributes
            .insert(attribute.to_owned(), value.into());
    }
}

#[derive(Clone)]
struct DeduplicationEntry {
    until: Millis,
    message_id: String,
    sequence_number: String,
}

impl Queue {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(settings: QueueSettings) -> Self {
        let dead_letter_queue = settings.redrive.as_ref().map(|redrive| {
            Box::new(Self::new(QueueSettings {
                arn: format!("{}-dead-letters", settings.arn.trim_end_matches(".fifo")),
                retention: redrive.retention,
                redrive: None,
                ..settings.clone()
            }))
        });
        Self {
            mixer: Mixer::new(settings.seed),
            settings,
            messages: BTreeMap::new(),
            places: BTreeMap::new(),
            ages: BTreeSet::new(),
            next_place: 0,
            deduplication: BTreeMap::new(),
            deleted: BTreeMap::new(),
            expired: BTreeSet::new(),
            dead_letter_queue,
        }
    }

    /// Adds a message, unless it duplicates one of the last five minutes (F10).
    ///
    /// # Errors
    /// If SQS would reject the message. The queue is then unchanged.
    pub fn send(&mut self, now: Millis, outgoing: NewMessage) -> Result<SendReceipt, SendError> {
        self.expire(now);
        if outgoing.bytes() > MAX_MESSAGE_BYTES {
            return Err(SendError::TooLong(outgoing.bytes()));
        }
        let deduplication_id = self.deduplication_id(&outgoing)?;
        if let Some(earlier) = deduplication_id
            .as_ref()
            .and_then(|id| self.deduplication.get(id))
            && now < earlier.until
        {
            return Ok(SendReceipt {
                message_id: earlier.message_id.clone(),
                sequence_number: Some(earlier.sequence_number.clone()),
                md5_of_body: md5::of_body(&outgoing.body),
                is_duplicate: true,
            });
        }
        let mut stored = self.stored_message(now, outgoing);
        let message_id = stored.message.message_id.clone();
        let md5_of_body = stored.message.md5_of_body.clone();
        let sequence_number = deduplication_id.map(|id| {
            let sequence_number = format!("188{:017}", self.next_place);
            stored.set("MessageDeduplicationId", &id);
            stored.set("SequenceNumber", &sequence_number);
            let until = now + DEDUPLICATION_INTERVAL;
            let entry = DeduplicationEntry {
                until,
                message_id: message_id.clone(),
                sequence_number: sequence_number.clone(),
            };
            self.deduplication.insert(id, entry);
            sequence_number
        });
        self.admit(self.next_place, stored);
        Ok(SendReceipt {
            message_id,
            sequence_number,
            md5_of_body,
            is_duplicate: false,
        })
    }

    fn stored_message(&mut self, now: Millis, outgoing: NewMessage) -> StoredMessage {
        let mut stored = StoredMessage {
            visible_at: now + outgoing.delay.unwrap_or(self.settings.delay),
            message: Message {
                message_id: self.new_message_id(),
                receipt_handle: String::new(),
                md5_of_body: md5::of_body(&outgoing.body),
                body: outgoing.body,
                attributes: BTreeMap::new(),
                md5_of_message_attributes: md5::of_attributes(&outgoing.message_attributes),
                message_attributes: outgoing.message_attributes,
            },
            group: outgoing.message_group_id,
            enqueued_at: now,
            receive_count: 0,
            receipt: 0,
        };
        stored.set("SenderId", "AIDASENDEROFTHEMODEL");
        stored.set("SentTimestamp", now.to_string());
        if let Some(group) = stored.group.clone() {
            stored.set("MessageGroupId", group);
        }
        if let Some(header) = outgoing.trace_header {
            stored.set("AWSTraceHeader", header);
        }
        stored
    }

    /// Receives up to `max` messages and hides them for the visibility timeout of the queue.
    pub fn receive(&mut self, now: Millis, max: u32) -> Vec<Message> {
        self.receive_for(now, max, self.settings.visibility_timeout)
    }

    /// Receives up to `max` messages (at most ten) and hides them for `visibility_timeout`.
    ///
    /// A message that reached the maximum receive count moves to the dead-letter queue instead (S14).
    pub fn receive_for(
        &mut self,
        now: Millis,
        max: u32,
        visibility_timeout: Millis,
    ) -> Vec<Message> {
        self.expire(now);
        let mut max = max.min(MAX_RECEIVE);
        let offered = if self.settings.fifo {
            self.receivable_by_group(now)
        } else {
            let visible = self
                .messages
                .iter()
                .filter(|(_, stored)| stored.is_visible(now));
            let mut places: Vec<u64> = visible.map(|(place, _)| *place).collect();
            if self.settings.shuffle && max > 0 {
                max = 1 + (self.mixer.next() % u64::from(max)) as u32;
                self.shuffle(&mut places);
            }
            places
        };
        let mut received = Vec::new();
        for place in offered {
            if received.len() == max as usize {
                break;
            }
            if self.exceeds_receive_count(place) {
                self.move_to_dead_letter_queue(now, place);
            } else {
                received.extend(self.deliver(now, place, visibility_timeout));
            }
        }
        received
    }

    /// Deletes a message by receipt handle (S17, F11).
    pub fn delete(&mut self, now: Millis, receipt_handle: &str) -> DeleteResult {
        self.expire(now);
        let Some((message_id, receipt)) = read_handle(receipt_handle) else {
            return DeleteResult::Rejected;
        };
        let Some((place, stored)) = self.find(&message_id) else {
            return DeleteResult::NoEffect;
        };
        let is_latest = stored.receipt == receipt;
        if self.settings.fifo && !(is_latest && stored.is_in_flight(now)) {
            return DeleteResult::Rejected;
        }
        if !is_latest {
            return DeleteResult::NoEffect;
        }
        if let Some(stored) = self.remove(place)
            && !self.settings.fifo
        {
            self.deleted.insert(message_id, (place, stored));
        }
        DeleteResult::Deleted
    }

    /// Hides a received message for `timeout` from now; 0 makes it visible at once.
    ///
    /// # Errors
    /// If the handle is not the latest one, the message is not in flight, or the timeout is longer than twelve hours.
    pub fn change_visibility(
        &mut self,
        now: Millis,
        receipt_handle: &str,
        timeout: Millis,
    ) -> Result<(), VisibilityError> {
        self.expire(now);
        if timeout > MAX_VISIBILITY_TIMEOUT {
            return Err(VisibilityError::TooLong);
        }
        let (message_id, receipt) =
            read_handle(receipt_handle).ok_or(VisibilityError::InvalidHandle)?;
        let place = self
            .places
            .get(&message_id)
            .ok_or(VisibilityError::InvalidHandle)?;
        let stored = self
            .messages
            .get_mut(place)
            .ok_or(VisibilityError::InvalidHandle)?;
        if stored.receipt != receipt {
            return Err(VisibilityError::InvalidHandle);
        }
        if !stored.is_in_flight(now) {
            return Err(VisibilityError::NotInFlight);
        }
        stored.visible_at = now + timeout;
        Ok(())
    }

    /// Makes a message visible now although it is in flight or deleted: a duplicate delivery without an error (S18).
    ///
    /// Returns false, without effect, for a FIFO queue and for a message that is unknown, expired or in the
    /// dead-letter queue.
    pub fn redeliver(&mut self, now: Millis, message_id: &str) -> bool {
        if let Some((place, stored)) = self.deleted.remove(message_id) {
            self.admit(place, stored);
        }
        self.expire(now);
        let Some(place) = self.places.get(message_id) else {
            return false;
        };
        match self.messages.get_mut(place) {
            Some(stored) if !self.settings.fifo => {
                stored.visible_at = now;
                true
            }
            _ => false,
        }
    }

    /// The dead-letter queue, if there is a redrive policy.
    #[must_use]
    pub fn dead_letter_queue(&self) -> Option<&Queue> {
        self.dead_letter_queue.as_deref()
    }

    /// The dead-letter queue, mutable.
    pub fn dead_letter_queue_mut(&mut self) -> Option<&mut Queue> {
        self.dead_letter_queue.as_deref_mut()
    }

    /// The ids of all messages, visible or not, in queue order.
    pub fn message_ids(&self) -> impl Iterator<Item = &str> {
        self.messages
            .values()
            .map(|stored| stored.message.message_id.as_str())
    }

    /// Returns whether the queue contains a message, visible or not.
    #[must_use]
    pub fn contains(&self, message_id: &str) -> bool {
        self.places.contains_key(message_id)
    }

    /// The ids of the messages whose retention ended in this queue.
    #[must_use]
    pub fn expired(&self) -> &BTreeSet<String> {
        &self.expired
    }

    /// The number of messages, visible or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns whether the queue contains no message, visible or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of messages that are received and neither deleted nor visible again.
    #[must_use]
    pub fn in_flight(&self, now: Millis) -> usize {
        self.messages
            .values()
            .filter(|stored| stored.is_in_flight(now))
            .count()
    }

    /// Returns whether a receive would return or move a message.
    #[must_use]
    pub fn has_receivable(&self, now: Millis) -> bool {
        if self.settings.fifo {
            return !self.receivable_by_group(now).is_empty();
        }
        self.messages.values().any(|stored| stored.is_visible(now))
    }

    /// The next time at which a hidden message becomes visible, so that a waiting receive should retry.
    #[must_use]
    pub fn next_visible(&self, now: Millis) -> Option<Millis> {
        self.messages
            .values()
            .filter(|stored| !stored.is_visible(now))
            .map(|stored| stored.visible_at)
            .min()
    }

    /// Returns the deduplication id of a message in a FIFO queue, or `None` for a standard queue.
    fn deduplication_id(&self, outgoing: &NewMessage) -> Result<Option<String>, SendError> {
        if !self.settings.fifo {
            return Ok(None);
        }
        if outgoing.message_group_id.is_none() {
            return Err(SendError::NoGroup);
        }
        if outgoing.delay.is_some() {
            return Err(SendError::DelayOnFifo);
        }
        match &outgoing.message_deduplication_id {
            Some(id) => Ok(Some(id.clone())),
            None if self.settings.content_based_deduplication => {
                Ok(Some(md5::hex(&Sha256::digest(&outgoing.body))))
            }
            None => Err(SendError::NoDeduplicationId),
        }
    }

    /// The positions that a FIFO queue may deliver: as many as possible of one group in order, then of the next (F2).
    /// It delivers nothing of a group that has a message in flight (F3), and nothing behind a delayed message of the
    /// same group.
    fn receivable_by_group(&self, now: Millis) -> Vec<u64> {
        #[derive(Default)]
        struct Group {
            offered: Vec<u64>,
            closed: bool,
        }
        let mut order = Vec::new();
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for (place, stored) in self.messages.iter().take(FIFO_SEARCH_DEPTH) {
            let name = stored.group.as_deref().unwrap_or_default();
            let group = groups.entry(name).or_insert_with(|| {
                order.push(name);
                Group::default()
            });
            if stored.is_in_flight(now) {
                group.offered.clear();
            }
            group.closed |= !stored.is_visible(now);
            if !group.closed {
                group.offered.push(*place);
            }
        }
        order
            .iter()
            .filter_map(|name| groups.remove(name))
            .flat_map(|group| group.offered)
            .collect()
    }

    fn exceeds_receive_count(&self, place: u64) -> bool {
        match (&self.settings.redrive, self.messages.get(&place)) {
            (Some(redrive), Some(stored)) => stored.receive_count >= redrive.max_receive_count,
            _ => false,
        }
    }

    fn deliver(&mut self, now: Millis, place: u64, visibility_timeout: Millis) -> Option<Message> {
        let stored = self.messages.get_mut(&place)?;
        if stored.receive_count == 0 {
            stored.set("ApproximateFirstReceiveTimestamp", now.to_string());
        }
        stored.receive_count += 1;
        stored.receipt += 1;
        stored.visible_at = now + visibility_timeout;
        stored.set("ApproximateReceiveCount", stored.receive_count.to_string());
        stored.message.receipt_handle = write_handle(&stored.message.message_id, stored.receipt);
        Some(stored.message.clone())
    }

    /// Moves a message and keeps its id and body. A standard message keeps its enqueue time (S15). A FIFO message
    /// gets a new one, and its message id becomes its deduplication id (F9).
    fn move_to_dead_letter_queue(&mut self, now: Millis, place: u64) {
        let Some(mut stored) = self.remove(place) else {
            return;
        };
        let Some(dead_letters) = self.dead_letter_queue.as_deref_mut() else {
            return;
        };
        stored.visible_at = now;
        stored.receipt = 0;
        stored.set("DeadLetterQueueSourceArn", &self.settings.arn);
        if self.settings.fifo {
            stored.enqueued_at = now;
            let message_id = stored.message.message_id.clone();
            stored.set("MessageDeduplicationId", message_id);
        }
        dead_letters.admit(dead_letters.next_place, stored);
        dead_letters.expire(now);
    }

    fn admit(&mut self, place: u64, stored: StoredMessage) {
        self.places.insert(stored.message.message_id.clone(), place);
        self.ages.insert((stored.enqueued_at, place));
        self.messages.insert(place, stored);
        self.next_place = self.next_place.max(place + 1);
    }

    fn find(&self, message_id: &str) -> Option<(u64, &StoredMessage)> {
        let place = *self.places.get(message_id)?;
        self.messages.get(&place).map(|stored| (place, stored))
    }

    fn remove(&mut self, place: u64) -> Option<StoredMessage> {
        let stored = self.messages.remove(&place)?;
        self.places.remove(&stored.message.message_id);
        self.ages.remove(&(stored.enqueued_at, place));
        Some(stored)
    }

    /// Drops messages whose retention has ended, in flight or not (S16).
    fn expire(&mut self, now: Millis) {
        while let Some((enqueued_at, place)) = self.ages.first().copied()
            && enqueued_at + self.settings.retention <= now
        {
            self.ages.pop_first();
            if let Some(stored) = self.remove(place) {
                self.expired.insert(stored.message.message_id);
            }
        }
        if let Some(dead_letters) = self.dead_letter_queue.as_deref_mut() {
            dead_letters.expire(now);
        }
    }

    fn shuffle(&mut self, places: &mut [u64]) {
        for last in (1..places.len()).rev() {
            places.swap(last, (self.mixer.next() % (last as u64 + 1)) as usize);
        }
    }

    /// Creates a version 4 UUID, like SQS.
    fn new_message_id(&mut self) -> String {
        let (high, low) = (self.mixer.next(), self.mixer.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            0x8000 | low >> 48 & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }
}

fn write_handle(message_id: &str, receipt: u64) -> String {
    BASE64_STANDARD.encode(format!("{message_id}:{receipt}"))
}

fn read_handle(handle: &str) -> Option<(String, u64)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(handle).ok()?).ok()?;
    let (message_id, receipt) = text.rsplit_once(':')?;
    Some((message_id.to_owned(), receipt.parse().ok()?))
}

#[cfg(test)]
mod tests;
