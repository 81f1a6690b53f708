//! Which dead letters to move.

use clap::{Args, builder::PossibleValuesParser};
use onewrite::notification::NotificationId;
use onewrite_stack::dead_letter::{DeadLetter, DeadLetterReason};

use crate::{arguments::parse_id, format::shell_quote};

/// The names of all [`DeadLetterReason`]s, including the names of the rejections.
pub(crate) const REASONS: [&str; 22] = [
    "NotStored",
    "AlreadyStored",
    "Conflict",
    "MissingBody",
    "InvalidJson",
    "NotAnObject",
    "TooDeep",
    "LoneSurrogate",
    "NumberTooLong",
    "KeyTooLong",
    "DuplicateKey",
    "BucketNotification",
    "MissingMessage",
    "MissingId",
    "IdNotAString",
    "IdNotAnInteger",
    "InvalidId",
    "TypeNotAString",
    "InvalidType",
    "MissingPayload",
    "ItemTooLarge",
    "EventTooLarge",
];

/// The ids and reasons of the dead letters to move.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Selection {
    /// Move only messages of this notification, and rejected ones that contain its id; repeatable.
    #[arg(long = "id", value_name = "ID", value_parser = parse_id)]
    pub(crate) ids: Vec<NotificationId>,
    /// Move only messages with this reason; repeatable.
    #[arg(
        long = "reason",
        value_name = "REASON",
        value_parser = PossibleValuesParser::new(REASONS)
    )]
    pub(crate) reasons: Vec<String>,
}

impl Selection {
    /// Whether no option restricts it.
    #[must_use]
    pub(crate) fn is_default(&self) -> bool {
        self.ids.is_empty() && self.reasons.is_empty()
    }

    /// Whether to move a dead letter that matches the ids. Without a filter, only messages that can be accepted are moved;
    /// the others would become dead letters again.
    #[must_use]
    pub(crate) fn selects(&self, letter: &DeadLetter) -> bool {
        if !self.reasons.is_empty() {
            self.reasons.iter().any(|name| name == letter.reason.name())
        } else if !self.ids.is_empty() {
            true
        } else {
            matches!(
                letter.reason,
                DeadLetterReason::NotStored | DeadLetterReason::AlreadyStored
            )
        }
    }

    /// Whether to show the letter: with reasons, only letters that have one of them.
    #[must_use]
    pub(crate) fn shows(&self, letter: &DeadLetter) -> bool {
        self.reasons.is_empty() || self.selects(letter)
    }

    /// The options as text.
    #[must_use]
    pub(crate) fn flags(&self) -> String {
        let ids = self.ids.iter();
        let ids = ids.map(|id| format!(" --id {}", shell_quote(id.as_str())));
        let reasons = self.reasons.iter().map(|name| format!(" --reason {name}"));
        ids.chain(reasons).collect()
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::Rejection;

    use super::*;

    #[test]
    fn moves_unacceptable_messages_only_on_request() {
        let reasons = [
            DeadLetterReason::NotStored,
            DeadLetterReason::AlreadyStored,
            DeadLetterReason::Conflict,
            DeadLetterReason::Rejected(Rejection::MissingId),
        ];
        for (ids, names, expected) in [
            (&[][..], &[][..], [true, true, false, false]),
            (&["c"], &[], [true; 4]),
            (&[], &["MissingId"], [false, false, false, true]),
            (
                &["c"],
                &["Conflict", "NotStored"],
                [true, false, true, false],
            ),
        ] {
            let selection = Selection {
                ids: ids.iter().map(|id| parse_id(id).unwrap()).collect(),
                reasons: names.iter().map(ToString::to_string).collect(),
            };
            let selected = reasons.clone().map(|reason| {
                selection.selects(&DeadLetter {
                    message_id: "m-1".to_owned(),
                    notification_id: None,
                    notification_type: None,
                    sent_at: None,
                    receives: 7,
                    message_group_id: None,
                    reason,
                })
            });
            assert_eq!(selected, expected, "{selection:?}");
            assert_eq!(selection.is_default(), ids.is_empty() && names.is_empty());
        }
    }

    #[test]
    fn accepts_every_reason_as_an_argument() {
        let others = [
            DeadLetterReason::NotStored,
            DeadLetterReason::AlreadyStored,
            DeadLetterReason::Conflict,
        ];
        let all: Vec<_> = others
            .into_iter()
            .chain(Rejection::EXAMPLES.map(DeadLetterReason::Rejected))
            .collect();
        let names: Vec<_> = all.iter().map(DeadLetterReason::name).collect();
        assert_eq!(names, REASONS);
        // If this does not compile, add the new reason above.
        for reason in all {
            match reason {
                DeadLetterReason::NotStored
                | DeadLetterReason::AlreadyStored
                | DeadLetterReason::Conflict
                | DeadLetterReason::Rejected(_) => {}
            }
        }
    }
}
