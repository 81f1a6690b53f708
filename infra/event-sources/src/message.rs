//! A message as SQS returns it; the model of a queue and the poller share it.

use std::collections::BTreeMap;
use std::fmt;

/// The maximum number of messages that one receive returns.
pub const MAX_RECEIVE: u32 = 10;

/// A message as `ReceiveMessage` returns it with all attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The same in every delivery; the item identifier of a partial batch response.
    pub message_id: String,
    /// Identifies one receive of the message.
    pub receipt_handle: String,
    pub body: String,
    /// MD5 of the body in hex.
    pub md5_of_body: String,
    /// The system attributes by name (`ApproximateReceiveCount`, `SentTimestamp`, …); all values are strings (S20,
    /// F13).
    pub attributes: BTreeMap<String, String>,
    /// The sender's message attributes by name.
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    /// MD5 of the message attributes in hex; present only if there are any.
    pub md5_of_message_attributes: Option<String>,
}

/// Shows only ids and counts: a body or an attribute must never appear in a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("message_id", &self.message_id)
            .field("body_bytes", &self.body.len())
            .field(
                "receive_count",
                &self.attributes.get("ApproximateReceiveCount"),
            )
            .finish_non_exhaustive()
    }
}

/// One message attribute; SQS does not implement list values.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, optionally with a custom label after a dot.
    pub data_type: String,
    pub value: AttributeValue,
}

impl fmt::Debug for MessageAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageAttribute")
            .field("data_type", &self.data_type)
            .finish_non_exhaustive()
    }
}

/// The value of a message attribute.
#[derive(Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// The value of a `String` or `Number` attribute.
    Text(String),
    /// The value of a `Binary` attribute; base64 in the event.
    Binary(Vec<u8>),
}
