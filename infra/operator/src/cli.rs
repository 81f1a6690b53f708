//! The command line. Data goes to standard output, everything else to standard error.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use onewrite::notification::NotificationId;

use crate::{
    cost,
    doctor::{self, Deployed},
    error::{NOT_FOUND, OperatorError},
    look, redrive,
    stack::{Stack, Target},
    status,
    trace::Trace,
};

/// Where a notification is, what became of it, and how to have it come again. Looking changes nothing.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such notification, 4 credentials,
/// 6 findings of doctor.
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
    /// How the stack stands: queues, event source mappings, failure bucket.
    Status {
        /// Also counts the items by status, which reads the whole table: half a read unit for each 4 KB of it.
        #[arg(long)]
        count: bool,
    },
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
    /// Without --yes nothing is changed. It may be given again at any time: what is DONE is left alone, and consumers
    /// know a repeated event by its id.
    Failures {
        /// This notification alone; may be given several times.
        #[arg(long = "id", value_name = "ID", value_parser = id)]
        ids: Vec<NotificationId>,
        /// Most notifications a second.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

fn id(text: &str) -> Result<NotificationId, String> {
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
            Command::Status { count } => {
                let status = status::status(&stack, count).await?;
                print(&match self.output {
                    Output::Table => status.text(),
                    Output::Json => json(&status),
                });
                Ok(ExitCode::SUCCESS)
            }
            Command::Trace {
                id,
                skip_dead_letters,
            } => {
                let seen = look::look(&stack, id.as_str(), !skip_dead_letters).await?;
                let trace = Trace::of(&seen);
                print(&match self.output {
                    Output::Table => trace.text(),
                    Output::Json => json(&trace),
                });
                Ok(if trace.is_known() {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(NOT_FOUND)
                })
            }
            Command::Redrive(Redrive::Failures { ids, rate, yes }) => {
                let only: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
                let pause = Duration::from_secs(1) / rate;
                let redrives = redrive::failures(&stack, &only, yes, pause).await?;
                print(&match self.output {
                    Output::Table => redrive::text(&redrives, &only, yes),
                    Output::Json => json(&redrives),
                });
                let is_found = |id: &String| redrives.iter().any(|redrive| redrive.id == *id);
                Ok(match only.iter().find(|id| !is_found(id)) {
                    None => ExitCode::SUCCESS,
                    Some(id) => {
                        eprintln!("{id} is in no failure record");
                        ExitCode::from(NOT_FOUND)
                    }
                })
            }
        }
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
