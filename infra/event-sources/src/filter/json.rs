//! Parses JSON one level at a time and keeps the spelling of numbers.
//!
//! `serde_json::Value` would turn `3.0e2` and `300` into the same number, but rule X6 can distinguish them (Q21). Parsing
//! lazily also bounds the depth of the work by the depth of the pattern, not of the record.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of an object. The last of duplicate keys wins (X8).
pub(super) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// One JSON value whose children are not parsed yet.
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// The number as it is spelled.
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(Members<'a>),
}

impl<'a> Json<'a> {
    /// Returns `None` if `text` is not a JSON document.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Self::from_raw)
    }

    /// Returns `None` for a string with half a surrogate pair, which the JSON grammar allows.
    pub(super) fn from_raw(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        match text.as_bytes().first()? {
            b'{' => serde_json::from_str(text).ok().map(Self::Object),
            b'[' => serde_json::from_str(text).ok().map(Self::Array),
            b'"' => serde_json::from_str(text).ok().map(Self::Text),
            b'n' => Some(Self::Null),
            b't' => Some(Self::Bool(true)),
            b'f' => Some(Self::Bool(false)),
            _ => Some(Self::Number(text)),
        }
    }

    /// Returns whether the AWS guide would call this a JSON body or JSON data, as opposed to plain text. `5` or `"a"`
    /// alone are valid documents, but no pattern of keys can match them.
    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Object(_))
    }
}
