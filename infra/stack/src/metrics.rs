//! How often the functions failed lately, from their metrics. CloudWatch has counts; the reasons are in the logs.
//!
//! - [`series`]: the flow through the stack over time

mod query;
pub mod series;

use std::time::Duration;

use aws_sdk_cloudwatch::types::MetricDataResult;
use jiff::Timestamp;
use serde::Serialize;

use self::query::MetricQuery;
use crate::{error::StackError, stack::Stack};

/// The time that is searched for failures.
const RECENT: Duration = Duration::from_secs(15 * 60);

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
    let queries = COUNTS.map(|(id, function, metric)| {
        MetricQuery::of_function(id, &stack.name, function, metric, "Sum")
    });
    let results = query::read(stack, &queries, since, now).await?;
    Ok(results.iter().filter_map(recent_count).collect())
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
    use aws_sdk_cloudwatch::primitives::DateTime;

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
