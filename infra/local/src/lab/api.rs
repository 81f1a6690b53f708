//! The API of the lab on the loopback interface: `GET /state` and `POST /actions`, with a token.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use onewrite_console::auth::Token;
use onewrite_console::lab::{Action, Lab};
use onewrite_console::pipeline::PipelineError;
use onewrite_stack::call_proxy::accept;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::{LocalError, Result};

/// The most bytes of an action: a file of lines, with room for its JSON.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The most connections at a time. Further ones wait. The console has a few.
const MAX_CONNECTIONS: usize = 64;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The running API. It ends when it is dropped.
#[derive(Debug)]
pub struct LabApi {
    address: SocketAddr,
    token: Token,
    _tasks: JoinSet<()>,
}

impl LabApi {
    /// Serves a lab on a free loopback port.
    ///
    /// # Errors
    /// [`LocalError::File`] if no port is available.
    pub async fn start(lab: Arc<dyn Lab>) -> Result<Self> {
        let failed = |source| LocalError::file("127.0.0.1:0", source);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let token = Token::new()
            .map_err(|error| LocalError::file("/dev/urandom", std::io::Error::other(error)))?;
        let server = Arc::new(Server {
            lab,
            token: token.clone(),
            port: address.port(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, server));
        Ok(Self {
            address,
            token,
            _tasks: tasks,
        })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }
}

struct Server {
    lab: Arc<dyn Lab>,
    token: Token,
    port: u16,
}

async fn serve(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Nobody closes the semaphore.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, _) = accept(&listener).await;
        let server = Arc::clone(&server);
        connections.spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, std::convert::Infallible>(server.respond(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // An error means that the client closed the connection.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A status and the text of an error.
type Refusal = (StatusCode, String);

impl Server {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.handle(request).await {
            Ok((content_type, body)) => response(StatusCode::OK, content_type, body),
            Err((status, error)) => {
                let body = serde_json::json!({ "error": error });
                response(status, JSON, body.to_string())
            }
        }
    }

    /// Returns the content type and the body of the answer.
    async fn handle(
        &self,
        request: Request<Incoming>,
    ) -> std::result::Result<(&'static str, String), Refusal> {
        let (parts, body) = request.into_parts();
        if !is_own_host(&parts.headers, self.port) {
            return Err(refusal(StatusCode::FORBIDDEN, "the Host header is wrong"));
        }
        let given = parts.headers.get(AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok());
        if !given.is_some_and(|given| self.token.is_in(given)) {
            return Err(refusal(StatusCode::UNAUTHORIZED, "the token is wrong"));
        }
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/state") => {
                let state = self.lab.state().await.map_err(|error| failed(&error))?;
                Ok((JSON, json(&state)?))
            }
            (&Method::POST, "/actions") => {
                let action = read_action(&parts.headers, body).await?;
                let text = self.lab.act(action).await.map_err(|error| failed(&error))?;
                Ok((TEXT, text))
            }
            _ => Err(refusal(StatusCode::NOT_FOUND, "no such resource")),
        }
    }
}

/// Whether the request was sent to this address, not to a name that somebody made resolve to it.
fn is_own_host(headers: &HeaderMap, port: u16) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| {
        ["127.0.0.1", "localhost"]
            .iter()
            .any(|name| host == format!("{name}:{port}"))
    })
}

async fn read_action(headers: &HeaderMap, body: Incoming) -> std::result::Result<Action, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type != Some(JSON.as_bytes()) {
        let reason = "the Content-Type must be application/json";
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|_| refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))?;
    // The error of the parser can quote the body.
    serde_json::from_slice(&body.to_bytes())
        .map_err(|_| refusal(StatusCode::BAD_REQUEST, "the body is not an action"))
}

fn refusal(status: StatusCode, reason: &str) -> Refusal {
    (status, reason.to_owned())
}

fn failed(error: &PipelineError) -> Refusal {
    let status = StatusCode::from_u16(error.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, error.to_string())
}

fn json(value: &impl Serialize) -> std::result::Result<String, Refusal> {
    serde_json::to_string(value)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
