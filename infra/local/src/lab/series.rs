//! Counts and latencies of the last hour, in periods of five seconds. The memory is bounded.

use std::collections::VecDeque;

use jiff::Timestamp;
use onewrite_console::view::{Charts, Series as Line};
use onewrite_event_sources::Millis;

/// The length of a period.
const PERIOD: Millis = 5_000;

/// The periods of an hour.
const PERIODS: usize = 720;

/// The periods over which a rate is averaged: a minute.
const RATE_PERIODS: usize = 12;

/// Latencies that a period keeps. Further ones replace others at random, so that percentiles stay representative.
const SAMPLES: usize = 512;

/// Something that is counted in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A message was acknowledged.
    Acknowledged,
    /// A message was received for the first time.
    Received,
    /// A message went to `ingest`.
    Ingested,
    /// An item was created.
    Created,
    /// A notification was settled.
    Settled,
    /// A change went to `forward`.
    Forwarded,
    /// A record was read from the stream of notifications.
    Published,
    /// An event went to `complete`.
    Completed,
}

const EVENTS: usize = Event::Completed as usize + 1;

/// A time that something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Latency {
    QueueToStored,
    StoredToDone,
}

/// The percentiles of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

/// Latencies of one period, in milliseconds.
#[derive(Debug, Default)]
struct Samples {
    kept: Vec<u32>,
    seen: usize,
}

impl Samples {
    fn add(&mut self, millis: u32) {
        self.seen += 1;
        if self.kept.len() < SAMPLES {
            self.kept.push(millis);
        } else {
            let place = rand::random_range(0..self.seen);
            if let Some(kept) = self.kept.get_mut(place) {
                *kept = millis;
            }
        }
    }

    fn percentiles(mut self) -> Option<Percentiles> {
        self.kept.sort_unstable();
        let at = |part: usize| {
            let last = self.kept.len().checked_sub(1)?;
            self.kept.get((last * part).div_ceil(100)).copied()
        };
        Some(Percentiles {
            p50: at(50)?.into(),
            p99: at(99)?.into(),
        })
    }
}

#[derive(Debug, Default)]
struct Period {
    counts: [u64; EVENTS],
    latencies: [Option<Percentiles>; 2],
    /// Messages in the queue, and items in INIT, when they were last read.
    backlog: Option<(u64, u64)>,
}

/// The periods of the last hour. The newest one is open.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The number of the open period since 1970.
    open: u64,
    /// Oldest first.
    closed: VecDeque<Period>,
    current: Period,
    samples: [Samples; 2],
    totals: [u64; EVENTS],
    has_begun: bool,
}

impl Series {
    pub(super) fn count(&mut self, now: Millis, event: Event, count: u64) {
        self.advance(now);
        self.current.counts[event as usize] += count;
        self.totals[event as usize] += count;
    }

    /// The events since the start.
    pub(super) fn total(&self, event: Event) -> u64 {
        self.totals[event as usize]
    }

    pub(super) fn measure(&mut self, now: Millis, latency: Latency, millis: Millis) {
        self.advance(now);
        let millis = u32::try_from(millis).unwrap_or(u32::MAX);
        self.samples[latency as usize].add(millis);
    }

    pub(super) fn backlog(&mut self, now: Millis, queue: u64, init: u64) {
        self.advance(now);
        self.current.backlog = Some((queue, init));
    }

    /// Closes the periods that ended before `now`.
    fn advance(&mut self, now: Millis) {
        let number = now / PERIOD;
        if !self.has_begun {
            (self.open, self.has_begun) = (number, true);
        }
        let ended = usize::try_from(number.saturating_sub(self.open)).unwrap_or(usize::MAX);
        for _ in 0..ended.min(PERIODS + 1) {
            let mut period = std::mem::take(&mut self.current);
            period.latencies = std::mem::take(&mut self.samples).map(Samples::percentiles);
            self.closed.push_back(period);
        }
        let surplus = self.closed.len().saturating_sub(PERIODS);
        self.closed.drain(..surplus);
        self.open = self.open.max(number);
    }

    /// The events per second over the last minute.
    pub(super) fn rate(&mut self, now: Millis, event: Event) -> f64 {
        self.advance(now);
        let newest = self.closed.iter().rev().take(RATE_PERIODS);
        let periods = newest.len() as u64;
        let counts = newest.map(|period| period.counts[event as usize]);
        let total = counts.sum::<u64>() + self.current.counts[event as usize];
        let millis = periods * PERIOD + now % PERIOD;
        total as f64 * 1_000.0 / millis.max(PERIOD) as f64
    }

    /// The closed periods.
    pub(super) fn charts(&mut self, now: Millis) -> Charts {
        self.advance(now);
        let first = self.open.saturating_sub(self.closed.len() as u64);
        let times = (first..self.open).map(|number| rfc3339(number * PERIOD));
        let line =
            |chart: &str, name: &str, unit: &str, value: &dyn Fn(&Period) -> Option<f64>| Line {
                chart: chart.to_owned(),
                name: name.to_owned(),
                unit: unit.to_owned(),
                values: self.closed.iter().map(value).collect(),
            };
        let rate = |event: Event| {
            move |period: &Period| {
                Some(period.counts[event as usize] as f64 * 1_000.0 / PERIOD as f64)
            }
        };
        let latency = |latency: Latency, of: fn(Percentiles) -> f64| {
            move |period: &Period| period.latencies[latency as usize].map(of)
        };
        let p50 = |percentiles: Percentiles| percentiles.p50;
        let p99 = |percentiles: Percentiles| percentiles.p99;
        let (stored, done) = (Latency::QueueToStored, Latency::StoredToDone);
        let series = vec![
            line(
                "throughput",
                "acknowledged",
                "per_second",
                &rate(Event::Acknowledged),
            ),
            line("throughput", "created", "per_second", &rate(Event::Created)),
            line("throughput", "settled", "per_second", &rate(Event::Settled)),
            line(
                "queue_to_stored",
                "p50",
                "milliseconds",
                &latency(stored, p50),
            ),
            line(
                "queue_to_stored",
                "p99",
                "milliseconds",
                &latency(stored, p99),
            ),
            line("stored_to_done", "p50", "milliseconds", &latency(done, p50)),
            line("stored_to_done", "p99", "milliseconds", &latency(done, p99)),
            line("backlog", "queue", "count", &|period| {
                period.backlog.map(|(queue, _)| queue as f64)
            }),
            line("backlog", "in INIT", "count", &|period| {
                period.backlog.map(|(_, init)| init as f64)
            }),
        ];
        Charts {
            period_seconds: u32::try_from(PERIOD / 1_000).unwrap_or(u32::MAX),
            times: times.collect(),
            series,
            not_read: Vec::new(),
        }
    }
}

/// A time in RFC 3339.
pub(super) fn rfc3339(millis: Millis) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(charts: &Charts, chart: &str, name: &str) -> Vec<Option<f64>> {
        let mut lines = charts.series.iter();
        let line = lines.find(|line| line.chart == chart && line.name == name);
        line.unwrap().values.clone()
    }

    #[test]
    fn counts_and_measures_by_period() {
        let mut series = Series::default();
        let start = 1_000 * PERIOD;
        series.count(start, Event::Created, 5);
        for millis in 1..=100 {
            series.measure(start, Latency::QueueToStored, millis);
        }
        series.backlog(start, 7, 2);
        series.count(start + 2 * PERIOD, Event::Created, 10);
        let charts = series.charts(start + 3 * PERIOD);
        assert_eq!(charts.times.len(), 3);
        assert_eq!(charts.times[1], rfc3339(start + PERIOD));
        let created = values(&charts, "throughput", "created");
        assert_eq!(created, [Some(1.0), Some(0.0), Some(2.0)]);
        let p50 = values(&charts, "queue_to_stored", "p50");
        assert_eq!(p50, [Some(51.0), None, None]);
        let p99 = values(&charts, "queue_to_stored", "p99");
        assert_eq!(p99, [Some(100.0), None, None]);
        assert_eq!(values(&charts, "backlog", "queue"), [Some(7.0), None, None]);
        assert_eq!(values(&charts, "stored_to_done", "p50"), [None, None, None]);
    }

    #[test]
    fn keeps_an_hour_whatever_happens() {
        let mut series = Series::default();
        for number in 0..2_000 {
            series.count(number * PERIOD, Event::Created, 1);
            for millis in 0..3 * SAMPLES as u64 {
                if number == 1_999 {
                    series.measure(number * PERIOD, Latency::StoredToDone, millis);
                }
            }
        }
        let charts = series.charts(2_000 * PERIOD);
        assert_eq!(charts.times.len(), PERIODS);
        assert!(
            charts
                .series
                .iter()
                .all(|line| line.values.len() == PERIODS)
        );
        // After a week without an event, nothing of before is left.
        let charts = series.charts(200_000 * PERIOD);
        assert_eq!(charts.times.len(), PERIODS);
        let created = values(&charts, "throughput", "created");
        assert!(created.iter().all(|value| *value == Some(0.0)));
    }

    #[test]
    fn keeps_a_bounded_number_of_latencies() {
        let mut samples = Samples::default();
        (0..10_000).for_each(|millis| samples.add(millis));
        assert_eq!(samples.kept.len(), SAMPLES);
        assert!(samples.kept.iter().any(|millis| *millis > 5_000));
    }

    #[test]
    fn averages_a_rate_over_the_last_minute() {
        let mut series = Series::default();
        let start = 1_000 * PERIOD;
        series.count(start, Event::Acknowledged, 60);
        assert!((series.rate(start, Event::Acknowledged) - 12.0).abs() < 1e-9);
        assert!((series.rate(start + 30_000, Event::Acknowledged) - 2.0).abs() < 1e-9);
        assert!((series.rate(start + 70_000, Event::Acknowledged)).abs() < 1e-9);
    }
}
