//! For tests: a stack behind a small server with scripted answers, and one that is never called.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::config::Credentials;
use hyper::{Response, header::CONTENT_TYPE};
use onewrite_stack::{
    call_proxy::{self, Call},
    location::StackLocation,
    outputs::StackOutputs,
    stack::Stack,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

/// The answers that are left, by operation. The last one is given for ever. One with `__type` is an error.
type Answers = BTreeMap<String, VecDeque<Value>>;

/// What the stack was asked: operations with their bodies.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Vec<(String, Value)>>>);

impl Asked {
    pub(super) fn bodies(&self, operation: &str) -> Vec<Value> {
        let asked = self.0.lock().unwrap();
        let bodies = asked.iter().filter(|(name, _)| name == operation);
        bodies.map(|(_, body)| body.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// A stack at this endpoint. One on another machine counts as AWS.
pub(super) async fn stack_at(endpoint: &str, parameters: &[(&str, &str)]) -> Stack {
    let location = StackLocation {
        stack: "orders".to_owned(),
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(endpoint.to_owned()),
        credentials: Some(Credentials::new("k", "s", None, None, "test")),
        ..StackLocation::default()
    };
    let config = location.load_config().await.unwrap();
    let outputs = [
        ("NotificationQueueUrl", "https://sqs.example.com/1/queue"),
        (
            "DeadLetterQueueUrl",
            "https://sqs.example.com/1/dead-letters",
        ),
        ("NotificationTableName", "notifications"),
        ("NotificationStreamName", "stream"),
        ("FailureBucketName", "failures"),
        ("IngestFunctionName", "ingest"),
        ("ForwardFunctionName", "forward"),
        ("CompleteFunctionName", "complete"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let outputs = StackOutputs::new(outputs.map(owned).into()).unwrap();
    let parameters = parameters.iter().copied().map(owned).collect();
    Stack::new(location.stack, &config, outputs, parameters)
}

/// A stack on AWS that no test calls.
pub(super) async fn aws_stack(parameters: &[(&str, &str)]) -> Stack {
    stack_at("http://192.0.2.1:9", parameters).await
}

/// A local stack that gives these answers.
pub(super) async fn scripted_stack(answers: &[(&str, Value)]) -> (Stack, Asked, JoinSet<()>) {
    let mut left = Answers::new();
    for (operation, answer) in answers {
        let queue = left.entry((*operation).to_owned()).or_default();
        queue.push_back(answer.clone());
    }
    let (left, asked) = (Arc::new(Mutex::new(left)), Asked::default());
    let log = asked.clone();
    let handle = move |call: Call| {
        let body = serde_json::from_slice(&call.body).unwrap_or_default();
        log.0.lock().unwrap().push((call.operation.clone(), body));
        let answer = next_answer(&left, &call.operation);
        let status = if answer["__type"].is_string() {
            400
        } else {
            200
        };
        let response = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .body(answer.to_string().into());
        async move { response.ok() }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(call_proxy::serve(listener, handle));
    (stack_at(&endpoint, &[]).await, asked, tasks)
}

fn next_answer(left: &Mutex<Answers>, operation: &str) -> Value {
    let mut left = left.lock().unwrap();
    let Some(answers) = left.get_mut(operation) else {
        return serde_json::json!({"__type": "UnknownOperationException"});
    };
    let next = if answers.len() > 1 {
        answers.pop_front()
    } else {
        answers.front().cloned()
    };
    next.unwrap_or_default()
}
