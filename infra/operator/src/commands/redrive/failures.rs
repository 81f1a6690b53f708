//! `onewrite redrive failures`: re-publishes the events in the failure bucket whose items are not DONE.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use clap::Args;
use onewrite::notification::NotificationId;
use onewrite_stack::{
    failure_bucket,
    pace::Pace,
    stack::Stack,
    table::{self, RedriveResult},
};
use serde::Serialize;
use tokio::time::sleep_until;

use crate::{
    arguments::{DEFAULT_RATE, parse_id, rate_flag},
    confirmation::Confirmation,
    context::Context,
    error::{NOT_FOUND, OperatorError},
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

/// The redrive of one notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Redrive {
    id: String,
    outcome: RedriveResult,
    /// The number of failure records that contain the notification.
    failures: usize,
}

/// Redrives the notifications in the failure bucket, if confirmed, and prints the result of each.
///
/// # Errors
/// [`OperatorError`]: a call failed. The notifications before it were redriven; you can repeat the command.
pub async fn run(
    arguments: &FailuresArguments,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    let (is_applied, redrives) = arguments.redrive(&context.stack).await?;
    print(&match context.output {
        Output::Table => arguments.text(&redrives, is_applied, &context.command),
        Output::Json => json(&redrives),
    });
    let is_found = |id: &String| redrives.iter().any(|redrive| redrive.id == *id);
    Ok(match arguments.ids().iter().find(|id| !is_found(id)) {
        None => ExitCode::SUCCESS,
        Some(id) => {
            eprintln!("{id} is in no failure record");
            ExitCode::from(NOT_FOUND)
        }
    })
}

/// Counts the batches that contain each notification. Includes only the ids in `only`; if that is empty, all.
fn count_batches(batches: &[BTreeSet<String>], only: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in batches.iter().flatten() {
        if only.is_empty() || only.contains(id) {
            *counts.entry(id.clone()).or_default() += 1;
        }
    }
    counts
}

impl FailuresArguments {
    fn ids(&self) -> BTreeSet<String> {
        self.ids.iter().map(ToString::to_string).collect()
    }

    /// Returns whether the changes were applied, and the redrives.
    async fn redrive(&self, stack: &Stack) -> Result<(bool, Vec<Redrive>), OperatorError> {
        let is_apply = self.confirmation.is_apply()?;
        let batches = failure_bucket::read_failed_batches(stack, None).await?;
        let batches: Vec<_> = batches.into_iter().map(|batch| batch.ids).collect();
        let mut redrives = Vec::new();
        for (id, failures) in count_batches(&batches, &self.ids()) {
            redrives.push(Redrive {
                outcome: table::preview_republish(stack, &id).await?,
                id,
                failures,
            });
        }
        let is_pending = |redrive: &&mut Redrive| redrive.outcome == RedriveResult::WouldBeRedriven;
        let pending = redrives.iter_mut().filter(is_pending).count();
        if !is_apply || pending == 0 {
            return Ok((is_apply, redrives));
        }
        self.confirmation
            .ask(&format!("Redrive {pending} notifications?"))?;
        let bar = progress::bar("redriving", Some(pending as u64));
        let mut pace = Pace::new(self.rate);
        for redrive in redrives.iter_mut().filter(is_pending) {
            sleep_until(pace.reserve()).await;
            redrive.outcome = table::republish(stack, &redrive.id).await?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok((is_apply, redrives))
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
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn redrive(id: &str, outcome: RedriveResult) -> Redrive {
        Redrive {
            id: id.to_owned(),
            outcome,
            failures: 1,
        }
    }

    #[test]
    fn redrives_each_notification_once_for_several_batches() {
        let batches = [ids(&["a", "b"]), ids(&["b"])];
        let all = count_batches(&batches, &ids(&[]));
        assert_eq!(all, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        let one = count_batches(&batches, &ids(&["b", "unknown"]));
        assert_eq!(one, BTreeMap::from([("b".into(), 2)]));
    }

    #[test]
    fn preview_ends_with_the_command_that_applies_it() {
        let redrives = [
            redrive("it's", RedriveResult::WouldBeRedriven),
            redrive("b", RedriveResult::AlreadyDone),
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
                "already DONE       b, in 1 failure records\n",
                "1 would be redriven; nothing was changed.\n",
                "Next: onewrite --stack x redrive failures --id b --id 'it'\\''s' --rate 7 --apply\n",
            )
        );
        assert_eq!(
            arguments(&[], DEFAULT_RATE).text(&redrives[1..], false, "onewrite"),
            "already DONE       b, in 1 failure records\nNothing to redrive.\n"
        );
        let applied = [redrive("a", RedriveResult::Redriven)];
        let text = arguments(&[], 1).text(&applied, true, "onewrite");
        assert!(text.contains("1 of 1 redriven"), "{text}");
    }
}
