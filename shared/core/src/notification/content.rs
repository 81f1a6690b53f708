//! A notification and its payload.

use std::fmt;

use super::{Fingerprint, NotificationId, NotificationType, Rejection, json};

/// A payload: JSON text exactly as the sender wrote it.
///
/// Its numbers are never parsed and formatted again, so integers above 2^53, `1.0` and the order of keys are preserved.
/// Payloads are confidential: `Debug` shows only the length, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// Parses one JSON value that was stored: no duplicate keys, bounded depth. Only new messages have bounded numbers and
    /// keys, because what an earlier version stored must stay readable.
    ///
    /// # Errors
    /// [`Rejection`] names the violated rule.
    pub fn parse(text: impl Into<String>) -> Result<Self, Rejection> {
        let text = text.into();
        json::check(&text, json::Limits::STORED)?;
        Ok(Self(text))
    }

    /// The payload from a parsed part of a larger text.
    pub(crate) fn from_node(node: json::Node<'_>) -> Self {
        Self(node.text.to_owned())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// One notification as its message contains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The id.
    pub id: NotificationId,
    /// The type.
    pub kind: NotificationType,
    /// The payload.
    pub payload: Payload,
    /// A hash of the meaning of [`Notification::kind`] and [`Notification::payload`], independent of their spelling.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_payload() {
        let payload = Payload::parse(r#"{"iban":"DE00"}"#).unwrap();
        assert_eq!(format!("{payload:?}"), "Payload(15 bytes)");
    }
}
