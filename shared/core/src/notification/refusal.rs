//! Why a downstream refused a notification for good.

use std::{fmt, str::FromStr};

use crate::limits::MAX_REFUSAL_CHARS;

/// The reason of a refusal: a short code such as `account_closed`, never text that could contain confidential data.
///
/// 1 to [`MAX_REFUSAL_CHARS`] of the characters `a-z`, `0-9`, `_`, `-` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refusal(String);

impl Refusal {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not the code of a refusal. The error does not repeat it, because it may be confidential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the code of a refusal has 1 to {MAX_REFUSAL_CHARS} of the characters a-z, 0-9, '_', '-' and '.'"
)]
pub struct InvalidRefusal;

impl FromStr for Refusal {
    type Err = InvalidRefusal;

    fn from_str(text: &str) -> Result<Self, InvalidRefusal> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
        let is_code = (1..=MAX_REFUSAL_CHARS).contains(&text.len()) && text.bytes().all(is_allowed);
        is_code.then(|| Self(text.to_owned())).ok_or(InvalidRefusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_short_code() {
        let longest = "x".repeat(MAX_REFUSAL_CHARS);
        for code in ["account_closed", "e.4-2", &longest] {
            assert_eq!(code.parse::<Refusal>().unwrap().as_str(), code);
        }
        let too_long = "x".repeat(MAX_REFUSAL_CHARS + 1);
        for text in ["", "Account closed", "DE00", "caf\u{e9}", "a\n", &too_long] {
            assert_eq!(text.parse::<Refusal>(), Err(InvalidRefusal), "{text:?}");
        }
    }
}
