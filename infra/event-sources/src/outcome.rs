//! What came of one synchronous invocation, as the poller sees it (rules X1 to X3).

/// The end of one invocation.
///
/// A function error and an invocation error are told apart because only the first means that the function's code
/// may have run: attempts are counted for it alone (D9), and a throttled queue batch is held until its visibility
/// timeout (S9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// HTTP 200 without `X-Amz-Function-Error`: the response payload, as text.
    Response(String),
    /// HTTP 200 with `X-Amz-Function-Error`: it threw, timed out, exited, or answered with something unserialisable.
    FunctionError(String),
    /// HTTP 429: the code did not run.
    Throttled,
    /// Any other 4xx or 5xx: the code did not run.
    InvocationError(String),
}
