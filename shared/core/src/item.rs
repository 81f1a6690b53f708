//! The notification as a DynamoDB item: attribute names, conversion, and the size that DynamoDB counts.
//!
//! [`Item`] is a type of serde_dynamo, not of the SDK. Stream events and the adapter both use it.

mod attributes;

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use jiff::{SignedDuration, Timestamp, Unit};
use serde_dynamo::{AttributeValue, Item};

use crate::{
    compression::{deflate, inflate},
    limits::{
        ITEM_GROWTH_BYTES, MAX_ENRICHMENT_BYTES, MAX_ITEM_BYTES, MAX_MESSAGE_BYTES,
        WRITE_UNIT_BYTES,
    },
    notification::{
        ConsumerName, Notification, NotificationId, NotificationType, Payload, Refusal, Rejection,
        Status, TraceParent, json,
    },
};

use attributes::Fields;
pub use attributes::{AttributeRef, Attributes, UnreadableItem};

/// The attribute names of an item.
pub mod attribute {
    /// String, partition key.
    pub const NOTIFICATION_ID: &str = "notification_id";
    /// String: `INIT`, `DONE` or `REFUSED`.
    pub const STATUS: &str = "status";
    /// String: the notification type.
    pub const TYPE: &str = "type";
    /// The payload as JSON text, exactly as sent: a string, or, if that saves a write unit, binary (see
    /// [`compression`](crate::compression)).
    pub const PAYLOAD: &str = "payload";
    /// Binary: 32 bytes. In items of earlier versions a string of 64 hexadecimal digits.
    pub const FINGERPRINT: &str = "fingerprint";
    /// String: RFC 3339 with milliseconds, UTC.
    pub const CREATED_AT: &str = "created_at";
    /// String, only in DONE and REFUSED: RFC 3339 with milliseconds, UTC.
    pub const UPDATED_AT: &str = "updated_at";
    /// Number: 1 in INIT, 2 in DONE and REFUSED.
    pub const VERSION: &str = "version";
    /// String: the id of the SQS message that created the item.
    pub const SOURCE_MESSAGE_ID: &str = "source_message_id";
    /// Number, only if it is not 0: how often an operator requested the event again.
    pub const REDRIVES: &str = "redrives";
    /// String, only if the message had a trace: W3C `traceparent`.
    pub const TRACEPARENT: &str = "traceparent";
    /// A JSON object, only if the aggregation added something: a string, or binary as the payload.
    pub const ENRICHMENT: &str = "enrichment";
    /// String, only in REFUSED: the code of the reason.
    pub const REFUSAL: &str = "refusal";
    /// String, only in DONE and REFUSED, and only if the consumer has a name: which consumer settled the notification.
    pub const SETTLED_BY: &str = "settled_by";
    /// Number, set with DONE and REFUSED if a retention is configured: seconds since 1970, DynamoDB's TTL attribute.
    pub const EXPIRES_AT: &str = "expires_at";
    /// String, only if an operator erased the payload of a settled item: RFC 3339 with milliseconds, UTC.
    pub const ERASED_AT: &str = "erased_at";

    /// All names.
    pub const ALL: [&str; 16] = [
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
        SETTLED_BY,
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

/// Whether `ingest` stores large texts compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadCompression {
    /// Compress if that saves at least one write unit, or if the item would be too large otherwise.
    #[default]
    Auto,
    /// Store every text as it is.
    Never,
}

impl FromStr for PayloadCompression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "never" => Ok(Self::Never),
            _ => Err("neither auto nor never"),
        }
    }
}

/// The texts that an item stores compressed. `None`: stored as text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Deflated {
    /// The payload.
    pub payload: Option<Vec<u8>>,
    /// The enrichment.
    pub enrichment: Option<Vec<u8>>,
}

impl std::fmt::Debug for Deflated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = |text: &Option<Vec<u8>>| text.as_ref().map(Vec::len);
        f.debug_struct("Deflated")
            .field("payload_bytes", &bytes(&self.payload))
            .field("enrichment_bytes", &bytes(&self.enrichment))
            .finish()
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
    /// The time of the last change of status. In INIT, it is the time of the insert.
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
    /// Which consumer settled the notification, if it gave its name. `None` also if another consumer stored something that is
    /// not a name.
    pub settled_by: Option<ConsumerName>,
    /// When DynamoDB may remove the item, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// The texts above in their compressed form, if they are stored so.
    pub deflated: Deflated,
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
        compression: PayloadCompression,
    ) -> Result<Self, InvalidItem> {
        let status = Status::Init;
        let enrichment = enrichment.to_json();
        if let Some(text) = &enrichment {
            json::check(text, json::Limits::NEW).map_err(InvalidItem::Enrichment)?;
        }
        check_event(notification.payload.as_str(), enrichment.as_deref())?;
        let text = Self {
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
            settled_by: None,
            expires_at: None,
            deflated: Deflated::default(),
        };
        let item = match compression {
            PayloadCompression::Auto => text.in_fewest_units(),
            PayloadCompression::Never => text,
        };
        let bytes = item.bytes() + ITEM_GROWTH_BYTES;
        if bytes > MAX_ITEM_BYTES {
            Err(Rejection::ItemTooLarge { bytes }.into())
        } else {
            Ok(item)
        }
    }

    /// Compresses the texts of a new item if that saves write units, or if the item would be too large otherwise.
    fn in_fewest_units(mut self) -> Self {
        let bytes = self.bytes();
        if write_units(bytes) <= MIN_WRITE_UNITS {
            return self;
        }
        let deflated = Deflated {
            payload: deflate(self.notification.payload.as_str()),
            enrichment: self.enrichment.as_deref().and_then(deflate),
        };
        self.deflated = deflated;
        let is_too_large = bytes + ITEM_GROWTH_BYTES > MAX_ITEM_BYTES;
        if !is_too_large && write_units(self.bytes()) == write_units(bytes) {
            self.deflated = Deflated::default();
        }
        self
    }

    /// The size in bytes as DynamoDB counts it: names and values in UTF-8, and numbers at their largest size
    /// (DynamoDB developer guide, "Item sizes and formats").
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fields()
            .map(|(name, value)| name.len() + value.bytes())
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
                Field::Text(text) => AttributeValue::S(text.to_owned()),
                Field::Binary(bytes) => AttributeValue::B(bytes.to_owned()),
                Field::Time(time) => AttributeValue::S(to_rfc3339(time)),
                Field::Number(number) => AttributeValue::N(number.to_string()),
            };
            (name.to_owned(), value)
        })
    }

    /// The attributes that have a value.
    fn fields(&self) -> impl Iterator<Item = (&'static str, Field<'_>)> {
        use attribute as a;
        let number = |number: i128| Some(Field::Number(number));
        let Notification {
            id,
            kind,
            payload,
            fingerprint,
        } = &self.notification;
        let fields = [
            (a::NOTIFICATION_ID, Some(Field::Text(id.as_str()))),
            (a::STATUS, Some(Field::Text(self.status.as_str()))),
            (a::TYPE, Some(Field::Text(kind.as_str()))),
            (
                a::PAYLOAD,
                large_text(Some(payload.as_str()), self.deflated.payload.as_deref()),
            ),
            (a::FINGERPRINT, Some(Field::Binary(fingerprint.as_bytes()))),
            (a::CREATED_AT, Some(Field::Time(self.created_at))),
            (
                a::UPDATED_AT,
                self.status
                    .is_settled()
                    .then_some(Field::Time(self.updated_at)),
            ),
            (a::VERSION, number(self.version.into())),
            (
                a::SOURCE_MESSAGE_ID,
                Some(Field::Text(&self.source_message_id)),
            ),
            (
                a::REDRIVES,
                (self.redrives > 0).then_some(Field::Number(self.redrives.into())),
            ),
            (
                a::TRACEPARENT,
                text(self.traceparent.as_ref(), TraceParent::as_str),
            ),
            (
                a::ENRICHMENT,
                large_text(
                    self.enrichment.as_deref(),
                    self.deflated.enrichment.as_deref(),
                ),
            ),
            (a::REFUSAL, text(self.refusal.as_ref(), Refusal::as_str)),
            (
                a::SETTLED_BY,
                text(self.settled_by.as_ref(), ConsumerName::as_str),
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
        let status = fields.parsed(a::STATUS, |text| text.parse().ok())?;
        let created_at = fields.parsed(a::CREATED_AT, |text| text.parse().ok())?;
        let updated_at = fields.optional(a::UPDATED_AT, |value| value.as_text()?.parse().ok())?;
        let payload = fields.required(a::PAYLOAD, |value| {
            LargeText::read(value, MAX_MESSAGE_BYTES)
        })?;
        let enrichment = fields.optional(a::ENRICHMENT, |value| {
            LargeText::read(value, MAX_ENRICHMENT_BYTES)
        })?;
        let (enrichment, deflated_enrichment) = enrichment
            .map(|enrichment| (enrichment.text.into_string(), enrichment.deflated))
            .unzip();
        Ok(Self {
            notification: Notification {
                id: fields.parsed(a::NOTIFICATION_ID, |text| NotificationId::parse(text).ok())?,
                kind: fields.parsed(a::TYPE, |text| NotificationType::parse(text).ok())?,
                payload: payload.text,
                fingerprint: fields.required(a::FINGERPRINT, AttributeRef::as_fingerprint)?,
            },
            status,
            version: fields.number(a::VERSION)?,
            created_at,
            updated_at: match updated_at {
                Some(time) => time,
                None if status == Status::Init => created_at,
                None => {
                    let attribute = a::UPDATED_AT;
                    return Err(UnreadableItem { attribute });
                }
            },
            source_message_id: fields.parsed(a::SOURCE_MESSAGE_ID, |text| Some(text.to_owned()))?,
            redrives: fields
                .optional(a::REDRIVES, AttributeRef::as_number)?
                .unwrap_or(0),
            traceparent: fields.optional(a::TRACEPARENT, |value| {
                value.as_text().and_then(TraceParent::parse)
            })?,
            enrichment,
            refusal: fields.lenient(a::REFUSAL),
            settled_by: fields.lenient(a::SETTLED_BY),
            expires_at: fields.optional(a::EXPIRES_AT, AttributeRef::as_number)?,
            deflated: Deflated {
                payload: payload.deflated,
                enrichment: deflated_enrichment.flatten(),
            },
        })
    }
}

/// Checks that the event of a new item fits into a record, and that its item can be read again.
fn check_event(payload: &str, enrichment: Option<&str>) -> Result<(), Rejection> {
    let enrichment = enrichment.unwrap_or_default();
    if payload.len() > MAX_MESSAGE_BYTES || enrichment.len() > MAX_ENRICHMENT_BYTES {
        let bytes = payload.len() + enrichment.len();
        return Err(Rejection::EventTooLarge { bytes });
    }
    Ok(())
}

/// The bytes that an item usually gains when it is settled: `updated_at`, and `settled_by` with a short name.
const SETTLED_GROWTH_BYTES: usize = 64;

/// The units of an item of at most 1 KB: one to create it, one to settle it.
const MIN_WRITE_UNITS: usize = 2;

/// The write units of a notification: to create an item of this size, and to settle it.
///
/// A write costs one unit for each started 1 KB of the item. An update costs as much as the larger of the item before and
/// after it, however little it changes (DynamoDB developer guide, "Write request units").
#[must_use]
pub fn write_units(created_bytes: usize) -> usize {
    let units = |bytes: usize| bytes.div_ceil(WRITE_UNIT_BYTES);
    units(created_bytes) + units(created_bytes + SETTLED_GROWTH_BYTES)
}

/// The stored form of a large text.
struct LargeText {
    text: Payload,
    deflated: Option<Vec<u8>>,
}

impl LargeText {
    /// Reads a JSON text of at most `max_bytes`, if it is compressed. One that is not was stored by an item of this size.
    fn read(value: AttributeRef<'_>, max_bytes: usize) -> Option<Self> {
        let (text, deflated) = match value {
            AttributeRef::Text(text) => (text.to_owned(), None),
            AttributeRef::Binary(bytes) => {
                (inflate(bytes, max_bytes).ok()?, Some(bytes.to_owned()))
            }
            AttributeRef::Number(_) | AttributeRef::Other => return None,
        };
        let text = Payload::parse(text).ok()?;
        Some(Self { text, deflated })
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

/// The value of one attribute.
enum Field<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Time(Timestamp),
    Number(i128),
}

impl Field<'_> {
    /// The size of the value in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Time(_) => RFC3339_BYTES,
            // One byte for two digits, one for the sign and exponent.
            Self::Number(number) => {
                let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
                digits.div_ceil(2) as usize + 1 + usize::from(*number < 0)
            }
        }
    }
}

fn text<T>(value: Option<&T>, as_str: fn(&T) -> &str) -> Option<Field<'_>> {
    value.map(|value| Field::Text(as_str(value)))
}

fn large_text<'a>(text: Option<&'a str>, deflated: Option<&'a [u8]>) -> Option<Field<'a>> {
    deflated.map(Field::Binary).or(text.map(Field::Text))
}

/// The length of what [`to_rfc3339`] returns, in bytes.
const RFC3339_BYTES: usize = "2026-11-23T10:00:00.123Z".len();

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
