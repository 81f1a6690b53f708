//! Parses an SQS body into a notification, or rejects it.

use super::{
    Fingerprint, IdPointers, Notification, NotificationId, NotificationType, Payload, Pointer,
    Rejection, check_name,
    json::{Document, Node, Object, Value},
    pointer::escape,
};
use crate::limits::MAX_ID_CHARS;

/// The positions of the parts of a notification within a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePointers {
    /// The position of the message within the body. A string there is parsed as the message; an object is the message.
    /// Empty: the body is the message. The other pointers apply inside the message.
    pub message: Pointer,
    /// The positions of the values that together are the notification id. Required.
    pub id: IdPointers,
    /// The position of the type. Without a value there, the type is [`super::DEFAULT_TYPE`].
    pub kind: Pointer,
    /// The position of the payload. Required.
    pub payload: Pointer,
}

impl MessagePointers {
    /// The default of `MESSAGE_POINTER`.
    pub const DEFAULT_MESSAGE: &str = "";
    /// The default of `NOTIFICATION_ID_POINTER`.
    pub const DEFAULT_ID: &str = "/notification_id";
    /// The default of `NOTIFICATION_TYPE_POINTER`.
    pub const DEFAULT_TYPE: &str = "/type";
    /// The default of `PAYLOAD_POINTER`.
    pub const DEFAULT_PAYLOAD: &str = "/payload";

    /// Parses the body of one message.
    ///
    /// # Errors
    /// [`Rejection`]: the body is invalid and will be invalid at each further receive.
    pub fn parse(&self, body: &str) -> Result<Notification, Rejection> {
        let document = Document::parse(body, self.message.len() + self.levels())?;
        let envelope = checked(document.root())?;
        if self.message.is_empty() {
            return self.parse_message(envelope);
        }
        let message = self.message.find(envelope).filter(|node| !is_null(*node));
        let message = message.ok_or(Rejection::MissingMessage)?;
        match message.value {
            Value::String(text) => {
                let document = Document::parse(text, self.levels())?;
                self.parse_message(checked(document.root())?)
            }
            _ => self.parse_message(checked(message)?),
        }
    }

    /// The levels of a message in which values are looked for. The first shows whether it is a message.
    fn levels(&self) -> usize {
        let pointers = self.id.as_slice().iter();
        let pointers = pointers.chain([&self.kind, &self.payload]);
        pointers.map(Pointer::len).fold(1, usize::max)
    }

    fn parse_message(&self, message: Node<'_>) -> Result<Notification, Rejection> {
        let id = parse_id(&self.id, message)?;
        let kind = match self.kind.find(message) {
            None => NotificationType::default(),
            // .NET and Java serializers write an absent value as null.
            Some(node) if is_null(node) => NotificationType::default(),
            Some(Node {
                value: Value::String(text),
                ..
            }) => NotificationType::parse(text).map_err(Rejection::InvalidType)?,
            Some(_) => return Err(Rejection::TypeNotAString),
        };
        // A payload of null is a payload: it is what the sender has to say.
        let payload = self.payload.find(message);
        let payload = payload.ok_or(Rejection::MissingPayload)?;
        Ok(Notification {
            fingerprint: Fingerprint::new(&kind, payload),
            id,
            kind,
            payload: Payload::from_node(payload),
        })
    }
}

/// The node, if it is an object that can be a message.
fn checked(node: Node<'_>) -> Result<Node<'_>, Rejection> {
    match node.value {
        Value::Object(object) if is_bucket_notification(object) => {
            Err(Rejection::BucketNotification)
        }
        Value::Object(_) => Ok(node),
        _ => Err(Rejection::NotAnObject),
    }
}

/// Whether S3 wrote this: a notification of a bucket, whose records are several events with one body, or the test event
/// that S3 sends when a bucket's notifications are configured (S3 user guide, "Event message structure").
fn is_bucket_notification(object: Object<'_>) -> bool {
    match object.get("Records") {
        // Its records may be below the kept levels. Senders rarely have a member with this name.
        Some(node) if node.text.starts_with('[') => {
            Document::parse(node.text, 2).is_ok_and(|records| has_record_of_bucket(records.root()))
        }
        _ => has_text(object, "Event", "s3:TestEvent"),
    }
}

fn has_record_of_bucket(records: Node<'_>) -> bool {
    let is_of_bucket = |record: Node<'_>| match record.value {
        Value::Object(record) => has_text(record, "eventSource", "aws:s3"),
        _ => false,
    };
    matches!(records.value, Value::Array(records) if records.iter().any(is_of_bucket))
}

fn has_text(object: Object<'_>, key: &str, expected: &str) -> bool {
    matches!(object.get(key).map(|node| node.value), Some(Value::String(text)) if text == expected)
}

fn is_null(node: Node<'_>) -> bool {
    node.text == "null"
}

fn parse_id(pointers: &IdPointers, message: Node<'_>) -> Result<NotificationId, Rejection> {
    let part = |pointer: &Pointer| id_part(pointer.find(message).ok_or(Rejection::MissingId)?);
    if let [pointer] = pointers.as_slice() {
        return NotificationId::parse(part(pointer)?).map_err(Rejection::InvalidId);
    }
    let mut id = String::new();
    for (index, pointer) in pointers.as_slice().iter().enumerate() {
        let part = part(pointer)?;
        // Each part by itself, so that positions in errors are positions in the sender's value.
        check_name(part, MAX_ID_CHARS).map_err(Rejection::InvalidId)?;
        if index > 0 {
            id.push('/');
        }
        id.push_str(&escape(part));
    }
    NotificationId::parse(id).map_err(Rejection::InvalidId)
}

/// The text of one value of the id. An integer counts by its digits: a float has only 53 bits for them.
fn id_part(node: Node<'_>) -> Result<&str, Rejection> {
    match node.value {
        Value::String(text) => Ok(text),
        Value::Literal => match node.text {
            "null" => Err(Rejection::MissingId),
            "true" | "false" => Err(Rejection::IdNotAString),
            // The grammar of JSON has no leading zeros, so each other integer has one spelling.
            number if number != "-0" && is_integer(number) => Ok(number),
            _ => Err(Rejection::IdNotAnInteger),
        },
        Value::Array(_) | Value::Object(_) | Value::Flat(_) => Err(Rejection::IdNotAString),
    }
}

fn is_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl Default for MessagePointers {
    fn default() -> Self {
        let member = |pointer: &str| Pointer::to_member(&pointer[1..]);
        Self {
            message: Pointer::default(),
            id: member(Self::DEFAULT_ID).into(),
            kind: member(Self::DEFAULT_TYPE),
            payload: member(Self::DEFAULT_PAYLOAD),
        }
    }
}

#[cfg(test)]
mod tests;
