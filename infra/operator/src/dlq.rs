//! `onewrite redrive dlq`: dead letters go back to the queue once their cause is mended.
//!
//! SQS' own `StartMessageMoveTask` moves all or nothing. Here each dead letter is judged by what is stored now.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, builder::PossibleValuesParser};
use onewrite::notification::NotificationId;
use serde::Serialize;

use crate::{
    consent::Consent,
    dead_letters::{self, Moved},
    error::OperatorError,
    progress,
    redrive::{DEFAULT_RATE, quoted, rate_flag},
    stack::Stack,
    trace::{DeadLetter, Reason},
};

/// The names of [`Reason`], those of its rejections included.
const REASONS: [&str; 16] = [
    "NotStored",
    "AlreadyStored",
    "Conflict",
    "MissingBody",
    "InvalidUtf8",
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

/// What to move.
#[derive(Debug, Clone, Args)]
pub struct DlqArgs {
    /// The dead letters of this notification alone, and those that cannot be read and name it; may be given several
    /// times.
    #[arg(long = "id", value_name = "ID", value_parser = crate::cli::id)]
    ids: Vec<NotificationId>,
    /// The dead letters with this reason alone; may be given several times.
    #[arg(
        long = "reason",
        value_name = "REASON",
        value_parser = PossibleValuesParser::new(REASONS)
    )]
    reasons: Vec<String>,
    /// Most messages a second.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    consent: Consent,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It stays where it is: nobody asked for it.
    LeftAlone,
    /// It would go back to the queue.
    WouldBeMoved,
    /// It is in the queue again, as another message.
    Moved,
    /// It is in the queue again, as another message, and could not be deleted here. A copy does no harm.
    Copied,
    /// It was seen and was not met again, so it was not moved.
    NotMet,
}

/// A dead letter of a redrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// The dead letter.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// What became of it.
    pub outcome: Outcome,
    /// The message that it is now, where it was moved.
    pub new_message_id: Option<String>,
}

/// A redrive.
#[derive(Debug)]
pub struct Answer {
    /// Each dead letter, those that are left alone first.
    pub letters: Vec<Redriven>,
    /// Whether there was consent.
    pub applied: bool,
    /// What kept it from its end. What the letters tell is so all the same.
    pub error: Option<OperatorError>,
}

impl DlqArgs {
    /// Whether a dead letter, of those that have to do with the ids, goes back. Without a filter those do that can be
    /// accepted; the others would only become dead letters again.
    fn wants(&self, reason: &Reason) -> bool {
        if !self.reasons.is_empty() {
            self.reasons.iter().any(|name| name == reason.name())
        } else if !self.ids.is_empty() {
            true
        } else {
            matches!(reason, Reason::NotStored | Reason::AlreadyStored)
        }
    }

    /// The dead letters that are told of: where reasons are given, only theirs.
    fn plan(&self, letters: Vec<DeadLetter>) -> Vec<Redriven> {
        let planned = letters.into_iter().map(|letter| Redriven {
            outcome: if self.wants(&letter.reason) {
                Outcome::WouldBeMoved
            } else {
                Outcome::LeftAlone
            },
            letter,
            new_message_id: None,
        });
        let is_told = |one: &Redriven| self.reasons.is_empty() || self.wants(&one.letter.reason);
        let mut planned: Vec<Redriven> = planned.filter(is_told).collect();
        planned.sort_by_key(|one| (one.outcome != Outcome::LeftAlone, one.letter.sent_at));
        planned
    }

    /// Looks, and moves back what is asked for, if there is consent. `show` is given the plan before the question.
    ///
    /// # Errors
    /// [`OperatorError`]: nothing was moved.
    pub async fn run(
        &self,
        stack: &Stack,
        show: impl FnOnce(&[Redriven]),
    ) -> Result<Answer, OperatorError> {
        let applied = self.consent.is_given()?;
        let ids: BTreeSet<String> = self.ids.iter().map(ToString::to_string).collect();
        let bar = progress::bar("dead letters looked at:", None);
        let letters = dead_letters::look(stack, &ids, &bar).await?;
        bar.finish_and_clear();
        let mut letters = self.plan(letters);
        let wanted: BTreeSet<String> = letters
            .iter()
            .filter(|one| one.outcome == Outcome::WouldBeMoved)
            .map(|one| one.letter.message_id.clone())
            .collect();
        let mut error = None;
        if applied && !wanted.is_empty() {
            if self.consent.asks() {
                show(&letters);
            }
            self.consent
                .ask(&format!("Move {} messages?", wanted.len()))?;
            let bar = progress::bar("moving", Some(wanted.len() as u64));
            let (moved, ended) = dead_letters::move_back(stack, &wanted, self.rate, &bar).await;
            bar.finish_and_clear();
            note(&mut letters, moved);
            error = ended.err();
        }
        Ok(Answer {
            letters,
            applied,
            error,
        })
    }

    /// The first id that is in no dead letter.
    #[must_use]
    pub fn missing<'a>(&'a self, letters: &[Redriven]) -> Option<&'a NotificationId> {
        // A message that cannot be read was found for the ids that were asked for, and does not say for which.
        let is_unread = |one: &Redriven| one.letter.notification_id.is_none();
        if letters.is_empty() {
            return self.ids.first();
        }
        if letters.iter().any(is_unread) || !self.reasons.is_empty() {
            return None;
        }
        let is_known = |id: &NotificationId| {
            let mut known = letters
                .iter()
                .filter_map(|one| one.letter.notification_id.as_deref());
            known.any(|known| known == id.as_str())
        };
        self.ids.iter().find(|id| !is_known(id))
    }

    /// As a person reads it, the exact command that applies it last.
    #[must_use]
    pub fn text(&self, answer: &Answer, command: &str) -> String {
        let is_shown = answer.applied && self.consent.asks();
        let mut text: String = if is_shown {
            let is_news = |one: &&Redriven| one.outcome != Outcome::LeftAlone;
            answer.letters.iter().filter(is_news).map(line).collect()
        } else {
            answer.letters.iter().map(line).collect()
        };
        let count = |outcome| {
            let is_it = |one: &&Redriven| one.outcome == outcome;
            answer.letters.iter().filter(is_it).count()
        };
        let (pending, moved, copied) = (
            count(Outcome::WouldBeMoved),
            count(Outcome::Moved),
            count(Outcome::Copied),
        );
        let mut say = |sentence: String| text.push_str(&(sentence + "\n"));
        if count(Outcome::LeftAlone) > 0 && !is_shown {
            say(format!(
                "{} left alone: they would become dead letters again. --id or --reason moves them all the same.",
                count(Outcome::LeftAlone)
            ));
        }
        if copied > 0 {
            say(format!(
                "{copied} could not be deleted here and are in both queues, which does no harm."
            ));
        }
        if count(Outcome::NotMet) > 0 {
            say(format!(
                "{} not moved: they were not met again. The same command may be given again.",
                count(Outcome::NotMet)
            ));
        }
        if moved + copied > 0 {
            say(format!(
                "{} moved; each has a new message id, its notification id stands. `{command} trace ID` tells what becomes of one.",
                moved + copied
            ));
        } else if pending == 0 {
            say("Nothing to move.".to_owned());
        } else {
            let ids = self
                .ids
                .iter()
                .map(|id| format!(" --id {}", quoted(id.as_str())));
            let reasons = self.reasons.iter().map(|name| format!(" --reason {name}"));
            let flags: String = ids.chain(reasons).chain(rate_flag(self.rate)).collect();
            say(format!("{pending} would be moved; nothing was changed."));
            say(format!("Next: {command} redrive dlq{flags} --apply"));
        }
        text
    }
}

/// A line of the answer: ids and reasons alone.
#[must_use]
pub fn line(one: &Redriven) -> String {
    let what = match one.outcome {
        Outcome::LeftAlone => "left alone",
        Outcome::WouldBeMoved => "would be moved",
        Outcome::Moved => "moved",
        Outcome::Copied => "copied",
        Outcome::NotMet => "not met again",
    };
    let DeadLetter {
        message_id,
        notification_id,
        receives,
        reason,
        ..
    } = &one.letter;
    let id = notification_id.as_deref().unwrap_or("(unread)");
    let now = one.new_message_id.as_ref();
    let now = now.map_or_else(String::new, |id| format!(", now message {id}"));
    let reason = reason.text();
    format!("{what:<15} {id}, message {message_id}, {reason}, received x{receives}{now}\n")
}

fn note(letters: &mut [Redriven], mut moved: BTreeMap<String, Moved>) {
    for one in letters {
        if one.outcome != Outcome::WouldBeMoved {
            continue;
        }
        (one.outcome, one.new_message_id) = match moved.remove(&one.letter.message_id) {
            Some(Moved::Moved(id)) => (Outcome::Moved, Some(id)),
            Some(Moved::Copied(id)) => (Outcome::Copied, Some(id)),
            None => (Outcome::NotMet, None),
        };
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::{InvalidName, Rejection};

    use super::*;

    fn args(ids: &[&str], reasons: &[&str]) -> DlqArgs {
        DlqArgs {
            ids: ids.iter().map(|id| crate::cli::id(id).unwrap()).collect(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
            rate: DEFAULT_RATE,
            consent: Consent::default(),
        }
    }

    fn letter(message: &str, id: Option<&str>, reason: Reason) -> DeadLetter {
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
            letter("m-1", Some("a"), Reason::NotStored),
            letter("m-2", Some("b"), Reason::AlreadyStored),
            letter("m-3", Some("c"), Reason::Conflict),
            letter("m-4", None, Reason::Rejected(Rejection::MissingId)),
        ]
    }

    fn outcomes(plan: &[Redriven]) -> Vec<(&str, bool)> {
        let outcome = |one: &Redriven| one.outcome == Outcome::WouldBeMoved;
        plan.iter()
            .map(|one| (one.letter.message_id.as_str(), outcome(one)))
            .collect()
    }

    #[test]
    fn what_would_only_come_back_is_moved_where_it_is_asked_for() {
        for (args, expected) in [
            (
                args(&[], &[]),
                vec![("m-3", false), ("m-4", false), ("m-1", true), ("m-2", true)],
            ),
            (
                args(&["c"], &[]),
                vec![("m-1", true), ("m-2", true), ("m-3", true), ("m-4", true)],
            ),
            (args(&[], &["MissingId"]), vec![("m-4", true)]),
            (
                args(&["c"], &["Conflict", "NotStored"]),
                vec![("m-1", true), ("m-3", true)],
            ),
        ] {
            // The ids were chosen before: what comes here has to do with them.
            assert_eq!(outcomes(&args.plan(letters())), expected, "{args:?}");
        }
    }

    #[test]
    fn every_reason_can_be_asked_for() {
        let rejections = [
            Rejection::MissingBody,
            Rejection::InvalidUtf8 { position: 0 },
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
        let others = [Reason::NotStored, Reason::AlreadyStored, Reason::Conflict];
        let all: Vec<_> = others
            .into_iter()
            .chain(rejections.into_iter().map(Reason::Rejected))
            .collect();
        let names: Vec<_> = all.iter().map(Reason::name).collect();
        assert_eq!(names, REASONS);
        // A new reason or rejection fails to compile here, and then belongs above.
        for reason in all {
            match reason {
                Reason::NotStored | Reason::AlreadyStored | Reason::Conflict => {}
                Reason::Rejected(rejection) => match rejection {
                    Rejection::MissingBody
                    | Rejection::InvalidUtf8 { .. }
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
    fn a_dry_run_ends_with_the_command_that_applies_it() {
        let args = args(&["it's"], &["NotStored"]);
        let dry = |letters| Answer {
            letters: args.plan(letters),
            applied: false,
            error: None,
        };
        assert_eq!(
            args.text(&dry(letters()), "onewrite --stack x"),
            concat!(
                "would be moved  a, message m-1, it was not stored when it came, received x7\n",
                "1 would be moved; nothing was changed.\n",
                "Next: onewrite --stack x redrive dlq --id 'it'\\''s' --reason NotStored --apply\n",
            )
        );
        assert_eq!(args.text(&dry(vec![]), "onewrite"), "Nothing to move.\n");
    }

    #[test]
    fn what_was_moved_is_told_and_what_was_not_met_again_too() {
        let args = args(&[], &[]);
        let mut plan = args.plan(letters());
        let moved = Moved::Moved("m-9".to_owned());
        note(&mut plan, BTreeMap::from([("m-1".to_owned(), moved)]));
        let answer = Answer {
            letters: plan,
            applied: true,
            error: None,
        };
        let text = args.text(&answer, "onewrite");
        assert!(text.contains("received x7, now message m-9\n"), "{text}");
        assert!(text.contains("not met again   b, message m-2"), "{text}");
        assert!(text.contains("1 not moved: "), "{text}");
        assert!(
            text.contains("1 moved; each has a new message id"),
            "{text}"
        );
        assert!(text.contains("2 left alone"), "{text}");
    }

    #[test]
    fn an_id_that_is_in_no_dead_letter_is_named() {
        let args = args(&["a", "z"], &[]);
        let of = |letters| args.plan(letters);
        let known = of(vec![letter("m-1", Some("a"), Reason::NotStored)]);
        assert_eq!(args.missing(&known).map(NotificationId::as_str), Some("z"));
        assert_eq!(args.missing(&of(letters())), None, "m-4 may name it");
    }
}
