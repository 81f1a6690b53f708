//! How often the functions failed lately, from their metrics. CloudWatch has counts; the reasons are in the logs.

use std::time::Duration;

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{error::StackError, stack::Stack};

/// The time that is searched for failures.
const RECENT: Duration = Duration::from_secs(15 * 60);

/// The period of a sum in seconds. Functions publish a metric for each invocation, CloudWatch stores minutes.
const PERIOD_SECONDS: i32 = 60;

/// What is counted: the id of the query, the function and its metric.
pub const COUNTS: [(&str, &str, &str); 5] = [
    ("ingest", "ingest", "Failed"),
    ("forward", "forward", "Unpublished"),
    ("complete", "complete", "Failed"),
    ("refused", "complete", REFUSED),
    ("contradicted", "complete", CONTRADICTED),
];

/// Notifications that the downstream refused for good.
pub const REFUSED: &str = "Refused";
/// Decisions of the downstream that differ from the stored one.
pub const CONTRADICTED: &str = "Contradicted";

/// How often something happened in the last minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecentCount {
    pub function: &'static str,
    /// The name of the metric.
    pub metric: &'static str,
    /// Messages, changes or events; each attempt counts.
    pub count: u64,
    /// The minute of the last one.
    pub last: Timestamp,
}

impl RecentCount {
    /// Whether it counts what could not be processed, and not a decision of the downstream.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        ![REFUSED, CONTRADICTED].contains(&self.metric)
    }
}

/// Reads what failed, was refused or was contradicted in the last quarter of an hour. A count of 0 is left out.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn read_recent_counts(
    stack: &Stack,
    now: Timestamp,
) -> Result<Vec<RecentCount>, StackError> {
    let since = now.checked_sub(RECENT).unwrap_or(now);
    let time = |time: Timestamp| DateTime::from_millis(time.as_millisecond());
    let queries = COUNTS.iter();
    let queries = queries.map(|(id, function, metric)| query(&stack.name, id, function, metric));
    let response = stack
        .cloudwatch
        .get_metric_data()
        .start_time(time(since))
        .end_time(time(now))
        .set_metric_data_queries(Some(queries.collect()))
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetMetricData", &error))?;
    let results = response.metric_data_results.unwrap_or_default();
    Ok(results.iter().filter_map(recent_count).collect())
}

fn query(stack: &str, id: &str, function: &str, metric: &str) -> MetricDataQuery {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let metric = Metric::builder()
        .namespace("onewrite")
        .metric_name(metric)
        .dimensions(dimension("Stack", stack))
        .dimensions(dimension("Function", function))
        .build();
    let sum = MetricStat::builder()
        .metric(metric)
        .period(PERIOD_SECONDS)
        .stat("Sum")
        .build();
    let query = MetricDataQuery::builder().id(id).metric_stat(sum);
    query.return_data(true).build()
}

/// `None` if it did not happen.
fn recent_count(result: &MetricDataResult) -> Option<RecentCount> {
    let (_, function, metric) = COUNTS
        .into_iter()
        .find(|(id, ..)| Some(*id) == result.id())?;
    let minutes = result.timestamps().iter().zip(result.values());
    let counted = minutes.filter(|(_, count)| **count > 0.0);
    let counted: Vec<_> = counted
        .filter_map(|(at, count)| Some((Timestamp::from_second(at.secs()).ok()?, *count)))
        .collect();
    Some(RecentCount {
        function,
        metric,
        count: counted.iter().map(|(_, count)| count).sum::<f64>() as u64,
        last: counted.iter().map(|(at, _)| *at).max()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_minutes_and_finds_the_last_one() {
        let result = |id: &str, values: &[f64]| {
            let times = [60, 120, 180].map(DateTime::from_secs).to_vec();
            MetricDataResult::builder()
                .id(id)
                .set_timestamps(Some(times))
                .set_values(Some(values.to_vec()))
                .build()
        };
        let failed = recent_count(&result("complete", &[10.0, 4.0, 0.0])).unwrap();
        assert_eq!((failed.function, failed.count), ("complete", 14));
        assert_eq!(failed.last, Timestamp::from_second(120).unwrap());
        let refused = recent_count(&result("refused", &[0.0, 0.0, 2.0])).unwrap();
        assert_eq!((refused.function, refused.metric), ("complete", "Refused"));
        assert!(failed.is_failure() && !refused.is_failure());
        assert_eq!(recent_count(&result("complete", &[0.0; 3])), None);
    }
}
