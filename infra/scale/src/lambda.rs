//! One function: how long an invocation takes, how large its batches are, and how fast it may grow.

use crate::limits::{
    ENVIRONMENTS_PER_PERIOD, ENVIRONMENTS_PERIOD_SECONDS, REQUESTS_PER_CONCURRENCY, VCPU_MEGABYTES,
};

/// What an invocation consists of. Computing and waiting are taken one after the other, which is the longest it can be.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Seconds of a whole vCPU for an invocation.
    pub cpu_of_invocation: f64,
    /// Seconds of a whole vCPU for each record.
    pub cpu_of_record: f64,
    /// Memory, of which the share of a vCPU follows.
    pub memory_megabytes: f64,
    /// Records whose calls are waited for together.
    pub at_once: f64,
    /// Seconds of one such wait.
    pub wait: f64,
}

impl Work {
    fn share(&self) -> f64 {
        // One vCPU at most: a handler is one thread's work.
        (self.memory_megabytes / VCPU_MEGABYTES).min(1.0)
    }

    /// Seconds of an invocation with so many records.
    #[must_use]
    pub fn seconds(&self, records: f64) -> f64 {
        let computing = (self.cpu_of_invocation + self.cpu_of_record * records) / self.share();
        computing + (records / self.at_once).ceil().max(1.0) * self.wait
    }

    /// Records of a batch where each of those who collect gets `each_second`, waits for `pause` seconds and then for the
    /// invocation: what comes in that time is the next batch.
    #[must_use]
    pub fn batch(&self, each_second: f64, pause: f64, most: f64) -> f64 {
        let fixed = pause + self.cpu_of_invocation / self.share() + self.wait;
        let grows = 1.0 - each_second * self.cpu_of_record / self.share();
        if grows <= 0.0 {
            return most.max(1.0);
        }
        (each_second * fixed / grows).clamp(1.0, most.max(1.0))
    }
}

/// Seconds that an invocation counts for in the account's concurrency.
#[must_use]
pub fn slot_seconds(seconds: f64) -> f64 {
    seconds.max(1.0 / REQUESTS_PER_CONCURRENCY)
}

/// The execution environments of a function.
#[derive(Debug, Clone)]
pub struct Environments {
    now: f64,
    in_use: f64,
    tokens: f64,
}

impl Default for Environments {
    fn default() -> Self {
        Self {
            now: 0.0,
            in_use: 0.0,
            tokens: ENVIRONMENTS_PER_PERIOD,
        }
    }
}

impl Environments {
    /// How many there may be at once.
    #[must_use]
    pub fn most(&self) -> f64 {
        self.now + self.tokens
    }

    /// How many were used in the last step.
    #[must_use]
    pub fn in_use(&self) -> f64 {
        self.in_use
    }

    /// Goes on by `seconds` in which so many were used. Those that are not used stay: Lambda keeps them for minutes.
    pub fn used(&mut self, used: f64, seconds: f64) {
        self.tokens -= (used - self.now).max(0.0);
        self.now = self.now.max(used);
        self.in_use = used;
        let refill = ENVIRONMENTS_PER_PERIOD / ENVIRONMENTS_PERIOD_SECONDS * seconds;
        self.tokens = (self.tokens.max(0.0) + refill).min(ENVIRONMENTS_PER_PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        cpu_of_invocation: 0.002,
        cpu_of_record: 0.001,
        memory_megabytes: VCPU_MEGABYTES / 2.0,
        at_once: 10.0,
        wait: 0.010,
    };

    #[test]
    fn half_a_processor_takes_twice_as_long() {
        assert!((WORK.seconds(10.0) - 0.034).abs() < 1e-12);
        assert!((WORK.seconds(11.0) - 0.046).abs() < 1e-12, "two waits");
    }

    #[test]
    fn a_batch_is_what_comes_while_the_one_before_it_runs() {
        assert!((WORK.batch(1.0, 0.0, 10.0) - 1.0).abs() < 1e-12);
        let batch = WORK.batch(250.0, 0.0, 100.0);
        assert!(
            (batch - 250.0 * WORK.seconds(batch)).abs() < 1e-9,
            "{batch}"
        );
        assert!((WORK.batch(600.0, 0.0, 10.0) - 10.0).abs() < 1e-12, "full");
    }

    #[test]
    fn a_function_adds_a_thousand_environments_and_a_hundred_each_second() {
        let mut environments = Environments::default();
        let mut most = vec![];
        for _ in 0..3 {
            most.push(environments.most());
            environments.used(environments.most(), 1.0);
        }
        assert_eq!(most, [1_000.0, 1_100.0, 1_200.0]);
    }
}
