//! An HTTP receiver on the loopback interface that keeps a ledger: the target of local stacks.
//!
//! It books each `Idempotency-Key` once, as a payment provider does, so a repeated request has no second effect. Tests script
//! its answers: statuses, headers, delays, and connections that it drops before or after it has booked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use onewrite_stack::call_proxy::accept;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::error::{LocalError, Result};

/// The header that names the notification. A request without it is answered with 400.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request that arrived.
#[derive(Clone)]
pub struct ReceivedRequest {
    pub idempotency_key: String,
    /// How many requests with this key have arrived, this one included.
    pub attempt: u32,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl fmt::Debug for ReceivedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedRequest")
            .field("idempotency_key", &self.idempotency_key)
            .field("attempt", &self.attempt)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// When the receiver closes the connection instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    BeforeBooking,
    AfterBooking,
}

/// How the receiver handles one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    delay: Duration,
    cut: Option<Cut>,
}

impl Behaviour {
    /// Books the request and answers with 200.
    #[must_use]
    pub fn accept() -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            delay: Duration::ZERO,
            cut: None,
        }
    }

    /// Answers with this status. Only a success is booked.
    #[must_use]
    pub fn answer(status: StatusCode) -> Self {
        Self {
            status,
            ..Self::accept()
        }
    }

    /// Closes the connection without booking.
    #[must_use]
    pub fn drop_before_booking() -> Self {
        Self {
            cut: Some(Cut::BeforeBooking),
            ..Self::accept()
        }
    }

    /// Books the request and closes the connection without an answer.
    #[must_use]
    pub fn drop_after_booking() -> Self {
        Self {
            cut: Some(Cut::AfterBooking),
            ..Self::accept()
        }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Waits before the answer. The request is booked before that.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn is_booked(&self) -> bool {
        self.status.is_success() && self.cut != Some(Cut::BeforeBooking)
    }
}

/// Chooses the behaviour for a request.
type Script = Arc<dyn Fn(&ReceivedRequest) -> Behaviour + Send + Sync>;

/// What was booked, and how often each key was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The calls, by idempotency key.
    pub calls: BTreeMap<String, u32>,
    /// The booked keys.
    pub booked: BTreeSet<String>,
}

impl Ledger {
    fn count_call(&mut self, key: &str) -> u32 {
        let calls = self.calls.entry(key.to_owned()).or_default();
        *calls += 1;
        *calls
    }
}

struct State {
    ledger: Ledger,
    /// The effects by the notification that the event names, so that an effect under another key would be seen.
    effects: BTreeMap<String, u32>,
    script: Script,
}

type SharedState = Arc<Mutex<State>>;

fn lock(state: &SharedState) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the effects of a receiver.
#[derive(Clone)]
pub struct Effects(SharedState);

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Effects({})", self.count())
    }
}

impl Effects {
    /// Notifications with at least one effect.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.0).effects.len()
    }

    /// How often the effect of this notification happened.
    #[must_use]
    pub fn of(&self, id: &str) -> u32 {
        lock(&self.0).effects.get(id).copied().unwrap_or(0)
    }
}

/// A running receiver. It stops when it is dropped.
pub struct LedgerReceiver {
    address: SocketAddr,
    state: SharedState,
    _tasks: JoinSet<()>,
}

impl fmt::Debug for LedgerReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerReceiver")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl LedgerReceiver {
    /// Listens on a free loopback port and accepts every request, until [`LedgerReceiver::script`] says otherwise.
    ///
    /// # Errors
    /// [`LocalError::File`] if no port is available.
    pub async fn start() -> Result<Self> {
        let failed = |source| LocalError::file("127.0.0.1:0", source);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(Mutex::new(State {
            ledger: Ledger::default(),
            effects: BTreeMap::new(),
            script: Arc::new(|_| Behaviour::accept()),
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            _tasks: tasks,
        })
    }

    /// The URL that it receives at.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/notifications", self.address)
    }

    /// A copy of the ledger.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.state).ledger.clone()
    }

    /// Reads the effects without a copy of the ledger.
    #[must_use]
    pub fn effects(&self) -> Effects {
        Effects(Arc::clone(&self.state))
    }

    /// Chooses the behaviour of further requests.
    pub fn script(&self, script: impl Fn(&ReceivedRequest) -> Behaviour + Send + Sync + 'static) {
        lock(&self.state).script = Arc::new(script);
    }
}

async fn serve(listener: TcpListener, state: SharedState) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = accept(&listener).await;
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| handle(request, Arc::clone(&state)));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // An error means that the client or the script closed the connection.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The script closes the connection. hyper does so if a service fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
struct Dropped;

async fn handle(
    request: Request<Incoming>,
    state: SharedState,
) -> std::result::Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let key = parts.headers.get(IDEMPOTENCY_KEY);
    let Some(key) = key.and_then(|key| key.to_str().ok()).map(str::to_owned) else {
        return Ok(respond(&Behaviour::answer(StatusCode::BAD_REQUEST)));
    };
    let behaviour = decide(&state, key, parts.headers, body);
    tokio::time::sleep(behaviour.delay).await;
    match behaviour.cut {
        Some(_) => Err(Dropped),
        None => Ok(respond(&behaviour)),
    }
}

/// Counts a request, asks the script, and books.
fn decide(state: &SharedState, key: String, headers: HeaderMap, body: Bytes) -> Behaviour {
    let (attempt, script) = {
        let mut state = lock(state);
        (state.ledger.count_call(&key), Arc::clone(&state.script))
    };
    let request = ReceivedRequest {
        idempotency_key: key,
        attempt,
        headers,
        body,
    };
    // Without the lock, so that a script may read the ledger.
    let behaviour = script(&request);
    if behaviour.is_booked() {
        let id = subject(&request.body).unwrap_or_else(|| request.idempotency_key.clone());
        let mut state = lock(state);
        if state.ledger.booked.insert(request.idempotency_key) {
            *state.effects.entry(id).or_default() += 1;
        }
    }
    behaviour
}

/// The notification id in an event.
fn subject(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Event {
        subject: String,
    }
    let event: Event = serde_json::from_slice(body).ok()?;
    Some(event.subject)
}

fn respond(behaviour: &Behaviour) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = behaviour.status;
    response
        .headers_mut()
        .extend(behaviour.headers.iter().cloned());
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// Posts with these header lines and returns all of the answer; empty if the connection was closed.
    async fn post(receiver: &LedgerReceiver, headers: &str) -> String {
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        let request = format!(
            "POST /notifications HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n{headers}\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A closed connection may be reset.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    fn key(id: &str) -> String {
        format!("Idempotency-Key: {id}\r\n")
    }

    #[tokio::test]
    async fn books_each_key_once_and_counts_its_calls() {
        let receiver = LedgerReceiver::start().await.unwrap();
        for id in ["b", "a", "b"] {
            let answer = post(&receiver, &key(id)).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let ledger = receiver.ledger();
        assert_eq!(ledger.booked, BTreeSet::from(["a".into(), "b".into()]));
        assert_eq!(
            ledger.calls,
            BTreeMap::from([("a".into(), 1), ("b".into(), 2)])
        );
    }

    #[test]
    fn an_effect_counts_for_the_notification_that_the_event_names() {
        let state = SharedState::new(Mutex::new(State {
            ledger: Ledger::default(),
            effects: BTreeMap::new(),
            script: Arc::new(|_| Behaviour::accept()),
        }));
        for (key, body) in [
            ("a", r#"{"subject":"a","data":{"subject":"x"}}"#),
            ("a", r#"{"subject":"a"}"#),
            ("other key", r#"{"subject":"a"}"#),
            ("b", "{}"),
        ] {
            let body = Bytes::from_static(body.as_bytes());
            decide(&state, key.to_owned(), HeaderMap::new(), body);
        }
        let effects = Effects(state);
        assert_eq!(
            (effects.of("a"), effects.of("b"), effects.of("x")),
            (2, 1, 0)
        );
        assert_eq!(effects.count(), 2);
    }

    #[tokio::test]
    async fn rejects_requests_without_an_idempotency_key() {
        let receiver = LedgerReceiver::start().await.unwrap();
        let answer = post(&receiver, "").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(receiver.ledger(), Ledger::default());
    }

    #[tokio::test]
    async fn answers_as_its_script_says_and_books_only_successes() {
        let receiver = LedgerReceiver::start().await.unwrap();
        receiver.script(|request| match request.attempt {
            1 => Behaviour::answer(StatusCode::TOO_MANY_REQUESTS)
                .header(HeaderName::from_static("retry-after"), 7.into()),
            _ => Behaviour::accept(),
        });
        let answer = post(&receiver, &key("a")).await;
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(answer.contains("retry-after: 7\r\n"), "{answer}");
        assert!(receiver.ledger().booked.is_empty());
        post(&receiver, &key("a")).await;
        assert_eq!(receiver.ledger().booked.len(), 1);
    }

    #[tokio::test]
    async fn drops_connections_before_or_after_booking() {
        let receiver = LedgerReceiver::start().await.unwrap();
        receiver.script(|request| match request.idempotency_key.as_str() {
            "before" => Behaviour::drop_before_booking(),
            _ => Behaviour::drop_after_booking(),
        });
        for id in ["before", "after"] {
            assert_eq!(post(&receiver, &key(id)).await, "");
        }
        assert_eq!(receiver.ledger().booked, BTreeSet::from(["after".into()]));
    }

    #[tokio::test]
    async fn books_before_it_delays_the_answer() {
        let receiver = LedgerReceiver::start().await.unwrap();
        receiver.script(|_| Behaviour::accept().delay(Duration::from_secs(3600)));
        let name = key("a");
        let waiting = post(&receiver, &name);
        tokio::pin!(waiting);
        while receiver.ledger().booked.is_empty() {
            let answered = futures::poll!(&mut waiting);
            assert!(answered.is_pending());
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn debug_output_of_a_request_contains_no_body() {
        let request = ReceivedRequest {
            idempotency_key: "a".into(),
            attempt: 1,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"secret"),
        };
        assert!(!format!("{request:?}").contains("secret"));
    }
}
