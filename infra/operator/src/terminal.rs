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

/// Writes to standard output. Errors are ignored: the reader may have closed the pipe.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Whether standard output is a terminal that understands control sequences.
pub fn can_clear_screen() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}
