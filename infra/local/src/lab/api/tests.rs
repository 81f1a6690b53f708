use std::sync::Mutex;

use async_trait::async_trait;
use onewrite_console::lab::LabState;
use onewrite_console::view::{Count, Totals};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Records actions.
#[derive(Default)]
struct Recorder(Mutex<Vec<Action>>);

#[async_trait]
impl Lab for Recorder {
    async fn state(&self) -> std::result::Result<LabState, PipelineError> {
        let sent = Some(Count(12_345_678_901_234_567_890));
        Ok(LabState {
            totals: Totals {
                sent,
                ..Totals::default()
            },
            ..LabState::default()
        })
    }

    async fn act(&self, action: Action) -> std::result::Result<String, PipelineError> {
        if action == (Action::Send { count: 0 }) {
            return Err(PipelineError::Invalid("count is zero".to_owned()));
        }
        self.0.lock().unwrap().push(action);
        Ok("done".to_owned())
    }
}

struct Served {
    api: LabApi,
    lab: Arc<Recorder>,
}

impl Served {
    async fn start() -> Self {
        let lab = Arc::new(Recorder::default());
        let api = LabApi::start(Arc::clone(&lab) as Arc<dyn Lab>)
            .await
            .unwrap();
        Self { api, lab }
    }

    /// Sends a request with these header lines. Returns the status and the body.
    async fn call(&self, line: &str, headers: &[String], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api.address).await.unwrap();
        let headers = headers.join("\r\n");
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn host(&self) -> String {
        format!("host: {}", self.api.address)
    }

    fn authorized(&self) -> Vec<String> {
        let token = self.api.token().as_str();
        let json = "content-type: application/json".to_owned();
        vec![self.host(), format!("authorization: Bearer {token}"), json]
    }
}

#[tokio::test]
async fn serves_the_state_and_passes_actions_on() {
    let served = Served::start().await;
    let headers = served.authorized();
    let (status, state) = served.call("GET /state", &headers, "").await;
    assert_eq!(status, 200);
    assert!(
        state.contains(r#""sent":"12345678901234567890""#),
        "{state}"
    );
    let action = r#"{"action":"send","count":7}"#;
    let answer = served.call("POST /actions", &headers, action).await;
    assert_eq!(answer, (200, "done".to_owned()));
    let recorded = served.lab.0.lock().unwrap().clone();
    assert_eq!(recorded, [Action::Send { count: 7 }]);
}

#[tokio::test]
async fn refuses_everything_without_the_token() {
    let served = Served::start().await;
    let token = served.api.token().as_str().to_owned();
    let wrong = [
        String::new(),
        token.clone(),
        "Bearer ".to_owned(),
        format!("Bearer {}", &token[..token.len() - 1]),
        format!("Bearer {token}0"),
        format!("Bearer {}", "0".repeat(token.len())),
    ];
    for value in wrong {
        let json = "content-type: application/json".to_owned();
        let headers = [served.host(), format!("authorization: {value}"), json];
        for line in ["GET /state", "POST /actions", "GET /"] {
            let body = r#"{"action":"pause"}"#;
            let (status, answer) = served.call(line, &headers, body).await;
            assert_eq!(status, 401, "{line} {value}");
            assert!(answer.contains("error"), "{answer}");
        }
    }
    assert!(served.lab.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refuses_other_hosts() {
    let served = Served::start().await;
    let port = served.api.address.port();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("attacker.example:{port}"), 403),
        ("127.0.0.1".to_owned(), 403),
        (format!("127.0.0.1:{port}.attacker.example"), 403),
    ] {
        let mut headers = served.authorized();
        headers[0] = format!("host: {host}");
        let (status, _) = served.call("GET /state", &headers, "").await;
        assert_eq!(status, expected, "{host}");
    }
}

#[tokio::test]
async fn refuses_what_is_not_an_action_without_quoting_it() {
    let served = Served::start().await;
    let headers = served.authorized();
    for body in [
        r#"{"action":"canary"}"#,
        r#"{"action":"send","count":"canary"}"#,
        "canary",
    ] {
        let (status, answer) = served.call("POST /actions", &headers, body).await;
        assert_eq!(status, 400);
        assert!(!answer.contains("canary"), "{answer}");
    }
    let answer = served
        .call("POST /actions", &headers, r#"{"action":"send","count":0}"#)
        .await;
    assert_eq!(answer, (400, r#"{"error":"count is zero"}"#.to_owned()));
    let plain = [headers[0].clone(), headers[1].clone()];
    let (status, _) = served
        .call("POST /actions", &plain, r#"{"action":"pause"}"#)
        .await;
    assert_eq!(status, 415);
    let (status, _) = served.call("POST /state", &headers, "").await;
    assert_eq!(status, 404);
    let large = format!(
        r#"{{"action":"send_lines","lines":["{}"]}}"#,
        "x".repeat(MAX_BODY)
    );
    let (status, _) = served.call("POST /actions", &headers, &large).await;
    assert_eq!(status, 413);
    assert!(served.lab.0.lock().unwrap().is_empty());
}

/// Sends a request on a connection that stays open, and waits for the response.
async fn ask(stream: &mut TcpStream, request: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
    answered(stream).await;
}

/// Reads the response of a state: it ends with the end of an object.
async fn answered(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_above_the_limit_waits_until_another_one_ends() {
    let served = Served::start().await;
    let headers = served.authorized().join("\r\n");
    let request = format!("GET /state HTTP/1.1\r\n{headers}\r\n\r\n");
    let connect = || TcpStream::connect(served.api.address);
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = connect().await.unwrap();
        ask(&mut stream, &request).await;
        open.push(stream);
    }
    let mut waiting = connect().await.unwrap();
    waiting.write_all(request.as_bytes()).await.unwrap();
    // The others are answered meanwhile.
    for stream in &mut open {
        ask(stream, &request).await;
    }
    let nothing = waiting.try_read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    open.pop();
    answered(&mut waiting).await;
}
