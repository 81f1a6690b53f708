//! A violated guarantee.

/// A violated guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) guarantee: &'static str,
    pub(crate) what: String,
    /// The notification concerned.
    pub(crate) id: Option<String>,
}

impl Violation {
    /// Creates a violation that no single notification causes.
    pub(crate) fn without_id(guarantee: &'static str, what: impl Into<String>) -> Self {
        Self {
            guarantee,
            what: what.into(),
            id: None,
        }
    }
}

pub(crate) type CheckResult = Result<(), Violation>;

pub(crate) fn violated(guarantee: &'static str, id: &str, what: impl Into<String>) -> CheckResult {
    Err(Violation {
        guarantee,
        what: what.into(),
        id: Some(id.to_owned()),
    })
}
