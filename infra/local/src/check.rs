//! `cargo local check`: checks the template without an AWS account.
//!
//! [`lint`] runs `cfn-lint` and `sam validate --lint`, [`checkov`] checks general good practices, and [`guard`] checks the
//! rules of this project.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::template;
use crate::workspace::{FileLock, Workspace};

pub mod checkov;
pub mod guard;
mod lint;

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
    template: PathBuf,
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

/// Returns the problems in `template`.
///
/// # Errors
/// A program cannot be installed or run. Findings are not errors.
pub async fn check(
    workspace: &Workspace,
    template: &Path,
    progress: Progress,
) -> Result<Vec<Finding>> {
    let interpreter = Interpreter::find().await?;
    let packages = python::environment(workspace, &interpreter, python::SAM, progress).await?;
    let sam = Sam::new(workspace.clone(), packages, interpreter.clone());
    let directory = workspace.local().join("check");
    let _lock = FileLock::acquire(&directory.join("lock"), progress).await?;
    let mut findings = lint::cfn_lint(&sam, template, &directory, progress).await?;
    let invalid = lint::sam_validate(&sam, template, &directory, progress).await?;
    // sam applies the rules of cfn-lint to the transformed template and repeats their findings in one long line. Its
    // finding is only used if cfn-lint has none.
    if findings.is_empty() {
        findings.extend(invalid);
    }
    let Ok(document) = template::read(template) else {
        // The linters have reported it.
        return Ok(findings);
    };
    let checkov = checkov::Checkov::new(workspace, &interpreter, progress).await?;
    let config = workspace.root().join(checkov::CONFIG);
    findings.extend(
        checkov
            .check(template, &config, &directory, progress)
            .await?,
    );
    let guard = guard::Guard::new(workspace, &interpreter, progress).await?;
    findings.extend(
        guard
            .check(template, &document, &directory, progress)
            .await?,
    );
    Ok(findings)
}

fn new_log(directory: &Path, name: &str) -> PathBuf {
    let log = directory.join(name);
    let _ = std::fs::remove_file(&log);
    log
}

fn read(log: &Path) -> Result<String> {
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
