//! The parts of an SQS message that are used, and which messages of a batch must wait for each other.

use std::collections::HashMap;

use jiff::Timestamp;
use onewrite::notification::TraceParent;
use onewrite_runtime::event::{Batch, BatchRecord};
use serde::Deserialize;

/// The event of a queue.
pub type QueueEvent = Batch<SqsRecord>;

/// A record of the event: the fields that are used (Lambda developer guide, "Using Lambda with Amazon SQS"). It does not
/// implement `Debug`, because its body is confidential.
#[derive(Deserialize, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SqsRecord {
    /// The SQS message id, which a batch item failure names.
    pub message_id: Option<String>,
    /// The handle of this receive.
    pub receipt_handle: Option<String>,
    /// The body.
    pub body: Option<String>,
    /// The system attributes.
    pub attributes: Option<SystemAttributes>,
    /// The attributes of the sender.
    pub message_attributes: Option<MessageAttributes>,
    /// The ARN of the queue.
    #[serde(rename = "eventSourceARN")]
    pub event_source_arn: Option<String>,
    /// Whether only the identity of the record could be decoded.
    #[serde(skip)]
    pub is_undecodable: bool,
}

/// The used system attributes of a message (SQS API reference, `ReceiveMessage`).
#[derive(Deserialize, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub struct SystemAttributes {
    /// How often the message was received.
    pub approximate_receive_count: Option<String>,
    /// Milliseconds since 1970.
    pub sent_timestamp: Option<String>,
    /// The X-Ray trace of the sender.
    #[serde(rename = "AWSTraceHeader")]
    pub aws_trace_header: Option<String>,
    /// The message group, on a FIFO queue.
    pub message_group_id: Option<String>,
}

/// The used attributes of the sender.
#[derive(Deserialize, Clone, Default, PartialEq, Eq)]
pub struct MessageAttributes {
    /// A W3C `traceparent`.
    pub traceparent: Option<TextAttribute>,
}

/// A message attribute that should be a string.
#[derive(Deserialize, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TextAttribute {
    /// The string, if it is one.
    pub string_value: Option<String>,
}

/// What a message needs to be reported as failed, and to hold its group back on a FIFO queue.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct MessageIdentity {
    message_id: Option<String>,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: Option<String>,
    attributes: Option<GroupAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupAttribute {
    message_group_id: Option<String>,
}

impl BatchRecord for SqsRecord {
    type Identity = MessageIdentity;

    fn undecodable(identity: MessageIdentity) -> Self {
        Self {
            message_id: identity.message_id,
            event_source_arn: identity.event_source_arn,
            attributes: identity.attributes.map(|attributes| SystemAttributes {
                message_group_id: attributes.message_group_id,
                ..SystemAttributes::default()
            }),
            is_undecodable: true,
            ..Self::default()
        }
    }
}

/// One message. It does not implement `Debug`, because its body is confidential.
pub struct Message {
    /// The SQS message id, which a batch item failure names.
    pub id: String,
    /// The handle of this receive.
    pub receipt_handle: Option<String>,
    /// How often the message was received, including this time.
    pub receive_count: Option<u32>,
    /// The time of sending.
    pub sent_at: Option<Timestamp>,
    /// The message attribute `traceparent` of the sender, or else the X-Ray header.
    pub traceparent: Option<TraceParent>,
    /// The body. Missing only in a malformed record.
    pub body: Option<String>,
    /// Whether the record of the message could not be decoded.
    pub is_undecodable: bool,
    /// The message group, on a FIFO queue.
    group: Option<String>,
}

/// A message without an id cannot be reported as failed, so its whole batch fails and nothing is lost. So does a message
/// whose record and group cannot be decoded, because it could not hold its group back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "message {position} of the batch has no messageId, or it cannot be decoded: the whole batch fails, no message was tried"
)]
pub struct MissingMessageId {
    /// The position in the batch, from 0.
    pub position: usize,
}

impl Message {
    /// Extracts the used parts of all messages of one event.
    ///
    /// # Errors
    /// [`MissingMessageId`]: one message has no id.
    pub fn read_all(records: Vec<SqsRecord>) -> Result<Vec<Self>, MissingMessageId> {
        let read = |(position, record)| Self::read(record).ok_or(MissingMessageId { position });
        records.into_iter().enumerate().map(read).collect()
    }

    fn read(record: SqsRecord) -> Option<Self> {
        let id = record.message_id.filter(|id| !id.is_empty())?;
        let attributes = record.attributes.unwrap_or_default();
        let own_trace = record
            .message_attributes
            .and_then(|attributes| attributes.traceparent?.string_value);
        let fifo = record
            .event_source_arn
            .is_some_and(|arn| arn.ends_with(".fifo"));
        let group = attributes.message_group_id;
        if fifo && record.is_undecodable && group.is_none() {
            return None;
        }
        Some(Self {
            id,
            receipt_handle: record.receipt_handle,
            receive_count: attributes
                .approximate_receive_count
                .and_then(|count| count.parse().ok()),
            sent_at: attributes
                .sent_timestamp
                .and_then(|sent| Timestamp::from_millisecond(sent.parse().ok()?).ok()),
            traceparent: own_trace
                .as_deref()
                .and_then(TraceParent::parse)
                .or_else(|| TraceParent::from_xray(attributes.aws_trace_header.as_deref()?)),
            body: record.body,
            is_undecodable: record.is_undecodable,
            // SQS always sends a group id. Messages without one would share a lane.
            group: fifo.then(|| group.unwrap_or_default()),
        })
    }
}

/// Divides a batch into lanes. Messages of one lane are handled one after the other, and lanes are handled concurrently.
/// On a standard queue each message has its own lane. On a FIFO queue a lane is a message group, in order.
#[must_use]
pub fn lanes(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut lanes: Vec<Vec<Message>> = Vec::new();
    let mut lane_of_group = HashMap::new();
    for message in messages {
        match &message.group {
            None => lanes.push(vec![message]),
            Some(group) => {
                let lane = *lane_of_group.entry(group.clone()).or_insert_with(|| {
                    lanes.push(Vec::new());
                    lanes.len() - 1
                });
                lanes[lane].push(message);
            }
        }
    }
    lanes
}
