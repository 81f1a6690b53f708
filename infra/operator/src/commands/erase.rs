//! `onewrite erase`: removes payload and enrichment of settled items, and lists where else copies are.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use jiff::Timestamp;
use onewrite::notification::NotificationId;
use onewrite_stack::{
    pace::Pace,
    scan::{self, PageQuery, SelectedItem, Selection},
    stack::Stack,
    table::{self, EraseResult},
};
use serde::Serialize;
use tokio::time::sleep_until;

use crate::{
    arguments::{DEFAULT_RATE, parse_id, parse_time, rate_flag},
    confirmation::Confirmation,
    context::Context,
    error::{FAILED, NOT_FOUND, OperatorError},
    format::shell_quote,
    progress,
    terminal::{JsonArray, Output, json, print},
};

/// The default read units per second, as for `reconcile`.
const DEFAULT_READ_UNITS: u32 = 500;

#[derive(Debug, Clone, Args)]
#[group(id = "items", required = true, multiple = false, args = ["ids", "settled_before"])]
pub struct EraseArguments {
    /// Notifications to erase.
    #[arg(value_name = "ID", value_parser = parse_id)]
    ids: Vec<NotificationId>,
    /// Erase all notifications that were settled before this time: 2026-11-28 or 2026-11-28T10:00Z. Scans the table.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    settled_before: Option<Timestamp>,
    /// Limit the read units per second of the scan, on average.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_READ_UNITS, value_parser = clap::value_parser!(u32).range(1..))]
    read_units: u32,
    /// Limit the updates per second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The result for one notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Erasure {
    id: String,
    outcome: EraseResult,
}

impl Erasure {
    fn line(&self) -> String {
        format!("{:<18} {}\n", self.outcome.text(), self.id)
    }
}

/// The results of the command. Each is printed at once and only counted, so that memory does not grow with their number, and
/// so that they are known if a later call fails.
#[derive(Debug)]
struct Erasures {
    counts: BTreeMap<EraseResult, u64>,
    /// Settled items that the scan found, but that somebody edited. They are kept.
    unreadable: u64,
    output: Output,
    array: JsonArray,
}

impl Erasures {
    fn new(output: Output) -> Self {
        Self {
            counts: BTreeMap::new(),
            unreadable: 0,
            output,
            array: JsonArray::default(),
        }
    }

    fn count(&self, outcome: EraseResult) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or_default()
    }

    /// Counts a result and returns its text.
    fn add(&mut self, erasure: &Erasure) -> String {
        *self.counts.entry(erasure.outcome).or_default() += 1;
        match self.output {
            Output::Table => erasure.line(),
            Output::Json => self.array.next(erasure),
        }
    }
}

/// A place with a copy of a payload, and when the copy is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Copy {
    place: &'static str,
    until: String,
}

/// Erases the notifications if confirmed, and prints the result of each and the places with other copies.
///
/// # Errors
/// [`OperatorError`]: a call failed. The notifications before it were erased; you can repeat the command.
pub async fn run(arguments: &EraseArguments, context: &Context) -> Result<ExitCode, OperatorError> {
    let is_apply = arguments.confirmation.is_apply()?;
    if is_apply {
        arguments.confirmation.ask(&arguments.question())?;
    }
    let mut erasures = Erasures::new(context.output);
    if context.output == Output::Json {
        print("{\"erasures\": ");
    }
    let erased = arguments
        .erase(&context.stack, is_apply, &mut erasures)
        .await;
    let copies = copies(&context.stack);
    print(&match context.output {
        Output::Json => {
            let array = std::mem::take(&mut erasures.array).end();
            format!("{array}, \"copies\": {}}}\n", json(&copies).trim_end())
        }
        Output::Table if erased.is_err() => String::new(),
        Output::Table => arguments.summary(&erasures, &copies, is_apply, &context.command),
    });
    erased?;
    if erasures.unreadable > 0 {
        eprintln!(
            "{} settled items cannot be read, because somebody edited them; they are kept",
            erasures.unreadable
        );
    }
    Ok(exit_code(&erasures))
}

/// A notification that must be erased and was not makes the command fail.
fn exit_code(erasures: &Erasures) -> ExitCode {
    let has = |outcome| erasures.count(outcome) > 0;
    if erasures.unreadable > 0 || has(EraseResult::NotSettled) || has(EraseResult::Unreadable) {
        ExitCode::from(FAILED)
    } else if has(EraseResult::NoItem) {
        ExitCode::from(NOT_FOUND)
    } else {
        ExitCode::SUCCESS
    }
}

impl EraseArguments {
    fn question(&self) -> String {
        match self.settled_before {
            Some(before) => {
                format!("Erase the payloads of all notifications settled before {before}?")
            }
            None => format!("Erase the payloads of {} notifications?", self.ids.len()),
        }
    }

    /// Erases the notifications and prints each result.
    async fn erase(
        &self,
        stack: &Stack,
        is_apply: bool,
        erasures: &mut Erasures,
    ) -> Result<(), OperatorError> {
        if let Some(before) = self.settled_before {
            return self.erase_settled(stack, before, is_apply, erasures).await;
        }
        let mut updates = Pace::new(self.rate);
        for id in &self.ids {
            let id = id.to_string();
            let outcome = if is_apply {
                sleep_until(updates.reserve()).await;
                table::erase(stack, &id, Timestamp::now()).await?
            } else {
                table::preview_erase(stack, &id).await?
            };
            print(&erasures.add(&Erasure { id, outcome }));
        }
        Ok(())
    }

    /// Scans the table for settled notifications and erases them. A preview needs no other reads.
    async fn erase_settled(
        &self,
        stack: &Stack,
        before: Timestamp,
        is_apply: bool,
        erasures: &mut Erasures,
    ) -> Result<(), OperatorError> {
        let bar = progress::bar("items read:", None);
        let (mut reads, mut updates) = (Pace::new(self.read_units), Pace::new(self.rate));
        let mut after = None;
        loop {
            sleep_until(reads.free_at()).await;
            let query = PageQuery {
                segment: 0,
                segments: 1,
                selection: Selection::SettledBefore(before),
                limit: None,
                after,
            };
            let page = scan::read_page(stack, query).await?;
            reads.record_use(page.read_units);
            bar.inc(page.items_read);
            erasures.unreadable += page.unreadable;
            for SelectedItem { id, .. } in page.selected {
                let outcome = if is_apply {
                    sleep_until(updates.reserve()).await;
                    table::erase(stack, &id, Timestamp::now()).await?
                } else {
                    EraseResult::WouldBeErased
                };
                let text = erasures.add(&Erasure { id, outcome });
                bar.suspend(|| print(&text));
            }
            after = page.last_key;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The text below the results. A preview ends with the command that applies it.
    fn summary(
        &self,
        erasures: &Erasures,
        copies: &[Copy],
        is_apply: bool,
        command: &str,
    ) -> String {
        let mut lines = vec!["Other copies, which this command does not touch:".to_owned()];
        let copies = copies.iter();
        lines.extend(copies.map(|copy| format!("    {:<26} {}", copy.place, copy.until)));
        let waiting = erasures.count(EraseResult::WouldBeErased);
        if is_apply {
            lines.push(format!("{} erased.", erasures.count(EraseResult::Erased)));
        } else if waiting == 0 {
            lines.push("Nothing to erase.".to_owned());
        } else {
            lines.push(format!("{waiting} would be erased; nothing was changed."));
            lines.push(format!("Next: {command} erase{} --apply", self.flags()));
        }
        lines.join("\n") + "\n"
    }

    fn flags(&self) -> String {
        let mut flags = self
            .settled_before
            .map_or_else(String::new, |before| format!(" --settled-before {before}"));
        if self.read_units != DEFAULT_READ_UNITS {
            flags += &format!(" --read-units {}", self.read_units);
        }
        flags += &rate_flag(self.rate).unwrap_or_default();
        let ids = self.ids.iter();
        let ids: String = ids
            .map(|id| format!(" {}", shell_quote(id.as_str())))
            .collect();
        flags + &ids
    }
}

/// The places with other copies of a payload. The documentation has the sources.
fn copies(stack: &Stack) -> Vec<Copy> {
    let parameter = |name: &str| {
        let value = stack.parameters.get(name).map(String::as_str);
        format!("the parameter {name} ({})", value.unwrap_or("its default"))
    };
    let copy = |place, until: &str| Copy {
        place,
        until: until.to_owned(),
    };
    vec![
        copy(
            "the table's change stream",
            "24 hours after this erasure, whose old image has it",
        ),
        Copy {
            place: "the notification stream",
            until: format!("after {} hours", parameter("StreamRetentionHours")),
        },
        copy(
            "point-in-time recovery",
            "35 days after this erasure; your own backups until you delete them",
        ),
        copy(
            "the failure bucket",
            "if the event was given up: 365 days, or two days after you delete the object",
        ),
        copy(
            "queue and dead-letter queue",
            "14 days after the message was sent; `onewrite trace ID` finds dead letters",
        ),
        copy("consumers of the events", "yours to erase"),
        copy(
            "logs, metrics and traces",
            "none: they never contain payloads",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: EraseArguments,
    }

    fn parse(arguments: &[&str]) -> Result<EraseArguments, clap::Error> {
        let arguments = std::iter::once(&"erase").chain(arguments);
        Command::try_parse_from(arguments).map(|command| command.arguments)
    }

    fn erasure(outcome: EraseResult) -> Erasure {
        Erasure {
            id: "it's".to_owned(),
            outcome,
        }
    }

    #[test]
    fn needs_ids_or_a_time_but_not_both() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["a", "--settled-before", "2026-01-01"]).is_err());
        assert_eq!(parse(&["a", "b"]).unwrap().ids.len(), 2);
    }

    #[test]
    fn preview_lists_other_copies_and_the_command_that_applies_it() {
        let copies = [Copy {
            place: "the table's change stream",
            until: "24 hours".to_owned(),
        }];
        let text = |arguments: &[&str], outcome, is_apply| {
            let arguments = parse(arguments).unwrap();
            let mut erasures = Erasures::new(Output::Table);
            let line = erasures.add(&erasure(outcome));
            line + &arguments.summary(&erasures, &copies, is_apply, "onewrite")
        };
        assert_eq!(
            text(&["it's"], EraseResult::WouldBeErased, false),
            concat!(
                "would be erased    it's\n",
                "Other copies, which this command does not touch:\n",
                "    the table's change stream  24 hours\n",
                "1 would be erased; nothing was changed.\n",
                "Next: onewrite erase 'it'\\''s' --apply\n",
            )
        );
        let before = ["--settled-before", "2026-01-01", "--rate", "7"];
        let text_before = text(&before, EraseResult::WouldBeErased, false);
        assert!(
            text_before.ends_with("erase --settled-before 2026-01-01T00:00:00Z --rate 7 --apply\n"),
            "{text_before}"
        );
        let nothing = text(&["a"], EraseResult::AlreadyErased, false);
        assert!(nothing.ends_with("Nothing to erase.\n"), "{nothing}");
        assert!(text(&["a"], EraseResult::Erased, true).ends_with("1 erased.\n"));
    }

    #[test]
    fn fails_if_a_payload_is_kept() {
        for (outcome, code) in [
            (EraseResult::Erased, ExitCode::SUCCESS),
            (EraseResult::AlreadyErased, ExitCode::SUCCESS),
            (EraseResult::NotSettled, ExitCode::from(FAILED)),
            (EraseResult::Unreadable, ExitCode::from(FAILED)),
            (EraseResult::NoItem, ExitCode::from(NOT_FOUND)),
        ] {
            let erasures = |unreadable| {
                let mut erasures = Erasures::new(Output::Json);
                let text = erasures.add(&erasure(outcome));
                assert!(text.contains(r#"{"id":"it's","outcome":"#), "{text}");
                Erasures {
                    unreadable,
                    ..erasures
                }
            };
            assert_eq!(exit_code(&erasures(0)), code, "{outcome:?}");
            let failed = ExitCode::from(FAILED);
            assert_eq!(exit_code(&erasures(1)), failed, "{outcome:?}");
        }
    }
}
