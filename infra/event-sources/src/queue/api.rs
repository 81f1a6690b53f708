//! The settings of a queue, and the requests and responses of its operations.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::Millis;
use crate::message::{AttributeValue, MessageAttribute};

/// The maximum size of a message, body and attributes together, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// The longest visibility timeout.
pub const MAX_VISIBILITY_TIMEOUT: Millis = 12 * 60 * 60 * 1000;

/// The settings of a queue. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// The ARN of the queue; the `DeadLetterQueueSourceArn` of messages that it moves to its dead-letter queue.
    pub arn: String,
    pub fifo: bool,
    pub visibility_timeout: Millis,
    /// The age at which a message is deleted without notice (S16).
    pub retention: Millis,
    pub delay: Millis,
    /// FIFO: a message without a deduplication id gets the SHA-256 of its body.
    pub content_based_deduplication: bool,
    pub redrive: Option<Redrive>,
    /// Standard: [`seed`](Self::seed) decides the order and the number of the messages that a receive returns (Q15).
    pub shuffle: bool,
    /// Determines message ids and shuffling.
    pub seed: u64,
}

impl QueueSettings {
    /// A standard queue with the defaults of SQS that returns messages in the order sent.
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

    /// A FIFO queue with the defaults of SQS and content-based deduplication.
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

/// A redrive policy. The dead-letter queue has the type of its source, as SQS requires (S15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// After this many deliveries, the next receive moves a message to the dead-letter queue; at least 1.
    pub max_receive_count: u32,
    /// The retention of the dead-letter queue in milliseconds.
    pub retention: Millis,
}

/// A message to send.
#[derive(Clone, Default)]
pub struct NewMessage {
    pub body: String,
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    /// Required by a FIFO queue.
    pub message_group_id: Option<String>,
    /// Required by a FIFO queue without content-based deduplication.
    pub message_deduplication_id: Option<String>,
    /// The X-Ray trace header, the only system attribute that a sender can set.
    pub trace_header: Option<String>,
    /// Standard: overrides the delay of the queue, in milliseconds.
    pub delay: Option<Millis>,
}

impl NewMessage {
    /// Creates a message with only a body.
    #[must_use]
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// Creates a message in a message group.
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

/// The response to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReceipt {
    /// The id of the message; for a duplicate, that of the first message.
    pub message_id: String,
    /// FIFO: the position of the message in the queue.
    pub sequence_number: Option<String>,
    /// MD5 of the body in hex.
    pub md5_of_body: String,
    /// FIFO: the same deduplication id was sent less than five minutes ago, so no message was added (F10).
    pub is_duplicate: bool,
}

/// The reason why a message was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    #[error("the message has {0} bytes; the maximum is {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    #[error("a message for a FIFO queue needs a MessageGroupId")]
    NoGroup,
    #[error(
        "the queue has no content-based deduplication, so the message needs a MessageDeduplicationId"
    )]
    NoDeduplicationId,
    #[error("a FIFO queue does not support a delay per message")]
    DelayOnFifo,
}

/// The response to a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteResult {
    Deleted,
    /// The call succeeds but deletes nothing: the receipt handle is outdated, or the message no longer exists (S17).
    NoEffect,
    /// The call fails: the handle does not belong to this queue, or the visibility timeout of a FIFO message has
    /// ended (F11).
    Rejected,
}

/// The reason why a visibility timeout was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VisibilityError {
    /// The handle is not the latest one of a message in this queue.
    #[error("the receipt handle is not valid")]
    InvalidHandle,
    #[error("the message is not in flight")]
    NotInFlight,
    #[error("the visibility timeout exceeds {MAX_VISIBILITY_TIMEOUT} ms")]
    TooLong,
}
