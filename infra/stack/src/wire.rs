//! For tests: a stack whose services answer below the real SDK, with recorded responses for each operation.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::{outputs::StackOutputs, stack::Stack};

/// The operations that were called, with their bodies.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<Mutex<Vec<(String, Value)>>>);

impl Sent {
    /// The bodies of all calls of an operation.
    #[must_use]
    pub fn bodies(&self, operation: &str) -> Vec<Value> {
        let sent = lock(&self.0);
        let bodies = sent.iter().filter(|(sent, _)| sent == operation);
        bodies.map(|(_, body)| body.clone()).collect()
    }

    /// The body of the first call of an operation; null if there was none.
    #[must_use]
    pub fn body(&self, operation: &str) -> Value {
        let mut bodies = self.bodies(operation).into_iter();
        bodies.next().unwrap_or_default()
    }

    /// Whether nothing was called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

#[derive(Clone, Debug)]
struct Wire {
    responses: Responses,
    sent: Sent,
}

/// The responses that are left, by operation. The last one is given for ever.
type Responses = Arc<Mutex<BTreeMap<String, VecDeque<Value>>>>;

impl Wire {
    fn response(&self, operation: &str) -> Value {
        let mut responses = lock(&self.responses);
        let left = responses.get_mut(operation);
        let next = left.and_then(|left| match left.len() {
            0 | 1 => left.front().cloned(),
            _ => left.pop_front(),
        });
        next.unwrap_or_else(|| json!({"__type": "NoResponse"}))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operation of a request: the target of the JSON protocols, otherwise method and path.
fn operation(request: &HttpRequest) -> String {
    match request.headers().get("x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => {
            let path = request.uri().split_once(".com").map(|(_, path)| path);
            format!("{} {}", request.method(), path.unwrap_or_default())
        }
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            // Other tasks run during a call.
            tokio::task::yield_now().await;
            let operation = operation(&request);
            let body = request.body().bytes().unwrap_or_default();
            let body = serde_json::from_slice(body).unwrap_or_default();
            let response = wire.response(&operation);
            lock(&wire.sent.0).push((operation, body));
            let is_error = response["__type"].is_string();
            let status = StatusCode::try_from(if is_error { 400_u16 } else { 200 })
                .map_err(|error| ConnectorError::user(error.into()))?;
            Ok(HttpResponse::new(
                status,
                SdkBody::from(response.to_string()),
            ))
        })
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A stack on AWS whose services give these responses, by operation; several of one operation in this order. One with
/// `__type` is an error, and so is the response to any other operation.
pub async fn stack(responses: &[(&str, Value)]) -> (Stack, Sent) {
    let sent = Sent::default();
    let mut queued = BTreeMap::<String, VecDeque<Value>>::new();
    for (name, body) in responses {
        let queue = queued.entry((*name).to_owned()).or_default();
        queue.push_back(body.clone());
    }
    let wire = Wire {
        responses: Arc::new(Mutex::new(queued)),
        sent: sent.clone(),
    };
    let config = aws_config::defaults(onewrite_aws::clients::behavior_version())
        .empty_test_environment()
        .region(aws_config::Region::from_static("us-east-1"))
        .test_credentials()
        .http_client(wire)
        .load()
        .await;
    let text = str::to_owned;
    let outputs = StackOutputs {
        queue_url: text("https://sqs.example.com/1/queue.fifo"),
        dead_letter_queue_url: text("https://sqs.example.com/1/dead-letters.fifo"),
        table: text("notifications"),
        stream: text("stream"),
        failure_bucket: text("failures"),
        ingest: text("ingest"),
        forward: text("forward"),
        complete: text("complete"),
        all: BTreeMap::new(),
    };
    let stack = Stack::new(text("onewrite"), &config, outputs, BTreeMap::new());
    (stack, sent)
}
