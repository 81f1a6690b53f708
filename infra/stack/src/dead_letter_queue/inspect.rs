//! Looks at dead letters and leaves them in the queue.

use std::time::Duration;

use futures::future;
use tokio::time::Instant;

use super::{
    held::HeldLetters,
    interrupt::IsInterrupted,
    judge::Judge,
    port::{DeadLetterQueue, MAX_IN_FLIGHT},
};
use crate::{dead_letter::DeadLetter, error::StackError};

/// The most messages that one inspection can hide. Other consumers may have messages in flight too.
pub const MAX_INSPECTED: usize = MAX_IN_FLIGHT - 20_000;

/// How long dead letters are hidden while they are inspected. They are made visible at the end; this limit matters if the
/// tool is killed.
pub const HIDDEN: Duration = Duration::from_secs(300);

/// An inspection ends after this time: the messages that it received first must not become visible meanwhile, because SQS
/// would return them again in place of the others.
const MAX_DURATION: Duration = Duration::from_secs(240);

/// The result of an inspection.
#[derive(Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The dead letters of the requested ids.
    pub letters: Vec<DeadLetter>,
    /// How many messages were received, also of other ids.
    pub inspected: usize,
    /// About how many messages were not received: the inspection reached its limit or was interrupted, or they are in flight,
    /// or they are behind inspected messages of their group.
    pub not_inspected: usize,
}

/// Inspects up to `limit` dead letters. Bodies are not kept. `on_progress` is called with the number of messages of each
/// receive.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn inspect(
    queue: &impl DeadLetterQueue,
    judge: &Judge,
    limit: usize,
    is_interrupted: IsInterrupted<'_>,
    on_progress: impl Fn(u64),
) -> Result<Inspection, StackError> {
    let mut held = HeldLetters::default();
    let inspected = inspect_held(queue, judge, limit, &mut held, is_interrupted, on_progress).await;
    let made_visible = held.make_visible(queue).await;
    let inspection = inspected?;
    made_visible?;
    Ok(inspection)
}

async fn inspect_held(
    queue: &impl DeadLetterQueue,
    judge: &Judge,
    limit: usize,
    held: &mut HeldLetters,
    is_interrupted: IsInterrupted<'_>,
    on_progress: impl Fn(u64),
) -> Result<Inspection, StackError> {
    let end = Instant::now() + MAX_DURATION;
    let limit = limit.min(MAX_INSPECTED);
    let mut letters = Vec::new();
    while held.len() < limit && Instant::now() < end && !is_interrupted() {
        let messages = held.receive_new(queue, HIDDEN, 1, is_interrupted).await?;
        if messages.is_empty() {
            break;
        }
        on_progress(messages.len() as u64);
        let judged = messages.iter().map(|message| judge.judge(queue, message));
        letters.extend(future::try_join_all(judged).await?.into_iter().flatten());
    }
    let depth = queue.depth().await?;
    Ok(Inspection {
        letters,
        inspected: held.len(),
        not_inspected: (depth.waiting + depth.hidden).saturating_sub(held.len()),
    })
}
