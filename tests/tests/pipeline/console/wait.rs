//! Waits for conditions.

use std::time::{Duration, Instant};

use crate::support::pause;

/// How long a test waits for a condition before it fails.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the condition returns a value.
pub(super) async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let since = Instant::now();
    let poll = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(pause(since)).await;
        }
    };
    match tokio::time::timeout(limit, poll).await {
        Ok(value) => value,
        Err(_) => panic!("timed out waiting until {what}"),
    }
}
