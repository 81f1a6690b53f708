//! The limit on the batches that a mapping may have in flight (rules S5, S10).

use crate::Millis;

/// The initial number of concurrent invocations (S5).
const START: usize = 5;
/// The most concurrent invocations of a mapping without `MaximumConcurrency` (S5).
pub const MAXIMUM: usize = 1_250;
/// The limit grows by one each time this time has passed at the limit: 300 a minute (S5).
const GROWTH_INTERVAL: Millis = 200;

/// The limit on batches in flight. It grows while it is reached and shrinks with function errors.
#[derive(Debug, Clone)]
pub(super) struct Concurrency {
    maximum: usize,
    allowed: usize,
    /// When the limit last grew, or was last not reached.
    since: Millis,
    failing: bool,
}

impl Concurrency {
    pub(super) fn new(maximum_concurrency: Option<usize>) -> Self {
        let maximum = maximum_concurrency.unwrap_or(MAXIMUM);
        Self {
            maximum,
            allowed: START.min(maximum),
            since: 0,
            failing: false,
        }
    }

    /// Changes `MaximumConcurrency` without resetting the limit.
    pub(super) fn set_maximum(&mut self, maximum_concurrency: Option<usize>) {
        self.maximum = maximum_concurrency.unwrap_or(MAXIMUM);
        self.allowed = self.allowed.min(self.maximum);
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// Records the number of batches in flight, and grows if the limit was reached for long enough.
    pub(super) fn observe(&mut self, now: Millis, in_flight: usize) {
        if !self.grows_with(in_flight) {
            self.since = now;
            return;
        }
        let steps = now.saturating_sub(self.since) / GROWTH_INTERVAL;
        self.allowed = self
            .allowed
            .saturating_add(steps as usize)
            .min(self.maximum);
        self.since += steps * GROWTH_INTERVAL;
    }

    /// Returns when the limit grows next, if `in_flight` batches stay in flight.
    pub(super) fn grows_at(&self, in_flight: usize) -> Option<Millis> {
        self.grows_with(in_flight)
            .then_some(self.since + GROWTH_INTERVAL)
    }

    /// Lowers the limit by one, to at least one, after a function error of a mapping without partial batch responses.
    /// AWS documents no numbers (S10).
    pub(super) fn record_failure(&mut self) {
        self.allowed = self.allowed.saturating_sub(1).max(1);
        self.failing = true;
    }

    pub(super) fn record_success(&mut self) {
        self.failing = false;
    }

    fn grows_with(&self, in_flight: usize) -> bool {
        in_flight >= self.allowed && self.allowed < self.maximum && !self.failing
    }
}
