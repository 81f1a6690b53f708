//! Lambda's Runtime API for one function (Lambda developer guide, "Using the Lambda runtime API").
//! It delivers events, receives responses, and records their times.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinSet,
};

/// The timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The Runtime API of one process. Dropping it stops the server.
pub struct RuntimeApi {
    address: SocketAddr,
    state: Arc<State>,
    events: mpsc::Sender<Bytes>,
    responses: mpsc::Receiver<FunctionResponse>,
    _tasks: JoinSet<()>,
}

struct State {
    events: Mutex<mpsc::Receiver<Bytes>>,
    responses: mpsc::Sender<FunctionResponse>,
    ready: OnceLock<Instant>,
    invocations: AtomicU64,
}

/// The response of a function.
#[derive(Debug)]
pub struct FunctionResponse {
    /// When the response was complete.
    pub at: Instant,
    /// The response, or the error that the function reports.
    pub body: Result<Bytes, Bytes>,
}

impl RuntimeApi {
    /// Listens on the loopback interface.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::channel(1);
        let (sender, responses) = mpsc::channel(1);
        let state = Arc::new(State {
            events: Mutex::new(waiting),
            responses: sender,
            ready: OnceLock::new(),
            invocations: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            events,
            responses,
            _tasks: tasks,
        })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the function asked for its first event, which ends its initialization.
    #[must_use]
    pub fn ready(&self) -> Option<Instant> {
        self.state.ready.get().copied()
    }

    /// Sends an event to the function and waits for its response.
    ///
    /// # Errors
    /// If the function reports an error or does not respond within its timeout.
    pub async fn invoke(&mut self, event: Bytes) -> Result<(Bytes, Instant)> {
        self.events.send(event).await?;
        let response = tokio::time::timeout(TIMEOUT, self.responses.recv()).await;
        let response = response.context("the function did not respond within its timeout")?;
        let response = response.context("the Runtime API has stopped")?;
        match response.body {
            Ok(body) => Ok((body, response.at)),
            Err(error) => bail!("the function failed: {}", String::from_utf8_lossy(&error)),
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let _ = stream.set_nodelay(true);
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, &state));
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path();
    if path.ends_with("/next") {
        return next(state).await;
    }
    let at = Instant::now();
    let body = if path.ends_with("/response") {
        Ok(body)
    } else {
        Err(body)
    };
    state.responses.send(FunctionResponse { at, body }).await?;
    Ok(Response::builder().status(202).body(Full::default())?)
}

async fn next(state: &State) -> Result<Response<Full<Bytes>>> {
    state.ready.get_or_init(Instant::now);
    let next = state.events.lock().await.recv().await;
    let event = next.context("the benchmark has stopped")?;
    let deadline = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + TIMEOUT;
    let number = state.invocations.fetch_add(1, Ordering::Relaxed);
    let response = Response::builder()
        .header("content-type", "application/json")
        .header(
            "lambda-runtime-aws-request-id",
            format!("8476a536-e9f4-11e8-9739-{number:012x}"),
        )
        .header(
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        )
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench",
        )
        .header(
            "lambda-runtime-trace-id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
        );
    Ok(response.body(Full::new(event))?)
}
