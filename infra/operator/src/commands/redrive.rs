//! `onewrite redrive`: retries messages and events that failed.

pub mod dlq;
pub mod failures;

use std::process::ExitCode;

use clap::Subcommand;

use self::{dlq::DlqArguments, failures::FailuresArguments};
use crate::{context::Context, error::OperatorError};

#[derive(Debug, Clone, Subcommand)]
pub enum RedriveCommand {
    /// Re-publish events in the failure bucket that are still missing.
    ///
    /// These are the events of items in INIT, and events of DONE or REFUSED that forward gave up. Without --apply, nothing is
    /// changed. You can repeat the command at any time: consumers recognize a repeated event by its id. The exit code is 1
    /// if an object in the bucket cannot be read, and 3 if no object contains a notification that --id names.
    Failures(FailuresArguments),
    /// Move dead letters back to the queue.
    ///
    /// Fix the cause first. Without --apply, nothing is moved. Messages that are invalid or conflict with a stored item
    /// are moved only with --id or --reason. A message is sent, then deleted: after an interruption it may be in both
    /// queues, which is harmless. It gets a new message id and keeps its body, attributes, trace header and message group.
    ///
    /// SQS cannot show a message without receiving it. So a preview receives each message, which raises its receive count
    /// and hides it until the preview ends; if the command is killed, for five minutes. The redrive of a large queue hides
    /// them for twice the time that it needs. On a FIFO queue, only the first ten messages of each group can be inspected.
    /// The command says if it did not judge all messages.
    ///
    /// With --all, SQS itself moves all messages, whatever the reason for each, up to 500 a second.
    /// Ctrl-C cancels it.
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
