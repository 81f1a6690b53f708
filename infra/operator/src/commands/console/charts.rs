//! The charts of a stack on AWS, from its metrics. No I/O.

use onewrite_console::view::{Charts, Series};
use onewrite_stack::metrics::series::{MetricHistory, names};

/// The series of the charts: the name in the metrics, the chart, and the name in the chart.
const SERIES: [(&str, &str, &str); 10] = [
    (names::SENT, "throughput", "sent"),
    (names::CREATED, "throughput", "created"),
    (names::DONE, "throughput", "done"),
    (names::REFUSED, "throughput", "refused"),
    (names::QUEUE_TO_STORED_P50, "queue_to_stored", "p50"),
    (names::QUEUE_TO_STORED_P99, "queue_to_stored", "p99"),
    (names::STORED_TO_DONE_P50, "stored_to_done", "p50"),
    (names::STORED_TO_DONE_P99, "stored_to_done", "p99"),
    (names::WAITING, "backlog", "queue"),
    (names::DEAD_LETTERS, "backlog", "dead letters"),
];

const THROUGHPUT: &str = "throughput";
const BACKLOG: &str = "backlog";

/// Makes the charts. `has_times` tells whether the functions publish how long they took.
pub(super) fn charts(history: &MetricHistory, has_times: bool) -> Charts {
    let period = f64::from(MetricHistory::PERIOD_SECONDS);
    let series = SERIES.iter().filter_map(|(metric, chart, name)| {
        let values = history.find(metric)?.values.iter();
        let (unit, divisor) = match *chart {
            THROUGHPUT => ("per_second", period),
            BACKLOG => ("count", 1.0),
            _ => ("milliseconds", 1.0),
        };
        Some(Series {
            chart: (*chart).to_owned(),
            name: (*name).to_owned(),
            unit: unit.to_owned(),
            values: values.map(|value| Some((*value)? / divisor)).collect(),
        })
    });
    let mut not_read = Vec::new();
    if !has_times {
        not_read.push(
            "queue_to_stored and stored_to_done: the functions publish times only with the parameter Metrics=all"
                .to_owned(),
        );
    }
    Charts {
        period_seconds: MetricHistory::PERIOD_SECONDS,
        times: history.times.iter().map(ToString::to_string).collect(),
        series: series.collect(),
        not_read,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use onewrite_stack::metrics::series::{MetricSeries, SeriesUnit};

    use super::*;

    #[test]
    fn shows_rates_per_second_and_levels_as_they_are() {
        let series = |name, unit, values: [Option<f64>; 2]| MetricSeries {
            name,
            unit,
            values: values.to_vec(),
        };
        let history = MetricHistory {
            times: [60, 120]
                .map(|at| Timestamp::from_second(at).unwrap())
                .to_vec(),
            series: vec![
                series(names::SENT, SeriesUnit::Events, [Some(120.0), None]),
                series(names::WAITING, SeriesUnit::Level, [Some(7.0), Some(0.0)]),
                series(names::RECORDS, SeriesUnit::Events, [Some(1.0), None]),
            ],
            requested: 3,
        };
        let view = charts(&history, false);
        assert_eq!(view.times, ["1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z"]);
        let shown: Vec<_> = view
            .series
            .iter()
            .map(|one| (one.chart.as_str(), one.unit.as_str(), one.values.clone()))
            .collect();
        assert_eq!(
            shown,
            [
                ("throughput", "per_second", vec![Some(2.0), None]),
                ("backlog", "count", vec![Some(7.0), Some(0.0)]),
            ]
        );
        assert!(view.not_read[0].contains("Metrics=all"));
        assert!(charts(&history, true).not_read.is_empty());
    }
}
