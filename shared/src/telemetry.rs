//! What a function says of itself: structured log lines, and one metrics line for each invocation.
//!
//! Ids, names and numbers only. A payload has no way in here: nothing takes one.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "onewrite";

/// The most that can be logged. At TRACE the Lambda runtime prints each event and the SDK each request and response,
/// payloads and all; nothing of this project is logged there.
const MOST: LevelFilter = LevelFilter::DEBUG;

/// Sends log lines to standard output as JSON, at the level that `LOG_LEVEL` names (default `info`, `debug` at most).
///
/// A panic is logged with its place alone: its message may quote what the code was at work on.
pub fn init() {
    // A second call finds the first one's subscriber and leaves it.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_max_level(level(std::env::var("LOG_LEVEL").ok().as_deref()))
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

fn level(setting: Option<&str>) -> LevelFilter {
    setting
        .filter(|text| !text.is_empty())
        .and_then(|text| text.parse().ok())
        .unwrap_or(LevelFilter::INFO)
        .min(MOST)
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
    fn the_level_is_as_set_and_never_one_at_which_others_print_payloads() {
        for (setting, expected) in [
            (None, LevelFilter::INFO),
            (Some(""), LevelFilter::INFO),
            (Some("loud"), LevelFilter::INFO),
            (Some("error"), LevelFilter::ERROR),
            (Some("WARN"), LevelFilter::WARN),
            (Some("debug"), LevelFilter::DEBUG),
            (Some("trace"), LevelFilter::DEBUG),
        ] {
            assert_eq!(level(setting), expected, "{setting:?}");
        }
    }

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

    #[test]
    fn counts_add_up_and_what_was_not_counted_is_none() {
        let mut metrics = Metrics::new("f");
        metrics.add("Done", 2);
        metrics.add("Done", 3);
        assert_eq!((metrics.get("Done"), metrics.get("Failed")), (5, 0));
    }
}
