//! A proxy between a function and DynamoDB or Kinesis, which lets calls fail on the wire as networks and services do.
//!
//! Calls meet the faults that were asked for, operation by operation, in their order. Records of `PutRecords` can fail by
//! their partition keys too: HTTP 200, `FailedRecordCount` above 0, an error code in the record's place. Requests are
//! signed, so the proxy cannot pass on a part of one: a call in which every record fails is not passed on; a call in
//! which some fail is, and then the failed ones were in fact stored, the harder of Kinesis' two cases
//! (`InternalFailure` says nothing of the record).

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client,
    header::{CONNECTION, HeaderValue, TRANSFER_ENCODING},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What one call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WireFault {
    /// Nothing.
    None,
    /// The connection is cut before the request arrives.
    CutBefore,
    /// The request is applied, and the connection is cut before the answer.
    CutAfter,
    /// The answer comes so many milliseconds later.
    Late(u64),
    /// The request is applied, and there is never an answer.
    Silent,
    /// HTTP 500, nothing applied.
    InternalError,
    /// HTTP 503, nothing applied.
    Unavailable,
    /// Throttled, in the form of the services' JSON protocols; nothing applied.
    Throttled,
    /// Every record but the first is stored and reported as failed. Of `PutRecords` alone.
    PartlyFailed,
}

/// What is still to go wrong.
#[derive(Default)]
struct Faults {
    /// By operation.
    calls: BTreeMap<String, VecDeque<WireFault>>,
    /// How often the records of each partition key are still to fail.
    records: BTreeMap<String, u32>,
    /// How often each fault was met.
    met: BTreeMap<WireFault, usize>,
}

type Plan = Arc<Mutex<Faults>>;

/// A running proxy; it ends when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    plan: Plan,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Listens on a free loopback port and passes requests on to `upstream`.
    ///
    /// # Errors
    /// No port to be had.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let plan = Plan::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, Arc::clone(&plan)));
        Ok(Self {
            address,
            plan,
            _tasks: tasks,
        })
    }

    /// The endpoint to give to a client.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next calls of an operation meet these, in their order.
    pub fn script(&self, operation: &str, faults: impl IntoIterator<Item = WireFault>) {
        let mut plan = lock(&self.plan);
        let calls = plan.calls.entry(operation.to_owned()).or_default();
        calls.extend(faults);
    }

    /// Forgets the scripts: from here on every call arrives.
    pub fn relent(&self) {
        lock(&self.plan).calls.clear();
    }

    /// How many calls are still to come of those that a script speaks of.
    #[must_use]
    pub fn scripted(&self) -> usize {
        lock(&self.plan).calls.values().map(VecDeque::len).sum()
    }

    /// How often each fault was met.
    #[must_use]
    pub fn met(&self) -> BTreeMap<WireFault, usize> {
        lock(&self.plan).met.clone()
    }

    /// Lets the next `times` records of `partition_key` fail.
    pub fn fail(&self, partition_key: &str, times: u32) {
        lock(&self.plan)
            .records
            .insert(partition_key.to_owned(), times);
    }

    /// How many of the failures of records are still to come: 0 means that the fault did happen.
    #[must_use]
    pub fn left(&self) -> u32 {
        lock(&self.plan).records.values().sum()
    }
}

fn lock(plan: &Plan) -> std::sync::MutexGuard<'_, Faults> {
    plan.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn accept(listener: TcpListener, upstream: SocketAddr, plan: Plan) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let plan = Arc::clone(&plan);
        connections.spawn(async move {
            let answer = service_fn(move |request| handle(request, upstream, Arc::clone(&plan)));
            // A client that hangs up is its own affair.
            let _ = server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn handle(
    request: Request<Incoming>,
    upstream: SocketAddr,
    plan: Plan,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split('.').next_back());
    let operation = operation.unwrap_or_default().to_owned();
    let fault = next_fault(&plan, &operation);
    let request = Request::from_parts(parts, Full::new(body.clone()));
    match fault {
        // An error here closes the connection without a word.
        WireFault::CutBefore => bail!("cut before the request"),
        WireFault::CutAfter => {
            forward(request, upstream).await?;
            bail!("cut before the answer")
        }
        WireFault::Silent => {
            forward(request, upstream).await?;
            pending().await
        }
        WireFault::Late(millis) => {
            let response = forward(request, upstream).await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            response
        }
        WireFault::InternalError => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        WireFault::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        WireFault::Throttled => error(
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
        ),
        WireFault::None | WireFault::PartlyFailed if operation == "PutRecords" => {
            let is_partly = fault == WireFault::PartlyFailed;
            let failing = take_failing(&plan, &body, is_partly)?;
            put_records(request, upstream, failing).await
        }
        WireFault::None | WireFault::PartlyFailed => forward(request, upstream).await,
    }
}

fn next_fault(plan: &Plan, operation: &str) -> WireFault {
    let mut plan = lock(plan);
    let next = plan.calls.get_mut(operation).and_then(VecDeque::pop_front);
    let fault = next.unwrap_or(WireFault::None);
    *plan.met.entry(fault).or_default() += 1;
    fault
}

/// An error of the JSON protocols of DynamoDB and Kinesis.
fn error(status: StatusCode, code: &str) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = json!({"__type": format!("com.amazonaws#{code}"), "message": "a fault on the wire"});
    let body = Full::new(Bytes::from(body.to_string()));
    Ok(Response::builder().status(status).body(body)?)
}

async fn put_records(
    request: Request<Full<Bytes>>,
    upstream: SocketAddr,
    failing: Vec<bool>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    if !failing.is_empty() && failing.iter().all(|fails| *fails) {
        return Ok(Response::new(answer(&vec![failed_entry(); failing.len()])?));
    }
    let response = forward(request, upstream).await?;
    if !response.status().is_success() || !failing.contains(&true) {
        return Ok(response);
    }
    let (_, body) = response.into_parts();
    let mut stored: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let entries = stored["Records"]
        .as_array_mut()
        .context("PutRecords answered without Records")?;
    for (entry, fails) in entries.iter_mut().zip(failing) {
        if fails {
            *entry = failed_entry();
        }
    }
    Ok(Response::new(answer(entries)?))
}

/// For each record of the request, whether it is to fail; each failure is used up.
fn take_failing(plan: &Plan, body: &[u8], is_partly: bool) -> anyhow::Result<Vec<bool>> {
    let request: Value = serde_json::from_slice(body)?;
    let records = request["Records"]
        .as_array()
        .context("PutRecords without Records")?;
    let plan = &mut lock(plan).records;
    let mut fails = |(place, record): (usize, &Value)| match record["PartitionKey"]
        .as_str()
        .and_then(|key| plan.get_mut(key))
    {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => is_partly && place > 0,
    };
    Ok(records.iter().enumerate().map(&mut fails).collect())
}

fn failed_entry() -> Value {
    json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"})
}

fn answer(entries: &[Value]) -> anyhow::Result<Full<Bytes>> {
    let failed = entries
        .iter()
        .filter(|entry| entry.get("ErrorCode").is_some())
        .count();
    let body = serde_json::to_vec(&json!({"FailedRecordCount": failed, "Records": entries}))?;
    Ok(Full::new(Bytes::from(body)))
}

async fn forward(
    mut request: Request<Full<Bytes>>,
    upstream: SocketAddr,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let stream = TcpStream::connect(upstream).await?;
    // Each request has a connection of its own. The emulator keeps one open long after its client has left, so it is
    // told to close it.
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        drop(sender);
        anyhow::Ok(Response::from_parts(parts, Full::new(body)))
    };
    let (response, _) = tokio::join!(exchange, connection);
    let (mut parts, body) = response?.into_parts();
    // The body arrives whole, whatever its framing was upstream, and the function keeps its connection.
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONNECTION);
    Ok(Response::from_parts(parts, body))
}
