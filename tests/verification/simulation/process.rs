//! A function's process: its handler runs to its end in virtual time, or is dropped at one of its awaits.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    /// With an answer.
    Answered(T),
    /// It crashed: everything it had not done by then, it never did.
    Crashed,
    /// The service ended it.
    TimedOut,
    /// Its code panicked.
    Panicked,
}

/// Runs `handler`. `crash_at` counts awaits.
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
