//! A JSON parser that keeps the exact text of every value beside its meaning.
//!
//! It parses in one pass (RFC 8259). Numbers are never converted. Duplicate keys are rejected, because parsers disagree on
//! which one counts and two consumers could act on different values. Depth, numbers and keys are bounded by [`Limits`].
//! serde_json cannot do this: it keeps the text of one level only, so a parser built on it would pass over a text once per
//! level, and it does not tell a lone surrogate from a text that is not JSON.
//!
//! Only the outermost levels, in which somebody looks for values, become nodes. A node costs 16 bytes and has at least two bytes
//! of text; deeper values cost no more than their text. So the memory is bounded by the length of the text, and a function
//! with 128 MB survives every body.

mod parser;
mod scanner;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::parser::{Entry, Parsed};
use super::Rejection;

pub(crate) use self::parser::{Limits, write_string};

/// A parsed text. Arrays and objects of its outermost levels have children.
pub(crate) struct Document<'a> {
    text: &'a str,
    levels: usize,
    parsed: Parsed,
}

impl<'a> Document<'a> {
    /// Parses one whole JSON text that is about to be stored.
    pub(crate) fn parse(text: &'a str, levels: usize) -> Result<Self, Rejection> {
        Self::parse_within(text, levels, Limits::NEW)
    }

    /// Parses one whole JSON text within these limits.
    pub(crate) fn parse_within(
        text: &'a str,
        levels: usize,
        limits: Limits,
    ) -> Result<Self, Rejection> {
        let parsed = parser::parse(text, levels, limits);
        parsed
            .map(|parsed| Self {
                text,
                levels,
                parsed,
            })
            .map_err(|rejection| syntax_error_first(text, rejection))
    }

    pub(crate) fn root(&self) -> Node<'_> {
        self.node(self.parsed.root, self.levels)
    }

    /// A value above `levels` kept levels.
    fn node(&self, entry: Entry, levels: usize) -> Node<'_> {
        let text = entry.text(self.text);
        let children = || &self.parsed.children[entry.range()];
        let value = match text.as_bytes().first() {
            Some(b'"') => Value::String(self.string(entry)),
            Some(b'[' | b'{') if levels == 0 => Value::Flat(&self.parsed.forms[entry.range()]),
            Some(b'[') => Value::Array(Array {
                document: self,
                elements: children(),
                levels: levels - 1,
            }),
            Some(b'{') => Value::Object(Object {
                document: self,
                members: children().as_chunks().0,
                levels: levels - 1,
            }),
            _ => Value::Literal,
        };
        Node { text, value }
    }

    fn string(&self, entry: Entry) -> &str {
        entry.string(self.text, &self.parsed.decoded)
    }
}

/// Checks one whole JSON text, by the same rules as [`Document::parse_within`].
pub(crate) fn check(text: &str, limits: Limits) -> Result<(), Rejection> {
    parser::check(text, limits).map_err(|rejection| syntax_error_first(text, rejection))
}

/// A text that is not JSON is reported as such, even if it breaks another rule first.
#[cold]
fn syntax_error_first(text: &str, rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::InvalidJson { .. } => rejection,
        _ => syntax_error(text).unwrap_or(rejection),
    }
}

/// One value: its exact text and its meaning.
#[derive(Clone, Copy)]
pub(crate) struct Node<'d> {
    pub(crate) text: &'d str,
    pub(crate) value: Value<'d>,
}

/// The meaning of a value. Keys are decoded, so `"a"` and `"\u0061"` are the same key.
#[derive(Clone, Copy)]
pub(crate) enum Value<'d> {
    /// A number, `true`, `false` or `null`. Its text is its meaning.
    Literal,
    String(&'d str),
    Array(Array<'d>),
    Object(Object<'d>),
    /// An array or object below the kept levels: its canonical form.
    Flat(&'d [u8]),
}

impl<'d> Node<'d> {
    /// The canonical form: one text for all spellings of a value. Object keys are sorted by their UTF-8 bytes. There is no
    /// insignificant white space. Only quotes and backslashes are escaped. Literals keep their text.
    pub(crate) fn form(self) -> Cow<'d, [u8]> {
        match self.value {
            Value::Literal => self.text.as_bytes().into(),
            Value::Flat(form) => form.into(),
            Value::String(text) if self.is_plain(text) => self.text.as_bytes().into(),
            _ => {
                let mut form = Vec::with_capacity(self.text.len());
                self.write_form(&mut form);
                form.into()
            }
        }
    }

    /// Whether the string has no escapes: each is longer than its character. So its text is its canonical form.
    fn is_plain(self, string: &str) -> bool {
        string.len() + 2 == self.text.len()
    }

    fn write_form(self, form: &mut Vec<u8>) {
        match self.value {
            Value::Literal => form.extend_from_slice(self.text.as_bytes()),
            Value::Flat(flat) => form.extend_from_slice(flat),
            Value::String(text) if self.is_plain(text) => {
                form.extend_from_slice(self.text.as_bytes())
            }
            Value::String(text) => write_string(form, text),
            Value::Array(array) => {
                form.push(b'[');
                for (index, element) in array.iter().enumerate() {
                    if index > 0 {
                        form.push(b',');
                    }
                    element.write_form(form);
                }
                form.push(b']');
            }
            Value::Object(object) => {
                form.push(b'{');
                for (index, (key, value)) in object.iter().enumerate() {
                    if index > 0 {
                        form.push(b',');
                    }
                    write_string(form, key);
                    form.push(b':');
                    value.write_form(form);
                }
                form.push(b'}');
            }
        }
    }
}

/// The elements of an array.
#[derive(Clone, Copy)]
pub(crate) struct Array<'d> {
    document: &'d Document<'d>,
    elements: &'d [Entry],
    levels: usize,
}

impl<'d> Array<'d> {
    pub(crate) fn get(self, index: usize) -> Option<Node<'d>> {
        let entry = self.elements.get(index)?;
        Some(self.document.node(*entry, self.levels))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Node<'d>> {
        let node = move |entry: &Entry| self.document.node(*entry, self.levels);
        self.elements.iter().map(node)
    }
}

/// The members of an object, sorted by the UTF-8 bytes of their keys, without duplicates.
#[derive(Clone, Copy)]
pub(crate) struct Object<'d> {
    document: &'d Document<'d>,
    members: &'d [[Entry; 2]],
    levels: usize,
}

impl<'d> Object<'d> {
    pub(crate) fn get(self, key: &str) -> Option<Node<'d>> {
        let found = self
            .members
            .binary_search_by(|[own, _]| self.document.string(*own).cmp(key));
        let [_, value] = self.members[found.ok()?];
        Some(self.document.node(value, self.levels))
    }

    /// The keys and the values.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'d str, Node<'d>)> {
        self.members.iter().map(move |[key, value]| {
            let value = self.document.node(*value, self.levels);
            (self.document.string(*key), value)
        })
    }
}

/// The syntax error that serde_json finds, at any depth. It accepts lone surrogates, because it skips the value.
fn syntax_error(text: &str) -> Option<Rejection> {
    let error = serde_json::from_str::<&RawValue>(text).err()?;
    // Only the position: the message can quote the input.
    Some(Rejection::InvalidJson {
        line: error.line(),
        // 0 if the text ends at the beginning of a line.
        column: error.column().max(1),
    })
}

#[cfg(test)]
mod tests;
