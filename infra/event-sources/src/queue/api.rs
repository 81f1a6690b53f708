//! The settings of a queue, and the requests and responses of its operations.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::Millis;
use crate::message::{AttributeValue, MessageAttribute};

/// The largest message, body and attributes together, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
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
pub struct NewMessage {
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

impl NewMessage {
    /// A message that is its body alone.
    #[must_use]
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// A message of a group.
    #[must_use]
    pub fn in_group(group: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            message_group_id: Some(group.into()),
            ..Self::new(body)
        }
    }

    pub(super) fn bytes(&self) -> usize {
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
pub struct SendReceipt {
    /// Id of the message; of the first one, if this was a repetition.
    pub message_id: String,
    /// FIFO: its place in the queue.
    pub sequence_number: Option<String>,
    /// MD5 of the body in hex.
    pub md5_of_body: String,
    /// FIFO: the same deduplication id was sent less than five minutes ago, so nothing was added (F10).
    pub is_duplicate: bool,
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
pub enum DeleteResult {
    /// The message is gone.
    Deleted,
    /// The call succeeds and deletes nothing: the handle is not of the latest receipt, or the message was gone (S17).
    NoEffect,
    /// The call fails: the handle is none of this queue's, or a FIFO message's visibility has run out (F11).
    Rejected,
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
