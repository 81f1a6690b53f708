//! A function's process. Its handler completes in virtual time, or is dropped at an await.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;

/// The end of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    Answered(T),
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
) -> Ended<T> {
    let mut handler = pin!(AssertUnwindSafe(handler).catch_unwind());
    let mut awaits = 0;
    let run = poll_fn(|context| {
        if crash_at == Some(awaits) {
            return Poll::Ready(Ended::Crashed);
        }
        match handler.as_mut().poll(context) {
            Poll::Ready(Ok(answer)) => Poll::Ready(Ended::Answered(answer)),
            Poll::Ready(Err(_panic)) => Poll::Ready(Ended::Panicked),
            Poll::Pending => {
                awaits += 1;
                if crash_at == Some(awaits) {
                    return Poll::Ready(Ended::Crashed);
                }
                Poll::Pending
            }
        }
    });
    let ended = tokio::time::timeout(timeout, run).await;
    ended.unwrap_or(Ended::TimedOut)
}
