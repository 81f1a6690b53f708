//! Redelivered batches, and windows of a batch.

use std::cell::RefCell;

use onewrite::{
    event::EventSource,
    limits::{MAX_PUT_RECORDS_BYTES, MAX_RECORD_BYTES},
    stream::Record,
};
use onewrite_forward::handler::Forward;
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{
    Change, EntryFault, Fault, FaultyStream, InMemoryStream, StreamFault, contract, lambda_event,
};

use crate::support::{BUDGET, CallRecorder, change, change_of, number, stored};

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

type Stream = CallRecorder<FaultyStream<InMemoryStream>>;

/// A process of the function, over a stream with faults.
fn process(
    inner: &InMemoryStream,
    fault: impl Fn(usize, &[Record]) -> StreamFault + Send + Sync + 'static,
) -> (Stream, Forward<Stream>) {
    let stream = CallRecorder::new(FaultyStream::new(inner.clone(), fault));
    let observer = Observer::default()
        .with_metrics(|metrics| EMITTED.with_borrow_mut(|all| all.push(metrics.clone())));
    let forward = Forward::new(stream.clone(), EventSource::default()).with_observer(observer);
    (stream, forward)
}

/// Delivers the changes once. Returns the reported sequence number.
async fn deliver(forward: &Forward<Stream>, changes: &[Change]) -> Option<String> {
    let budget = Budget::from_remaining(None, BUDGET);
    let event = lambda_event::dynamodb(changes);
    let response = forward.handle(event, budget).await.unwrap();
    let failure = response.batch_item_failures.into_iter().next()?;
    failure.item_identifier
}

/// The counts of the last invocation, after a check that they add up.
fn counts<const N: usize>(names: [&str; N]) -> [u64; N] {
    let metrics = EMITTED.with_borrow(|all| all.last().cloned()).unwrap();
    let outcomes = [
        "Forwarded",
        "AlreadyForwarded",
        "Skipped",
        "Unreadable",
        "Unpublished",
    ];
    let sum: u64 = outcomes.iter().map(|name| metrics.get(name)).sum();
    assert_eq!(metrics.get("Received"), sum, "{metrics:?}");
    names.map(|name| metrics.get(name))
}

/// Entries of "a" fail in the first call, and later calls are refused while `is_failing`.
fn fails_a_once(number: usize, records: &[Record]) -> StreamFault {
    let fault = |record: &Record| match record.id.as_str() {
        "a" => EntryFault::Throttled,
        _ => EntryFault::None,
    };
    match number {
        0 => StreamFault::Entries(records.iter().map(fault).collect()),
        1 => Fault::Refused.into(),
        _ => StreamFault::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_publishes_only_what_is_not_confirmed() {
    let inner = InMemoryStream::new(1);
    let (_, forward) = process(&inner, fails_a_once);
    let changes = [
        change(0, "before", false),
        change(1, "a", false),
        change(2, "b", false),
        change(3, "a", true),
    ];
    assert_eq!(deliver(&forward, &changes).await, Some(number(1)));
    let names = ["Received", "Forwarded", "AlreadyForwarded", "Unpublished"];
    assert_eq!(counts(names), [4, 2, 0, 2]);
    assert_eq!(deliver(&forward, &changes[1..]).await, None);
    assert_eq!(counts(names), [3, 2, 1, 0]);
    assert_eq!(
        stored(&inner),
        ["before/INIT", "b/INIT", "a/INIT", "a/DONE"]
    );
}

#[tokio::test(start_paused = true)]
async fn another_process_publishes_confirmed_events_again() {
    let inner = InMemoryStream::new(1);
    let changes = [change(0, "a", false), change(1, "b", false)];
    let (_, forward) = process(&inner, fails_a_once);
    assert_eq!(deliver(&forward, &changes).await, Some(number(0)));
    let (_, forward) = process(&inner, |_, _| StreamFault::default());
    assert_eq!(deliver(&forward, &changes).await, None);
    assert_eq!(stored(&inner), ["b/INIT", "a/INIT", "b/INIT"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_change_with_the_same_event_is_published() {
    let inner = InMemoryStream::new(1);
    let (_, forward) = process(&inner, fails_a_once);
    let changes = [change(0, "a", false), change(1, "b", false)];
    assert_eq!(deliver(&forward, &changes).await, Some(number(0)));
    // A redrive has the same event and another sequence number.
    let redriven = [change(0, "a", false), change(7, "b", false)];
    assert_eq!(deliver(&forward, &redriven).await, None);
    assert_eq!(stored(&inner), ["b/INIT", "a/INIT", "b/INIT"]);
    // Another table can use the same sequence number for another change.
    let other = [change(1, "c", false)];
    assert_eq!(deliver(&forward, &other).await, None);
    assert_eq!(stored(&inner).last().unwrap(), "c/INIT");
}

/// Changes whose payloads of a mebibyte take a few kilobytes in the table.
fn inflating_changes(count: usize) -> Vec<Change> {
    let payload = format!("\"{}\"", "x".repeat(1_000_000));
    let change = |place| {
        let item = contract::notification(&format!("n{place}"), &payload);
        change_of(place, &item, false)
    };
    (0..count).map(change).collect()
}

/// The events of a window, in bytes.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn publishes_a_batch_that_inflates_in_windows() {
    let inner = InMemoryStream::new(4);
    let (stream, forward) = process(&inner, |_, _| StreamFault::default());
    let changes = inflating_changes(30);
    assert_eq!(deliver(&forward, &changes).await, None);
    assert_eq!(counts(["Received", "Forwarded"]), [30, 30]);
    assert_eq!(inner.records().len(), 30);
    let bytes = |call: &Vec<Record>| call.iter().map(Record::bytes).sum::<usize>();
    let calls = stream.calls();
    assert!(
        calls
            .iter()
            .all(|call| bytes(call) <= MAX_PUT_RECORDS_BYTES)
    );
    // Each window takes at most two calls, so windows are not small either.
    let windows = 30_000_000 / (WINDOW_BYTES - MAX_RECORD_BYTES);
    assert!(calls.len() <= 2 * windows, "{}", calls.len());
}

#[tokio::test(start_paused = true)]
async fn reads_no_further_window_while_a_change_is_unpublished() {
    let inner = InMemoryStream::new(4);
    let (stream, forward) = process(&inner, |number, _| match number {
        1 => Fault::Refused.into(),
        _ => StreamFault::default(),
    });
    let changes = inflating_changes(30);
    let reported = deliver(&forward, &changes).await;
    let confirmed = stream.calls()[0].len();
    assert_eq!(reported, Some(number(confirmed)));
    assert_eq!(inner.records().len(), confirmed);
    let [received, unpublished] = counts(["Received", "Unpublished"]);
    // What was read of two windows, and nothing of the other changes.
    let read = received as usize * 1_000_000;
    assert!(read <= 2 * WINDOW_BYTES, "{received}");
    assert_eq!(unpublished as usize, received as usize - confirmed);
}
