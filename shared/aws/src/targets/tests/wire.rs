//! Answers requests from a script, below the SDK's own HTTP stack, and keeps them.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    io,
    sync::{Arc, Mutex},
};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use onewrite::{
    completion::{Downstream as _, DownstreamError, Effect},
    event::NotificationEvent,
};
use onewrite_testing::contract::notification;
use serde_json::{Value, json};

use crate::{
    replay::loader,
    targets::{ServiceTarget, TargetSettings, TransactWriteItem},
};

/// Text of the payload, which no error may contain.
const CANARY: &str = "canary-7f3a";

/// The response to one request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Http(u16, Vec<(&'static str, String)>, String),
    Reset,
    Silence,
}

pub(super) fn ok(body: &Value) -> Answer {
    Answer::Http(200, Vec::new(), body.to_string())
}

/// An error of a JSON protocol. Its message quotes the request, as those of AWS can.
pub(super) fn failed(status: u16, code: &str) -> Answer {
    let body = json!({"__type": format!("com.amazonaws#{code}"), "message": CANARY});
    Answer::Http(status, Vec::new(), body.to_string())
}

/// A request as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) uri: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Sent {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A client with one answer per request. An additional request fails the test.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Wire {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            sent: Arc::default(),
        }
    }

    pub(super) async fn config(&self) -> SdkConfig {
        loader().http_client(self.clone()).load().await
    }

    /// A target with this client.
    pub(super) async fn target(&self, address: &str, settings: &TargetSettings) -> ServiceTarget {
        let address = address.parse().unwrap();
        ServiceTarget::new(&self.config().await, &address, settings).unwrap()
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub(super) fn only(&self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        assert_eq!(request.method(), "POST");
        let headers = request.headers().iter();
        let body = request.body().bytes().unwrap().to_vec();
        self.sent.lock().unwrap().push(Sent {
            uri: request.uri().to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: String::from_utf8(body).unwrap(),
        });
        let answer = self.answers.lock().unwrap().pop_front();
        HttpConnectorFuture::new(async move {
            match answer.expect("unexpected additional request") {
                Answer::Http(status, headers, body) => {
                    let body = SdkBody::from(body);
                    let mut response = HttpResponse::new(status.try_into().unwrap(), body);
                    for (name, value) in headers {
                        response.headers_mut().insert(name, value);
                    }
                    Ok(response)
                }
                Answer::Reset => {
                    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
                    Err(ConnectorError::io(reset.into()))
                }
                Answer::Silence => pending().await,
            }
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

pub(super) fn event(id: &str) -> NotificationEvent {
    let item = notification(id, &format!(r#"{{"note":"{CANARY}"}}"#));
    NotificationEvent::from_item(&item)
}

/// An event whose document has at least this size.
pub(super) fn large_event(id: &str, bytes: usize) -> NotificationEvent {
    let mut event = event(id);
    // An item could not store it. Only an enrichment that grew by escapes makes an event larger than its item.
    event.enrichment = Some(format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)));
    event
}

/// What a target made of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Happened,
    Writes(usize),
    Refused(String),
    Fault(String),
    Busy(String),
}

/// Delivers an event. No error contains its payload.
pub(super) async fn accept(target: &ServiceTarget, event: &NotificationEvent) -> Outcome {
    outcome(target.accept(event).await)
}

pub(super) fn outcome(result: Result<Effect<TransactWriteItem>, DownstreamError>) -> Outcome {
    match result {
        Ok(Effect::Happened) => Outcome::Happened,
        Ok(Effect::CommitWith(writes)) => Outcome::Writes(writes.len()),
        Ok(Effect::Refused(code)) => Outcome::Refused(code.to_string()),
        Err(error) => {
            assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
            let reason = error.to_string();
            if error.is_busy() {
                Outcome::Busy(reason)
            } else {
                Outcome::Fault(reason)
            }
        }
    }
}

pub(super) fn fault(reason: &str) -> Outcome {
    Outcome::Fault(reason.to_owned())
}

pub(super) fn busy(reason: &str) -> Outcome {
    Outcome::Busy(reason.to_owned())
}

/// Answers that leave the outcome of any call open, and the reason that is logged.
pub(super) fn lost_answers() -> [(Answer, &'static str); 4] {
    [
        (Answer::Reset, "connection reset"),
        (
            Answer::Silence,
            "operation attempt timeout (single attempt) occurred after 10s",
        ),
        (failed(500, "InternalServerError"), "InternalServerError"),
        (
            Answer::Http(200, Vec::new(), "{\"half".to_owned()),
            "the response cannot be read",
        ),
    ]
}

/// Delivers one event with each answer that leaves the outcome open. None of them is a success or a fault.
pub(super) async fn check_lost_answers(address: &str, service: &str) {
    for (answer, reason) in lost_answers() {
        let wire = Wire::new([answer.clone()]);
        let target = wire.target(address, &TargetSettings::default()).await;
        let expected = busy(&format!("the outcome at {service} is unknown: {reason}"));
        assert_eq!(accept(&target, &event("n-1")).await, expected, "{answer:?}");
        assert_eq!(wire.sent().len(), 1);
    }
}

/// Delivers one event with an answer of the whole call.
pub(super) async fn deliver(address: &str, answer: Answer) -> Outcome {
    let target = Wire::new([answer])
        .target(address, &TargetSettings::default())
        .await;
    accept(&target, &event("n-1")).await
}
