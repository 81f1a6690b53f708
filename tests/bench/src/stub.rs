//! A stub of DynamoDB, Kinesis and SQS with TLS, keep-alive and a configurable latency. It counts calls and stores nothing. It does
//! as little as possible, so that the benchmark does not measure the stub.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::events::fingerprint;

/// Where Linux distributions store trusted certificate authorities. Lambda uses the first.
const SYSTEM_BUNDLES: [&str; 2] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// A running stub. Dropping it stops the server.
pub struct Stub {
    address: SocketAddr,
    bundle: PathBuf,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    latency_micros: AtomicU64,
    calls: Mutex<BTreeMap<String, u64>>,
    connections: AtomicU64,
}

impl Stub {
    /// Listens on the loopback interface. The certificate authorities of this machine and of the stub are written to a file
    /// in `directory`, because functions on Lambda also read about 140 authorities.
    ///
    /// # Errors
    /// If no port is available, or the certificate or the file cannot be created.
    pub async fn start(directory: &Path) -> Result<Self> {
        let (acceptor, authority) = certificates()?;
        let bundle = directory.join("authorities.pem");
        let system = SYSTEM_BUNDLES
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok());
        let all = system.unwrap_or_default() + "\n" + &authority;
        std::fs::write(&bundle, all).with_context(|| bundle.display().to_string())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, Arc::clone(&state)));
        Ok(Self {
            address,
            bundle,
            state,
            _tasks: tasks,
        })
    }

    /// The URL for `AWS_ENDPOINT_URL_DYNAMODB` and `AWS_ENDPOINT_URL_KINESIS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The file of authorities that a function must trust.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Sets the latency of each call.
    pub fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.state.latency_micros.store(micros, Ordering::Relaxed);
    }

    /// Returns the calls by operation, and resets the counters.
    #[must_use]
    pub fn reset_calls(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.state.calls())
    }

    /// Number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl State {
    fn calls(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An authority of this run's own, and a server that it vouches for.
fn certificates() -> Result<(TlsAcceptor, String)> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With one name for both, OpenSSL takes the server for its own authority.
    let names = &mut authority.distinguished_name;
    names.push(DnType::CommonName, "authority of the bench");
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority_pem))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        // A response must not wait for a full segment.
        let _ = stream.set_nodelay(true);
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            state.connections.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(|request| respond(request, &state));
            // A killed function breaks its connections.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split_once('.'));
    // Functions open connections by a request without an operation.
    let operation = operation.map_or(parts.method.as_str(), |(_, operation)| operation);
    *state.calls().entry(operation.to_owned()).or_default() += 1;
    let latency = Duration::from_micros(state.latency_micros.load(Ordering::Relaxed));
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut response = Response::new(Full::from(body_of(operation, &body)));
    let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// A successful response for every entry of the request. The search for a JSON key includes its quotes, which would be escaped
/// within a string.
fn body_of(operation: &str, request: &[u8]) -> String {
    let count = |key: &str| memmem::find_iter(request, key).count();
    match operation {
        "PutRecords" => {
            const ENTRY: &str = r#"{"SequenceNumber":"49668899999999999999999999999999999999999999999999999001","ShardId":"shardId-000000000000"}"#;
            let entries = vec![ENTRY; count(r#""PartitionKey":"#)].join(",");
            format!(r#"{{"FailedRecordCount":0,"Records":[{entries}]}}"#)
        }
        "SendMessageBatch" => {
            let sent = |index: usize| format!(r#"{{"Id":"{index}","MessageId":"m","MD5OfMessageBody":"m"}}"#);
            let entries: Vec<_> = (0..count(r#""Id":"#)).map(sent).collect();
            format!(r#"{{"Successful":[{}],"Failed":[]}}"#, entries.join(","))
        }
        "BatchGetItem" => current_states(request),
        "PutRecord" => r#"{"SequenceNumber":"49668899999999999999999999999999999999999999999999999001","ShardId":"shardId-000000000000"}"#.to_owned(),
        _ => "{}".to_owned(),
    }
}

/// Every notification is in INIT.
fn current_states(request: &[u8]) -> String {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    let keys = tables.flat_map(|(_, table)| table["Keys"].as_array().into_iter().flatten());
    let item = |key: &Value| {
        let fingerprint = fingerprint(key["notification_id"]["S"].as_str()?)?;
        Some(json!({
            "notification_id": key["notification_id"],
            "status": {"S": "INIT"},
            "version": {"N": "1"},
            "fingerprint": {"B": BASE64_STANDARD.encode(fingerprint.as_bytes())},
        }))
    };
    let items: Vec<Value> = keys.filter_map(item).collect();
    json!({"Responses": {"notifications": items}, "UnprocessedKeys": {}}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responds_to_each_entry_but_not_to_keys_within_strings() {
        let entry = r#"{"Data":"e30=","PartitionKey":"a \"PartitionKey\": b"}"#;
        let request = format!(r#"{{"StreamName":"s","Records":[{entry},{entry}]}}"#);
        let response: serde_json::Value =
            serde_json::from_str(&body_of("PutRecords", request.as_bytes())).unwrap();
        assert_eq!(response["Records"].as_array().unwrap().len(), 2);
    }
}
