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

/// The metric by which a function counts what it could not process, with an id for the query.
const FAILURES: [(&str, &str); 3] = [
    ("ingest", "Failed"),
    ("forward", "Unpublished"),
    ("complete", "Failed"),
];

/// The failures of a function in the last minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecentFailures {
    pub function: String,
    /// Messages, changes or events that failed; each attempt counts.
    pub count: u64,
    /// The minute of the last one.
    pub last: Timestamp,
}

/// Reads the failures of the last quarter of an hour. Functions without failures are left out.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn read_recent_failures(
    stack: &Stack,
    now: Timestamp,
) -> Result<Vec<RecentFailures>, StackError> {
    let since = now.checked_sub(RECENT).unwrap_or(now);
    let time = |time: Timestamp| DateTime::from_millis(time.as_millisecond());
    let queries = FAILURES.iter();
    let queries = queries.map(|(function, metric)| query(&stack.name, function, metric));
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
    Ok(results.iter().filter_map(recent_failures).collect())
}

fn query(stack: &str, function: &str, metric: &str) -> MetricDataQuery {
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
    let query = MetricDataQuery::builder().id(function).metric_stat(sum);
    query.return_data(true).build()
}

/// `None` if nothing failed.
fn recent_failures(result: &MetricDataResult) -> Option<RecentFailures> {
    let minutes = result.timestamps().iter().zip(result.values());
    let failed = minutes.filter(|(_, count)| **count > 0.0);
    let failed: Vec<_> = failed
        .filter_map(|(at, count)| Some((Timestamp::from_second(at.secs()).ok()?, *count)))
        .collect();
    Some(RecentFailures {
        function: result.id()?.to_owned(),
        count: failed.iter().map(|(_, count)| count).sum::<f64>() as u64,
        last: failed.iter().map(|(at, _)| *at).max()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_failures_and_finds_the_last_minute() {
        let result = |values: &[f64]| {
            let times = [60, 120, 180].map(DateTime::from_secs).to_vec();
            MetricDataResult::builder()
                .id("complete")
                .set_timestamps(Some(times))
                .set_values(Some(values.to_vec()))
                .build()
        };
        let failures = recent_failures(&result(&[10.0, 4.0, 0.0])).unwrap();
        assert_eq!(
            (failures.function.as_str(), failures.count),
            ("complete", 14)
        );
        assert_eq!(failures.last, Timestamp::from_second(120).unwrap());
        assert_eq!(recent_failures(&result(&[0.0, 0.0, 0.0])), None);
    }
}
