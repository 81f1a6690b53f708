//! Patterns of notification types.

use std::str::FromStr;

use onewrite::notification::NotificationType;

/// A type, or the beginning of types: `refund.created`, `refund.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern {
    text: String,
    is_prefix: bool,
}

impl TypePattern {
    /// Whether a notification of this type matches.
    #[must_use]
    pub fn matches(&self, kind: &NotificationType) -> bool {
        if self.is_prefix {
            kind.as_str().starts_with(&self.text)
        } else {
            kind.as_str() == self.text
        }
    }
}

/// A text that is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is a type, or the beginning of types with an asterisk at the end")]
pub struct InvalidPattern;

impl FromStr for TypePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let prefix = text.strip_suffix('*');
        let start = prefix.unwrap_or(text);
        // Any type begins with the empty text. Another pattern must be something that a type can be, or begin with.
        let is_valid = (prefix.is_some() && start.is_empty())
            || (!start.contains('*') && NotificationType::parse(start.trim_end()).is_ok());
        if !is_valid || (prefix.is_none() && start.ends_with(' ')) {
            return Err(InvalidPattern);
        }
        Ok(Self {
            text: start.to_owned(),
            is_prefix: prefix.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, kind: &str) -> bool {
        let pattern: TypePattern = pattern.parse().unwrap();
        pattern.matches(&NotificationType::parse(kind).unwrap())
    }

    #[test]
    fn is_a_type_or_the_beginning_of_types() {
        for (pattern, kind, expected) in [
            ("refund", "refund", true),
            ("refund", "refund.created", false),
            ("refund.*", "refund.created", true),
            ("refund.*", "refund", false),
            ("refund*", "refunds", true),
            ("Refund *", "Refund Requested", true),
            ("Refund *", "Refunds", false),
            ("*", "anything", true),
            ("REFUND", "refund", false),
        ] {
            assert_eq!(matches(pattern, kind), expected, "{pattern} {kind}");
        }
    }

    #[test]
    fn rejects_what_matches_no_type() {
        for text in [
            "",
            "**",
            "a*b",
            "*a",
            " a",
            "a ",
            "caf\u{e9}",
            &"x".repeat(129),
        ] {
            assert_eq!(text.parse::<TypePattern>(), Err(InvalidPattern), "{text:?}");
        }
    }
}
