//! Asking for an event again: one conditional touch of its item, and the change stream does the rest. Never a write to
//! the stream itself, which nothing would put in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::{operation::update_item::UpdateItemError, types::AttributeValue};
use onewrite::{item::attribute, notification::Status};
use serde::Serialize;

use crate::{error::OperatorError, look, stack::Stack};

/// What became of one notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It is in INIT: its event would be asked for.
    WouldBeRedriven,
    /// Its event was asked for: it comes again, under the id it had.
    Redriven,
    /// It is DONE; there is nothing to ask for.
    AlreadyDone,
    /// It has no item.
    Gone,
}

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

/// Redrives what the failure bucket holds and is not DONE: those of `only`, or where that is empty, all. Without `apply`
/// nothing is changed. `pause` is kept between two touches.
///
/// # Errors
/// [`OperatorError`]: a call failed. What was touched before comes again; the same command may be given again.
pub async fn failures(
    stack: &Stack,
    only: &BTreeSet<String>,
    apply: bool,
    pause: Duration,
) -> Result<Vec<Redrive>, OperatorError> {
    let batches = look::failures(stack, None).await?;
    let batches: Vec<_> = batches.into_iter().map(|batch| batch.ids).collect();
    let mut redrives = Vec::new();
    for (id, failures) in wanted(&batches, only) {
        let outcome = if apply {
            let outcome = touch(stack, &id).await?;
            tokio::time::sleep(pause).await;
            outcome
        } else {
            would_be(stack, &id).await?
        };
        redrives.push(Redrive {
            id,
            outcome,
            failures,
        });
    }
    Ok(redrives)
}

async fn would_be(stack: &Stack, id: &str) -> Result<Outcome, OperatorError> {
    Ok(match look::item(stack, id).await? {
        None => Outcome::Gone,
        Some(Ok(item)) if item.status == Status::Done => Outcome::AlreadyDone,
        Some(_) => Outcome::WouldBeRedriven,
    })
}

/// Adds one to the item's `redrives` while it is in INIT: `forward` publishes the change under the id it had.
async fn touch(stack: &Stack, id: &str) -> Result<Outcome, OperatorError> {
    let touched = stack
        .dynamodb
        .update_item()
        .table_name(&stack.table)
        .key(attribute::NOTIFICATION_ID, AttributeValue::S(id.to_owned()))
        .update_expression("ADD #redrives :one")
        .condition_expression("#status = :init")
        .expression_attribute_names("#redrives", attribute::REDRIVES)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
        .expression_attribute_values(":init", AttributeValue::S(Status::Init.to_string()))
        .send()
        .await;
    match touched {
        Ok(_) => Ok(Outcome::Redriven),
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(UpdateItemError::ConditionalCheckFailedException(_))
            ) =>
        {
            would_be(stack, id).await
        }
        Err(error) => Err(OperatorError::of("UpdateItem", &error)),
    }
}

/// As a person reads it, the exact command that applies it last.
#[must_use]
pub fn text(redrives: &[Redrive], only: &BTreeSet<String>, apply: bool) -> String {
    let mut lines: Vec<String> = redrives
        .iter()
        .map(
            |Redrive {
                 id,
                 outcome,
                 failures,
             }| {
                let what = match outcome {
                    Outcome::WouldBeRedriven => "would be redriven",
                    Outcome::Redriven => "redriven",
                    Outcome::AlreadyDone => "DONE already",
                    Outcome::Gone => "has no item",
                };
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
        let ids: String = only
            .iter()
            .map(|id| format!(" --id {}", quoted(id)))
            .collect();
        lines.push(format!("{pending} would be redriven; nothing was changed."));
        lines.push(format!("Next: onewrite redrive failures{ids} --yes"));
    }
    lines.join("\n") + "\n"
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
        assert_eq!(
            text(&redrives, &ids(&["it's", "b"]), false),
            concat!(
                "would be redriven  it's, in 1 failure records\n",
                "DONE already       b, in 1 failure records\n",
                "1 would be redriven; nothing was changed.\n",
                "Next: onewrite redrive failures --id b --id 'it'\\''s' --yes\n",
            )
        );
        assert_eq!(
            text(&redrives[1..], &ids(&[]), false),
            "DONE already       b, in 1 failure records\nNothing to redrive.\n"
        );
        assert!(
            text(&[redrive("a", Outcome::Redriven)], &ids(&[]), true).contains("1 of 1 redriven")
        );
    }
}
