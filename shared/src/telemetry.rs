//! What a function says of itself: structured log lines, and one metrics line for each invocation.
//!
//! Ids, names and numbers only. A payload has no way in here: nothing takes one.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::json;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "onewrite";

/// Sends log lines to standard output as JSON, at the level that `LOG_LEVEL` names (default `info`).
///
/// A panic is logged with its place alone: its message may quote what the code was at work on.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_env_var("LOG_LEVEL")
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    // A second call finds the first one's subscriber and leaves it.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked");
    }));
}

/// The counts of one invocation, written as one line in CloudWatch's embedded metric format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    function: &'static str,
    counts: BTreeMap<String, u64>,
}

impl Metrics {
    /// No counts yet, of this function.
    #[must_use]
    pub fn new(function: &'static str) -> Self {
        Self {
            function,
            counts: BTreeMap::new(),
        }
    }

    /// Adds to a count; a count of 0 makes it appear.
    pub fn add(&mut self, name: impl Into<String>, count: usize) {
        *self.counts.entry(name.into()).or_default() += count as u64;
    }

    /// The counts so far.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Writes the line to standard output, from where Lambda takes it to CloudWatch.
    #[allow(clippy::print_stdout)]
    pub fn emit(&self) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        println!("{}", self.line(now.as_millis()));
    }

    /// The line (CloudWatch user guide, "Specification: Embedded metric format").
    fn line(&self, epoch_millis: u128) -> serde_json::Value {
        let names: Vec<_> = self
            .counts
            .keys()
            .map(|name| json!({"Name": name, "Unit": "Count"}))
            .collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": u64::try_from(epoch_millis).unwrap_or(u64::MAX),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["Function"]], "Metrics": names}],
            },
            "Function": self.function,
        });
        for (name, count) in &self.counts {
            line[name] = (*count).into();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_one_line_in_the_embedded_metric_format() {
        let mut metrics = Metrics::new("ingest");
        metrics.add("Created", 2);
        metrics.add("Created", 1);
        metrics.add("Conflict", 0);
        let line = metrics.line(1_700_000_000_000);
        assert_eq!(
            line,
            json!({
                "_aws": {"Timestamp": 1_700_000_000_000_u64, "CloudWatchMetrics": [{
                    "Namespace": "onewrite", "Dimensions": [["Function"]],
                    "Metrics": [{"Name": "Conflict", "Unit": "Count"}, {"Name": "Created", "Unit": "Count"}],
                }]},
                "Function": "ingest", "Created": 3, "Conflict": 0,
            })
        );
        assert!(!line.to_string().contains('\n'));
    }
}
