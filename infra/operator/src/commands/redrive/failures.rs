//! `onewrite redrive failures`: re-publishes the events in the failure bucket: those of items in INIT, and events of DONE or REFUSED
//! that were never published.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use onewrite::{
    notification::{NotificationId, NotificationType},
    redrive::LostEvent,
};
use onewrite_stack::{
    error::StackError,
    failure_bucket::{self, FailedBatch, FailureRecords},
    pace::Pace,
    stack::Stack,
    table::{self, ExpectedItem, RedriveResult},
};
use serde::Serialize;
use tokio::time::sleep_until;

use crate::{
    arguments::{DEFAULT_RATE, parse_id, rate_flag},
    confirmation::Confirmation,
    context::Context,
    error::{FAILED, NOT_FOUND, OperatorError},
    format::shell_quote,
    progress,
    terminal::{Output, json, print},
};

#[derive(Debug, Clone, Args)]
pub struct FailuresArguments {
    /// Redrive only this notification; repeatable.
    #[arg(long = "id", value_name = "ID", value_parser = parse_id)]
    ids: Vec<NotificationId>,
    /// Limit the notifications per second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The items that are read at the same time.
const CONCURRENT_READS: usize = 8;

/// The redrive of one notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Redrive {
    pub id: String,
    pub outcome: RedriveResult,
    /// The number of failure records that contain the notification.
    pub failures: usize,
    /// The item that was read.
    #[serde(skip)]
    pub expected: ExpectedItem,
    #[serde(skip)]
    pub kind: Option<NotificationType>,
}

/// What the failure bucket says of one notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failures {
    batches: usize,
    lost: Vec<LostEvent>,
}

/// The result of the command.
struct Report {
    is_applied: bool,
    redrives: Vec<Redrive>,
    /// The keys of objects that could not be read.
    unreadable: Vec<String>,
}

/// Redrives the notifications in the failure bucket, if confirmed, and prints the result of each.
///
/// # Errors
/// [`OperatorError`]: a call failed. The notifications before it were redriven; you can repeat the command.
pub async fn run(
    arguments: &FailuresArguments,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    let report = arguments.redrive(&context.stack).await?;
    let Report {
        is_applied,
        redrives,
        unreadable,
    } = &report;
    print(&match context.output {
        Output::Table => arguments.text(redrives, *is_applied, &context.command),
        Output::Json => json(redrives),
    });
    for key in unreadable {
        eprintln!("could not be read: {key} in the failure bucket; it may contain notifications");
    }
    let is_found = |id: &String| redrives.iter().any(|redrive| redrive.id == *id);
    let ids = arguments.ids();
    let missing = ids.iter().find(|id| !is_found(id));
    if let Some(id) = missing {
        eprintln!("{id} is in no failure record");
    }
    Ok(match (unreadable.is_empty(), missing) {
        (false, _) => ExitCode::from(FAILED),
        (true, Some(_)) => ExitCode::from(NOT_FOUND),
        (true, None) => ExitCode::SUCCESS,
    })
}

/// Determines what to redrive of these failure records. Includes only the ids in `only`; if that is empty, all.
///
/// # Errors
/// [`StackError`]: an item could not be read.
pub(crate) async fn plan(
    stack: &Stack,
    records: &FailureRecords,
    only: &BTreeSet<String>,
) -> Result<Vec<Redrive>, StackError> {
    let reads = group_by_id(&records.batches, only)
        .into_iter()
        .map(|(id, failures)| async move {
            let item = table::assess(stack, &id, &failures.lost).await?;
            Ok(Redrive {
                id,
                outcome: item.result,
                failures: failures.batches,
                expected: item.expected,
                kind: item.kind,
            })
        });
    stream::iter(reads)
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}

/// Collects what the batches contain of each notification. Includes only the ids in `only`; if that is empty, all.
fn group_by_id(batches: &[FailedBatch], only: &BTreeSet<String>) -> BTreeMap<String, Failures> {
    let mut all: BTreeMap<String, Failures> = BTreeMap::new();
    for batch in batches {
        for id in &batch.ids {
            if only.is_empty() || only.contains(id) {
                let failures = all.entry(id.clone()).or_default();
                failures.batches += 1;
                let own = batch.lost.iter().filter(|event| event.id == *id);
                failures.lost.extend(own.cloned());
            }
        }
    }
    all
}

impl FailuresArguments {
    fn ids(&self) -> BTreeSet<String> {
        self.ids.iter().map(ToString::to_string).collect()
    }

    async fn redrive(&self, stack: &Stack) -> Result<Report, OperatorError> {
        let is_applied = self.confirmation.is_apply()?;
        let records = failure_bucket::read_failed_batches(stack, None).await?;
        let mut redrives = plan(stack, &records, &self.ids()).await?;
        if is_applied {
            self.apply(stack, &mut redrives).await?;
        }
        Ok(Report {
            is_applied,
            redrives,
            unreadable: records.unreadable,
        })
    }

    async fn apply(&self, stack: &Stack, redrives: &mut [Redrive]) -> Result<(), OperatorError> {
        let is_pending = |redrive: &&mut Redrive| redrive.outcome == RedriveResult::WouldBeRedriven;
        let pending = redrives.iter_mut().filter(is_pending).count();
        if pending == 0 {
            return Ok(());
        }
        self.confirmation
            .ask(&format!("Redrive {pending} notifications?"))?;
        let bar = progress::bar("redriving", Some(pending as u64));
        let mut pace = Pace::new(self.rate);
        for redrive in redrives.iter_mut().filter(is_pending) {
            sleep_until(pace.reserve()).await;
            redrive.outcome =
                table::republish_expected(stack, &redrive.id, redrive.expected).await?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The redrives as text. A preview ends with the command that applies it.
    fn text(&self, redrives: &[Redrive], is_applied: bool, command: &str) -> String {
        let line = |redrive: &Redrive| {
            let result = redrive.outcome.text();
            let Redrive { id, failures, .. } = redrive;
            format!("{result:<18} {id}, in {failures} failure records")
        };
        let mut lines: Vec<String> = redrives.iter().map(line).collect();
        let count = |outcome| {
            let has_outcome = |redrive: &&Redrive| redrive.outcome == outcome;
            redrives.iter().filter(has_outcome).count()
        };
        let pending = count(RedriveResult::WouldBeRedriven);
        if is_applied {
            lines.push(format!(
                "{} of {} redriven; `{command} trace ID` shows the progress of one.",
                count(RedriveResult::Redriven),
                redrives.len()
            ));
        } else if pending == 0 {
            lines.push("Nothing to redrive.".to_owned());
        } else {
            let ids = self.ids();
            let ids = ids.iter().map(|id| format!(" --id {}", shell_quote(id)));
            let flags: String = ids.chain(rate_flag(self.rate)).collect();
            lines.push(format!("{pending} would be redriven; nothing was changed."));
            lines.push(format!("Next: {command} redrive failures{flags} --apply"));
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::Status;

    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn redrive(id: &str, outcome: RedriveResult) -> Redrive {
        Redrive {
            id: id.to_owned(),
            outcome,
            failures: 1,
            expected: ExpectedItem {
                status: Status::Init,
                redrives: Some(0),
                created_at: None,
            },
            kind: None,
        }
    }

    #[test]
    fn redrives_each_notification_once_for_several_batches() {
        let lost = |id: &str| LostEvent {
            id: id.to_owned(),
            status: Some(Status::Done),
            redrives: Some(0),
        };
        let batch = |names: &[&str]| FailedBatch {
            key: "k".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            function: "f".to_owned(),
            condition: "RetryAttemptsExhausted".to_owned(),
            attempts: 1,
            ids: ids(names),
            lost: names.iter().map(|id| lost(id)).collect(),
        };
        let batches = [batch(&["a", "b"]), batch(&["b"])];
        let all = group_by_id(&batches, &ids(&[]));
        assert_eq!(all.len(), 2);
        assert_eq!((all["a"].batches, all["b"].batches), (1, 2));
        assert_eq!(all["b"].lost, [lost("b"), lost("b")]);
        let one = group_by_id(&batches, &ids(&["b", "unknown"]));
        assert_eq!(Vec::from_iter(one.keys()), ["b"]);
    }

    #[test]
    fn preview_ends_with_the_command_that_applies_it() {
        let redrives = [
            redrive("it's", RedriveResult::WouldBeRedriven),
            redrive("b", RedriveResult::AlreadySettled),
        ];
        let arguments = |ids: &[&str], rate| FailuresArguments {
            ids: ids.iter().map(|id| parse_id(id).unwrap()).collect(),
            rate,
            confirmation: Confirmation::default(),
        };
        assert_eq!(
            arguments(&["it's", "b"], 7).text(&redrives, false, "onewrite --stack x"),
            concat!(
                "would be redriven  it's, in 1 failure records\n",
                "already settled    b, in 1 failure records\n",
                "1 would be redriven; nothing was changed.\n",
                "Next: onewrite --stack x redrive failures --id b --id 'it'\\''s' --rate 7 --apply\n",
            )
        );
        assert_eq!(
            arguments(&[], DEFAULT_RATE).text(&redrives[1..], false, "onewrite"),
            "already settled    b, in 1 failure records\nNothing to redrive.\n"
        );
        let applied = [redrive("a", RedriveResult::Redriven)];
        let text = arguments(&[], 1).text(&applied, true, "onewrite");
        assert!(text.contains("1 of 1 redriven"), "{text}");
    }
}
