//! The log lines that report errors. No I/O.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// A log line that reports an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedError {
    pub at: Timestamp,
    /// The kind of error, for example `TableFailed` or `MissingId`.
    pub name: String,
    /// What the function knows of the cause.
    pub reason: Option<String>,
    pub notification_id: Option<String>,
}

/// The failure of `complete` for an event that it did not try, because the receiver was busy for another one or its circuit breaker
/// was open.
const POSTPONED: &str = "Postponed";

/// The statuses of a failed invocation in the lines that Lambda itself writes to the log (Lambda Telemetry API, "Status").
const FAILED_INVOCATIONS: [&str; 3] = ["error", "failure", "timeout"];

impl LoggedError {
    /// Parses a line. `None` if it reports no error.
    pub(super) fn parse(millisecond: i64, line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let at = Timestamp::from_millisecond(millisecond).ok()?;
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        if line["type"] == "platform.report" {
            let record = &line["record"];
            let status = record["status"].as_str()?;
            return FAILED_INVOCATIONS.contains(&status).then(|| Self {
                at,
                name: format!("invocation {status}"),
                reason: record["errorType"].as_str().map(str::to_owned),
                notification_id: None,
            });
        }
        if !matches!(line["level"].as_str()?, "ERROR" | "WARN") {
            return None;
        }
        let message = text("message").unwrap_or_default();
        let (first, rest) = message.split_once([',', ':']).unwrap_or((&message, ""));
        let rest = (!rest.is_empty()).then(|| rest.trim().to_owned());
        Some(Self {
            at,
            name: text("rejection")
                .or_else(|| text("failure"))
                .unwrap_or_else(|| first.to_owned()),
            reason: text("reason")
                .or_else(|| text("codes"))
                .or_else(|| text("place"))
                .or(rest),
            notification_id: text("notification_id"),
        })
    }

    /// Whether the error is not only the consequence of another one.
    #[must_use]
    pub fn is_cause(&self) -> bool {
        self.name != POSTPONED
    }

    /// The kind, and the reason if there is one.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { name, reason, .. } = self;
        match reason {
            Some(reason) => format!("{name}: {reason}"),
            None => name.clone(),
        }
    }
}

/// The filter pattern for errors (CloudWatch Logs user guide, "Using filter patterns to match terms in JSON log events"). It
/// may match more lines than asked for: each is parsed again.
pub(super) fn pattern(id: Option<&str>) -> String {
    const LEVELS: &str = r#"($.level = "ERROR") || ($.level = "WARN")"#;
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_./#@".contains(one);
    match id {
        Some(id) if id.chars().all(is_plain) => {
            format!(r#"{{ ({LEVELS}) && ($.notification_id = "{id}") }}"#)
        }
        // Characters of the pattern's syntax are not escaped, but left out with the whole condition.
        Some(_) => format!("{{ {LEVELS} }}"),
        None => {
            let failed = FAILED_INVOCATIONS;
            let failed = failed.map(|status| format!(r#"($.record.status = "{status}")"#));
            format!("{{ {LEVELS} || {} }}", failed.join(" || "))
        }
    }
}
