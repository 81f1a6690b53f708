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

    /// The same budget, ending earlier by `time`, so that later work has this time. Ends earlier by at most a quarter of what
    /// is left.
    #[must_use]
    pub fn reserving(self, time: Duration) -> Self {
        Self {
            end: self.end - time.min(self.left() / 4),
        }
    }

    /// The same budget, but at most `time` from now.
    #[must_use]
    pub fn at_most(self, time: Duration) -> Self {
        Self {
            end: self.end.min(Instant::now() + time),
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
    async fn reserves_time_for_later_work() {
        let left = |total| {
            let budget = Budget::from_remaining(Some(total), CONFIGURED);
            budget.reserving(Duration::from_secs(2)).left()
        };
        assert_eq!(
            left(CONFIGURED),
            CONFIGURED - ANSWER_MARGIN - Duration::from_secs(2)
        );
        let short = Duration::from_secs(4);
        assert_eq!(left(ANSWER_MARGIN + short), short * 3 / 4);
        assert_eq!(left(Duration::from_millis(1)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_work_to_a_time() {
        let budget = Budget::from_remaining(None, CONFIGURED);
        let second = Duration::from_secs(1);
        assert_eq!(budget.at_most(second).left(), second);
        assert_eq!(budget.at_most(2 * CONFIGURED).left(), budget.left());
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
