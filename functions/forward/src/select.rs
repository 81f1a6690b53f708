//! Decides which changes of the table become events. Pure: no I/O, no clock.

use onewrite::{
    event::NotificationEvent,
    item::{AttributeRef, Attributes as _, NotificationItem, UnreadableItem, attribute, erased_at},
};

use crate::change::{Change, ChangeRecord, Image};

/// The decision about one change.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// Publish this event.
    Forward(Box<NotificationEvent>),
    /// The change does not concern the downstream.
    Skip(SkipReason),
    /// The change is not a change of a valid notification. It must not block its shard. The item stays in the table, where
    /// the operator finds it.
    Unreadable(Unreadable),
}

/// Why a change is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// The item was removed, by DynamoDB's TTL or by hand.
    Removed,
    /// Neither `status` nor `redrives` changed: somebody edited other attributes.
    OtherAttributes,
    /// An operator erased the payload of the settled item, so there is nothing to publish.
    Erased,
}

/// Why a change cannot become an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The record of the change cannot be decoded.
    #[error("the record of the change cannot be decoded")]
    Undecodable,
    /// The change is neither INSERT, MODIFY nor REMOVE.
    #[error("the change is neither INSERT, MODIFY nor REMOVE")]
    UnknownKind,
    /// The stream does not contain new images.
    #[error("the change has no new image")]
    NoNewImage,
    /// The new image is not a valid notification.
    #[error(transparent)]
    Item(#[from] UnreadableItem),
}

/// Decides on one change.
#[must_use]
pub fn select(record: &ChangeRecord) -> Selection {
    let Some(change) = &record.change else {
        return Selection::Unreadable(Unreadable::Undecodable);
    };
    match change.kind.as_deref() {
        Some("REMOVE") => Selection::Skip(SkipReason::Removed),
        Some("MODIFY") if changes_other_attributes_only(change) => {
            Selection::Skip(SkipReason::OtherAttributes)
        }
        Some("INSERT" | "MODIFY") => match &change.new_image {
            None => Selection::Unreadable(Unreadable::NoNewImage),
            Some(image) if erased_at(image).is_some() => Selection::Skip(SkipReason::Erased),
            Some(image) => match event(image) {
                Ok(event) => Selection::Forward(Box::new(event)),
                Err(unreadable) => Selection::Unreadable(unreadable.into()),
            },
        },
        _ => Selection::Unreadable(Unreadable::UnknownKind),
    }
}

/// If the old image is missing or was edited into something invalid, the change is published rather than skipped.
fn changes_other_attributes_only(change: &Change) -> bool {
    // Only an old image has a status. `redrives` is absent while it is 0.
    change.old_image.attribute(attribute::STATUS).is_some()
        && keeps(change, attribute::STATUS)
        && keeps(change, attribute::REDRIVES)
}

/// Whether this attribute is the same in both images, or absent from both.
fn keeps(change: &Change, name: &str) -> bool {
    let new = change.new_image.as_ref();
    change.old_image.attribute(name) == new.and_then(|image| image.attribute(name))
}

/// Whether the change requests an event again: `redrives` was increased and the status is unchanged.
#[must_use]
pub fn is_redrive(record: &ChangeRecord) -> bool {
    record.change.as_ref().is_some_and(|change| {
        change.kind.as_deref() == Some("MODIFY")
            && change.old_image.attribute(attribute::STATUS).is_some()
            && keeps(change, attribute::STATUS)
    })
}

fn event(image: &Image) -> Result<NotificationEvent, UnreadableItem> {
    NotificationItem::from_attributes(image).map(Into::into)
}

/// The notification id of the change, if it is a text. For the log.
#[must_use]
pub fn key(record: &ChangeRecord) -> Option<&str> {
    let keys = record.change.as_ref()?.keys.as_ref()?;
    match keys.attribute(attribute::NOTIFICATION_ID)? {
        AttributeRef::Text(id) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use onewrite::notification::Status;
    use onewrite_testing::contract;
    use serde_json::{Value, json};

    use super::*;
    use crate::change::ChangeEvent;

    fn item() -> Value {
        json!(contract::notification("n1", "{\"a\": 1.0}").to_item())
    }

    fn done() -> Value {
        let mut item = item();
        item["status"] = json!({"S": "DONE"});
        item["version"] = json!({"N": "2"});
        item["updated_at"] = json!({"S": "2026-11-23T10:00:01.000Z"});
        item
    }

    fn record(name: &str, old: Option<Value>, new: Option<Value>) -> ChangeRecord {
        let mut change = json!({
            "Keys": {"notification_id": {"S": "n1"}},
            "SequenceNumber": "1",
            "SizeBytes": 1,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "ApproximateCreationDateTime": 1_700_000_000,
        });
        for (image, item) in [("OldImage", old), ("NewImage", new)] {
            if let Some(item) = item {
                change[image] = item;
            }
        }
        let record = json!({
            "eventID": "e", "eventName": name, "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "eventSourceARN": "arn", "dynamodb": change,
        });
        let event = json!({"Records": [record]}).to_string();
        event.parse::<ChangeEvent>().unwrap().records.remove(0)
    }

    fn forwarded(record: &ChangeRecord) -> Option<(String, Status)> {
        match select(record) {
            Selection::Forward(event) => Some((event.id(), event.status)),
            _ => None,
        }
    }

    #[test]
    fn inserts_and_changes_of_status_or_redrives_become_events() {
        let insert = record("INSERT", None, Some(item()));
        assert_eq!(
            forwarded(&insert),
            Some(("n1/INIT".to_owned(), Status::Init))
        );
        let to_done = record("MODIFY", Some(item()), Some(done()));
        assert_eq!(
            forwarded(&to_done),
            Some(("n1/DONE".to_owned(), Status::Done))
        );
        let mut redriven = item();
        redriven["redrives"] = json!({"N": "1"});
        let redrive = record("MODIFY", Some(item()), Some(redriven));
        assert_eq!(
            forwarded(&redrive),
            Some(("n1/INIT".to_owned(), Status::Init))
        );
    }

    #[test]
    fn skips_removals_and_edits_of_other_attributes() {
        assert_eq!(
            select(&record("REMOVE", Some(done()), None)),
            Selection::Skip(SkipReason::Removed)
        );
        let mut noted = item();
        noted["note"] = json!({"S": "by hand"});
        assert_eq!(
            select(&record("MODIFY", Some(item()), Some(noted))),
            Selection::Skip(SkipReason::OtherAttributes)
        );
    }

    #[test]
    fn skips_the_erasure_of_a_payload_and_what_follows_it() {
        let mut erased = done();
        erased.as_object_mut().unwrap().remove("payload");
        erased["erased_at"] = json!({"S": "2026-11-23T10:00:00.000Z"});
        assert_eq!(
            select(&record("MODIFY", Some(done()), Some(erased.clone()))),
            Selection::Skip(SkipReason::OtherAttributes)
        );
        let mut redriven = erased.clone();
        redriven["redrives"] = json!({"N": "1"});
        assert_eq!(
            select(&record("MODIFY", Some(erased.clone()), Some(redriven))),
            Selection::Skip(SkipReason::Erased)
        );
        // A restored table inserts its items.
        assert_eq!(
            select(&record("INSERT", None, Some(erased))),
            Selection::Skip(SkipReason::Erased)
        );
    }

    #[test]
    fn publishes_a_change_with_an_incomplete_old_image() {
        let without = |name: &str| {
            let mut old = item();
            old.as_object_mut().unwrap().remove(name);
            old
        };
        for old in [None, Some(without("status"))] {
            assert!(forwarded(&record("MODIFY", old, Some(item()))).is_some());
        }
        // An item that was redriven, and whose `redrives` somebody removed.
        let mut redriven = item();
        redriven["redrives"] = json!({"N": "1"});
        assert!(forwarded(&record("MODIFY", Some(redriven), Some(item()))).is_some());
        // An invalid item that somebody fixed.
        let mut broken = item();
        broken["status"] = json!({"N": "1"});
        assert!(forwarded(&record("MODIFY", Some(broken), Some(item()))).is_some());
    }

    #[test]
    fn an_invalid_image_is_unreadable() {
        let mut broken = item();
        broken["payload"] = json!({"M": {}});
        let attribute = UnreadableItem {
            attribute: "payload",
        };
        assert_eq!(
            select(&record("INSERT", None, Some(broken))),
            Selection::Unreadable(Unreadable::Item(attribute))
        );
        assert_eq!(
            select(&record("INSERT", None, None)),
            Selection::Unreadable(Unreadable::NoNewImage)
        );
        assert_eq!(
            select(&record("UPSERT", None, Some(item()))),
            Selection::Unreadable(Unreadable::UnknownKind)
        );
    }

    #[test]
    fn key_returns_the_notification_id() {
        assert_eq!(key(&record("INSERT", None, None)), Some("n1"));
    }
}
