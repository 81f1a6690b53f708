//! For tests: a stack whose services answer below the real SDK, with recorded responses for each operation.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use crate::{outputs::StackOutputs, stack::Stack};

/// The operations that were called, with their bodies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<(String, Value)>>>);

impl Sent {
    /// The bodies of all calls of an operation.
    pub(crate) fn bodies(&self, operation: &str) -> Vec<Value> {
        let sent = self.0.lock().unwrap();
        let bodies = sent.iter().filter(|(sent, _)| sent == operation);
        bodies.map(|(_, body)| body.clone()).collect()
    }

    /// The body of the first call of an operation.
    pub(crate) fn body(&self, operation: &str) -> Value {
        let sent = self.0.lock().unwrap();
        let found = sent.iter().find(|(sent, _)| sent == operation);
        found
            .unwrap_or_else(|| panic!("{operation}: {sent:?}"))
            .1
            .clone()
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
        let mut responses = self.responses.lock().unwrap();
        let left = responses.get_mut(operation);
        let left = left.unwrap_or_else(|| panic!("no response to {operation}"));
        let first = if left.len() > 1 {
            left.pop_front()
        } else {
            left.front().cloned()
        };
        first.unwrap()
    }
}

/// The operation of a request: the target of the JSON protocols, otherwise method and path.
fn operation(request: &HttpRequest) -> String {
    match request.headers().get("x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap().to_owned(),
        None => {
            let (_, path) = request.uri().split_once(".com").unwrap();
            format!("{} {path}", request.method())
        }
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(&request);
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap_or_default();
        let response = self.response(&operation);
        self.sent.0.lock().unwrap().push((operation, body));
        let status = if response["__type"].is_string() {
            400
        } else {
            200
        };
        let body = SdkBody::from(response.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body)))
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

/// A stack whose services give these responses, by operation; several of one operation in this order. One with `__type` is
/// an error.
pub(crate) async fn stack(responses: &[(&str, Value)]) -> (Stack, Sent) {
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
    let outputs = [
        (
            "NotificationQueueUrl",
            "https://sqs.example.com/1/queue.fifo",
        ),
        (
            "DeadLetterQueueUrl",
            "https://sqs.example.com/1/dead-letters.fifo",
        ),
        ("NotificationTableName", "notifications"),
        ("NotificationStreamName", "stream"),
        ("FailureBucketName", "failures"),
        ("IngestFunctionName", "ingest"),
        ("ForwardFunctionName", "forward"),
        ("CompleteFunctionName", "complete"),
    ];
    let outputs = outputs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let outputs = StackOutputs::new(outputs.into()).unwrap();
    let stack = Stack::new("onewrite".to_owned(), &config, outputs, BTreeMap::new());
    (stack, sent)
}
