//! The time that an invocation may use.

use std::time::Duration;

use lambda_runtime::Context;
use tokio::time::Instant;

use onewrite::limits::ANSWER_MARGIN;

/// The moment at which an invocation stops working so that it can still respond.
///
/// Unfinished messages are then returned as batch item failures. A timeout would instead fail the whole batch.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    end: Instant,
}

impl Budget {
    /// Ends at the context's deadline or after the `configured` time (the function's timeout), whichever comes first,
    /// less [`ANSWER_MARGIN`].
    ///
    /// A deadline in the past means "unknown" (`cargo lambda watch` sends one of 1970). Only `configured` counts then.
    #[must_use]
    pub fn from_context(context: &Context, configured: Duration) -> Self {
        let remaining = context
            .deadline()
            .duration_since(std::time::SystemTime::now())
            .ok();
        Self::from_remaining(remaining, configured)
    }

    /// Ends after the `remaining` time or after the `configured` time, whichever is shorter, less [`ANSWER_MARGIN`].
    #[must_use]
    pub fn from_remaining(remaining: Option<Duration>, configured: Duration) -> Self {
        let total = remaining
            .filter(|left| !left.is_zero())
            .map_or(configured, |left| left.min(configured));
        Self {
            end: Instant::now() + total.saturating_sub(ANSWER_MARGIN),
        }
    }

    /// The moment to stop.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.end
    }

    /// The time that is left. Zero means: stop now.
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
    async fn uses_the_shorter_time_less_the_margin() {
        let left = |remaining| Budget::from_remaining(remaining, CONFIGURED).left();
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
    async fn ignores_a_deadline_in_the_past() {
        assert_eq!(
            Budget::from_remaining(None, CONFIGURED).left(),
            CONFIGURED - ANSWER_MARGIN
        );
        let mut context = Context::default();
        context.deadline = 600_000;
        assert_eq!(
            Budget::from_context(&context, CONFIGURED).left(),
            CONFIGURED - ANSWER_MARGIN
        );
    }
}
