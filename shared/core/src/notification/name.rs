//! Ids and types: printable ASCII text of limited length.

use std::fmt;

use crate::limits::{MAX_ID_CHARS, MAX_TYPE_CHARS};

/// The type of a notification whose message contains no type.
pub const DEFAULT_TYPE: &str = "notification";

/// The id of a notification. It is the table's key and the Kinesis partition key, and is never truncated or changed.
///
/// 1 to [`MAX_ID_CHARS`] printable ASCII characters without space (0x21 to 0x7e).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(String);

impl NotificationId {
    /// Parses an id.
    ///
    /// # Errors
    /// [`InvalidName`] names the violated rule.
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

/// The type of a notification. It is the first part of the CloudEvents `type`.
///
/// 1 to [`MAX_TYPE_CHARS`] printable ASCII characters without space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NotificationType(String);

impl NotificationType {
    /// Parses a type.
    ///
    /// # Errors
    /// [`InvalidName`] names the violated rule.
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

/// Why a text is not a valid id, type or source. The error does not repeat the text, which may be confidential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// The text has too many characters.
    #[error("it has {chars} characters, at most {max} are allowed")]
    TooLong {
        /// The number of characters.
        chars: usize,
        /// The largest allowed number.
        max: usize,
    },
    /// The text contains a space, a control character or a character beyond ASCII.
    #[error("character {position} is not printable ASCII without space")]
    Character {
        /// The position of the character, from 1.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_1_to_256_printable_ascii_characters() {
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
}
