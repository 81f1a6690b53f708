//! The token of a console, and of a lab.

use std::fmt::{self, Write as _};

use rand::{TryRng, rngs::SysRng};
use subtle::ConstantTimeEq;

/// Random bytes of a token.
const BYTES: usize = 32;

/// The operating system has no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot create a token: {0}")]
pub struct TokenError(String);

/// Proves that a request comes from the page of this console, or from the console of this lab. Other pages and other users of the
/// machine do not have it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Creates a token of 256 random bits.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn new() -> Result<Self, TokenError> {
        let mut bytes = [0_u8; BYTES];
        SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|error| TokenError(error.to_string()))?;
        let mut text = String::with_capacity(2 * BYTES);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// The token as text, for the address of the page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value of an `Authorization` header has this token.
    #[must_use]
    pub fn is_in(&self, authorization: &str) -> bool {
        let token = authorization.strip_prefix("Bearer ");
        token.is_some_and(|token| self.is_equal_to(token))
    }

    /// Compares in a time that does not depend on where the texts differ.
    fn is_equal_to(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_differ_and_have_256_bits() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert_ne!(one.as_str(), other.as_str());
        assert_eq!(one.as_str().len(), 64);
        assert!(one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn a_token_equals_only_the_whole_text() {
        let token = Token::new().unwrap();
        let text = token.as_str().to_owned();
        assert!(token.is_equal_to(&text));
        let longer = format!("{text}0");
        let upper = text.to_uppercase();
        let other = Token::new().unwrap();
        for wrong in ["", &text[..63], &longer, other.as_str()] {
            assert!(!token.is_equal_to(wrong));
        }
        assert!(upper == text || !token.is_equal_to(&upper));
    }

    #[test]
    fn debug_output_does_not_show_the_token() {
        let token = Token::new().unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
