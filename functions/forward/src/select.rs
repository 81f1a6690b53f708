//! Which change of the table becomes an event. Pure: one stream record in, what to do with it out.

use aws_lambda_events::event::dynamodb::EventRecord;
use onewrite::{
    event::NotificationEvent,
    item::{NotificationItem, UnreadableItem, attribute},
};
use serde_dynamo::{AttributeValue, Item};

/// What to do with a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Selected {
    /// Tell of it.
    Forward(Box<NotificationEvent>),
    /// It concerns nobody downstream.
    Skip(Skipped),
    /// It is no change of a notification. It must not hold its shard: the item stays in the table, where the operator
    /// finds it.
    Unreadable(Unreadable),
}

/// Why a change is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// The item was removed: by DynamoDB's TTL, or by hand.
    Removed,
    /// Neither its status nor its redrives changed: somebody edited other attributes.
    OtherAttributes,
}

/// Why a change cannot be told of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither INSERT, MODIFY nor REMOVE.
    #[error("the change is of no kind that DynamoDB Streams has")]
    UnknownKind,
    /// The stream does not carry new images.
    #[error("the change has no new image")]
    NoNewImage,
    /// The new image is no notification.
    #[error(transparent)]
    Item(#[from] UnreadableItem),
}

/// Decides on one change.
#[must_use]
pub fn select(record: &EventRecord) -> Selected {
    let (old, new) = (&record.change.old_image, &record.change.new_image);
    match record.event_name.as_str() {
        "REMOVE" => Selected::Skip(Skipped::Removed),
        "MODIFY" if is_of_other_attributes(old, new) => Selected::Skip(Skipped::OtherAttributes),
        "INSERT" | "MODIFY" => match event(new) {
            Ok(event) => Selected::Forward(Box::new(event)),
            Err(unreadable) => Selected::Unreadable(unreadable),
        },
        _ => Selected::Unreadable(Unreadable::UnknownKind),
    }
}

/// The values themselves are compared, not what they mean: where the old image was edited into something unreadable,
/// or is not carried, the change is told rather than passed over.
fn is_of_other_attributes(old: &Item, new: &Item) -> bool {
    let same = |name| old.get(name).is_some() && old.get(name) == new.get(name);
    same(attribute::STATUS) && same(attribute::REDRIVES)
}

/// Whether the change asks for an event that was told before: somebody added to `redrives`, and the status is as it was.
#[must_use]
pub fn is_redrive(record: &EventRecord) -> bool {
    let (old, new) = (&record.change.old_image, &record.change.new_image);
    record.event_name == "MODIFY"
        && old.get(attribute::STATUS).is_some()
        && old.get(attribute::STATUS) == new.get(attribute::STATUS)
}

fn event(image: &Item) -> Result<NotificationEvent, Unreadable> {
    if image.is_empty() {
        return Err(Unreadable::NoNewImage);
    }
    Ok(NotificationEvent::of_item(&NotificationItem::from_item(
        image,
    )?))
}

/// The item's key, if it is text: for the log of a change that cannot be read.
#[must_use]
pub fn key(record: &EventRecord) -> Option<&str> {
    match record.change.keys.get(attribute::NOTIFICATION_ID)? {
        AttributeValue::S(id) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::dynamodb::Event;
    use onewrite::{notification::Status, testing::contract};
    use serde_json::{Value, json};

    use super::*;

    fn item() -> Value {
        json!(contract::notification("n1", "{\"a\": 1.0}").to_item())
    }

    fn done() -> Value {
        let mut item = item();
        item["status"] = json!({"S": "DONE"});
        item["version"] = json!({"N": "2"});
        item
    }

    fn record(name: &str, old: Option<Value>, new: Option<Value>) -> EventRecord {
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
        let mut event: Event = serde_json::from_value(json!({"Records": [record]})).unwrap();
        event.records.remove(0)
    }

    fn forwarded(record: &EventRecord) -> Option<(String, Status)> {
        match select(record) {
            Selected::Forward(event) => Some((event.id(), event.status)),
            _ => None,
        }
    }

    #[test]
    fn an_insert_and_a_change_of_status_or_redrives_become_events() {
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
    fn removals_and_edits_of_other_attributes_are_passed_over() {
        assert_eq!(
            select(&record("REMOVE", Some(done()), None)),
            Selected::Skip(Skipped::Removed)
        );
        let mut noted = item();
        noted["note"] = json!({"S": "by hand"});
        assert_eq!(
            select(&record("MODIFY", Some(item()), Some(noted))),
            Selected::Skip(Skipped::OtherAttributes)
        );
    }

    #[test]
    fn a_change_whose_old_image_tells_nothing_is_told() {
        let without = |name: &str| {
            let mut old = item();
            old.as_object_mut().unwrap().remove(name);
            old
        };
        for old in [None, Some(without("status")), Some(without("redrives"))] {
            assert!(forwarded(&record("MODIFY", old, Some(item()))).is_some());
        }
        // An item that was unreadable and was put right.
        let mut broken = item();
        broken["status"] = json!({"N": "1"});
        assert!(forwarded(&record("MODIFY", Some(broken), Some(item()))).is_some());
    }

    #[test]
    fn what_is_no_notification_is_unreadable() {
        let mut broken = item();
        broken["payload"] = json!({"M": {}});
        let attribute = UnreadableItem {
            attribute: "payload",
        };
        assert_eq!(
            select(&record("INSERT", None, Some(broken))),
            Selected::Unreadable(Unreadable::Item(attribute))
        );
        assert_eq!(
            select(&record("INSERT", None, None)),
            Selected::Unreadable(Unreadable::NoNewImage)
        );
        assert_eq!(
            select(&record("UPSERT", None, Some(item()))),
            Selected::Unreadable(Unreadable::UnknownKind)
        );
    }

    #[test]
    fn the_key_is_told_where_it_is_text() {
        assert_eq!(key(&record("INSERT", None, None)), Some("n1"));
    }
}
