//! A dead letter, and why `ingest` did not accept it. No I/O.

use std::{collections::BTreeSet, str::FromStr};

use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, InvalidItem, NotificationItem, PayloadCompression},
    notification::{Fingerprint, MessagePointers, NotificationId, NotificationType, Rejection},
};
use serde::Serialize;

/// A message in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The message id. A message that is moved back gets another one.
    pub message_id: String,
    /// The notification id. Of a rejected message, the id that its text seems to name, if any: see [`MessageBody::id`].
    pub notification_id: Option<String>,
    /// The notification type; `None` for a rejected message.
    pub notification_type: Option<String>,
    /// When the message was sent. On a FIFO queue, when it became a dead letter.
    pub sent_at: Option<Timestamp>,
    /// How often it was received, including by this tool: SQS counts each inspection as a receive.
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
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }

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

/// What the table stores under a notification id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredContent {
    Nothing,
    /// An item with this fingerprint; `None` if somebody removed the fingerprint.
    Item(Option<Fingerprint>),
}

/// The settings of `ingest` that decide what it accepts.
#[derive(Clone, Debug, Default)]
pub struct MessageRules {
    /// Where the parts of a message are.
    pub pointers: MessagePointers,
    /// Whether an item can be smaller than its message.
    pub compression: PayloadCompression,
}

impl MessageRules {
    /// The rules of a function with these environment variables. An absent or invalid one has its default.
    #[must_use]
    pub fn from_variables<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        fn parsed<T: FromStr>(text: Option<&str>, default: T) -> T {
            text.and_then(|text| text.parse().ok()).unwrap_or(default)
        }
        let Self {
            pointers,
            compression,
        } = Self::default();
        Self {
            pointers: MessagePointers {
                message: parsed(variable("MESSAGE_POINTER"), pointers.message),
                id: parsed(variable("NOTIFICATION_ID_POINTER"), pointers.id),
                kind: parsed(variable("NOTIFICATION_TYPE_POINTER"), pointers.kind),
                payload: parsed(variable("PAYLOAD_POINTER"), pointers.payload),
            },
            compression: parsed(variable("PAYLOAD_COMPRESSION"), compression),
        }
    }
}

/// A parsed message body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageBody {
    Notification {
        id: NotificationId,
        kind: NotificationType,
        fingerprint: Fingerprint,
    },
    Rejected(Rejection),
}

impl MessageBody {
    /// Parses a message body as `ingest` does, but without the enrichment of an aggregation.
    #[must_use]
    pub fn parse(body: &str, message_id: &str, rules: &MessageRules) -> Self {
        let notification = match rules.pointers.parse(body) {
            Ok(notification) => notification,
            Err(rejection) => return Self::Rejected(rejection),
        };
        let parsed = Self::Notification {
            id: notification.id.clone(),
            kind: notification.kind.clone(),
            fingerprint: notification.fingerprint,
        };
        let nothing = Enrichment::default();
        let now = Timestamp::UNIX_EPOCH;
        let message_id = message_id.to_owned();
        let compression = rules.compression;
        match NotificationItem::new(notification, &nothing, message_id, None, now, compression) {
            Ok(_) => parsed,
            Err(InvalidItem::Rejected(rejection) | InvalidItem::Enrichment(rejection)) => {
                Self::Rejected(rejection)
            }
        }
    }

    /// Whether the message belongs to the notification. A rejected message belongs to every id whose values are in its text.
    #[must_use]
    pub fn is_about(&self, id: &str, body: &str, pointers: &MessagePointers) -> bool {
        match self {
            Self::Notification { id: own, .. } => own.as_str() == id,
            Self::Rejected(_) => contains_id(body, id, pointers),
        }
    }

    /// The notification id. Of a rejected message: the first of the `requested` ids in its text, otherwise the first
    /// string behind the name of the id's field, even if the text is no JSON document. It names the message for an
    /// operator and decides nothing.
    #[must_use]
    pub fn id(
        &self,
        body: &str,
        requested: &BTreeSet<String>,
        pointers: &MessagePointers,
    ) -> Option<String> {
        match self {
            Self::Notification { id, .. } => Some(id.to_string()),
            Self::Rejected(_) => requested
                .iter()
                .find(|id| contains_id(body, id, pointers))
                .cloned()
                .or_else(|| find_id(body, pointers)),
        }
    }

    /// The notification type; `None` for a rejected message.
    #[must_use]
    pub fn kind(&self) -> Option<&NotificationType> {
        match self {
            Self::Notification { kind, .. } => Some(kind),
            Self::Rejected(_) => None,
        }
    }

    /// The reason why a dead letter with this body was not accepted, given what is stored under its id.
    #[must_use]
    pub fn reason(&self, stored: StoredContent) -> DeadLetterReason {
        match (self, stored) {
            (Self::Rejected(rejection), _) => DeadLetterReason::Rejected(*rejection),
            (Self::Notification { .. }, StoredContent::Nothing) => DeadLetterReason::NotStored,
            (Self::Notification { fingerprint, .. }, StoredContent::Item(Some(stored)))
                if *fingerprint == stored =>
            {
                DeadLetterReason::AlreadyStored
            }
            (Self::Notification { .. }, StoredContent::Item(_)) => DeadLetterReason::Conflict,
        }
    }
}

/// Whether the text contains each value of the id.
fn contains_id(body: &str, id: &str, pointers: &MessagePointers) -> bool {
    let values = pointers.id.values(id);
    values.is_some_and(|values| values.iter().all(|value| body.contains(value)))
}

/// Finds the string behind the name of the id's field: `"notification_id" : "rf_8841"`. A value that is not a valid id, or
/// that contains an escape, is not shown: it could be anything.
fn find_id(body: &str, pointers: &MessagePointers) -> Option<String> {
    // Several values are not the id yet.
    let [pointer] = pointers.id.as_slice() else {
        return None;
    };
    // Within the text of a message, quotes are escaped.
    let body = if pointers.message.is_empty() {
        body.to_owned()
    } else {
        body.replace("\\\"", "\"")
    };
    let pointer = pointer.to_string();
    let field = format!("\"{}\"", pointer.rsplit('/').next()?);
    let (_, rest) = body.split_once(&field)?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let (id, _) = value.strip_prefix('"')?.split_once('"')?;
    let is_plain = !id.contains('\\') && NotificationId::parse(id).is_ok();
    is_plain.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use onewrite::{limits::MAX_ITEM_BYTES, notification::Notification};

    use super::*;

    fn notification(payload: &str) -> Notification {
        let body = format!(r#"{{"notification_id":"rf_8841","payload":{payload}}}"#);
        MessagePointers::default().parse(&body).unwrap()
    }

    fn rules(pointers: &MessagePointers) -> MessageRules {
        MessageRules {
            pointers: pointers.clone(),
            ..MessageRules::default()
        }
    }

    #[test]
    fn derives_the_reason_from_the_stored_fingerprint() {
        let rules = MessageRules::default();
        let parse = |body: &str| MessageBody::parse(body, "m-9", &rules);
        let one = parse(r#"{"notification_id":"rf_8841","payload":1}"#);
        let stored = notification("1").fingerprint;
        assert_eq!(
            one.reason(StoredContent::Nothing),
            DeadLetterReason::NotStored
        );
        assert_eq!(
            one.reason(StoredContent::Item(Some(stored))),
            DeadLetterReason::AlreadyStored
        );
        let other = notification("2").fingerprint;
        for content in [Some(other), None] {
            let reason = one.reason(StoredContent::Item(content));
            assert_eq!(reason, DeadLetterReason::Conflict, "{content:?}");
        }
        let broken = r#"{"notification_id":"rf_8841""#;
        let rejected = parse(broken).reason(StoredContent::Nothing);
        assert_eq!(rejected.name(), "InvalidJson");
        assert!(rejected.text().starts_with("rejected: InvalidJson: "));
        let json = serde_json::to_value(&rejected).unwrap();
        let why = json["rejection"].as_str().unwrap();
        assert!(why.starts_with("InvalidJson: "), "{json}");
    }

    #[test]
    fn a_large_message_is_too_large_only_if_its_item_is() {
        let payload = "x".repeat(MAX_ITEM_BYTES);
        let large = format!(r#"{{"notification_id":"rf_8841","payload":"{payload}"}}"#);
        for (compression, expected) in [
            (PayloadCompression::Auto, "NotStored"),
            (PayloadCompression::Never, "ItemTooLarge"),
        ] {
            let rules = MessageRules {
                compression,
                ..MessageRules::default()
            };
            let letter = MessageBody::parse(&large, "m-9", &rules);
            assert_eq!(letter.reason(StoredContent::Nothing).name(), expected);
        }
    }

    #[test]
    fn matches_a_rejected_body_by_every_id_in_its_text() {
        let pointers = MessagePointers::default();
        let is_about = |body: &str, id| {
            MessageBody::parse(body, "m-9", &rules(&pointers)).is_about(id, body, &pointers)
        };
        let notification = r#"{"notification_id":"a-1","payload":"b-2"}"#;
        assert!(is_about(notification, "a-1"));
        assert!(!is_about(notification, "b-2") && !is_about(notification, "a"));
        assert!(is_about(r#"{"notification_id":"a-1""#, "a-1"));
        assert!(!is_about("{", "a-1"));
    }

    #[test]
    fn matches_a_rejected_body_by_every_value_of_an_id() {
        let pointers = MessagePointers {
            id: "/source,/id".parse().unwrap(),
            ..MessagePointers::default()
        };
        let body = r#"{"source":"/shop/a","id":"c-1"}"#;
        let parsed = MessageBody::parse(body, "m-9", &rules(&pointers));
        for (id, expected) in [
            ("~1shop~1a/c-1", true),
            ("~1shop~1a/c-2", false),
            ("~1shop~1b/c-1", false),
            ("c-1", false),
        ] {
            assert_eq!(parsed.is_about(id, body, &pointers), expected, "{id}");
            let requested = [id.to_owned()].into();
            let found = parsed.id(body, &requested, &pointers);
            assert_eq!(found, expected.then(|| id.to_owned()));
        }
    }

    #[test]
    fn names_a_rejected_message_in_an_envelope() {
        let pointers = MessagePointers {
            message: "/Message".parse().unwrap(),
            ..MessagePointers::default()
        };
        let body = r#"{"Message":"{\"notification_id\": \"INV 2026/0001\"}"}"#;
        let parsed = MessageBody::parse(body, "m-9", &rules(&pointers));
        let id = parsed.id(body, &BTreeSet::new(), &pointers);
        assert_eq!(id.as_deref(), Some("INV 2026/0001"));
    }

    #[test]
    fn names_a_rejected_message_by_the_id_in_its_text() {
        let pointers = MessagePointers::default();
        let id = |body: &str, requested: &[&str]| {
            let requested = requested.iter().map(ToString::to_string).collect();
            MessageBody::parse(body, "m-9", &rules(&pointers)).id(body, &requested, &pointers)
        };
        let text = |id: &str| Some(id.to_owned());
        assert_eq!(
            id(r#"{"notification_id" : "a-1","payload":"x"#, &[]),
            text("a-1")
        );
        assert_eq!(id(r#"{"notification_id":"a-1"}"#, &[]), text("a-1"));
        assert_eq!(id(r#"{"other":"a-1""#, &["a-1", "b-2"]), text("a-1"));
        for without in [
            "{",
            r#"{"other":"a-1"}"#,
            r#"{"notification_id":"tab\tinside"}"#,
            r#"{"notification_id":"\u0061"}"#,
            r#"{"notification_id":7}"#,
            r#"{"notification_id":"cut"#,
        ] {
            assert_eq!(id(without, &[]), None, "{without}");
        }
        let valid = r#"{"notification_id":"a-1","payload":"b-2"}"#;
        assert_eq!(id(valid, &["b-2"]), text("a-1"));
    }
}
