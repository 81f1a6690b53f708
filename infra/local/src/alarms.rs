//! The alarms of the template, on this machine: read from it, judged by CloudWatch's rules over what the stack's parts
//! tell, and set in the emulator, whose own alarms know neither dimensions nor metric math.
//!
//! Here is the pure part: what an alarm is, and its state at a moment. [`watch`] collects and sets.
//!
//! Two things differ from CloudWatch. Periods are shorter, by [`TimeScale`], and end at the moment of the look instead of
//! on the clock's minute.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{LocalError, Result};
use crate::metrics::{Metric, Samples};
use crate::template::{Template, scalar};

pub mod watch;

/// How many of CloudWatch's seconds are one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeScale(pub u32);

/// No period is shorter: what is polled is polled several times in it.
const SHORTEST: Duration = Duration::from_secs(2);

/// No scaled period is longer: an hour, or S3's day, would still be minutes.
const LONGEST: Duration = Duration::from_secs(30);

/// The states of an alarm, but for "insufficient data": every alarm of the template takes silence for health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Ok,
    /// It has gone off.
    Alarm,
}

/// One alarm: it goes off when in each of its periods the sum of its terms is above its threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its name, but for the stack's before it: `DeadLetters`.
    pub name: String,
    terms: Vec<Term>,
    period: Duration,
    periods: u32,
    threshold: f64,
}

/// A metric that is added, or with a minus subtracted.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    sign: f64,
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
    fn of(self, samples: &[f64]) -> Option<f64> {
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
    /// The template's alarms. `parameter` says what a parameter's value is.
    ///
    /// # Errors
    /// [`LocalError::Deployed`] where one has a form that is not judged here.
    pub fn all(
        template: &Template,
        parameter: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Self>> {
        template
            .resources("AWS::CloudWatch::Alarm")
            .map(|(resource, alarm)| {
                Self::read(resource, &alarm["Properties"], parameter).ok_or_else(|| {
                    LocalError::Deployed(format!("{resource} has a form that is not judged here"))
                })
            })
            .collect()
    }

    fn read(
        resource: &str,
        properties: &Value,
        parameter: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let is_judged = properties["ComparisonOperator"] == "GreaterThanThreshold"
            && properties["TreatMissingData"] == "notBreaching";
        let (terms, period) = match properties["Metrics"].as_array() {
            None => {
                let term = term(1.0, properties, &properties["Statistic"])?;
                (vec![term], properties["Period"].as_u64()?)
            }
            Some(metrics) => computed(metrics)?,
        };
        let threshold = match &properties["Threshold"] {
            reference @ Value::Object(_) => parameter(reference["Ref"].as_str()?)?,
            number => scalar(number)?,
        };
        is_judged.then_some(Self {
            name: resource.strip_suffix("Alarm")?.to_owned(),
            terms,
            period: Duration::from_secs(period),
            periods: u32::try_from(properties["EvaluationPeriods"].as_u64()?).ok()?,
            threshold: threshold.parse().ok()?,
        })
    }

    /// Its state at this moment (CloudWatch user guide, "Alarm evaluation": as many periods as are evaluated have to
    /// breach, since the template names no fewer; a period without data does not breach).
    #[must_use]
    pub fn state(&self, samples: &Samples, now: Instant, TimeScale(scale): TimeScale) -> State {
        let period = match scale {
            0 | 1 => self.period,
            _ => (self.period / scale).clamp(SHORTEST, LONGEST),
        };
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
        if (0..self.periods).all(is_breached) {
            State::Alarm
        } else {
            State::Ok
        }
    }

    /// The sum of the terms that have data; none where none has.
    fn value(&self, samples: &Samples, from: Instant, to: Instant) -> Option<f64> {
        let terms = self.terms.iter().filter_map(|term| {
            let value = term
                .statistic
                .of(&samples.between(&term.metric, from, to))?;
            Some(term.sign * value)
        });
        terms.reduce(|sum, value| sum + value)
    }
}

fn term(sign: f64, metric: &Value, statistic: &Value) -> Option<Term> {
    let dimensions = metric["Dimensions"]
        .as_array()?
        .iter()
        .map(|dimension| Some((dimension["Name"].as_str()?, value(&dimension["Value"])?)));
    let dimensions: Vec<(&str, &str)> = dimensions.collect::<Option<_>>()?;
    Some(Term {
        sign,
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

/// A dimension's value as [`Metric`] has it: a text, or the resource that is referred to.
fn value(dimension: &Value) -> Option<&str> {
    let attribute = || dimension["Fn::GetAtt"].as_str()?.split('.').next();
    dimension
        .as_str()
        .or_else(|| dimension["Ref"].as_str())
        .or_else(attribute)
}

/// Metric math of the one form that the template has, `FILL(a, 0) + FILL(b, 0) - FILL(c, 0)`, and its period in seconds.
fn computed(metrics: &[Value]) -> Option<(Vec<Term>, u64)> {
    let expression = metrics
        .iter()
        .find_map(|metric| metric["Expression"].as_str())?;
    let (mut terms, mut period) = (Vec::new(), None);
    let signed = format!("+ {expression}");
    for summand in signed.split_inclusive(')') {
        let (sign, id) = summand.trim().split_once(" FILL(")?;
        let sign = match sign {
            "+" => 1.0,
            "-" => -1.0,
            _ => return None,
        };
        let id = id.strip_suffix(", 0)")?;
        let stat = &metrics.iter().find(|metric| metric["Id"] == id)?["MetricStat"];
        terms.push(term(sign, &stat["Metric"], &stat["Stat"])?);
        period = Some(stat["Period"].as_u64()?);
    }
    Some((terms, period?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    const ONE: TimeScale = TimeScale(1);

    fn read(properties: &str) -> Option<Alarm> {
        let text = format!(
            "Resources:\n  AAlarm:\n    Type: AWS::CloudWatch::Alarm\n    Properties: {properties}\n"
        );
        let template = Template::parse(&text).unwrap();
        let alarms = Alarm::all(&template, &|name| (name == "Limit").then(|| "5".to_owned()));
        alarms.ok()?.pop()
    }

    const SIMPLE: &str = concat!(
        "{Namespace: n, MetricName: m, Dimensions: [{Name: F, Value: !Ref IngestFunction}, {Name: Q, Value: !GetAtt Queue.Arn}], ",
        "Statistic: Maximum, Period: 60, EvaluationPeriods: 2, ComparisonOperator: GreaterThanThreshold, Threshold: !Ref Limit, ",
        "TreatMissingData: notBreaching}",
    );

    const COMPUTED: &str = concat!(
        "{Metrics: [{Id: all, Expression: \"FILL(a, 0) - FILL(b, 0)\"}, ",
        "{Id: a, MetricStat: {Metric: {Namespace: n, MetricName: a, Dimensions: []}, Stat: Sum, Period: 60}}, ",
        "{Id: b, MetricStat: {Metric: {Namespace: n, MetricName: b, Dimensions: []}, Stat: Sum, Period: 60}}], ",
        "EvaluationPeriods: 1, ComparisonOperator: GreaterThanThreshold, Threshold: 0, TreatMissingData: notBreaching}",
    );

    #[test]
    fn an_alarm_goes_off_when_every_period_breaches_and_silence_is_health() {
        let alarm = read(SIMPLE).unwrap();
        let metric = Metric::new("n", "m", &[("F", "IngestFunction"), ("Q", "Queue")]);
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |seconds| alarm.state(&samples, at(seconds), ONE);
        assert_eq!(state(200), State::Ok);
        samples.record(metric.clone(), at(100), 5.5);
        assert_eq!(state(200), State::Ok, "one of two periods");
        samples.record(metric.clone(), at(170), 6.0);
        assert_eq!(state(200), State::Alarm);
        samples.record(metric.clone(), at(171), 4.0);
        assert_eq!(state(200), State::Alarm, "the greatest of a period counts");
        assert_eq!(state(240), State::Ok, "it has ended");
        samples.record(metric, at(235), 5.0);
        assert_eq!(state(240), State::Ok, "at the threshold is not above it");
    }

    #[test]
    fn what_is_computed_takes_what_is_missing_for_nothing() {
        let alarm = read(COMPUTED).unwrap();
        let metric = |name| Metric::new("n", name, &[]);
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |seconds| alarm.state(&samples, at(seconds), ONE);
        samples.record(metric("b"), at(70), 3.0);
        assert_eq!(state(100), State::Ok, "less than nothing");
        samples.record(metric("a"), at(75), 2.0);
        samples.record(metric("a"), at(80), 2.0);
        assert_eq!(state(100), State::Alarm);
        assert_eq!(state(133), State::Alarm, "the other is out of sight");
        samples.record(metric("b"), at(100), 1.0);
        assert_eq!(state(101), State::Ok, "as much as there was");
    }

    #[test]
    fn minutes_are_seconds_where_time_is_scaled() {
        let alarm = read(COMPUTED).unwrap();
        let (samples, start) = (Samples::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        samples.record(Metric::new("n", "a", &[]), at(10), 1.0);
        assert_eq!(alarm.state(&samples, at(15), TimeScale(10)), State::Alarm);
        assert_eq!(alarm.state(&samples, at(16), TimeScale(10)), State::Ok);
        let never_none = alarm.state(&samples, at(11), TimeScale(1_000_000));
        assert_eq!(never_none, State::Alarm);
    }

    #[test]
    fn a_form_that_is_not_judged_is_refused() {
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
            let text = COMPUTED.replace("FILL(a, 0) - FILL(b, 0)", other);
            assert!(read(&text).is_none(), "{other}");
        }
    }

    #[test]
    fn every_alarm_of_the_template_is_judged_here() {
        let template = Template::of_workspace(&Workspace::here()).unwrap();
        let alarms = Alarm::all(&template, &|name| template.default(name)).unwrap();
        assert_eq!(
            alarms.len(),
            template.resources("AWS::CloudWatch::Alarm").count()
        );
    }
}
