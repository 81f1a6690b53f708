//! `cargo local demo`: sends messages through a pipeline, verifies the result, and prints a report.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::deployed_stack::DeployedStack;
use crate::error::{LocalError, Result};
use crate::oracle::{self, Counts, Report};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::sample::Sample;
use crate::settled::wait_until_settled;
use crate::stack::{Stack, StackOptions};
use crate::{inspect, messages};

mod page;

use page::FaultyRun;
pub use page::PageOptions;

/// The number of ids printed per shard. The rest is counted.
const IDS_SHOWN: usize = 4;

/// The number of violations printed. The rest is counted.
const VIOLATIONS_SHOWN: usize = 20;

/// Sends messages through a new stack, unless interrupted. With a `page`, its functions meet faults, and the page compares it with
/// the double write. Returns whether every guarantee was kept.
///
/// # Errors
/// The reason the run did not finish. A broken guarantee is not an error.
pub async fn run(
    options: StackOptions,
    messages: &[Sample],
    page: Option<PageOptions>,
    interrupted: impl Future<Output = ()>,
) -> Result<bool> {
    let progress = options.progress;
    tokio::pin!(interrupted);
    let (mut stack, faulty) = tokio::select! {
        started = start(options, page) => started?,
        () = &mut interrupted => return Err(LocalError::Interrupted),
    };
    let result = tokio::select! {
        result = run_messages(&mut stack, messages, progress) => result,
        () = &mut interrupted => Err(LocalError::Interrupted),
    };
    let logs = stack.directory().to_path_buf();
    let written = match (&result, &faulty) {
        (Ok(report), Some(faulty)) => faulty.write(&stack, messages, report).map(Some),
        _ => Ok(None),
    };
    let is_kept = match result {
        Ok(report) if report.violations.is_empty() => {
            stack.stop().await;
            print(&render(&report));
            Ok(true)
        }
        Ok(report) => {
            stack.end().await;
            print(&render(&report));
            print(&format!("See the logs of this run in {}\n", logs.display()));
            Ok(false)
        }
        Err(error) => {
            stack.end().await;
            Err(error)
        }
    }?;
    if let Some(path) = written? {
        print(&format!("Wrote {}\n", path.display()));
    }
    Ok(is_kept)
}

/// Starts a stack, and faults if there is a page about them.
async fn start(
    mut options: StackOptions,
    page: Option<PageOptions>,
) -> Result<(Stack, Option<FaultyRun>)> {
    let Some(page) = page else {
        return Ok((Stack::start(options).await?, None));
    };
    page.check(&options)?;
    options.event_sources = false;
    let mut stack = Stack::start(options).await?;
    let faulty = FaultyRun::start(&mut stack, page).await?;
    Ok((stack, Some(faulty)))
}

/// Sends messages through a deployed stack, unless interrupted. Returns whether every guarantee was kept.
///
/// # Errors
/// The reason the run did not finish. A broken guarantee is not an error.
pub async fn run_deployed(
    name: &str,
    settle_time: Duration,
    messages: &[Sample],
    progress: Progress,
    interrupted: impl Future<Output = ()>,
) -> Result<bool> {
    let run = async {
        let mut stack = DeployedStack::find(name, settle_time, messages, progress).await?;
        run_messages(&mut stack, messages, progress).await
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

/// Sends messages, waits until the pipeline has settled, and verifies its final state.
///
/// # Errors
/// A failed call, or the end of one of the pipeline's processes.
pub async fn run_messages(
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
    if !wait_until_settled(pipeline, sent.len(), progress).await? {
        tracing::warn!("the pipeline is stuck with work left");
    }
    let mut state = inspect::read_final_state(&clients, &outputs).await?;
    state.settlement = pipeline.settlement().await?;
    state
        .items
        .retain(|item| !pipeline.is_preexisting(&item.id));
    state
        .events
        .retain(|event| !pipeline.is_preexisting(&event.id));
    Ok(oracle::verify(&sent, &state))
}

fn print(text: &str) {
    // The reader may close the pipe. The exit code still has the result.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Formats the counts of a run, its shards, and the broken guarantees.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = format!(
        "{}\n{}\n",
        counts_table(&report.counts),
        shards_table(report)
    );
    if report.violations.is_empty() {
        text.push_str("Every guarantee was kept.\n");
        return text;
    }
    let _ = writeln!(text, "BROKEN: {} guarantees", report.violations.len());
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

fn counts_table(counts: &Counts) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["", "", "found in"]);
    let mut rows = vec![
        ("sent", counts.sent, "SQS's responses"),
        ("created", counts.created, "the table: items"),
        (
            "duplicates",
            counts.duplicates,
            "messages removed from the queue whose item already existed",
        ),
        (
            "conflicts",
            counts.conflicts,
            "the dead-letter queue: the id is stored with other content",
        ),
        (
            "rejected",
            counts.rejected,
            "the dead-letter queue: malformed",
        ),
        ("forwarded", counts.forwarded, "the stream: distinct events"),
        (
            "  repeated",
            counts.repeated,
            "the stream: records after the first of each event",
        ),
        ("done", counts.done, "the table: items in DONE"),
    ];
    if counts.refused > 0 {
        rows.push(("refused", counts.refused, "the table: items in REFUSED"));
    }
    let ledger = match counts.calls {
        Some(calls) => format!("the ledger of the target, which was called {calls} times"),
        None => "the ledger of the target".to_owned(),
    };
    if let Some(booked) = counts.booked {
        rows.push(("booked", booked, &ledger));
    }
    let dead_lettered = counts.dead_lettered;
    rows.push(("dead-lettered", dead_lettered, "the dead-letter queue"));
    for (name, count, source) in rows {
        table.add_row([name.to_owned(), count.to_string(), source.to_owned()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn shards_table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["shard", "ids", "examples"]);
    for (shard, ids) in &report.shards {
        let shown = ids
            .iter()
            .take(IDS_SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = ids.len().saturating_sub(IDS_SHOWN);
        let examples = if more > 0 {
            format!("{shown}, and {more} more")
        } else {
            shown
        };
        table.add_row([shard.clone(), ids.len().to_string(), examples]);
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
    fn names_the_first_ids_of_a_shard_and_counts_the_rest() {
        let text = render(&report(vec![]));
        assert!(text.contains("n0, n1, n2, n3, and 2 more"), "{text}");
        assert!(text.contains("Every guarantee was kept."), "{text}");
    }

    #[test]
    fn shows_the_ledger_and_refused_items_if_there_are_any() {
        let rows = |refused, booked| {
            let mut report = report(vec![]);
            report.counts.refused = refused;
            (report.counts.booked, report.counts.calls) = booked;
            render(&report)
        };
        let text = rows(2, (Some(4), Some(7)));
        let has_row = |name: &str, count: &str| {
            let mut lines = text.lines().filter(|line| line.contains(name));
            lines.any(|line| line.split('┆').any(|cell| cell.trim() == count))
        };
        assert!(has_row("refused", "2") && has_row("booked", "4"), "{text}");
        assert!(text.contains("called 7 times"), "{text}");
        let text = rows(0, (None, None));
        assert!(
            !text.contains("refused") && !text.contains("booked"),
            "{text}"
        );
    }

    #[test]
    fn names_the_first_violations_and_counts_the_rest() {
        let broken = vec![
            Violation::Lost {
                message_id: "m1".into()
            };
            VIOLATIONS_SHOWN + 3
        ];
        let text = render(&report(broken));
        assert!(
            text.contains("BROKEN: 23 guarantees") && text.contains("lost: message m1"),
            "{text}"
        );
        assert!(
            text.contains("and 3 more") && !text.contains("kept"),
            "{text}"
        );
    }
}
