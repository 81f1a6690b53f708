//! Replays scripted responses, resets and timeouts below the real SDK, which uses the production configuration.

use std::{
    collections::{HashMap, VecDeque},
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

use super::{clients, http as http_client};

/// The production loader, isolated from the environment of this machine.
pub(super) fn loader() -> ConfigLoader {
    clients::loader(None)
        .empty_test_environment()
        .region(Region::from_static("us-east-1"))
        .test_credentials()
}

/// The response to one attempt.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Status, headers and body.
    Http(u16, Vec<(&'static str, String)>, String),
    Reset,
    Silence,
}

/// Builds a response without headers.
pub(super) fn http(status: u16, body: impl Into<String>) -> Answer {
    Answer::Http(status, Vec::new(), body.into())
}

/// Builds an error response of a service with a JSON protocol.
pub(super) fn error(status: u16, code: &str) -> Answer {
    let body = json!({"__type": format!("com.amazonaws.service#{code}"), "message": "a message"});
    http(status, body.to_string())
}

pub(super) fn ok(body: &Value) -> Answer {
    http(200, body.to_string())
}

/// A request that the SDK sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) uri: String,
    pub(super) headers: HashMap<String, String>,
    /// The operation, from the header `x-amz-target`. Empty without this header.
    pub(super) target: String,
    /// The body as it was sent.
    pub(super) text: String,
    /// The body as JSON. `null` if it is none.
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
        // S3 is the only service without a protocol in which every call is a POST.
        let is_s3 = request.uri().starts_with("https://s3.");
        assert_eq!(request.method(), if is_s3 { "PUT" } else { "POST" });
        let headers = request.headers().iter();
        let headers: HashMap<String, String> = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let text = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        self.sent.lock().unwrap().push(Sent {
            uri: request.uri().to_owned(),
            target: headers.get("x-amz-target").cloned().unwrap_or_default(),
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        });
        let answer = self.answers.lock().unwrap().pop_front();
        HttpConnectorFuture::new(async move {
            match answer.expect("unexpected additional attempt") {
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
        loader()
            .http_client(http_client::client(Some(&endpoint)))
            .endpoint_url(endpoint)
            .load()
            .await
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
