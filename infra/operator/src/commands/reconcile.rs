//! `onewrite reconcile`: scans the table for items that are stuck in INIT and re-publishes their events. It also finds
//! items whose failure left no record anywhere. On request, it re-publishes the events of settled items too.

mod checkpoint;
mod estimate;
mod segment;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use onewrite::notification::Status;
use onewrite_cost::prices::Prices;
use onewrite_stack::{
    pace::Pace,
    scan::{SelectedItem, read_table_size},
    stack::Stack,
    table::{self, RedriveResult},
};
use serde::Serialize;
use tokio::time::sleep_until;

use self::{
    checkpoint::{Checkpoint, Run},
    segment::{Page, Pages, ScanLimits},
};
use crate::{
    arguments::{DEFAULT_RATE, parse_time, rate_flag},
    confirmation::Confirmation,
    context::Context,
    error::OperatorError,
    format::shell_quote,
    progress,
    terminal::{JsonArray, Output, print},
};

/// The default number of segments. Our own choice.
const DEFAULT_SEGMENTS: u32 = 4;

/// The default read units per second. Our own choice: a sixth of the capacity of one partition (3,000, DynamoDB developer
/// guide, "Burst and adaptive capacity").
pub(crate) const DEFAULT_READ_UNITS: u32 = 500;

#[derive(Debug, Clone, Args)]
pub struct ReconcileArguments {
    /// Minimum time that an item has been in INIT: 90s, 15m, 1h, 2d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_age)]
    pending_older_than: SignedDuration,
    /// Also publish the events of items that were settled since this time: 2026-11-28 or 2026-11-28T10:00Z.
    ///
    /// For changes that the table's stream discarded after 24 hours. It cannot be known which of these events are missing,
    /// so all of them are published again.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Read this many segments of the table in parallel.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEGMENTS, value_parser = clap::value_parser!(u32).range(1..=256))]
    segments: u32,
    /// Limit the read units per second, on average.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_READ_UNITS, value_parser = clap::value_parser!(u32).range(1..))]
    read_units: u32,
    /// Limit the items of one page. A page is read at once, whatever --read-units is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page_items: Option<i32>,
    /// Save progress in this file after each page, and resume from it.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Limit the redrives per second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Parses a duration that is greater than zero.
fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    let age = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|error| error.to_string())?;
    if !age.is_positive() {
        return Err("must be greater than zero".to_owned());
    }
    match Timestamp::now().checked_sub(age) {
        Ok(_) => Ok(age),
        Err(_) => Err("reaches back before the first year that can be represented".to_owned()),
    }
}

/// An item whose event is published again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct PendingItem {
    id: String,
    status: &'static str,
    /// When the item was stored or settled.
    since: Timestamp,
    outcome: RedriveResult,
}

impl PendingItem {
    fn line(&self) -> String {
        let (result, id, since) = (self.outcome.text(), &self.id, self.since);
        let what = if self.status == Status::Init.as_str() {
            "stored"
        } else {
            "settled"
        };
        format!("{result:<18} {id}, {what} {since}\n")
    }
}

/// Scans the table, redrives the pending items if confirmed, and prints each item as soon as it is handled.
///
/// # Errors
/// [`OperatorError`]: a call failed. The items printed before it were handled; you can repeat the command.
pub async fn run(
    arguments: &ReconcileArguments,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    // Items are not kept: there can be millions.
    let mut array = JsonArray::default();
    let print_item = |item: &PendingItem| match context.output {
        Output::Table => print(&item.line()),
        Output::Json => print(&array.next(item)),
    };
    let reconciled = arguments.reconcile(&context.stack, print_item).await;
    if context.output == Output::Json && (reconciled.is_ok() || array.is_begun()) {
        print(&array.end());
    }
    let summary = arguments.summary(&reconciled?, &context.command);
    match context.output {
        Output::Table => print(&summary),
        Output::Json => eprint!("{summary}"),
    }
    Ok(ExitCode::SUCCESS)
}

impl ReconcileArguments {
    /// Returns the final checkpoint; its counts include the time before an interruption.
    async fn reconcile(
        &self,
        stack: &Stack,
        print_item: impl FnMut(&PendingItem),
    ) -> Result<Checkpoint, OperatorError> {
        let apply = self.confirmation.is_apply()?;
        let size = read_table_size(stack).await?;
        let run = Run {
            table: size.arn.clone(),
            segments: self.segments,
            pending_older_than_seconds: self.pending_older_than.as_secs(),
            settled_since: self.since,
            apply,
        };
        let mut checkpoint = self.load_checkpoint(run)?;
        let prices = Prices::built_in()?;
        eprintln!("{}", estimate::text(&size, self.read_units, &prices));
        if apply {
            let age = self.pending_older_than;
            let settled = self.since.map_or_else(String::new, |since| {
                format!(", and all items settled since {since}")
            });
            self.confirmation.ask(&format!(
                "Scan the table and redrive items that have been in INIT for {age:#}{settled}?"
            ))?;
        }
        let bar = progress::bar("items", Some(size.items));
        bar.inc(checkpoint.tally.read);
        self.scan(stack, &mut checkpoint, &bar, print_item).await?;
        bar.finish_and_clear();
        if let Some(path) = &self.checkpoint {
            Checkpoint::remove(path)?;
        }
        Ok(checkpoint)
    }

    /// Reads the checkpoint of an interrupted run, or creates a new one.
    fn load_checkpoint(&self, run: Run) -> Result<Checkpoint, OperatorError> {
        let saved = match &self.checkpoint {
            Some(path) => Checkpoint::read(path, &run)?,
            None => None,
        };
        let Some(checkpoint) = saved else {
            let age = self.pending_older_than;
            let created_before = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
            return Ok(Checkpoint::new(run, created_before));
        };
        let Checkpoint {
            created_before,
            tally,
            ..
        } = &checkpoint;
        eprintln!(
            "Resuming after {} items: {} were pending, {} were redriven. Items stored before {created_before} are included.",
            tally.read, tally.pending, tally.redriven
        );
        Ok(checkpoint)
    }

    async fn scan(
        &self,
        stack: &Stack,
        checkpoint: &mut Checkpoint,
        bar: &ProgressBar,
        mut print_item: impl FnMut(&PendingItem),
    ) -> Result<(), OperatorError> {
        let limits = ScanLimits {
            segments: self.segments,
            read_units_per_second: self.read_units,
            page_items: self.page_items,
        };
        let mut pages = Pages::start(stack, checkpoint, limits);
        let mut redrives = Pace::new(self.rate);
        while let Some(page) = pages.next().await {
            let Page {
                segment,
                items_read,
                selected,
                unreadable,
                progress,
            } = page?;
            for SelectedItem { id, state, .. } in selected {
                let outcome = if checkpoint.run.apply {
                    sleep_until(redrives.reserve()).await;
                    table::republish(stack, &id, state.status).await?
                } else {
                    RedriveResult::WouldBeRedriven
                };
                let item = PendingItem {
                    id,
                    status: state.status.as_str(),
                    since: state.updated_at,
                    outcome,
                };
                bar.suspend(|| print_item(&item));
                checkpoint.tally.pending += 1;
                checkpoint.tally.redriven += u64::from(outcome == RedriveResult::Redriven);
            }
            checkpoint.tally.read += items_read;
            checkpoint.tally.unreadable += unreadable;
            bar.inc(items_read);
            // After the redrives of the page, never before: after an interruption they are repeated, which is harmless, and
            // not skipped, which is not.
            checkpoint.segments.insert(segment, progress);
            if let Some(path) = &self.checkpoint {
                checkpoint.write(path)?;
            }
        }
        Ok(())
    }

    /// The summary at the end. After a preview, it contains the command that applies it.
    fn summary(&self, checkpoint: &Checkpoint, command: &str) -> String {
        let Checkpoint { run, tally, .. } = checkpoint;
        let mut found = format!(
            "{} of {} items have been in INIT for {:#} or longer",
            tally.pending, tally.read, self.pending_older_than
        );
        if let Some(since) = self.since {
            found += &format!(", or were settled since {since}");
        }
        if tally.unreadable > 0 {
            eprintln!(
                "warning: {} items cannot be read, because somebody edited them; they are left out",
                tally.unreadable
            );
        }
        if run.apply {
            return format!(
                "{found}; {} redriven. `{command} trace ID` shows the progress of one.\n",
                tally.redriven
            );
        }
        if tally.pending == 0 {
            return format!("{found}. Nothing to redrive.\n");
        }
        format!(
            "{found}; nothing was changed.\nNext: {command} reconcile{} --apply\n",
            self.flags()
        )
    }

    /// The options, with another checkpoint: a preview and an applied run cannot share one.
    fn flags(&self) -> String {
        let age = format!("{:#}", self.pending_older_than);
        let mut flags = format!(" --pending-older-than {}", shell_quote(&age));
        if let Some(since) = self.since {
            flags += &format!(" --since {since}");
        }
        let defaults = [
            ("--segments", self.segments, DEFAULT_SEGMENTS),
            ("--read-units", self.read_units, DEFAULT_READ_UNITS),
        ];
        for (flag, value, default) in defaults {
            if value != default {
                flags += &format!(" {flag} {value}");
            }
        }
        if let Some(items) = self.page_items {
            flags += &format!(" --page-items {items}");
        }
        if let Some(path) = &self.checkpoint {
            let path = shell_quote(&format!("{}.apply", path.display()));
            flags += &format!(" --checkpoint {path}");
        }
        flags + &rate_flag(self.rate).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: ReconcileArguments,
    }

    fn parse(arguments: &[&str]) -> Result<ReconcileArguments, clap::Error> {
        let arguments = std::iter::once(&"reconcile").chain(arguments);
        Command::try_parse_from(arguments).map(|command| command.arguments)
    }

    #[test]
    fn parses_durations_greater_than_zero() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h", 3_600),
            ("1h 30m", 5_400),
            ("2d", 172_800),
        ] {
            assert_eq!(parse_age(text).unwrap().as_secs(), seconds, "{text}");
        }
        for wrong in ["", "1", "-1h", "0s", "1 month", "soon", "5000000d"] {
            assert!(parse_age(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parse(&[]).unwrap().pending_older_than.as_secs(), 3_600);
        assert!(parse(&["--segments", "0"]).is_err());
    }

    fn checkpoint(arguments: &ReconcileArguments, apply: bool, pending: u64) -> Checkpoint {
        let run = Run {
            table: "t".to_owned(),
            segments: arguments.segments,
            pending_older_than_seconds: arguments.pending_older_than.as_secs(),
            settled_since: arguments.since,
            apply,
        };
        let mut checkpoint = Checkpoint::new(run, Timestamp::UNIX_EPOCH);
        checkpoint.tally.read = 9;
        checkpoint.tally.pending = pending;
        checkpoint.tally.redriven = if apply { pending } else { 0 };
        checkpoint
    }

    #[test]
    fn preview_ends_with_the_command_that_applies_it() {
        let plain = parse(&[]).unwrap();
        assert_eq!(
            plain.summary(&checkpoint(&plain, false, 2), "onewrite --stack x"),
            "2 of 9 items have been in INIT for 1h or longer; nothing was changed.\nNext: onewrite --stack x reconcile --pending-older-than 1h --apply\n"
        );
        assert_eq!(
            plain.summary(&checkpoint(&plain, false, 0), "onewrite"),
            "0 of 9 items have been in INIT for 1h or longer. Nothing to redrive.\n"
        );
        assert!(
            plain
                .summary(&checkpoint(&plain, true, 2), "onewrite")
                .contains("; 2 redriven. `onewrite trace ID`")
        );
        let full = [
            "--pending-older-than",
            "15m",
            "--since",
            "2026-11-28",
            "--segments",
            "2",
            "--rate",
            "7",
        ];
        let full = parse(&[&full[..], &["--checkpoint", "a b", "--page-items", "3"]].concat());
        assert_eq!(
            full.unwrap().flags(),
            " --pending-older-than 15m --since 2026-11-28T00:00:00Z --segments 2 --page-items 3 --checkpoint 'a b.apply' --rate 7"
        );
    }
}
