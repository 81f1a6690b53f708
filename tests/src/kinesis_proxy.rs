//! A proxy between `forward` and Kinesis that lets chosen records of a `PutRecords` call fail, as Kinesis does: HTTP 200,
//! `FailedRecordCount` above 0, an error code in the record's place.
//!
//! Requests are signed, so it cannot pass on a part of one. A call in which every record fails is not passed on; a call
//! in which some fail is, and then the failed ones were in fact stored: the harder of Kinesis' two cases
//! (`InternalFailure` says nothing of the record).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How often the records of each partition key are still to fail.
type Plan = Arc<Mutex<BTreeMap<String, u32>>>;

/// A running proxy; it ends when it is dropped.
pub struct KinesisProxy {
    address: SocketAddr,
    plan: Plan,
    _tasks: JoinSet<()>,
}

impl KinesisProxy {
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

    /// Lets the next `times` records of `partition_key` fail.
    pub fn fail(&self, partition_key: &str, times: u32) {
        lock(&self.plan).insert(partition_key.to_owned(), times);
    }

    /// How many of the failures asked for are still to come: 0 means that the fault did happen.
    #[must_use]
    pub fn left(&self) -> u32 {
        lock(&self.plan).values().sum()
    }
}

fn lock(plan: &Plan) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
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
    let put_records = parts
        .headers
        .get("x-amz-target")
        .is_some_and(|target| target.as_bytes().ends_with(b".PutRecords"));
    let failing = if put_records {
        take_failing(&plan, &body)?
    } else {
        Vec::new()
    };
    if !failing.is_empty() && failing.iter().all(|fails| *fails) {
        return Ok(Response::new(answer(&vec![failed_entry(); failing.len()])?));
    }
    let response = forward(Request::from_parts(parts, Full::new(body)), upstream).await?;
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
fn take_failing(plan: &Plan, body: &[u8]) -> anyhow::Result<Vec<bool>> {
    let request: Value = serde_json::from_slice(body)?;
    let records = request["Records"]
        .as_array()
        .context("PutRecords without Records")?;
    let mut plan = lock(plan);
    let mut fails = |record: &Value| match record["PartitionKey"]
        .as_str()
        .and_then(|key| plan.get_mut(key))
    {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    };
    Ok(records.iter().map(&mut fails).collect())
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
    request: Request<Full<Bytes>>,
    upstream: SocketAddr,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        drop(sender);
        anyhow::Ok(Response::from_parts(parts, Full::new(body)))
    };
    let (response, _) = tokio::join!(exchange, connection);
    let (mut parts, body) = response?.into_parts();
    // The body arrives whole, whatever its framing was upstream.
    parts.headers.remove(hyper::header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, body))
}
