//! The proxy between one function and its service.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use onewrite_console::lab::Fault;
use onewrite_stack::call_proxy::{Call, CallResponse, forward, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::caller::{self, Connection};
use crate::error::{LocalError, Result};
use crate::lab::switches::{Design, Place, Switches};

/// A running proxy. It stops when it is dropped.
pub(super) struct Proxy {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards calls to `upstream`. The calls of `place` have the faults of the switches.
    /// `directory` is that of the stack whose functions may be killed.
    ///
    /// # Errors
    /// [`LocalError::File`] if no port is available.
    pub(super) async fn start(
        upstream: SocketAddr,
        directory: PathBuf,
        place: Place,
        switches: Switches,
    ) -> Result<Self> {
        let failed = |source| LocalError::file("127.0.0.1:0", source);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut tasks = JoinSet::new();
        let handle = move |call: Call| {
            let (directory, switches) = (directory.clone(), switches.clone());
            async move {
                let kill = kill(&directory, call.peer, address);
                handle(call, upstream, kill, place, &switches).await
            }
        };
        tasks.spawn(serve(listener, handle));
        Ok(Self {
            address,
            _tasks: tasks,
        })
    }

    /// The URL for the function.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The operations of a place.
fn operations(place: Place) -> &'static [&'static str] {
    match place {
        Place::Store => &["PutItem"],
        Place::Send => &["PutRecords"],
        Place::Settle => &["UpdateItem", "TransactWriteItems"],
    }
}

/// Returns `None` to close the connection without a response. `kill` kills the caller.
async fn handle(
    call: Call,
    upstream: SocketAddr,
    kill: impl Future<Output = ()>,
    place: Place,
    switches: &Switches,
) -> Option<CallResponse> {
    let has_faults = operations(place).contains(&call.operation.as_str());
    let fault = has_faults
        .then(|| switches.at(Design::Onewrite, place))
        .flatten();
    match fault {
        None => forward(call.request, upstream).await.ok(),
        Some(Fault::KillIngestBeforeWrite | Fault::KillCompleteAfterEffect) => {
            kill.await;
            None
        }
        Some(Fault::KillIngestAfterWrite) => {
            let _ = forward(call.request, upstream).await;
            kill.await;
            None
        }
        Some(Fault::CutKinesis) => {
            let _ = forward(call.request, upstream).await;
            None
        }
        Some(Fault::FailEntries) => fail_entries(call, upstream).await.ok(),
        Some(Fault::ThrottleTable) => throttled().ok(),
    }
}

async fn kill(directory: &Path, caller: SocketAddr, proxy: SocketAddr) {
    let Some(connection) = Connection::new(caller, proxy) else {
        return;
    };
    match caller::kill(directory, connection).await {
        Ok(killed) => tracing::debug!(killed, "killed a function"),
        Err(error) => tracing::warn!(%error, "failed to kill a function"),
    }
}

/// The error with which DynamoDB throttles.
fn throttled() -> std::result::Result<CallResponse, hyper::http::Error> {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "a fault switch is on",
    });
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder()
        .status(StatusCode::BAD_REQUEST)
        .body(body)
}

/// Fails the last entry of `PutRecords`, and every other one before it.
///
/// The request is signed, so the proxy cannot forward a part of it. If there are entries that succeed, the failed ones are stored
/// too, which `InternalFailure` allows. A single entry is not stored.
async fn fail_entries(call: Call, upstream: SocketAddr) -> io::Result<CallResponse> {
    let request: Value = serde_json::from_slice(&call.body)?;
    let entries = request["Records"].as_array().map_or(0, Vec::len);
    if entries <= 1 {
        let failed = vec![failed_entry(); entries];
        return Ok(Response::new(put_records_response(&failed)));
    }
    let response = forward(call.request, upstream).await?;
    if !response.status().is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    let mut stored: Value = serde_json::from_slice(&body)?;
    let stored = stored["Records"].as_array_mut();
    let stored = stored.ok_or_else(|| io::Error::other("PutRecords returned no entries"))?;
    for entry in stored.iter_mut().rev().step_by(2) {
        *entry = failed_entry();
    }
    Ok(Response::new(put_records_response(stored)))
}

fn failed_entry() -> Value {
    json!({"ErrorCode": "InternalFailure", "ErrorMessage": "a fault switch is on"})
}

fn put_records_response(entries: &[Value]) -> Full<Bytes> {
    let failed = entries
        .iter()
        .filter(|entry| entry.get("ErrorCode").is_some());
    let body = json!({"FailedRecordCount": failed.count(), "Records": entries});
    Full::new(Bytes::from(body.to_string()))
}

#[cfg(test)]
mod tests;
