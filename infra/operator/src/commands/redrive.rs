//! `onewrite redrive`: retries messages and events that failed.

pub mod dlq;
pub mod failures;

use std::process::ExitCode;

use clap::Subcommand;

use self::{dlq::DlqArguments, failures::FailuresArguments};
use crate::{context::Context, error::OperatorError};

#[derive(Debug, Clone, Subcommand)]
pub enum RedriveCommand {
    /// Re-publish events in the failure bucket whose items are not DONE.
    ///
    /// Without --apply, nothing is changed. You can repeat the command at any time: DONE items are skipped, and consumers
    /// recognize a repeated event by its id.
    Failures(FailuresArguments),
    /// Move dead letters back to the queue.
    ///
    /// Fix the cause first. Without --apply, nothing is changed. Messages that are invalid or conflict with a stored item
    /// are moved only with --id or --reason. A message is sent, then deleted: after an interruption it may be in both
    /// queues, which is harmless. It gets a new message id and keeps its body, attributes, trace header and message group.
    ///
    /// Dead letters are received to inspect them and then made visible again; if the command is killed, they stay hidden
    /// for five minutes. On a FIFO queue, only the first ten messages of each group can be inspected; repeat the command
    /// for the others.
    Dlq(DlqArguments),
}

/// # Errors
/// [`OperatorError`]: the redrive failed.
pub async fn run(command: &RedriveCommand, context: &Context) -> Result<ExitCode, OperatorError> {
    match command {
        RedriveCommand::Failures(arguments) => failures::run(arguments, context).await,
        RedriveCommand::Dlq(arguments) => dlq::run(arguments, context).await,
    }
}
