//! Judges each dead letter and moves the selected ones back to the queue.
//!
//! Nothing is kept of a letter that was moved. Letters that stay are hidden until the end, so that SQS returns the others;
//! what is kept of them is bounded by what SQS lets be in flight.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_sdk_sqs::types::Message;
use futures::{StreamExt as _, future, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    held::HeldLetters,
    inspect::{HIDDEN, MAX_INSPECTED},
    interrupt::{IsInterrupted, sleep_until_interrupted},
    judge::Judge,
    port::{DeadLetterQueue, MAX_HIDDEN},
};
use crate::{dead_letter::DeadLetter, error::StackError, pace::Pace};

/// The number of concurrent receives and moves on a standard queue. On a FIFO queue it is one, which keeps the order of a
/// group.
const RECEIVERS: usize = 8;
const CONCURRENT_MOVES: usize = 40;

/// For how long SQS may still count letters that were moved: at least a minute (SQS API reference, `GetQueueAttributes`).
const COUNT_DELAY: Duration = Duration::from_secs(90);
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

/// Which letters to move, and how fast.
pub struct Redrive<'a, F: Fn(&DeadLetter) -> bool> {
    pub judge: &'a Judge,
    pub selects: F,
    /// How many letters can be selected at most. Letters are hidden no longer than moving so many needs.
    pub at_most: usize,
    /// Messages per second.
    pub rate: u32,
    /// Letters that were sent later stay. They include those that this redrive moved and that failed again; without this
    /// limit, the redrive of letters that cannot succeed would never end.
    pub started_at: Timestamp,
    /// Ends the redrive early, in order.
    pub is_interrupted: IsInterrupted<'a>,
}

/// The result for one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterResult {
    /// It stays in the dead-letter queue: it was not selected.
    LeftAlone,
    /// It stays in the dead-letter queue: it was sent after the start of the redrive.
    SentLater,
    /// It is in the queue, with this message id, and no longer in the dead-letter queue.
    Moved(String),
    /// It is in the queue, with this message id, but could not be deleted from the dead-letter queue. The copy is harmless.
    Copied(String),
}

/// How a redrive ended.
#[derive(Debug)]
pub struct RedriveEnd {
    pub reason: EndReason,
    /// About how many letters were not judged; `None` if the queue could not be asked. They are still in the dead-letter
    /// queue.
    pub not_judged: Option<usize>,
    /// How long letters that stay are hidden, if they could not be made visible again.
    pub hidden_for: Option<Duration>,
}

/// Why a redrive ended.
#[derive(Debug)]
pub enum EndReason {
    /// SQS returns no other letters. If some were not judged, they are in flight or behind others of their group.
    NoMore,
    /// So many letters stay that SQS returns no others until they are moved or deleted.
    TooManyStay,
    Interrupted,
    Failed(StackError),
}

impl<F: Fn(&DeadLetter) -> bool> Redrive<'_, F> {
    /// Judges the dead letters and moves the selected ones. `on_letter` is called for each letter of the requested ids.
    ///
    /// Each message is sent, then deleted. A crash in between leaves a copy. The copy is harmless: the condition on the
    /// write decides, as for every copy.
    pub async fn run(
        &self,
        queue: &impl DeadLetterQueue,
        mut on_letter: impl FnMut(DeadLetter, LetterResult),
    ) -> RedriveEnd {
        let mut held = HeldLetters::default();
        let mut stayed = 0;
        let hide = match count(queue).await {
            Ok(letters) => hidden_time(letters.min(self.at_most), self.rate),
            Err(error) => {
                return RedriveEnd {
                    reason: EndReason::Failed(error),
                    not_judged: None,
                    hidden_for: None,
                };
            }
        };
        let ended = self
            .redrive_held(queue, hide, &mut held, &mut stayed, &mut on_letter)
            .await;
        let (left, made_visible) = match ended {
            Ok(EndReason::NoMore) => (
                self.settled_count(queue, stayed).await,
                held.make_visible(queue).await,
            ),
            // At the same time: the program may be about to end.
            _ => future::join(count(queue), held.make_visible(queue)).await,
        };
        let not_judged = left.as_ref().ok().map(|left| left.saturating_sub(stayed));
        let hidden_for = made_visible.is_err().then_some(hide);
        let reason = match (ended, left.and(made_visible.map(|()| 0))) {
            (Err(error), _) | (Ok(_), Err(error)) => EndReason::Failed(error),
            (Ok(reason), Ok(_)) => reason,
        };
        RedriveEnd {
            reason,
            not_judged,
            hidden_for,
        }
    }

    async fn redrive_held(
        &self,
        queue: &impl DeadLetterQueue,
        hide: Duration,
        held: &mut HeldLetters,
        stayed: &mut usize,
        on_letter: &mut impl FnMut(DeadLetter, LetterResult),
    ) -> Result<EndReason, StackError> {
        let (receivers, moves) = if queue.is_fifo() {
            (1, 1)
        } else {
            (RECEIVERS, CONCURRENT_MOVES)
        };
        let mut pace = Pace::new(self.rate);
        while !(self.is_interrupted)() {
            if held.len() >= MAX_INSPECTED {
                return Ok(EndReason::TooManyStay);
            }
            let messages = held
                .receive_new(queue, hide, receivers, self.is_interrupted)
                .await?;
            if (self.is_interrupted)() {
                break;
            }
            if messages.is_empty() {
                return Ok(EndReason::NoMore);
            }
            let judged = messages.iter().map(|one| self.judge.judge(queue, one));
            let judged = future::try_join_all(judged).await?;
            let mut selected = Vec::new();
            for (message, letter) in messages.iter().zip(judged) {
                match letter.map(|letter| (self.decide(&letter), letter)) {
                    Some((None, letter)) => selected.push((message, letter)),
                    Some((Some(stays), letter)) => {
                        *stayed += 1;
                        on_letter(letter, stays);
                    }
                    // It belongs to another notification.
                    None => *stayed += 1,
                }
            }
            let has_failed = AtomicBool::new(false);
            let mut moved = self.move_all(queue, selected, moves, &mut pace, &has_failed);
            // An error does not cancel the moves in progress: their results must be known. No further one starts: on a FIFO
            // queue it would overtake.
            let mut failed = Ok(());
            while let Some(result) = moved.next().await {
                match result {
                    // It was not started, and becomes visible again at the end.
                    Ok(None) => {}
                    Ok(Some((letter, result))) => {
                        if matches!(result, LetterResult::Moved(_)) {
                            held.remove(&letter.message_id);
                        } else {
                            *stayed += 1;
                        }
                        on_letter(letter, result);
                    }
                    Err(error) => {
                        has_failed.store(true, Ordering::Relaxed);
                        failed = Err(error);
                    }
                }
            }
            failed?;
        }
        Ok(EndReason::Interrupted)
    }

    /// Counts the letters when SQS returns no others. Waits for a late count before it reports letters that were not judged.
    async fn settled_count(
        &self,
        queue: &impl DeadLetterQueue,
        stayed: usize,
    ) -> Result<usize, StackError> {
        let end = Instant::now() + COUNT_DELAY;
        loop {
            let left = count(queue).await?;
            if left <= stayed || Instant::now() >= end || (self.is_interrupted)() {
                return Ok(left);
            }
            sleep_until_interrupted(Instant::now() + COUNT_INTERVAL, self.is_interrupted).await;
        }
    }

    /// The result for a letter that stays; `None` for one to move.
    fn decide(&self, letter: &DeadLetter) -> Option<LetterResult> {
        if !(self.selects)(letter) {
            Some(LetterResult::LeftAlone)
        } else if letter.sent_at.is_some_and(|at| at > self.started_at) {
            Some(LetterResult::SentLater)
        } else {
            None
        }
    }

    /// Moves letters at the rate. After an interruption or a failure, no further move starts: the result of those that waited
    /// for their time is `None`.
    fn move_all<'s>(
        &'s self,
        queue: &'s impl DeadLetterQueue,
        letters: Vec<(&'s Message, DeadLetter)>,
        concurrency: usize,
        pace: &'s mut Pace,
        has_failed: &'s AtomicBool,
    ) -> impl futures::Stream<Item = Result<Option<(DeadLetter, LetterResult)>, StackError>> + Unpin + 's
    {
        let is_interrupted = self.is_interrupted;
        let is_stopped = move || is_interrupted() || has_failed.load(Ordering::Relaxed);
        let moves = stream::iter(letters)
            .take_while(move |_| future::ready(!is_stopped()))
            .map(move |(message, letter)| {
                let start = pace.reserve();
                async move {
                    sleep_until_interrupted(start, &is_stopped).await;
                    if is_stopped() {
                        return Ok(None);
                    }
                    let result = move_one(queue, message).await?;
                    Ok(Some((letter, result)))
                }
            })
            .buffer_unordered(concurrency);
        Box::pin(moves)
    }
}

/// About how many letters there are.
async fn count(queue: &impl DeadLetterQueue) -> Result<usize, StackError> {
    let depth = queue.depth().await?;
    Ok(depth.waiting + depth.hidden)
}

/// Sends the message to the queue, then deletes the dead letter.
async fn move_one(
    queue: &impl DeadLetterQueue,
    message: &Message,
) -> Result<LetterResult, StackError> {
    let new_id = queue.send_back(message).await?;
    let handle = message.receipt_handle().unwrap_or_default();
    Ok(match queue.delete(handle).await {
        Ok(()) => LetterResult::Moved(new_id),
        Err(_) => LetterResult::Copied(new_id),
    })
}

/// How long letters are hidden: twice as long as moving all of them takes at this rate. Those that stay must not become
/// visible before the end, because SQS would return them again in place of the others.
#[must_use]
pub fn hidden_time(letters: usize, rate: u32) -> Duration {
    let seconds = letters as u64 / u64::from(rate.max(1));
    Duration::from_secs(seconds.saturating_mul(2)).clamp(HIDDEN, MAX_HIDDEN)
}
