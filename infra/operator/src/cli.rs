//! The command line. Data goes to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use onewrite::notification::NotificationId;

use crate::{
    cost,
    dlq::{self, DlqArgs},
    doctor::{self, Deployed},
    error::{NOT_FOUND, OperatorError},
    look,
    reconcile::{Pending, ReconcileArgs},
    redrive::{self, FailuresArgs},
    stack::{Stack, Target},
    status::{self, StatusArgs},
    trace::Trace,
};

/// Where a notification is, what became of it, and how to have it come again.
///
/// Looking changes nothing. A command that changes something is a dry run, which says last how to apply it: --apply does it
/// and asks on a terminal, --yes does it and asks nothing.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such notification, 4 credentials, 5 declined or nobody to ask, 6
/// findings of doctor.
#[derive(Debug, Parser)]
#[command(name = "onewrite", version)]
pub struct Cli {
    #[command(flatten)]
    target: Target,
    /// How the answer is written.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs: one JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How the stack stands: queues, event source mappings, failure bucket, alarms.
    Status(StatusArgs),
    /// The life of one notification: table, stream, failure bucket and dead-letter queue at once.
    ///
    /// Messages in the queue cannot be looked for. Dead letters are received to be read and put back at once; on a FIFO
    /// queue only the first ten of each group can be seen.
    Trace {
        /// The notification id.
        #[arg(value_name = "ID", value_parser = id)]
        id: NotificationId,
        /// Leave the dead-letter queue alone.
        #[arg(long)]
        skip_dead_letters: bool,
    },
    /// Has what did not go through come again.
    #[command(subcommand)]
    Redrive(Redrive),
    /// Has what stays in INIT for too long come again: scans the table, and touches each such item, so that its event is
    /// published again.
    ///
    /// Without --apply nothing is changed. It may be given again at any time: what is DONE is left alone, and consumers
    /// know a repeated event by its id.
    Reconcile(ReconcileArgs),
    /// What of the deployed stack would break a promise, and its repair.
    ///
    /// It looks at the stack as it runs, not at its template. Exit code 6 where something is broken, 1 where something
    /// could not be checked, 0 otherwise; advice alone is 0.
    Doctor,
    /// What notifications cost, by service. Needs no AWS access.
    Cost(cost::Arguments),
}

#[derive(Debug, Subcommand)]
enum Redrive {
    /// What the failure bucket holds and is not DONE: touches each item, so that its event is published again.
    ///
    /// Without --apply nothing is changed. It may be given again at any time: what is DONE is left alone, and consumers
    /// know a repeated event by its id.
    Failures(FailuresArgs),
    /// What is in the dead-letter queue: moves it back to the queue, once its cause is mended.
    ///
    /// Without --apply nothing is changed. What can never be accepted, and what conflicts with what is stored, is moved only
    /// where --id or --reason asks for it. A message is sent, then deleted: one that is interrupted may be in both queues,
    /// and a copy does no harm. It gets a new message id; body, attributes, trace and message group are kept.
    ///
    /// Dead letters are received to be read, and put back: one that is killed meanwhile leaves them hidden for five
    /// minutes. On a FIFO queue only the first ten of each group can be seen; give it again for those behind them.
    Dlq(DlqArgs),
}

pub(crate) fn id(text: &str) -> Result<NotificationId, String> {
    NotificationId::parse(text).map_err(|error| error.to_string())
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`OperatorError`]: there is no answer.
    pub async fn run(self) -> Result<ExitCode, OperatorError> {
        if let Command::Cost(arguments) = &self.command {
            return arguments.run(self.output);
        }
        let stack = Stack::find(&self.target).await?;
        match self.command {
            Command::Cost(arguments) => arguments.run(self.output),
            Command::Doctor => {
                let findings = Deployed::read(&stack).await.examine();
                print(&match self.output {
                    Output::Table => doctor::text(&findings),
                    Output::Json => json(&findings),
                });
                Ok(ExitCode::from(doctor::exit_code(&findings)))
            }
            Command::Status(args) => watch(&stack, &args, self.output).await,
            Command::Trace {
                id,
                skip_dead_letters,
            } => {
                let seen = look::look(&stack, id.as_str(), !skip_dead_letters).await?;
                let trace = Trace::of(&seen);
                print(&match self.output {
                    Output::Table => trace.text(&stack.command),
                    Output::Json => json(&trace),
                });
                Ok(if trace.is_known() {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(NOT_FOUND)
                })
            }
            Command::Redrive(Redrive::Failures(args)) => {
                let (applied, redrives) = args.run(&stack).await?;
                print(&match self.output {
                    Output::Table => redrive::text(&redrives, &args, applied, &stack.command),
                    Output::Json => json(&redrives),
                });
                let is_found = |id: &String| redrives.iter().any(|redrive| redrive.id == *id);
                Ok(match args.ids().iter().find(|id| !is_found(id)) {
                    None => ExitCode::SUCCESS,
                    Some(id) => {
                        eprintln!("{id} is in no failure record");
                        ExitCode::from(NOT_FOUND)
                    }
                })
            }
            Command::Redrive(Redrive::Dlq(args)) => {
                let output = self.output;
                let show = |plan: &[dlq::Redriven]| {
                    if output == Output::Table {
                        print(&plan.iter().map(dlq::line).collect::<String>());
                    }
                };
                let answer = args.run(&stack, show).await?;
                print(&match output {
                    Output::Table => args.text(&answer, &stack.command),
                    Output::Json => json(&answer.letters),
                });
                if let Some(error) = answer.error {
                    return Err(error);
                }
                Ok(match args.missing(&answer.letters) {
                    None => ExitCode::SUCCESS,
                    Some(id) => {
                        eprintln!("{id} is in no dead letter");
                        ExitCode::from(NOT_FOUND)
                    }
                })
            }
            Command::Reconcile(args) => {
                let output = self.output;
                let tell = |pending: &Pending| {
                    if output == Output::Table {
                        print(&pending.text());
                    }
                };
                let reconciled = args.run(&stack, tell).await?;
                let said = args.text(&reconciled, &stack.command);
                match output {
                    Output::Table => print(&said),
                    Output::Json => {
                        eprint!("{said}");
                        print(&json(&reconciled.pending));
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Looks once, or again and again. On a terminal each look takes the place of the last one; elsewhere they follow each
/// other.
async fn watch(
    stack: &Stack,
    args: &StatusArgs,
    output: Output,
) -> Result<ExitCode, OperatorError> {
    let is_drawn = std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    loop {
        let status = status::status(stack, args.count).await;
        let status = match (status, args.pause()) {
            (Ok(status), _) => status,
            // A call that failed may succeed the next time; what is not allowed stays so.
            (Err(error @ OperatorError::Aws { .. }), Some(pause)) => {
                eprintln!("error: {error}");
                tokio::time::sleep(pause).await;
                continue;
            }
            (Err(error), _) => return Err(error),
        };
        match (output, args.pause()) {
            (Output::Table, None) => print(&status.text()),
            (Output::Json, None) => print(&json(&status)),
            (Output::Json, Some(_)) => {
                print(&(serde_json::to_string(&status).unwrap_or_default() + "\n"));
            }
            (Output::Table, Some(_)) => {
                // Clears the screen and goes to its first place (ECMA-48: ED, CUP).
                let clear = if is_drawn { "\x1b[2J\x1b[H" } else { "" };
                print(&format!("{clear}{}\n{}\n", status.looked_at, status.text()));
            }
        }
        let Some(pause) = args.pause() else {
            return Ok(ExitCode::SUCCESS);
        };
        tokio::time::sleep(pause).await;
    }
}

pub(crate) fn json(answer: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(answer).unwrap_or_default() + "\n"
}

pub(crate) fn print(text: &str) {
    // A closed pipe is the reader's choice.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for wrong in ["", "two words", &"x".repeat(257)] {
            assert!(Cli::try_parse_from(["onewrite", "trace", wrong]).is_err());
        }
        assert!(Cli::try_parse_from(["onewrite", "trace", "rf_8841"]).is_ok());
    }
}
