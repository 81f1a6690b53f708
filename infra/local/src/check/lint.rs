//! `cfn-lint`, and `sam validate --lint` for the transformed template.

use std::path::Path;

use super::finding::{Finding, new_log, read_log};
use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::process::last_lines;
use crate::progress::Progress;

/// Runs cfn-lint.
pub(super) async fn cfn_lint(
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
    let findings = findings(&read_log(&log)?, template);
    if findings.is_empty() {
        // It did not fail because of the template.
        return Err(failure);
    }
    step.done();
    Ok(findings)
}

/// Runs `sam validate --lint`. It reports everything in one finding.
pub(super) async fn sam_validate(
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

/// Parses the output of `cfn-lint --format parseable`: `FILE:LINE:COLUMN:LINE:COLUMN:RULE:MESSAGE`.
fn findings(output: &str, template: &Path) -> Vec<Finding> {
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
    output
        .lines()
        .filter_map(|line| finding(line.strip_prefix(&prefix)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_findings_of_cfn_lint() {
        let output =
            "a: note\n/t/template.yaml:346:7:346:17:E3002:Not allowed ('x': did you mean y?)\n";
        let findings = findings(output, Path::new("/t/template.yaml"));
        assert_eq!(
            findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["/t/template.yaml:346: E3002: Not allowed ('x': did you mean y?)"]
        );
    }
}
