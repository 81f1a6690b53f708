//! `check`: what the linters, checkov and the project's own policy have to say of a template. None needs an account.
//!
//! [`lint`]: `cfn-lint` and `sam validate --lint`; [`checkov`]: the good practices of others; [`guard`]: what this template
//! promises, rule by rule.

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

/// A finding is one line, and no longer than a person reads.
const SHOWN_CHARACTERS: usize = 300;

/// One thing that is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1, where it is told.
    pub line: Option<u32>,
    /// The rule of cfn-lint, checkov or the policy, or the program that found it.
    pub rule: String,
    /// What is wrong.
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

/// Everything that is wrong with `template`; nothing where it is clean.
///
/// # Errors
/// Whatever keeps the programs from being installed or run; never a finding.
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
    // sam applies the rules of cfn-lint to what its transform makes of the template, and repeats their findings in one
    // long line. What it says is told where cfn-lint has nothing to say.
    if findings.is_empty() {
        findings.extend(invalid);
    }
    let Ok(document) = template::read(template) else {
        // The linters have said so, each in its way.
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
    // What an earlier check said is no finding of this one.
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
    fn a_long_finding_is_cut() {
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
