//! The flow through a stack over time, from its metrics.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::MetricDataResult;
use jiff::Timestamp;

use super::query::{MetricQuery, PERIOD_SECONDS, read};
use crate::{error::StackError, stack::Stack};

/// The time that the series cover.
pub const SERIES_HOURS: u32 = 3;

/// CloudWatch may not have the metrics of the newest minutes yet, so a missing value there is unknown, and not 0. Our own
/// choice; Lambda delivers the log lines with metrics within seconds, SQS and Kinesis report within a minute or two.
const LATE: usize = 3;

/// What a value of a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesUnit {
    /// Events in a period. Without an event, no metric is emitted, so a missing value is 0.
    Events,
    /// A number of things at one time.
    Level,
    Milliseconds,
    Seconds,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// One of the names of [`names`].
    pub name: &'static str,
    pub unit: SeriesUnit,
    /// One value for each time; `None` without data.
    pub values: Vec<Option<f64>>,
}

impl MetricSeries {
    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.values.iter().flatten().sum()
    }

    /// The newest value that is known.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }
}

/// The metrics of a stack over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricHistory {
    /// The start of each period, oldest first.
    pub times: Vec<Timestamp>,
    pub series: Vec<MetricSeries>,
    /// The number of metrics that were requested. CloudWatch bills each.
    pub requested: usize,
}

impl MetricHistory {
    /// The length of a period in seconds.
    pub const PERIOD_SECONDS: u32 = PERIOD_SECONDS.unsigned_abs();

    #[must_use]
    pub fn find(&self, name: &str) -> Option<&MetricSeries> {
        self.series.iter().find(|series| series.name == name)
    }
}

/// The names of the series.
pub mod names {
    pub const SENT: &str = "sent";
    pub const CREATED: &str = "created";
    pub const DONE: &str = "done";
    pub const REFUSED: &str = "refused";
    /// Only with `Metrics=all`, as the other times.
    pub const QUEUE_TO_STORED_P50: &str = "queue_to_stored_p50";
    pub const QUEUE_TO_STORED_P99: &str = "queue_to_stored_p99";
    pub const STORED_TO_DONE_P50: &str = "stored_to_done_p50";
    pub const STORED_TO_DONE_P99: &str = "stored_to_done_p99";
    pub const WAITING: &str = "waiting";
    pub const DEAD_LETTERS: &str = "dead_letters";
    pub const OLDEST_MESSAGE: &str = "oldest_message";
    pub const RECORDS: &str = "records";
    pub const FORWARD_AGE: &str = "forward_age";
    pub const COMPLETE_AGE: &str = "complete_age";
}

/// Whether the functions of the stack publish times.
#[must_use]
pub fn has_times(stack: &Stack) -> bool {
    stack.parameters.get("Metrics").map(String::as_str) == Some("all")
}

/// Reads the series of the last [`SERIES_HOURS`], by the minute.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_history(stack: &Stack, now: Timestamp) -> Result<MetricHistory, StackError> {
    let (since, times) = periods(now);
    let plan = plan(stack);
    let queries: Vec<MetricQuery<'_>> = plan.iter().map(|(query, _)| query.clone()).collect();
    let results = read(stack, &queries, since, now).await?;
    let series = plan.iter().map(|(query, unit)| {
        let parts = results.iter().filter(|part| part.id() == Some(query.id));
        MetricSeries {
            name: name_of(query.id),
            unit: *unit,
            values: values(&times, parts, *unit),
        }
    });
    Ok(MetricHistory {
        series: series.collect(),
        requested: queries.len(),
        times,
    })
}

/// The first time, and the start of each whole minute until now.
fn periods(now: Timestamp) -> (Timestamp, Vec<Timestamp>) {
    let period = i64::from(MetricHistory::PERIOD_SECONDS);
    let end = now.as_second() / period * period;
    let start = end - i64::from(SERIES_HOURS) * 3_600;
    let seconds = (start..end).step_by(MetricHistory::PERIOD_SECONDS as usize);
    let times: Vec<_> = seconds
        .filter_map(|second| Timestamp::from_second(second).ok())
        .collect();
    (times.first().copied().unwrap_or(now), times)
}

fn values<'a>(
    times: &[Timestamp],
    parts: impl Iterator<Item = &'a MetricDataResult>,
    unit: SeriesUnit,
) -> Vec<Option<f64>> {
    let mut by_second: BTreeMap<i64, f64> = BTreeMap::new();
    for part in parts {
        let points = part.timestamps().iter().zip(part.values());
        by_second.extend(points.map(|(at, value)| (at.secs(), *value)));
    }
    let settled = times.len().saturating_sub(LATE);
    let value = |(index, at): (usize, &Timestamp)| {
        let value = by_second.get(&at.as_second()).copied();
        let is_zero = unit == SeriesUnit::Events && index < settled;
        value.or(is_zero.then_some(0.0))
    };
    times.iter().enumerate().map(value).collect()
}

/// The static name of a query's id: a query is named like its series.
fn name_of(id: &str) -> &'static str {
    ALL.into_iter().find(|name| *name == id).unwrap_or_default()
}

const ALL: [&str; 14] = [
    names::SENT,
    names::CREATED,
    names::DONE,
    names::REFUSED,
    names::QUEUE_TO_STORED_P50,
    names::QUEUE_TO_STORED_P99,
    names::STORED_TO_DONE_P50,
    names::STORED_TO_DONE_P99,
    names::WAITING,
    names::DEAD_LETTERS,
    names::OLDEST_MESSAGE,
    names::RECORDS,
    names::FORWARD_AGE,
    names::COMPLETE_AGE,
];

/// The queries, each with the unit of its result.
fn plan(stack: &Stack) -> Vec<(MetricQuery<'_>, SeriesUnit)> {
    let mut plan = of_services(stack);
    plan.extend(of_functions(stack));
    plan
}

/// The metrics of the services, which publish them without a charge.
fn of_services(stack: &Stack) -> Vec<(MetricQuery<'_>, SeriesUnit)> {
    const DEPTH: &str = "ApproximateNumberOfMessagesVisible";
    let outputs = &stack.outputs;
    let (queue, dead_letters) = (&outputs.queue_url, &outputs.dead_letter_queue_url);
    let age = "ApproximateAgeOfOldestMessage";
    let queues = [
        (
            names::SENT,
            queue,
            "NumberOfMessagesSent",
            "Sum",
            SeriesUnit::Events,
        ),
        (names::WAITING, queue, DEPTH, "Maximum", SeriesUnit::Level),
        (
            names::OLDEST_MESSAGE,
            queue,
            age,
            "Maximum",
            SeriesUnit::Seconds,
        ),
        (
            names::DEAD_LETTERS,
            dead_letters,
            DEPTH,
            "Maximum",
            SeriesUnit::Level,
        ),
    ];
    let queues =
        queues.map(|(id, url, name, statistic, unit)| (of_queue(id, url, name, statistic), unit));
    let records = MetricQuery {
        id: names::RECORDS,
        namespace: "AWS/Kinesis",
        name: "IncomingRecords",
        dimensions: vec![("StreamName", &outputs.stream)],
        statistic: "Sum",
    };
    let ages = [
        (names::FORWARD_AGE, &outputs.forward),
        (names::COMPLETE_AGE, &outputs.complete),
    ];
    let ages = ages.map(|(id, function)| {
        let query = MetricQuery {
            id,
            namespace: "AWS/Lambda",
            name: "IteratorAge",
            dimensions: vec![("FunctionName", function)],
            statistic: "Maximum",
        };
        (query, SeriesUnit::Milliseconds)
    });
    let records = std::iter::once((records, SeriesUnit::Events));
    queues.into_iter().chain(records).chain(ages).collect()
}

/// The metrics that the functions publish themselves.
fn of_functions(stack: &Stack) -> Vec<(MetricQuery<'_>, SeriesUnit)> {
    let of_function = |id, function, name, statistic| {
        MetricQuery::of_function(id, &stack.name, function, name, statistic)
    };
    let counts = [
        (names::CREATED, "ingest", "Created"),
        (names::DONE, "complete", "Done"),
        (names::REFUSED, "complete", "Refused"),
    ];
    let counts = counts
        .map(|(id, function, name)| (of_function(id, function, name, "Sum"), SeriesUnit::Events));
    let times = [
        (names::QUEUE_TO_STORED_P50, "ingest", "QueueToStored", "p50"),
        (names::QUEUE_TO_STORED_P99, "ingest", "QueueToStored", "p99"),
        (names::STORED_TO_DONE_P50, "complete", "StoredToDone", "p50"),
        (names::STORED_TO_DONE_P99, "complete", "StoredToDone", "p99"),
    ];
    let times =
        times
            .into_iter()
            .filter(|_| has_times(stack))
            .map(|(id, function, name, statistic)| {
                let query = of_function(id, function, name, statistic);
                (query, SeriesUnit::Milliseconds)
            });
    counts.into_iter().chain(times).collect()
}

/// A metric of a queue. SQS names a queue by the last part of its URL.
fn of_queue<'a>(
    id: &'a str,
    queue_url: &'a str,
    name: &'a str,
    statistic: &'a str,
) -> MetricQuery<'a> {
    let queue = queue_url.rsplit('/').next().unwrap_or_default();
    MetricQuery {
        id,
        namespace: "AWS/SQS",
        name,
        dimensions: vec![("QueueName", queue)],
        statistic,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aws_sdk_cloudwatch::primitives::DateTime;

    use super::*;
    use crate::wire;

    #[test]
    fn covers_whole_minutes() {
        let (since, times) = periods(Timestamp::from_second(1_000_000_030).unwrap());
        assert_eq!(times.len(), 180);
        assert_eq!(times[0], since);
        // The minute that is not over is left out: 1,000,000,030 is 10 seconds into it.
        assert_eq!(times[179].as_second(), 999_999_960);
        assert!(times.iter().all(|at| at.as_second() % 60 == 0));
    }

    #[test]
    fn a_missing_count_is_zero_unless_it_may_be_late() {
        let times: Vec<_> = (0..6)
            .map(|minute| Timestamp::from_second(minute * 60).unwrap())
            .collect();
        let part = |points: &[(i64, f64)]| {
            let times = points.iter().map(|(at, _)| DateTime::from_secs(*at));
            MetricDataResult::builder()
                .set_timestamps(Some(times.collect()))
                .set_values(Some(points.iter().map(|(_, value)| *value).collect()))
                .build()
        };
        let parts = [part(&[(0, 7.0)]), part(&[(120, 2.0), (240, 1.0)])];
        let counted = values(&times, parts.iter(), SeriesUnit::Events);
        assert_eq!(
            counted,
            [Some(7.0), Some(0.0), Some(2.0), None, Some(1.0), None]
        );
        let levels = values(&times, parts.iter(), SeriesUnit::Level);
        assert_eq!(levels, [Some(7.0), None, Some(2.0), None, Some(1.0), None]);
        let series = MetricSeries {
            name: names::SENT,
            unit: SeriesUnit::Events,
            values: counted,
        };
        assert_eq!((series.sum(), series.last()), (10.0, Some(1.0)));
    }

    #[tokio::test]
    async fn asks_for_times_only_if_the_functions_publish_them() {
        let (mut stack, _) = wire::stack(&[]).await;
        let ids = |stack: &Stack| -> Vec<String> {
            let plan = plan(stack);
            plan.iter().map(|(query, _)| query.id.to_owned()).collect()
        };
        assert_eq!(ids(&stack).len(), 10);
        stack
            .parameters
            .insert("Metrics".to_owned(), "all".to_owned());
        let all = ids(&stack);
        let unique: BTreeSet<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(unique, BTreeSet::from(ALL));
        assert_eq!(all.len(), ALL.len());
        let queue = of_queue("a", &stack.outputs.queue_url, "b", "Sum");
        assert_eq!(queue.dimensions, [("QueueName", "queue.fifo")]);
    }
}
