//! The lab of a local stack, over the loopback API of `cargo local up`.

use std::{io, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use onewrite_console::{
    lab::{Action, Lab, LabState},
    pipeline::PipelineError,
};
use onewrite_stack::call_proxy;
use serde::Deserialize;
use tokio::time::timeout;

/// The variables that `cargo local up` sets for its console.
pub(super) const URL: &str = "ONEWRITE_LAB_URL";
pub(super) const TOKEN: &str = "ONEWRITE_LAB_TOKEN";

/// The longest call. Our own choice; sending 10,000 messages takes the most time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The lab behind its API.
pub(super) struct LabClient {
    address: SocketAddr,
    token: String,
}

impl LabClient {
    /// The lab that started this process for a stack; `None` if none did. A stack on AWS has none, whatever the variables say: with a
    /// lab, the page may change the stack.
    pub(super) fn of_stack(
        is_local: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        Self::new(&variable(URL)?, &variable(TOKEN)?).filter(|_| is_local)
    }

    /// `None` if the URL is not one of this machine, which must not get the token.
    pub(super) fn new(url: &str, token: &str) -> Option<Self> {
        let authority = url.strip_prefix("http://")?.trim_end_matches('/');
        let address: SocketAddr = authority.parse().ok()?;
        let is_usable = address.ip().is_loopback() && !token.is_empty();
        is_usable.then(|| Self {
            address,
            token: token.to_owned(),
        })
    }

    /// Calls the lab and returns the body of a response that is not an error.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, PipelineError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(body.into())
            .map_err(io::Error::other);
        let exchange = async {
            let response = call_proxy::forward(request?, self.address).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok::<_, io::Error>((parts.status, body))
        };
        let answer = timeout(TIMEOUT, exchange).await;
        let silent = |reason: String| {
            PipelineError::Failed(format!(
                "the lab of `cargo local up` does not answer ({reason}); it ends with the stack"
            ))
        };
        let answer = answer.map_err(|_| silent("no response in time".to_owned()))?;
        let (status, body) = answer.map_err(|error| silent(error.to_string()))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(refusal(status, &body))
        }
    }
}

/// The error that a response states.
fn refusal(status: StatusCode, body: &[u8]) -> PipelineError {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: String,
    }
    let stated = serde_json::from_slice::<ErrorBody>(body).ok();
    let text = stated.map_or_else(|| format!("the lab answers {status}"), |body| body.error);
    if status == StatusCode::BAD_REQUEST {
        PipelineError::Invalid(text)
    } else {
        PipelineError::Failed(text)
    }
}

#[async_trait]
impl Lab for LabClient {
    async fn state(&self) -> Result<LabState, PipelineError> {
        let body = self.call(Method::GET, "/state", Bytes::new()).await?;
        serde_json::from_slice(&body)
            .map_err(|error| PipelineError::Failed(format!("the state of the lab: {error}")))
    }

    async fn act(&self, action: Action) -> Result<String, PipelineError> {
        let json = serde_json::to_vec(&action)
            .map_err(|error| PipelineError::Failed(format!("the action: {error}")))?;
        let body = self.call(Method::POST, "/actions", json.into()).await?;
        // The line is a JSON string, or the text alone.
        let line = serde_json::from_slice::<String>(&body);
        let line = line.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned());
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use hyper::Response;
    use onewrite_console::view::Count;
    use onewrite_stack::call_proxy::{Call, CallResponse};
    use tokio::{net::TcpListener, task::JoinSet};

    use super::*;

    /// What the server was asked: method, path, authorization and body.
    type Asked = Arc<Mutex<Vec<(String, String, String, String)>>>;

    /// A lab that gives this answer to each request.
    async fn serve(status: u16, body: String) -> (LabClient, Asked, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Asked::default();
        let handler = Arc::clone(&asked);
        let handle = move |call: Call| {
            let header = |name| call.request.headers()[name].to_str().unwrap().to_owned();
            handler.lock().unwrap().push((
                call.request.method().to_string(),
                call.request.uri().to_string(),
                header(AUTHORIZATION),
                String::from_utf8(call.body.to_vec()).unwrap(),
            ));
            let response = Response::builder().status(status).body(body.clone().into());
            let response: CallResponse = response.unwrap();
            async move { Some(response) }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(call_proxy::serve(listener, handle));
        (LabClient::new(&url, "secret").unwrap(), asked, tasks)
    }

    #[tokio::test]
    async fn reads_the_state_with_the_token() {
        let mut state = LabState::default();
        state.totals.sent = Some(Count(12_345_678_901_234_567_890));
        let json = serde_json::to_string(&state).unwrap();
        let (lab, asked, _tasks) = serve(200, json).await;
        assert_eq!(lab.state().await.unwrap(), state);
        let expected = ["GET", "/state", "Bearer secret", ""].map(str::to_owned);
        let (method, path, token, body) = asked.lock().unwrap()[0].clone();
        assert_eq!([method, path, token, body], expected);
    }

    #[tokio::test]
    async fn passes_an_action_on_and_returns_its_line() {
        let text = "100 messages sent".to_owned();
        let (lab, asked, _tasks) = serve(200, format!("{text}\n")).await;
        let line = lab.act(Action::Send { count: 100 }).await.unwrap();
        assert_eq!(line, text);
        let (json, _, _tasks) = serve(200, format!("{text:?}")).await;
        assert_eq!(json.act(Action::Pause).await.unwrap(), text);
        let (method, path, _, body) = asked.lock().unwrap()[0].clone();
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/actions"));
        let action: Action = serde_json::from_str(&body).unwrap();
        assert_eq!(action, Action::Send { count: 100 });
    }

    #[tokio::test]
    async fn tells_a_refused_action_from_a_lab_that_is_gone() {
        let body = r#"{"error": "send 1 to 10,000 messages"}"#.to_owned();
        let (lab, _, _tasks) = serve(400, body).await;
        let refused = lab.act(Action::Send { count: 0 }).await.unwrap_err();
        let text = "send 1 to 10,000 messages".to_owned();
        assert_eq!(refused, PipelineError::Invalid(text));
        let (lab, _, _tasks) = serve(401, "<html>".to_owned()).await;
        let denied = lab.state().await.unwrap_err();
        assert!(matches!(&denied, PipelineError::Failed(text) if text.contains("401")));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let lab = LabClient::new(&url, "secret").unwrap();
        let gone = lab.state().await.unwrap_err();
        assert!(matches!(&gone, PipelineError::Failed(text) if text.contains("does not answer")));
    }

    #[test]
    fn only_a_local_stack_has_a_lab() {
        let variable = |name: &str| {
            let text = if name == URL {
                "http://127.0.0.1:9"
            } else {
                "secret"
            };
            Some(text.to_owned())
        };
        assert!(LabClient::of_stack(true, variable).is_some());
        assert!(LabClient::of_stack(false, variable).is_none());
        assert!(LabClient::of_stack(true, |_| None).is_none());
    }

    #[test]
    fn sends_the_token_to_this_machine_only() {
        for url in [
            "http://example.com:80",
            "http://192.0.2.1:80",
            "http://127.0.0.1@192.0.2.1:80",
            "https://127.0.0.1:9",
            "127.0.0.1:9",
        ] {
            assert!(LabClient::new(url, "secret").is_none(), "{url}");
        }
        assert!(LabClient::new("http://127.0.0.1:9", "").is_none());
        assert!(LabClient::new("http://127.0.0.1:9", "secret").is_some());
    }
}
