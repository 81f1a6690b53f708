//! Confirmation of changes. A command that changes something only previews the changes by default, and asks before it
//! applies them.

use std::io::{BufRead, IsTerminal as _, Write};

use clap::Args;

use crate::error::OperatorError;

/// The options that allow a command to change something.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Confirmation {
    /// Apply the changes. Asks for confirmation; use --yes in scripts.
    #[arg(long)]
    apply: bool,
    /// Apply the changes without asking for confirmation.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirmation {
    /// Whether the command applies the changes. Call it first, so that a script fails before any work is done.
    ///
    /// # Errors
    /// [`OperatorError::NoTerminal`]: the command needs confirmation, and there is no terminal to ask on.
    pub fn is_apply(self) -> Result<bool, OperatorError> {
        let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.apply && !self.yes && !can_ask {
            return Err(OperatorError::NoTerminal);
        }
        Ok(self.apply || self.yes)
    }

    /// Whether [`Self::ask`] will ask.
    #[must_use]
    pub fn is_interactive(self) -> bool {
        self.apply && !self.yes
    }

    /// Asks for confirmation, except with `--yes`.
    ///
    /// # Errors
    /// [`OperatorError::Declined`]: the answer was not yes.
    pub fn ask(self, question: &str) -> Result<(), OperatorError> {
        if self.yes {
            return Ok(());
        }
        let (mut terminal, mut input) = (std::io::stderr(), std::io::stdin().lock());
        if is_confirmed(question, &mut terminal, &mut input) {
            Ok(())
        } else {
            Err(OperatorError::Declined)
        }
    }
}

/// Asks the question. An answer that cannot be read means no.
fn is_confirmed(question: &str, to: &mut impl Write, from: &mut impl BufRead) -> bool {
    let mut answer = String::new();
    let asked = write!(to, "{question} [y/N] ").and_then(|()| to.flush());
    let answered = asked.and_then(|()| from.read_line(&mut answer));
    answered.is_ok() && is_yes(&answer)
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_yes() {
        for yes in ["y\n", "Y", " yes \r\n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n", "no", "yo", "y es", "j"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn asks_once_and_treats_silence_as_no() {
        for (input, expected) in [
            ("y\nn\n", true),
            ("n\ny\n", false),
            ("", false),
            ("\ny\n", false),
        ] {
            let mut shown = Vec::new();
            let answer = is_confirmed("Move 12 messages?", &mut shown, &mut input.as_bytes());
            assert_eq!(answer, expected, "{input:?}");
            assert_eq!(shown, b"Move 12 messages? [y/N] ");
        }
        let invalid_utf8: &[u8] = b"\xff\n";
        assert!(!is_confirmed("?", &mut Vec::new(), &mut &*invalid_utf8));
    }

    #[test]
    fn applies_with_yes_and_previews_by_default() {
        let confirmation = |apply, yes| Confirmation { apply, yes };
        assert!(confirmation(false, true).is_apply().unwrap());
        assert!(confirmation(true, true).is_apply().unwrap());
        assert!(confirmation(false, true).ask("Move?").is_ok());
        assert!(!confirmation(false, false).is_apply().unwrap());
    }
}
