//! Delays the next delivery of messages that failed for a transient reason, so that six receives outlast an outage.
//!
//! This changes when the queue delivers a message again, not what happened: the message is a batch item failure as before. If
//! a call fails, its messages keep the visibility timeout of the queue.
//!
//! Lambda does not undo the change. Its poller needs no permission to change the visibility of a message, and a message that
//! the response reports as failed stays in the queue until its visibility timeout ends (Lambda developer guide, "Configuring
//! an Amazon SQS queue" and "Handling errors for an SQS event source").

use futures::{StreamExt as _, stream};
use onewrite::{
    limits::{DEFERRAL_TIME, MAX_DEFERRAL_CALLS, MAX_VISIBILITY_ENTRIES},
    queue::{Deferral, DeferralResult, DelayedDelivery},
};
use onewrite_runtime::budget::Budget;

/// Defers messages and returns how many were deferred. It never fails, and it ends with the budget.
///
/// The number of concurrent calls does not depend on that of concurrent writes. A table that throttles is a reason to write
/// less at the same time, and then the most messages must be deferred.
pub(crate) async fn defer(
    queue: &impl DelayedDelivery,
    deferrals: &[Deferral],
    budget: Budget,
) -> usize {
    let budget = budget.at_most(DEFERRAL_TIME);
    stream::iter(deferrals.chunks(MAX_VISIBILITY_ENTRIES))
        .map(|chunk| defer_chunk(queue, chunk, budget))
        .buffer_unordered(MAX_DEFERRAL_CALLS)
        .fold(0, |sum, deferred| async move { sum + deferred })
        .await
}

async fn defer_chunk(queue: &impl DelayedDelivery, chunk: &[Deferral], budget: Budget) -> usize {
    let (mut deferred, mut reason) = (0, None);
    match tokio::time::timeout_at(budget.end(), queue.defer(chunk)).await {
        Ok(Ok(results)) => {
            for result in results {
                match result {
                    DeferralResult::Deferred => deferred += 1,
                    DeferralResult::Failed { code } => reason = Some(code),
                }
            }
        }
        Ok(Err(error)) => reason = Some(error.to_string()),
        Err(_elapsed) => reason = Some("the time for deferring was up".to_owned()),
    }
    if let Some(reason) = reason {
        tracing::warn!(
            messages = chunk.len() - deferred,
            reason,
            "not deferred, SQS delivers the messages again after the visibility timeout of the queue"
        );
    }
    deferred
}
