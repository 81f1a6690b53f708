//! Shared by the fuzz targets: a runtime in virtual time, and JSON values with different encodings.

use std::collections::BTreeMap;
use std::future::Future;

use arbitrary::{Arbitrary, Unstructured};
use tokio::runtime::{Builder, Runtime};

/// Runs a handler in virtual time, which skips every pause.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// A JSON value as the fingerprint compares it: strings by value, numbers by their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

/// Deep enough to nest every kind in every other. Unit tests cover the nesting limit of messages.
const DEPTH: usize = 6;

impl<'a> Arbitrary<'a> for Json {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Self::of_depth(u, DEPTH)
    }
}

impl Json {
    fn of_depth(u: &mut Unstructured<'_>, depth: usize) -> arbitrary::Result<Self> {
        let last = if depth == 0 { 3 } else { 5 };
        Ok(match u.int_in_range(0..=last)? {
            0 => Self::Null,
            1 => Self::Bool(u.arbitrary()?),
            2 => Self::Number(number(u)?),
            3 => Self::String(u.arbitrary()?),
            4 => {
                let length = u.int_in_range(0..=4)?;
                let elements = (0..length).map(|_| Self::of_depth(u, depth - 1));
                Self::Array(elements.collect::<Result<_, _>>()?)
            }
            _ => {
                let length = u.int_in_range(0..=4)?;
                let entries =
                    (0..length).map(|_| Ok((u.arbitrary()?, Self::of_depth(u, depth - 1)?)));
                Self::Object(entries.collect::<Result<_, _>>()?)
            }
        })
    }

    /// Encodes the value with a random key order, white space and escapes.
    pub fn spell(&self, u: &mut Unstructured<'_>, text: &mut String) -> arbitrary::Result<()> {
        space(u, text)?;
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => text.push_str(number),
            Self::String(value) => spell_string(value, u, text)?,
            Self::Array(elements) => {
                text.push('[');
                for (place, element) in elements.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    element.spell(u, text)?;
                }
                text.push(']');
            }
            Self::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                for place in (1..entries.len()).rev() {
                    entries.swap(place, u.int_in_range(0..=place)?);
                }
                text.push('{');
                for (place, (key, value)) in entries.into_iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    space(u, text)?;
                    spell_string(key, u, text)?;
                    space(u, text)?;
                    text.push(':');
                    value.spell(u, text)?;
                }
                text.push('}');
            }
        }
        space(u, text)
    }
}

fn number(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let mut number = u.arbitrary::<i64>()?.to_string();
    if u.arbitrary()? {
        number.push_str(&format!(".{}", u.arbitrary::<u16>()?));
    }
    if u.arbitrary()? {
        let sign = *u.choose(&["e", "E", "e+", "E-"])?;
        number.push_str(&format!("{sign}{}", u.arbitrary::<u16>()?));
    }
    Ok(number)
}

fn space(u: &mut Unstructured<'_>, text: &mut String) -> arbitrary::Result<()> {
    text.push_str(*u.choose(&["", "", "", " ", "\n", "\t\r"])?);
    Ok(())
}

fn spell_string(value: &str, u: &mut Unstructured<'_>, text: &mut String) -> arbitrary::Result<()> {
    text.push('"');
    for c in value.chars() {
        let must_escape = c < ' ' || c == '"' || c == '\\';
        if must_escape || u.ratio(1, 8)? {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let escape = if u.arbitrary()? {
                    format!("\\u{unit:04x}")
                } else {
                    format!("\\u{unit:04X}")
                };
                text.push_str(&escape);
            }
        } else {
            text.push(c);
        }
    }
    text.push('"');
    Ok(())
}
