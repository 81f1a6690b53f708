//! The dead-letter queue: lists its messages with the reason for each, and moves them back to the queue.
//!
//! SQS cannot show a message without receiving it. So each message is received, inspected, and made visible again at the
//! end. Its receive count rises; nothing reads that count in a queue without a dead-letter queue of its own. On a FIFO queue,
//! the first ten messages of a group hide those behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as Attribute,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use futures::{StreamExt as _, future, stream};
use jiff::Timestamp;
use onewrite::notification::MessagePointers;
use tokio::time::sleep_until;

use crate::{
    dead_letter::{DeadLetter, MessageBody},
    error::StackError,
    pace::Pace,
    stack::Stack,
    table,
};

/// How long dead letters are hidden while they are inspected. They are made visible at the end; this limit matters if the
/// tool is killed. It is also the longest that an inspection may take.
const HIDDEN_SECONDS: i32 = 300;

/// The most messages of one `ReceiveMessage` and of one `ChangeMessageVisibilityBatch` (SQS quotas).
const BATCH: i32 = 10;

/// The number of messages that are moved concurrently. On a FIFO queue it is one, which keeps the order of a group.
const CONCURRENT_MOVES: usize = 10;

/// The result of moving one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveResult {
    /// It is in the queue, with this message id, and no longer in the dead-letter queue.
    Moved(String),
    /// It is in the queue, with this message id, but could not be deleted from the dead-letter queue. The copy is harmless.
    Copied(String),
}

/// The results of a move by message id, and the error that ended it early. The results hold even if there is an error.
pub type MoveResults = (BTreeMap<String, MoveResult>, Result<(), StackError>);

/// Messages that were received and are hidden: receipt handles by message id.
#[derive(Default)]
struct HiddenMessages(HashMap<String, String>);

impl HiddenMessages {
    /// Records the receipt handles and returns the messages that were not received before.
    fn record(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let is_new = |message: &Message| {
            let id = message.message_id.clone().unwrap_or_default();
            let handle = message.receipt_handle.clone().unwrap_or_default();
            self.0.insert(id, handle).is_none()
        };
        messages.into_iter().filter(is_new).collect()
    }

    async fn make_visible(self, stack: &Stack) -> Result<(), StackError> {
        let handles: Vec<String> = self.0.into_values().collect();
        for handles in handles.chunks(BATCH as usize) {
            let entries = handles.iter().enumerate().filter_map(|(index, handle)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(handle)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            });
            stack
                .sqs
                .change_message_visibility_batch()
                .queue_url(&stack.outputs.dead_letter_queue_url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| StackError::from_sdk("ChangeMessageVisibilityBatch", &error))?;
        }
        Ok(())
    }
}

/// Lists the dead letters of `ids`; if `ids` is empty, all of them. Bodies are not kept. `on_progress` is called with the
/// number of messages of each receive.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list(
    stack: &Stack,
    ids: &BTreeSet<String>,
    on_progress: impl Fn(u64),
) -> Result<Vec<DeadLetter>, StackError> {
    let pointers = stack.message_pointers().await?;
    let mut hidden = HiddenMessages::default();
    let listed = list_hiding(stack, &pointers, ids, &mut hidden, on_progress).await;
    let made_visible = hidden.make_visible(stack).await;
    let letters = listed?;
    made_visible?;
    Ok(letters)
}

async fn list_hiding(
    stack: &Stack,
    pointers: &MessagePointers,
    ids: &BTreeSet<String>,
    hidden: &mut HiddenMessages,
    on_progress: impl Fn(u64),
) -> Result<Vec<DeadLetter>, StackError> {
    let mut letters = Vec::new();
    loop {
        let messages = hidden.record(receive(stack).await?);
        if messages.is_empty() {
            return Ok(letters);
        }
        on_progress(messages.len() as u64);
        let inspected = messages
            .iter()
            .map(|message| inspect(stack, pointers, ids, message));
        letters.extend(future::try_join_all(inspected).await?.into_iter().flatten());
    }
}

async fn receive(stack: &Stack) -> Result<Vec<Message>, StackError> {
    let received = stack
        .sqs
        .receive_message()
        .queue_url(&stack.outputs.dead_letter_queue_url)
        .max_number_of_messages(BATCH)
        .visibility_timeout(HIDDEN_SECONDS)
        // A long poll also asks the servers that a short poll leaves out.
        .wait_time_seconds(1)
        .message_attribute_names("All")
        .message_system_attribute_names(Attribute::All)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("ReceiveMessage", &error))?;
    Ok(received.messages.unwrap_or_default())
}

/// Determines why a message is a dead letter; `None` if it does not belong to `ids`.
async fn inspect(
    stack: &Stack,
    pointers: &MessagePointers,
    ids: &BTreeSet<String>,
    message: &Message,
) -> Result<Option<DeadLetter>, StackError> {
    let text = message.body().unwrap_or_default();
    let message_id = message.message_id().unwrap_or_default();
    let body = MessageBody::parse(text, message_id, pointers);
    if !ids.is_empty() && !ids.iter().any(|id| body.is_about(id, text)) {
        return Ok(None);
    }
    let notification_id = match &body {
        MessageBody::Notification(id, _) => Some(id.to_string()),
        MessageBody::Rejected(_) => None,
    };
    let stored = match &notification_id {
        Some(id) => table::fetch_item(stack, id).await?.and_then(Result::ok),
        None => None,
    };
    let millis = attribute(message, &Attribute::SentTimestamp).and_then(|text| text.parse().ok());
    Ok(Some(DeadLetter {
        message_id: message_id.to_owned(),
        notification_id,
        sent_at: millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        receives: attribute(message, &Attribute::ApproximateReceiveCount)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        message_group_id: attribute(message, &Attribute::MessageGroupId).map(str::to_owned),
        reason: body.reason(stored.map(|item| item.notification.fingerprint)),
    }))
}

fn attribute<'m>(message: &'m Message, name: &Attribute) -> Option<&'m str> {
    message.attributes()?.get(name).map(String::as_str)
}

/// Moves the dead letters with these message ids back to the queue; other messages that are received are made visible
/// again. `on_progress` is called for each message that was moved.
///
/// Each message is sent, then deleted. A crash in between leaves a copy. The copy is harmless: the condition on the write
/// decides, as for every copy.
pub async fn move_back(
    stack: &Stack,
    wanted: &BTreeSet<String>,
    rate: u32,
    on_progress: impl Fn(u64),
) -> MoveResults {
    let mut results = BTreeMap::new();
    let mut hidden = HiddenMessages::default();
    let mut pace = Pace::new(rate);
    let mut ended = Ok(());
    while ended.is_ok() && results.len() < wanted.len() {
        let received = match receive(stack).await {
            Ok(received) if received.is_empty() => break,
            Ok(received) => received,
            Err(error) => {
                ended = Err(error);
                break;
            }
        };
        // If moving takes longer than a message is hidden, messages that stay are received again.
        let mut messages = hidden.record(received);
        messages.retain(|message| message.message_id().is_some_and(|id| wanted.contains(id)));
        ended = move_all(stack, &messages, &mut pace, &mut results, &on_progress).await;
    }
    hidden.0.retain(|id, _| !results.contains_key(id));
    let made_visible = hidden.make_visible(stack).await;
    (results, ended.and(made_visible))
}

async fn move_all(
    stack: &Stack,
    messages: &[Message],
    pace: &mut Pace,
    results: &mut BTreeMap<String, MoveResult>,
    on_progress: &impl Fn(u64),
) -> Result<(), StackError> {
    let concurrency = if stack.outputs.is_fifo() {
        1
    } else {
        CONCURRENT_MOVES
    };
    let mut moves = stream::iter(messages)
        .map(|message| {
            let start = pace.reserve();
            async move {
                sleep_until(start).await;
                move_one(stack, message).await
            }
        })
        .buffer_unordered(concurrency);
    // An error does not cancel the moves in progress: their results must be known.
    let mut ended = Ok(());
    while let Some(moved) = moves.next().await {
        match moved {
            Ok((id, result)) => {
                results.insert(id, result);
                on_progress(1);
            }
            Err(error) => ended = Err(error),
        }
    }
    ended
}

/// Sends the message to the queue, unchanged except for its message id, then deletes the dead letter.
async fn move_one(stack: &Stack, message: &Message) -> Result<(String, MoveResult), StackError> {
    let id = message.message_id().unwrap_or_default();
    let trace = attribute(message, &Attribute::AwsTraceHeader).and_then(|header| {
        let header = MessageSystemAttributeValue::builder()
            .data_type("String")
            .string_value(header);
        Some((
            MessageSystemAttributeNameForSends::AwsTraceHeader,
            header.build().ok()?,
        ))
    });
    let sent = stack
        .sqs
        .send_message()
        .queue_url(&stack.outputs.queue_url)
        .set_message_body(message.body.clone())
        .set_message_attributes(message.message_attributes.clone())
        .set_message_system_attributes(trace.map(|trace| HashMap::from([trace])))
        .set_message_group_id(attribute(message, &Attribute::MessageGroupId).map(str::to_owned))
        // As SQS does for dead letters of a FIFO queue: a message sent twice within five minutes is in the queue once.
        .set_message_deduplication_id(stack.outputs.is_fifo().then(|| id.to_owned()))
        .send()
        .await
        .map_err(|error| StackError::from_sdk("SendMessage", &error))?;
    let new_id = sent.message_id.unwrap_or_default();
    let deleted = stack
        .sqs
        .delete_message()
        .queue_url(&stack.outputs.dead_letter_queue_url)
        .receipt_handle(message.receipt_handle().unwrap_or_default())
        .send()
        .await;
    let result = match deleted {
        Ok(_) => MoveResult::Moved(new_id),
        Err(_) => MoveResult::Copied(new_id),
    };
    Ok((id.to_owned(), result))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, handle: &str) -> Message {
        Message::builder()
            .message_id(id)
            .receipt_handle(handle)
            .build()
    }

    #[test]
    fn keeps_the_newest_receipt_handle_and_inspects_a_message_once() {
        let mut hidden = HiddenMessages::default();
        let first = hidden.record(vec![message("a", "1"), message("b", "2")]);
        assert_eq!(first.len(), 2);
        let second = hidden.record(vec![message("a", "3"), message("c", "4")]);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].message_id(), Some("c"));
        assert_eq!(hidden.0["a"], "3");
        assert!(hidden.record(vec![message("b", "5")]).is_empty());
    }
}
