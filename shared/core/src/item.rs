//! The notification as a DynamoDB item: attribute names, conversion, and the size that DynamoDB counts.
//!
//! [`Item`] is a type of serde_dynamo, not of the SDK. Stream events and the adapter both use it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use jiff::{SignedDuration, Timestamp, Unit};
use serde_dynamo::{AttributeValue, Item};

use crate::{
    limits::{ITEM_GROWTH_BYTES, MAX_ITEM_BYTES},
    notification::{
        Fingerprint, Notification, NotificationId, NotificationType, Payload, Refusal, Rejection,
        Status, TraceParent, json,
    },
};

/// The attribute names of an item.
pub mod attribute {
    /// String, partition key.
    pub const NOTIFICATION_ID: &str = "notification_id";
    /// String: `INIT`, `DONE` or `REFUSED`.
    pub const STATUS: &str = "status";
    /// String: the notification type.
    pub const TYPE: &str = "type";
    /// String: the payload as JSON text, exactly as sent.
    pub const PAYLOAD: &str = "payload";
    /// String: 64 hexadecimal digits.
    pub const FINGERPRINT: &str = "fingerprint";
    /// String: RFC 3339 with milliseconds, UTC.
    pub const CREATED_AT: &str = "created_at";
    /// String: RFC 3339 with milliseconds, UTC.
    pub const UPDATED_AT: &str = "updated_at";
    /// Number: 1 in INIT, 2 in DONE and REFUSED.
    pub const VERSION: &str = "version";
    /// String: the id of the SQS message that created the item.
    pub const SOURCE_MESSAGE_ID: &str = "source_message_id";
    /// Number: how often an operator requested the event again.
    pub const REDRIVES: &str = "redrives";
    /// String, only if the message had a trace: W3C `traceparent`.
    pub const TRACEPARENT: &str = "traceparent";
    /// String, only if the aggregation added something: a JSON object.
    pub const ENRICHMENT: &str = "enrichment";
    /// String, only in REFUSED: the code of the reason.
    pub const REFUSAL: &str = "refusal";
    /// Number, set with DONE and REFUSED if a retention is configured: seconds since 1970, DynamoDB's TTL attribute.
    pub const EXPIRES_AT: &str = "expires_at";
    /// String, only if an operator erased the payload of a settled item: RFC 3339 with milliseconds, UTC.
    pub const ERASED_AT: &str = "erased_at";

    /// All names.
    pub const ALL: [&str; 15] = [
        NOTIFICATION_ID,
        STATUS,
        TYPE,
        PAYLOAD,
        FINGERPRINT,
        CREATED_AT,
        UPDATED_AT,
        VERSION,
        SOURCE_MESSAGE_ID,
        REDRIVES,
        TRACEPARENT,
        ENRICHMENT,
        REFUSAL,
        EXPIRES_AT,
        ERASED_AT,
    ];
}

/// The result of an aggregation: names and JSON values, stored as one JSON object.
///
/// It depends on the message only, so two copies of a message have the same enrichment. It is confidential like the
/// payload: `Debug` shows only the number of names.
#[derive(Clone, Default, PartialEq)]
pub struct Enrichment(BTreeMap<String, serde_json::Value>);

impl Enrichment {
    /// Adds a value, or replaces the value with the same name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// The JSON object as text, or `None` if it is empty.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        let object: serde_json::Map<_, _> = self.0.clone().into_iter().collect();
        (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
    }
}

impl std::fmt::Debug for Enrichment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Enrichment({} names)", self.0.len())
    }
}

/// A notification with its state in the table.
#[derive(Clone, PartialEq)]
pub struct NotificationItem {
    /// Id, type, payload and fingerprint.
    pub notification: Notification,
    /// The status.
    pub status: Status,
    /// The number of transitions plus one.
    pub version: u64,
    /// The time of the insert.
    pub created_at: Timestamp,
    /// The time of the last change of status.
    pub updated_at: Timestamp,
    /// The id of the SQS message that created the item.
    pub source_message_id: String,
    /// How often an operator requested the event again.
    pub redrives: u64,
    /// The trace of the message.
    pub traceparent: Option<TraceParent>,
    /// The enrichment: the text of a JSON object.
    pub enrichment: Option<String>,
    /// Why the downstream refused the notification; only in REFUSED. `None` also if another consumer stored something that is
    /// not a code.
    pub refusal: Option<Refusal>,
    /// When DynamoDB may remove the item, in seconds since 1970.
    pub expires_at: Option<i64>,
}

impl std::fmt::Debug for NotificationItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotificationItem")
            .field("notification", &self.notification)
            .field("status", &self.status)
            .field("version", &self.version)
            .field("redrives", &self.redrives)
            .finish_non_exhaustive()
    }
}

impl NotificationItem {
    /// The item of a new notification: INIT, version 1.
    ///
    /// # Errors
    /// [`InvalidItem`]: DynamoDB would not store the item, DONE or REFUSED would not fit later, or the event could not be read.
    pub fn new(
        notification: Notification,
        enrichment: &Enrichment,
        source_message_id: String,
        traceparent: Option<TraceParent>,
        now: Timestamp,
    ) -> Result<Self, InvalidItem> {
        let status = Status::Init;
        let enrichment = enrichment.to_json();
        if let Some(text) = &enrichment {
            json::Document::parse(text).map_err(InvalidItem::Enrichment)?;
        }
        let item = Self {
            notification,
            status,
            version: status.version(),
            created_at: now,
            updated_at: now,
            source_message_id,
            redrives: 0,
            traceparent,
            enrichment,
            refusal: None,
            expires_at: None,
        };
        let bytes = item.bytes() + ITEM_GROWTH_BYTES;
        if bytes > MAX_ITEM_BYTES {
            Err(Rejection::ItemTooLarge { bytes }.into())
        } else {
            Ok(item)
        }
    }

    /// The size in bytes as DynamoDB counts it: names and values in UTF-8, and numbers at their largest size
    /// (DynamoDB developer guide, "Item sizes and formats").
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_value = |value: &Field<'_>| match value {
            Field::Text(text) => text.len(),
            // One byte for two digits, one for the sign and exponent.
            Field::Number(number) => number.to_string().len().div_ceil(2) + 1,
        };
        self.fields()
            .map(|(name, value)| name.len() + of_value(&value))
            .sum()
    }

    /// All attributes as one item.
    #[must_use]
    pub fn to_item(&self) -> Item {
        self.attributes().collect::<HashMap<_, _>>().into()
    }

    /// All attributes, one after the other.
    pub fn attributes(&self) -> impl Iterator<Item = (String, AttributeValue)> {
        self.fields().map(|(name, value)| {
            let value = match value {
                Field::Text(text) => AttributeValue::S(text.into_owned()),
                Field::Number(number) => AttributeValue::N(number.to_string()),
            };
            (name.to_owned(), value)
        })
    }

    /// The attributes that have a value.
    fn fields(&self) -> impl Iterator<Item = (&'static str, Field<'_>)> {
        use attribute as a;
        let text = |text| Some(Field::Text(Cow::Borrowed(text)));
        let owned = |text| Some(Field::Text(Cow::Owned(text)));
        let number = |number: i128| Some(Field::Number(number));
        let Notification {
            id,
            kind,
            payload,
            fingerprint,
        } = &self.notification;
        let fields = [
            (a::NOTIFICATION_ID, text(id.as_str())),
            (a::STATUS, text(self.status.as_str())),
            (a::TYPE, text(kind.as_str())),
            (a::PAYLOAD, text(payload.as_str())),
            (a::FINGERPRINT, owned(fingerprint.to_string())),
            (a::CREATED_AT, owned(to_rfc3339(self.created_at))),
            (a::UPDATED_AT, owned(to_rfc3339(self.updated_at))),
            (a::VERSION, number(self.version.into())),
            (a::SOURCE_MESSAGE_ID, text(&self.source_message_id)),
            (a::REDRIVES, number(self.redrives.into())),
            (
                a::TRACEPARENT,
                self.traceparent
                    .as_ref()
                    .and_then(|trace| text(trace.as_str())),
            ),
            (a::ENRICHMENT, self.enrichment.as_deref().and_then(text)),
            (
                a::REFUSAL,
                self.refusal.as_ref().and_then(|code| text(code.as_str())),
            ),
            (
                a::EXPIRES_AT,
                self.expires_at.and_then(|at| number(at.into())),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Converts an item. Unknown attributes are ignored.
    ///
    /// The fingerprint is parsed but not compared with the payload.
    ///
    /// # Errors
    /// [`UnreadableItem`] names the invalid attribute. Somebody must have edited it by hand.
    pub fn from_item(item: &Item) -> Result<Self, UnreadableItem> {
        Self::from_attributes(item)
    }

    /// Converts an item in any representation, as [`NotificationItem::from_item`] does.
    ///
    /// # Errors
    /// [`UnreadableItem`] names the invalid attribute.
    pub fn from_attributes(item: &impl Attributes) -> Result<Self, UnreadableItem> {
        use attribute as a;
        let fields = Fields(item);
        Ok(Self {
            notification: Notification {
                id: fields.parsed(a::NOTIFICATION_ID, |text| NotificationId::parse(text).ok())?,
                kind: fields.parsed(a::TYPE, |text| NotificationType::parse(text).ok())?,
                payload: fields.parsed(a::PAYLOAD, |text| Payload::parse(text).ok())?,
                fingerprint: fields
                    .parsed(a::FINGERPRINT, |text| text.parse::<Fingerprint>().ok())?,
            },
            status: fields.parsed(a::STATUS, |text| text.parse().ok())?,
            version: fields.number(a::VERSION)?,
            created_at: fields.parsed(a::CREATED_AT, |text| text.parse().ok())?,
            updated_at: fields.parsed(a::UPDATED_AT, |text| text.parse().ok())?,
            source_message_id: fields.parsed(a::SOURCE_MESSAGE_ID, |text| Some(text.to_owned()))?,
            redrives: fields.number(a::REDRIVES)?,
            traceparent: fields.optional(a::TRACEPARENT, |value| {
                value.as_text().and_then(TraceParent::parse)
            })?,
            enrichment: fields.optional(a::ENRICHMENT, |value| {
                value
                    .as_text()
                    .filter(|text| Payload::parse(*text).is_ok())
                    .map(ToOwned::to_owned)
            })?,
            // Nothing depends on it, so a text that another consumer stored must not make a settled item unreadable. The text
            // itself may be confidential, so nobody gets it.
            refusal: item
                .attribute(a::REFUSAL)
                .and_then(AttributeRef::as_text)
                .and_then(|text| text.parse().ok()),
            expires_at: fields.optional(a::EXPIRES_AT, AttributeRef::as_number)?,
        })
    }
}

/// A new item that must not be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItem {
    /// The message is the reason.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The aggregation is the reason: its enrichment breaks a rule for JSON in messages. `forward` and the consumers could not
    /// read it, so the item would stay in INIT.
    #[error("the enrichment breaks the rule {} of messages", .0.name())]
    Enrichment(Rejection),
}

/// When an operator erased payload and enrichment of this item; `None` if the item still has them. Only a settled item can
/// be erased: without payload, an item in INIT is damaged.
#[must_use]
pub fn erased_at(item: &impl Attributes) -> Option<Timestamp> {
    let text = |name| item.attribute(name).and_then(AttributeRef::as_text);
    let is_erased = item.attribute(attribute::PAYLOAD).is_none()
        && text(attribute::STATUS)
            .and_then(|text| text.parse().ok())
            .is_some_and(Status::is_settled);
    text(attribute::ERASED_AT)
        .filter(|_| is_erased)?
        .parse()
        .ok()
}

/// The attributes of an item, however it is stored. A stream event, for example, needs no map of all attributes.
pub trait Attributes {
    /// The value of the attribute with this name.
    fn attribute(&self, name: &str) -> Option<AttributeRef<'_>>;
}

/// The value of an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AttributeRef<'a> {
    /// A string.
    Text(&'a str),
    /// The digits of a number.
    Number(&'a str),
    /// Any other type. No attribute of a notification has one.
    Other,
}

impl<'a> AttributeRef<'a> {
    fn as_text(self) -> Option<&'a str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    fn as_number<T: std::str::FromStr>(self) -> Option<T> {
        if let Self::Number(digits) = self {
            digits.parse().ok()
        } else {
            None
        }
    }
}

impl Attributes for Item {
    fn attribute(&self, name: &str) -> Option<AttributeRef<'_>> {
        Some(match self.get(name)? {
            AttributeValue::S(text) => AttributeRef::Text(text),
            AttributeValue::N(digits) => AttributeRef::Number(digits),
            _ => AttributeRef::Other,
        })
    }
}

/// The value of one attribute.
enum Field<'a> {
    Text(Cow<'a, str>),
    Number(i128),
}

/// An item that is not a notification: an attribute is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the attribute {attribute:?} of the item is missing or invalid")]
pub struct UnreadableItem {
    /// The name of the attribute.
    pub attribute: &'static str,
}

struct Fields<'a, A>(&'a A);

impl<'a, A: Attributes> Fields<'a, A> {
    fn parsed<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, UnreadableItem> {
        self.0
            .attribute(attribute)
            .and_then(AttributeRef::as_text)
            .and_then(parse)
            .ok_or(UnreadableItem { attribute })
    }

    fn number<T: std::str::FromStr>(&self, attribute: &'static str) -> Result<T, UnreadableItem> {
        self.0
            .attribute(attribute)
            .and_then(AttributeRef::as_number)
            .ok_or(UnreadableItem { attribute })
    }

    fn optional<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(AttributeRef<'a>) -> Option<T>,
    ) -> Result<Option<T>, UnreadableItem> {
        match self.0.attribute(attribute) {
            None => Ok(None),
            Some(value) => parse(value).map(Some).ok_or(UnreadableItem { attribute }),
        }
    }
}

/// Formats a time as RFC 3339 in UTC, always with three digits of milliseconds, so that texts sort like times.
#[must_use]
pub fn to_rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Truncates a time to whole milliseconds, the precision of an item.
#[must_use]
pub fn to_millis(time: Timestamp) -> Timestamp {
    let round = jiff::TimestampRound::new()
        .smallest(Unit::Millisecond)
        .mode(jiff::RoundMode::Trunc);
    time.round(round).unwrap_or(time)
}

/// The time `days` after `time`, in seconds since 1970, the format of DynamoDB's TTL.
#[must_use]
pub fn expiry(time: Timestamp, days: u32) -> i64 {
    time.as_second().saturating_add(
        SignedDuration::from_hours(24)
            .as_secs()
            .saturating_mul(days.into()),
    )
}

#[cfg(test)]
mod tests;
