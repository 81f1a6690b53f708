//! Dead letters that were received and are hidden until the end of a run.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::types::Message;
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, FuturesUnordered},
};
use tokio::time::sleep;

use super::{
    interrupt::{IsInterrupted, interruption},
    port::{BATCH, DeadLetterQueue, LONG_POLL},
};
use crate::error::StackError;

/// After this many receives without a new message, the others are out of reach. Each is a long poll of a second, in which
/// SQS asks all its servers.
const VAIN_RECEIVES: usize = 5;

/// How long an interrupted receive may still take. A response that is not waited for could contain messages, which would stay
/// hidden. SQS responds to a long poll at once if the queue has a message, so a longer one will most likely find nothing.
const LAST_RECEIVE: Duration = Duration::from_millis(300);

/// The number of calls that make messages visible at the same time. SQS limits the calls of a FIFO queue to 300 a second.
const CONCURRENT_CALLS: usize = 40;
const CONCURRENT_FIFO_CALLS: usize = 10;

/// How long letters stay hidden after an interruption that abandoned receives: SQS goes on with a long poll although nobody waits
/// for its response, and would hide what it finds.
const AFTER_ABANDONED_RECEIVES: Duration = LONG_POLL.saturating_add(Duration::from_secs(1));

/// Receipt handles by message id.
#[derive(Default)]
pub(super) struct HeldLetters {
    handles: HashMap<String, String>,
    has_abandoned_receives: bool,
}

impl HeldLetters {
    /// Records the receipt handles and returns the messages that were not received before.
    pub(super) fn record(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let is_new = |message: &Message| {
            let id = message.message_id.clone().unwrap_or_default();
            let handle = message.receipt_handle.clone().unwrap_or_default();
            self.handles.insert(id, handle).is_none()
        };
        messages.into_iter().filter(is_new).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    /// Forgets a message that is no longer in the queue.
    pub(super) fn remove(&mut self, message_id: &str) {
        self.handles.remove(message_id);
    }

    /// Receives messages that were not received before, with `concurrency` calls at a time. If there are none, either the
    /// queue has no others, or they are out of reach: in flight, or behind held messages of their group; or it was interrupted.
    pub(super) async fn receive_new(
        &mut self,
        queue: &impl DeadLetterQueue,
        hide: Duration,
        concurrency: usize,
        is_interrupted: IsInterrupted<'_>,
    ) -> Result<Vec<Message>, StackError> {
        for _ in 0..VAIN_RECEIVES {
            if is_interrupted() {
                break;
            }
            let calls = (0..concurrency).map(|_| queue.receive(hide));
            let mut calls: FuturesUnordered<_> = calls.collect();
            let last_moment = async {
                interruption(is_interrupted).await;
                sleep(LAST_RECEIVE).await;
            };
            let mut last_moment = std::pin::pin!(last_moment);
            // A failed call does not discard what the others received, so that it is made visible again.
            let mut failed = Ok(());
            let mut messages = Vec::new();
            loop {
                let received = tokio::select! {
                    biased;
                    received = calls.next() => received,
                    () = &mut last_moment => None,
                };
                match received {
                    Some(Ok(one)) => messages.extend(self.record(one)),
                    Some(Err(error)) => failed = Err(error),
                    None => break,
                }
            }
            self.has_abandoned_receives |= !calls.is_empty();
            failed?;
            if !messages.is_empty() || is_interrupted() {
                return Ok(messages);
            }
            // The sum changes less than its parts while messages are received, so it is the better approximation.
            let depth = queue.depth().await?;
            if depth.waiting + depth.hidden <= self.len() {
                return Ok(messages);
            }
        }
        Ok(Vec::new())
    }

    /// Makes the messages visible again: at once, or after [`AFTER_ABANDONED_RECEIVES`]. All are tried, also after an error.
    pub(super) async fn make_visible(self, queue: &impl DeadLetterQueue) -> Result<(), StackError> {
        let after = if self.has_abandoned_receives {
            AFTER_ABANDONED_RECEIVES
        } else {
            Duration::ZERO
        };
        let handles: Vec<String> = self.handles.into_values().collect();
        let batches: Vec<Vec<String>> = handles.chunks(BATCH).map(<[String]>::to_vec).collect();
        let calls = batches
            .into_iter()
            .map(|handles| async move { queue.make_visible(&handles, after).await });
        let concurrency = if queue.is_fifo() {
            CONCURRENT_FIFO_CALLS
        } else {
            CONCURRENT_CALLS
        };
        let results = stream::iter(calls).buffer_unordered(concurrency);
        let results: Vec<_> = results.collect().await;
        stream::iter(results).try_collect().await
    }
}
