//! The event that reports a change to the downstream: a CloudEvents 1.0 document in JSON, structured mode.
//!
//! The document depends only on the state of the item. Every retry and redrive of a change has the same `id` and the same
//! bytes, so a consumer can drop repeated events by `id`.

use std::{borrow::Cow, str::FromStr};

use jiff::Timestamp;

use crate::{
    item::{NotificationItem, to_millis, to_rfc3339},
    limits::MAX_SOURCE_CHARS,
    notification::{
        Fingerprint, InvalidName, NotificationId, NotificationType, Payload, Refusal, Rejection,
        Status, TraceParent, check_name,
        json::{Document, Limits, Object, Value},
    },
};

/// The supported version of CloudEvents.
pub const SPEC_VERSION: &str = "1.0";

/// The attribute names of the document. The last seven are extensions. `partitionkey`, `sequence` and `traceparent` are
/// documented extensions of CloudEvents.
pub mod attribute {
    /// [`super::SPEC_VERSION`].
    pub const SPEC_VERSION: &str = "specversion";
    /// `<notification id>/<status>`: the same in every retry and redrive of a change.
    pub const ID: &str = "id";
    /// The sender.
    pub const SOURCE: &str = "source";
    /// `<type>.init`, `<type>.done` or `<type>.refused`.
    pub const TYPE: &str = "type";
    /// The notification id.
    pub const SUBJECT: &str = "subject";
    /// The time of the change: RFC 3339 with milliseconds, UTC.
    pub const TIME: &str = "time";
    /// The content type of `data`: always `application/json`.
    pub const DATA_CONTENT_TYPE: &str = "datacontenttype";
    /// The stored payload.
    pub const DATA: &str = "data";
    /// The notification id, which is also the record's partition key in Kinesis.
    pub const PARTITION_KEY: &str = "partitionkey";
    /// The version of the item as text: `"1"` in INIT, `"2"` in DONE and REFUSED.
    pub const SEQUENCE: &str = "sequence";
    /// The trace of the message, if it had one.
    pub const TRACEPARENT: &str = "traceparent";
    /// `INIT`, `DONE` or `REFUSED`.
    pub const STATUS: &str = "status";
    /// 64 hexadecimal digits.
    pub const FINGERPRINT: &str = "fingerprint";
    /// The code of the refusal, only in REFUSED.
    pub const REFUSAL: &str = "refusal";
    /// The enrichment, if there is one: a JSON object as text.
    pub const ENRICHMENT: &str = "enrichment";
}

/// The CloudEvents attribute `source`, which names the sender. 1 to [`MAX_SOURCE_CHARS`] printable ASCII characters without space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource(Cow<'static, str>);

impl EventSource {
    /// The source as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for EventSource {
    fn default() -> Self {
        Self("onewrite".into())
    }
}

impl FromStr for EventSource {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        check_name(text, MAX_SOURCE_CHARS)?;
        // CloudEvents 1.0, "source": a URI reference, which contains no space (RFC 3986).
        if let Some(index) = text.find(' ') {
            return Err(InvalidName::Space {
                position: index + 1,
            });
        }
        Ok(Self(text.to_owned().into()))
    }
}

/// A change of a notification.
#[derive(Clone, PartialEq)]
pub struct NotificationEvent {
    /// The sender.
    pub source: EventSource,
    /// The notification id.
    pub subject: NotificationId,
    /// The notification type.
    pub kind: NotificationType,
    /// The new status.
    pub status: Status,
    /// The version of the item, which counts the changes of status.
    pub sequence: u64,
    /// The time of the change.
    pub time: Timestamp,
    /// The trace of the message.
    pub traceparent: Option<TraceParent>,
    /// The fingerprint of type and payload.
    pub fingerprint: Fingerprint,
    /// Why the downstream refused the notification; only in REFUSED.
    pub refusal: Option<Refusal>,
    /// The enrichment: the text of a JSON object.
    pub enrichment: Option<String>,
    /// The stored payload.
    pub data: Payload,
}

impl std::fmt::Debug for NotificationEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotificationEvent")
            .field("id", &self.id())
            .field("sequence", &self.sequence)
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl NotificationEvent {
    /// The event of an item in its current state, from the default source.
    #[must_use]
    pub fn from_item(item: &NotificationItem) -> Self {
        item.clone().into()
    }

    /// The same event with another source.
    #[must_use]
    pub fn with_source(self, source: EventSource) -> Self {
        Self { source, ..self }
    }

    /// The CloudEvents attribute `id`. Together with `source` it identifies the change, however often it is published.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.subject, self.status)
    }

    /// Formats the document. `data` is the payload byte for byte.
    #[must_use]
    pub fn to_json(&self) -> String {
        use attribute as a;
        let subject = self.subject.as_str();
        let attributes = [
            (a::SPEC_VERSION, Some(Cow::from(SPEC_VERSION))),
            (a::ID, Some(self.id().into())),
            (a::SOURCE, Some(self.source.as_str().into())),
            (a::TYPE, Some(self.event_type().into())),
            (a::SUBJECT, Some(subject.into())),
            (a::TIME, Some(to_rfc3339(self.time).into())),
            (a::DATA_CONTENT_TYPE, Some("application/json".into())),
            (a::PARTITION_KEY, Some(subject.into())),
            (a::SEQUENCE, Some(self.sequence.to_string().into())),
            (
                a::TRACEPARENT,
                self.traceparent.as_ref().map(|trace| trace.as_str().into()),
            ),
            (a::STATUS, Some(self.status.as_str().into())),
            (a::FINGERPRINT, Some(self.fingerprint.to_string().into())),
            (
                a::REFUSAL,
                self.refusal.as_ref().map(|code| code.as_str().into()),
            ),
            (a::ENRICHMENT, self.enrichment.as_deref().map(Into::into)),
        ];
        let mut json = String::with_capacity(self.data.as_str().len() + 1_024);
        json.push('{');
        for (name, value) in attributes {
            if let Some(value) = value {
                push(&mut json, [name, "\":"]);
                push_string(&mut json, &value);
                json.push(',');
            }
        }
        // Not with a serializer, because it would change the spelling of numbers and strings.
        push(&mut json, [a::DATA, "\":", self.data.as_str(), "}"]);
        json
    }

    /// The CloudEvents attribute `type`: the notification type and the status.
    #[must_use]
    pub fn event_type(&self) -> String {
        format!("{}.{}", self.kind, self.status.event_suffix())
    }

    /// Parses a document. Unknown attributes are ignored. Known attributes must be consistent with each other.
    ///
    /// # Errors
    /// [`UnreadableEvent`] names the problem without quoting the document.
    pub fn parse(document: &[u8]) -> Result<Self, UnreadableEvent> {
        use attribute as a;
        let text = std::str::from_utf8(document).map_err(|_| UnreadableEvent::InvalidUtf8)?;
        // The payload is one level below the document and may be as deep as a message.
        let document =
            Document::parse_within(text, 1, Limits::EVENT).map_err(UnreadableEvent::Json)?;
        let Value::Object(object) = document.root().value else {
            return Err(UnreadableEvent::NotAnObject);
        };
        let attributes = Attributes(object);
        attributes.equal(a::SPEC_VERSION, SPEC_VERSION)?;
        attributes.equal(a::DATA_CONTENT_TYPE, "application/json")?;
        let status: Status = attributes.parsed(a::STATUS, |text| text.parse().ok())?;
        let event = Self {
            source: attributes.parsed(a::SOURCE, |text| text.parse().ok())?,
            subject: attributes.parsed(a::SUBJECT, |text| NotificationId::parse(text).ok())?,
            kind: attributes.parsed(a::TYPE, |text| {
                let kind = text
                    .strip_suffix(status.event_suffix())?
                    .strip_suffix('.')?;
                NotificationType::parse(kind).ok()
            })?,
            status,
            sequence: attributes.parsed(a::SEQUENCE, |text| text.parse().ok())?,
            time: attributes.parsed(a::TIME, |text| text.parse().ok().map(to_millis))?,
            traceparent: attributes.optional(a::TRACEPARENT, TraceParent::parse)?,
            fingerprint: attributes.parsed(a::FINGERPRINT, |text| text.parse().ok())?,
            refusal: attributes.optional(a::REFUSAL, |text| text.parse().ok())?,
            enrichment: attributes.optional(a::ENRICHMENT, |text| {
                Payload::parse(text)
                    .ok()
                    .map(|json| json.as_str().to_owned())
            })?,
            data: object
                .get(a::DATA)
                .map(Payload::from_node)
                .ok_or(UnreadableEvent::Attribute { attribute: a::DATA })?,
        };
        attributes.equal(a::ID, &event.id())?;
        attributes.equal(a::PARTITION_KEY, event.subject.as_str())?;
        Ok(event)
    }
}

impl From<NotificationItem> for NotificationEvent {
    /// The event of an item in its current state, from the default source.
    fn from(item: NotificationItem) -> Self {
        let notification = item.notification;
        Self {
            source: EventSource::default(),
            subject: notification.id,
            kind: notification.kind,
            status: item.status,
            sequence: item.version,
            time: match item.status {
                Status::Init => item.created_at,
                Status::Done | Status::Refused => item.updated_at,
            },
            traceparent: item.traceparent,
            fingerprint: notification.fingerprint,
            refusal: item.refusal,
            enrichment: item.enrichment,
            data: notification.payload,
        }
    }
}

/// Appends `"` and these texts unchanged.
fn push<const N: usize>(json: &mut String, texts: [&str; N]) {
    json.push('"');
    texts.into_iter().for_each(|text| json.push_str(text));
}

/// Appends a JSON string. Most texts contain nothing to escape and need no serializer.
fn push_string(json: &mut String, text: &str) {
    let is_escaped = |byte: u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    if text.bytes().any(is_escaped) {
        json.push_str(&serde_json::Value::from(text).to_string());
    } else {
        push(json, [text, "\""]);
    }
}

/// A document that is not an event of this project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableEvent {
    /// The document is not UTF-8.
    #[error("the event is not UTF-8")]
    InvalidUtf8,
    /// The document is not JSON, or parsers may interpret it differently.
    #[error("the event cannot be parsed: {0}")]
    Json(Rejection),
    /// The document is not a JSON object.
    #[error("the event is not a JSON object")]
    NotAnObject,
    /// An attribute is missing, invalid, or inconsistent with the others.
    #[error("the attribute {attribute:?} of the event is missing or invalid")]
    Attribute {
        /// The name of the attribute.
        attribute: &'static str,
    },
}

struct Attributes<'a>(Object<'a>);

impl Attributes<'_> {
    fn parsed<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, UnreadableEvent> {
        self.optional(attribute, parse)?
            .ok_or(UnreadableEvent::Attribute { attribute })
    }

    fn optional<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, UnreadableEvent> {
        let Some(node) = self.0.get(attribute) else {
            return Ok(None);
        };
        let Value::String(text) = node.value else {
            return Err(UnreadableEvent::Attribute { attribute });
        };
        parse(text)
            .map(Some)
            .ok_or(UnreadableEvent::Attribute { attribute })
    }

    fn equal(&self, attribute: &'static str, expected: &str) -> Result<(), UnreadableEvent> {
        self.parsed(attribute, |text| (text == expected).then_some(()))
    }
}

#[cfg(test)]
mod tests;
