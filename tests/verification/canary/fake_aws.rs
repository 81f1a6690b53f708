//! The AWS endpoints of a function process, on the loopback interface: Lambda's Runtime API, and one endpoint for
//! DynamoDB, Kinesis and SQS with scripted responses. Keeps every request of the process.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
};

/// Enough time for any invocation.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The response to one request to a service.
pub(crate) enum Answer {
    Http(u16, String),
    /// Closes the connection.
    Cut,
    /// Never responds.
    Silence,
}

/// An error response of a service.
pub(crate) fn error_response(status: u16, code: &str, mut details: Value) -> Answer {
    details["__type"] = format!("com.amazonaws.service#{code}").into();
    Answer::Http(status, details.to_string())
}

type Respond = dyn Fn(&str, &Value) -> Answer + Send + Sync;

/// One request of the process: headers and body, as text.
#[derive(Clone)]
pub(crate) struct RecordedRequest {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The response of a function to an invocation.
pub(crate) struct InvocationResult {
    /// The response as JSON, or the reported error.
    pub(crate) outcome: Result<Value, Value>,
}

struct State {
    /// Events that wait for the process, each with its time limit.
    events: AsyncMutex<mpsc::Receiver<(Vec<u8>, Duration)>>,
    results: mpsc::Sender<InvocationResult>,
    respond: Box<Respond>,
    invocations: AtomicUsize,
    requests_to_lambda: Mutex<Vec<RecordedRequest>>,
    requests_to_services: Mutex<Vec<RecordedRequest>>,
}

/// A running endpoint. It stops when dropped.
pub(crate) struct FakeAws {
    address: SocketAddr,
    state: Arc<State>,
    events: mpsc::Sender<(Vec<u8>, Duration)>,
    results: mpsc::Receiver<InvocationResult>,
    _tasks: JoinSet<()>,
}

impl FakeAws {
    /// Starts the endpoint. `respond` returns the response of the service for an operation and a request.
    pub(crate) async fn start(
        respond: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, waiting) = mpsc::channel(1);
        let (sender, results) = mpsc::channel(1);
        let state = Arc::new(State {
            events: AsyncMutex::new(waiting),
            results: sender,
            respond: Box::new(respond),
            invocations: AtomicUsize::default(),
            requests_to_lambda: Mutex::default(),
            requests_to_services: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            events,
            results,
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Invokes the function with this time limit.
    pub(crate) async fn invoke(&mut self, event: Vec<u8>, time: Duration) -> InvocationResult {
        self.events.send((event, time)).await.unwrap();
        let patience = time + Duration::from_secs(30);
        let result = tokio::time::timeout(patience, self.results.recv()).await;
        result.expect("the function must respond").unwrap()
    }

    /// Everything the process sent to Lambda.
    pub(crate) fn requests_to_lambda(&self) -> Vec<RecordedRequest> {
        self.state.requests_to_lambda.lock().unwrap().clone()
    }

    /// Everything the process sent to DynamoDB, Kinesis and SQS.
    pub(crate) fn requests_to_services(&self) -> Vec<RecordedRequest> {
        self.state.requests_to_services.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(request, Arc::clone(&state)));
            // A closed connection ends in an error.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    state: Arc<State>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("the function must send text");
    let path = parts.uri.path().to_owned();
    let sent = RecordedRequest {
        head: format!("{path} {:?}", parts.headers),
        body,
    };
    if let Some(target) = parts.headers.get("x-amz-target") {
        state
            .requests_to_services
            .lock()
            .unwrap()
            .push(sent.clone());
        let (_, operation) = target.to_str().unwrap().split_once('.').unwrap();
        let request = serde_json::from_str(&sent.body).unwrap();
        let answer = (state.respond)(operation, &request);
        return serve(answer).await;
    }
    state.requests_to_lambda.lock().unwrap().push(sent.clone());
    Ok(if path.ends_with("/next") {
        next(&state).await
    } else {
        let body = serde_json::from_str(&sent.body).unwrap();
        let outcome = if path.ends_with("/response") {
            Ok(body)
        } else {
            Err(body)
        };
        state
            .results
            .send(InvocationResult { outcome })
            .await
            .unwrap();
        response(202, String::new())
    })
}

async fn serve(answer: Answer) -> io::Result<Response<Full<Bytes>>> {
    match answer {
        Answer::Http(status, body) => Ok(response(status, body)),
        Answer::Cut => Err(io::ErrorKind::ConnectionReset.into()),
        Answer::Silence => pending().await,
    }
}

fn response(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().expect("a valid HTTP status");
    response
}

/// Returns the next invocation (Lambda developer guide, "Using the Lambda runtime API").
async fn next(state: &State) -> Response<Full<Bytes>> {
    let next = state.events.lock().await.recv().await;
    let Some((event, time)) = next else {
        return pending().await;
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let deadline = (now.unwrap() + time).as_millis();
    let number = state.invocations.fetch_add(1, Ordering::SeqCst);
    Response::builder()
        .header(
            "lambda-runtime-aws-request-id",
            format!("invocation-{number}"),
        )
        .header("lambda-runtime-deadline-ms", deadline.to_string())
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f",
        )
        .header(
            "lambda-runtime-trace-id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        )
        .body(Full::new(Bytes::from(event)))
        .unwrap()
}
