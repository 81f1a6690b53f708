//! What a stack's parts tell CloudWatch, kept in memory: the emulator tells it next to nothing of this.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A metric. Its dimensions are told as the template tells them: a resource by its logical id, a pseudo parameter by
/// its name, so that nothing has to be resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// The namespace, such as `AWS/Lambda`.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The dimensions, by name.
    pub dimensions: BTreeMap<String, String>,
}

impl Metric {
    /// Of these.
    #[must_use]
    pub fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let text = |text: &str| text.to_owned();
        let dimensions = dimensions
            .iter()
            .map(|(name, value)| (text(name), text(value)));
        Self {
            namespace: text(namespace),
            name: text(name),
            dimensions: dimensions.collect(),
        }
    }
}

/// Samples are kept this long; no alarm may look further back.
pub const KEPT: Duration = Duration::from_secs(60 * 60);

/// The samples of every metric, by the time they were taken. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub struct Samples(Arc<Mutex<BTreeMap<Metric, Taken>>>);

/// Each with its time, the oldest first.
type Taken = VecDeque<(Instant, f64)>;

impl Samples {
    /// Keeps one.
    pub fn record(&self, metric: Metric, at: Instant, value: f64) {
        let mut all = self.lock();
        let samples = all.entry(metric).or_default();
        while samples
            .front()
            .is_some_and(|(taken, _)| at.saturating_duration_since(*taken) > KEPT)
        {
            samples.pop_front();
        }
        samples.push_back((at, value));
    }

    /// The values of a metric after `from`, until `to`.
    #[must_use]
    pub fn between(&self, metric: &Metric, from: Instant, to: Instant) -> Vec<f64> {
        let all = self.lock();
        let samples = all.get(metric).into_iter().flatten();
        samples
            .filter(|(at, _)| (from < *at) && (*at <= to))
            .map(|(_, value)| *value)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Metric, Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_the_period_that_ends_with_it_and_is_not_kept_for_ever() {
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let metric = |function| Metric::new("AWS/Lambda", "Errors", &[("FunctionName", function)]);
        samples.record(metric("a"), at(1), 1.0);
        samples.record(metric("a"), at(2), 2.0);
        samples.record(metric("b"), at(2), 8.0);
        assert_eq!(samples.between(&metric("a"), at(0), at(2)), [1.0, 2.0]);
        assert_eq!(samples.between(&metric("a"), at(1), at(2)), [2.0]);
        assert!(samples.between(&metric("c"), at(0), at(2)).is_empty());

        samples.record(metric("a"), at(2) + KEPT, 3.0);
        assert_eq!(
            samples.between(&metric("a"), at(0), at(2) + KEPT),
            [2.0, 3.0]
        );
    }
}
