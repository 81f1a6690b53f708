//! The entries of a list, which of them a filter selects, and the bounds of a look. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use onewrite::notification::NotificationId;
use onewrite_console::{
    pipeline::PipelineError,
    view::{Attention, Count, Entry, Filter},
};
use onewrite_stack::{dead_letter::DeadLetterReason, table::ExpectedItem};

/// The most entries of a list and of a preview. Our own choice: more than anybody reads, and a redrive of them takes ten
/// seconds. The commands have no such limit.
pub(super) const MAX_ENTRIES: usize = 1_000;

/// The most ids of a filter, and of a suggested command.
pub(super) const MAX_IDS: usize = 50;

/// What a redrive of an entry needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Letter(DeadLetterReason),
    Item(ExpectedItem),
}

/// An entry, and what a redrive of it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub entry: Entry,
    /// The time of [`Entry::since`].
    pub since: Option<Timestamp>,
    /// `None` if the entry can only be looked at.
    pub target: Option<Target>,
    /// Whether the command that redrives would select it with the ids and reasons of the filter.
    pub is_selected: bool,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub candidates: Vec<Candidate>,
    /// About how many were not inspected.
    pub not_inspected: u64,
    /// What the reader must know, in sentences.
    pub notes: Vec<String>,
}

/// A filter whose parts are valid. It differs from [`Filter`] in that a part that selects everything is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ValidFilter {
    pub kind: Option<String>,
    pub reason: Option<String>,
    pub older_than_millis: Option<i64>,
    pub ids: Vec<NotificationId>,
}

impl TryFrom<&Filter> for ValidFilter {
    type Error = PipelineError;

    fn try_from(filter: &Filter) -> Result<Self, PipelineError> {
        let invalid = |text: String| PipelineError::Invalid(text);
        if filter.ids.len() > MAX_IDS {
            return Err(invalid(format!("a filter has at most {MAX_IDS} ids")));
        }
        let text = |text: &Option<String>| {
            let text = text.as_deref().map(str::trim);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let ids = filter.ids.iter().filter(|id| !id.is_empty());
        let ids = ids.map(|id| {
            NotificationId::parse(id)
                .map_err(|error| invalid(format!("an id of the filter: {error}")))
        });
        let age = filter.older_than_millis.filter(|Count(age)| *age > 0);
        let age = age.map(|Count(age)| {
            let too_long = || invalid("the age of the filter is too long".to_owned());
            i64::try_from(age).map_err(|_| too_long())
        });
        Ok(Self {
            kind: text(&filter.notification_type),
            reason: text(&filter.reason),
            older_than_millis: age.transpose()?,
            // An id that is named twice is one entry.
            ids: Vec::from_iter(ids.collect::<Result<BTreeSet<_>, _>>()?),
        })
    }
}

impl ValidFilter {
    /// Whether the filter selects an entry. An age selects only entries whose time is known.
    pub(super) fn selects(&self, candidate: &Candidate, now: Timestamp) -> bool {
        let entry = &candidate.entry;
        let has_kind = |kind: &String| entry.notification_type.as_ref() == Some(kind);
        let has_reason = |reason: &String| entry.reason.eq_ignore_ascii_case(reason);
        let is_old = |millis: i64| {
            let age = |since: Timestamp| now.as_millisecond() - since.as_millisecond();
            candidate.since.is_some_and(|since| age(since) >= millis)
        };
        // A rejected message is found by the ids in its text, and may have another one at the place of the id.
        let is_rejected =
            matches!(&candidate.target, Some(Target::Letter(reason)) if reason.is_rejection());
        let id = entry.notification_id.as_deref();
        let has_id = self.ids.iter().any(|one| Some(one.as_str()) == id);
        self.kind.as_ref().is_none_or(has_kind)
            && self.reason.as_ref().is_none_or(has_reason)
            && self.older_than_millis.is_none_or(is_old)
            && (self.ids.is_empty() || has_id || is_rejected)
    }
}

impl Found {
    /// The list that the page shows.
    pub(super) fn into_attention(self, filter: &ValidFilter, now: Timestamp) -> Attention {
        let mut by_reason = BTreeMap::<String, Count>::new();
        for candidate in &self.candidates {
            let reason = candidate.entry.reason.clone();
            by_reason.entry(reason).or_default().0 += 1;
        }
        let candidates = self.candidates.into_iter();
        let selected = candidates.filter(|candidate| filter.selects(candidate, now));
        Attention {
            entries: selected.map(|candidate| candidate.entry).collect(),
            by_reason,
            not_inspected: (self.not_inspected > 0).then_some(Count(self.not_inspected)),
            looked_at: now.to_string(),
            notes: self.notes,
        }
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::Rejection;

    use super::*;

    fn candidate(id: &str, kind: &str, reason: &str, second: Option<i64>) -> Candidate {
        let since = second.and_then(|second| Timestamp::from_second(second).ok());
        Candidate {
            entry: Entry {
                key: id.to_owned(),
                notification_id: Some(id.to_owned()),
                notification_type: Some(kind.to_owned()),
                reason: reason.to_owned(),
                since: since.map(|at| at.to_string()),
                is_redrivable: true,
                detail: String::new(),
            },
            since,
            target: None,
            is_selected: true,
        }
    }

    fn valid(filter: &Filter) -> ValidFilter {
        ValidFilter::try_from(filter).unwrap()
    }

    #[test]
    fn a_filter_that_restricts_nothing_is_empty() {
        let blank = Filter {
            notification_type: Some("  ".to_owned()),
            reason: Some(String::new()),
            older_than_millis: Some(Count(0)),
            ids: vec![String::new()],
        };
        assert!(blank.is_empty() && Filter::default().is_empty());
        assert_eq!(valid(&blank), ValidFilter::default());
        let by_id = Filter {
            ids: vec!["a".to_owned()],
            ..Filter::default()
        };
        assert!(!by_id.is_empty());
        assert_ne!(valid(&by_id), ValidFilter::default());
    }

    #[test]
    fn rejects_invalid_filters() {
        let ids = |ids: Vec<String>| Filter {
            ids,
            ..Filter::default()
        };
        let long = Filter {
            older_than_millis: Some(Count(u64::MAX)),
            ..Filter::default()
        };
        for filter in [
            ids(vec!["tab\tinside".to_owned()]),
            ids(vec!["a".to_owned(); MAX_IDS + 1]),
            long,
        ] {
            assert!(ValidFilter::try_from(&filter).is_err(), "{filter:?}");
        }
    }

    #[test]
    fn selects_by_type_reason_age_and_id() {
        let now = Timestamp::from_second(1_000).unwrap();
        let old = candidate("a", "invoice", "Conflict", Some(900));
        let new = candidate("b", "refund", "NotStored", Some(999));
        let timeless = candidate("c", "invoice", "Conflict", None);
        let ids = |filter: Filter| -> Vec<String> {
            let filter = valid(&filter);
            let all = [&old, &new, &timeless].into_iter();
            all.filter(|one| filter.selects(one, now))
                .map(|one| one.entry.key.clone())
                .collect()
        };
        let none = Filter::default;
        assert_eq!(ids(none()), ["a", "b", "c"]);
        let kind = Some("refund".to_owned());
        let by_type = Filter {
            notification_type: kind,
            ..none()
        };
        assert_eq!(ids(by_type), ["b"]);
        let reason = Some("conflict".to_owned());
        assert_eq!(
            ids(Filter {
                reason: reason.clone(),
                ..none()
            }),
            ["a", "c"]
        );
        let age = Some(Count(100_000));
        assert_eq!(
            ids(Filter {
                older_than_millis: age,
                ..none()
            }),
            ["a"]
        );
        let both = Filter {
            reason,
            older_than_millis: age,
            ..none()
        };
        assert_eq!(ids(both), ["a"]);
        let by_id = Filter {
            ids: vec!["b".to_owned(), "z".to_owned()],
            ..none()
        };
        assert_eq!(ids(by_id), ["b"]);
    }

    #[test]
    fn keeps_a_rejected_letter_that_was_found_by_an_id_in_its_text() {
        let mut rejected = candidate("other", "x", "MissingId", Some(1));
        rejected.target = Some(Target::Letter(DeadLetterReason::Rejected(
            Rejection::MissingId,
        )));
        let filter = valid(&Filter {
            ids: vec!["a".to_owned()],
            ..Filter::default()
        });
        assert!(filter.selects(&rejected, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn counts_the_reasons_of_all_and_lists_the_selected() {
        let found = Found {
            candidates: vec![
                candidate("a", "invoice", "Conflict", Some(1)),
                candidate("b", "invoice", "Conflict", Some(1)),
                candidate("c", "refund", "NotStored", Some(1)),
            ],
            not_inspected: 7,
            notes: Vec::new(),
        };
        let filter = valid(&Filter {
            notification_type: Some("refund".to_owned()),
            ..Filter::default()
        });
        let list = found.into_attention(&filter, Timestamp::UNIX_EPOCH);
        assert_eq!(list.entries.len(), 1);
        let counts = [("Conflict", 2), ("NotStored", 1)];
        let counts = counts.map(|(reason, count)| (reason.to_owned(), Count(count)));
        assert_eq!(list.by_reason, BTreeMap::from(counts));
        assert_eq!(list.not_inspected, Some(Count(7)));
    }
}
