//! The real adapter of the stream, through the proxy, to a server that only stores records.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use onewrite::event::EventSource;
use onewrite_aws::kinesis::KinesisStream;
use onewrite_forward::{change::ChangeEvent, handler::Forward};
use onewrite_local::{clients, emulator::Credentials};
use onewrite_runtime::{budget::Budget, observer::Observer};
use onewrite_testing::{InMemoryTable, contract};

use super::*;

/// Per partition key, how often its record was stored.
type Copies = Arc<Mutex<BTreeMap<String, usize>>>;

/// Starts a server that stores every record of every `PutRecords` call.
async fn start_kinesis(copies: &Copies) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let copies = Arc::clone(copies);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, move |call: Call| {
        let response = Response::new(store(&copies, &call.body));
        async { Some(response) }
    }));
    (address, tasks)
}

fn store(copies: &Copies, body: &[u8]) -> Full<Bytes> {
    let request: Value = serde_json::from_slice(body).unwrap();
    let records = request["Records"].as_array().unwrap();
    let mut copies = copies.lock().unwrap();
    for record in records {
        let key = record["PartitionKey"].as_str().unwrap().to_owned();
        *copies.entry(key).or_default() += 1;
    }
    let stored = json!({"ShardId": "shardId-000000000000", "SequenceNumber": "49"});
    put_records_body(&vec![stored; records.len()]).unwrap()
}

/// The changes of new notifications with payloads of this size.
async fn changes(count: usize, payload_bytes: usize) -> ChangeEvent {
    use onewrite::table::NewNotifications as _;
    let table = InMemoryTable::default();
    let payload = format!("\"{}\"", "x".repeat(payload_bytes));
    for n in 0..count {
        let item = contract::notification(&format!("n{n}"), &payload);
        table.insert(&item).await.unwrap();
    }
    table.stream_event()
}

/// With calls of one size, no call would ever be answered in time, and each retry would store all records again.
#[tokio::test]
async fn calls_of_the_real_adapter_shrink_until_a_slow_stream_confirms_them() {
    const RECORDS: usize = 300;
    /// A record of 9 KB takes 4 ms, and all of them take 1.2 s.
    const BYTES_PER_SECOND: u32 = 3 * 1024 * 1024;
    const TIMEOUT: Duration = Duration::from_millis(300);
    /// A call can be halved nine times. A busy machine can delay some responses.
    const MOST_COPIES: usize = 20;

    let copies = Copies::default();
    let (kinesis, _server) = start_kinesis(&copies).await;
    let proxy = FaultProxy::start(kinesis).await.unwrap();
    let slow = WireFault::Slow(BYTES_PER_SECOND);
    proxy.script("PutRecords", std::iter::repeat_n(slow, 100 * RECORDS));
    let credentials = Credentials {
        access_key_id: "k".to_owned(),
        secret_access_key: "s".to_owned(),
    };
    let config = clients::config(&proxy.endpoint(), &credentials);
    let forward = Forward::new(
        KinesisStream::new(&config, "events"),
        EventSource::default(),
    )
    .with_call_timeout(TIMEOUT)
    .with_observer(Observer::default().with_metrics(|_| ()));
    let budget = Budget::from_remaining(None, Duration::from_secs(60));
    let event = changes(RECORDS, 9 * 1024).await;
    let response = forward.handle(event, budget).await.unwrap();
    assert!(response.batch_item_failures.is_empty());
    let copies = copies.lock().unwrap();
    assert_eq!(copies.len(), RECORDS);
    let most = *copies.values().max().unwrap();
    // The first calls were too large.
    assert!((2..=MOST_COPIES).contains(&most), "{most}");
}
