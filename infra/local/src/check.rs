//! `check`: what `cfn-lint` and `sam validate --lint` have to say of a template. Neither needs an account.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::process::last_lines;
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::workspace::{FileLock, Workspace};

/// A finding is one line, and no longer than a person reads.
const SHOWN_CHARACTERS: usize = 300;

/// One thing that is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1, where it is told.
    pub line: Option<u32>,
    /// The rule of cfn-lint, or the program that found it.
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
    let sam = Sam::new(workspace.clone(), packages, interpreter);
    let directory = workspace.local().join("check");
    let _lock = FileLock::acquire(&directory.join("lock"), progress).await?;
    let mut findings = lint(&sam, template, &directory, progress).await?;
    let invalid = validate(&sam, template, &directory, progress).await?;
    // sam applies the rules of cfn-lint to what its transform makes of the template, and repeats their findings in one
    // long line. What it says is told where cfn-lint has nothing to say.
    if findings.is_empty() {
        findings.extend(invalid);
    }
    Ok(findings)
}

async fn lint(
    sam: &Sam,
    template: &Path,
    directory: &Path,
    progress: Progress,
) -> Result<Vec<Finding>> {
    let step = progress.step("Checking the template (cfn-lint)");
    let log = new_log(directory, "cfn-lint.log");
    let program = sam.tool("cfn-lint", directory, &log);
    let run = program
        .args(["--format", "parseable"])
        .arg(template)
        .run("cfn-lint")
        .await;
    let Err(failure) = run else {
        step.done();
        return Ok(Vec::new());
    };
    let said = std::fs::read_to_string(&log).map_err(|source| LocalError::file(&log, source))?;
    let findings = findings(&said, template);
    if findings.is_empty() {
        // It failed at something else than the template.
        return Err(failure);
    }
    step.done();
    Ok(findings)
}

async fn validate(
    sam: &Sam,
    template: &Path,
    directory: &Path,
    progress: Progress,
) -> Result<Option<Finding>> {
    let step = progress.step("Checking the template (sam validate --lint)");
    let log = new_log(directory, "sam-validate.log");
    let program = sam.program("validate", directory, &log)?;
    let run = program
        .args(["--lint", "--template-file"])
        .arg(template)
        .run("sam validate --lint")
        .await;
    let finding = match run {
        Ok(()) => None,
        Err(LocalError::Step { step, .. }) => Some(Finding {
            line: None,
            rule: step,
            message: last_lines(&log),
            template: template.to_path_buf(),
        }),
        Err(error) => return Err(error),
    };
    step.done();
    Ok(finding)
}

fn new_log(directory: &Path, name: &str) -> PathBuf {
    let log = directory.join(name);
    // What an earlier check said is no finding of this one.
    let _ = std::fs::remove_file(&log);
    log
}

/// The findings in what `cfn-lint --format parseable` writes: `FILE:LINE:COLUMN:LINE:COLUMN:RULE:MESSAGE`.
fn findings(said: &str, template: &Path) -> Vec<Finding> {
    let prefix = format!("{}:", template.display());
    let finding = |text: &str| {
        let mut fields = text.splitn(6, ':');
        let line = fields.next()?.parse().ok()?;
        let rule = fields.nth(3)?.to_owned();
        Some(Finding {
            line: Some(line),
            rule,
            message: fields.next()?.to_owned(),
            template: template.to_path_buf(),
        })
    };
    said.lines()
        .filter_map(|line| finding(line.strip_prefix(&prefix)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_of_its_own() {
        let said =
            "a: note\n/t/template.yaml:346:7:346:17:E3002:Not allowed ('x': did you mean y?)\n";
        let findings = findings(said, Path::new("/t/template.yaml"));
        assert_eq!(
            findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["/t/template.yaml:346: E3002: Not allowed ('x': did you mean y?)"]
        );
    }

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
