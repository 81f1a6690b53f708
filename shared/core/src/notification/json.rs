//! A JSON parser that keeps the exact text of every value beside its meaning.
//!
//! It parses in one pass (RFC 8259). Numbers are never converted. Duplicate keys are rejected, because parsers disagree on
//! which one counts and two consumers could act on different values. Depth, numbers and keys are bounded by [`Limits`].
//! serde_json cannot do this: it keeps the text of one level only, so a parser built on it would pass over a text once per
//! level, and it does not tell a lone surrogate from a text that is not JSON.
//!
//! A value costs 16 bytes, whatever it is, and has at least two bytes of text. So the memory is bounded by the length of the
//! text, and a function with 128 MB survives every body.

use serde_json::value::RawValue;

use super::Rejection;
use crate::limits::{MAX_JSON_DEPTH, MAX_KEY_BYTES, MAX_NUMBER_CHARS};

/// The bounds of a text.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    depth: usize,
    number_chars: usize,
    key_bytes: usize,
}

impl Limits {
    /// The limits of what is about to be stored.
    pub(crate) const NEW: Self = Self {
        depth: MAX_JSON_DEPTH,
        number_chars: MAX_NUMBER_CHARS,
        key_bytes: MAX_KEY_BYTES,
    };

    /// The limits of what was stored. An earlier version may have stored longer numbers and keys, which stay readable.
    pub(crate) const STORED: Self = Self {
        depth: MAX_JSON_DEPTH,
        number_chars: usize::MAX,
        key_bytes: usize::MAX,
    };

    /// The limits of an event, which contains a stored payload one level down.
    pub(crate) const EVENT: Self = Self {
        depth: MAX_JSON_DEPTH + 1,
        ..Self::STORED
    };
}

/// A parsed text with all its values.
pub(crate) struct Document<'a> {
    text: &'a str,
    root: Entry,
    /// The children of each array and object side by side. An object has a key and a value in turn, sorted by key.
    children: Vec<Entry>,
    /// The meanings of the strings that contain escapes, one after the other.
    decoded: String,
}

/// A value as positions, which are small because a text has at most 4 GiB.
#[derive(Clone, Copy)]
struct Entry {
    /// Where its text begins. The first byte shows the kind of the value.
    begin: u32,
    end: u32,
    /// An array or object: its children. A string with escapes: its meaning. Otherwise empty.
    from: u32,
    to: u32,
}

impl Entry {
    fn text(self, document: &str) -> &str {
        &document[self.begin as usize..self.end as usize]
    }

    /// The meaning of a string.
    fn string<'d>(self, document: &'d str, decoded: &'d str) -> &'d str {
        if self.from == self.to {
            &document[self.begin as usize + 1..self.end as usize - 1]
        } else {
            &decoded[self.from as usize..self.to as usize]
        }
    }
}

impl<'a> Document<'a> {
    /// Parses one whole JSON text that is about to be stored.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejection> {
        Self::parse_within(text, Limits::NEW)
    }

    /// Parses one whole JSON text within these limits.
    pub(crate) fn parse_within(text: &'a str, limits: Limits) -> Result<Self, Rejection> {
        assert!(
            u32::try_from(text.len()).is_ok(),
            "no event of Lambda has 4 GiB"
        );
        let parser = Parser {
            text,
            at: 0,
            limits,
            open: Vec::with_capacity(32),
            // A guess: most values have more than 16 bytes of text.
            children: Vec::with_capacity(text.len() / 16),
            decoded: String::new(),
        };
        parser.whole().map_err(|rejection| match rejection {
            Rejection::InvalidJson { .. } => rejection,
            // A text that is not JSON is reported as such, even if it breaks another rule first.
            _ => syntax_error(text).unwrap_or(rejection),
        })
    }

    pub(crate) fn root(&self) -> Node<'_> {
        self.node(self.root)
    }

    fn node(&self, entry: Entry) -> Node<'_> {
        let text = entry.text(self.text);
        let children = || &self.children[entry.from as usize..entry.to as usize];
        let value = match text.as_bytes().first() {
            Some(b'"') => Value::String(self.string(entry)),
            Some(b'[') => Value::Array(Array {
                document: self,
                elements: children(),
            }),
            Some(b'{') => Value::Object(Object {
                document: self,
                members: children().as_chunks().0,
            }),
            _ => Value::Literal,
        };
        Node { text, value }
    }

    fn string(&self, entry: Entry) -> &str {
        entry.string(self.text, &self.decoded)
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
}

/// The elements of an array.
#[derive(Clone, Copy)]
pub(crate) struct Array<'d> {
    document: &'d Document<'d>,
    elements: &'d [Entry],
}

impl<'d> Array<'d> {
    pub(crate) fn get(self, index: usize) -> Option<Node<'d>> {
        let entry = self.elements.get(index)?;
        Some(self.document.node(*entry))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Node<'d>> {
        self.elements
            .iter()
            .map(move |entry| self.document.node(*entry))
    }
}

/// The members of an object, sorted by the UTF-8 bytes of their keys, without duplicates.
#[derive(Clone, Copy)]
pub(crate) struct Object<'d> {
    document: &'d Document<'d>,
    members: &'d [[Entry; 2]],
}

impl<'d> Object<'d> {
    pub(crate) fn get(self, key: &str) -> Option<Node<'d>> {
        let found = self
            .members
            .binary_search_by(|[own, _]| self.document.string(*own).cmp(key));
        found
            .ok()
            .map(|index| self.document.node(self.members[index][1]))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (Node<'d>, Node<'d>)> {
        self.members
            .iter()
            .map(move |[key, value]| (self.document.node(*key), self.document.node(*value)))
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

/// Sets the highest bit of the first byte that is a quote, a backslash or a control character; the first is the lowest. Bits
/// above it mean nothing (Bit Twiddling Hacks, "Determine if a word has a byte less than n").
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (EACH * 0x80)
}

/// The parser state. It stops before ASCII bytes only, so every position is between two characters.
struct Parser<'a> {
    text: &'a str,
    /// The position of the next byte.
    at: usize,
    limits: Limits,
    /// The children so far of the arrays and objects around the position, the outermost first.
    open: Vec<Entry>,
    children: Vec<Entry>,
    decoded: String,
}

/// A range of children or of decoded text.
type Range = (usize, usize);

impl<'a> Parser<'a> {
    fn whole(mut self) -> Result<Document<'a>, Rejection> {
        self.skip_space();
        let root = self.value(self.limits.depth)?;
        self.skip_space();
        match self.peek() {
            None => Ok(Document {
                text: self.text,
                root,
                children: self.children,
                decoded: self.decoded,
            }),
            Some(_) => Err(self.invalid()),
        }
    }

    /// Parses one value with at most `levels` further levels.
    fn value(&mut self, levels: usize) -> Result<Entry, Rejection> {
        let begin = self.at;
        let range = match self.peek() {
            Some(b'{') => self.object(levels)?,
            Some(b'[') => self.array(levels)?,
            Some(b'"') => self.string()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => self.number()?,
        };
        Ok(self.entry(begin, range))
    }

    /// The value from `begin` to the position.
    fn entry(&self, begin: usize, (from, to): Range) -> Entry {
        // No position is beyond the length of the text, and there are fewer values than bytes.
        let small = |position: usize| position as u32;
        Entry {
            begin: small(begin),
            end: small(self.at),
            from: small(from),
            to: small(to),
        }
    }

    fn object(&mut self, levels: usize) -> Result<Range, Rejection> {
        let levels = levels.checked_sub(1).ok_or(Rejection::TooDeep)?;
        let first = self.open.len();
        let mut more = self.enter(b'}');
        while more {
            let key = self.key()?;
            self.open.push(key);
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.value(levels)?;
            self.open.push(value);
            more = self.another(b'}')?;
        }
        let (members, _) = self.open[first..].as_chunks_mut::<2>();
        let key = |[key, _]: &[Entry; 2]| key.string(self.text, &self.decoded).as_bytes();
        members.sort_unstable_by(|one, other| key(one).cmp(key(other)));
        if members
            .windows(2)
            .any(|pair| key(&pair[0]) == key(&pair[1]))
        {
            return Err(Rejection::DuplicateKey);
        }
        Ok(self.close(first))
    }

    fn array(&mut self, levels: usize) -> Result<Range, Rejection> {
        let levels = levels.checked_sub(1).ok_or(Rejection::TooDeep)?;
        let first = self.open.len();
        let mut more = self.enter(b']');
        while more {
            let element = self.value(levels)?;
            self.open.push(element);
            more = self.another(b']')?;
        }
        Ok(self.close(first))
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
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.invalid()),
        }
    }

    /// Moves the open children from `first` on to their final place.
    fn close(&mut self, first: usize) -> Range {
        let from = self.children.len();
        let to = from + self.open.len() - first;
        if to > self.children.capacity() {
            // Doubles, but not beyond the number of values that the text can have: each has two bytes, except the last.
            let capacity = (2 * to).min(self.text.len() / 2 + 1);
            self.children.reserve_exact(capacity - from);
        }
        self.children.extend_from_slice(&self.open[first..]);
        self.open.truncate(first);
        (from, to)
    }

    fn key(&mut self) -> Result<Entry, Rejection> {
        let begin = self.at;
        let decoded = self.string()?;
        // The two quotes are not part of the key.
        if self.at - begin - 2 > self.limits.key_bytes {
            let (line, column) = self.line_and_column(begin);
            return Err(Rejection::KeyTooLong { line, column });
        }
        Ok(self.entry(begin, decoded))
    }

    /// Parses a string. Only one with escapes needs a decoded text.
    fn string(&mut self) -> Result<Range, Rejection> {
        self.expect(b'"')?;
        let from = self.decoded.len();
        let mut copied = self.at;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.decoded.push_str(&self.text[copied..self.at]);
                    let character = self.escape()?;
                    self.decoded.push(character);
                    copied = self.at;
                }
                _ => return Err(self.invalid()),
            }
        }
        if self.decoded.len() > from {
            self.decoded.push_str(&self.text[copied..self.at]);
        }
        self.at += 1;
        Ok((from, self.decoded.len()))
    }

    fn escape(&mut self) -> Result<char, Rejection> {
        let begin = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.utf16(begin);
            }
            _ => return Err(self.invalid()),
        };
        self.at += 1;
        Ok(character)
    }

    /// Parses the digits of a `\u` that begins at `begin`, and the second half of a surrogate pair.
    fn utf16(&mut self, begin: usize) -> Result<char, Rejection> {
        let first = self.hexadecimal()?;
        let is_surrogate = char::from_u32(first.into()).is_none();
        let mut second = 0;
        if is_surrogate && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            second = self.hexadecimal()?;
        }
        match char::decode_utf16([first, second]).next() {
            Some(Ok(character)) => Ok(character),
            _ => {
                let (line, column) = self.line_and_column(begin);
                Err(Rejection::LoneSurrogate { line, column })
            }
        }
    }

    /// Parses four hexadecimal digits.
    fn hexadecimal(&mut self) -> Result<u16, Rejection> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.invalid())?;
            self.at += 1;
        }
        Ok(unit as u16)
    }

    fn number(&mut self) -> Result<Range, Rejection> {
        let begin = self.at;
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
        if self.at - begin > self.limits.number_chars {
            let (line, column) = self.line_and_column(begin);
            return Err(Rejection::NumberTooLong { line, column });
        }
        Ok((0, 0))
    }

    /// Parses at least one digit.
    fn digits(&mut self) -> Result<(), Rejection> {
        let begin = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        (self.at > begin)
            .then_some(())
            .ok_or_else(|| self.invalid())
    }

    fn word(&mut self, word: &str) -> Result<Range, Rejection> {
        word.bytes().try_for_each(|byte| self.expect(byte))?;
        Ok((0, 0))
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Moves to the next quote, backslash or control character, by eight bytes at a time.
    fn skip_plain(&mut self) {
        let (words, _) = self.text.as_bytes()[self.at..].as_chunks();
        for word in words {
            let special = special_bytes(u64::from_le_bytes(*word));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f));
    }

    fn skip_while(&mut self, is_skipped: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .position(|byte| !is_skipped(*byte))
            .unwrap_or(rest.len());
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
    #[cold]
    fn invalid(&self) -> Rejection {
        let (line, column) = self.line_and_column(self.at);
        Rejection::InvalidJson { line, column }
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let lines = before.split(|byte| *byte == b'\n');
        let (line, last) = lines.enumerate().last().unwrap_or_default();
        (line + 1, last.len() + 1)
    }
}

#[cfg(test)]
mod tests;
