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
struct StackStatus {
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

impl StackStatus {
    async fn read(stack: &Stack, count: bool) -> Result<Self, StackError> {
        let outputs = &stack.outputs;
        let mut mappings = BTreeMap::new();
        for (name, function) in [
            ("ingest", &outputs.ingest),
            ("forward", &outputs.forward),
            ("complete", &outputs.complete),
        ] {
            mappings.insert(name, mappings::list(stack, function).await?);
        }
        let now = Timestamp::now();
        let errors = ErrorSearch {
            since: now.checked_sub(ERRORS_SINCE).unwrap_or(now),
            now,
            deadline: Instant::now() + ERRORS_LIMIT,
            id: None,
        };
        // A role that may not read metrics still gets the rest.
        let recent = if stack.is_local {
            None
        } else {
            metrics::read_recent_counts(stack, now).await.ok()
        };
        let (recent_failures, recent_refusals) = recent
            .map(|counts| counts.into_iter().partition(RecentCount::is_failure))
            .unzip();
        let pending_without_downstream = if stack.has_downstream() {
            None
        } else {
            Some(scan::estimate_pending(stack).await?)
        };
        Ok(Self {
            queue: queue::read_depth(stack, &outputs.queue_url).await?,
            dead_letters: queue::read_depth(stack, &outputs.dead_letter_queue_url).await?,
            failures: failure_bucket::list_objects(stack).await?.len(),
            is_local: stack.is_local,
            mappings,
            pending_without_downstream,
            recent_failures,
            recent_refusals,
            errors: function_errors::read_all(stack, errors).await,
            alarms: alarms::list_firing(stack).await?,
            items: if count {
                Some(scan::count_items(stack).await?)
            } else {
                None
            },
            looked_at: Timestamp::now(),
        })
    }

    /// The mappings of a function.
    fn mapping_texts(&self, function: &str) -> Vec<String> {
        let mappings = self.mappings.get(function).map_or(&[][..], Vec::as_slice);
        let pending = self.pending_without_downstream.as_ref();
        let mut texts = Vec::new();
        match pending.filter(|_| function == "complete") {
            Some(pending) => texts.push(format!("no downstream configured: {}", pending.text())),
            None if mappings.is_empty() => texts.push("no event source mapping".to_owned()),
            None => {}
        }
        texts.extend(mappings.iter().map(|one| {
            if self.is_local {
                one.state.clone()
            } else {
                mapping_text(one, self.looked_at)
            }
        }));
        texts
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

fn age(since: Timestamp, now: Timestamp) -> String {
    duration(now.as_millisecond() - since.as_millisecond())
}

fn depth_text(depth: QueueDepth) -> String {
    format!("~{} waiting, ~{} in flight", depth.waiting, depth.hidden)
}

fn count_text(recent: &RecentCount) -> String {
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
mod tests {
    use onewrite_stack::function_errors::LoggedError;

    use super::*;

    fn errors(function: &'static str, names: &[&str], not_read: Option<&str>) -> FunctionErrors {
        let kinds = names.iter().map(|name| ErrorKind {
            count: 14,
            last: LoggedError {
                at: Timestamp::UNIX_EPOCH,
                name: (*name).to_owned(),
                reason: Some("denied".to_owned()),
                notification_id: None,
            },
        });
        FunctionErrors {
            function,
            kinds: kinds.collect(),
            read_since: None,
            not_read: not_read.map(str::to_owned),
        }
    }

    fn recent(metric: &'static str, count: u64) -> RecentCount {
        RecentCount {
            function: "complete",
            metric,
            count,
            last: Timestamp::UNIX_EPOCH,
        }
    }

    fn item_counts() -> ItemCounts {
        ItemCounts {
            by_status: BTreeMap::from([("DONE".to_owned(), 5), ("INIT".to_owned(), 1)]),
            settled_by: BTreeMap::from([("refunds".to_owned(), 3)]),
            settled_by_unknown: 2,
            oldest_pending: Some(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn marks_approximate_counts() {
        let mapping = |last_result: Option<&str>, is_of_stream| Mapping {
            state: "Enabled".to_owned(),
            last_result: last_result.map(str::to_owned),
            is_of_stream,
            last_modified: Timestamp::from_second(60).ok(),
        };
        let forward = vec![mapping(Some(NO_RECORDS), true), mapping(Some("OK"), true)];
        let (waiting, hidden) = (3, 1);
        let status = StackStatus {
            queue: QueueDepth { waiting, hidden },
            dead_letters: QueueDepth::default(),
            failures: 2,
            pending_without_downstream: None,
            recent_failures: Some(vec![recent("Failed", 14)]),
            recent_refusals: Some(vec![recent("Refused", 3), recent("Contradicted", 1)]),
            errors: vec![
                errors("ingest", &[], Some("FilterLogEvents: access denied")),
                errors("complete", &["A", "B", "C", "D"], None),
            ],
            mappings: BTreeMap::from([
                ("ingest", vec![mapping(None, false)]),
                ("forward", forward),
            ]),
            alarms: vec![Alarm {
                name: "onewrite-DeadLetters".to_owned(),
                since: Timestamp::from_second(30).ok(),
                description: "Fix it.".to_owned(),
            }],
            items: Some(item_counts()),
            looked_at: Timestamp::from_second(90).unwrap(),
            is_local: false,
        };
        assert_eq!(
            status.text(),
            concat!(
                "queue           ~3 waiting, ~1 in flight\n",
                "dead letters    ~0 waiting, ~0 in flight\n",
                "ingest          Enabled\n",
                "forward         Enabled, no records in the last 30.000s (this alone is not a fault)\n",
                "forward         Enabled, OK\n",
                "complete        no event source mapping\n",
                "failing         complete: 14 in 15 minutes, last at 1970-01-01T00:00:00Z\n",
                "refused         complete: 3 in 15 minutes, last at 1970-01-01T00:00:00Z\n",
                "contradicted    complete: 1 in 15 minutes, last at 1970-01-01T00:00:00Z\n",
                "errors          ingest: log not read: FilterLogEvents: access denied\n",
                "error           complete: A: denied, 14 in the last hour, last at 1970-01-01T00:00:00Z\n",
                "error           complete: B: denied, 14 in the last hour, last at 1970-01-01T00:00:00Z\n",
                "error           complete: C: denied, 14 in the last hour, last at 1970-01-01T00:00:00Z\n",
                "error           complete: 1 more kinds; --output json has all\n",
                "failure bucket  2 objects\n",
                "ALARM           onewrite-DeadLetters since 1970-01-01T00:00:30Z: Fix it.\n",
                "DONE            5 items\n",
                "INIT            1 items\n",
                "settled by      refunds: 3 items\n",
                "settled by      (no name): 2 items\n",
                "oldest INIT     1m30s\n",
            )
        );
    }

    #[test]
    fn shows_a_local_stack_and_one_without_downstream() {
        let mapping = Mapping {
            state: "Disabled".to_owned(),
            last_result: None,
            is_of_stream: true,
            last_modified: None,
        };
        let status = |is_local| StackStatus {
            queue: QueueDepth::default(),
            dead_letters: QueueDepth::default(),
            failures: 0,
            pending_without_downstream: Some(PendingItems {
                count: 1_204,
                sampled: 1_300,
                of_items: None,
            }),
            recent_failures: None,
            recent_refusals: None,
            errors: vec![errors("forward", &[], None)],
            mappings: BTreeMap::from([("forward", vec![mapping.clone()])]),
            alarms: Vec::new(),
            items: None,
            looked_at: Timestamp::UNIX_EPOCH,
            is_local,
        };
        let local = status(true).text();
        assert!(local.contains("forward         Disabled\n"), "{local}");
        assert!(
            local
                .contains("complete        no downstream configured: 1204 notifications in INIT\n"),
            "{local}"
        );
        assert!(
            local.contains("errors          none logged in the last hour\n"),
            "{local}"
        );
        assert!(
            status(false)
                .text()
                .contains("forward         Disabled, no records yet")
        );
    }
}
