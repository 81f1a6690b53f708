//! Metrics of a stack, kept in memory, because the emulator publishes almost none to CloudWatch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A metric. Its dimensions are as in the template, so that nothing has to be resolved: a resource is named by its
/// logical id, a pseudo parameter by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// For example `AWS/Lambda`.
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

impl Metric {
    #[must_use]
    pub fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let dimensions = dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.collect(),
        }
    }
}

/// The retention of samples. No alarm may evaluate a longer time.
pub const RETENTION: Duration = Duration::from_secs(60 * 60);

/// The samples of every metric, by time. Clones share the samples.
#[derive(Debug, Clone, Default)]
pub struct Samples(Arc<Mutex<BTreeMap<Metric, Series>>>);

/// Samples with their times, oldest first.
type Series = VecDeque<(Instant, f64)>;

impl Samples {
    pub fn record(&self, metric: Metric, at: Instant, value: f64) {
        let mut all = self.lock();
        let samples = all.entry(metric).or_default();
        while samples
            .front()
            .is_some_and(|(time, _)| at.saturating_duration_since(*time) > RETENTION)
        {
            samples.pop_front();
        }
        samples.push_back((at, value));
    }

    /// Returns the values of a metric after `from` and up to `to`.
    #[must_use]
    pub fn between(&self, metric: &Metric, from: Instant, to: Instant) -> Vec<f64> {
        let all = self.lock();
        let samples = all.get(metric).into_iter().flatten();
        samples
            .filter(|(at, _)| (from < *at) && (*at <= to))
            .map(|(_, value)| *value)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Metric, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigns_samples_to_periods_and_removes_old_ones() {
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let metric = |function| Metric::new("AWS/Lambda", "Errors", &[("FunctionName", function)]);
        samples.record(metric("a"), at(1), 1.0);
        samples.record(metric("a"), at(2), 2.0);
        samples.record(metric("b"), at(2), 8.0);
        assert_eq!(samples.between(&metric("a"), at(0), at(2)), [1.0, 2.0]);
        assert_eq!(samples.between(&metric("a"), at(1), at(2)), [2.0]);
        assert!(samples.between(&metric("c"), at(0), at(2)).is_empty());

        samples.record(metric("a"), at(2) + RETENTION, 3.0);
        assert_eq!(
            samples.between(&metric("a"), at(0), at(2) + RETENTION),
            [2.0, 3.0]
        );
    }
}
