//! `onewrite redrive failures`: what the failure bucket holds and is not DONE comes again, by one [touch] of each.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use onewrite::notification::NotificationId;
use serde::Serialize;
use tokio::time::sleep_until;

use crate::{
    consent::Consent,
    error::OperatorError,
    look,
    pace::Pace,
    progress,
    stack::Stack,
    touch::{self, Outcome},
};

/// What to redrive.
#[derive(Debug, Clone, Args)]
pub struct FailuresArgs {
    /// This notification alone; may be given several times.
    #[arg(long = "id", value_name = "ID", value_parser = crate::cli::id)]
    ids: Vec<NotificationId>,
    /// Most notifications a second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    consent: Consent,
}

/// Notifications or messages a second, where nothing else is said. Our own: far below what the table and the functions
/// take, so that what upstream sends does not wait behind it.
pub const DEFAULT_RATE: u32 = 100;

/// One notification of a redrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redrive {
    /// The notification id.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The failure records that it is in.
    pub failures: usize,
}

/// The notifications of a redrive, by id, each with the number of failure records that it is in. Those of `only`, or
/// where that is empty, all.
#[must_use]
pub fn wanted(batches: &[BTreeSet<String>], only: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for id in batches.iter().flatten() {
        if only.is_empty() || only.contains(id) {
            *wanted.entry(id.clone()).or_default() += 1;
        }
    }
    wanted
}

impl FailuresArgs {
    /// The ids that were named.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.ids.iter().map(ToString::to_string).collect()
    }

    /// Redrives what the failure bucket holds and is not DONE, if there is consent; whether there was, and what became
    /// of each.
    ///
    /// # Errors
    /// [`OperatorError`]: a call failed. What was touched before comes again; the same command may be given again.
    pub async fn run(&self, stack: &Stack) -> Result<(bool, Vec<Redrive>), OperatorError> {
        let apply = self.consent.is_given()?;
        let batches = look::failures(stack, None).await?;
        let batches: Vec<_> = batches.into_iter().map(|batch| batch.ids).collect();
        let mut redrives = Vec::new();
        for (id, failures) in wanted(&batches, &self.ids()) {
            redrives.push(Redrive {
                outcome: touch::would_be(stack, &id).await?,
                id,
                failures,
            });
        }
        let is_pending = |redrive: &&mut Redrive| redrive.outcome == Outcome::WouldBeRedriven;
        let pending = redrives.iter_mut().filter(is_pending).count();
        if !apply || pending == 0 {
            return Ok((apply, redrives));
        }
        self.consent
            .ask(&format!("Redrive {pending} notifications?"))?;
        let bar = progress::bar("redriving", Some(pending as u64));
        let mut pace = Pace::new(self.rate);
        for redrive in redrives.iter_mut().filter(is_pending) {
            sleep_until(pace.turn()).await;
            redrive.outcome = touch::touch(stack, &redrive.id).await?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok((apply, redrives))
    }
}

/// As a person reads it, the exact command that applies it last.
#[must_use]
pub fn text(redrives: &[Redrive], args: &FailuresArgs, apply: bool, command: &str) -> String {
    let mut lines: Vec<String> = redrives
        .iter()
        .map(
            |Redrive {
                 id,
                 outcome,
                 failures,
             }| {
                let what = outcome.text();
                format!("{what:<18} {id}, in {failures} failure records")
            },
        )
        .collect();
    let count = |wanted| {
        let is_it = |redrive: &&Redrive| redrive.outcome == wanted;
        redrives.iter().filter(is_it).count()
    };
    let pending = count(Outcome::WouldBeRedriven);
    if apply {
        lines.push(format!(
            "{} of {} redriven; `onewrite trace ID` tells how far one came.",
            count(Outcome::Redriven),
            redrives.len()
        ));
    } else if pending == 0 {
        lines.push("Nothing to redrive.".to_owned());
    } else {
        let ids = args.ids();
        let ids = ids.iter().map(|id| format!(" --id {}", quoted(id)));
        let ids: String = ids.chain(rate_flag(args.rate)).collect();
        lines.push(format!("{pending} would be redriven; nothing was changed."));
        lines.push(format!("Next: {command} redrive failures{ids} --apply"));
    }
    lines.join("\n") + "\n"
}

/// The flag that says this rate, where it is not the default.
pub(crate) fn rate_flag(rate: u32) -> Option<String> {
    (rate != DEFAULT_RATE).then(|| format!(" --rate {rate}"))
}

/// For a shell: an id may hold any printable character.
pub(crate) fn quoted(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if id.chars().all(is_plain) {
        id.to_owned()
    } else {
        format!("'{}'", id.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn redrive(id: &str, outcome: Outcome) -> Redrive {
        Redrive {
            id: id.to_owned(),
            outcome,
            failures: 1,
        }
    }

    #[test]
    fn each_notification_is_wanted_once_whatever_the_number_of_its_batches() {
        let batches = [ids(&["a", "b"]), ids(&["b"])];
        let all = wanted(&batches, &ids(&[]));
        assert_eq!(all, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        let one = wanted(&batches, &ids(&["b", "unknown"]));
        assert_eq!(one, BTreeMap::from([("b".into(), 2)]));
    }

    #[test]
    fn a_dry_run_ends_with_the_command_that_applies_it() {
        let redrives = [
            redrive("it's", Outcome::WouldBeRedriven),
            redrive("b", Outcome::AlreadyDone),
        ];
        let args = |named: &[&str], rate| FailuresArgs {
            ids: named.iter().map(|id| crate::cli::id(id).unwrap()).collect(),
            rate,
            consent: Consent::default(),
        };
        assert_eq!(
            text(
                &redrives,
                &args(&["it's", "b"], 7),
                false,
                "onewrite --stack x"
            ),
            concat!(
                "would be redriven  it's, in 1 failure records\n",
                "DONE already       b, in 1 failure records\n",
                "1 would be redriven; nothing was changed.\n",
                "Next: onewrite --stack x redrive failures --id b --id 'it'\\''s' --rate 7 --apply\n",
            )
        );
        assert_eq!(
            text(&redrives[1..], &args(&[], DEFAULT_RATE), false, "onewrite"),
            "DONE already       b, in 1 failure records\nNothing to redrive.\n"
        );
        assert!(
            text(
                &[redrive("a", Outcome::Redriven)],
                &args(&[], 1),
                true,
                "onewrite"
            )
            .contains("1 of 1 redriven")
        );
    }
}
