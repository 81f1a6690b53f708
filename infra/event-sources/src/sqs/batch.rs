//! Messages on their way to the function: collected, then batched (rules S2, S3, F2, F3, Q4).

use std::collections::BTreeSet;

use super::contract::CallId;
use crate::Millis;
use crate::invocation::{self, EMPTY_EVENT_BYTES, MAX_EVENT_BYTES};

/// A received message in the form that the event needs.
pub(super) struct ReceivedMessage {
    pub(super) message_id: String,
    pub(super) receipt_handle: String,
    /// The message group; `None` in a standard queue, where groups have no order.
    pub(super) group: Option<String>,
    pub(super) record: String,
    /// When the visibility timeout ends; from then on another receive may return the message.
    pub(super) until: Millis,
}

/// The messages of one event.
pub(super) struct Batch {
    pub(super) messages: Vec<ReceivedMessage>,
    /// FIFO: the messages that did not fit in the event. A group has one batch in flight (F3), so they follow this
    /// batch.
    pub(super) rest: Vec<ReceivedMessage>,
    /// Whether the mapping had `ReportBatchItemFailures` when the batch was created.
    pub(super) reports_failures: bool,
    /// The pause after the next throttle.
    pub(super) throttle_pause: Millis,
}

impl Batch {
    pub(super) fn event(&self) -> String {
        invocation::event(self.messages.iter().map(|message| message.record.as_str()))
    }

    pub(super) fn message_ids(&self) -> Vec<String> {
        ids(&self.messages)
    }

    /// Returns when the first of its messages becomes visible.
    pub(super) fn until(&self) -> Option<Millis> {
        self.messages
            .iter()
            .chain(&self.rest)
            .map(|message| message.until)
            .min()
    }
}

/// One receiver of the queue and its batching window.
#[derive(Default)]
pub(super) struct Collector {
    /// When the window opened: at the first message, or earlier, at the end of an invocation (X11).
    pub(super) opened_at: Option<Millis>,
    pub(super) messages: Vec<ReceivedMessage>,
    /// The receive in flight.
    pub(super) receive: Option<Receive>,
}

/// A receive in flight.
pub(super) struct Receive {
    pub(super) call: CallId,
    /// The requested visibility timeout. Later changes of the mapping do not affect it.
    pub(super) visibility_timeout: Millis,
}

impl Collector {
    /// Adds a message. If the window ended without a message, a new one opens.
    pub(super) fn add(&mut self, now: Millis, window: Millis, message: ReceivedMessage) {
        if self.messages.is_empty() && self.opened_at.is_none_or(|opened| opened + window <= now) {
            self.opened_at = Some(now);
        }
        self.messages.push(message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns when the window ends, if there is a message.
    pub(super) fn window_ends(&self, window: Millis) -> Option<Millis> {
        self.opened_at
            .filter(|_| !self.messages.is_empty())
            .map(|opened| opened + window)
    }

    /// Removes what is due for invocation: full events and, at the end of the window, everything.
    ///
    /// A receive in flight is awaited, because it ends with the window.
    pub(super) fn remove_due(
        &mut self,
        now: Millis,
        batch_size: usize,
        window: Millis,
    ) -> Vec<Vec<ReceivedMessage>> {
        let over = self.receive.is_none() && self.window_ends(window).is_some_and(|end| end <= now);
        let mut due = Vec::new();
        while !self.messages.is_empty() {
            let count = fitting(&self.messages, batch_size);
            let full = count == batch_size || count < self.messages.len();
            if !full && !over {
                break;
            }
            due.push(self.messages.drain(..count).collect());
            self.opened_at = (!self.messages.is_empty()).then_some(now);
        }
        due
    }
}

/// Returns how many messages, from the first, fit in one event: at least one, whatever its size.
pub(super) fn fitting(messages: &[ReceivedMessage], batch_size: usize) -> usize {
    let mut bytes = EMPTY_EVENT_BYTES;
    let fits = |message: &&ReceivedMessage| {
        // Including a comma.
        bytes += message.record.len() + 1;
        bytes <= MAX_EVENT_BYTES + 1
    };
    let count = messages.iter().take(batch_size).take_while(fits).count();
    count.max(messages.len().min(1))
}

/// Splits messages by message group and keeps their order (Q4).
pub(super) fn by_group(messages: Vec<ReceivedMessage>) -> Vec<Vec<ReceivedMessage>> {
    let mut groups: Vec<Vec<ReceivedMessage>> = Vec::new();
    for message in messages {
        match groups.iter_mut().find(|group| {
            group
                .first()
                .is_some_and(|first| first.group == message.group)
        }) {
            Some(group) => group.push(message),
            None => groups.push(vec![message]),
        }
    }
    groups
}

/// Returns messages that were acknowledged although they follow a failed message of their group (Q5).
pub(super) fn acknowledged_out_of_order(
    messages: &[ReceivedMessage],
    failed: impl Fn(&ReceivedMessage) -> bool,
) -> Vec<&ReceivedMessage> {
    let mut broken: BTreeSet<&str> = BTreeSet::new();
    let mut out_of_order = Vec::new();
    for message in messages {
        let Some(group) = message.group.as_deref() else {
            continue;
        };
        if failed(message) {
            broken.insert(group);
        } else if broken.contains(group) {
            out_of_order.push(message);
        }
    }
    out_of_order
}

/// Removes messages whose visibility timeout ended, and returns their ids.
pub(super) fn remove_expired(messages: &mut Vec<ReceivedMessage>, now: Millis) -> Vec<String> {
    let expired = messages
        .extract_if(.., |message| message.until <= now)
        .map(|message| message.message_id);
    expired.collect()
}

pub(super) fn ids<'a>(messages: impl IntoIterator<Item = &'a ReceivedMessage>) -> Vec<String> {
    messages
        .into_iter()
        .map(|message| message.message_id.clone())
        .collect()
}
