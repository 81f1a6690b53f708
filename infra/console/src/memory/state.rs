//! The state of the model.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::{
    lab::{Comparison, Fault, Guided},
    view::{About, Alarm, Applied, Count, Entry, Filter, Kind, Totals},
};

/// An item in INIT for longer than this needs somebody, in milliseconds.
const PENDING_AFTER_MILLIS: i64 = 15 * 60 * 1000;

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Stored,
    Published,
    Done,
    Refused,
}

/// A stored notification.
pub(super) struct Item {
    pub(super) notification_type: String,
    /// `None` after it was erased.
    pub(super) payload: Option<String>,
    pub(super) enrichment: Option<String>,
    pub(super) place: Place,
    pub(super) stored_at: Timestamp,
    pub(super) settled_at: Option<Timestamp>,
    pub(super) settled_by: Option<String>,
    /// Why it was refused, or the last failure.
    pub(super) detail: String,
    pub(super) sequence_number: String,
}

/// The numbers since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) created: u64,
    pub(super) done: u64,
    pub(super) refused: u64,
    pub(super) effects: u64,
    pub(super) conflicts: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
}

/// A prepared redrive.
pub(super) struct Prepared {
    pub(super) kind: Kind,
    pub(super) keys: Vec<String>,
}

/// One point of the charts.
pub(super) struct Point {
    pub(super) at: Timestamp,
    pub(super) created: u64,
    pub(super) done: u64,
    pub(super) queue_to_stored: f64,
    pub(super) stored_to_done: f64,
    pub(super) waiting: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) counts: Counts,
    /// Ids that wait in the queue.
    pub(super) waiting: VecDeque<String>,
    pub(super) items: BTreeMap<String, Item>,
    pub(super) dead_letters: Vec<Entry>,
    pub(super) failures: Vec<Entry>,
    pub(super) alarms: Vec<Alarm>,
    pub(super) previews: BTreeMap<String, Prepared>,
    pub(super) next_preview: u64,
    pub(super) next_id: u64,
    pub(super) next_record: u64,
    pub(super) points: VecDeque<Point>,
    pub(super) created_at_last_point: u64,
    pub(super) done_at_last_point: u64,
    /// The mapping of `complete` is paused.
    pub(super) is_complete_paused: bool,
    pub(super) is_lab_paused: bool,
    /// The targets are not the built-in ledger, so nothing counts effects.
    pub(super) has_other_targets: bool,
    pub(super) faults: BTreeMap<Fault, u32>,
    pub(super) comparison: Comparison,
    pub(super) guided: Option<Guided>,
    /// Advances since the start of the guided run.
    pub(super) guided_advances: u64,
    pub(super) log: VecDeque<String>,
    /// What cannot be read, and why. The rest can.
    pub(super) not_read: Vec<String>,
    /// If set, nothing can be read.
    pub(super) failure: Option<String>,
}

/// The time in RFC 3339, in milliseconds.
pub(super) fn text(at: Timestamp) -> String {
    format!("{at:.3}")
}

pub(super) fn age_millis(at: Timestamp) -> i64 {
    Timestamp::now().as_millisecond() - at.as_millisecond()
}

impl State {
    pub(super) fn totals(&self, about: &About) -> Totals {
        let Counts {
            sent,
            created,
            done,
            refused,
            effects,
            conflicts,
            rejected,
            duplicates,
        } = self.counts;
        let count = |count: u64| Some(Count(count));
        let local = |number: u64| about.is_local.then_some(Count(number));
        let period = if about.is_local {
            "since the start"
        } else {
            "in the last 3 hours"
        };
        Totals {
            period: period.to_owned(),
            sent: count(sent),
            created: count(created),
            done: count(done),
            refused: count(refused),
            effects: local(effects).filter(|_| !self.has_other_targets),
            conflicts: local(conflicts),
            rejected: local(rejected),
            duplicates: count(duplicates),
            waiting: count(self.waiting.len() as u64),
            dead_letters: count(self.dead_letters.len() as u64),
            failures: count(self.failures.len() as u64),
            lost: local(0),
        }
    }

    pub(super) fn count_in(&self, place: Place) -> u64 {
        self.items
            .values()
            .filter(|item| item.place == place)
            .count() as u64
    }

    /// The entries of a kind.
    pub(super) fn entries(&self, kind: Kind) -> Vec<Entry> {
        match kind {
            Kind::DeadLetters => self.dead_letters.clone(),
            Kind::FailureBucket => self.failures.clone(),
            Kind::Pending => self.item_entries(|item| {
                matches!(item.place, Place::Stored | Place::Published)
                    && age_millis(item.stored_at) > PENDING_AFTER_MILLIS
            }),
            Kind::Refused => self.item_entries(|item| item.place == Place::Refused),
        }
    }

    fn item_entries(&self, is_listed: impl Fn(&Item) -> bool) -> Vec<Entry> {
        let listed = self.items.iter().filter(|(_, item)| is_listed(item));
        let entry = |(id, item): (&String, &Item)| Entry {
            key: id.clone(),
            notification_id: Some(id.clone()),
            notification_type: Some(item.notification_type.clone()),
            reason: match item.place {
                Place::Refused => "refused",
                Place::Published => "published",
                Place::Stored | Place::Done => "stored",
            }
            .to_owned(),
            since: Some(text(item.stored_at)),
            is_redrivable: item.place != Place::Refused,
            detail: item.detail.clone(),
        };
        listed.map(entry).collect()
    }

    /// Redrives one entry.
    pub(super) fn redrive(&mut self, kind: Kind, key: &str) -> Applied {
        let list = match kind {
            Kind::DeadLetters => Some(&mut self.dead_letters),
            Kind::FailureBucket => Some(&mut self.failures),
            Kind::Pending | Kind::Refused => None,
        };
        let mut notification_id = Some(key.to_owned());
        let (is_redriven, result) = if let Some(list) = list {
            match list.iter().position(|entry| entry.key == key) {
                Some(at) => {
                    notification_id = list.remove(at).notification_id;
                    (true, "moved")
                }
                None => (false, "gone"),
            }
        } else {
            match self.items.get_mut(key) {
                Some(item) if item.settled_at.is_none() => {
                    item.place = Place::Done;
                    item.settled_at = Some(Timestamp::now());
                    item.settled_by = Some("targets".to_owned());
                    self.counts.done += 1;
                    self.counts.effects += 1;
                    (true, "published again")
                }
                Some(_) => (false, "settled meanwhile"),
                None => (false, "gone"),
            }
        };
        if is_redriven && kind == Kind::DeadLetters {
            let id = notification_id.clone().unwrap_or_else(|| key.to_owned());
            self.waiting.push_back(id);
        }
        Applied {
            key: key.to_owned(),
            notification_id,
            is_redriven,
            result: result.to_owned(),
        }
    }
}

pub(super) fn is_selected(entry: &Entry, filter: &Filter) -> bool {
    let is_equal = |wanted: &Option<String>, own: Option<&String>| {
        wanted.as_ref().is_none_or(|wanted| own == Some(wanted))
    };
    let since = entry.since.as_deref().and_then(|since| since.parse().ok());
    let age = since.map_or(0, age_millis);
    let is_listed = |id: &String| *id == entry.key || Some(id) == entry.notification_id.as_ref();
    is_equal(&filter.notification_type, entry.notification_type.as_ref())
        && is_equal(&filter.reason, Some(&entry.reason))
        && filter
            .older_than_millis
            .is_none_or(|limit| u64::try_from(age).is_ok_and(|age| age > limit.0))
        && (filter.ids.is_empty() || filter.ids.iter().any(is_listed))
}
