//! One function: duration of an invocation, batch size, and growth of its concurrency.

use crate::limits::{
    ENVIRONMENTS_PER_PERIOD, ENVIRONMENTS_PERIOD_SECONDS, REQUESTS_PER_CONCURRENCY, VCPU_MEGABYTES,
};

/// The work of an invocation. Computing and waiting are assumed not to overlap, which is the worst case.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Seconds of a full vCPU for an invocation.
    pub cpu_of_invocation: f64,
    /// Seconds of a full vCPU for each record.
    pub cpu_of_record: f64,
    /// Memory, which determines the share of a vCPU.
    pub memory_megabytes: f64,
    /// Number of records with concurrent calls.
    pub concurrent_records: f64,
    /// Seconds of one call.
    pub wait: f64,
}

impl Work {
    fn vcpu_share(&self) -> f64 {
        // At most one vCPU: a handler runs in a single thread.
        (self.memory_megabytes / VCPU_MEGABYTES).min(1.0)
    }

    /// Duration of an invocation with this many records, in seconds.
    #[must_use]
    pub fn seconds(&self, records: f64) -> f64 {
        let computing = (self.cpu_of_invocation + self.cpu_of_record * records) / self.vcpu_share();
        computing + (records / self.concurrent_records).ceil().max(1.0) * self.wait
    }

    /// Records of an average batch of a reader that gets `each_second` records, waits `pause` seconds and then for the
    /// invocation. The records that arrive in that time are the next batch.
    #[must_use]
    pub fn batch(&self, each_second: f64, pause: f64, maximum: f64) -> f64 {
        let fixed = pause + self.cpu_of_invocation / self.vcpu_share() + self.wait;
        let grows = 1.0 - each_second * self.cpu_of_record / self.vcpu_share();
        if grows <= 0.0 {
            return maximum.max(1.0);
        }
        (each_second * fixed / grows).clamp(1.0, maximum.max(1.0))
    }
}

/// Seconds for which an invocation counts towards the account's concurrency.
#[must_use]
pub fn slot_seconds(seconds: f64) -> f64 {
    seconds.max(1.0 / REQUESTS_PER_CONCURRENCY)
}

/// The execution environments of a function.
#[derive(Debug, Clone)]
pub struct Environments {
    existing: f64,
    in_use: f64,
    tokens: f64,
}

impl Default for Environments {
    fn default() -> Self {
        Self {
            existing: 0.0,
            in_use: 0.0,
            tokens: ENVIRONMENTS_PER_PERIOD,
        }
    }
}

impl Environments {
    /// How many can run at the moment.
    #[must_use]
    pub fn available(&self) -> f64 {
        self.existing + self.tokens
    }

    /// How many were in use in the last step.
    #[must_use]
    pub fn in_use(&self) -> f64 {
        self.in_use
    }

    /// Advances by `seconds` with this many in use. Idle environments remain, because Lambda keeps them for minutes.
    pub fn record_usage(&mut self, used: f64, seconds: f64) {
        self.tokens -= (used - self.existing).max(0.0);
        self.existing = self.existing.max(used);
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
        concurrent_records: 10.0,
        wait: 0.010,
    };

    #[test]
    fn half_a_vcpu_doubles_the_computing_time() {
        assert!((WORK.seconds(10.0) - 0.034).abs() < 1e-12);
        assert!((WORK.seconds(11.0) - 0.046).abs() < 1e-12, "two waits");
    }

    #[test]
    fn a_batch_has_the_records_that_arrived_during_the_previous_one() {
        assert!((WORK.batch(1.0, 0.0, 10.0) - 1.0).abs() < 1e-12);
        let batch = WORK.batch(250.0, 0.0, 100.0);
        assert!(
            (batch - 250.0 * WORK.seconds(batch)).abs() < 1e-9,
            "{batch}"
        );
        assert!((WORK.batch(600.0, 0.0, 10.0) - 10.0).abs() < 1e-12, "full");
    }

    #[test]
    fn a_function_adds_1000_environments_and_100_each_second() {
        let mut environments = Environments::default();
        let mut available = vec![];
        for _ in 0..3 {
            available.push(environments.available());
            environments.record_usage(environments.available(), 1.0);
        }
        assert_eq!(available, [1_000.0, 1_100.0, 1_200.0]);
    }
}
