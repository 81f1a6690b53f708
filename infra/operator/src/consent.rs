//! Consent: a command that changes something is a dry run until it is told otherwise, and asks before it begins.

use std::io::{IsTerminal as _, Write as _};

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
        let mut answer = String::new();
        let mut terminal = std::io::stderr();
        let asked = write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush());
        let answered = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
        if answered.is_ok() && is_yes(&answer) {
            Ok(())
        } else {
            Err(OperatorError::Declined)
        }
    }
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
    fn an_answer_in_advance_is_consent_and_nothing_said_is_a_dry_run() {
        let said = |apply, yes| Consent { apply, yes };
        assert!(said(false, true).is_given().unwrap());
        assert!(said(true, true).is_given().unwrap());
        assert!(said(false, true).ask("Move?").is_ok());
        assert!(!said(false, false).is_given().unwrap());
    }
}
