//! A server on a free port, and an HTTP client that can send wrong requests.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
    header::{self, HeaderMap},
};
use hyper_util::rt::TokioIo;
use onewrite_console::{
    auth::Token,
    lab::Lab,
    memory::Model,
    pipeline::Pipeline,
    server::{Intervals, Options, serve},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Longer than any step of a test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs in the background.
pub(crate) struct Server {
    pub address: SocketAddr,
    pub token: Token,
    pub log: Arc<Mutex<Vec<String>>>,
    end: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves a model, with its lab.
    pub(crate) async fn start(model: &Model) -> Self {
        let lab = Arc::new(model.clone());
        Self::start_with(Arc::new(model.clone()), Some(lab)).await
    }

    pub(crate) async fn start_with(pipeline: Arc<dyn Pipeline>, lab: Option<Arc<dyn Lab>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = Token::new().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let interval = Duration::from_millis(5);
        let options = Options {
            intervals: Some(Intervals {
                overview: interval,
                charts: interval,
                lab: interval,
            }),
            user: "tester".to_owned(),
            log: Arc::new(move |line: &str| lines.lock().unwrap().push(line.to_owned())),
            ..Options::new(token.clone())
        };
        let (end, ended) = oneshot::channel();
        let shutdown = async {
            let _ = ended.await;
        };
        let task = tokio::spawn(serve(listener, options, pipeline, lab, shutdown));
        Self {
            address,
            token,
            log,
            end,
            task,
        }
    }

    /// Ends the server, and returns how long that took.
    pub(crate) async fn stop(self) -> Duration {
        let begin = Instant::now();
        self.end.send(()).unwrap();
        let result = timeout(PATIENCE, self.task).await.unwrap();
        result.unwrap().unwrap();
        begin.elapsed()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> Call {
        Call {
            address: self.address,
            method,
            path: path.to_owned(),
            headers: vec![("host".to_owned(), self.address.to_string())],
            body: Bytes::new(),
        }
    }

    /// A GET with the token.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
            .header("authorization", &format!("Bearer {}", self.token.as_str()))
    }

    /// A POST of JSON with the token, as the page sends it.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Call {
        self.post_bytes(path, body.to_string().into_bytes())
            .header("content-type", "application/json")
    }

    pub(crate) fn post_bytes(&self, path: &str, body: Vec<u8>) -> Call {
        let mut call = self
            .get(path)
            .header("origin", &format!("http://{}", self.address));
        call.method = Method::POST;
        call.body = body.into();
        call
    }
}

/// A request, before it is sent.
#[derive(Clone)]
pub(crate) struct Call {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl Call {
    /// Adds a header, also one that is there already.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(one, _)| one != name);
        self
    }

    /// Sends it on its own connection, and returns the answer as it begins.
    pub(crate) async fn open(self) -> hyper::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        for (name, value) in self.headers {
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let answer = timeout(PATIENCE, sender.send_request(request)).await;
        answer.unwrap().unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let (parts, body) = self.open().await.into_parts();
        let body = timeout(PATIENCE, body.collect()).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.unwrap().to_bytes(),
        }
    }
}

/// An event with its name and data.
pub(crate) struct Event {
    pub name: String,
    pub data: Value,
}

/// The events of one page.
pub(crate) struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    pub(crate) async fn open(server: &Server) -> Self {
        let answer = server.get("/api/events").open().await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self {
            body: answer.into_body(),
            text: String::new(),
        }
    }

    /// The next event. `None` if the server ended the events.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.unwrap()?;
            // Events are ASCII here, so a frame never ends inside a character.
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next event of this name.
    pub(crate) async fn next_of(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await.expect("the events ended");
            if event.name == name {
                return event.data;
            }
        }
    }
}

/// Parses a block of lines. `None` for a comment.
fn parse(block: &str) -> Option<Event> {
    let (name, data) = block.split_once('\n')?;
    Some(Event {
        name: name.strip_prefix("event: ").unwrap().to_owned(),
        data: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
    })
}
