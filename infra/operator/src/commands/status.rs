//! `onewrite status`: shows queue depths, event source mappings, failed batches, alarms and, on request, item counts.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use clap::Args;
use jiff::Timestamp;
use onewrite_stack::{
    alarms::{self, Alarm},
    error::StackError,
    failure_bucket,
    function_errors::{self, ErrorKind, ErrorSearch, FunctionErrors},
    mappings::{self, Mapping},
    metrics::{self, CONTRADICTED, RecentCount},
    queue::{self, QueueDepth},
    scan::{self, ItemCounts, PendingItems},
    stack::Stack,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    context::Context,
    error::OperatorError,
    format::duration,
    terminal::{Color, Output, is_capable, json, json_line, paint, print, redraw},
};

/// The result that Lambda reports for a mapping that has read nothing.
const NO_RECORDS: &str = "No records processed";

/// The part of the logs that is searched for errors, and how long. Our own choice: a busy log is searched as far back as these
/// seconds allow, and `--watch` repeats it.
const ERRORS_SINCE: Duration = Duration::from_secs(3_600);
const ERRORS_LIMIT: Duration = Duration::from_secs(5);

/// The kinds of errors of each function in the text. JSON has all.
const SHOWN_KINDS: usize = 3;

#[derive(Debug, Clone, Args)]
pub struct StatusArguments {
    /// Count items by status. Reads the whole table: half a read unit for each 4 KB.
    #[arg(long)]
    count: bool,
    /// Repeat every SECONDS until interrupted. With JSON output, print one document a line.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "5",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    watch: Option<u64>,
}

/// The status of a stack. SQS counts are approximate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StackStatus {
    queue: QueueDepth,
    dead_letters: QueueDepth,
    /// The number of objects in the failure bucket.
    failures: usize,
    /// The event source mappings by function.
    mappings: BTreeMap<&'static str, Vec<Mapping>>,
    /// The items in INIT, if no downstream is configured. Only a consumer of the user settles them.
    pending_without_downstream: Option<PendingItems>,
    /// What failed in the last quarter of an hour; `None` if the metrics could not be read, or if there are none, as in a
    /// local stack.
    recent_failures: Option<Vec<RecentCount>>,
    /// Notifications that the downstream refused in the last quarter of an hour, and its decisions that differ from the stored
    /// ones.
    recent_refusals: Option<Vec<RecentCount>>,
    /// The errors that the functions logged in the last hour.
    errors: Vec<FunctionErrors>,
    /// The alarms in state ALARM.
    alarms: Vec<Alarm>,
    /// The item counts, if requested.
    items: Option<ItemCounts>,
    looked_at: Timestamp,
    /// Whether the stack runs in an emulator, whose mappings have no last result.
    #[serde(skip)]
    is_local: bool,
}

/// Prints the status once or, with `--watch`, repeatedly. On a terminal, each status replaces the one before.
///
/// # Errors
/// [`OperatorError`]: a call failed.
pub async fn run(
    arguments: &StatusArguments,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    let Some(seconds) = arguments.watch else {
        let status = StackStatus::read(&context.stack, arguments.count).await?;
        print(&match context.output {
            Output::Table => status.text(),
            Output::Json => json(&status),
        });
        return Ok(ExitCode::SUCCESS);
    };
    loop {
        match StackStatus::read(&context.stack, arguments.count).await {
            Ok(status) => print(&match context.output {
                Output::Table => screen(&status),
                Output::Json => json_line(&status),
            }),
            // A failed call may succeed the next time; a call that is not allowed will not.
            Err(error @ (StackError::Call { .. } | StackError::NoConnection { .. })) => {
                eprintln!("error: {error}");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// The status as the next screen of `--watch`, or as a paragraph if there is no screen.
fn screen(status: &StackStatus) -> String {
    let text = format!("{}\n{}\n", status.looked_at, status.text());
    if is_capable() { redraw(&text) } else { text }
}

/// What to read beyond the queues, the mappings, the failure bucket and the alarms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StatusScope {
    /// Count the items by status. Reads the whole table.
    pub items: bool,
    /// Without a downstream, count the items in INIT. Reads at most 4 MB of the table.
    pub pending: bool,
    /// Search the logs for errors.
    pub errors: bool,
    /// Read what failed lately from the metrics.
    pub recent: bool,
}

/// The parts of a status, each as it was read. `onewrite status` fails if one of them cannot be read; the console shows the
/// others.
#[derive(Debug)]
pub(crate) struct StatusParts {
    pub queue: Result<QueueDepth, StackError>,
    pub dead_letters: Result<QueueDepth, StackError>,
    pub failures: Result<usize, StackError>,
    /// By function: `ingest`, `forward` and `complete`.
    pub mappings: Result<BTreeMap<&'static str, Vec<Mapping>>, StackError>,
    pub pending_without_downstream: Result<Option<PendingItems>, StackError>,
    /// `None` in a local stack, or if it was not read. A role that may not read metrics still gets the rest.
    pub recent: Option<Result<Vec<RecentCount>, StackError>>,
    pub errors: Vec<FunctionErrors>,
    pub alarms: Result<Vec<Alarm>, StackError>,
    pub items: Result<Option<ItemCounts>, StackError>,
    pub is_local: bool,
    pub looked_at: Timestamp,
}

impl StatusParts {
    /// Reads all parts at the same time.
    pub(crate) async fn read(stack: &Stack, scope: StatusScope) -> Self {
        let outputs = &stack.outputs;
        let now = Timestamp::now();
        let (queue, dead_letters, objects, mappings) = tokio::join!(
            queue::read_depth(stack, &outputs.queue_url),
            queue::read_depth(stack, &outputs.dead_letter_queue_url),
            failure_bucket::list_objects(stack),
            read_mappings(stack),
        );
        let (pending_without_downstream, recent, errors, alarms, items) = tokio::join!(
            read_pending(stack, scope.pending),
            read_recent(stack, now, scope.recent),
            read_errors(stack, now, scope.errors),
            alarms::list_firing(stack),
            read_items(stack, scope.items),
        );
        Self {
            queue,
            dead_letters,
            failures: objects.map(|objects| objects.len()),
            mappings,
            pending_without_downstream,
            recent,
            errors,
            alarms,
            items,
            is_local: stack.is_local,
            looked_at: Timestamp::now(),
        }
    }

    /// The status, or the first error.
    pub(crate) fn into_status(self) -> Result<StackStatus, StackError> {
        let recent = self.recent.and_then(Result::ok);
        let (recent_failures, recent_refusals) = recent
            .map(|counts| counts.into_iter().partition(RecentCount::is_failure))
            .unzip();
        Ok(StackStatus {
            queue: self.queue?,
            dead_letters: self.dead_letters?,
            failures: self.failures?,
            is_local: self.is_local,
            mappings: self.mappings?,
            pending_without_downstream: self.pending_without_downstream?,
            recent_failures,
            recent_refusals,
            errors: self.errors,
            alarms: self.alarms?,
            items: self.items?,
            looked_at: self.looked_at,
        })
    }
}

async fn read_mappings(stack: &Stack) -> Result<BTreeMap<&'static str, Vec<Mapping>>, StackError> {
    let outputs = &stack.outputs;
    let mut mappings = BTreeMap::new();
    for (name, function) in [
        ("ingest", &outputs.ingest),
        ("forward", &outputs.forward),
        ("complete", &outputs.complete),
    ] {
        mappings.insert(name, mappings::list(stack, function).await?);
    }
    Ok(mappings)
}

pub(crate) async fn read_pending(
    stack: &Stack,
    is_wanted: bool,
) -> Result<Option<PendingItems>, StackError> {
    if stack.has_downstream() || !is_wanted {
        return Ok(None);
    }
    scan::estimate_pending(stack).await.map(Some)
}

pub(crate) async fn read_recent(
    stack: &Stack,
    now: Timestamp,
    is_wanted: bool,
) -> Option<Result<Vec<RecentCount>, StackError>> {
    if stack.is_local || !is_wanted {
        return None;
    }
    Some(metrics::read_recent_counts(stack, now).await)
}

pub(crate) async fn read_errors(
    stack: &Stack,
    now: Timestamp,
    is_wanted: bool,
) -> Vec<FunctionErrors> {
    if !is_wanted {
        return Vec::new();
    }
    let search = ErrorSearch {
        since: now.checked_sub(ERRORS_SINCE).unwrap_or(now),
        now,
        deadline: Instant::now() + ERRORS_LIMIT,
        id: None,
    };
    function_errors::read_all(stack, search).await
}

pub(crate) async fn read_items(
    stack: &Stack,
    is_wanted: bool,
) -> Result<Option<ItemCounts>, StackError> {
    if !is_wanted {
        return Ok(None);
    }
    scan::count_items(stack).await.map(Some)
}

impl StackStatus {
    async fn read(stack: &Stack, count: bool) -> Result<Self, StackError> {
        let scope = StatusScope {
            items: count,
            pending: true,
            errors: true,
            recent: true,
        };
        StatusParts::read(stack, scope).await.into_status()
    }

    /// The mappings of a function.
    fn mapping_texts(&self, function: &str) -> Vec<String> {
        let mappings = self.mappings.get(function).map_or(&[][..], Vec::as_slice);
        let pending = self.pending_without_downstream.as_ref();
        let pending = pending.filter(|_| function == "complete");
        mapping_texts(mappings, pending, self.is_local, self.looked_at)
    }

    /// The status as text, in the order in which messages flow.
    fn text(&self) -> String {
        let mut rows = vec![
            ("queue".to_owned(), depth_text(self.queue)),
            ("dead letters".to_owned(), depth_text(self.dead_letters)),
        ];
        for function in ["ingest", "forward", "complete"] {
            let texts = self.mapping_texts(function).into_iter();
            rows.extend(texts.map(|text| (function.to_owned(), text)));
        }
        for failures in self.recent_failures.iter().flatten() {
            rows.push(("failing".to_owned(), count_text(failures)));
        }
        for count in self.recent_refusals.iter().flatten() {
            rows.push((count.metric.to_lowercase(), count_text(count)));
        }
        rows.extend(error_rows(&self.errors));
        let failures = format!("{} objects", self.failures);
        rows.push(("failure bucket".to_owned(), failures));
        if self.alarms.is_empty() {
            rows.push(("alarms".to_owned(), "none in ALARM".to_owned()));
        }
        rows.extend(
            self.alarms
                .iter()
                .map(|one| ("ALARM".to_owned(), alarm_text(one))),
        );
        if let Some(items) = &self.items {
            for (status, count) in &items.by_status {
                rows.push((status.clone(), format!("{count} items")));
            }
            for (name, count) in &items.settled_by {
                rows.push(("settled by".to_owned(), format!("{name}: {count} items")));
            }
            if items.settled_by_unknown > 0 {
                let text = format!("(no name): {} items", items.settled_by_unknown);
                rows.push(("settled by".to_owned(), text));
            }
            if let Some(oldest) = items.oldest_pending {
                rows.push(("oldest INIT".to_owned(), age(oldest, self.looked_at)));
            }
        }
        let line = |(name, text): (String, String)| {
            // The escape codes of a colour must not count as characters.
            let padded = format!("{name:<15}");
            let is_alarm = matches!(name.as_str(), "ALARM" | "failing" | "error")
                || text.contains("PROBLEM")
                || name == CONTRADICTED.to_lowercase();
            let name = if is_alarm {
                paint(&padded, Color::Red)
            } else {
                padded
            };
            format!("{name} {text}\n")
        };
        rows.into_iter().map(line).collect()
    }
}

/// The mappings of a function as texts. `pending` are the items that no downstream settles.
pub(crate) fn mapping_texts(
    mappings: &[Mapping],
    pending: Option<&PendingItems>,
    is_local: bool,
    now: Timestamp,
) -> Vec<String> {
    let mut texts = Vec::new();
    match pending {
        Some(pending) => texts.push(format!("no downstream configured: {}", pending.text())),
        None if mappings.is_empty() => texts.push("no event source mapping".to_owned()),
        None => {}
    }
    texts.extend(mappings.iter().map(|one| {
        if is_local {
            one.state.clone()
        } else {
            mapping_text(one, now)
        }
    }));
    texts
}

fn age(since: Timestamp, now: Timestamp) -> String {
    duration(now.as_millisecond() - since.as_millisecond())
}

pub(crate) fn depth_text(depth: QueueDepth) -> String {
    format!("~{} waiting, ~{} in flight", depth.waiting, depth.hidden)
}

pub(crate) fn count_text(recent: &RecentCount) -> String {
    let RecentCount {
        function,
        count,
        last,
        ..
    } = recent;
    format!("{function}: {count} in 15 minutes, last at {last}")
}

/// The errors of the functions, and what was not read of their logs.
fn error_rows(errors: &[FunctionErrors]) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for one in errors {
        let function = one.function;
        let mut add =
            |name: &str, text: String| rows.push((name.to_owned(), format!("{function}: {text}")));
        if let Some(reason) = &one.not_read {
            add("errors", format!("log not read: {reason}"));
        }
        for ErrorKind { count, last } in one.kinds.iter().take(SHOWN_KINDS) {
            add(
                "error",
                format!(
                    "{}, {count} in the last hour, last at {}",
                    last.text(),
                    last.at
                ),
            );
        }
        if one.kinds.len() > SHOWN_KINDS {
            let more = one.kinds.len() - SHOWN_KINDS;
            add("error", format!("{more} more kinds; --output json has all"));
        }
        if let Some(since) = one.read_since {
            add(
                "errors",
                format!("log not read before {since}: too many lines"),
            );
        }
    }
    if rows.is_empty() && !errors.is_empty() {
        rows.push((
            "errors".to_owned(),
            "none logged in the last hour".to_owned(),
        ));
    }
    rows
}

fn alarm_text(alarm: &Alarm) -> String {
    let Alarm {
        name,
        since,
        description,
    } = alarm;
    let since = since.map_or_else(String::new, |at| format!(" since {at}"));
    format!("{name}{since}: {description}")
}

/// A mapping without records is not reported as healthy or faulty: a stream without data has no lag either.
fn mapping_text(mapping: &Mapping, now: Timestamp) -> String {
    let Mapping {
        state,
        last_result,
        is_of_stream,
        last_modified,
    } = mapping;
    match (last_result.as_deref(), last_modified) {
        (Some(result), _) if result != NO_RECORDS => format!("{state}, {result}"),
        (None, _) if !is_of_stream => state.clone(),
        (_, Some(at)) => format!(
            "{state}, no records in the last {} (this alone is not a fault)",
            age(*at, now)
        ),
        (_, None) => format!("{state}, no records yet (this alone is not a fault)"),
    }
}

#[cfg(test)]
mod tests;
