//! The findings as text, and the exit code for scripts.

use super::finding::{Finding, Severity};
use crate::{
    error::{FAILED, FINDINGS},
    terminal::{Color, paint},
};

/// The exit code for these findings: 6 if something is broken, 1 if something could not be checked, otherwise 0.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> u8 {
    let worst = findings.iter().map(|finding| finding.severity).min();
    match worst {
        Some(Severity::Broken) => FINDINGS,
        Some(Severity::Unchecked) => FAILED,
        Some(Severity::Advice) | None => 0,
    }
}

/// The findings as text for a terminal.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().map(paragraph).collect();
    let count = |severity| {
        let has_severity = |finding: &&Finding| finding.severity == severity;
        findings.iter().filter(has_severity).count()
    };
    text.push_str(&format!(
        "{} broken, {} could not be checked, {} advice.\n",
        count(Severity::Broken),
        count(Severity::Unchecked),
        count(Severity::Advice)
    ));
    text
}

fn paragraph(finding: &Finding) -> String {
    let Finding {
        check,
        place,
        severity,
        found,
        needed,
        breaks,
        why,
        repair,
    } = finding;
    let guarantee = breaks.name();
    let label = match severity {
        Severity::Broken => paint(label(*severity), Color::Red),
        Severity::Unchecked => paint(label(*severity), Color::Yellow),
        Severity::Advice => label(*severity).to_owned(),
    };
    format!(
        "{label}  {check}: {place}\n    \
         found   {found}\n    \
         needed  {needed}\n    \
         breaks  {guarantee}: {why}\n    \
         fix     {repair}\n\n"
    )
}

fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Broken => "BROKEN",
        Severity::Unchecked => "COULD NOT BE CHECKED",
        Severity::Advice => "advice",
    }
}
