//! Why a message is rejected.

use super::InvalidName;

/// Why a message can never become a notification. No rejection repeats a part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The message has no body.
    #[error("the message has no body")]
    MissingBody,
    /// The body is not one JSON value.
    #[error("the body is not JSON (line {line}, column {column})")]
    InvalidJson {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error in bytes, from 1.
        column: usize,
    },
    /// The JSON value is not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The body is nested deeper than [`crate::limits::MAX_JSON_DEPTH`].
    #[error("the body is nested too deeply")]
    TooDeep,
    /// An object contains a key twice.
    #[error("an object in the body contains a key twice")]
    DuplicateKey,
    /// The id is missing.
    #[error("the body has no notification id")]
    MissingId,
    /// The id is not a string.
    #[error("the notification id is not a string")]
    IdNotAString,
    /// The id is not valid.
    #[error("the notification id is invalid: {0}")]
    InvalidId(InvalidName),
    /// The type is not a string.
    #[error("the notification type is not a string")]
    TypeNotAString,
    /// The type is not valid.
    #[error("the notification type is invalid: {0}")]
    InvalidType(InvalidName),
    /// The payload is missing.
    #[error("the body has no payload")]
    MissingPayload,
    /// The item would exceed [`crate::limits::MAX_ITEM_BYTES`].
    #[error("the item would have {bytes} bytes, more than DynamoDB stores")]
    ItemTooLarge {
        /// The size in bytes, including the space reserved for DONE.
        bytes: usize,
    },
}

impl Rejection {
    /// One rejection of each kind, for tests and documents that cover all of them.
    pub const EXAMPLES: [Self; 12] = [
        Self::MissingBody,
        Self::InvalidJson { line: 1, column: 1 },
        Self::NotAnObject,
        Self::TooDeep,
        Self::DuplicateKey,
        Self::MissingId,
        Self::IdNotAString,
        Self::InvalidId(InvalidName::Empty),
        Self::TypeNotAString,
        Self::InvalidType(InvalidName::Empty),
        Self::MissingPayload,
        Self::ItemTooLarge { bytes: 0 },
    ];

    /// The name of the rejection in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingBody => "MissingBody",
            Self::InvalidJson { .. } => "InvalidJson",
            Self::NotAnObject => "NotAnObject",
            Self::TooDeep => "TooDeep",
            Self::DuplicateKey => "DuplicateKey",
            Self::MissingId => "MissingId",
            Self::IdNotAString => "IdNotAString",
            Self::InvalidId(_) => "InvalidId",
            Self::TypeNotAString => "TypeNotAString",
            Self::InvalidType(_) => "InvalidType",
            Self::MissingPayload => "MissingPayload",
            Self::ItemTooLarge { .. } => "ItemTooLarge",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn has_an_example_of_each_kind() {
        // If this does not compile, add the new rejection to the examples and increase the number.
        let number = |rejection: &Rejection| match rejection {
            Rejection::MissingBody => 1,
            Rejection::InvalidJson { .. } => 2,
            Rejection::NotAnObject => 3,
            Rejection::TooDeep => 4,
            Rejection::DuplicateKey => 5,
            Rejection::MissingId => 6,
            Rejection::IdNotAString => 7,
            Rejection::InvalidId(_) => 8,
            Rejection::TypeNotAString => 9,
            Rejection::InvalidType(_) => 10,
            Rejection::MissingPayload => 11,
            Rejection::ItemTooLarge { .. } => 12,
        };
        let numbers: Vec<usize> = Rejection::EXAMPLES.iter().map(number).collect();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
        let names: BTreeSet<_> = Rejection::EXAMPLES.iter().map(Rejection::name).collect();
        assert_eq!(names.len(), numbers.len());
    }
}
