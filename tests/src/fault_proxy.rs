//! A proxy between a function and DynamoDB or Kinesis that makes calls fail as networks and services do.
//!
//! Each operation has a script of faults for its next calls. Records of `PutRecords` can also fail by their partition key:
//! HTTP 200, a positive `FailedRecordCount` and an error code in the record's place. Requests are signed, so the proxy
//! cannot forward a part of one. If every record fails, it does not forward the request. If some records fail, it forwards
//! the request, so the failed records are stored too. That is the harder of two cases, because `InternalFailure` does not
//! say whether Kinesis stored the record.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Bytes};
use onewrite_stack::call_proxy::{Call, CallResponse, forward, serve};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WireFault {
    /// No fault.
    None,
    /// The connection is cut before the request arrives.
    CutBefore,
    /// The request is applied, and the connection is cut before the response.
    CutAfter,
    /// The response is delayed by this many milliseconds.
    Late(u64),
    /// The request is applied, and no response arrives.
    Silent,
    /// The body of the request takes its time at this many bytes per second. Then the request is applied, even if the client no
    /// longer waits for the response.
    Slow(u32),
    /// HTTP 500; the request is not applied.
    InternalError,
    /// HTTP 503; the request is not applied.
    Unavailable,
    /// A throttling error of the services' JSON protocols; the request is not applied.
    Throttled,
    /// `PutRecords` only: every record but the first is stored and reported as failed.
    PartlyFailed,
}

#[derive(Default)]
struct Faults {
    /// The scripts, by operation.
    calls: BTreeMap<String, VecDeque<WireFault>>,
    /// The remaining failures of records, by partition key.
    records: BTreeMap<String, u32>,
    /// The number of calls with each fault.
    injected: BTreeMap<WireFault, usize>,
}

type SharedFaults = Arc<Mutex<Faults>>;

/// A running proxy. It stops when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    faults: SharedFaults,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Listens on a free loopback port and forwards requests to `upstream`.
    ///
    /// # Errors
    /// No port is available.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let faults = SharedFaults::default();
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&faults);
        let handle = move |call| {
            let faults = Arc::clone(&shared);
            async move { handle(call, upstream, faults).await.ok() }
        };
        tasks.spawn(serve(listener, handle));
        Ok(Self {
            address,
            faults,
            _tasks: tasks,
        })
    }

    /// The endpoint for a client.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Appends to the script of an operation: one entry for each call.
    pub fn script(&self, operation: &str, script: impl IntoIterator<Item = WireFault>) {
        let mut faults = lock(&self.faults);
        let calls = faults.calls.entry(operation.to_owned()).or_default();
        calls.extend(script);
    }

    /// Discards all scripts, so that every further call succeeds.
    pub fn clear(&self) {
        lock(&self.faults).calls.clear();
    }

    /// The number of calls that the scripts still cover.
    #[must_use]
    pub fn scripted(&self) -> usize {
        lock(&self.faults).calls.values().map(VecDeque::len).sum()
    }

    /// The number of calls of this operation that its script still covers.
    #[must_use]
    pub fn scripted_of(&self, operation: &str) -> usize {
        let faults = lock(&self.faults);
        faults.calls.get(operation).map_or(0, VecDeque::len)
    }

    /// The number of calls with each fault so far.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<WireFault, usize> {
        lock(&self.faults).injected.clone()
    }

    /// Makes the next `times` records of `partition_key` fail.
    pub fn fail(&self, partition_key: &str, times: u32) {
        lock(&self.faults)
            .records
            .insert(partition_key.to_owned(), times);
    }

    /// The number of record failures that are still to happen.
    #[must_use]
    pub fn left(&self) -> u32 {
        lock(&self.faults).records.values().sum()
    }
}

fn lock(faults: &SharedFaults) -> std::sync::MutexGuard<'_, Faults> {
    faults
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn handle(
    call: Call,
    upstream: SocketAddr,
    faults: SharedFaults,
) -> anyhow::Result<CallResponse> {
    let Call {
        operation,
        body,
        request,
        ..
    } = call;
    let fault = next_fault(&faults, &operation);
    match fault {
        // An error here closes the connection without a response.
        WireFault::CutBefore => bail!("cut before the request"),
        WireFault::CutAfter => {
            forward(request, upstream).await?;
            bail!("cut before the response")
        }
        WireFault::Silent => {
            forward(request, upstream).await?;
            pending().await
        }
        WireFault::Late(millis) => {
            let response = forward(request, upstream).await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(response?)
        }
        WireFault::Slow(bytes_per_second) => {
            let seconds = body.len() as f64 / f64::from(bytes_per_second);
            // In another task, because this one ends with the connection.
            let slow = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                forward(request, upstream).await
            });
            Ok(slow.await??)
        }
        WireFault::InternalError => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        WireFault::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        WireFault::Throttled => error(
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
        ),
        WireFault::None | WireFault::PartlyFailed if operation == "PutRecords" => {
            let is_partly = fault == WireFault::PartlyFailed;
            let failing = failing_records(&faults, &body, is_partly)?;
            put_records(request, upstream, failing).await
        }
        WireFault::None | WireFault::PartlyFailed => Ok(forward(request, upstream).await?),
    }
}

fn next_fault(faults: &SharedFaults, operation: &str) -> WireFault {
    let mut faults = lock(faults);
    let script = faults.calls.get_mut(operation);
    let next = script.and_then(VecDeque::pop_front);
    let fault = next.unwrap_or(WireFault::None);
    *faults.injected.entry(fault).or_default() += 1;
    fault
}

/// An error response of the JSON protocols of DynamoDB and Kinesis.
fn error(status: StatusCode, code: &str) -> anyhow::Result<CallResponse> {
    let body = json!({"__type": format!("com.amazonaws#{code}"), "message": "a fault on the wire"});
    let body = Full::new(Bytes::from(body.to_string()));
    Ok(Response::builder().status(status).body(body)?)
}

async fn put_records(
    request: Request<Full<Bytes>>,
    upstream: SocketAddr,
    failing: Vec<bool>,
) -> anyhow::Result<CallResponse> {
    if !failing.is_empty() && failing.iter().all(|fails| *fails) {
        return Ok(Response::new(put_records_body(&vec![
            failed_entry();
            failing.len()
        ])?));
    }
    let response = forward(request, upstream).await?;
    if !response.status().is_success() || !failing.contains(&true) {
        return Ok(response);
    }
    let (_, body) = response.into_parts();
    let mut stored: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let entries = stored["Records"]
        .as_array_mut()
        .context("the PutRecords response has no Records")?;
    for (entry, fails) in entries.iter_mut().zip(failing) {
        if fails {
            *entry = failed_entry();
        }
    }
    Ok(Response::new(put_records_body(entries)?))
}

/// Whether each record of the request fails. Counts down the remaining failures.
fn failing_records(
    faults: &SharedFaults,
    body: &[u8],
    is_partly: bool,
) -> anyhow::Result<Vec<bool>> {
    let request: Value = serde_json::from_slice(body)?;
    let records = request["Records"]
        .as_array()
        .context("the PutRecords request has no Records")?;
    let remaining = &mut lock(faults).records;
    let mut fails = |(place, record): (usize, &Value)| match record["PartitionKey"]
        .as_str()
        .and_then(|key| remaining.get_mut(key))
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

fn put_records_body(entries: &[Value]) -> anyhow::Result<Full<Bytes>> {
    let failed = entries
        .iter()
        .filter(|entry| entry.get("ErrorCode").is_some())
        .count();
    let body = serde_json::to_vec(&json!({"FailedRecordCount": failed, "Records": entries}))?;
    Ok(Full::new(Bytes::from(body)))
}

#[cfg(test)]
mod tests;
