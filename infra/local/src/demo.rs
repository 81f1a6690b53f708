//! `demo`: a pipeline of its own, messages through it, the oracle's verdict, and a table of what happened.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::deployed::DeployedStack;
use crate::error::{LocalError, Result};
use crate::oracle::{self, Counts, Report};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::quiet::until_quiet;
use crate::sample::Sample;
use crate::stack::{Stack, StackOptions};
use crate::{messages, survey};

/// Ids that a shard's row names; the rest is counted.
const IDS_SHOWN: usize = 4;

/// Violations that are printed; the rest is counted.
const VIOLATIONS_SHOWN: usize = 20;

/// Runs messages through a new stack, unless interrupted. True when no obligation was broken.
///
/// # Errors
/// Whatever kept the run from its end; never a broken obligation.
pub async fn run(
    options: StackOptions,
    messages: &[Sample],
    interrupted: impl Future<Output = ()>,
) -> Result<bool> {
    let progress = options.progress;
    tokio::pin!(interrupted);
    let mut stack = tokio::select! {
        stack = Stack::start(options) => stack?,
        () = &mut interrupted => return Err(LocalError::Interrupted),
    };
    let outcome = tokio::select! {
        outcome = observe(&mut stack, messages, progress) => outcome,
        () = &mut interrupted => Err(LocalError::Interrupted),
    };
    let logs = stack.directory().to_path_buf();
    match outcome {
        Ok(report) if report.violations.is_empty() => {
            stack.stop().await;
            print(&render(&report));
            Ok(true)
        }
        Ok(report) => {
            stack.end().await;
            print(&render(&report));
            print(&format!("The logs of this run are in {}\n", logs.display()));
            Ok(false)
        }
        Err(error) => {
            stack.end().await;
            Err(error)
        }
    }
}

/// Runs messages through a stack that is deployed, unless interrupted. True when no obligation was broken.
///
/// # Errors
/// Whatever kept the run from its end; never a broken obligation.
pub async fn run_deployed(
    name: &str,
    settle: Duration,
    messages: &[Sample],
    progress: Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<bool> {
    let run = async {
        let mut stack = DeployedStack::find(name, settle, messages, progress).await?;
        observe(&mut stack, messages, progress).await
    };
    tokio::select! {
        report = run => {
            let report = report?;
            print(&render(&report));
            Ok(report.violations.is_empty())
        }
        () = interrupted => Err(LocalError::Interrupted),
    }
}

/// Sends, waits until all is quiet, looks, and judges.
///
/// # Errors
/// A failed call, or the end of one of the pipeline's processes.
pub async fn observe(
    pipeline: &mut impl Pipeline,
    messages: &[Sample],
    progress: Progress,
) -> Result<Report> {
    let mut bar = progress.bar(messages.len() as u64);
    let (clients, outputs) = (pipeline.clients().clone(), pipeline.outputs().clone());
    let sent = messages::send(&clients, &outputs.queue_url, messages, |sent| {
        bar.at(sent as u64, "sent")
    })
    .await?;
    bar.finish();
    if !until_quiet(pipeline, sent.len(), progress).await? {
        tracing::warn!("the pipeline stands still with work left");
    }
    let mut found = survey::survey(&clients, &outputs).await?;
    found.items.retain(|item| !pipeline.is_of_others(&item.id));
    found
        .events
        .retain(|event| !pipeline.is_of_others(&event.id));
    Ok(oracle::judge(&sent, &found))
}

fn print(text: &str) {
    // A closed pipe is the reader's choice; the exit code still tells the verdict.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The table of a run, its shards, and the obligations that were broken.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = format!("{}\n{}\n", counts(&report.counts), shards(report));
    if report.violations.is_empty() {
        text.push_str("Every promise was kept.\n");
        return text;
    }
    let _ = writeln!(text, "BROKEN: {} obligations", report.violations.len());
    for violation in report.violations.iter().take(VIOLATIONS_SHOWN) {
        let _ = writeln!(text, "  {violation}");
    }
    if let Some(more) = report
        .violations
        .len()
        .checked_sub(VIOLATIONS_SHOWN)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

fn counts(counts: &Counts) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["", "", "found in"]);
    let rows = [
        ("sent", counts.sent, "the queue's answers"),
        ("created", counts.created, "the table: items"),
        (
            "duplicates",
            counts.duplicates,
            "taken from the queue, the item was there already",
        ),
        (
            "conflicts",
            counts.conflicts,
            "the dead-letter queue: another content is stored under the id",
        ),
        (
            "rejected",
            counts.rejected,
            "the dead-letter queue: malformed",
        ),
        (
            "forwarded",
            counts.forwarded,
            "the stream: events, each counted once",
        ),
        (
            "  repeated",
            counts.repeated,
            "the stream: records beyond the first of their event",
        ),
        ("done", counts.done, "the table: items in DONE"),
        (
            "dead-lettered",
            counts.dead_lettered,
            "the dead-letter queue",
        ),
    ];
    for (name, count, source) in rows {
        table.add_row([name.to_owned(), count.to_string(), source.to_owned()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn shards(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["shard", "ids", "which"]);
    for (shard, ids) in &report.shards {
        let shown = ids
            .iter()
            .take(IDS_SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = ids.len().saturating_sub(IDS_SHOWN);
        let which = if more > 0 {
            format!("{shown}, and {more} more")
        } else {
            shown
        };
        table.add_row([shard.clone(), ids.len().to_string(), which]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::oracle::Violation;

    fn report(violations: Vec<Violation>) -> Report {
        let ids = (0..6).map(|number| format!("n{number}")).collect();
        let counts = Counts {
            sent: 9,
            created: 6,
            ..Counts::default()
        };
        Report {
            counts,
            shards: BTreeMap::from([("shard-0".into(), ids)]),
            violations,
        }
    }

    #[test]
    fn a_shard_names_its_first_ids_and_counts_the_rest() {
        let text = render(&report(vec![]));
        assert!(text.contains("n0, n1, n2, n3, and 2 more"), "{text}");
        assert!(text.contains("Every promise was kept."), "{text}");
    }

    #[test]
    fn broken_obligations_are_named_and_bounded() {
        let broken = vec![
            Violation::Lost {
                message_id: "m1".into()
            };
            VIOLATIONS_SHOWN + 3
        ];
        let text = render(&report(broken));
        assert!(
            text.contains("BROKEN: 23 obligations") && text.contains("lost: message m1"),
            "{text}"
        );
        assert!(
            text.contains("and 3 more") && !text.contains("kept"),
            "{text}"
        );
    }
}
