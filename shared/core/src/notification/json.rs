//! A JSON parser that keeps the exact text of every value beside its meaning.
//!
//! It parses in one pass (RFC 8259). Numbers are never converted. Duplicate keys are rejected, because parsers disagree on
//! which one counts and two consumers could act on different values. The depth is bounded. serde_json decodes the strings
//! that contain escapes. It cannot do the rest, because it keeps the text of one level only, so a parser built on it would
//! pass over a text once per level.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Rejection;
use crate::limits::MAX_JSON_DEPTH;

/// One value: its exact text and its meaning.
pub(crate) struct Node<'a> {
    pub(crate) text: &'a str,
    pub(crate) value: Value<'a>,
}

/// The meaning of a value. Keys are decoded, so `"a"` and `"\u0061"` are the same key.
pub(crate) enum Value<'a> {
    /// A number, `true`, `false` or `null`. Its text is its meaning.
    Literal,
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Object<'a>),
}

/// The members of an object, sorted by the UTF-8 bytes of their keys, without duplicates.
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Object<'a> {
    fn new(mut members: Vec<(Cow<'a, str>, Node<'a>)>) -> Result<Self, Rejection> {
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let twice = members.windows(2).any(|pair| pair[0].0 == pair[1].0);
        (!twice)
            .then_some(Self(members))
            .ok_or(Rejection::DuplicateKey)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node<'a>> {
        let found = self.0.binary_search_by(|(own, _)| own.as_ref().cmp(key));
        found.ok().map(|index| &self.0[index].1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }
}

impl<'a> Node<'a> {
    /// Parses one whole JSON text with the depth limit of a message.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejection> {
        Self::parse_to_depth(text, MAX_JSON_DEPTH)
    }

    /// Parses one whole JSON text of at most `depth` levels.
    pub(crate) fn parse_to_depth(text: &'a str, depth: usize) -> Result<Self, Rejection> {
        Parser { text, at: 0 }
            .whole(depth)
            .map_err(|rejection| match rejection {
                // A text that is not JSON is reported as such, even if it is also too deep or has a duplicate key.
                Rejection::TooDeep | Rejection::DuplicateKey => {
                    syntax_error(text).unwrap_or(rejection)
                }
                _ => rejection,
            })
    }
}

/// The syntax error that serde_json finds, at any depth.
fn syntax_error(text: &str) -> Option<Rejection> {
    let error = serde_json::from_str::<&RawValue>(text).err()?;
    // Only the position: the message can quote the input.
    Some(Rejection::InvalidJson {
        line: error.line(),
        column: error.column(),
    })
}

/// The parser state. It stops before ASCII bytes only, so every position is between two characters.
struct Parser<'a> {
    text: &'a str,
    /// The position of the next byte.
    at: usize,
}

impl<'a> Parser<'a> {
    fn whole(mut self, levels: usize) -> Result<Node<'a>, Rejection> {
        self.skip_space();
        let node = self.node(levels)?;
        self.skip_space();
        match self.peek() {
            None => Ok(node),
            Some(_) => Err(self.invalid()),
        }
    }

    /// Parses one value with at most `levels` further levels.
    fn node(&mut self, levels: usize) -> Result<Node<'a>, Rejection> {
        let begin = self.at;
        let value = match self.peek() {
            Some(b'{') => Value::Object(self.object(levels)?),
            Some(b'[') => Value::Array(self.array(levels)?),
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => self.number()?,
        };
        Ok(Node {
            text: &self.text[begin..self.at],
            value,
        })
    }

    fn object(&mut self, levels: usize) -> Result<Object<'a>, Rejection> {
        let levels = levels.checked_sub(1).ok_or(Rejection::TooDeep)?;
        let mut members = Vec::new();
        let mut more = self.enter(b'}');
        while more {
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            members.push((key, self.node(levels)?));
            more = self.another(b'}')?;
        }
        Object::new(members)
    }

    fn array(&mut self, levels: usize) -> Result<Vec<Node<'a>>, Rejection> {
        let levels = levels.checked_sub(1).ok_or(Rejection::TooDeep)?;
        let mut elements = Vec::new();
        let mut more = self.enter(b']');
        while more {
            elements.push(self.node(levels)?);
            more = self.another(b']')?;
        }
        Ok(elements)
    }

    /// Moves into an array or object. Returns whether it has an element.
    fn enter(&mut self, end: u8) -> bool {
        self.at += 1;
        self.skip_space();
        !self.skip_byte(end)
    }

    /// Moves past an element. Returns whether there is another one.
    fn another(&mut self, end: u8) -> Result<bool, Rejection> {
        self.skip_space();
        if self.skip_byte(end) {
            return Ok(false);
        }
        self.expect(b',')?;
        self.skip_space();
        Ok(true)
    }

    /// Parses a string. Borrows it if it has no escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Rejection> {
        let begin = self.at;
        self.expect(b'"')?;
        let mut has_escapes = false;
        loop {
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => has_escapes = true,
                _ => return Err(self.invalid()),
            }
            // The escaped character may be a quote. serde_json checks below whether the escape is valid.
            self.at += 1;
            self.skip_character();
        }
        self.at += 1;
        if !has_escapes {
            return Ok(Cow::Borrowed(&self.text[begin + 1..self.at - 1]));
        }
        let read = serde_json::from_str(&self.text[begin..self.at]);
        read.map(Cow::Owned).map_err(|error| {
            // The column is relative to the string, which has one line. The message is dropped: it can quote the input.
            self.at = begin + error.column().saturating_sub(1);
            self.invalid()
        })
    }

    fn number(&mut self) -> Result<Value<'a>, Rejection> {
        self.skip_byte(b'-');
        if !self.skip_byte(b'0') {
            self.digits()?;
        }
        if self.skip_byte(b'.') {
            self.digits()?;
        }
        if self.skip_byte(b'e') || self.skip_byte(b'E') {
            let _ = self.skip_byte(b'+') || self.skip_byte(b'-');
            self.digits()?;
        }
        Ok(Value::Literal)
    }

    /// Parses at least one digit.
    fn digits(&mut self) -> Result<(), Rejection> {
        let begin = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        (self.at > begin)
            .then_some(())
            .ok_or_else(|| self.invalid())
    }

    fn word(&mut self, word: &str) -> Result<Value<'a>, Rejection> {
        word.bytes().try_for_each(|byte| self.expect(byte))?;
        Ok(Value::Literal)
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn skip_while(&mut self, is_skipped: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .position(|byte| !is_skipped(*byte))
            .unwrap_or(rest.len());
    }

    fn skip_character(&mut self) {
        let character = self.text[self.at..].chars().next();
        self.at += character.map_or(0, char::len_utf8);
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves past this ASCII byte if it is the next one. Returns whether it was.
    fn skip_byte(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Rejection> {
        self.skip_byte(byte)
            .then_some(())
            .ok_or_else(|| self.invalid())
    }

    /// The error at the current position.
    fn invalid(&self) -> Rejection {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let lines = before.split(|byte| *byte == b'\n');
        let (line, last) = lines.enumerate().last().unwrap_or_default();
        Rejection::InvalidJson {
            line: line + 1,
            column: last.len() + 1,
        }
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
    fn rejects_duplicate_keys_at_any_depth_and_in_any_spelling() {
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
    fn rejects_deep_nesting() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(&nested(MAX_JSON_DEPTH)), Ok(()));
        assert_eq!(parse(&nested(MAX_JSON_DEPTH + 1)), Err(Rejection::TooDeep));
        assert_eq!(parse(&nested(100_000)), Err(Rejection::TooDeep));
    }

    #[test]
    fn reports_a_syntax_error_before_depth_and_duplicate_keys() {
        let deep = "[".repeat(100_000);
        for text in [&*deep, "{\"a\":1,\"a\":1} x", "[{\"a\":1,\"a\":1}"] {
            let rejection = parse(text).unwrap_err();
            assert_eq!(rejection.name(), "InvalidJson");
        }
    }

    #[test]
    fn reports_the_position_of_a_syntax_error() {
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
    fn keeps_numbers_of_any_size_as_text() {
        for text in ["1e400", "123456789012345678901234567890", "-0", "1.0"] {
            assert_eq!(Node::parse(text).map(|node| node.text).ok(), Some(text));
        }
    }

    /// Converts a node to serde_json's value.
    fn value(node: &Node<'_>) -> serde_json::Value {
        match &node.value {
            Value::Literal => serde_json::from_str(node.text).unwrap(),
            Value::String(text) => text.as_ref().into(),
            Value::Array(elements) => elements.iter().map(value).collect(),
            Value::Object(object) => {
                let members = object
                    .iter()
                    .map(|(key, node)| (key.to_owned(), value(node)));
                serde_json::Value::Object(members.collect())
            }
        }
    }

    fn assert_texts_are_kept(node: &Node<'_>) {
        let read = serde_json::from_str::<serde_json::Value>(node.text);
        assert_eq!(read.unwrap(), value(node), "{}", node.text);
        match &node.value {
            Value::Literal | Value::String(_) => {}
            Value::Array(elements) => elements.iter().for_each(assert_texts_are_kept),
            Value::Object(object) => object.iter().for_each(|(key, node)| {
                assert!(std::ptr::eq(object.get(key).unwrap(), node));
                assert_texts_are_kept(node);
            }),
        }
    }

    #[test]
    fn error_positions_are_exact() {
        for (text, line, column) in [
            ("", 1, 1),
            ("  ", 1, 3),
            ("[1 2]", 1, 4),
            ("\n[\n1,]", 3, 3),
            ("tru", 1, 4),
            ("-", 1, 2),
            ("1.", 1, 3),
            ("1e+", 1, 4),
            ("{\"a\" 1}", 1, 6),
            ("{1:1}", 1, 2),
            ("\"é\u{1}\"", 1, 4),
            ("\"ab", 1, 4),
            ("[\"\\\"", 1, 5),
            ("[\"a\\x\"]", 1, 5),
            ("{} {}", 1, 4),
        ] {
            assert_eq!(
                parse(text),
                Err(Rejection::InvalidJson { line, column }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn keeps_texts_and_meanings_at_every_level() {
        let text = " { \"b\" : [ 1.0 , -0, 1E+2, \"\\u00e9\\\"\\\\é\" , {} , [ ] ],\t\"a\\n\":{\"\":null,\"x\":[true,false]}} ";
        let node = Node::parse(text).unwrap();
        assert_eq!(node.text, text.trim());
        assert_texts_are_kept(&node);
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_any_text(text in r#"[\[\]{}:,"\\a0-9.eEtrufalsn \u{e9}-]{0,40}"#) {
            let ours = parse(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match &ours {
                Ok(()) => prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("out of range")),
                Err(Rejection::DuplicateKey | Rejection::TooDeep) => {}
                Err(_) => prop_assert!(theirs.is_err()),
            }
        }

        #[test]
        fn agrees_with_serde_json_on_values_and_broken_texts(value in json(), cut in any::<prop::sample::Index>()) {
            for text in [value.to_string(), format!("{value:#}")] {
                assert_texts_are_kept(&Node::parse(&text).unwrap());
                // Removes one character and expects the same decision as serde_json.
                let mut broken = text.clone();
                let at = text.floor_char_boundary(cut.index(text.len()));
                broken.remove(at);
                let theirs = serde_json::from_str::<serde_json::Value>(&broken).is_ok();
                let ours = parse(&broken);
                match ours {
                    Ok(()) => prop_assert!(theirs, "{broken}"),
                    Err(Rejection::DuplicateKey) => prop_assert!(theirs, "{broken}"),
                    Err(_) => prop_assert!(!theirs, "{broken}"),
                }
            }
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e9..1e9).prop_map(|number: f64| number.into()),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a-d\"\\\\\n\u{e9}]{0,3}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
