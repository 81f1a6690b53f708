//! Queries of metrics.

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy},
};
use jiff::Timestamp;

use crate::{error::StackError, stack::Stack};

/// The period of a value in seconds. Functions publish a metric for each invocation, CloudWatch stores minutes.
pub(super) const PERIOD_SECONDS: i32 = 60;

/// One statistic of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetricQuery<'a> {
    /// Names the result; a lower-case letter first (CloudWatch API reference, `MetricDataQuery`).
    pub id: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub dimensions: Vec<(&'a str, &'a str)>,
    /// Such as `Sum` or `p99`.
    pub statistic: &'a str,
}

impl<'a> MetricQuery<'a> {
    /// A metric that a function publishes itself.
    pub(super) fn of_function(
        id: &'a str,
        stack: &'a str,
        function: &'a str,
        name: &'a str,
        statistic: &'a str,
    ) -> Self {
        Self {
            id,
            namespace: "onewrite",
            name,
            dimensions: vec![("Stack", stack), ("Function", function)],
            statistic,
        }
    }

    fn build(&self) -> MetricDataQuery {
        let dimensions = self.dimensions.iter();
        let dimensions =
            dimensions.map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
        let metric = Metric::builder()
            .namespace(self.namespace)
            .metric_name(self.name)
            .set_dimensions(Some(dimensions.collect()))
            .build();
        let statistic = MetricStat::builder()
            .metric(metric)
            .period(PERIOD_SECONDS)
            .stat(self.statistic)
            .build();
        let query = MetricDataQuery::builder()
            .id(self.id)
            .metric_stat(statistic);
        query.return_data(true).build()
    }
}

/// Runs the queries. A result can have several parts, each with the id of its query.
///
/// # Errors
/// [`StackError`]: a call failed.
pub(super) async fn read(
    stack: &Stack,
    queries: &[MetricQuery<'_>],
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<MetricDataResult>, StackError> {
    let time = |time: Timestamp| DateTime::from_millis(time.as_millisecond());
    let queries = queries.iter().map(MetricQuery::build).collect();
    let mut pages = stack
        .cloudwatch
        .get_metric_data()
        .start_time(time(since))
        .end_time(time(until))
        .set_metric_data_queries(Some(queries))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator()
        .send();
    let mut results = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| StackError::from_sdk("GetMetricData", &error))?;
        results.extend(page.metric_data_results.unwrap_or_default());
    }
    Ok(results)
}
