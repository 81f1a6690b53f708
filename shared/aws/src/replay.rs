//! Replays scripted responses, resets and timeouts below the real SDK, which uses the production configuration.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    sync::{Arc, Mutex},
};

use aws_config::{ConfigLoader, Region, SdkConfig};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

use super::clients;

/// The production loader, isolated from the environment of this machine.
pub(super) fn loader() -> ConfigLoader {
    clients::loader()
        .empty_test_environment()
        .region(Region::from_static("us-east-1"))
        .test_credentials()
}

/// The response to one attempt.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Http(u16, String),
    Reset,
    Silence,
}

/// Builds an error response of DynamoDB or Kinesis.
pub(super) fn error(status: u16, code: &str) -> Answer {
    let body = json!({"__type": format!("com.amazonaws.service#{code}"), "message": "a message"});
    Answer::Http(status, body.to_string())
}

pub(super) fn ok(body: &Value) -> Answer {
    Answer::Http(200, body.to_string())
}

/// A request that the SDK sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// The operation, from the header `x-amz-target`.
    pub(super) target: String,
    pub(super) body: Value,
}

/// An endpoint with one scripted answer per attempt. An additional attempt fails the test.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Endpoint {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            sent: Arc::default(),
        }
    }

    pub(super) async fn config(&self) -> SdkConfig {
        loader().http_client(self.clone()).load().await
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// Returns the number of requests.
    pub(super) fn attempts(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Returns the only request.
    pub(super) fn only(&self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }
}

impl HttpConnector for Endpoint {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap();
        self.sent.lock().unwrap().push(Sent {
            target: request.headers().get("x-amz-target").unwrap().to_owned(),
            body: serde_json::from_slice(body).unwrap(),
        });
        let answer = self.answers.lock().unwrap().pop_front();
        HttpConnectorFuture::new(async move {
            match answer.expect("unexpected additional attempt") {
                Answer::Http(status, body) => Ok(HttpResponse::new(
                    status.try_into().unwrap(),
                    SdkBody::from(body),
                )),
                Answer::Reset => {
                    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
                    Err(ConnectorError::io(reset.into()))
                }
                Answer::Silence => pending().await,
            }
        })
    }
}

impl HttpClient for Endpoint {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The behaviour of a loopback server after a request arrives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Server {
    Silent,
    Resetting,
}

impl Server {
    /// Starts the server and returns a configuration of the production HTTP client for it.
    pub(super) async fn config(self) -> SdkConfig {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                tokio::spawn(self.handle(connection));
            }
        });
        loader().endpoint_url(endpoint).load().await
    }

    async fn handle(self, mut connection: TcpStream) {
        connection.readable().await.unwrap();
        match self {
            Self::Silent => {
                let mut request = Vec::new();
                let _ = connection.read_to_end(&mut request).await;
            }
            // Closing a connection with unread data resets it.
            Self::Resetting => drop(connection),
        }
    }
}
