//! A JSON value read for what it says and how it is spelled: the text of every node is kept beside its meaning.
//!
//! Read in one pass (RFC 8259). Numbers are never converted, duplicate keys are refused (parsers disagree on which one
//! counts, so two consumers could act on different values), and depth is bounded. serde_json reads the strings that have
//! escapes; it keeps no text of what it reads, but for one level at a time, which made a reader on it go over a text once
//! for each level.

use std::borrow::Cow;

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
    Object(Object<'a>),
}

/// An object's members, sorted by the UTF-8 bytes of their keys, none of which stands there twice.
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
    /// Reads one whole JSON text, nested no deeper than a message may be.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejection> {
        Self::parse_to_depth(text, MAX_JSON_DEPTH)
    }

    /// Reads one whole JSON text of at most `depth` levels.
    pub(crate) fn parse_to_depth(text: &'a str, depth: usize) -> Result<Self, Rejection> {
        Reader { text, at: 0 }
            .whole(depth)
            .map_err(|rejection| match rejection {
                // What is no JSON at all is that, however deep it is or whatever stands in it twice.
                Rejection::TooDeep | Rejection::DuplicateKey => not_json(text).unwrap_or(rejection),
                _ => rejection,
            })
    }
}

/// What serde_json says against a text, which it reads at any depth where nothing is made of it.
fn not_json(text: &str) -> Option<Rejection> {
    let error = serde_json::from_str::<&RawValue>(text).err()?;
    // Only the place: the message can quote the input.
    Some(Rejection::InvalidJson {
        line: error.line(),
        column: error.column(),
    })
}

/// Goes over a text once. It stops before ASCII bytes only, so that every place it remembers is between characters.
struct Reader<'a> {
    text: &'a str,
    /// The next byte.
    at: usize,
}

impl<'a> Reader<'a> {
    fn whole(mut self, levels: usize) -> Result<Node<'a>, Rejection> {
        self.skip_space();
        let node = self.node(levels)?;
        self.skip_space();
        match self.peek() {
            None => Ok(node),
            Some(_) => Err(self.invalid()),
        }
    }

    /// `levels`: how many more there may be.
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

    /// Steps into an array or object, to its first element or beyond its end. Whether there is an element.
    fn enter(&mut self, end: u8) -> bool {
        self.at += 1;
        self.skip_space();
        !self.take(end)
    }

    /// Steps behind an element, to the next one or beyond the end. Whether there is another.
    fn another(&mut self, end: u8) -> Result<bool, Rejection> {
        self.skip_space();
        if self.take(end) {
            return Ok(false);
        }
        self.expect(b',')?;
        self.skip_space();
        Ok(true)
    }

    /// Borrowed where it has no escapes: then it stands for itself.
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
            // What is escaped may be a quote; whether it may be escaped is checked below.
            self.at += 1;
            self.skip_character();
        }
        self.at += 1;
        if !has_escapes {
            return Ok(Cow::Borrowed(&self.text[begin + 1..self.at - 1]));
        }
        let read = serde_json::from_str(&self.text[begin..self.at]);
        read.map(Cow::Owned).map_err(|error| {
            // Its column is of the string, which has one line. Its message is not used: it can quote the input.
            self.at = begin + error.column().saturating_sub(1);
            self.invalid()
        })
    }

    fn number(&mut self) -> Result<Value<'a>, Rejection> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Literal)
    }

    /// At least one.
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

    /// Steps over this byte, which is ASCII, if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), Rejection> {
        self.take(byte).then_some(()).ok_or_else(|| self.invalid())
    }

    /// Something else was expected here.
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
    fn what_is_no_json_is_that_however_deep_and_whatever_it_has_twice() {
        let deep = "[".repeat(100_000);
        for text in [&*deep, "{\"a\":1,\"a\":1} x", "[{\"a\":1,\"a\":1}"] {
            let rejection = parse(text).unwrap_err();
            assert_eq!(rejection.name(), "InvalidJson");
        }
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

    /// What serde_json makes of a node's text, put together from the nodes in it.
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
    fn every_place_of_an_error_is_the_place() {
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
    fn texts_and_meanings_are_kept_at_every_level() {
        let text = " { \"b\" : [ 1.0 , -0, 1E+2, \"\\u00e9\\\"\\\\é\" , {} , [ ] ],\t\"a\\n\":{\"\":null,\"x\":[true,false]}} ";
        let node = Node::parse(text).unwrap();
        assert_eq!(node.text, text.trim());
        assert_texts_are_kept(&node);
    }

    proptest! {
        #[test]
        fn any_text_gives_a_result_and_agrees_with_serde_json(text in r#"[\[\]{}:,"\\a0-9.eEtrufalsn \u{e9}-]{0,40}"#) {
            let ours = parse(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match &ours {
                Ok(()) => prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("out of range")),
                Err(Rejection::DuplicateKey | Rejection::TooDeep) => {}
                Err(_) => prop_assert!(theirs.is_err()),
            }
        }

        #[test]
        fn what_is_read_is_what_serde_json_reads(value in json(), cut in any::<prop::sample::Index>()) {
            for text in [value.to_string(), format!("{value:#}")] {
                assert_texts_are_kept(&Node::parse(&text).unwrap());
                // A text that lacks a piece is refused where serde_json refuses it.
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
