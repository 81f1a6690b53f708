//! Consent: a command that changes something is a dry run until it is told otherwise, and asks before it begins.

use std::io::{BufRead, IsTerminal as _, Write};

use clap::Args;

use crate::error::OperatorError;

/// Whether a command may change something.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Consent {
    /// Do it, where otherwise nothing is changed: asks on a terminal, and is refused elsewhere without --yes.
    #[arg(long)]
    apply: bool,
    /// Do it and ask nothing; implies --apply.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Consent {
    /// Whether anything is to be changed at all.
    ///
    /// # Errors
    /// [`OperatorError::NobodyToAsk`]: it is, and there is neither a terminal to ask on nor an answer in advance. Known
    /// before any work, so that a script learns it at once.
    pub fn is_given(self) -> Result<bool, OperatorError> {
        let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.apply && !self.yes && !can_ask {
            return Err(OperatorError::NobodyToAsk);
        }
        Ok(self.apply || self.yes)
    }

    /// Whether somebody will be asked.
    #[must_use]
    pub fn asks(self) -> bool {
        self.apply && !self.yes
    }

    /// Asks, unless the answer was given in advance.
    ///
    /// # Errors
    /// [`OperatorError::Declined`]: the answer was anything but yes.
    pub fn ask(self, question: &str) -> Result<(), OperatorError> {
        if self.yes {
            return Ok(());
        }
        let (mut terminal, mut typed) = (std::io::stderr(), std::io::stdin().lock());
        if is_answered_yes(question, &mut terminal, &mut typed) {
            Ok(())
        } else {
            Err(OperatorError::Declined)
        }
    }
}

/// An answer that cannot be read is none.
fn is_answered_yes(question: &str, to: &mut impl Write, from: &mut impl BufRead) -> bool {
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
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y", " yes \r\n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n", "no", "yo", "y es", "j"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn a_question_is_asked_once_and_silence_is_no() {
        for (typed, is_given) in [
            ("y\nn\n", true),
            ("n\ny\n", false),
            ("", false),
            ("\ny\n", false),
        ] {
            let mut shown = Vec::new();
            let answer = is_answered_yes("Move 12 messages?", &mut shown, &mut typed.as_bytes());
            assert_eq!(answer, is_given, "{typed:?}");
            assert_eq!(shown, b"Move 12 messages? [y/N] ");
        }
        let not_text: &[u8] = b"\xff\n";
        assert!(!is_answered_yes("?", &mut Vec::new(), &mut &*not_text));
    }

    #[test]
    fn an_answer_in_advance_is_consent_and_nothing_said_is_a_dry_run() {
        let said = |apply, yes| Consent { apply, yes };
        assert!(said(false, true).is_given().unwrap());
        assert!(said(true, true).is_given().unwrap());
        assert!(said(false, true).ask("Move?").is_ok());
        assert!(!said(false, false).is_given().unwrap());
    }
}
