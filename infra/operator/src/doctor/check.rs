//! The form of a check: one declarative entry of a table.

use super::{
    finding::{Finding, Guarantee, Severity},
    snapshot::StackSnapshot,
};

/// A part of the stack, and the guarantee that it is responsible for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub name: &'static str,
    pub guarantee: Guarantee,
}

pub(super) const QUEUE: Place = place("queue", Guarantee::AcknowledgedMeansStored);
pub(super) const DEAD_LETTER_QUEUE: Place =
    place("dead-letter queue", Guarantee::AcknowledgedMeansStored);
pub(super) const INGEST: Place = place("ingest", Guarantee::AcknowledgedMeansStored);
pub(super) const TABLE: Place = place("table", Guarantee::WrittenOnce);
pub(super) const FORWARD: Place = place("forward", Guarantee::CheckpointIsHonest);
pub(super) const STREAM: Place = place("stream", Guarantee::OrderPerNotification);
pub(super) const COMPLETE: Place = place("complete", Guarantee::Status);
pub(super) const DOWNSTREAM: Place = place("downstream", Guarantee::Progress);
pub(super) const FAILURE_BUCKET: Place = place("failure bucket", Guarantee::Silence);

const fn place(name: &'static str, guarantee: Guarantee) -> Place {
    Place { name, guarantee }
}

/// The stack that is checked, and the part of it that a finding names.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub stack: &'a StackSnapshot,
    pub place: Place,
}

/// One check of a `T`.
pub(super) struct Check<T: 'static> {
    pub id: &'static str,
    pub severity: Level,
    pub breaks: Breaks,
    /// Describes the current configuration if it is wrong; `None` if the check passes.
    pub found: fn(&Scope<'_>, &T) -> Option<String>,
    /// The required configuration.
    pub needed: Text<T>,
    /// The consequence of a wrong configuration.
    pub why: &'static str,
    pub fix: Text<T>,
}

/// The severity of a check.
pub(super) enum Level {
    Broken,
    Advice,
    /// Broken, unless the stack's owner switched the safeguard off by this parameter.
    BrokenUnlessDisabledBy(&'static str),
}

/// The guarantee that a wrong configuration breaks.
pub(super) enum Breaks {
    Guarantee(Guarantee),
    /// The guarantee that the checked place is responsible for.
    GuaranteeOfPlace,
}

/// A text that is always the same, or one that depends on what is checked.
pub(super) enum Text<T: 'static> {
    Fixed(&'static str),
    For(fn(&Scope<'_>, &T) -> String),
}

impl<T> Text<T> {
    fn render(&self, scope: &Scope<'_>, subject: &T) -> String {
        match self {
            Self::Fixed(text) => (*text).to_owned(),
            Self::For(text) => text(scope, subject),
        }
    }
}

/// Runs checks, in their order.
pub(super) fn run<T>(checks: &[Check<T>], scope: Scope<'_>, subject: &T) -> Vec<Finding> {
    let finding = |check: &Check<T>| {
        Some(Finding {
            check: check.id,
            place: scope.place.name,
            severity: match check.severity {
                Level::Broken => Severity::Broken,
                Level::BrokenUnlessDisabledBy(parameter)
                    if !scope.stack.is_disabled_by(parameter) =>
                {
                    Severity::Broken
                }
                Level::Advice | Level::BrokenUnlessDisabledBy(_) => Severity::Advice,
            },
            found: (check.found)(&scope, subject)?,
            needed: check.needed.render(&scope, subject),
            breaks: match check.breaks {
                Breaks::Guarantee(guarantee) => guarantee,
                Breaks::GuaranteeOfPlace => scope.place.guarantee,
            },
            why: check.why,
            repair: check.fix.render(&scope, subject),
        })
    };
    checks.iter().filter_map(finding).collect()
}
