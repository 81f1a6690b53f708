//! Parses a JSON text in one pass.
//!
//! Arrays and objects of the outermost levels are kept with their children. Of deeper ones, only the canonical form is kept: it
//! is written while they are parsed, so a large payload needs neither a tree nor a second pass.

use super::{
    super::Rejection,
    scanner::{Rule, Scanner},
};
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

/// A value as positions, which are small because a text has at most 4 GiB.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Where its text begins. The first byte shows the kind of the value.
    begin: u32,
    end: u32,
    /// An array or object: its children, or, below the kept levels, its canonical form. A string with escapes: its meaning.
    /// Otherwise empty.
    from: u32,
    to: u32,
}

impl Entry {
    pub(super) fn text(self, document: &str) -> &str {
        &document[self.begin as usize..self.end as usize]
    }

    /// The meaning of a string.
    pub(super) fn string<'d>(self, document: &'d str, decoded: &'d str) -> &'d str {
        if self.from == self.to {
            &document[self.begin as usize + 1..self.end as usize - 1]
        } else {
            &decoded[self.range()]
        }
    }

    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

/// No position is beyond the length of the text, no form is longer than its text, and there are fewer values than bytes.
fn small(position: usize) -> u32 {
    position as u32
}

/// The parts that are kept of a text.
pub(super) struct Parsed {
    pub(super) root: Entry,
    /// The children of each array and object side by side. An object has a key and a value in turn, sorted by key.
    pub(super) children: Vec<Entry>,
    /// The meanings of the strings that contain escapes, one after the other.
    pub(super) decoded: String,
    /// The canonical forms of the arrays and objects below the kept levels, one after the other.
    pub(super) forms: Vec<u8>,
}

/// Parses one whole JSON text. Arrays and objects of so many `levels` are kept with their children.
pub(super) fn parse(text: &str, levels: usize, limits: Limits) -> Result<Parsed, Rejection> {
    let mut parser = Parser::new(text, limits);
    parser.writes_forms = true;
    let root = parser.whole(levels);
    let root = root.map_err(|rule| parser.scanner.rejection(rule))?;
    Ok(Parsed {
        root,
        children: parser.children,
        decoded: parser.decoded,
        forms: parser.forms,
    })
}

/// Checks one whole JSON text and keeps nothing.
pub(super) fn check(text: &str, limits: Limits) -> Result<(), Rejection> {
    let mut parser = Parser::new(text, limits);
    let root = parser.whole(0);
    root.map(|_| ())
        .map_err(|rule| parser.scanner.rejection(rule))
}

/// A member of an object below the kept levels.
#[derive(Clone, Copy)]
struct Member {
    /// The first bytes of the key's meaning as a number that sorts like them. Different keys rarely have the same.
    prefix: u64,
    key: Entry,
    /// Its canonical form, from the key to the end of the value.
    from: u32,
    to: u32,
}

/// So few keys are compared with each other faster than they are sorted.
const FEW_MEMBERS: usize = 12;

/// The first eight of `length` bytes, as a number that sorts like them. More bytes may follow.
fn prefix(bytes: &[u8], length: usize) -> u64 {
    let mut first = [0; 8];
    match bytes.first_chunk() {
        Some(chunk) => first = *chunk,
        None => first[..bytes.len()].copy_from_slice(bytes),
    }
    let behind = u64::MAX
        .checked_shr(8 * length.min(8) as u32)
        .unwrap_or_default();
    u64::from_be_bytes(first) & !behind
}

/// Writes a string in canonical form. Only quotes and backslashes are escaped, so that the end of the string is unambiguous.
pub(crate) fn write_string(form: &mut Vec<u8>, text: &str) {
    form.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            form.push(b'\\');
        }
        form.push(byte);
    }
    form.push(b'"');
}

/// The parser state.
struct Parser<'a> {
    scanner: Scanner<'a>,
    limits: Limits,
    /// The children so far of the kept arrays and objects around the position, the outermost first.
    open: Vec<Entry>,
    children: Vec<Entry>,
    decoded: String,
    /// The members so far of the other objects around the position, the outermost first.
    members: Vec<Member>,
    writes_forms: bool,
    /// Whether the position is below the kept levels, and forms are written.
    is_writing: bool,
    forms: Vec<u8>,
    /// The text from here to the position belongs to the form, but is not written yet. A compact text needs few copies.
    written: usize,
}

/// A range of children, of decoded text or of forms.
type Range = (usize, usize);

impl<'a> Parser<'a> {
    fn new(text: &'a str, limits: Limits) -> Self {
        assert!(
            u32::try_from(text.len()).is_ok(),
            "no event of Lambda has 4 GiB"
        );
        Self {
            scanner: Scanner { text, at: 0 },
            limits,
            open: Vec::new(),
            children: Vec::new(),
            decoded: String::new(),
            members: Vec::new(),
            writes_forms: false,
            is_writing: false,
            forms: Vec::new(),
            written: 0,
        }
    }

    fn whole(&mut self, levels: usize) -> Result<Entry, Rule> {
        self.skip_space();
        let root = self.value(self.limits.depth, levels)?;
        self.skip_space();
        match self.scanner.peek() {
            None => Ok(root),
            Some(_) => Err(Rule::Syntax),
        }
    }

    /// Parses one value with at most `depth` further levels, of which `levels` are kept.
    fn value(&mut self, depth: usize, levels: usize) -> Result<Entry, Rule> {
        let begin = self.scanner.at;
        let range = match self.scanner.peek() {
            Some(b'{' | b'[') if levels == 0 => self.flat(depth)?,
            Some(b'{') => self.object(depth, levels - 1)?,
            Some(b'[') => self.array(depth, levels - 1)?,
            Some(b'"') => self.decoded_string()?,
            _ => {
                self.literal()?;
                (0, 0)
            }
        };
        Ok(self.entry(begin, range))
    }

    /// The value from `begin` to the position.
    fn entry(&self, begin: usize, (from, to): Range) -> Entry {
        Entry {
            begin: small(begin),
            end: small(self.scanner.at),
            from: small(from),
            to: small(to),
        }
    }

    fn object(&mut self, depth: usize, levels: usize) -> Result<Range, Rule> {
        let depth = depth.checked_sub(1).ok_or(Rule::Depth)?;
        let first = self.open.len();
        let mut more = self.enter(b'}');
        while more {
            let key = self.key()?;
            self.open.push(key);
            let value = self.value(depth, levels)?;
            self.open.push(value);
            more = self.another(b'}')?;
        }
        let (members, _) = self.open[first..].as_chunks_mut::<2>();
        let key = |[key, _]: &[Entry; 2]| key.string(self.scanner.text, &self.decoded).as_bytes();
        members.sort_unstable_by(|one, other| key(one).cmp(key(other)));
        if members
            .windows(2)
            .any(|pair| key(&pair[0]) == key(&pair[1]))
        {
            return Err(Rule::DuplicateKey);
        }
        Ok(self.close(first))
    }

    fn array(&mut self, depth: usize, levels: usize) -> Result<Range, Rule> {
        let depth = depth.checked_sub(1).ok_or(Rule::Depth)?;
        let first = self.open.len();
        let mut more = self.enter(b']');
        while more {
            let element = self.value(depth, levels)?;
            self.open.push(element);
            more = self.another(b']')?;
        }
        Ok(self.close(first))
    }

    /// Moves the open children from `first` on to their final place.
    fn close(&mut self, first: usize) -> Range {
        let from = self.children.len();
        let to = from + self.open.len() - first;
        if to > self.children.capacity() {
            // Doubles, but not beyond the number of values that the text can have: each has two bytes, except the last.
            let capacity = (2 * to).min(self.scanner.text.len() / 2 + 1);
            self.children.reserve_exact(capacity - from);
        }
        self.children.extend_from_slice(&self.open[first..]);
        self.open.truncate(first);
        (from, to)
    }

    /// Parses an array or object below the kept levels. Returns its canonical form.
    fn flat(&mut self, depth: usize) -> Result<Range, Rule> {
        let from = self.forms.len();
        self.is_writing = self.writes_forms;
        self.written = self.scanner.at;
        self.flat_value(depth)?;
        self.write();
        self.is_writing = false;
        Ok((from, self.forms.len()))
    }

    fn flat_value(&mut self, depth: usize) -> Result<(), Rule> {
        match self.scanner.peek() {
            Some(b'"') => self.string(false),
            Some(b'{') => self.flat_object(depth),
            Some(b'[') => self.flat_array(depth),
            _ => self.literal(),
        }
    }

    fn flat_object(&mut self, depth: usize) -> Result<(), Rule> {
        let depth = depth.checked_sub(1).ok_or(Rule::Depth)?;
        let first = self.members.len();
        let decoded = self.decoded.len();
        let mut more = self.enter(b'}');
        let begin = self.form_end();
        while more {
            let from = self.form_end();
            let key = self.key()?;
            self.flat_value(depth)?;
            self.members.push(Member {
                prefix: self.prefix(key),
                key,
                from,
                to: self.form_end(),
            });
            more = self.another(b'}')?;
        }
        self.sort(first, begin)?;
        self.members.truncate(first);
        self.decoded.truncate(decoded);
        Ok(())
    }

    fn flat_array(&mut self, depth: usize) -> Result<(), Rule> {
        let depth = depth.checked_sub(1).ok_or(Rule::Depth)?;
        let mut more = self.enter(b']');
        while more {
            self.flat_value(depth)?;
            more = self.another(b']')?;
        }
        Ok(())
    }

    fn prefix(&self, key: Entry) -> u64 {
        if key.from == key.to {
            let begin = key.begin as usize + 1;
            prefix(
                &self.scanner.text.as_bytes()[begin..],
                key.end as usize - 1 - begin,
            )
        } else {
            let decoded = &self.decoded.as_bytes()[key.range()];
            prefix(decoded, decoded.len())
        }
    }

    /// Sorts the members from `first` on, whose forms begin at `begin`. The position is behind the end of their object.
    fn sort(&mut self, first: usize, begin: u32) -> Result<(), Rule> {
        let members = &mut self.members[first..];
        let key = |member: &Member| {
            member
                .key
                .string(self.scanner.text, &self.decoded)
                .as_bytes()
        };
        let compare = |one: &Member, other: &Member| {
            let prefixes = one.prefix.cmp(&other.prefix);
            prefixes.then_with(|| key(one).cmp(key(other)))
        };
        if !self.is_writing && members.len() <= FEW_MEMBERS {
            let is_duplicate = |(index, member): (usize, &Member)| {
                let mut before = members[..index].iter();
                before.any(|other| compare(member, other).is_eq())
            };
            return match members.iter().enumerate().any(is_duplicate) {
                true => Err(Rule::DuplicateKey),
                false => Ok(()),
            };
        }
        let is_ascending = |pair: &[Member]| compare(&pair[0], &pair[1]).is_lt();
        if members.windows(2).all(is_ascending) {
            return Ok(());
        }
        members.sort_unstable_by(compare);
        if !members.windows(2).all(is_ascending) {
            return Err(Rule::DuplicateKey);
        }
        if self.is_writing {
            self.write();
            let end = self.forms.len();
            for member in &self.members[first..] {
                let form = member.from as usize..member.to as usize;
                self.forms.extend_from_within(form);
                self.forms.push(b',');
            }
            self.forms.pop();
            self.forms.push(b'}');
            self.forms.drain(begin as usize..end);
        }
        Ok(())
    }

    /// The length of the forms, including the text that is not written yet.
    fn form_end(&self) -> u32 {
        small(self.forms.len() + self.scanner.at - self.written)
    }

    /// Writes the text before the position that is not written yet.
    fn write(&mut self) {
        if self.is_writing {
            let text = &self.scanner.text.as_bytes()[self.written..self.scanner.at];
            self.forms.extend_from_slice(text);
        }
        self.written = self.scanner.at;
    }

    /// Writes the character of an escape before the position. The end of the string must stay unambiguous.
    fn write_escaped(&mut self, character: char) {
        if self.is_writing {
            if matches!(character, '"' | '\\') {
                self.forms.push(b'\\');
            }
            let mut utf8 = [0; 4];
            let utf8 = character.encode_utf8(&mut utf8);
            self.forms.extend_from_slice(utf8.as_bytes());
        }
        self.written = self.scanner.at;
    }

    /// Moves into an array or object. Returns whether it has an element.
    fn enter(&mut self, end: u8) -> bool {
        self.scanner.at += 1;
        self.skip_space();
        !self.scanner.skip_byte(end)
    }

    /// Moves past an element. Returns whether there is another one.
    fn another(&mut self, end: u8) -> Result<bool, Rule> {
        self.skip_space();
        match self.scanner.peek() {
            Some(b',') => {
                self.scanner.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.scanner.at += 1;
                Ok(false)
            }
            _ => Err(Rule::Syntax),
        }
    }

    /// Parses a key and moves to its value.
    fn key(&mut self) -> Result<Entry, Rule> {
        let begin = self.scanner.at;
        let decoded = self.decoded_string()?;
        // The two quotes are not part of the key.
        if self.scanner.at - begin - 2 > self.limits.key_bytes {
            self.scanner.at = begin;
            return Err(Rule::KeyLength);
        }
        let key = self.entry(begin, decoded);
        self.skip_space();
        self.scanner.expect(b':')?;
        self.skip_space();
        Ok(key)
    }

    /// Parses a string. Only one with escapes needs a decoded text.
    fn decoded_string(&mut self) -> Result<Range, Rule> {
        let from = self.decoded.len();
        self.string(true)?;
        Ok((from, self.decoded.len()))
    }

    fn string(&mut self, decodes: bool) -> Result<(), Rule> {
        self.scanner.expect(b'"')?;
        let begin = self.scanner.at;
        self.scanner.skip_plain();
        if self.scanner.skip_byte(b'"') {
            Ok(())
        } else {
            self.string_with_escapes(begin, decodes)
        }
    }

    /// Parses a string that begins at `begin`, from its first escape on.
    fn string_with_escapes(&mut self, begin: usize, decodes: bool) -> Result<(), Rule> {
        let mut plain = begin;
        loop {
            match self.scanner.peek() {
                Some(b'"') => break,
                Some(b'\\') => {}
                _ => return Err(Rule::Syntax),
            }
            self.write();
            let end = self.scanner.at;
            let character = self.scanner.escape()?;
            self.write_escaped(character);
            if decodes {
                self.decoded.push_str(&self.scanner.text[plain..end]);
                self.decoded.push(character);
            }
            plain = self.scanner.at;
            self.scanner.skip_plain();
        }
        if decodes {
            self.decoded
                .push_str(&self.scanner.text[plain..self.scanner.at]);
        }
        self.scanner.at += 1;
        Ok(())
    }

    fn literal(&mut self) -> Result<(), Rule> {
        self.scanner.literal(self.limits.number_chars)
    }

    /// Moves past white space, which no form contains.
    fn skip_space(&mut self) {
        if self.scanner.is_at_space() {
            self.skip_some_space();
        }
    }

    #[inline(never)]
    fn skip_some_space(&mut self) {
        self.write();
        self.scanner.skip_space();
        self.written = self.scanner.at;
    }
}
