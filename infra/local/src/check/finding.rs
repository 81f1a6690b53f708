//! A problem in a template, and the logs of the programs that find them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{LocalError, Result};

/// Characters of a message that are shown.
const SHOWN_CHARACTERS: usize = 300;

/// A problem in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, counted from 1, if it is known.
    pub line: Option<u32>,
    /// The rule of cfn-lint, checkov or the policy, or else the program that found the problem.
    pub rule: String,
    pub message: String,
    pub(super) template: PathBuf,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.template.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let shown: String = self.message.chars().take(SHOWN_CHARACTERS).collect();
        let rest = if shown == self.message { "" } else { " …" };
        write!(f, ": {}: {shown}{rest}", self.rule)
    }
}

pub(super) fn new_log(directory: &Path, name: &str) -> PathBuf {
    let log = directory.join(name);
    let _ = std::fs::remove_file(&log);
    log
}

pub(super) fn read_log(log: &Path) -> Result<String> {
    std::fs::read_to_string(log).map_err(|source| LocalError::file(log, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_long_findings() {
        let finding = Finding {
            line: None,
            rule: "sam validate --lint".into(),
            message: "é".repeat(SHOWN_CHARACTERS + 1),
            template: "template.yaml".into(),
        };
        let shown = finding.to_string();
        assert!(
            shown.starts_with("template.yaml: sam validate --lint: éé"),
            "{shown}"
        );
        assert!(shown.ends_with("é …"), "{shown}");
    }
}
