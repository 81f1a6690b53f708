//! The bytes of a notification: in the queue, in the table, in a change of the table and in the notification stream.

use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{NotificationItem, PayloadCompression},
    notification::Status,
};
use onewrite_cost::billing::write_units;

use crate::{
    events::change_of,
    payloads::{body, id, item},
};

/// The name of `complete` that CloudFormation composes for a stack `onewrite`.
const SETTLED_BY: &str = "onewrite-CompleteFunction-x7Vq2mK9dPzA";

/// How a design stores a notification.
#[derive(Debug, Clone, Copy)]
pub enum Storage {
    /// As `ingest` and `complete` do.
    Own(PayloadCompression),
    /// As the peers do (`peers/python/item.py`): all values as text.
    Peer,
}

/// The sizes of a notification in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub message: f64,
    /// The item in INIT.
    pub item: f64,
    /// The item in DONE.
    pub settled_item: f64,
    /// The event of the table's stream for the new item.
    pub change: f64,
    /// The Kinesis record with its partition key.
    pub record: f64,
}

impl Storage {
    /// How the items are compressed.
    #[must_use]
    pub fn compression(self) -> PayloadCompression {
        match self {
            Self::Own(compression) => compression,
            Self::Peer => PayloadCompression::Never,
        }
    }

    /// The sizes with this payload.
    #[must_use]
    pub fn sizes(self, payload: &str) -> Sizes {
        let id = id(0);
        let init = item(&id, payload, self.compression());
        let (item, settled_item) = match self {
            Self::Own(_) => (init.bytes(), settled(&init).bytes()),
            Self::Peer => (peer_item(&init), peer_item(&init)),
        };
        Sizes {
            message: body(&id, payload).len() as f64,
            item: item as f64,
            settled_item: settled_item as f64,
            change: change_of(&init).len() as f64,
            record: (NotificationEvent::from_item(&init).to_json().len() + id.len()) as f64,
        }
    }
}

impl Sizes {
    /// Write units for INIT and DONE.
    #[must_use]
    pub fn write_units(&self) -> f64 {
        write_units(self.item) + write_units(self.settled_item)
    }
}

/// The item after `complete` has settled it.
fn settled(init: &NotificationItem) -> NotificationItem {
    NotificationItem {
        status: Status::Done,
        version: Status::Done.version(),
        updated_at: Timestamp::UNIX_EPOCH,
        settled_by: SETTLED_BY.parse().ok(),
        ..init.clone()
    }
}

/// The size of the item that the peers write, in INIT as in DONE.
fn peer_item(init: &NotificationItem) -> usize {
    const TIME: usize = "2026-11-23T10:00:00.123Z".len();
    /// A number of one digit (DynamoDB developer guide, "Item sizes and formats").
    const DIGIT: usize = 2;
    let notification = &init.notification;
    let attributes = [
        ("notification_id", notification.id.as_str().len()),
        ("source_message_id", init.source_message_id.len()),
        ("type", notification.kind.as_str().len()),
        ("payload", notification.payload.as_str().len()),
        ("fingerprint", notification.fingerprint.to_string().len()),
        ("status", "INIT".len()),
        ("version", DIGIT),
        ("redrives", DIGIT),
        ("created_at", TIME),
        ("updated_at", TIME),
    ];
    let bytes = attributes.iter().map(|(name, bytes)| name.len() + bytes);
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_items_have_all_that_complete_adds() {
        let payload = r#"{"a":1}"#;
        for storage in [PayloadCompression::Auto, PayloadCompression::Never] {
            let sizes = Storage::Own(storage).sizes(payload);
            let time = "updated_at".len() + 24;
            let name = "settled_by".len() + SETTLED_BY.len();
            assert_eq!(sizes.settled_item - sizes.item, (time + name) as f64);
        }
    }

    #[test]
    fn peers_store_all_values_as_text() {
        let payload = r#"{"a":1}"#;
        let (own, peer) = (
            Storage::Own(PayloadCompression::Never).sizes(payload),
            Storage::Peer.sizes(payload),
        );
        // Fingerprint as text, `updated_at`, and `redrives`.
        assert_eq!(peer.item - own.item, 32.0 + 34.0 + 10.0);
        assert_eq!(peer.write_units(), 2.0);
        assert_eq!(peer.record, own.record);
    }
}
