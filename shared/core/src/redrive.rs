//! The operator's rule: which items must publish their event again, after a mapping gave up on a batch or a stream
//! discarded its records.
//!
//! Adding one to `redrives` makes `forward` publish the event of the item's current state. So an event can be repeated only
//! while the item is in the state that the event reports.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    item::{NotificationItem, attribute},
    notification::Status,
};

/// An event that was in a batch on which a mapping gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvent {
    /// The notification id.
    pub id: String,
    /// The status that the event reports. `None` for a record of the notification stream: `complete` reads INIT only, and
    /// an item in INIT is published again whatever its record says.
    pub status: Option<Status>,
    /// The item's `redrives` when the event was due.
    pub redrives: Option<u64>,
}

impl LostEvent {
    /// Reads one record of a failed batch. `None` if no event was due: the item was removed, or other attributes were
    /// edited.
    ///
    /// A record of the table's stream is judged by its new image, because that is what `forward` would have published.
    #[must_use]
    pub fn from_record(record: &Value) -> Option<Self> {
        if let Some(id) = record.pointer("/kinesis/partitionKey") {
            return Some(Self {
                id: id.as_str()?.to_owned(),
                status: None,
                redrives: None,
            });
        }
        let change = record.get("dynamodb")?;
        let value = |image, name, kind| change.get(image)?.get(name)?.get(kind)?.as_str();
        // Only an old image has a status. `redrives` is absent while it is 0.
        let is_same = |name, kind| value("OldImage", name, kind) == value("NewImage", name, kind);
        let old_status = value("OldImage", attribute::STATUS, "S");
        let has_no_event = change.get("NewImage").is_none()
            || old_status.is_some()
                && is_same(attribute::STATUS, "S")
                && is_same(attribute::REDRIVES, "N");
        let id = value("Keys", attribute::NOTIFICATION_ID, "S")?;
        (!has_no_event).then(|| Self {
            id: id.to_owned(),
            status: value("NewImage", attribute::STATUS, "S").and_then(|text| text.parse().ok()),
            redrives: value("NewImage", attribute::REDRIVES, "N")
                .map_or(Some(0), |digits| digits.parse().ok()),
        })
    }
}

/// The attributes of an item that the rule needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemState {
    /// The status.
    pub status: Status,
    /// How often an operator requested the event again.
    pub redrives: u64,
    /// The time of the last change of status.
    pub updated_at: Timestamp,
}

impl From<&NotificationItem> for ItemState {
    fn from(item: &NotificationItem) -> Self {
        Self {
            status: item.status,
            redrives: item.redrives,
            updated_at: item.updated_at,
        }
    }
}

impl ItemState {
    /// Whether the item must publish its event again, because a mapping gave up on one of these events of it.
    ///
    /// An item in INIT always does: it waits for `complete`. A settled item does if the lost event reported its status and
    /// nobody requested it again since.
    #[must_use]
    pub fn needs_redrive<'a>(&self, lost: impl IntoIterator<Item = &'a LostEvent>) -> bool {
        let is_missing = |event: &LostEvent| match self.status {
            Status::Init => true,
            settled @ (Status::Done | Status::Refused) => {
                event.status == Some(settled)
                    && event.redrives.is_none_or(|then| self.redrives <= then)
            }
        };
        lost.into_iter().any(is_missing)
    }
}

/// The items that a reconciliation publishes again, without a record of what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// Items that changed at or after this time are too young: their events may be on their way.
    pub before: Timestamp,
    /// Also publish the events of items that were settled since this time.
    pub settled_since: Option<Timestamp>,
}

impl Reconciliation {
    /// Whether it publishes the event of the item again.
    #[must_use]
    pub fn selects(&self, item: &ItemState) -> bool {
        let is_old = item.updated_at < self.before;
        is_old
            && match item.status {
                Status::Init => true,
                Status::Done | Status::Refused => self
                    .settled_since
                    .is_some_and(|since| item.updated_at >= since),
            }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(status: &str, redrives: &str) -> Value {
        json!({"notification_id": {"S": "n1"}, "status": {"S": status}, "redrives": {"N": redrives}})
    }

    fn change(old: Option<Value>, new: Option<Value>) -> Value {
        let mut change = json!({"Keys": {"notification_id": {"S": "n1"}}});
        for (name, image) in [("OldImage", old), ("NewImage", new)] {
            if let Some(image) = image {
                change[name] = image;
            }
        }
        json!({"eventName": "MODIFY", "dynamodb": change})
    }

    fn lost(status: Option<Status>, redrives: Option<u64>) -> LostEvent {
        LostEvent {
            id: "n1".to_owned(),
            status,
            redrives,
        }
    }

    fn item(status: Status, redrives: u64, second: i64) -> ItemState {
        ItemState {
            status,
            redrives,
            updated_at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn reads_the_lost_event_from_the_new_image() {
        for (status, text) in [
            (Status::Init, "INIT"),
            (Status::Done, "DONE"),
            (Status::Refused, "REFUSED"),
        ] {
            let record = change(Some(image("INIT", "1")), Some(image(text, "2")));
            assert_eq!(
                LostEvent::from_record(&record),
                Some(lost(Some(status), Some(2)))
            );
        }
        let of_stream = json!({"kinesis": {"partitionKey": "n1"}});
        assert_eq!(LostEvent::from_record(&of_stream), Some(lost(None, None)));
        let unreadable = change(
            None,
            Some(json!({"status": {"N": "1"}, "redrives": {"N": "x"}})),
        );
        assert_eq!(LostEvent::from_record(&unreadable), Some(lost(None, None)));
    }

    #[test]
    fn an_item_without_redrives_was_never_redriven() {
        let image = |status: &str| json!({"status": {"S": status}});
        let done = change(Some(image("INIT")), Some(image("DONE")));
        let expected = lost(Some(Status::Done), Some(0));
        assert_eq!(LostEvent::from_record(&done), Some(expected));
        let edited = change(Some(image("DONE")), Some(image("DONE")));
        assert_eq!(LostEvent::from_record(&edited), None);
    }

    #[test]
    fn changes_without_an_event_are_not_lost_events() {
        let removed = change(Some(image("DONE", "0")), None);
        let edited = change(Some(image("DONE", "1")), Some(image("DONE", "1")));
        for record in [removed, edited, json!({}), json!({"dynamodb": 1})] {
            assert_eq!(LostEvent::from_record(&record), None, "{record}");
        }
    }

    #[test]
    fn redrives_a_settled_item_once_for_each_lost_event() {
        let done = lost(Some(Status::Done), Some(1));
        let init = lost(Some(Status::Init), Some(1));
        for (redrives, events, expected) in [
            (1, vec![done.clone()], true),
            (2, vec![done.clone()], false),
            // The repetition was lost too.
            (
                2,
                vec![done.clone(), lost(Some(Status::Done), Some(2))],
                true,
            ),
            // The event of INIT cannot be published again.
            (1, vec![init.clone()], false),
            (1, vec![lost(None, None)], false),
            (1, vec![init.clone(), done.clone()], true),
            (1, vec![], false),
        ] {
            let item = item(Status::Done, redrives, 0);
            assert_eq!(
                item.needs_redrive(&events),
                expected,
                "{redrives} {events:?}"
            );
        }
        let refused = item(Status::Refused, 1, 0);
        assert!(refused.needs_redrive(&[lost(Some(Status::Refused), Some(1))]));
        assert!(!refused.needs_redrive([&done]));
        for event in [done, init, lost(None, None)] {
            assert!(item(Status::Init, 9, 0).needs_redrive([&event]));
        }
    }

    #[test]
    fn reconciles_settled_items_only_since_a_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let pending = Reconciliation {
            before: at(100),
            settled_since: None,
        };
        let all = Reconciliation {
            settled_since: Some(at(50)),
            ..pending
        };
        for (status, second, is_pending, is_in_all) in [
            (Status::Init, 1, true, true),
            (Status::Init, 100, false, false),
            (Status::Done, 49, false, false),
            (Status::Done, 50, false, true),
            (Status::Done, 99, false, true),
            (Status::Done, 100, false, false),
            (Status::Refused, 49, false, false),
            (Status::Refused, 50, false, true),
        ] {
            let item = item(status, 0, second);
            assert_eq!(pending.selects(&item), is_pending, "{item:?}");
            assert_eq!(all.selects(&item), is_in_all, "{item:?}");
        }
    }
}
