//! The parts of an SQS message that are used, and which messages of a batch must wait for each other.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::SqsMessage;
use jiff::Timestamp;
use onewrite::notification::TraceParent;

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
    /// The trace of the sender.
    pub traceparent: Option<TraceParent>,
    /// The body. Missing only in a malformed event.
    pub body: Option<String>,
    /// The message group, on a FIFO queue.
    group: Option<String>,
}

/// A message without an id cannot be reported as failed, so its whole batch fails and nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "message {position} of the batch has no messageId: the whole batch fails, no message was tried"
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
    pub fn read_all(records: Vec<SqsMessage>) -> Result<Vec<Self>, MissingMessageId> {
        let read = |(position, record)| Self::read(record).ok_or(MissingMessageId { position });
        records.into_iter().enumerate().map(read).collect()
    }

    fn read(mut record: SqsMessage) -> Option<Self> {
        let id = record.message_id.take().filter(|id| !id.is_empty())?;
        let fifo = record
            .event_source_arn
            .as_deref()
            .is_some_and(|arn| arn.ends_with(".fifo"));
        Some(Self {
            id,
            receipt_handle: record.receipt_handle.take(),
            receive_count: record
                .attributes
                .get("ApproximateReceiveCount")
                .and_then(|count| count.parse().ok()),
            // Milliseconds since 1970 (SQS API reference, ReceiveMessage).
            sent_at: record
                .attributes
                .get("SentTimestamp")
                .and_then(|sent| Timestamp::from_millisecond(sent.parse().ok()?).ok()),
            traceparent: traceparent(&record),
            body: record.body.take(),
            // SQS always sends a group id. Messages without one would share a lane.
            group: fifo.then(|| {
                record
                    .attributes
                    .remove("MessageGroupId")
                    .unwrap_or_default()
            }),
        })
    }
}

/// The message attribute `traceparent` of the sender, or else the X-Ray header.
fn traceparent(record: &SqsMessage) -> Option<TraceParent> {
    let own = record
        .message_attributes
        .get("traceparent")
        .and_then(|attribute| attribute.string_value.as_deref());
    let xray = record.attributes.get("AWSTraceHeader");
    own.and_then(TraceParent::parse)
        .or_else(|| xray.and_then(|header| TraceParent::from_xray(header)))
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
