//! The outcome of a synchronous invocation, and its event (rules X1 to X3, S3).

/// The outcome of one invocation.
///
/// Only a function error means that the code of the function may have run. Only a function error counts as an attempt
/// (D9), and a throttled batch of a queue is kept until its visibility timeout ends (S9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvocationOutcome {
    /// HTTP 200 without `X-Amz-Function-Error`: the response payload as text.
    Response(String),
    /// HTTP 200 with `X-Amz-Function-Error`: the function threw, timed out, exited, or returned something that cannot
    /// be serialized.
    FunctionError(String),
    /// HTTP 429: the code did not run.
    Throttled,
    /// Any other 4xx or 5xx: the code did not run.
    InvocationError(String),
}

/// The maximum size of an event in bytes, including all metadata (S3).
pub const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

const EVENT_START: &str = r#"{"Records":["#;
const EVENT_END: &str = "]}";

/// The size in bytes of an event without records.
pub(crate) const EMPTY_EVENT_BYTES: usize = EVENT_START.len() + EVENT_END.len();

/// Builds an event from records that are JSON already.
pub(crate) fn event<'a>(records: impl Iterator<Item = &'a str>) -> String {
    let mut event = String::from(EVENT_START);
    for (index, record) in records.enumerate() {
        if index > 0 {
            event.push(',');
        }
        event.push_str(record);
    }
    event.push_str(EVENT_END);
    event
}
