//! The record of a message in an SQS event (rules S20, S21, F13).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::contract::QueueInfo;
use crate::message::{AttributeValue, Message, MessageAttribute};

/// Encodes the record of one message as JSON text, with its keys in the order of AWS.
///
/// `windowed` is whether the mapping has a batching window. AWS then writes `md5OfMessageAttributes: null` for a
/// message without attributes; otherwise it omits the key (S21).
pub(super) fn encode(message: &Message, queue: &QueueInfo, windowed: bool) -> String {
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

/// Builds a JSON object from values that are JSON already.
fn object<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", text(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn text(value: &str) -> String {
    Value::from(value).to_string()
}
