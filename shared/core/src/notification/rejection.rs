//! Why a message is rejected.

use super::InvalidName;

/// Why a message can never become a notification. No rejection repeats a part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The message has no body.
    #[error("the message has no body")]
    MissingBody,
    /// The body, or the text of the message in it, is not one JSON value.
    #[error("the body or the message in it is not JSON (line {line}, column {column})")]
    InvalidJson {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error in bytes, from 1.
        column: usize,
    },
    /// The body, or the message in it, is not an object.
    #[error("the body or the message in it is not a JSON object")]
    NotAnObject,
    /// The body is nested deeper than [`crate::limits::MAX_JSON_DEPTH`].
    #[error("the body is nested too deeply")]
    TooDeep,
    /// A string contains half of a UTF-16 surrogate pair, as JavaScript writes it when it cuts a text within a character.
    /// This is JSON, but not Unicode text, and each parser replaces or refuses it in its own way.
    #[error(
        "a string in the body contains half of a surrogate pair (line {line}, column {column})"
    )]
    LoneSurrogate {
        /// The line of the escape, from 1.
        line: usize,
        /// The column of the escape in bytes, from 1.
        column: usize,
    },
    /// A number has more than [`crate::limits::MAX_NUMBER_CHARS`] characters.
    #[error(
        "a number in the body has more than {} characters (line {line}, column {column})",
        crate::limits::MAX_NUMBER_CHARS
    )]
    NumberTooLong {
        /// The line of the number, from 1.
        line: usize,
        /// The column of the number in bytes, from 1.
        column: usize,
    },
    /// A key has more than [`crate::limits::MAX_KEY_BYTES`] bytes.
    #[error(
        "a key in the body has more than {} bytes (line {line}, column {column})",
        crate::limits::MAX_KEY_BYTES
    )]
    KeyTooLong {
        /// The line of the key, from 1.
        line: usize,
        /// The column of the key in bytes, from 1.
        column: usize,
    },
    /// An object contains a key twice.
    #[error("an object in the body contains a key twice")]
    DuplicateKey,
    /// A bucket sent the message. A message of a bucket can contain several events, and none of them has an id.
    #[error("an S3 bucket sent the message directly; send its events through EventBridge")]
    BucketNotification,
    /// The body has no message at `MESSAGE_POINTER`, or null.
    #[error("the body has no message at the position of MESSAGE_POINTER")]
    MissingMessage,
    /// The id, or a part of it, is missing or null.
    #[error("the message has no notification id at the position of NOTIFICATION_ID_POINTER")]
    MissingId,
    /// The id, or a part of it, is neither a string nor a number.
    #[error("the notification id is neither a string nor an integer")]
    IdNotAString,
    /// The id, or a part of it, is a number such as 1.0, 1e3 or -0, which has other spellings too.
    #[error(
        "the notification id is a number, but not an integer in its plain form, such as 12 or -7"
    )]
    IdNotAnInteger,
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
    #[error(
        "the message has no payload at the position of PAYLOAD_POINTER; an empty pointer is the whole message"
    )]
    MissingPayload,
    /// The item would exceed [`crate::limits::MAX_ITEM_BYTES`], even compressed unless that is switched off.
    #[error(
        "the item would have {bytes} bytes as it is stored, more than the {} of DynamoDB",
        crate::limits::MAX_ITEM_BYTES
    )]
    ItemTooLarge {
        /// The size in bytes as the item would be stored, including the space reserved for DONE and REFUSED.
        bytes: usize,
    },
    /// Payload or enrichment exceed [`crate::limits::MAX_MESSAGE_BYTES`] or [`crate::limits::MAX_ENRICHMENT_BYTES`], so that
    /// the event would be too large for the stream or for Lambda.
    #[error("payload and enrichment have {bytes} bytes, too many for an event")]
    EventTooLarge {
        /// The size of both in bytes.
        bytes: usize,
    },
}

impl Rejection {
    /// One rejection of each kind, for tests and documents that cover all of them.
    pub const EXAMPLES: [Self; 19] = [
        Self::MissingBody,
        Self::InvalidJson { line: 1, column: 1 },
        Self::NotAnObject,
        Self::TooDeep,
        Self::LoneSurrogate { line: 1, column: 1 },
        Self::NumberTooLong { line: 1, column: 1 },
        Self::KeyTooLong { line: 1, column: 1 },
        Self::DuplicateKey,
        Self::BucketNotification,
        Self::MissingMessage,
        Self::MissingId,
        Self::IdNotAString,
        Self::IdNotAnInteger,
        Self::InvalidId(InvalidName::Empty),
        Self::TypeNotAString,
        Self::InvalidType(InvalidName::Empty),
        Self::MissingPayload,
        Self::ItemTooLarge { bytes: 0 },
        Self::EventTooLarge { bytes: 0 },
    ];

    /// The name of the rejection in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingBody => "MissingBody",
            Self::InvalidJson { .. } => "InvalidJson",
            Self::NotAnObject => "NotAnObject",
            Self::TooDeep => "TooDeep",
            Self::LoneSurrogate { .. } => "LoneSurrogate",
            Self::NumberTooLong { .. } => "NumberTooLong",
            Self::KeyTooLong { .. } => "KeyTooLong",
            Self::DuplicateKey => "DuplicateKey",
            Self::BucketNotification => "BucketNotification",
            Self::MissingMessage => "MissingMessage",
            Self::MissingId => "MissingId",
            Self::IdNotAString => "IdNotAString",
            Self::IdNotAnInteger => "IdNotAnInteger",
            Self::InvalidId(_) => "InvalidId",
            Self::TypeNotAString => "TypeNotAString",
            Self::InvalidType(_) => "InvalidType",
            Self::MissingPayload => "MissingPayload",
            Self::ItemTooLarge { .. } => "ItemTooLarge",
            Self::EventTooLarge { .. } => "EventTooLarge",
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
            Rejection::LoneSurrogate { .. } => 5,
            Rejection::NumberTooLong { .. } => 6,
            Rejection::KeyTooLong { .. } => 7,
            Rejection::DuplicateKey => 8,
            Rejection::BucketNotification => 9,
            Rejection::MissingMessage => 10,
            Rejection::MissingId => 11,
            Rejection::IdNotAString => 12,
            Rejection::IdNotAnInteger => 13,
            Rejection::InvalidId(_) => 14,
            Rejection::TypeNotAString => 15,
            Rejection::InvalidType(_) => 16,
            Rejection::MissingPayload => 17,
            Rejection::ItemTooLarge { .. } => 18,
            Rejection::EventTooLarge { .. } => 19,
        };
        let numbers: Vec<usize> = Rejection::EXAMPLES.iter().map(number).collect();
        assert_eq!(numbers, (1..=19).collect::<Vec<_>>());
        let names: BTreeSet<_> = Rejection::EXAMPLES.iter().map(Rejection::name).collect();
        assert_eq!(names.len(), numbers.len());
    }
}
