//! How long an invocation may go on.

use std::time::Duration;

use lambda_runtime::Context;
use tokio::time::Instant;

use crate::limits::ANSWER_MARGIN;

/// The moment by which an invocation stops its work, so that it can still answer: what is unfinished then is returned
/// as failed, which keeps the rest of the batch, where a timeout would fail it whole.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    end: Instant,
}

impl Budget {
    /// From the context's deadline and the `configured` budget (the function's timeout), less [`ANSWER_MARGIN`].
    ///
    /// The nearer of the two holds. A deadline in the past means "unknown" (`cargo lambda watch` sends one of 1970),
    /// and then the configured budget holds.
    #[must_use]
    pub fn of_invocation(context: &Context, configured: Duration) -> Self {
        let remaining = context
            .deadline()
            .duration_since(std::time::SystemTime::now())
            .ok();
        Self::of_remaining(remaining, configured)
    }

    /// From the time that remains, if it is known.
    #[must_use]
    pub fn of_remaining(remaining: Option<Duration>, configured: Duration) -> Self {
        let total = remaining
            .filter(|left| !left.is_zero())
            .map_or(configured, |left| left.min(configured));
        Self {
            end: Instant::now() + total.saturating_sub(ANSWER_MARGIN),
        }
    }

    /// When to stop.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.end
    }

    /// What is left; zero when it is time to stop.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn the_nearer_of_deadline_and_configuration_holds_less_the_margin() {
        let left = |remaining| Budget::of_remaining(remaining, CONFIGURED).left();
        assert_eq!(
            left(Some(Duration::from_secs(10))),
            Duration::from_secs(10) - ANSWER_MARGIN
        );
        assert_eq!(
            left(Some(Duration::from_secs(86_400))),
            CONFIGURED - ANSWER_MARGIN
        );
        assert_eq!(left(Some(Duration::from_millis(1))), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_in_the_past_means_unknown() {
        assert_eq!(
            Budget::of_remaining(None, CONFIGURED).left(),
            CONFIGURED - ANSWER_MARGIN
        );
        let mut context = Context::default();
        context.deadline = 600_000;
        assert_eq!(
            Budget::of_invocation(&context, CONFIGURED).left(),
            CONFIGURED - ANSWER_MARGIN
        );
    }
}
