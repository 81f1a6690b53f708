//! Records the event and the response of every invocation, which shows redelivery.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_local::{
    event_sources::{Function, InvocationResult, Invoker},
    stack::Decorator,
};
use serde_json::Value;

/// One invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The function's deployed name.
    pub function: String,
    /// When it was invoked.
    pub at: SystemTime,
    /// The event's records.
    pub records: Vec<Value>,
    /// The result.
    pub outcome: InvocationOutcome,
}

impl Invocation {
    /// The item identifiers that the response reports as batch item failures.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        let InvocationOutcome::Response(text) = &self.outcome else {
            return Vec::new();
        };
        let response: Value = serde_json::from_str(text).unwrap_or_default();
        let failures = response["batchItemFailures"].as_array();
        failures
            .into_iter()
            .flatten()
            .filter_map(|failure| failure["itemIdentifier"].as_str())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// The string at a JSON pointer in each record that has one.
    #[must_use]
    pub fn texts(&self, pointer: &str) -> Vec<String> {
        let text = |record: &Value| Some(record.pointer(pointer)?.as_str()?.to_owned());
        self.records.iter().filter_map(text).collect()
    }
}

/// All recorded invocations, in the order in which they ended.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Invocation>>>);

impl Recorder {
    /// A decorator that records all invocations by a stack's event sources.
    #[must_use]
    pub fn decorator(&self) -> Decorator {
        let recorder = self.clone();
        Box::new(move |inner| Arc::new(RecordingInvoker { inner, recorder }))
    }

    /// The invocations of a function.
    #[must_use]
    pub fn invocations(&self, function: &str) -> Vec<Invocation> {
        let all = self.lock();
        let of_function = all
            .iter()
            .filter(|invocation| invocation.function == function);
        of_function.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Invocation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct RecordingInvoker {
    inner: Arc<dyn Invoker>,
    recorder: Recorder,
}

#[async_trait]
impl Invoker for RecordingInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        let at = SystemTime::now();
        let event: Value = serde_json::from_str(&payload).unwrap_or_default();
        let result = self.inner.invoke(function, payload).await;
        self.recorder.lock().push(Invocation {
            function: function.name.clone(),
            at,
            records: event["Records"].as_array().cloned().unwrap_or_default(),
            outcome: result.outcome.clone(),
        });
        result
    }
}
