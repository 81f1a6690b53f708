//! What Lambda tells CloudWatch of functions and event source mappings (Lambda developer guide, "Types of metrics for
//! Lambda functions"), as far as alarms watch it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use onewrite_event_sources::outcome::Outcome;
use serde_json::Value;

use super::invoker::{Function, Invoked, Invoker};
use crate::metrics::{Metric, Samples};
use crate::stack::StackOutputs;

/// Records of the functions of one stack.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    samples: Samples,
    /// The name in the template, `Ingest`, by the deployed name.
    names: BTreeMap<String, &'static str>,
}

impl Meter {
    /// Keeps what it is told in `samples`.
    #[must_use]
    pub fn new(outputs: &StackOutputs, samples: Samples) -> Self {
        let names = [
            (&outputs.ingest, "Ingest"),
            (&outputs.forward, "Forward"),
            (&outputs.complete, "Complete"),
        ];
        Self {
            samples,
            names: names.map(|(name, stem)| (name.clone(), stem)).into(),
        }
    }

    /// Around an invoker.
    pub(super) fn around(&self, inner: Arc<dyn Invoker>) -> Arc<dyn Invoker> {
        let meter = self.clone();
        Arc::new(Metered { inner, meter })
    }

    /// A batch of a stream was given up; `delivered` says whether its failure destination has it.
    pub(super) fn given_up(&self, function: &str, records: usize, delivered: bool) {
        let name = if delivered {
            "OnFailureDestinationDeliveredEventCount"
        } else {
            "DroppedEventCount"
        };
        let dimension = ("EventSourceMappingUUID", "EventSource");
        self.record(function, name, dimension, records as f64);
    }

    fn of_function(&self, function: &str, name: &str, value: f64) {
        self.record(function, name, ("FunctionName", "Function"), value);
    }

    fn record(&self, function: &str, name: &str, (dimension, kind): (&str, &str), value: f64) {
        // A function that is none of the template's has no alarm.
        if let Some(stem) = self.names.get(function) {
            let logical = format!("{stem}{kind}");
            let metric = Metric::new("AWS/Lambda", name, &[(dimension, &logical)]);
            self.samples.record(metric, Instant::now(), value);
        }
    }
}

struct Metered {
    inner: Arc<dyn Invoker>,
    meter: Meter,
}

#[async_trait]
impl Invoker for Metered {
    async fn invoke(&self, function: &Function, payload: String) -> Invoked {
        if let Some(age) = iterator_age(&payload, SystemTime::now()) {
            self.meter.of_function(&function.name, "IteratorAge", age);
        }
        let invoked = self.inner.invoke(function, payload).await;
        let (errors, throttles) = match &invoked.outcome {
            Outcome::Response(_) => (0.0, 0.0),
            Outcome::FunctionError(_) => (1.0, 0.0),
            Outcome::Throttled => (0.0, 1.0),
            // The code did not run, and nobody was refused for want of concurrency.
            Outcome::InvocationError(_) => return invoked,
        };
        self.meter.of_function(&function.name, "Errors", errors);
        let name = "Throttles";
        self.meter.of_function(&function.name, name, throttles);
        invoked
    }
}

/// How old the last record of a stream's batch is, in milliseconds; none for a queue's.
fn iterator_age(payload: &str, now: SystemTime) -> Option<f64> {
    let event: Value = serde_json::from_str(payload).ok()?;
    let last = event["Records"].as_array()?.last()?;
    let arrived = last
        .pointer("/kinesis/approximateArrivalTimestamp")
        .or_else(|| last.pointer("/dynamodb/ApproximateCreationDateTime"))?
        .as_f64()?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((now.as_secs_f64() - arrived).max(0.0) * 1_000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_age_of_a_batch_is_that_of_its_last_record() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(10_500);
        for (payload, age) in [
            (r#"{"Records": [{"body": "x"}]}"#, None),
            (r#"{"Records": []}"#, None),
            (
                r#"{"Records": [{"dynamodb": {"ApproximateCreationDateTime": 10}}]}"#,
                Some(500.0),
            ),
            (
                r#"{"Records": [{"kinesis": {"approximateArrivalTimestamp": 1.0}}, {"kinesis": {"approximateArrivalTimestamp": 8.5}}]}"#,
                Some(2_000.0),
            ),
            (
                r#"{"Records": [{"kinesis": {"approximateArrivalTimestamp": 11.0}}]}"#,
                Some(0.0),
            ),
        ] {
            assert_eq!(iterator_age(payload, now), age, "{payload}");
        }
    }
}
