//! The result for each dead letter, and their counts. Results are not kept: a million letters must fit into memory.

use std::collections::BTreeSet;

use onewrite::notification::NotificationId;
use onewrite_stack::{
    dead_letter::DeadLetter,
    dead_letter_queue::{
        inspect::MAX_INSPECTED,
        redrive::{EndReason, LetterResult, RedriveEnd},
    },
};
use serde::Serialize;

use crate::format::duration;

/// The result for one dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum DlqResult {
    /// It stays in the dead-letter queue: it was not selected.
    LeftAlone,
    /// It stays in the dead-letter queue: it was sent after the command started.
    SentLater,
    WouldBeMoved,
    /// It is in the queue again, with another message id.
    Moved,
    /// It is in the queue again, with another message id, but could not be deleted from the dead-letter queue. The copy is
    /// harmless.
    Copied,
}

/// A dead letter and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LetterRedrive {
    #[serde(flatten)]
    pub letter: DeadLetter,
    pub outcome: DlqResult,
    /// The message id after the move.
    pub new_message_id: Option<String>,
}

impl LetterRedrive {
    pub(crate) fn planned(letter: DeadLetter, is_selected: bool) -> Self {
        Self {
            letter,
            outcome: if is_selected {
                DlqResult::WouldBeMoved
            } else {
                DlqResult::LeftAlone
            },
            new_message_id: None,
        }
    }

    pub(crate) fn done(letter: DeadLetter, result: LetterResult) -> Self {
        let (outcome, new_message_id) = match result {
            LetterResult::LeftAlone => (DlqResult::LeftAlone, None),
            LetterResult::SentLater => (DlqResult::SentLater, None),
            LetterResult::Moved(id) => (DlqResult::Moved, Some(id)),
            LetterResult::Copied(id) => (DlqResult::Copied, Some(id)),
        };
        Self {
            letter,
            outcome,
            new_message_id,
        }
    }

    /// One line of text, which contains ids and reasons but no content.
    pub(crate) fn line(&self) -> String {
        let result = match self.outcome {
            DlqResult::LeftAlone => "left alone",
            DlqResult::SentLater => "sent later",
            DlqResult::WouldBeMoved => "would be moved",
            DlqResult::Moved => "moved",
            DlqResult::Copied => "copied",
        };
        let DeadLetter {
            message_id,
            notification_id,
            receives,
            reason,
            ..
        } = &self.letter;
        let id = notification_id.as_deref().unwrap_or("(no id)");
        let new_id = self.new_message_id.as_ref();
        let new_id = new_id.map_or_else(String::new, |id| format!(", now message {id}"));
        let reason = reason.text();
        format!("{result:<15} {id}, message {message_id}, {reason}, received x{receives}{new_id}\n")
    }
}

/// How many letters have which result, and which requested ids were found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub left_alone: usize,
    pub sent_later: usize,
    pub would_be_moved: usize,
    pub moved: usize,
    pub copied: usize,
    found: BTreeSet<String>,
    has_rejected: bool,
}

impl Tally {
    /// Counts a letter. `ids` are the requested ones.
    pub(crate) fn record(&mut self, one: &LetterRedrive, ids: &[NotificationId]) {
        *match one.outcome {
            DlqResult::LeftAlone => &mut self.left_alone,
            DlqResult::SentLater => &mut self.sent_later,
            DlqResult::WouldBeMoved => &mut self.would_be_moved,
            DlqResult::Moved => &mut self.moved,
            DlqResult::Copied => &mut self.copied,
        } += 1;
        self.has_rejected |= one.letter.reason.is_rejection();
        let id = one.letter.notification_id.as_deref();
        if let Some(id) = id.filter(|id| ids.iter().any(|requested| requested.as_str() == *id)) {
            self.found.insert(id.to_owned());
        }
    }

    /// The first of the requested ids that is in no letter.
    pub(crate) fn find_missing<'a>(&self, ids: &'a [NotificationId]) -> Option<&'a NotificationId> {
        // A rejected message is listed because it contains one of the ids, and it may contain others.
        if self.has_rejected {
            return None;
        }
        ids.iter().find(|id| !self.found.contains(id.as_str()))
    }

    /// Sentences about the letters that stay.
    pub(crate) fn staying(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let left_alone = self.left_alone;
        if left_alone > 0 {
            sentences.push(format!(
                "{left_alone} left alone: they would become dead letters again. Use --id or --reason to move them."
            ));
        }
        if self.sent_later > 0 {
            sentences.push(format!(
                "{} left alone: they were sent after this command started. Repeat the command to move them.",
                self.sent_later
            ));
        }
        if self.copied > 0 {
            sentences.push(format!(
                "{} could not be deleted here and are in both queues, which is harmless.",
                self.copied
            ));
        }
        sentences
    }
}

/// The sentences about letters that were not judged; `None` if all were.
pub(crate) fn not_judged(end: &RedriveEnd) -> Option<String> {
    let count = match end.not_judged {
        Some(count) => format!("About {count} letters"),
        None => "An unknown number of letters".to_owned(),
    };
    let mut text = match &end.reason {
        EndReason::NoMore if end.not_judged == Some(0) => return None,
        EndReason::NoMore => format!(
            "{count} were not judged: they are in flight, or behind others of their message group. Repeat the command in five minutes."
        ),
        EndReason::TooManyStay => format!(
            "{count} were not judged: {MAX_INSPECTED} stay, and SQS returns no others until those are moved or deleted. Use --reason or --all."
        ),
        EndReason::Interrupted => {
            format!("Interrupted. {count} were not judged. Repeat the command to continue.")
        }
        EndReason::Failed(_) => {
            format!("{count} were not judged. Repeat the command to continue.")
        }
    };
    if let Some(time) = end.hidden_for {
        let time = duration(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        text += &format!(" Letters that were received are hidden for up to {time}.");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onewrite::notification::Rejection;
    use onewrite_stack::{dead_letter::DeadLetterReason, error::StackError};

    use super::*;
    use crate::arguments::parse_id;

    fn letter(id: Option<&str>, reason: DeadLetterReason) -> DeadLetter {
        DeadLetter {
            message_id: "m-1".to_owned(),
            notification_id: id.map(str::to_owned),
            notification_type: None,
            sent_at: None,
            receives: 7,
            message_group_id: None,
            reason,
        }
    }

    #[test]
    fn shows_the_id_and_the_result_of_a_letter() {
        let moved = LetterResult::Moved("m-9".to_owned());
        for (id, result, expected) in [
            (
                Some("a"),
                moved,
                "moved           a, message m-1, valid, not stored, received x7, now message m-9\n",
            ),
            (
                None,
                LetterResult::SentLater,
                "sent later      (no id), message m-1, valid, not stored, received x7\n",
            ),
        ] {
            let letter = letter(id, DeadLetterReason::NotStored);
            assert_eq!(LetterRedrive::done(letter, result).line(), expected);
        }
    }

    #[test]
    fn finds_an_id_that_is_in_no_dead_letter() {
        let ids = ["a", "z"].map(|id| parse_id(id).unwrap());
        let mut tally = Tally::default();
        let record = |tally: &mut Tally, id, reason| {
            tally.record(&LetterRedrive::planned(letter(id, reason), true), &ids);
        };
        record(&mut tally, Some("a"), DeadLetterReason::NotStored);
        record(&mut tally, Some("b"), DeadLetterReason::NotStored);
        assert_eq!(tally.would_be_moved, 2);
        let missing = tally.find_missing(&ids).map(NotificationId::as_str);
        assert_eq!(missing, Some("z"));
        assert_eq!(tally.found.len(), 1, "other ids are not kept");
        let rejected = DeadLetterReason::Rejected(Rejection::MissingId);
        record(&mut tally, None, rejected);
        assert_eq!(tally.find_missing(&ids), None, "it may contain z");
    }

    #[test]
    fn no_end_before_the_last_letter_is_silent() {
        let text = |reason, count, hidden_for| {
            not_judged(&RedriveEnd {
                reason,
                not_judged: count,
                hidden_for,
            })
        };
        assert_eq!(text(EndReason::NoMore, Some(0), None), None);
        let failed = || EndReason::Failed(StackError::NoRegion);
        for (reason, expected) in [
            (EndReason::NoMore, "in flight"),
            (EndReason::TooManyStay, "100000 stay"),
            (EndReason::Interrupted, "Interrupted"),
            (failed(), "Repeat the command"),
        ] {
            let text = text(reason, Some(5), None).unwrap();
            assert!(text.contains("About 5 letters were not judged"), "{text}");
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(
            text(failed(), None, Some(Duration::from_secs(20_000))).unwrap(),
            "An unknown number of letters were not judged. Repeat the command to continue. Letters that were received are hidden for up to 5h33m."
        );
    }
}
