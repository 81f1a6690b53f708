//! The dead-letter queue: what is in it and why, and moving it back to the queue.
//!
//! SQS cannot show a message without receiving it. So each is received, read, and put back at the end: its receive count
//! rises, which nothing reads in a queue without a dead-letter queue of its own. On a FIFO queue the first ten of a message
//! group hide those behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName as Attribute,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use futures::{StreamExt as _, future, stream};
use indicatif::ProgressBar;
use jiff::Timestamp;
use onewrite::notification::MessagePointers;
use serde::Serialize;
use tokio::time::sleep_until;

use crate::{
    error::OperatorError,
    look,
    pace::Pace,
    stack::Stack,
    trace::{Body, DeadLetter},
};

/// How long dead letters are hidden while they are looked at. They are put back at the end; this is for a tool that is
/// killed, and the longest that a look may take.
const HIDDEN_SECONDS: i32 = 300;

/// Messages of one `ReceiveMessage` and of one `ChangeMessageVisibilityBatch` (SQS quotas).
const RECEIVE: i32 = 10;

/// Messages that are moved at the same time; on a FIFO queue one after the other, which keeps the order of a group.
const MOVES_AT_ONCE: usize = 10;

/// What became of a dead letter that was to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Moved {
    /// It is in the queue, as this message, and out of the dead-letter queue.
    Moved(String),
    /// It is in the queue, as this message, and could not be deleted from the dead-letter queue. A copy does no harm.
    Copied(String),
}

/// Messages that were received and are hidden: receipt handles by message id.
#[derive(Default)]
struct Held(HashMap<String, String>);

impl Held {
    /// Takes what was received; gives back what was not held before.
    fn hold(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let is_new = |message: &Message| {
            let id = message.message_id.clone().unwrap_or_default();
            let handle = message.receipt_handle.clone().unwrap_or_default();
            self.0.insert(id, handle).is_none()
        };
        messages.into_iter().filter(is_new).collect()
    }

    async fn put_back(self, stack: &Stack) -> Result<(), OperatorError> {
        let handles: Vec<String> = self.0.into_values().collect();
        for handles in handles.chunks(RECEIVE as usize) {
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
                .queue_url(&stack.dead_letter_queue_url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| OperatorError::of("ChangeMessageVisibilityBatch", &error))?;
        }
        Ok(())
    }
}

/// The dead letters that have to do with `ids`, or where that is empty, all. Bodies are not kept.
///
/// # Errors
/// [`OperatorError`]: a call failed.
pub async fn look(
    stack: &Stack,
    ids: &BTreeSet<String>,
    bar: &ProgressBar,
) -> Result<Vec<DeadLetter>, OperatorError> {
    let pointers = stack.pointers().await?;
    let mut held = Held::default();
    let looked = look_while_held(stack, &pointers, ids, &mut held, bar).await;
    let put_back = held.put_back(stack).await;
    let letters = looked?;
    put_back?;
    Ok(letters)
}

async fn look_while_held(
    stack: &Stack,
    pointers: &MessagePointers,
    ids: &BTreeSet<String>,
    held: &mut Held,
    bar: &ProgressBar,
) -> Result<Vec<DeadLetter>, OperatorError> {
    let mut letters = Vec::new();
    loop {
        let messages = held.hold(receive(stack).await?);
        if messages.is_empty() {
            return Ok(letters);
        }
        bar.inc(messages.len() as u64);
        let judged = messages
            .iter()
            .map(|message| judge(stack, pointers, ids, message));
        letters.extend(future::try_join_all(judged).await?.into_iter().flatten());
    }
}

async fn receive(stack: &Stack) -> Result<Vec<Message>, OperatorError> {
    let received = stack
        .sqs
        .receive_message()
        .queue_url(&stack.dead_letter_queue_url)
        .max_number_of_messages(RECEIVE)
        .visibility_timeout(HIDDEN_SECONDS)
        // Also asks the servers that a short poll leaves out.
        .wait_time_seconds(1)
        .message_attribute_names("All")
        .message_system_attribute_names(Attribute::All)
        .send()
        .await
        .map_err(|error| OperatorError::of("ReceiveMessage", &error))?;
    Ok(received.messages.unwrap_or_default())
}

/// Why it is a dead letter; none where it has nothing to do with `ids`.
async fn judge(
    stack: &Stack,
    pointers: &MessagePointers,
    ids: &BTreeSet<String>,
    message: &Message,
) -> Result<Option<DeadLetter>, OperatorError> {
    let text = message.body().unwrap_or_default();
    let message_id = message.message_id().unwrap_or_default();
    let body = Body::read(text, message_id, pointers);
    if !ids.is_empty() && !ids.iter().any(|id| body.concerns(id, text)) {
        return Ok(None);
    }
    let notification_id = match &body {
        Body::Notification(id, _) => Some(id.to_string()),
        Body::Rejected(_) => None,
    };
    let stored = match &notification_id {
        Some(id) => look::item(stack, id).await?.and_then(Result::ok),
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

/// Moves the dead letters of these message ids back to the queue; whatever else is received on the way is put back. What
/// became of each that was met, and why it ended early, if it did: what is told until then is so.
///
/// A message is sent, then deleted. A crash between leaves a copy, which does no harm: the condition on the write decides,
/// as it does for every copy.
pub async fn move_back(
    stack: &Stack,
    wanted: &BTreeSet<String>,
    rate: u32,
    bar: &ProgressBar,
) -> (BTreeMap<String, Moved>, Result<(), OperatorError>) {
    let mut moved = BTreeMap::new();
    let mut held = Held::default();
    let ended = move_while_held(stack, wanted, rate, &mut held, &mut moved, bar).await;
    held.0.retain(|id, _| !moved.contains_key(id));
    let put_back = held.put_back(stack).await;
    (moved, ended.and(put_back))
}

async fn move_while_held(
    stack: &Stack,
    wanted: &BTreeSet<String>,
    rate: u32,
    held: &mut Held,
    moved: &mut BTreeMap<String, Moved>,
    bar: &ProgressBar,
) -> Result<(), OperatorError> {
    let at_once = if is_fifo(stack) { 1 } else { MOVES_AT_ONCE };
    let mut pace = Pace::new(rate);
    while moved.len() < wanted.len() {
        let received = receive(stack).await?;
        if received.is_empty() {
            return Ok(());
        }
        // What is left alone comes again where the moving takes longer than it is hidden.
        let messages = held.hold(received);
        let wanted = messages
            .iter()
            .filter(|message| message.message_id().is_some_and(|id| wanted.contains(id)));
        let mut moves = stream::iter(wanted)
            .map(|message| {
                let turn = pace.turn();
                async move {
                    sleep_until(turn).await;
                    move_one(stack, message).await
                }
            })
            .buffer_unordered(at_once);
        // One that fails does not cut off those under way: what became of them is to be known.
        let mut failed = None;
        while let Some(one) = moves.next().await {
            match one {
                Ok((id, one)) => {
                    moved.insert(id, one);
                    bar.inc(1);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

fn is_fifo(stack: &Stack) -> bool {
    stack.queue_url.ends_with(".fifo")
}

/// Sends a message as it is, but for its message id, then deletes the dead letter.
async fn move_one(stack: &Stack, message: &Message) -> Result<(String, Moved), OperatorError> {
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
        .queue_url(&stack.queue_url)
        .set_message_body(message.body.clone())
        .set_message_attributes(message.message_attributes.clone())
        .set_message_system_attributes(trace.map(|trace| HashMap::from([trace])))
        .set_message_group_id(attribute(message, &Attribute::MessageGroupId).map(str::to_owned))
        // As SQS does for a FIFO queue's dead letters: given twice within five minutes, it is in the queue once.
        .set_message_deduplication_id(is_fifo(stack).then(|| id.to_owned()))
        .send()
        .await
        .map_err(|error| OperatorError::of("SendMessage", &error))?;
    let new_id = sent.message_id.unwrap_or_default();
    let deleted = stack
        .sqs
        .delete_message()
        .queue_url(&stack.dead_letter_queue_url)
        .receipt_handle(message.receipt_handle().unwrap_or_default())
        .send()
        .await;
    let moved = match deleted {
        Ok(_) => Moved::Moved(new_id),
        Err(_) => Moved::Copied(new_id),
    };
    Ok((id.to_owned(), moved))
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
    fn a_message_that_comes_again_is_held_by_its_newest_handle_and_read_once() {
        let mut held = Held::default();
        let first = held.hold(vec![message("a", "1"), message("b", "2")]);
        assert_eq!(first.len(), 2);
        let second = held.hold(vec![message("a", "3"), message("c", "4")]);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].message_id(), Some("c"));
        assert_eq!(held.0["a"], "3");
        assert!(held.hold(vec![message("b", "5")]).is_empty());
    }
}
