//! The bytes of a notification: in the queue, in the table, in a change of the table and in the notification stream.

use onewrite::item::PayloadCompression;
use onewrite_cost::{billing::write_units, sizes};

use crate::{
    events::change_of,
    payloads::{id, item},
};

/// What an item of the peers has more: the fingerprint as text, `updated_at` also in INIT, and `redrives` also at 0.
const PEER_BYTES: u64 = 32 + 34 + 10;

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

    /// The sizes with this payload. `None`: `ingest` would reject the message.
    #[must_use]
    pub fn sizes(self, payload: &str) -> Option<Sizes> {
        let own = sizes::Sizes::measure(payload, self.compression())?;
        let (item_bytes, settled_item) = match self {
            Self::Own(_) => (own.item, own.settled_item),
            Self::Peer => (own.item + PEER_BYTES, own.item + PEER_BYTES),
        };
        let init = item(&id(0), payload, self.compression());
        Some(Sizes {
            message: own.message as f64,
            item: item_bytes as f64,
            settled_item: settled_item as f64,
            change: change_of(&init).len() as f64,
            record: own.record as f64,
        })
    }
}

impl Sizes {
    /// Write units for INIT and DONE.
    #[must_use]
    pub fn write_units(&self) -> f64 {
        write_units(self.item) + write_units(self.settled_item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_store_all_values_as_text() {
        let payload = r#"{"a":1}"#;
        let (own, peer) = (
            Storage::Own(PayloadCompression::Never)
                .sizes(payload)
                .unwrap(),
            Storage::Peer.sizes(payload).unwrap(),
        );
        let text = [
            ("fingerprint", 64 - 32),
            (
                "updated_at",
                "updated_at".len() + "2026-11-23T10:00:00.123Z".len(),
            ),
            ("redrives", "redrives".len() + 2),
        ];
        let bytes: usize = text.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(peer.item - own.item, bytes as f64);
        assert!(own.settled_item > own.item && peer.settled_item == peer.item);
        assert_eq!(peer.write_units(), 2.0);
        assert_eq!(peer.record, own.record);
    }
}
