//! Ids and types: printable ASCII text of limited length.

use std::fmt;

use crate::limits::{MAX_ID_CHARS, MAX_TYPE_CHARS};

/// The type of a notification whose message contains no type.
pub const DEFAULT_TYPE: &str = "notification";

/// The id of a notification. It is the table's key and the Kinesis partition key, and is never truncated or changed.
///
/// 1 to [`MAX_ID_CHARS`] printable ASCII characters (0x20 to 0x7e). The first and the last one are no spaces.
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
/// 1 to [`MAX_TYPE_CHARS`] printable ASCII characters. The first and the last one are no spaces.
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
    /// The text contains a control character or a character beyond ASCII.
    #[error("character {position} is not printable ASCII")]
    Character {
        /// The position of the character, from 1.
        position: usize,
    },
    /// The text begins or ends with a space. A source contains none at all.
    #[error("character {position} is a space, which is not allowed there")]
    Space {
        /// The position of the space, from 1.
        position: usize,
    },
}

/// Checks an id or a type. Spaces inside are allowed, because senders use them ("Object Created", "INV 2026/0001"). Those at
/// the ends are not, because people and tools drop them.
pub(crate) fn check_name(text: &str, max: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    let is_allowed = |c: char| c.is_ascii_graphic() || c == ' ';
    if let Some(index) = text.chars().position(|c| !is_allowed(c)) {
        return Err(InvalidName::Character {
            position: index + 1,
        });
    }
    if text.starts_with(' ') {
        return Err(InvalidName::Space { position: 1 });
    }
    if text.ends_with(' ') {
        let position = text.len();
        return Err(InvalidName::Space { position });
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
        for good in [
            "a",
            "!",
            "~",
            "rf_8841",
            "INV 2026/0001",
            "a  b",
            &"x".repeat(256),
        ] {
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
            "a\tb",
            "a\u{a0}b",
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
        for (bad, position) in [(" a", 1), ("a ", 2), (" ", 1)] {
            assert_eq!(
                NotificationId::parse(bad),
                Err(InvalidName::Space { position }),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn types_have_1_to_128_characters_and_may_contain_spaces() {
        for good in ["Refund Requested", &"x".repeat(128)] {
            assert_eq!(NotificationType::parse(good).unwrap().as_str(), good);
        }
        let too_long = InvalidName::TooLong {
            chars: 129,
            max: 128,
        };
        for (bad, error) in [
            (String::new(), InvalidName::Empty),
            ("x".repeat(129), too_long),
            ("x ".to_owned(), InvalidName::Space { position: 2 }),
        ] {
            assert_eq!(NotificationType::parse(bad), Err(error));
        }
    }
}
