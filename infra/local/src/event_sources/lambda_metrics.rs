//! Records the metrics that Lambda publishes for functions and event source mappings (Lambda developer guide, "Types of
//! metrics for Lambda functions"), as far as the template's alarms use them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use onewrite_event_sources::invocation::InvocationOutcome;
use serde_json::Value;

use super::invoker::{Function, InvocationResult, Invoker};
use crate::metrics::{Metric, Samples};
use onewrite_stack::outputs::StackOutputs;

/// The metrics of one stack's functions.
#[derive(Debug, Clone, Default)]
pub struct LambdaMetrics {
    samples: Samples,
    /// The beginning of the logical ids in the template, such as `Ingest`, by deployed name.
    names: BTreeMap<String, &'static str>,
}

impl LambdaMetrics {
    /// Records to `samples`.
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

    /// Returns an invoker that records the metrics of `inner`.
    pub(super) fn wrap(&self, inner: Arc<dyn Invoker>) -> Arc<dyn Invoker> {
        let metrics = self.clone();
        Arc::new(MeasuringInvoker { inner, metrics })
    }

    /// Records that a stream's batch was discarded. `delivered`: whether its failure destination received it.
    pub(super) fn record_discarded_batch(&self, function: &str, records: usize, delivered: bool) {
        if delivered {
            let name = "OnFailureDestinationDeliveredEventCount";
            let dimension = ("EventSourceMappingUUID", "EventSource");
            self.record(function, name, dimension, records as f64);
        } else {
            self.record_for_function(function, "DestinationDeliveryFailures", records as f64);
        }
    }

    fn record_for_function(&self, function: &str, name: &str, value: f64) {
        self.record(function, name, ("FunctionName", "Function"), value);
    }

    fn record(&self, function: &str, name: &str, (dimension, kind): (&str, &str), value: f64) {
        // A function outside the template has no alarm.
        if let Some(stem) = self.names.get(function) {
            let logical_id = format!("{stem}{kind}");
            let metric = Metric::new("AWS/Lambda", name, &[(dimension, &logical_id)]);
            self.samples.record(metric, Instant::now(), value);
        }
    }
}

struct MeasuringInvoker {
    inner: Arc<dyn Invoker>,
    metrics: LambdaMetrics,
}

#[async_trait]
impl Invoker for MeasuringInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        if let Some(age) = iterator_age(&payload, SystemTime::now()) {
            self.metrics
                .record_for_function(&function.name, "IteratorAge", age);
        }
        let result = self.inner.invoke(function, payload).await;
        let (errors, throttles) = match &result.outcome {
            InvocationOutcome::Response(_) => (0.0, 0.0),
            InvocationOutcome::FunctionError(_) => (1.0, 0.0),
            InvocationOutcome::Throttled => (0.0, 1.0),
            // The code did not run, and the cause was not missing concurrency.
            InvocationOutcome::InvocationError(_) => return result,
        };
        self.metrics
            .record_for_function(&function.name, "Errors", errors);
        let name = "Throttles";
        self.metrics
            .record_for_function(&function.name, name, throttles);
        result
    }
}

/// The age of the last record of a stream's batch in milliseconds. `None` for a batch of a queue.
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
    fn uses_the_age_of_the_last_record_of_a_batch() {
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
