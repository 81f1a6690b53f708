//! A JSON value read for what it says and how it is spelled: the text of every node is kept beside its meaning.
//!
//! serde_json does the reading. Numbers are never converted, duplicate keys are refused (parsers disagree on which one
//! counts, so two consumers could act on different values), and depth is bounded.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Rejection;
use crate::limits::MAX_JSON_DEPTH;

/// One value: its exact text and what stands in it.
pub(crate) struct Node<'a> {
    pub(crate) text: &'a str,
    pub(crate) value: Value<'a>,
}

/// What a value is. Keys are decoded, so `"a"` and `"\u0061"` are the same key.
pub(crate) enum Value<'a> {
    /// A number, `true`, `false` or `null`: what it says is what it is spelled.
    Literal,
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(BTreeMap<Cow<'a, str>, Node<'a>>),
}

impl<'a> Node<'a> {
    /// Reads one whole JSON text, nested no deeper than a message may be.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejection> {
        Self::parse_to_depth(text, MAX_JSON_DEPTH)
    }

    /// Reads one whole JSON text of at most `depth` levels.
    pub(crate) fn parse_to_depth(text: &'a str, depth: usize) -> Result<Self, Rejection> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| invalid(&error))?;
        Self::read(raw, depth)
    }

    /// `levels`: how many more there may be.
    fn read(raw: &'a RawValue, levels: usize) -> Result<Self, Rejection> {
        let text = raw.get();
        let nested = || levels.checked_sub(1).ok_or(Rejection::TooDeep);
        let value = match text.as_bytes().first() {
            Some(b'{') => {
                let levels = nested()?;
                let entries: Entries<'a> =
                    serde_json::from_str(text).map_err(|error| invalid(&error))?;
                let mut object = BTreeMap::new();
                for (key, value) in entries.0 {
                    if object.insert(key, Self::read(value, levels)?).is_some() {
                        return Err(Rejection::DuplicateKey);
                    }
                }
                Value::Object(object)
            }
            Some(b'[') => {
                let levels = nested()?;
                let elements: Vec<&'a RawValue> =
                    serde_json::from_str(text).map_err(|error| invalid(&error))?;
                Value::Array(
                    elements
                        .into_iter()
                        .map(|raw| Self::read(raw, levels))
                        .collect::<Result<_, _>>()?,
                )
            }
            // Its end and its characters were checked when it was read as a raw value; without escapes it stands for itself.
            Some(b'"') if !text.contains('\\') => {
                Value::String(Cow::Borrowed(&text[1..text.len() - 1]))
            }
            Some(b'"') => {
                let Text(string) = serde_json::from_str(text).map_err(|error| invalid(&error))?;
                Value::String(string)
            }
            _ => Value::Literal,
        };
        Ok(Self { text, value })
    }
}

fn invalid(error: &serde_json::Error) -> Rejection {
    // Only the place: serde_json's message can quote the input.
    Rejection::InvalidJson {
        line: error.line(),
        column: error.column(),
    }
}

/// A string, borrowed where it holds no escapes (plain `Cow` fields always copy).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: serde::de::Error>(
                self,
                text: &'de str,
            ) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// An object's entries in the order they are written, duplicates and all.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
                Err(A::Error::custom("not an object"))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<(), Rejection> {
        Node::parse(text).map(|_| ())
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"b":null,"b":null}}]"#,
        ] {
            assert_eq!(parse(text), Err(Rejection::DuplicateKey), "{text}");
        }
        assert_eq!(parse(r#"{"a":{"a":1},"A":2}"#), Ok(()));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(&nested(MAX_JSON_DEPTH)), Ok(()));
        assert_eq!(parse(&nested(MAX_JSON_DEPTH + 1)), Err(Rejection::TooDeep));
        assert_eq!(parse(&nested(100_000)), Err(Rejection::TooDeep));
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        assert_eq!(
            parse("{\n\"a\":}"),
            Err(Rejection::InvalidJson { line: 2, column: 5 })
        );
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "01",
            "nul",
            "\"\\ud800\"",
            "{\"\\ud800\":1}",
            "\"a\nb\"",
            "{} {}",
            "NaN",
            "'a'",
        ] {
            assert!(
                matches!(parse(text), Err(Rejection::InvalidJson { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_of_any_size_are_kept_as_text() {
        for text in ["1e400", "123456789012345678901234567890", "-0", "1.0"] {
            assert_eq!(Node::parse(text).map(|node| node.text).ok(), Some(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_result_and_agrees_with_serde_json(text in r#"[\[\]{}:,"\\a0-9.eEtrufalsn \u{e9}-]{0,40}"#) {
            let ours = parse(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match ours {
                Ok(()) => prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("out of range")),
                Err(Rejection::DuplicateKey | Rejection::TooDeep) => {}
                Err(_) => prop_assert!(theirs.is_err()),
            }
        }
    }
}
