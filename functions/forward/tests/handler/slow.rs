//! A stream that is slow, and what it stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use onewrite::{event::EventSource, limits::PUT_RECORDS_TIMEOUT, stream::Record};
use onewrite_forward::{change::ChangeEvent, handler::Forward};
use onewrite_runtime::{budget::Budget, observer::Observer};
use onewrite_testing::{
    Change, FaultyStream, InMemoryStream, SlowPath, StreamFault, contract, lambda_event,
};
use proptest::prelude::*;

use crate::support::{CallRecorder, change_of, number, stored};

/// As the default timeout of the function.
const INVOCATION: Duration = Duration::from_secs(60);

/// A process of the function whose path to the stream is slow.
struct Process {
    inner: InMemoryStream,
    stream: CallRecorder<FaultyStream<InMemoryStream>>,
    forward: Forward<CallRecorder<FaultyStream<InMemoryStream>>>,
}

impl Process {
    fn new(path: impl Fn(usize) -> Option<SlowPath> + Send + Sync + 'static) -> Self {
        let inner = InMemoryStream::new(2);
        let slow = FaultyStream::new(inner.clone(), move |number, _| {
            path(number).map_or_else(StreamFault::default, StreamFault::Slow)
        });
        let stream = CallRecorder::new(slow);
        Self {
            inner,
            forward: Forward::new(stream.clone(), EventSource::default())
                .with_observer(Observer::default().with_metrics(|_| ())),
            stream,
        }
    }

    /// Delivers `changes` until they are published, as Lambda does. Returns the number of invocations.
    async fn deliver(&self, changes: &[Change]) -> usize {
        let mut from = 0;
        for invocation in 1..100 {
            let event: ChangeEvent = lambda_event::dynamodb(&changes[from..]);
            let budget = Budget::from_remaining(None, INVOCATION);
            let response = self.forward.handle(event, budget).await.unwrap();
            let Some(failure) = response.batch_item_failures.first() else {
                return invocation;
            };
            let reported = failure.item_identifier.clone().unwrap();
            from = (0..changes.len())
                .find(|place| number(*place) == reported)
                .unwrap();
        }
        panic!("it never ends");
    }

    fn sizes(&self) -> Vec<usize> {
        let bytes = |call: &Vec<Record>| call.iter().map(Record::bytes).sum();
        self.stream.calls().iter().map(bytes).collect()
    }

    /// How often the stream stores the record that it stores most often.
    fn most_copies(&self) -> usize {
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for event in stored(&self.inner) {
            *copies.entry(event).or_default() += 1;
        }
        copies.into_values().max().unwrap_or_default()
    }
}

/// Changes to INIT with payloads of this size.
fn changes(count: usize, payload_bytes: usize) -> Vec<Change> {
    let payload = format!("\"{}\"", "x".repeat(payload_bytes));
    let change = |place| {
        let item = contract::notification(&format!("n{place}"), &payload);
        change_of(place, &item, false)
    };
    (0..count).map(change).collect()
}

const KIB: usize = 1024;

/// A path with this bandwidth.
fn path(kib_per_second: u32) -> SlowPath {
    SlowPath {
        latency: Duration::from_millis(20),
        bytes_per_second: kib_per_second * 1024,
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_call_passes_over_a_path_of_one_mebibyte_per_second() {
    let process = Process::new(|_| Some(path(1024)));
    let changes = changes(500, 9 * KIB);
    assert_eq!(process.deliver(&changes).await, 1);
    assert_eq!(process.most_copies(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_shrink_until_a_slow_stream_confirms_them() {
    let process = Process::new(|_| Some(path(100)));
    let changes = changes(500, 9 * KIB);
    process.deliver(&changes).await;
    // 4.5, 2.2 and 1.1 MiB take too long.
    assert_eq!(process.most_copies(), 4);
    let copies = stored(&process.inner).len();
    assert!(copies < 3 * changes.len(), "{copies}");
}

#[tokio::test(start_paused = true)]
async fn the_next_invocation_begins_with_the_size_that_passed() {
    let process = Process::new(|_| Some(path(100)));
    process.deliver(&changes(500, 9 * KIB)).await;
    let calls = process.sizes().len();
    process.deliver(&changes(50, 9 * KIB)).await;
    let first = path(100).time(process.sizes()[calls]);
    assert!(first <= PUT_RECORDS_TIMEOUT, "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_grow_again_when_the_stream_is_quick_again() {
    let process = Process::new(|call| (call < 5).then(|| path(20)));
    process.deliver(&changes(500, 4 * KIB)).await;
    let sizes = process.sizes();
    assert!(sizes.windows(2).take(4).all(|pair| pair[1] < pair[0]));
    process.deliver(&changes(500, 4 * KIB)).await;
    let calls = process.sizes().len();
    process.deliver(&changes(500, 4 * KIB)).await;
    assert_eq!(process.sizes().len(), calls + 1, "one full call");
}

#[tokio::test(start_paused = true)]
async fn calls_grow_again_although_every_answer_is_slow() {
    let slow = SlowPath {
        latency: PUT_RECORDS_TIMEOUT / 2,
        bytes_per_second: u32::MAX,
    };
    let stopped = SlowPath {
        latency: Duration::MAX,
        ..slow
    };
    let process = Process::new(move |call| Some(if call < 9 { stopped } else { slow }));
    process.deliver(&changes(500, KIB)).await;
    let calls = process.stream.calls();
    let most = calls.iter().skip(10).map(Vec::len).max().unwrap();
    assert!(most >= 8, "{most}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bandwidth and the latency, if single records pass, every change is published, and no event is stored more
    /// often than a call can be halved, and once more for each invocation that its end cut off.
    #[test]
    fn a_slow_stream_stores_each_event_a_few_times(
        kib_per_second in 5..400_u32,
        latency_ms in 0..3_000_u64,
        payload_bytes in 100..5_000_usize,
        count in 1..300_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let slow = SlowPath { latency: Duration::from_millis(latency_ms), ..path(kib_per_second) };
        let process = Process::new(move |_| Some(slow));
        let changes = changes(count, payload_bytes);
        let invocations = runtime.block_on(process.deliver(&changes));
        let stored = stored(&process.inner);
        prop_assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), count);
        let most = process.most_copies();
        prop_assert!(most <= count.ilog2() as usize + 1 + invocations, "{}", most);
        prop_assert!(stored.len() <= 4 * count + 2 * invocations, "{}", stored.len());
    }
}
