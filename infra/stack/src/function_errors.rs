//! The errors in the logs of the functions: what failed, how often, and when.
//!
//! The log lines of the functions hold ids, names and reasons, never payloads. Only known fields of them are returned.

mod line;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

pub use self::line::LoggedError;
use crate::{error::StackError, stack::Stack};

/// The first part of a log that is searched, from now backwards. Each further part is longer by [`GROWTH`], because
/// `FilterLogEvents` returns the oldest lines of a part first, and the newest are wanted.
const FIRST_PART: Duration = Duration::from_secs(60);
const GROWTH: u32 = 4;

/// The kinds of errors that are kept of a function, so that texts from elsewhere cannot fill the memory.
const MAX_KINDS: usize = 20;

/// Which errors to search.
#[derive(Clone, Copy, Debug)]
pub struct ErrorSearch<'a> {
    /// The time of the oldest line.
    pub since: Timestamp,
    pub now: Timestamp,
    /// When to stop. The first lines of each log are always read.
    pub deadline: Instant,
    /// Only errors of this notification, and of these only the newest.
    pub id: Option<&'a str>,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorKind {
    pub count: usize,
    pub last: LoggedError,
}

/// The errors that a function logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionErrors {
    /// `ingest`, `forward` or `complete`.
    pub function: &'static str,
    /// By kind, the kind with the newest error first.
    pub kinds: Vec<ErrorKind>,
    /// If the search ended early: lines before this time were not read.
    pub read_since: Option<Timestamp>,
    /// Why the log could not be read.
    pub not_read: Option<String>,
}

impl FunctionErrors {
    /// Whether an error names a cause, and is not only the consequence of another one.
    #[must_use]
    pub fn has_cause(&self) -> bool {
        self.kinds.iter().any(|kind| kind.last.is_cause())
    }
}

/// Reads the errors of all functions. A log that cannot be read does not fail the call.
pub async fn read_all(stack: &Stack, search: ErrorSearch<'_>) -> Vec<FunctionErrors> {
    let outputs = &stack.outputs;
    let functions = [
        ("ingest", &outputs.ingest),
        ("forward", &outputs.forward),
        ("complete", &outputs.complete),
    ];
    let reads = functions.map(|(name, function)| read(stack, name, function, search));
    futures::future::join_all(reads).await
}

/// Reads the last error of `forward`; `None` also if its log cannot be read.
pub async fn read_last_of_forward(stack: &Stack, search: ErrorSearch<'_>) -> Option<LoggedError> {
    read_last(stack, "forward", &stack.outputs.forward, search).await
}

/// Reads the last error of `complete` that names a cause; `None` also if its log cannot be read.
pub async fn read_last_of_complete(stack: &Stack, search: ErrorSearch<'_>) -> Option<LoggedError> {
    read_last(stack, "complete", &stack.outputs.complete, search).await
}

async fn read_last(
    stack: &Stack,
    name: &'static str,
    function: &str,
    search: ErrorSearch<'_>,
) -> Option<LoggedError> {
    let errors = read(stack, name, function, search).await;
    let mut errors = errors.kinds.into_iter().map(|kind| kind.last);
    errors.find(LoggedError::is_cause)
}

async fn read(
    stack: &Stack,
    name: &'static str,
    function: &str,
    search: ErrorSearch<'_>,
) -> FunctionErrors {
    let mut errors = FunctionErrors {
        function: name,
        kinds: Vec::new(),
        read_since: None,
        not_read: None,
    };
    match read_parts(stack, function, search).await {
        Ok((kinds, read_since)) => {
            errors.kinds = kinds.into_values().collect();
            errors
                .kinds
                .sort_by_key(|kind| std::cmp::Reverse(kind.last.at));
            errors.read_since = read_since;
        }
        Err(error) => errors.not_read = Some(error.to_string()),
    }
    errors
}

/// The kinds of errors by name.
type Kinds = BTreeMap<String, ErrorKind>;

/// Reads part after part, the newest first. The result has the time before which nothing was read.
async fn read_parts(
    stack: &Stack,
    function: &str,
    search: ErrorSearch<'_>,
) -> Result<(Kinds, Option<Timestamp>), StackError> {
    let group = log_group(stack, function).await?;
    let (mut kinds, mut until, mut part) = (Kinds::new(), search.now, FIRST_PART);
    let oldest = search.since.min(search.now);
    loop {
        let from = until.checked_sub(part).unwrap_or(oldest).max(oldest);
        let is_whole = read_part(stack, &group, from, until, search, &mut kinds).await?;
        if !is_whole {
            return Ok((kinds, Some(until)));
        }
        if from == oldest || (search.id.is_some() && !kinds.is_empty()) {
            return Ok((kinds, None));
        }
        if Instant::now() >= search.deadline {
            return Ok((kinds, Some(from)));
        }
        (until, part) = (from, part.saturating_mul(GROWTH));
    }
}

/// A page of `FilterLogEvents` (CloudWatch Logs API reference). A page without events can have a successor.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    events: Vec<Event>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    timestamp: i64,
    message: String,
}

/// Adds the errors of a part. Returns false if the time was over before its end.
async fn read_part(
    stack: &Stack,
    group: &str,
    from: Timestamp,
    until: Timestamp,
    search: ErrorSearch<'_>,
    kinds: &mut Kinds,
) -> Result<bool, StackError> {
    const CALL: &str = "FilterLogEvents";
    let mut input = json!({
        "logGroupName": group,
        "startTime": from.as_millisecond(),
        // The last millisecond is part of the result, and belongs to the part that was read before.
        "endTime": if until == search.now { until.as_millisecond() } else { until.as_millisecond() - 1 },
        "filterPattern": line::pattern(search.id),
    });
    let mut is_first = true;
    loop {
        let page = stack.logs.call(CALL, input.to_string()).await;
        let page = page.map_err(|error| StackError::from_sdk(CALL, &error))?;
        let page: Page = serde_json::from_slice(&page.body).map_err(|_| StackError::Call {
            call: CALL,
            reason: "unexpected response".to_owned(),
        })?;
        for event in page.events {
            if let Some(error) = LoggedError::parse(event.timestamp, &event.message)
                && search
                    .id
                    .is_none_or(|id| error.notification_id.as_deref() == Some(id))
            {
                add(kinds, error);
            }
        }
        let Some(token) = page.next_token else {
            return Ok(true);
        };
        if !is_first && Instant::now() >= search.deadline {
            return Ok(false);
        }
        is_first = false;
        input["nextToken"] = token.into();
    }
}

fn add(kinds: &mut Kinds, error: LoggedError) {
    if let Some(kind) = kinds.get_mut(&error.name) {
        kind.count += 1;
        if error.at >= kind.last.at {
            kind.last = error;
        }
    } else if kinds.len() < MAX_KINDS {
        kinds.insert(
            error.name.clone(),
            ErrorKind {
                count: 1,
                last: error,
            },
        );
    }
}

/// The log group of a function: the one of its configuration, as in the template, or Lambda's default.
async fn log_group(stack: &Stack, function: &str) -> Result<String, StackError> {
    let configuration = stack
        .lambda
        .get_function_configuration()
        .function_name(function)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetFunctionConfiguration", &error))?;
    let group = configuration
        .logging_config
        .and_then(|logging| logging.log_group);
    Ok(group.unwrap_or_else(|| format!("/aws/lambda/{function}")))
}
