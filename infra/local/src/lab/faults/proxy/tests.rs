//! Each fault, against a server that only counts calls.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// A server that answers every call, and the proxy in front of it.
struct Stub {
    calls: Arc<AtomicUsize>,
    proxy: Proxy,
    switches: Switches,
    _server: JoinSet<()>,
}

impl Stub {
    async fn start(place: Place, directory: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut server = JoinSet::new();
        server.spawn(serve(listener, move |call: Call| {
            counted.fetch_add(1, Ordering::SeqCst);
            let request: Value = serde_json::from_slice(&call.body).unwrap();
            let entries = request["Records"].as_array().map_or(0, Vec::len);
            let stored = vec![json!({"ShardId": "0", "SequenceNumber": "1"}); entries];
            async move { Some(Response::new(put_records_response(&stored))) }
        }));
        let switches = Switches::default();
        let proxy = Proxy::start(upstream, directory.to_path_buf(), place, switches.clone()).await;
        Self {
            calls,
            proxy: proxy.unwrap(),
            switches,
            _server: server,
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Calls an operation. Returns status and body; `None` if the connection was closed.
    async fn call(&self, operation: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(self.proxy.address).await.unwrap();
        let request = request(operation, body);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A closed connection may be reset.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap()))
    }
}

fn request(operation: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: Service_1.{operation}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// A directory that no process runs in.
const NOWHERE: &str = "/nowhere/stack";

fn entries(count: usize) -> String {
    json!({"Records": vec![json!({"PartitionKey": "a"}); count]}).to_string()
}

#[tokio::test]
async fn other_operations_have_no_faults() {
    let stub = Stub::start(Place::Store, Path::new(NOWHERE)).await;
    stub.switches.set(Fault::ThrottleTable, 1);
    assert_eq!(stub.call("BatchGetItem", "{}").await.unwrap().0, 200);
    assert_eq!(stub.switches.left(Design::Onewrite).len(), 1);
    assert_eq!(stub.call("PutItem", "{}").await.unwrap().0, 400);
    assert_eq!(stub.call("PutItem", "{}").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_throttled_call_does_not_arrive() {
    let stub = Stub::start(Place::Settle, Path::new(NOWHERE)).await;
    stub.switches.set(Fault::ThrottleTable, 2);
    for operation in ["UpdateItem", "TransactWriteItems"] {
        let (status, body) = stub.call(operation, "{}").await.unwrap();
        let code = body["__type"].as_str().unwrap();
        assert!(
            code.ends_with("#ProvisionedThroughputExceededException"),
            "{code}"
        );
        assert_eq!(status, 400);
    }
    assert_eq!(stub.calls(), 0);
}

#[tokio::test]
async fn a_cut_call_arrives_and_has_no_response() {
    let stub = Stub::start(Place::Send, Path::new(NOWHERE)).await;
    stub.switches.set(Fault::CutKinesis, 1);
    assert_eq!(stub.call("PutRecords", &entries(2)).await, None);
    assert_eq!(stub.calls(), 1);
    assert_eq!(stub.call("PutRecords", &entries(2)).await.unwrap().0, 200);
}

#[tokio::test]
async fn every_other_entry_fails_and_is_stored() {
    let stub = Stub::start(Place::Send, Path::new(NOWHERE)).await;
    stub.switches.set(Fault::FailEntries, 1);
    let (status, body) = stub.call("PutRecords", &entries(4)).await.unwrap();
    let fails = body["Records"].as_array().unwrap().iter();
    let fails: Vec<bool> = fails
        .map(|entry| entry.get("ErrorCode").is_some())
        .collect();
    assert_eq!(fails, [false, true, false, true]);
    assert_eq!((status, &body["FailedRecordCount"]), (200, &json!(2)));
    assert_eq!(stub.calls(), 1);
}

#[tokio::test]
async fn a_single_entry_fails_and_is_not_stored() {
    let stub = Stub::start(Place::Send, Path::new(NOWHERE)).await;
    stub.switches.set(Fault::FailEntries, 1);
    let (_, body) = stub.call("PutRecords", &entries(1)).await.unwrap();
    assert_eq!(body["FailedRecordCount"], 1);
    assert_eq!(stub.calls(), 0);
}

/// Python, as a stand-in for a function: it makes a call, and ends with it unless it is killed. The proxy recognises functions by the
/// path of their program.
#[tokio::test]
async fn the_function_that_made_the_call_is_killed_before_or_after_its_write() {
    use std::os::unix::process::ExitStatusExt as _;
    for (fault, place, operation, calls) in [
        (Fault::KillIngestBeforeWrite, Place::Store, "PutItem", 0),
        (Fault::KillIngestAfterWrite, Place::Store, "PutItem", 1),
        (
            Fault::KillCompleteAfterEffect,
            Place::Settle,
            "UpdateItem",
            0,
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let functions = directory.path().join("functions");
        std::fs::create_dir(&functions).unwrap();
        let program = functions.join("ingest-1");
        std::os::unix::fs::symlink("/bin/bash", &program).unwrap();
        let stub = Stub::start(place, directory.path()).await;
        stub.switches.set(fault, 1);
        let port = stub.proxy.address.port();
        let request = request(operation, "{}");
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; printf '%s' \"$REQUEST\" >&3; read -r line <&3; exit 0"
        );
        let bash = |script: &str| {
            let mut command = Command::new(&program);
            command.args(["-c", script]).env("REQUEST", &request);
            command.stdin(Stdio::piped()).spawn().unwrap()
        };
        // Another instance of the function, which waits for its end.
        let mut other = bash("read -r line; exit 0");
        let mut caller = bash(&script);
        let status = tokio::task::spawn_blocking(move || caller.wait().unwrap())
            .await
            .unwrap();
        assert_eq!(status.signal(), Some(9), "{fault:?}");
        assert_eq!(stub.calls(), calls, "{fault:?}");
        assert!(
            other.try_wait().unwrap().is_none(),
            "only the caller is killed"
        );
        drop(other.stdin.take());
        assert_eq!(other.wait().unwrap().code(), Some(0));
    }
}
