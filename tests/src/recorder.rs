//! Keeps what every function was given and what it answered: the one place from which redelivery can be seen.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use onewrite_event_sources::outcome::Outcome;
use onewrite_local::{
    event_sources::{Function, Invoked, Invoker},
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
    /// How it ended.
    pub outcome: Outcome,
}

impl Invocation {
    /// The identifiers that the answer reports as failed.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        let Outcome::Response(text) = &self.outcome else {
            return Vec::new();
        };
        let answer: Value = serde_json::from_str(text).unwrap_or_default();
        let failures = answer["batchItemFailures"].as_array();
        failures
            .into_iter()
            .flatten()
            .filter_map(|failure| failure["itemIdentifier"].as_str())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// A text of each record, at a JSON pointer.
    #[must_use]
    pub fn texts(&self, pointer: &str) -> Vec<String> {
        let text = |record: &Value| Some(record.pointer(pointer)?.as_str()?.to_owned());
        self.records.iter().filter_map(text).collect()
    }
}

/// Everything so far, in the order in which the invocations ended.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Invocation>>>);

impl Recorder {
    /// Puts itself around a stack's invoker.
    #[must_use]
    pub fn decorator(&self) -> Decorator {
        let recorder = self.clone();
        Box::new(move |inner| Arc::new(Recording { inner, recorder }))
    }

    /// The invocations of a function.
    #[must_use]
    pub fn of(&self, function: &str) -> Vec<Invocation> {
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

struct Recording {
    inner: Arc<dyn Invoker>,
    recorder: Recorder,
}

#[async_trait]
impl Invoker for Recording {
    async fn invoke(&self, function: &Function, payload: String) -> Invoked {
        let at = SystemTime::now();
        let event: Value = serde_json::from_str(&payload).unwrap_or_default();
        let invoked = self.inner.invoke(function, payload).await;
        self.recorder.lock().push(Invocation {
            function: function.name.clone(),
            at,
            records: event["Records"].as_array().cloned().unwrap_or_default(),
            outcome: invoked.outcome.clone(),
        });
        invoked
    }
}
