//! JSON read one level at a time, numbers kept as they are spelled.
//!
//! `serde_json::Value` would turn `3.0e2` and `300` into the same number, which rule X6 keeps apart. Reading lazily
//! also bounds the depth of the work by the pattern's depth, not by the record's.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of an object. Of duplicate keys the last wins (X8).
pub(super) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// One JSON value; its parts are not parsed yet.
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it is spelled.
    Number(&'a str),
    Text(String),
    Array(Vec<&'a RawValue>),
    Object(Members<'a>),
}

impl<'a> Json<'a> {
    /// None if `text` is no JSON document.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Self::of)
    }

    /// None for text with half a surrogate pair, which JSON's grammar lets through.
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
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

    /// Whether this is what the guide means by a JSON body or JSON data, as against plain text: `5` or `"a"` alone
    /// are valid documents, but no pattern of keys could ever fit them.
    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Object(_))
    }
}
