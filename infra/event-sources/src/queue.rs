//! A reference model of an SQS queue, standard or FIFO, with its dead-letter queue, in virtual time.
//!
//! It keeps SQS's rules (S8, S14 to S18, F2, F3, F5, F7 to F12) and none of Lambda's: the poller is in [`crate::sqs`].
//! Where SQS promises little (order and grouping of a standard queue, Q15) it gives as little as the seed says.

mod md5;

use std::collections::{BTreeMap, BTreeSet};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::Millis;
use crate::choices::Mixer;
use crate::sqs::{AttributeValue, Message, MessageAttribute};

/// The largest message, body and attributes together, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// The most messages one receive returns.
pub const MAX_RECEIVE: u32 = 10;
/// How long a deduplication id is remembered after a send (F10).
pub const DEDUPLICATION_INTERVAL: Millis = 5 * 60 * 1000;
/// How many messages from its head a FIFO queue searches for message groups (F12).
pub const FIFO_SEARCH_DEPTH: usize = 120_000;
/// The longest visibility timeout.
pub const MAX_VISIBILITY_TIMEOUT: Millis = 12 * 60 * 60 * 1000;

/// What a queue is created with. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// ARN of the queue; named by the messages that it moves to its dead-letter queue.
    pub arn: String,
    /// Whether this is a FIFO queue.
    pub fifo: bool,
    /// How long a received message stays hidden.
    pub visibility_timeout: Millis,
    /// Age at which a message vanishes without notice (S16).
    pub retention: Millis,
    /// How long each message is hidden after it was sent.
    pub delay: Millis,
    /// FIFO: a message sent without a deduplication id gets the SHA-256 of its body.
    pub content_based_deduplication: bool,
    /// The dead-letter queue, or none.
    pub redrive: Option<Redrive>,
    /// Standard: received in an order and in portions that [`seed`](Self::seed) decides (Q15).
    pub shuffle: bool,
    /// Fixes message ids and shuffling.
    pub seed: u64,
}

impl QueueSettings {
    /// A standard queue with the service's defaults, received from in the order sent.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            arn: "arn:aws:sqs:us-east-1:000000000000:queue".to_owned(),
            fifo: false,
            visibility_timeout: 30_000,
            retention: 4 * 24 * 60 * 60 * 1000,
            delay: 0,
            content_based_deduplication: false,
            redrive: None,
            shuffle: false,
            seed: 0,
        }
    }

    /// A FIFO queue with the service's defaults, and deduplication by content.
    #[must_use]
    pub fn fifo() -> Self {
        Self {
            arn: "arn:aws:sqs:us-east-1:000000000000:queue.fifo".to_owned(),
            fifo: true,
            content_based_deduplication: true,
            ..Self::standard()
        }
    }
}

/// A redrive policy. The dead-letter queue is of the type of its source, as SQS demands (S15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Deliveries after which the next receive moves a message instead of returning it; at least 1.
    pub max_receive_count: u32,
    /// Retention of the dead-letter queue in milliseconds.
    pub retention: Millis,
}

/// A message to send.
#[derive(Clone, Default)]
pub struct Outgoing {
    /// The text.
    pub body: String,
    /// Message attributes by name.
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    /// Message group; a FIFO queue demands it.
    pub message_group_id: Option<String>,
    /// Deduplication id; a FIFO queue without deduplication by content demands it.
    pub message_deduplication_id: Option<String>,
    /// The X-Ray trace header, the one system attribute a sender may set.
    pub trace_header: Option<String>,
    /// Standard: overrides the queue's delay, in milliseconds.
    pub delay: Option<Millis>,
}

impl Outgoing {
    /// A message that is its body alone.
    #[must_use]
    pub fn body(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// A message of a group.
    #[must_use]
    pub fn grouped(group: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            message_group_id: Some(group.into()),
            ..Self::body(body)
        }
    }

    fn bytes(&self) -> usize {
        let attributes = self.message_attributes.iter().map(|(name, attribute)| {
            let value = match &attribute.value {
                AttributeValue::Text(text) => text.len(),
                AttributeValue::Binary(bytes) => bytes.len(),
            };
            name.len() + attribute.data_type.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }
}

/// The answer to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Id of the message; of the first one, if this was a repetition.
    pub message_id: String,
    /// FIFO: its place in the queue.
    pub sequence_number: Option<String>,
    /// MD5 of the body in hex.
    pub md5_of_body: String,
    /// FIFO: the same deduplication id was sent less than five minutes ago, so nothing was added (F10).
    pub repeated: bool,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// Body and attributes together are too long.
    #[error("the message has {0} bytes, more than {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    /// A FIFO queue needs a message group.
    #[error("a message for a FIFO queue needs a MessageGroupId")]
    NoGroup,
    /// A FIFO queue needs a deduplication id or deduplication by content.
    #[error(
        "the queue has no content-based deduplication, so the message needs a MessageDeduplicationId"
    )]
    NoDeduplicationId,
    /// A FIFO queue delays all messages alike.
    #[error("a FIFO queue has no delay for single messages")]
    DelayOnFifo,
}

/// The answer to a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The message is gone.
    Deleted,
    /// The call succeeds and deletes nothing: the handle is not of the latest receipt, or the message was gone (S17).
    WithoutEffect,
    /// The call fails: the handle is none of this queue's, or a FIFO message's visibility has run out (F11).
    Refused,
}

/// Why a visibility timeout was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VisibilityError {
    /// The handle is not the latest of a message in this queue.
    #[error("the receipt handle is not valid")]
    InvalidHandle,
    /// The message is visible already.
    #[error("the message is not in flight")]
    NotInFlight,
    /// More than twelve hours.
    #[error("the visibility timeout is over {MAX_VISIBILITY_TIMEOUT} ms")]
    TooLong,
}

/// A queue and, with a redrive policy, its dead-letter queue.
///
/// Every call carries the time; times must not go backwards.
#[derive(Clone)]
pub struct Queue {
    settings: QueueSettings,
    /// By place in the queue, which a message keeps for as long as it is there.
    messages: BTreeMap<u64, Stored>,
    places: BTreeMap<String, u64>,
    /// Enqueue time and place, oldest first: what retention goes by.
    ages: BTreeSet<(Millis, u64)>,
    next_place: u64,
    deduplication: BTreeMap<String, Remembered>,
    deleted: BTreeMap<String, (u64, Stored)>,
    expired: BTreeSet<String>,
    dead_letter_queue: Option<Box<Queue>>,
    mixer: Mixer,
}

#[derive(Clone)]
struct Stored {
    message: Message,
    group: Option<String>,
    enqueued_at: Millis,
    visible_at: Millis,
    receive_count: u32,
    /// Number of the latest receipt; older handles have lost their effect.
    receipt: u64,
}

impl Stored {
    fn is_visible(&self, now: Millis) -> bool {
        self.visible_at <= now
    }

    /// Received, and neither deleted nor visible again.
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
struct Remembered {
    until: Millis,
    message_id: String,
    sequence_number: String,
}

impl Queue {
    /// An empty queue.
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

    /// Adds a message, unless it repeats one of the last five minutes (F10).
    ///
    /// # Errors
    /// If SQS would refuse the message; the queue is then unchanged.
    pub fn send(&mut self, now: Millis, outgoing: Outgoing) -> Result<Sent, SendError> {
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
            return Ok(Sent {
                message_id: earlier.message_id.clone(),
                sequence_number: Some(earlier.sequence_number.clone()),
                md5_of_body: md5::of_body(&outgoing.body),
                repeated: true,
            });
        }
        let visible_at = now + outgoing.delay.unwrap_or(self.settings.delay);
        let message_id = self.new_message_id();
        let md5_of_body = md5::of_body(&outgoing.body);
        let mut stored = Stored {
            message: Message {
                message_id: message_id.clone(),
                receipt_handle: String::new(),
                md5_of_body: md5_of_body.clone(),
                body: outgoing.body,
                attributes: BTreeMap::new(),
                md5_of_message_attributes: md5::of_attributes(&outgoing.message_attributes),
                message_attributes: outgoing.message_attributes,
            },
            group: outgoing.message_group_id,
            enqueued_at: now,
            visible_at,
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
        let sequence_number = deduplication_id.map(|id| {
            let sequence_number = format!("188{:017}", self.next_place);
            stored.set("MessageDeduplicationId", &id);
            stored.set("SequenceNumber", &sequence_number);
            let until = now + DEDUPLICATION_INTERVAL;
            let remembered = Remembered {
                until,
                message_id: message_id.clone(),
                sequence_number: sequence_number.clone(),
            };
            self.deduplication.insert(id, remembered);
            sequence_number
        });
        self.admit(self.next_place, stored);
        Ok(Sent {
            message_id,
            sequence_number,
            md5_of_body,
            repeated: false,
        })
    }

    /// Receives up to `max` messages for the queue's own visibility timeout.
    pub fn receive(&mut self, now: Millis, max: u32) -> Vec<Message> {
        self.receive_for(now, max, self.settings.visibility_timeout)
    }

    /// Receives up to `max` messages (never more than ten) and hides them for `visibility_timeout`.
    ///
    /// A message that was delivered as often as the redrive policy allows moves to the dead-letter queue instead (S14).
    pub fn receive_for(
        &mut self,
        now: Millis,
        max: u32,
        visibility_timeout: Millis,
    ) -> Vec<Message> {
        self.expire(now);
        let mut max = max.min(MAX_RECEIVE);
        let offered = if self.settings.fifo {
            self.offered_by_group(now)
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
            if self.is_used_up(place) {
                self.move_to_dead_letters(now, place);
            } else {
                received.extend(self.hand_out(now, place, visibility_timeout));
            }
        }
        received
    }

    /// Deletes by receipt handle (S17, F11).
    pub fn delete(&mut self, now: Millis, receipt_handle: &str) -> Deletion {
        self.expire(now);
        let Some((message_id, receipt)) = read_handle(receipt_handle) else {
            return Deletion::Refused;
        };
        let Some((place, stored)) = self.find(&message_id) else {
            return Deletion::WithoutEffect;
        };
        let held = stored.receipt == receipt;
        if self.settings.fifo && !(held && stored.is_in_flight(now)) {
            return Deletion::Refused;
        }
        if !held {
            return Deletion::WithoutEffect;
        }
        if let Some(stored) = self.remove(place)
            && !self.settings.fifo
        {
            self.deleted.insert(message_id, (place, stored));
        }
        Deletion::Deleted
    }

    /// Hides a received message for `timeout` from now; 0 makes it visible at once.
    ///
    /// # Errors
    /// If the handle is not the latest, the message is not in flight, or the timeout is over twelve hours.
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

    /// Makes a message receivable now although it is in flight or deleted: a duplicate that no error explains (S18).
    ///
    /// False, and without effect, on a FIFO queue and for a message that was never here, expired or dead-lettered.
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

    /// The dead-letter queue, or none without a redrive policy. It is a queue like any other.
    #[must_use]
    pub fn dead_letter_queue(&self) -> Option<&Queue> {
        self.dead_letter_queue.as_deref()
    }

    /// The dead-letter queue, to receive from.
    pub fn dead_letter_queue_mut(&mut self) -> Option<&mut Queue> {
        self.dead_letter_queue.as_deref_mut()
    }

    /// Ids of the messages that are here, visible or not, in the order of the queue.
    pub fn message_ids(&self) -> impl Iterator<Item = &str> {
        self.messages
            .values()
            .map(|stored| stored.message.message_id.as_str())
    }

    /// Whether a message is here, visible or not.
    #[must_use]
    pub fn contains(&self, message_id: &str) -> bool {
        self.places.contains_key(message_id)
    }

    /// Ids of the messages that reached the end of their retention here.
    #[must_use]
    pub fn expired(&self) -> &BTreeSet<String> {
        &self.expired
    }

    /// How many messages are here, visible or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing is here, not even in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many messages are in flight: received, and neither deleted nor visible again.
    #[must_use]
    pub fn in_flight(&self, now: Millis) -> usize {
        self.messages
            .values()
            .filter(|stored| stored.is_in_flight(now))
            .count()
    }

    /// Whether a receive would find anything to return or to move.
    #[must_use]
    pub fn has_receivable(&self, now: Millis) -> bool {
        if self.settings.fifo {
            return !self.offered_by_group(now).is_empty();
        }
        self.messages.values().any(|stored| stored.is_visible(now))
    }

    /// The next time at which a hidden message becomes visible: when a waiting receive should look again.
    #[must_use]
    pub fn next_visible(&self, now: Millis) -> Option<Millis> {
        self.messages
            .values()
            .filter(|stored| !stored.is_visible(now))
            .map(|stored| stored.visible_at)
            .min()
    }

    /// A FIFO queue's deduplication id of a message; none on a standard queue.
    fn deduplication_id(&self, outgoing: &Outgoing) -> Result<Option<String>, SendError> {
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

    /// Places a FIFO queue may hand out: all it can of one group in order, then of the next (F2); nothing of a group
    /// that has a message in flight (F3), and nothing behind a delayed message of its group.
    fn offered_by_group(&self, now: Millis) -> Vec<u64> {
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

    fn is_used_up(&self, place: u64) -> bool {
        match (&self.settings.redrive, self.messages.get(&place)) {
            (Some(redrive), Some(stored)) => stored.receive_count >= redrive.max_receive_count,
            _ => false,
        }
    }

    fn hand_out(&mut self, now: Millis, place: u64, visibility_timeout: Millis) -> Option<Message> {
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

    /// Id and body stay. A standard message keeps its age (S15); a FIFO one starts anew, with its message id for a
    /// deduplication id (F9).
    fn move_to_dead_letters(&mut self, now: Millis, place: u64) {
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

    fn admit(&mut self, place: u64, stored: Stored) {
        self.places.insert(stored.message.message_id.clone(), place);
        self.ages.insert((stored.enqueued_at, place));
        self.messages.insert(place, stored);
        self.next_place = self.next_place.max(place + 1);
    }

    fn find(&self, message_id: &str) -> Option<(u64, &Stored)> {
        let place = *self.places.get(message_id)?;
        self.messages.get(&place).map(|stored| (place, stored))
    }

    fn remove(&mut self, place: u64) -> Option<Stored> {
        let stored = self.messages.remove(&place)?;
        self.places.remove(&stored.message.message_id);
        self.ages.remove(&(stored.enqueued_at, place));
        Some(stored)
    }

    /// Drops what has reached the end of its retention, in flight or not (S16).
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

    /// A version 4 UUID, as SQS makes them.
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
