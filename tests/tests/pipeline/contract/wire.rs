//! A loopback server in DynamoDB's place. It gives scripted answers and records the calls.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use hyper::Response;
use onewrite_aws::dynamodb::DynamoDbTable;
use onewrite_local::{clients, emulator::Credentials};
use onewrite_stack::call_proxy::{Call, CallResponse, serve};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

pub(crate) const TABLE: &str = "notifications";

/// An answer of DynamoDB.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    pub(crate) fn error(status: u16, code: &str, members: &Value) -> Self {
        let name = format!("com.amazonaws.dynamodb.v20120810#{code}");
        let mut body = json!({"__type": name, "message": "a message"});
        let members = members.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(members);
        Self { status, body }
    }

    pub(crate) fn condition_failed(item: Option<Value>) -> Self {
        let item = item.map_or_else(|| json!({}), |item| json!({"Item": item}));
        Self::error(400, "ConditionalCheckFailedException", &item)
    }

    pub(crate) fn canceled(reasons: &Value) -> Self {
        let reasons = json!({"CancellationReasons": reasons});
        Self::error(400, "TransactionCanceledException", &reasons)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"status": self.status, "body": self.body})
    }
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    /// The calls, as the vectors show them.
    calls: Vec<Value>,
}

/// The server. It stops when it is dropped.
pub(crate) struct Server {
    endpoint: String,
    script: Arc<Mutex<Script>>,
    _connections: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script {
            answers: answers.iter().cloned().collect(),
            calls: Vec::new(),
        }));
        let mut connections = JoinSet::new();
        let shared = Arc::clone(&script);
        connections.spawn(serve(listener, move |call: Call| {
            let response = answer(&call, &shared);
            async { Some(response) }
        }));
        Self {
            endpoint,
            script,
            _connections: connections,
        }
    }

    /// The adapter of the functions, without the retries of the SDK, which are not part of the contract.
    pub(crate) fn table(&self) -> DynamoDbTable {
        let credentials = Credentials {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
        };
        let config = clients::config(&self.endpoint, &credentials);
        let config = config.into_builder().retry_config(RetryConfig::disabled());
        DynamoDbTable::new(&config.build(), TABLE)
    }

    /// The calls, each with its answer.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let script = self.script.lock().unwrap();
        assert!(script.answers.is_empty(), "fewer calls than answers");
        script.calls.clone()
    }
}

fn answer(call: &Call, script: &Mutex<Script>) -> CallResponse {
    let mut body: Value = serde_json::from_slice(&call.body).unwrap();
    // The SDK creates a new one for each call.
    let token = body.as_object_mut().unwrap().remove("ClientRequestToken");
    assert_eq!(token.is_some(), call.operation == "TransactWriteItems");
    let mut script = script.lock().unwrap();
    let answer = script.answers.pop_front().expect("an unexpected call");
    script
        .calls
        .push(json!({"operation": call.operation, "request": body, "answer": answer.to_json()}));
    let response = Response::builder()
        .status(answer.status)
        .header("content-type", "application/x-amz-json-1.0");
    response.body(answer.body.to_string().into()).unwrap()
}
