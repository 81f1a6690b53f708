//! Evaluates the template's alarms on this machine, for the runbook drills.
//!
//! The emulator's own alarms support neither dimensions nor metric math. So the alarms are parsed from the template and
//! evaluated here, by CloudWatch's rules, on recorded metrics. This module does no I/O; [`monitor`] collects metrics and
//! sets the states in the emulator.
//!
//! Two things differ from CloudWatch: periods are shorter, by [`TimeScale`], and they end at the time of the evaluation
//! instead of on the minute.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use onewrite_local::metrics::{Metric, Samples};
use serde_json::Value;

use crate::template::{Template, scalar};

pub mod monitor;

/// The number of CloudWatch's seconds in one second of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeScale(pub u32);

/// The shortest scaled period. It must contain several polls.
const SHORTEST_PERIOD: Duration = Duration::from_secs(2);

/// The longest scaled period. Without it, an hour, or a day for S3 metrics, would still take minutes.
const LONGEST_PERIOD: Duration = Duration::from_secs(60);

/// How late metrics are. In metric math, `FILL` replaces what is not there yet (CloudWatch user guide, "Using metric math": the
/// most recent minute never has data). Other alarms wait for the data.
const LATENESS: Duration = Duration::from_secs(60);

/// The alarm `Pending` goes off if, within an hour, more notifications were created than settled, by more than this number
/// and [`PENDING_PERCENT`] of the created ones: those that are just being processed, at a low and at a high rate.
pub const PENDING_COUNT: u32 = 100;
pub const PENDING_PERCENT: u32 = 1;

/// The state of an alarm. "Insufficient data" is missing, because every alarm of the template treats missing data as not
/// breaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    Ok,
    Alarm,
}

/// An alarm. It goes off if the sum of its terms exceeds its threshold in enough of its periods.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// The name without the stack's prefix, such as `DeadLetters`.
    pub name: String,
    terms: Vec<Term>,
    /// Whether the terms are those of metric math, in which missing data is 0.
    is_filled: bool,
    period: Duration,
    periods: u32,
    /// The number of periods that must breach.
    breaches: usize,
    threshold: f64,
}

/// A metric, multiplied by a factor.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    factor: f64,
    metric: Metric,
    statistic: Statistic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Sum,
    Maximum,
    Minimum,
    Average,
}

impl Statistic {
    fn calculate(self, samples: &[f64]) -> Option<f64> {
        let sum = samples.iter().sum::<f64>();
        match self {
            _ if samples.is_empty() => None,
            Self::Sum => Some(sum),
            Self::Maximum => samples.iter().copied().reduce(f64::max),
            Self::Minimum => samples.iter().copied().reduce(f64::min),
            Self::Average => Some(sum / samples.len() as f64),
        }
    }
}

impl Alarm {
    /// Parses the template's alarms. `parameter` returns the value of a parameter.
    ///
    /// # Errors
    /// The form of an alarm is not supported.
    pub fn read_all(
        template: &Template,
        parameter: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>> {
        template
            .resources("AWS::CloudWatch::Alarm")
            .map(|(resource, alarm)| {
                Self::read(resource, &alarm["Properties"], parameter)
                    .with_context(|| format!("the form of {resource} is not supported"))
            })
            .collect()
    }

    fn read(
        resource: &str,
        properties: &Value,
        parameter: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let is_supported = properties["ComparisonOperator"] == "GreaterThanThreshold"
            && properties["TreatMissingData"] == "notBreaching";
        let metrics = properties["Metrics"].as_array();
        let (terms, period) = match metrics {
            None => {
                let term = term(1.0, properties, &properties["Statistic"])?;
                (vec![term], properties["Period"].as_u64()?)
            }
            Some(metrics) => parse_metric_math(metrics)?,
        };
        let threshold = threshold(&properties["Threshold"], parameter)?;
        let periods = properties["EvaluationPeriods"].as_u64()?;
        let breaches = match &properties["DatapointsToAlarm"] {
            Value::Null => periods,
            number => number.as_u64()?,
        };
        is_supported.then_some(Self {
            name: resource.strip_suffix("Alarm")?.to_owned(),
            terms,
            is_filled: metrics.is_some(),
            period: Duration::from_secs(period),
            periods: u32::try_from(periods).ok()?,
            breaches: usize::try_from(breaches).ok()?,
            threshold: threshold.parse().ok()?,
        })
    }

    /// Evaluates the alarm at `now` (CloudWatch user guide, "Alarm evaluation"). `DatapointsToAlarm` of the evaluated periods
    /// must breach, or all of them without that property. A period without data does not breach.
    #[must_use]
    pub fn state(
        &self,
        samples: &Samples,
        now: Instant,
        TimeScale(scale): TimeScale,
    ) -> AlarmState {
        let period = match scale {
            0 | 1 => self.period,
            _ => (self.period / scale).clamp(SHORTEST_PERIOD, LONGEST_PERIOD),
        };
        let newest = u32::from(self.is_filled && self.period <= LATENESS);
        let is_breached = |number: u32| {
            let (Some(from), Some(to)) = (
                now.checked_sub(period * (number + 1)),
                now.checked_sub(period * number),
            ) else {
                return false;
            };
            self.value(samples, from, to)
                .is_some_and(|value| value > self.threshold)
        };
        // What `FILL` yields for the newest period, 0, never exceeds the threshold of an alarm.
        if (newest..self.periods)
            .filter(|number| is_breached(*number))
            .count()
            >= self.breaches
        {
            AlarmState::Alarm
        } else {
            AlarmState::Ok
        }
    }

    /// The sum of the terms that have data. `None` if no term has data.
    fn value(&self, samples: &Samples, from: Instant, to: Instant) -> Option<f64> {
        let terms = self.terms.iter().filter_map(|term| {
            let value = term
                .statistic
                .calculate(&samples.between(&term.metric, from, to))?;
            Some(term.factor * value)
        });
        terms.reduce(|sum, value| sum + value)
    }
}

fn term(factor: f64, metric: &Value, statistic: &Value) -> Option<Term> {
    let dimensions = metric["Dimensions"].as_array()?.iter().map(|dimension| {
        Some((
            dimension["Name"].as_str()?,
            dimension_value(&dimension["Value"])?,
        ))
    });
    let dimensions: Vec<(&str, &str)> = dimensions.collect::<Option<_>>()?;
    Some(Term {
        factor,
        metric: Metric::new(
            metric["Namespace"].as_str()?,
            metric["MetricName"].as_str()?,
            &dimensions,
        ),
        statistic: match statistic.as_str()? {
            "Sum" => Statistic::Sum,
            "Maximum" => Statistic::Maximum,
            "Minimum" => Statistic::Minimum,
            "Average" => Statistic::Average,
            _ => return None,
        },
    })
}

/// A threshold: a number, a parameter, or `!Sub "${PARAMETER}DIGITS"`.
fn threshold(value: &Value, parameter: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(text) = value["Fn::Sub"].as_str() {
        let (name, digits) = text.strip_prefix("${")?.split_once('}')?;
        return Some(parameter(name)? + digits);
    }
    match value["Ref"].as_str() {
        Some(name) => parameter(name),
        None => scalar(value),
    }
}

/// A dimension's value as in [`Metric`]: text, or the logical id of the referenced resource. A choice is the one of a pipeline with
/// a downstream.
fn dimension_value(dimension: &Value) -> Option<&str> {
    if let Some(value) = dimension["Fn::If"].get(1) {
        return dimension_value(value);
    }
    let attribute = || dimension["Fn::GetAtt"].as_str()?.split('.').next();
    dimension
        .as_str()
        .or_else(|| dimension["Ref"].as_str())
        .or_else(attribute)
}

/// Parses metric math of the form `0.9 * FILL(a, 0) + FILL(b, 0) - FILL(c, 0)`, the only one in the template. Also returns
/// the period in seconds.
fn parse_metric_math(metrics: &[Value]) -> Option<(Vec<Term>, u64)> {
    let expression = metrics
        .iter()
        .find_map(|metric| metric["Expression"].as_str())?;
    let (mut terms, mut period) = (Vec::new(), None);
    let signed = format!("+ {expression}");
    for summand in signed.split_inclusive(')') {
        let (factor, id) = summand.trim().split_once(" FILL(")?;
        let (sign, factor) = factor.split_once(' ').unwrap_or((factor, "1 *"));
        let factor: f64 = factor.strip_suffix(" *")?.parse().ok()?;
        let factor = match sign {
            "+" => factor,
            "-" => -factor,
            _ => return None,
        };
        let id = id.strip_suffix(", 0)")?;
        let stat = &metrics.iter().find(|metric| metric["Id"] == id)?["MetricStat"];
        terms.push(term(factor, &stat["Metric"], &stat["Stat"])?);
        period = Some(stat["Period"].as_u64()?);
    }
    Some((terms, period?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::template;

    const UNSCALED: TimeScale = TimeScale(1);

    fn read(properties: &str) -> Option<Alarm> {
        let text = format!(
            "Resources:\n  AAlarm:\n    Type: AWS::CloudWatch::Alarm\n    Properties: {properties}\n"
        );
        let template = Template::parse(&text).unwrap();
        let alarms = Alarm::read_all(&template, &|name| (name == "Limit").then(|| "5".to_owned()));
        alarms.ok()?.pop()
    }

    const SIMPLE: &str = concat!(
        "{Namespace: n, MetricName: m, Dimensions: [{Name: F, Value: !Ref IngestFunction}, {Name: Q, Value: !GetAtt Queue.Arn}], ",
        "Statistic: Maximum, Period: 60, EvaluationPeriods: 2, ComparisonOperator: GreaterThanThreshold, Threshold: !Ref Limit, ",
        "TreatMissingData: notBreaching}",
    );

    const METRIC_MATH: &str = concat!(
        "{Metrics: [{Id: all, Expression: \"FILL(a, 0) - FILL(b, 0)\"}, ",
        "{Id: a, MetricStat: {Metric: {Namespace: n, MetricName: a, Dimensions: []}, Stat: Sum, Period: 70}}, ",
        "{Id: b, MetricStat: {Metric: {Namespace: n, MetricName: b, Dimensions: []}, Stat: Sum, Period: 70}}], ",
        "EvaluationPeriods: 1, ComparisonOperator: GreaterThanThreshold, Threshold: 0, TreatMissingData: notBreaching}",
    );

    #[test]
    fn goes_off_when_every_period_breaches_and_missing_data_does_not() {
        let alarm = read(SIMPLE).unwrap();
        let metric = Metric::new("n", "m", &[("F", "IngestFunction"), ("Q", "Queue")]);
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |seconds| alarm.state(&samples, at(seconds), UNSCALED);
        assert_eq!(state(200), AlarmState::Ok);
        samples.record(metric.clone(), at(100), 5.5);
        assert_eq!(state(200), AlarmState::Ok, "one of two periods");
        samples.record(metric.clone(), at(170), 6.0);
        assert_eq!(state(200), AlarmState::Alarm);
        samples.record(metric.clone(), at(171), 4.0);
        assert_eq!(
            state(200),
            AlarmState::Alarm,
            "the maximum of a period counts"
        );
        assert_eq!(state(240), AlarmState::Ok, "the breach is over");
        samples.record(metric, at(235), 5.0);
        assert_eq!(state(240), AlarmState::Ok, "equal to the threshold");
    }

    #[test]
    fn goes_off_when_enough_periods_breach() {
        let one_of_two = SIMPLE.replace("Periods: 2", "Periods: 2, DatapointsToAlarm: 1");
        let alarm = read(&one_of_two).unwrap();
        let metric = Metric::new("n", "m", &[("F", "IngestFunction"), ("Q", "Queue")]);
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |seconds| alarm.state(&samples, at(seconds), UNSCALED);
        assert_eq!(state(200), AlarmState::Ok);
        samples.record(metric, at(100), 6.0);
        assert_eq!(state(200), AlarmState::Alarm, "one of two periods");
        assert_eq!(state(221), AlarmState::Ok, "the breach is over");
    }

    #[test]
    fn reads_thresholds_in_milliseconds_and_dimensions_of_a_downstream() {
        let text = SIMPLE
            .replace("!Ref Limit", "!Sub \"${Limit}000\"")
            .replace(
                "!Ref IngestFunction",
                "!If [HasDownstream, !Ref Mapping, none]",
            );
        let (alarm, plain) = (read(&text).unwrap(), read(SIMPLE).unwrap());
        assert_eq!(alarm.threshold, 1_000.0 * plain.threshold);
        let metric = Metric::new("n", "m", &[("F", "Mapping"), ("Q", "Queue")]);
        assert_eq!(alarm.terms[0].metric, metric);
        let unknown = SIMPLE.replace("!Ref Limit", "!Sub \"${Other}000\"");
        assert_eq!(read(&unknown), None);
    }

    #[test]
    fn treats_missing_data_as_zero_in_metric_math() {
        let alarm = read(METRIC_MATH).unwrap();
        let metric = |name| Metric::new("n", name, &[]);
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |seconds| alarm.state(&samples, at(seconds), UNSCALED);
        samples.record(metric("b"), at(70), 3.0);
        assert_eq!(state(100), AlarmState::Ok, "negative sum");
        samples.record(metric("a"), at(75), 2.0);
        samples.record(metric("a"), at(80), 2.0);
        assert_eq!(state(100), AlarmState::Alarm);
        assert_eq!(state(143), AlarmState::Alarm, "b is outside the period");
        samples.record(metric("b"), at(100), 1.0);
        assert_eq!(state(101), AlarmState::Ok, "sum of zero");
    }

    #[test]
    fn multiplies_by_the_factor_in_metric_math() {
        let text = METRIC_MATH.replace("FILL(a, 0) -", "0.5 * FILL(a, 0) -");
        let alarm = read(&text).unwrap();
        let metric = |name| Metric::new("n", name, &[]);
        let (samples, start) = (Samples::default(), Instant::now());
        let at = start + Duration::from_secs(100);
        samples.record(metric("b"), at, 1.0);
        samples.record(metric("a"), at, 2.0);
        assert_eq!(alarm.state(&samples, at, UNSCALED), AlarmState::Ok);
        samples.record(metric("a"), at, 1.0);
        assert_eq!(alarm.state(&samples, at, UNSCALED), AlarmState::Alarm);
    }

    #[test]
    fn newest_minute_has_no_data_in_metric_math() {
        let per_minute = METRIC_MATH.replace("Period: 70", "Period: 60");
        let every_period = per_minute.replace("Periods: 1", "Periods: 3");
        let enough = per_minute.replace("Periods: 1", "Periods: 4, DatapointsToAlarm: 3");
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [10, 70, 130, 190, 250, 310] {
            samples.record(Metric::new("n", "a", &[]), at(seconds), 1.0);
        }
        let state = |text: &str| read(text).unwrap().state(&samples, at(311), UNSCALED);
        assert_eq!(state(&every_period), AlarmState::Ok, "it can never go off");
        assert_eq!(state(&enough), AlarmState::Alarm);
    }

    #[test]
    fn scales_periods() {
        let alarm = read(METRIC_MATH).unwrap();
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        samples.record(Metric::new("n", "a", &[]), at(10), 1.0);
        assert_eq!(
            alarm.state(&samples, at(15), TimeScale(10)),
            AlarmState::Alarm
        );
        assert_eq!(alarm.state(&samples, at(17), TimeScale(10)), AlarmState::Ok);
        let shortest = alarm.state(&samples, at(11), TimeScale(1_000_000));
        assert_eq!(shortest, AlarmState::Alarm);
    }

    #[test]
    fn rejects_unsupported_forms() {
        for (from, to) in [
            ("GreaterThanThreshold", "LessThanThreshold"),
            ("notBreaching", "missing"),
            ("Maximum", "p99"),
            ("!Ref Limit", "!Ref Nothing"),
        ] {
            assert!(read(&SIMPLE.replace(from, to)).is_none(), "{to}");
        }
        for other in [
            "FILL(a, 1)",
            "RATE(a)",
            "FILL(a, 0) * FILL(b, 0)",
            "FILL(c, 0)",
        ] {
            let text = METRIC_MATH.replace("FILL(a, 0) - FILL(b, 0)", other);
            assert!(read(&text).is_none(), "{other}");
        }
    }

    #[test]
    fn supports_every_alarm_of_the_template() {
        let template = template().unwrap();
        let alarms = Alarm::read_all(&template, &|name| template.default(name)).unwrap();
        assert_eq!(
            alarms.len(),
            template.resources("AWS::CloudWatch::Alarm").count()
        );
    }
}
