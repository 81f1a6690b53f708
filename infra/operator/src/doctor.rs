//! What of a deployed stack would break a promise: the stack as it runs, not the template that it was made from.
//!
//! - [`deployed`]: what is judged; `checks`: the judgement, pure; `read`: how it is read

use serde::Serialize;

pub mod deployed;

mod checks;
mod read;
#[cfg(test)]
mod tests;

pub use deployed::Deployed;

use crate::error::{FAILED, FINDINGS};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A promise is broken, or will be when the day comes.
    Broken,
    /// It could not be looked at: it may be broken.
    Unchecked,
    /// No promise is broken, but somebody should know.
    Advice,
}

/// A promise of the README, by its name there, or a word for what else is at stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Promise {
    /// A message is deleted from the queue only if its notification is stored.
    #[serde(rename = "Acknowledged means stored")]
    AcknowledgedMeansStored,
    /// One item for each notification id, ever.
    #[serde(rename = "Written once")]
    WrittenOnce,
    /// Events are of stored items alone.
    #[serde(rename = "Nothing invented")]
    NothingInvented,
    /// No change is passed that Kinesis has not confirmed, or that is not kept elsewhere.
    #[serde(rename = "Checkpoint is honest")]
    CheckpointIsHonest,
    /// The events of an id are in the order of its changes.
    #[serde(rename = "Order per notification")]
    OrderPerNotification,
    /// INIT goes to DONE.
    Status,
    /// One accepted effect for each id.
    Effect,
    /// One bad message or record never fails its neighbours.
    Isolation,
    /// Nobody sees a payload who should not.
    Silence,
    /// What was accepted gets to its end.
    Progress,
}

impl Promise {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedMeansStored => "Acknowledged means stored",
            Self::WrittenOnce => "Written once",
            Self::NothingInvented => "Nothing invented",
            Self::CheckpointIsHonest => "Checkpoint is honest",
            Self::OrderPerNotification => "Order per notification",
            Self::Status => "Status",
            Self::Effect => "Effect",
            Self::Isolation => "Isolation",
            Self::Silence => "Silence",
            Self::Progress => "Progress",
        }
    }
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// The part of the stack, as the template's readers call it.
    pub place: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// What is needed.
    pub needed: String,
    /// The promise that it breaks, or would break.
    pub breaks: Promise,
    /// How it breaks it.
    pub why: &'static str,
    /// What to do.
    pub repair: String,
}

impl Deployed {
    /// Judges it; the worst comes first.
    #[must_use]
    pub fn examine(&self) -> Vec<Finding> {
        let mut findings = checks::all(self);
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}

/// What a script is told: findings, or that something could not be checked, which is never as good as fine.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> u8 {
    let worst = findings.iter().map(|finding| finding.severity).min();
    match worst {
        Some(Severity::Broken) => FINDINGS,
        Some(Severity::Unchecked) => FAILED,
        Some(Severity::Advice) | None => 0,
    }
}

/// As a person reads it.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
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
        let (severity, breaks) = (word(*severity), breaks.name());
        text.push_str(&format!(
            "{severity}  {check}: {place}\n    \
             found   {found}\n    \
             needed  {needed}\n    \
             breaks  {breaks}: {why}\n    \
             repair  {repair}\n\n"
        ));
    }
    let count = |wanted| {
        let is_it = |finding: &&Finding| finding.severity == wanted;
        findings.iter().filter(is_it).count()
    };
    text.push_str(&format!(
        "{} broken, {} could not be checked, {} advice.\n",
        count(Severity::Broken),
        count(Severity::Unchecked),
        count(Severity::Advice)
    ));
    text
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Broken => "BROKEN",
        Severity::Unchecked => "COULD NOT BE CHECKED",
        Severity::Advice => "advice",
    }
}
