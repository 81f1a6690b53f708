//! Ends a run early, in order: what was received is made visible again.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// Says whether the run is to end early.
pub type IsInterrupted<'a> = &'a (dyn Fn() -> bool + Sync);

/// For a run that nobody interrupts.
pub const NEVER: IsInterrupted<'static> = &|| false;

/// How often a run that waits asks whether it is interrupted.
const INTERVAL: Duration = Duration::from_millis(100);

/// Waits until the run is interrupted.
pub(super) async fn interruption(is_interrupted: IsInterrupted<'_>) {
    while !is_interrupted() {
        sleep(INTERVAL).await;
    }
}

/// Waits until this time or an interruption.
pub(super) async fn sleep_until_interrupted(end: Instant, is_interrupted: IsInterrupted<'_>) {
    tokio::select! {
        () = sleep_until(end) => {}
        () = interruption(is_interrupted) => {}
    }
}
