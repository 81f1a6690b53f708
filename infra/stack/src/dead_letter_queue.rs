//! The dead-letter queue: lists its messages with the reason for each, and moves them back to the queue.
//!
//! SQS cannot show a message without receiving it. So each message is received, inspected, and made visible again at the
//! end. Its receive count rises. That has no effect: the dead-letter queue has no redrive policy, so no count is too high.
//!
//! - [`port`]: the calls that the rules need
//! - [`judge`]: why a message is a dead letter
//! - [`inspect`]: looks at the first messages
//! - [`redrive`]: judges each message and moves the selected ones
//! - [`interrupt`]: ends an inspection or a redrive early
//! - [`sqs`], [`memory`]: the port on SQS, and its model in memory
//!
//! Moving the whole queue without judging its messages is the module [`crate::move_task`].

mod held;
pub mod inspect;
pub mod interrupt;
pub mod judge;
pub mod memory;
pub mod port;
pub mod redrive;
pub mod sqs;

use std::collections::BTreeSet;

use crate::{error::StackError, stack::Stack};

#[cfg(test)]
mod tests;

/// Inspects the dead letters of `ids`, at most `limit` letters. If `ids` is empty, of all notifications.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn inspect_ids(
    stack: &Stack,
    ids: BTreeSet<String>,
    limit: usize,
    is_interrupted: interrupt::IsInterrupted<'_>,
) -> Result<inspect::Inspection, StackError> {
    let judge = judge::Judge {
        rules: stack.message_rules().await?,
        ids,
    };
    inspect::inspect(stack, &judge, limit, is_interrupted, |_| {}).await
}
