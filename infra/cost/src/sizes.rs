//! How large a message is in the queue, in the table and in the notification stream. The functions' own code serializes a
//! sample, so that these sizes are measured instead of estimated.

use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, NotificationItem},
    notification::MessagePointers,
};

/// Length of an id, as of a UUID.
const ID: &str = "6a1f3c52-0d4e-4b8a-9c37-2f5e8d1b7a90";

/// Bytes of one message with an id of 36 characters and without a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the message body.
    pub message: u64,
    /// Bytes of the item.
    pub item: u64,
    /// Bytes of the Kinesis record, including its partition key.
    pub record: u64,
}

impl Sizes {
    /// Measures a message with this many bytes of payload.
    #[must_use]
    pub fn new(payload_bytes: u64) -> Self {
        let payload = match payload_bytes {
            0 | 1 => "1".to_owned(),
            _ => format!("\"{}\"", "x".repeat(payload_bytes as usize - 2)),
        };
        let body =
            format!(r#"{{"notification_id":"{ID}","type":"notification","payload":{payload}}}"#);
        let notification = MessagePointers::default().parse(&body).ok();
        let item = notification.and_then(|notification| {
            let (enrichment, now) = (Enrichment::default(), Timestamp::UNIX_EPOCH);
            NotificationItem::new(notification, &enrichment, ID.to_owned(), None, now).ok()
        });
        let (item, event) = item.as_ref().map_or((0, 0), |item| {
            let event = NotificationEvent::from_item(item).to_json();
            (item.bytes(), event.len())
        });
        Self {
            message: body.len() as u64,
            item: item as u64,
            record: (event + ID.len()) as u64,
        }
    }

    /// The bytes that every message has in addition to its payload.
    #[must_use]
    pub fn overhead() -> Self {
        const PAYLOAD: u64 = 2;
        let sizes = Self::new(PAYLOAD);
        Self {
            message: sizes.message - PAYLOAD,
            item: sizes.item - PAYLOAD,
            record: sizes.record - PAYLOAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_does_not_depend_on_payload_size() {
        let overhead = Sizes::overhead();
        for bytes in [2, 100, 1_024, 20_000] {
            let expected = Sizes {
                message: overhead.message + bytes,
                item: overhead.item + bytes,
                record: overhead.record + bytes,
            };
            assert_eq!(Sizes::new(bytes), expected);
        }
    }
}
