//! Moves through a JSON text.

use super::super::Rejection;

/// A rule that the text breaks at the position of the scanner. It fits a register, unlike a [`Rejection`].
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Syntax,
    Depth,
    DuplicateKey,
    LoneSurrogate,
    NumberLength,
    KeyLength,
}

/// Sets the highest bit of the first byte that is a quote, a backslash or a control character; the first is the lowest. Bits
/// above it mean nothing (Bit Twiddling Hacks, "Determine if a word has a byte less than n").
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & (EACH * 0x80)
}

/// A position in a text. It stops before ASCII bytes only, so every position is between two characters.
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    /// The position of the next byte.
    pub(super) at: usize,
}

impl Scanner<'_> {
    /// Moves past an escape. Returns its character.
    pub(super) fn escape(&mut self) -> Result<char, Rule> {
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
            _ => return Err(Rule::Syntax),
        };
        self.at += 1;
        Ok(character)
    }

    /// Moves past the digits of a `\u` that begins at `begin`, and the second half of a surrogate pair.
    fn utf16(&mut self, begin: usize) -> Result<char, Rule> {
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
                self.at = begin;
                Err(Rule::LoneSurrogate)
            }
        }
    }

    /// Moves past four hexadecimal digits.
    fn hexadecimal(&mut self) -> Result<u16, Rule> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or(Rule::Syntax)?;
            self.at += 1;
        }
        Ok(unit as u16)
    }

    /// Moves past a number of at most `number_chars`, `true`, `false` or `null`.
    pub(super) fn literal(&mut self, number_chars: usize) -> Result<(), Rule> {
        match self.peek() {
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number(number_chars),
        }
    }

    fn number(&mut self, number_chars: usize) -> Result<(), Rule> {
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
        if self.at - begin > number_chars {
            self.at = begin;
            return Err(Rule::NumberLength);
        }
        Ok(())
    }

    /// Moves past at least one digit.
    fn digits(&mut self) -> Result<(), Rule> {
        let begin = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.at > begin {
            Ok(())
        } else {
            Err(Rule::Syntax)
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Rule> {
        word.bytes().try_for_each(|byte| self.expect(byte))
    }

    /// Whether the next byte may be white space. It is not in most texts.
    pub(super) fn is_at_space(&self) -> bool {
        self.peek().is_some_and(|byte| byte <= b' ')
    }

    pub(super) fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Moves to the next quote, backslash or control character, by eight bytes at a time.
    pub(super) fn skip_plain(&mut self) {
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
        while self.peek().is_some_and(&is_skipped) {
            self.at += 1;
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves past this ASCII byte if it is the next one. Returns whether it was.
    pub(super) fn skip_byte(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Rule> {
        if self.skip_byte(byte) {
            Ok(())
        } else {
            Err(Rule::Syntax)
        }
    }

    #[cold]
    pub(super) fn rejection(&self, rule: Rule) -> Rejection {
        let (line, column) = self.line_and_column();
        match rule {
            Rule::Syntax => Rejection::InvalidJson { line, column },
            Rule::Depth => Rejection::TooDeep,
            Rule::DuplicateKey => Rejection::DuplicateKey,
            Rule::LoneSurrogate => Rejection::LoneSurrogate { line, column },
            Rule::NumberLength => Rejection::NumberTooLong { line, column },
            Rule::KeyLength => Rejection::KeyTooLong { line, column },
        }
    }

    fn line_and_column(&self) -> (usize, usize) {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let lines = before.split(|byte| *byte == b'\n');
        let (line, last) = lines.enumerate().last().unwrap_or_default();
        (line + 1, last.len() + 1)
    }
}
