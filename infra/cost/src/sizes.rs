//! How large a message is in the queue, in the table and in the notification stream. The functions' own code serializes a
//! sample, so that these sizes are measured instead of estimated.

use std::sync::LazyLock;

use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, NotificationItem, PayloadCompression, write_units},
    notification::{MessagePointers, Status},
};

/// Length of an id, as of a UUID.
const ID: &str = "6a1f3c52-0d4e-4b8a-9c37-2f5e8d1b7a90";

/// The name of `complete` that CloudFormation composes for a stack `onewrite`.
const SETTLED_BY: &str = "onewrite-CompleteFunction-x7Vq2mK9dPzA";

/// What deflate makes of a payload whose content is not known: half of its bytes. 1 KB of JSON with random ids and amounts needs
/// less, 0.4, and larger payloads half of that.
pub const DEFLATE_RATIO: f64 = 0.5;

/// Bytes of one message with an id of 36 characters and without a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the message body.
    pub message: u64,
    /// Bytes of the item in INIT.
    pub item: u64,
    /// Bytes of the item in DONE.
    pub settled_item: u64,
    /// Bytes of the Kinesis record, including its partition key.
    pub record: u64,
}

/// The bytes that every message has in addition to its payload.
static OVERHEAD: LazyLock<Sizes> = LazyLock::new(|| {
    const PAYLOAD: &str = "10";
    let payload = PAYLOAD.len() as u64;
    let sizes = Sizes::measure(PAYLOAD, PayloadCompression::Never);
    sizes.map_or(Sizes::NONE, |sizes| Sizes {
        message: sizes.message - payload,
        item: sizes.item - payload,
        settled_item: sizes.settled_item - payload,
        record: sizes.record - payload,
    })
});

impl Sizes {
    const NONE: Self = Self {
        message: 0,
        item: 0,
        settled_item: 0,
        record: 0,
    };

    /// Measures a message with this payload, a JSON text. `None`: `ingest` would reject the message.
    #[must_use]
    pub fn measure(payload: &str, compression: PayloadCompression) -> Option<Self> {
        let body =
            format!(r#"{{"notification_id":"{ID}","type":"notification","payload":{payload}}}"#);
        let notification = MessagePointers::default().parse(&body).ok()?;
        let item = NotificationItem::new(
            notification,
            &Enrichment::default(),
            ID.to_owned(),
            None,
            Timestamp::UNIX_EPOCH,
            compression,
        );
        let item = item.ok()?;
        let record = NotificationEvent::from_item(&item).to_json().len() + ID.len();
        let bytes = item.bytes();
        let settled = NotificationItem {
            status: Status::Done,
            version: Status::Done.version(),
            settled_by: SETTLED_BY.parse().ok(),
            ..item
        };
        Some(Self {
            message: body.len() as u64,
            item: bytes as u64,
            settled_item: settled.bytes() as u64,
            record: record as u64,
        })
    }

    /// Estimates a message with this many bytes of payload. Compression makes it `ratio` times as large, and is used if it
    /// saves a write unit, as in `ingest`.
    #[must_use]
    pub fn new(payload_bytes: u64, ratio: f64) -> Self {
        let text = Self::overhead().with_payload(payload_bytes);
        let deflated_payload = (payload_bytes as f64 * ratio).ceil() as u64;
        let deflated = Self::overhead().with_payload(deflated_payload);
        if write_units(deflated.item as usize) >= write_units(text.item as usize) {
            return text;
        }
        Self {
            item: deflated.item,
            settled_item: deflated.settled_item,
            ..text
        }
    }

    /// The bytes that every message has in addition to its payload.
    #[must_use]
    pub fn overhead() -> Self {
        *OVERHEAD
    }

    fn with_payload(self, bytes: u64) -> Self {
        // Saturates: an absurd number must not become a small one.
        Self {
            message: self.message.saturating_add(bytes),
            item: self.item.saturating_add(bytes),
            settled_item: self.settled_item.saturating_add(bytes),
            record: self.record.saturating_add(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(bytes: usize) -> String {
        format!("\"{}\"", "x".repeat(bytes - 2))
    }

    #[test]
    fn overhead_does_not_depend_on_payload_size() {
        for bytes in [2, 100, 1_024, 20_000] {
            let measured = Sizes::measure(&text(bytes), PayloadCompression::Never).unwrap();
            assert_eq!(Sizes::overhead().with_payload(bytes as u64), measured);
            assert_eq!(Sizes::new(bytes as u64, 1.0), measured);
        }
    }

    #[test]
    fn compression_is_used_if_it_saves_a_write_unit() {
        let overhead = Sizes::overhead();
        let (small, large) = (Sizes::new(500, 0.5), Sizes::new(1_024, 0.5));
        assert_eq!(small.item, overhead.item + 500);
        assert_eq!(large.item, overhead.item + 512);
        // Message and event stay as they are.
        assert_eq!(large.message, overhead.message + 1_024);
        assert_eq!(large.record, overhead.record + 1_024);
        let payload = text(20_000);
        let measured = Sizes::measure(&payload, PayloadCompression::Auto).unwrap();
        assert!(measured.item < 1_024, "{measured:?}");
        assert!(measured.settled_item > measured.item);
    }

    #[test]
    fn a_text_that_ingest_rejects_has_no_size() {
        for payload in ["", "{", "1 2"] {
            assert_eq!(Sizes::measure(payload, PayloadCompression::Auto), None);
        }
    }
}
