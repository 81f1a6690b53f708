//! A message as SQS returns it: what the model of a queue and the poller have in common.

use std::collections::BTreeMap;
use std::fmt;

/// The maximum number of messages that one receive returns.
pub const MAX_RECEIVE: u32 = 10;

/// A message as `ReceiveMessage` returned it, asked for all of its attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Stays the same in every delivery; it is the item identifier of a partial batch response.
    pub message_id: String,
    /// Names this one receipt of the message: a new one at each receive.
    pub receipt_handle: String,
    /// The text that was sent, byte for byte.
    pub body: String,
    /// MD5 of the body in hex, as SQS reported it.
    pub md5_of_body: String,
    /// The system attributes by name (`ApproximateReceiveCount`, `SentTimestamp`, …), all of them strings (S20, F13).
    pub attributes: BTreeMap<String, String>,
    /// What the sender attached, by name.
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    /// MD5 of the message attributes in hex; SQS reports it only where there are any.
    pub md5_of_message_attributes: Option<String>,
}

/// Shows ids and counts alone: a body or an attribute never appears in a log.
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

/// One message attribute; SQS has no list values in use.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, with an optional label of the sender's after a dot.
    pub data_type: String,
    /// The value, in the form that the data type calls for.
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
    /// Of a `String` or `Number` attribute.
    Text(String),
    /// Of a `Binary` attribute; base64 in the event.
    Binary(Vec<u8>),
}
