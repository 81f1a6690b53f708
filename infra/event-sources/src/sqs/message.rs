//! A received message, and the SQS event that is made of several (rules S20, S21, F13).

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::QueueFacts;

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

/// What comes before and after the records of an event.
const ENVELOPE: (&str, &str) = (r#"{"Records":["#, "]}");

/// Bytes of an event without records.
pub(super) const EMPTY_EVENT_BYTES: usize = ENVELOPE.0.len() + ENVELOPE.1.len();

/// The event of some encoded records.
pub(super) fn event<'a>(records: impl Iterator<Item = &'a str>) -> String {
    let mut event = String::from(ENVELOPE.0);
    for (index, record) in records.enumerate() {
        if index > 0 {
            event.push(',');
        }
        event.push_str(record);
    }
    event.push_str(ENVELOPE.1);
    event
}

/// The record of one message, as JSON text, its keys in the order AWS writes them.
///
/// `windowed`: whether the mapping has a batching window. AWS then writes `md5OfMessageAttributes: null` for a message
/// without attributes, where it otherwise leaves the key out (S21).
pub(super) fn encode(message: &Message, queue: &QueueFacts, windowed: bool) -> String {
    let attributes = message
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), text(value)));
    let message_attributes = message
        .message_attributes
        .iter()
        .map(|(name, value)| (name.as_str(), attribute(value)));
    let md5_of_message_attributes = match &message.md5_of_message_attributes {
        Some(md5) => Some(text(md5)),
        None => windowed.then(|| "null".to_owned()),
    };
    let fields = [
        ("messageId", Some(text(&message.message_id))),
        ("receiptHandle", Some(text(&message.receipt_handle))),
        ("body", Some(text(&message.body))),
        ("attributes", Some(object(attributes))),
        ("messageAttributes", Some(object(message_attributes))),
        ("md5OfMessageAttributes", md5_of_message_attributes),
        ("md5OfBody", Some(text(&message.md5_of_body))),
        ("eventSource", Some(text("aws:sqs"))),
        ("eventSourceARN", Some(text(&queue.arn))),
        ("awsRegion", Some(text(&queue.region))),
    ];
    object(
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    )
}

fn attribute(attribute: &MessageAttribute) -> String {
    let value = match &attribute.value {
        AttributeValue::Text(value) => ("stringValue", text(value)),
        AttributeValue::Binary(bytes) => ("binaryValue", text(&BASE64_STANDARD.encode(bytes))),
    };
    let no_list = || "[]".to_owned();
    object(
        [
            value,
            ("stringListValues", no_list()),
            ("binaryListValues", no_list()),
            ("dataType", text(&attribute.data_type)),
        ]
        .into_iter(),
    )
}

/// A JSON object of values that are JSON already.
fn object<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", text(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn text(value: &str) -> String {
    Value::from(value).to_string()
}
