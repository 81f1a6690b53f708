//! The command line: parses the arguments and runs the command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use onewrite_stack::location::StackLocation;

use crate::{
    arguments::StackArguments,
    commands::{
        conform::ConformArguments,
        console::{self, ConsoleArguments},
        cost, doctor,
        erase::{self, EraseArguments},
        pause::{self, PauseArguments, Switch},
        reconcile::{self, ReconcileArguments},
        redrive::{self, RedriveCommand},
        status::{self, StatusArguments},
        trace::{self, TraceArguments},
        try_message::TryMessageArguments,
    },
    context::Context,
    error::OperatorError,
    find,
    terminal::Output,
};

/// Inspect notifications and redrive the ones that failed.
///
/// Commands that change something only preview the changes unless you pass --apply or --yes. --apply asks for confirmation;
/// --yes skips the question. Without a terminal and without --yes, --apply fails.
///
/// Exit codes: 0 success, 1 failure, 2 wrong usage, 3 no such notification, 4 credentials missing or not sufficient, 5 not
/// confirmed, 6 findings of doctor, 130 ended by Ctrl-C. `trace` has one for each place of a notification.
#[derive(Debug, Parser)]
#[command(name = "onewrite", version)]
pub struct Cli {
    #[command(flatten, next_help_heading = "Stack")]
    stack: StackArguments,
    /// Output format.
    #[arg(long, global = true, help_heading = "Output", value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show queue depths, event source mappings, failed batches and alarms.
    Status(StatusArguments),
    /// Show the history of one notification.
    ///
    /// Inspects the table, the stream, the failure bucket and the dead-letter queue. Messages that are still in the queue
    /// cannot be inspected.
    ///
    /// Dead letters are received to inspect them and then made visible again: each look counts as a receive of every dead
    /// letter. On a FIFO queue, only the first ten messages of each group can be inspected. With --skip-dead-letters, the
    /// command changes nothing at all.
    ///
    /// Exit codes: 0 Done, 3 Unknown (found nowhere), 10 Stored (not published yet), 11 Published (not settled), 12 Failed (given
    /// up), 13 DeadLettered (never stored), 14 Removed (by time to live or by hand), 15 Unreadable (edited by hand), 16
    /// Refused (by the downstream, for good).
    Trace(TraceArguments),
    /// Retry messages and events that failed.
    #[command(subcommand)]
    Redrive(RedriveCommand),
    /// Re-publish events for items stuck in INIT.
    ///
    /// Scans the table and updates each item that has been in INIT for too long, so that `forward` publishes its event
    /// again; with --since, also each item that was settled since then. Without --apply, nothing is changed. You can repeat
    /// the command at any time: consumers recognize a repeated event by its id.
    Reconcile(ReconcileArguments),
    /// Remove the payloads of settled notifications.
    ///
    /// Removes payload and enrichment of settled items. Id, type, status and fingerprint stay, so that the id is still
    /// written only once. Items in INIT are kept: their event still needs the payload. Lists the other places with
    /// copies, and when each is gone. Without --apply, nothing is changed.
    Erase(EraseArguments),
    /// Pause event sources: Lambda stops invoking the functions, and messages and records wait.
    ///
    /// Disables the event source mappings through the Lambda API and waits until they are Disabled. Without --apply, it
    /// shows how long what waits is safe, and changes nothing. A deployment that changes a property of a mapping resumes it,
    /// unless it sets EventSourcesEnabled to the value that the command prints; other deployments leave it paused.
    Pause(PauseArguments),
    /// Resume paused event sources, from where they stopped.
    ///
    /// Enables the event source mappings through the Lambda API and waits until they are Enabled. Without --apply, nothing
    /// is changed.
    Resume(PauseArguments),
    /// Check the deployed stack for misconfiguration and print fixes.
    ///
    /// Checks the stack as it runs, not its template. The exit code is 6 if something is broken, 1 if something could not
    /// be checked, and otherwise 0. Advice alone does not change the exit code.
    Doctor,
    /// Serve a page on this machine that shows the pipeline.
    ///
    /// Prints the address of the page, with the token that the page needs. The page shows the pipeline, the history of a
    /// notification, charts, and what needs attention: dead letters, items stuck in INIT, the failure bucket and refused
    /// notifications. Only this machine can open it. With --allow-changes, it redrives exactly the entries that you previewed.
    /// Otherwise, it changes no notification.
    ///
    /// For a stack on AWS, an open page costs about two cents an hour. It receives dead letters only when you list them, preview
    /// a redrive, or open a notification; this counts as a receive of each letter. Ctrl-C ends the console.
    Console(ConsoleArguments),
    /// Estimate the cost of notifications by service. Needs no AWS access.
    Cost(cost::Arguments),
    /// Show what ingest would do with a sample message. Needs no AWS access.
    ///
    /// Reads the body of an SQS message and prints id, type, size of the payload, fingerprint, event types and write units, or
    /// why the message is rejected, but never the payload. DONE is counted with `expires_at` and `settled_by`, and both writes
    /// without trace and enrichment. With a second body, it also prints whether both are the same notification: a retry of a sender should be.
    ///
    /// Exit codes: 0 accepted, 1 rejected or a conflict, 2 wrong usage or no readable file.
    TryMessage(TryMessageArguments),
    /// Play faults against your own consumer on the local stack, and show which promises it keeps.
    ///
    /// Plays duplicates, reordered events, crashes, a lost answer, an unavailable table, competing consumers, unreadable records
    /// and ids used again. Refuses AWS. Creates two tables and deletes them at the end; no other consumer works on them.
    ///
    /// The consumer gets a Lambda event of Kinesis on standard input and prints the response, {"batchItemFailures": [...]}, as
    /// the last line of standard output. Its effect is one write to the table LEDGER_TABLE_NAME, with the id of the notification
    /// as `entry_id`. It settles notifications in TABLE_NAME, and calls DynamoDB at AWS_ENDPOINT_URL, as the SDKs do by
    /// themselves. `docs/consumers.md` has an example.
    ///
    /// Exit codes: 0 all promises are kept, 1 one is broken, 2 the plays could not run: wrong usage, no local stack, or the
    /// consumer fails already without faults.
    Conform(ConformArguments),
}

impl Cli {
    /// The stack that the options select, or the local one if nothing selects a stack.
    fn location(&self) -> StackLocation {
        let location = StackLocation::from(&self.stack);
        let directory = std::env::current_dir().unwrap_or_default();
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match location.find_local(&directory, is_set) {
            Some(local) => {
                let endpoint = local.endpoint_url.as_deref().unwrap_or_default();
                // The first line of the console is its address, and the page names the stack.
                if !matches!(self.command, Command::Console(_)) {
                    eprintln!(
                        "Using the local stack at {endpoint}. For another one, set --profile or --region."
                    );
                }
                local
            }
            None => location,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// [`OperatorError`]: the command failed.
    pub async fn run(self) -> Result<ExitCode, OperatorError> {
        match &self.command {
            Command::Cost(arguments) => return arguments.run(self.output),
            Command::TryMessage(arguments) => return arguments.run(self.output),
            Command::Conform(arguments) => {
                return Box::pin(arguments.run(&self.location(), self.output)).await;
            }
            _ => {}
        }
        let context = Context {
            stack: find::find(&self.location()).await?,
            output: self.output,
            command: self.stack.command(),
        };
        match &self.command {
            Command::Cost(arguments) => arguments.run(self.output),
            Command::TryMessage(arguments) => arguments.run(self.output),
            Command::Conform(arguments) => arguments.run(&self.location(), self.output).await,
            Command::Doctor => Ok(doctor::run(&context).await),
            Command::Console(arguments) => Box::pin(console::run(arguments, &context)).await,
            Command::Status(arguments) => Box::pin(status::run(arguments, &context)).await,
            Command::Trace(arguments) => trace::run(arguments, &context).await,
            Command::Redrive(command) => redrive::run(command, &context).await,
            Command::Pause(arguments) => pause::run(arguments, Switch::Pause, &context).await,
            Command::Resume(arguments) => pause::run(arguments, Switch::Resume, &context).await,
            Command::Reconcile(arguments) => reconcile::run(arguments, &context).await,
            Command::Erase(arguments) => erase::run(arguments, &context).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn has_no_conflicting_arguments() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rejects_invalid_ids() {
        for wrong in ["", " outer space", "tab\tinside", &"x".repeat(257)] {
            assert!(Cli::try_parse_from(["onewrite", "trace", wrong]).is_err());
        }
        assert!(Cli::try_parse_from(["onewrite", "trace", "rf_8841"]).is_ok());
        assert!(Cli::try_parse_from(["onewrite", "trace", "INV 2026/0001"]).is_ok());
    }
}
