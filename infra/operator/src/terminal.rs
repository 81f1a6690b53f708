//! Output on the terminal. Data goes to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;

/// The format of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Table,
    /// One JSON document for programs.
    Json,
}

/// Formats a value as a JSON document.
pub fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Formats a value as one line of JSON.
pub fn json_line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

/// A JSON array that is written element by element, so that it need not fit into memory.
#[derive(Debug, Default)]
pub struct JsonArray {
    is_begun: bool,
}

impl JsonArray {
    /// Formats the next element, with what precedes it.
    pub fn next(&mut self, value: &impl serde::Serialize) -> String {
        let before = if std::mem::replace(&mut self.is_begun, true) {
            ",\n"
        } else {
            "[\n"
        };
        before.to_owned() + &serde_json::to_string(value).unwrap_or_default()
    }

    /// Whether it has an element.
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Formats the end of the array.
    pub fn end(self) -> String {
        if self.is_begun { "\n]\n" } else { "[]\n" }.to_owned()
    }
}

/// Writes to standard output. Errors are ignored: the reader may have closed the pipe.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Whether standard output is a terminal that understands control sequences.
pub fn is_capable() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// The colour of a word that needs attention (ECMA-48: SGR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Red = 31,
    Yellow = 33,
}

/// Colours a word, if standard output is a terminal and `NO_COLOR` is not set (no-color.org).
pub fn paint(text: &str, color: Color) -> String {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_capable() && !is_unwanted {
        format!("\x1b[{}m{text}\x1b[0m", color as u8)
    } else {
        text.to_owned()
    }
}

/// Formats a text that replaces the one before it on the screen, without a flash of an empty screen (ECMA-48: CUP, EL, ED).
pub fn redraw(text: &str) -> String {
    let lines = text.replace('\n', "\x1b[K\n");
    format!("\x1b[H{lines}\x1b[J")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redraws_in_place() {
        assert_eq!(redraw("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn writes_a_json_array_element_by_element() {
        assert_eq!(JsonArray::default().end(), "[]\n");
        let mut array = JsonArray::default();
        let text = array.next(&1) + &array.next(&"a") + &array.end();
        assert_eq!(text, "[\n1,\n\"a\"\n]\n");
    }
}
