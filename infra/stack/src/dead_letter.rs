//! A dead letter, and why `ingest` did not accept it. No I/O.

use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem},
    notification::{Fingerprint, MessagePointers, NotificationId, Rejection},
};
use serde::Serialize;

/// A message in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The message id. A message that is moved back gets another one.
    pub message_id: String,
    /// The notification id; `None` if the message was rejected.
    pub notification_id: Option<String>,
    /// When the message was sent. On a FIFO queue, when it became a dead letter.
    pub sent_at: Option<Timestamp>,
    /// How often it was received, including by this tool.
    pub receives: u32,
    pub message_group_id: Option<String>,
    pub reason: DeadLetterReason,
}

/// The reason why a message is in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "name", content = "rejection")]
pub enum DeadLetterReason {
    /// `ingest` rejects the message on every receive.
    Rejected(#[serde(serialize_with = "serialize_rejection")] Rejection),
    /// The message is valid but nothing is stored under its id. A redrive can succeed.
    NotStored,
    /// Different content is stored under its id.
    Conflict,
    /// The same content is already stored.
    AlreadyStored,
}

fn serialize_rejection<S: serde::Serializer>(
    rejection: &Rejection,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}: {rejection}", rejection.name()))
}

impl DeadLetterReason {
    /// The name of the reason; for a rejected message, the name of the rejection.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.name(),
            Self::NotStored => "NotStored",
            Self::Conflict => "Conflict",
            Self::AlreadyStored => "AlreadyStored",
        }
    }

    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Rejected(rejection) => format!("rejected: {}: {rejection}", rejection.name()),
            Self::NotStored => "valid, not stored".to_owned(),
            Self::Conflict => "conflict: different content is stored".to_owned(),
            Self::AlreadyStored => "a copy of the stored notification".to_owned(),
        }
    }
}

/// A parsed message body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageBody {
    Notification(NotificationId, Fingerprint),
    Rejected(Rejection),
}

impl MessageBody {
    /// Parses a message body as `ingest` does, but without the enrichment of an aggregation.
    #[must_use]
    pub fn parse(body: &str, message_id: &str, pointers: &MessagePointers) -> Self {
        let notification = match pointers.parse(body) {
            Ok(notification) => notification,
            Err(rejection) => return Self::Rejected(rejection),
        };
        let (id, fingerprint) = (notification.id.clone(), notification.fingerprint);
        let nothing = Enrichment::default();
        let now = Timestamp::UNIX_EPOCH;
        match NotificationItem::new(notification, &nothing, message_id.to_owned(), None, now) {
            Ok(_) => Self::Notification(id, fingerprint),
            Err(rejection) => Self::Rejected(rejection),
        }
    }

    /// Whether the message belongs to the notification. A rejected message belongs to every id in its text.
    #[must_use]
    pub fn is_about(&self, id: &str, body: &str) -> bool {
        match self {
            Self::Notification(own, _) => own.as_str() == id,
            Self::Rejected(_) => body.contains(id),
        }
    }

    /// The reason why a dead letter with this body was not accepted, given the fingerprint that is stored under its id.
    #[must_use]
    pub fn reason(&self, stored: Option<Fingerprint>) -> DeadLetterReason {
        match (self, stored) {
            (Self::Rejected(rejection), _) => DeadLetterReason::Rejected(*rejection),
            (Self::Notification(..), None) => DeadLetterReason::NotStored,
            (Self::Notification(_, own), Some(stored)) if *own == stored => {
                DeadLetterReason::AlreadyStored
            }
            (Self::Notification(..), Some(_)) => DeadLetterReason::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use onewrite::{limits::MAX_ITEM_BYTES, notification::Notification};

    use super::*;

    fn notification(payload: &str) -> Notification {
        let body = format!(r#"{{"notification_id":"rf_8841","payload":{payload}}}"#);
        MessagePointers::default().parse(&body).unwrap()
    }

    #[test]
    fn derives_the_reason_from_the_stored_fingerprint() {
        let pointers = MessagePointers::default();
        let parse = |body: &str| MessageBody::parse(body, "m-9", &pointers);
        let one = parse(r#"{"notification_id":"rf_8841","payload":1}"#);
        let stored = notification("1").fingerprint;
        assert_eq!(one.reason(None), DeadLetterReason::NotStored);
        assert_eq!(one.reason(Some(stored)), DeadLetterReason::AlreadyStored);
        let other = notification("2").fingerprint;
        assert_eq!(one.reason(Some(other)), DeadLetterReason::Conflict);
        let broken = r#"{"notification_id":"rf_8841""#;
        let rejected = parse(broken).reason(None);
        assert_eq!(rejected.name(), "InvalidJson");
        assert!(rejected.text().starts_with("rejected: InvalidJson: "));
        let json = serde_json::to_value(&rejected).unwrap();
        let why = json["rejection"].as_str().unwrap();
        assert!(why.starts_with("InvalidJson: "), "{json}");
        let payload = "x".repeat(MAX_ITEM_BYTES);
        let large = format!(r#"{{"notification_id":"rf_8841","payload":"{payload}"}}"#);
        assert_eq!(parse(&large).reason(None).name(), "ItemTooLarge");
    }

    #[test]
    fn matches_a_rejected_body_by_every_id_in_its_text() {
        let pointers = MessagePointers::default();
        let is_about =
            |body: &str, id| MessageBody::parse(body, "m-9", &pointers).is_about(id, body);
        let notification = r#"{"notification_id":"a-1","payload":"b-2"}"#;
        assert!(is_about(notification, "a-1"));
        assert!(!is_about(notification, "b-2") && !is_about(notification, "a"));
        assert!(is_about(r#"{"notification_id":"a-1""#, "a-1"));
        assert!(!is_about("{", "a-1"));
    }
}
