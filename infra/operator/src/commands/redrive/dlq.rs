//! `onewrite redrive dlq`: moves dead letters back to the queue.
//!
//! The SQS action `StartMessageMoveTask` moves all messages or none. This command decides for each message, by what is
//! stored now.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use clap::{Args, builder::PossibleValuesParser};
use onewrite::notification::NotificationId;
use onewrite_stack::{
    dead_letter::{DeadLetter, DeadLetterReason},
    dead_letter_queue::{self, MoveResult},
    stack::Stack,
};
use serde::Serialize;

use crate::{
    arguments::{DEFAULT_RATE, parse_id, rate_flag},
    confirmation::Confirmation,
    context::Context,
    error::{NOT_FOUND, OperatorError},
    format::shell_quote,
    progress,
    terminal::{Output, json, print},
};

/// The names of all [`DeadLetterReason`]s, including the names of the rejections.
const REASONS: [&str; 15] = [
    "NotStored",
    "AlreadyStored",
    "Conflict",
    "MissingBody",
    "InvalidJson",
    "NotAnObject",
    "TooDeep",
    "DuplicateKey",
    "MissingId",
    "IdNotAString",
    "InvalidId",
    "TypeNotAString",
    "InvalidType",
    "MissingPayload",
    "ItemTooLarge",
];

#[derive(Debug, Clone, Args)]
pub struct DlqArguments {
    /// Move only messages of this notification, and rejected ones that contain its id; repeatable.
    #[arg(long = "id", value_name = "ID", value_parser = parse_id)]
    ids: Vec<NotificationId>,
    /// Move only messages with this reason; repeatable.
    #[arg(
        long = "reason",
        value_name = "REASON",
        value_parser = PossibleValuesParser::new(REASONS)
    )]
    reasons: Vec<String>,
    /// Limit the messages per second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The result for one dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum DlqResult {
    /// It stays in the dead-letter queue: it was not selected.
    LeftAlone,
    WouldBeMoved,
    /// It is in the queue again, with another message id.
    Moved,
    /// It is in the queue again, with another message id, but could not be deleted from the dead-letter queue. The copy is
    /// harmless.
    Copied,
    /// It was listed but not received again, so it was not moved.
    #[serde(rename = "NotMet")]
    NotReceived,
}

/// The redrive of one dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct LetterRedrive {
    #[serde(flatten)]
    letter: DeadLetter,
    outcome: DlqResult,
    /// The message id after the move.
    new_message_id: Option<String>,
}

/// The redrive of all selected dead letters.
#[derive(Debug)]
struct DlqRedrive {
    /// Those that are left alone come first.
    letters: Vec<LetterRedrive>,
    is_applied: bool,
    /// The error that ended the redrive early. The letters hold what was done before it.
    error: Option<OperatorError>,
}

/// Moves the selected dead letters, if confirmed, and prints the result of each.
///
/// # Errors
/// [`OperatorError`]: a call failed. The results until then are printed first.
pub async fn run(arguments: &DlqArguments, context: &Context) -> Result<ExitCode, OperatorError> {
    let print_plan = |plan: &[LetterRedrive]| {
        if context.output == Output::Table {
            print(&plan.iter().map(line).collect::<String>());
        }
    };
    let redrive = arguments.redrive(&context.stack, print_plan).await?;
    print(&match context.output {
        Output::Table => arguments.text(&redrive, &context.command),
        Output::Json => json(&redrive.letters),
    });
    if let Some(error) = redrive.error {
        return Err(error);
    }
    Ok(match arguments.find_missing(&redrive.letters) {
        None => ExitCode::SUCCESS,
        Some(id) => {
            eprintln!("{id} is in no dead letter");
            ExitCode::from(NOT_FOUND)
        }
    })
}

impl DlqArguments {
    /// Whether to move a dead letter that matches the ids. Without a filter, only messages that can be accepted are moved;
    /// the others would become dead letters again.
    fn selects(&self, reason: &DeadLetterReason) -> bool {
        if !self.reasons.is_empty() {
            self.reasons.iter().any(|name| name == reason.name())
        } else if !self.ids.is_empty() {
            true
        } else {
            matches!(
                reason,
                DeadLetterReason::NotStored | DeadLetterReason::AlreadyStored
            )
        }
    }

    /// Plans the redrive. With reasons, the plan contains only dead letters that have one of them.
    fn plan(&self, letters: Vec<DeadLetter>) -> Vec<LetterRedrive> {
        let planned = letters.into_iter().map(|letter| LetterRedrive {
            outcome: if self.selects(&letter.reason) {
                DlqResult::WouldBeMoved
            } else {
                DlqResult::LeftAlone
            },
            letter,
            new_message_id: None,
        });
        let is_shown =
            |one: &LetterRedrive| self.reasons.is_empty() || self.selects(&one.letter.reason);
        let mut planned: Vec<LetterRedrive> = planned.filter(is_shown).collect();
        planned.sort_by_key(|one| (one.outcome != DlqResult::LeftAlone, one.letter.sent_at));
        planned
    }

    /// Lists the dead letters and moves the selected ones, if confirmed. `print_plan` is called before the question.
    ///
    /// An error means that nothing was moved; later errors are in the result.
    async fn redrive(
        &self,
        stack: &Stack,
        print_plan: impl FnOnce(&[LetterRedrive]),
    ) -> Result<DlqRedrive, OperatorError> {
        let is_applied = self.confirmation.is_apply()?;
        let ids: BTreeSet<String> = self.ids.iter().map(ToString::to_string).collect();
        let bar = progress::bar("dead letters inspected:", None);
        let letters = dead_letter_queue::list(stack, &ids, |count| bar.inc(count)).await?;
        bar.finish_and_clear();
        let mut letters = self.plan(letters);
        let wanted: BTreeSet<String> = letters
            .iter()
            .filter(|one| one.outcome == DlqResult::WouldBeMoved)
            .map(|one| one.letter.message_id.clone())
            .collect();
        let mut error = None;
        if is_applied && !wanted.is_empty() {
            if self.confirmation.is_interactive() {
                print_plan(&letters);
            }
            self.confirmation
                .ask(&format!("Move {} messages?", wanted.len()))?;
            let bar = progress::bar("moving", Some(wanted.len() as u64));
            let (results, ended) =
                dead_letter_queue::move_back(stack, &wanted, self.rate, |count| bar.inc(count))
                    .await;
            bar.finish_and_clear();
            record_results(&mut letters, results);
            error = ended.err().map(OperatorError::from);
        }
        Ok(DlqRedrive {
            letters,
            is_applied,
            error,
        })
    }

    /// The first of the ids that is in no dead letter.
    fn find_missing<'a>(&'a self, letters: &[LetterRedrive]) -> Option<&'a NotificationId> {
        if letters.is_empty() {
            return self.ids.first();
        }
        // A rejected message was listed because it contains one of the ids, but does not say which.
        let is_rejected = |one: &LetterRedrive| one.letter.notification_id.is_none();
        if letters.iter().any(is_rejected) || !self.reasons.is_empty() {
            return None;
        }
        let is_found = |id: &NotificationId| {
            let mut found = letters
                .iter()
                .filter_map(|one| one.letter.notification_id.as_deref());
            found.any(|found| found == id.as_str())
        };
        self.ids.iter().find(|id| !is_found(id))
    }

    /// The redrive as text. A preview ends with the command that applies it.
    fn text(&self, redrive: &DlqRedrive, command: &str) -> String {
        let letters = redrive.letters.iter();
        let is_plan_printed = redrive.is_applied && self.confirmation.is_interactive();
        let is_new = |one: &&LetterRedrive| !is_plan_printed || one.outcome != DlqResult::LeftAlone;
        let lines: String = letters.filter(is_new).map(line).collect();
        let count = |outcome| {
            let has_outcome = |one: &&LetterRedrive| one.outcome == outcome;
            redrive.letters.iter().filter(has_outcome).count()
        };
        let (left_alone, copied, not_received) = (
            count(DlqResult::LeftAlone),
            count(DlqResult::Copied),
            count(DlqResult::NotReceived),
        );
        let (pending, moved) = (
            count(DlqResult::WouldBeMoved),
            count(DlqResult::Moved) + copied,
        );
        let mut sentences = Vec::new();
        if left_alone > 0 && !is_plan_printed {
            sentences.push(format!(
                "{left_alone} left alone: they would become dead letters again. Use --id or --reason to move them."
            ));
        }
        if copied > 0 {
            sentences.push(format!(
                "{copied} could not be deleted here and are in both queues, which is harmless."
            ));
        }
        if not_received > 0 {
            sentences.push(format!(
                "{not_received} not moved: they were not received again. Repeat the command."
            ));
        }
        if moved > 0 {
            sentences.push(format!(
                "{moved} moved; each has a new message id and keeps its notification id. `{command} trace ID` shows the progress of one."
            ));
        } else if pending == 0 {
            sentences.push("Nothing to move.".to_owned());
        } else {
            sentences.push(format!("{pending} would be moved; nothing was changed."));
            sentences.push(format!(
                "Next: {command} redrive dlq{} --apply",
                self.flags()
            ));
        }
        lines + &sentences.join("\n") + "\n"
    }

    /// The options, without the confirmation.
    fn flags(&self) -> String {
        let ids = self.ids.iter();
        let ids = ids.map(|id| format!(" --id {}", shell_quote(id.as_str())));
        let reasons = self.reasons.iter().map(|name| format!(" --reason {name}"));
        ids.chain(reasons).chain(rate_flag(self.rate)).collect()
    }
}

/// One dead letter as a line of text, which contains ids and reasons but no content.
fn line(one: &LetterRedrive) -> String {
    let result = match one.outcome {
        DlqResult::LeftAlone => "left alone",
        DlqResult::WouldBeMoved => "would be moved",
        DlqResult::Moved => "moved",
        DlqResult::Copied => "copied",
        DlqResult::NotReceived => "not received",
    };
    let DeadLetter {
        message_id,
        notification_id,
        receives,
        reason,
        ..
    } = &one.letter;
    let id = notification_id.as_deref().unwrap_or("(rejected)");
    let new_id = one.new_message_id.as_ref();
    let new_id = new_id.map_or_else(String::new, |id| format!(", now message {id}"));
    let reason = reason.text();
    format!("{result:<15} {id}, message {message_id}, {reason}, received x{receives}{new_id}\n")
}

fn record_results(letters: &mut [LetterRedrive], mut results: BTreeMap<String, MoveResult>) {
    for one in letters {
        if one.outcome != DlqResult::WouldBeMoved {
            continue;
        }
        (one.outcome, one.new_message_id) = match results.remove(&one.letter.message_id) {
            Some(MoveResult::Moved(id)) => (DlqResult::Moved, Some(id)),
            Some(MoveResult::Copied(id)) => (DlqResult::Copied, Some(id)),
            None => (DlqResult::NotReceived, None),
        };
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::{InvalidName, Rejection};

    use super::*;

    fn arguments(ids: &[&str], reasons: &[&str]) -> DlqArguments {
        DlqArguments {
            ids: ids.iter().map(|id| parse_id(id).unwrap()).collect(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
            rate: DEFAULT_RATE,
            confirmation: Confirmation::default(),
        }
    }

    fn letter(message: &str, id: Option<&str>, reason: DeadLetterReason) -> DeadLetter {
        DeadLetter {
            message_id: message.to_owned(),
            notification_id: id.map(str::to_owned),
            sent_at: None,
            receives: 7,
            message_group_id: None,
            reason,
        }
    }

    fn letters() -> Vec<DeadLetter> {
        vec![
            letter("m-1", Some("a"), DeadLetterReason::NotStored),
            letter("m-2", Some("b"), DeadLetterReason::AlreadyStored),
            letter("m-3", Some("c"), DeadLetterReason::Conflict),
            letter(
                "m-4",
                None,
                DeadLetterReason::Rejected(Rejection::MissingId),
            ),
        ]
    }

    fn outcomes(plan: &[LetterRedrive]) -> Vec<(&str, bool)> {
        let outcome = |one: &LetterRedrive| one.outcome == DlqResult::WouldBeMoved;
        plan.iter()
            .map(|one| (one.letter.message_id.as_str(), outcome(one)))
            .collect()
    }

    #[test]
    fn moves_unacceptable_messages_only_on_request() {
        for (arguments, expected) in [
            (
                arguments(&[], &[]),
                vec![("m-3", false), ("m-4", false), ("m-1", true), ("m-2", true)],
            ),
            (
                arguments(&["c"], &[]),
                vec![("m-1", true), ("m-2", true), ("m-3", true), ("m-4", true)],
            ),
            (arguments(&[], &["MissingId"]), vec![("m-4", true)]),
            (
                arguments(&["c"], &["Conflict", "NotStored"]),
                vec![("m-1", true), ("m-3", true)],
            ),
        ] {
            // The letters were filtered by id before.
            assert_eq!(
                outcomes(&arguments.plan(letters())),
                expected,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn accepts_every_reason_as_an_argument() {
        let rejections = [
            Rejection::MissingBody,
            Rejection::InvalidJson { line: 1, column: 1 },
            Rejection::NotAnObject,
            Rejection::TooDeep,
            Rejection::DuplicateKey,
            Rejection::MissingId,
            Rejection::IdNotAString,
            Rejection::InvalidId(InvalidName::Empty),
            Rejection::TypeNotAString,
            Rejection::InvalidType(InvalidName::Empty),
            Rejection::MissingPayload,
            Rejection::ItemTooLarge { bytes: 0 },
        ];
        let others = [
            DeadLetterReason::NotStored,
            DeadLetterReason::AlreadyStored,
            DeadLetterReason::Conflict,
        ];
        let all: Vec<_> = others
            .into_iter()
            .chain(rejections.into_iter().map(DeadLetterReason::Rejected))
            .collect();
        let names: Vec<_> = all.iter().map(DeadLetterReason::name).collect();
        assert_eq!(names, REASONS);
        // If this does not compile, add the new reason or rejection above.
        for reason in all {
            match reason {
                DeadLetterReason::NotStored
                | DeadLetterReason::AlreadyStored
                | DeadLetterReason::Conflict => {}
                DeadLetterReason::Rejected(rejection) => match rejection {
                    Rejection::MissingBody
                    | Rejection::InvalidJson { .. }
                    | Rejection::NotAnObject
                    | Rejection::TooDeep
                    | Rejection::DuplicateKey
                    | Rejection::MissingId
                    | Rejection::IdNotAString
                    | Rejection::InvalidId(_)
                    | Rejection::TypeNotAString
                    | Rejection::InvalidType(_)
                    | Rejection::MissingPayload
                    | Rejection::ItemTooLarge { .. } => {}
                },
            }
        }
    }

    #[test]
    fn preview_ends_with_the_command_that_applies_it() {
        let arguments = arguments(&["it's"], &["NotStored"]);
        let preview = |letters| DlqRedrive {
            letters: arguments.plan(letters),
            is_applied: false,
            error: None,
        };
        assert_eq!(
            arguments.text(&preview(letters()), "onewrite --stack x"),
            concat!(
                "would be moved  a, message m-1, valid, not stored, received x7\n",
                "1 would be moved; nothing was changed.\n",
                "Next: onewrite --stack x redrive dlq --id 'it'\\''s' --reason NotStored --apply\n",
            )
        );
        assert_eq!(
            arguments.text(&preview(vec![]), "onewrite"),
            "Nothing to move.\n"
        );
    }

    #[test]
    fn reports_moved_and_not_received_messages() {
        let arguments = arguments(&[], &[]);
        let mut plan = arguments.plan(letters());
        let moved = MoveResult::Moved("m-9".to_owned());
        record_results(&mut plan, BTreeMap::from([("m-1".to_owned(), moved)]));
        let redrive = DlqRedrive {
            letters: plan,
            is_applied: true,
            error: None,
        };
        let text = arguments.text(&redrive, "onewrite");
        assert!(text.contains("received x7, now message m-9\n"), "{text}");
        assert!(text.contains("not received    b, message m-2"), "{text}");
        assert!(text.contains("1 not moved: "), "{text}");
        assert!(
            text.contains("1 moved; each has a new message id"),
            "{text}"
        );
        assert!(text.contains("2 left alone"), "{text}");
    }

    #[test]
    fn finds_an_id_that_is_in_no_dead_letter() {
        let arguments = arguments(&["a", "z"], &[]);
        let plan = |letters| arguments.plan(letters);
        let known = plan(vec![letter("m-1", Some("a"), DeadLetterReason::NotStored)]);
        assert_eq!(
            arguments.find_missing(&known).map(NotificationId::as_str),
            Some("z")
        );
        assert_eq!(
            arguments.find_missing(&plan(letters())),
            None,
            "m-4 may contain it"
        );
    }
}
