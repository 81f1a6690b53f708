//! What a notification is: id, type, payload, fingerprint and status, each parsed once into a type of its own.
//!
//! Nothing here does I/O. Types past the door are valid by construction and are not checked again.

mod fingerprint;
pub(crate) mod json;
mod message;
mod status;
mod trace;

use std::fmt;

pub use fingerprint::Fingerprint;
pub use message::{InvalidPointer, MessagePointers, Pointer, Rejection};
pub use status::{Status, UnknownStatus};
pub use trace::TraceParent;

use crate::limits::{MAX_ID_CHARS, MAX_TYPE_CHARS};

/// The type of a notification whose message names none.
pub const DEFAULT_TYPE: &str = "notification";

/// Names one notification: the table's key and the Kinesis partition key, never truncated or changed.
///
/// 1 to [`MAX_ID_CHARS`] printable ASCII characters without space (0x21 to 0x7e).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(String);

impl NotificationId {
    /// Takes `text` as an id.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule `text` breaks.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        check_name(&text, MAX_ID_CHARS)?;
        Ok(Self(text))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of notification it is; the first part of the CloudEvents `type`.
///
/// 1 to [`MAX_TYPE_CHARS`] printable ASCII characters without space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NotificationType(String);

impl NotificationType {
    /// Takes `text` as a type.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule `text` breaks.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        check_name(&text, MAX_TYPE_CHARS)?;
        Ok(Self(text))
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for NotificationType {
    fn default() -> Self {
        Self(DEFAULT_TYPE.to_owned())
    }
}

impl fmt::Display for NotificationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no id or type. It does not repeat the text, which is somebody's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// More characters than allowed.
    #[error("it has {chars} characters, {max} are allowed")]
    TooLong {
        /// How many there are.
        chars: usize,
        /// How many there may be.
        max: usize,
    },
    /// A space, a control character, or anything beyond ASCII.
    #[error("character {position} is not printable ASCII without space")]
    Character {
        /// Its position in characters, from 1.
        position: usize,
    },
}

pub(crate) fn check_name(text: &str, max: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if let Some(index) = text.chars().position(|c| !c.is_ascii_graphic()) {
        return Err(InvalidName::Character {
            position: index + 1,
        });
    }
    if text.len() > max {
        return Err(InvalidName::TooLong {
            chars: text.len(),
            max,
        });
    }
    Ok(())
}

/// A payload: JSON text exactly as its sender wrote it.
///
/// It is never parsed into numbers and written again, so integers above 2^53, `1.0` and the order of keys survive. It
/// is somebody's data: `Debug` shows its length alone, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// Takes `text` if it is one JSON value that keeps the rules of a message (no duplicate keys, bounded depth).
    ///
    /// # Errors
    /// The [`Rejection`] of the rule that `text` breaks.
    pub fn parse(text: impl Into<String>) -> Result<Self, Rejection> {
        let text = text.into();
        json::Node::parse(&text)?;
        Ok(Self(text))
    }

    /// Takes a value that was read by those rules as part of a larger text.
    pub(crate) fn from_node(node: &json::Node<'_>) -> Self {
        Self(node.text.to_owned())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// One notification as its message gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Names it.
    pub id: NotificationId,
    /// What kind it is.
    pub kind: NotificationType,
    /// What it says.
    pub payload: Payload,
    /// What [`Notification::kind`] and [`Notification::payload`] say, whatever their spelling.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_1_to_256_printable_ascii_characters_without_space() {
        for good in ["a", "!", "~", "rf_8841", &"x".repeat(256)] {
            assert_eq!(NotificationId::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(NotificationId::parse(""), Err(InvalidName::Empty));
        assert_eq!(
            NotificationId::parse("x".repeat(257)),
            Err(InvalidName::TooLong {
                chars: 257,
                max: 256
            })
        );
        for bad in [
            "a b",
            "a\u{0}",
            "a\u{7f}",
            "a\n",
            "aé",
            "a\u{202e}",
            "a\u{301}",
        ] {
            assert_eq!(
                NotificationId::parse(bad),
                Err(InvalidName::Character { position: 2 }),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn debug_shows_no_payload() {
        let payload = Payload::parse(r#"{"iban":"DE00"}"#).unwrap();
        assert_eq!(format!("{payload:?}"), "Payload(15 bytes)");
    }
}
