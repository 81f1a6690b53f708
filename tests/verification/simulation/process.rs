//! A function's process. Its handler completes in virtual time, or is dropped at an await.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;

/// The end of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvocationEnd<T> {
    Responded(T),
    /// The process crashed, and the handler did not continue after that await.
    Crashed,
    /// The service stopped it at the timeout.
    TimedOut,
    Panicked,
}

/// Runs `handler`. `crash_at` is the number of awaits before a crash.
pub(crate) async fn run<T>(
    handler: impl Future<Output = T>,
    timeout: Duration,
    crash_at: Option<u64>,
) -> InvocationEnd<T> {
    let mut handler = pin!(AssertUnwindSafe(handler).catch_unwind());
    let mut awaits = 0;
    let run = poll_fn(|context| {
        if crash_at == Some(awaits) {
            return Poll::Ready(InvocationEnd::Crashed);
        }
        match handler.as_mut().poll(context) {
            Poll::Ready(Ok(response)) => Poll::Ready(InvocationEnd::Responded(response)),
            Poll::Ready(Err(_panic)) => Poll::Ready(InvocationEnd::Panicked),
            Poll::Pending => {
                awaits += 1;
                if crash_at == Some(awaits) {
                    return Poll::Ready(InvocationEnd::Crashed);
                }
                Poll::Pending
            }
        }
    });
    let ended = tokio::time::timeout(timeout, run).await;
    ended.unwrap_or(InvocationEnd::TimedOut)
}
