//! What of an SQS message is used, and which messages of a batch must wait for each other.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::SqsMessage;
use jiff::Timestamp;
use onewrite::notification::TraceParent;

/// One message, with the id by which it is reported. It has no `Debug`: its body is somebody's data.
pub struct Message {
    /// The SQS message id: what a batch item failure names.
    pub id: String,
    /// How often it was received, this time included; for the log.
    pub receive_count: Option<u32>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// The trace it came with.
    pub traceparent: Option<TraceParent>,
    /// Its body; absent in a malformed event alone.
    pub body: Option<String>,
    /// The order it belongs to: its message group, on a FIFO queue.
    group: Option<String>,
}

/// A message without an id cannot be reported as failed, so the batch it is in fails whole and nothing of it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "message {position} of the batch has no messageId: the whole batch is failed, nothing of it was tried"
)]
pub struct MissingMessageId {
    /// Its place in the batch, from 0.
    pub position: usize,
}

impl Message {
    /// Takes what is used out of the messages of one event.
    ///
    /// # Errors
    /// [`MissingMessageId`], before anything was done with any of them.
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
            // Without a group id (SQS always sends one) a message waits for all the others that have none.
            group: fifo.then(|| {
                record
                    .attributes
                    .remove("MessageGroupId")
                    .unwrap_or_default()
            }),
        })
    }
}

/// The sender's own `traceparent`, else X-Ray's header.
fn traceparent(record: &SqsMessage) -> Option<TraceParent> {
    let own = record
        .message_attributes
        .get("traceparent")
        .and_then(|attribute| attribute.string_value.as_deref());
    let xray = record.attributes.get("AWSTraceHeader");
    own.and_then(TraceParent::parse)
        .or_else(|| xray.and_then(|header| TraceParent::from_xray(header)))
}

/// Sorts a batch into lanes: within a lane one message after the other, lanes side by side. On a standard queue each
/// message is its own lane; on a FIFO queue a lane is a message group, in order.
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
