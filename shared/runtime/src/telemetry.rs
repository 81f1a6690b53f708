//! Structured log lines, and one line of metrics per invocation.
//!
//! Both hold ids, names and numbers only. No function here accepts a payload.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write as _},
    str::FromStr,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use metrique_writer_core::{
    Entry, EntryWriter, MetricFlags, Observation, Unit, Value, ValueWriter, format::Format as _,
    unit::NegativeScale,
};
use metrique_writer_format_emf::Emf;
use tracing_subscriber::filter::LevelFilter;

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "onewrite";

/// The most verbose level. At TRACE the Lambda runtime prints each event, and the SDK prints each request and response,
/// payloads included. This project logs nothing at TRACE.
const MOST_VERBOSE: LevelFilter = LevelFilter::DEBUG;

/// Writes log lines to standard output as JSON, at the level in `LOG_LEVEL` (default `info`, at most `debug`).
///
/// A panic is logged with its source position only, because its text may quote data.
pub fn init() {
    // A second call keeps the subscriber of the first.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_max_level(level(std::env::var("LOG_LEVEL").ok().as_deref()))
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        // A line that cannot be written would be reported with `eprintln!`, which panics if that fails, too.
        .log_internal_errors(false)
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
        .min(MOST_VERBOSE)
}

/// Which metrics a function emits: the setting `METRICS`. Each metric costs money for every hour in which it is emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricSelection {
    /// Those that the alarms of the template and `onewrite status` need.
    #[default]
    Essential,
    /// Every metric.
    All,
}

impl FromStr for MetricSelection {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "essential" => Ok(Self::Essential),
            "all" => Ok(Self::All),
            _ => Err("neither essential nor all"),
        }
    }
}

/// Counts and durations of one invocation, written as one line in CloudWatch's embedded metric format.
///
/// The crate `metrique`, maintained by AWS, formats the line. Durations are written as distributions, so CloudWatch can
/// show percentiles. The dimensions are the stack (`STACK_NAME`) and the function, so two stacks in one account do not
/// mix.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    function: &'static str,
    counts: BTreeMap<Cow<'static, str>, u64>,
    times: BTreeMap<&'static str, Times>,
}

/// Durations in buckets, each with its count and its sum in milliseconds. A batch can have ten thousand durations, but
/// CloudWatch accepts at most a hundred values of one metric per line ("Specification: Embedded metric format").
#[derive(Debug, Clone, Default, PartialEq)]
struct Times(BTreeMap<u32, (u64, f64)>);

/// Buckets per doubling: the reported duration is at most a quarter off. 24 hours fall into bucket 81.
const BUCKETS_PER_DOUBLING: f64 = 3.0;

/// The last bucket, which also holds everything longer.
const LAST_BUCKET: u32 = 99;

impl Times {
    fn add(&mut self, time: Duration) {
        let millis = time.as_secs_f64() * 1000.0;
        let bucket = (BUCKETS_PER_DOUBLING * (1.0 + millis).log2()).floor();
        let bucket = (bucket as u32).min(LAST_BUCKET);
        let (count, sum) = self.0.entry(bucket).or_default();
        *count += 1;
        *sum += millis;
    }
}

/// The time between two moments of two clocks. Zero if the clocks disagree so much that it would be negative.
#[must_use]
pub fn elapsed(since: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(since)).unwrap_or_default()
}

impl Metrics {
    /// Metrics of this function, with nothing counted yet.
    #[must_use]
    pub fn new(function: &'static str) -> Self {
        Self {
            function,
            counts: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    /// Adds to a count. Adding 0 makes the name known, but a count of 0 is not written: CloudWatch would bill a metric in which
    /// nothing ever happens like any other.
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, count: usize) {
        *self.counts.entry(name.into()).or_default() += count as u64;
    }

    /// Adds a duration.
    pub fn time(&mut self, name: &'static str, time: Duration) {
        self.times.entry(name).or_default().add(time);
    }

    /// The value of a count. Zero if it was never added to.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// The number of durations with this name, and their sum in milliseconds.
    #[must_use]
    pub fn times(&self, name: &str) -> (u64, f64) {
        let times = self.times.get(name).into_iter();
        let buckets = times.flat_map(|times| times.0.values());
        buckets.fold((0, 0.0), |(count, sum), (more, millis)| {
            (count + more, sum + millis)
        })
    }

    /// The names of all counts and durations.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let counts = self.counts.keys().map(Cow::as_ref);
        counts.chain(self.times.keys().copied())
    }

    /// The counts and durations with these names.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let counts = self.counts.iter();
        let times = self.times.iter();
        Self {
            function: self.function,
            counts: counts
                .filter(|(name, _)| names.contains(&name.as_ref()))
                .map(|(name, count)| (name.clone(), *count))
                .collect(),
            times: times
                .filter(|(name, _)| names.contains(name))
                .map(|(name, times)| (*name, times.clone()))
                .collect(),
        }
    }

    /// Whether nothing was counted and no time was measured.
    fn is_empty(&self) -> bool {
        self.times.is_empty() && self.counts.values().all(|count| *count == 0)
    }

    /// Writes the line to standard output, if it has anything. Lambda sends it to CloudWatch. If it cannot be written, it is lost: `print!` would
    /// panic, and a batch that is done would be handled again.
    pub fn emit(&self) {
        if self.is_empty() {
            return;
        }
        let stack = std::env::var("STACK_NAME").unwrap_or_default();
        let stack = if stack.is_empty() { NAMESPACE } else { &stack };
        let line = self.line(stack, SystemTime::now());
        let _ = io::stdout().write_all(&line);
    }

    /// The line, including its line feed.
    fn line(&self, stack: &str, now: SystemTime) -> Vec<u8> {
        let dimensions = vec![vec!["Stack".to_owned(), "Function".to_owned()]];
        let entry = Line {
            metrics: self,
            stack,
            now,
        };
        let mut line = Vec::new();
        if let Err(error) =
            Emf::all_validations(NAMESPACE.to_owned(), dimensions).format(&entry, &mut line)
        {
            let reason = error.to_string();
            tracing::error!(reason, "the metrics of this invocation were not written");
        }
        line
    }
}

/// One line in the form that `metrique` needs.
struct Line<'a> {
    metrics: &'a Metrics,
    stack: &'a str,
    now: SystemTime,
}

impl Entry for Line<'_> {
    fn write<'a>(&'a self, writer: &mut impl EntryWriter<'a>) {
        writer.timestamp(self.now);
        writer.value("Stack", self.stack);
        writer.value("Function", self.metrics.function);
        for (name, count) in self.metrics.counts.iter().filter(|(_, count)| **count > 0) {
            writer.value(name.as_ref(), &Count(*count));
        }
        for (name, times) in &self.metrics.times {
            writer.value(*name, times);
        }
    }
}

struct Count(u64);

impl Value for Count {
    fn write(&self, writer: impl ValueWriter) {
        let count = [Observation::Unsigned(self.0)];
        writer.metric(count, Unit::Count, [], MetricFlags::empty());
    }
}

impl Value for Times {
    fn write(&self, writer: impl ValueWriter) {
        let buckets = self.0.values().map(|(count, sum)| Observation::Repeated {
            total: *sum,
            occurrences: *count,
        });
        let unit = Unit::Second(NegativeScale::Milli);
        writer.metric(buckets, unit, [], MetricFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_log_level_never_reaches_trace() {
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
    fn formats_metrics_as_one_embedded_metric_line() {
        let mut metrics = Metrics::new("ingest");
        metrics.add("Created", 2);
        metrics.add("Created", 1);
        metrics.add("Conflict", 0);
        metrics.time("Stored", Duration::from_millis(250));
        metrics.time("Stored", Duration::from_millis(250));
        metrics.time("Stored", Duration::from_secs(60));
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let line = String::from_utf8(metrics.line("a-stack", now)).unwrap();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {"Timestamp": 1_700_000_000_000_u64, "CloudWatchMetrics": [{
                    "Namespace": "onewrite", "Dimensions": [["Stack", "Function"]],
                    "Metrics": [
                        {"Name": "Created", "Unit": "Count"}, {"Name": "Stored", "Unit": "Milliseconds"},
                    ],
                }]},
                "Stack": "a-stack", "Function": "ingest", "Created": 3,
                "Stored": {"Values": [250, 60_000], "Counts": [2, 1]},
            })
        );
    }

    #[test]
    fn negative_elapsed_time_becomes_zero() {
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        assert_eq!(elapsed(at(1_000), at(3_500)), Duration::from_millis(2_500));
        assert_eq!(elapsed(at(3_500), at(1_000)), Duration::ZERO);
    }

    #[test]
    fn adds_counts_and_durations() {
        let mut metrics = Metrics::new("f");
        metrics.add("Done", 2);
        metrics.add("Done", 3);
        assert_eq!((metrics.get("Done"), metrics.get("Failed")), (5, 0));
        metrics.time("Took", Duration::from_millis(2));
        metrics.time("Took", Duration::from_millis(40));
        assert_eq!(
            (metrics.times("Took"), metrics.times("Waited")),
            ((2, 42.0), (0, 0.0))
        );
        assert_eq!(metrics.names().collect::<Vec<_>>(), ["Done", "Took"]);
    }

    #[test]
    fn keeps_only_the_selected_metrics() {
        assert_eq!("essential".parse(), Ok(MetricSelection::Essential));
        assert_eq!("all".parse(), Ok(MetricSelection::All));
        assert!("".parse::<MetricSelection>().is_err());
        let mut metrics = Metrics::new("f");
        metrics.add("Done", 2);
        metrics.add("Failed", 0);
        metrics.add("Received", 3);
        metrics.time("Took", Duration::from_millis(2));
        let only = metrics.only(&["Done", "Failed"]);
        assert_eq!(only.names().collect::<Vec<_>>(), ["Done", "Failed"]);
        assert_eq!(only.get("Done"), 2);
        assert_eq!(metrics.only(&["Took"]).times("Took"), (1, 2.0));
        assert!(metrics.only(&["Failed"]).is_empty());
        assert!(!only.is_empty() && !metrics.only(&["Took"]).is_empty());
    }

    #[test]
    fn keeps_the_value_limit_and_the_exact_sum() {
        let mut metrics = Metrics::new("f");
        let millis = |n: u64| n * n;
        for n in 0..10_000 {
            metrics.time("Took", Duration::from_millis(millis(n)));
        }
        metrics.time("Took", Duration::from_secs(u64::MAX >> 11));
        let line = metrics.line("s", SystemTime::UNIX_EPOCH);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let values = line["Took"]["Values"].as_array().unwrap();
        assert!(values.len() <= 100, "{}", values.len());
        let counts = line["Took"]["Counts"].as_array().unwrap();
        let total: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(total, 10_001);

        let mut few = Metrics::new("f");
        for n in 0..1_000 {
            few.time("Took", Duration::from_millis(millis(n)));
        }
        let (count, sum) = few.times("Took");
        assert_eq!(count, 1_000);
        let expected: u64 = (0..1_000).map(millis).sum();
        assert!((sum - expected as f64).abs() < 1.0, "{sum}, not {expected}");
    }
}
