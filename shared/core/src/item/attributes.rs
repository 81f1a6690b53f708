//! The attributes of an item, however it is stored, and how they are read.

use std::str::FromStr;

use serde_dynamo::{AttributeValue, Item};

use crate::notification::Fingerprint;

/// The attributes of an item, however it is stored. A stream event, for example, needs no map of all attributes.
pub trait Attributes {
    /// The value of the attribute with this name.
    fn attribute(&self, name: &str) -> Option<AttributeRef<'_>>;
}

/// The value of an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AttributeRef<'a> {
    /// A string.
    Text(&'a str),
    /// The digits of a number.
    Number(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// Any other type. No attribute of a notification has one.
    Other,
}

impl<'a> AttributeRef<'a> {
    pub(super) fn as_text(self) -> Option<&'a str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub(super) fn as_number<T: FromStr>(self) -> Option<T> {
        if let Self::Number(digits) = self {
            digits.parse().ok()
        } else {
            None
        }
    }

    /// The fingerprint in this value: 32 bytes, or the 64 hexadecimal digits that earlier versions stored.
    #[must_use]
    pub fn as_fingerprint(self) -> Option<Fingerprint> {
        match self {
            Self::Text(digits) => digits.parse().ok(),
            Self::Binary(bytes) => bytes.try_into().ok().map(Fingerprint::from_bytes),
            Self::Number(_) | Self::Other => None,
        }
    }
}

impl Attributes for Item {
    fn attribute(&self, name: &str) -> Option<AttributeRef<'_>> {
        Some(match self.get(name)? {
            AttributeValue::S(text) => AttributeRef::Text(text),
            AttributeValue::N(digits) => AttributeRef::Number(digits),
            AttributeValue::B(bytes) => AttributeRef::Binary(bytes),
            _ => AttributeRef::Other,
        })
    }
}

/// An item that is not a notification: an attribute is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the attribute {attribute:?} of the item is missing or invalid")]
pub struct UnreadableItem {
    /// The name of the attribute.
    pub attribute: &'static str,
}

pub(super) struct Fields<'a, A>(pub(super) &'a A);

impl<'a, A: Attributes> Fields<'a, A> {
    pub(super) fn parsed<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, UnreadableItem> {
        self.required(attribute, |value| value.as_text().and_then(parse))
    }

    pub(super) fn number<T: FromStr>(&self, attribute: &'static str) -> Result<T, UnreadableItem> {
        self.required(attribute, AttributeRef::as_number)
    }

    pub(super) fn required<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(AttributeRef<'a>) -> Option<T>,
    ) -> Result<T, UnreadableItem> {
        self.optional(attribute, parse)?
            .ok_or(UnreadableItem { attribute })
    }

    /// What another consumer may have stored. Nothing depends on it, so a text that is invalid must not make a settled item
    /// unreadable. The text itself may be confidential, so nobody gets it.
    pub(super) fn lenient<T: FromStr>(&self, attribute: &str) -> Option<T> {
        self.0.attribute(attribute)?.as_text()?.parse().ok()
    }

    pub(super) fn optional<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(AttributeRef<'a>) -> Option<T>,
    ) -> Result<Option<T>, UnreadableItem> {
        match self.0.attribute(attribute) {
            None => Ok(None),
            Some(value) => parse(value).map(Some).ok_or(UnreadableItem { attribute }),
        }
    }
}
