//! Tests the guarantees of `forward` against an in-memory stream with injected failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lambda_events::event::dynamodb::Event;
use jiff::Timestamp;
use onewrite::{
    event::{EventSource, NotificationEvent},
    item::{NotificationItem, attribute},
    limits::{ANSWER_MARGIN, MAX_PUT_RECORDS, MAX_PUT_RECORDS_BYTES, RETRY_BASE},
    notification::Status,
    stream::{EventStream, PutResult, Record, StreamError},
};
use onewrite_forward::handler::{Forward, MissingSequenceNumber};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{
    Change, EntryFault, Fault, FaultyStream, InMemoryStream, InMemoryTable, Log, StreamFault,
    contract, lambda_event,
};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

const BUDGET: Duration = Duration::from_secs(10);

/// Every combination of failures is tried for this many records.
const IDS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// A change to INIT, or from INIT to DONE if `done` is set. The sequence number is its position.
fn change(place: usize, id: &str, done: bool) -> Change {
    change_of(
        place,
        &contract::notification(id, &format!(r#"{{"of": "{id}"}}"#)),
        done,
    )
}

fn change_of(place: usize, item: &NotificationItem, done: bool) -> Change {
    let mut new = item.clone();
    if done {
        new.status = Status::Done;
        new.version = Status::Done.version();
    }
    Change {
        sequence_number: number(place),
        id: item.notification.id.to_string(),
        old: done.then(|| item.to_item()),
        new: Some(new.to_item()),
        at: Timestamp::UNIX_EPOCH,
        by_ttl: false,
    }
}

fn number(place: usize) -> String {
    format!("{:021}", place + 1)
}

fn batch(ids: &[&str]) -> Event {
    let changes = ids.iter().enumerate();
    let changes: Vec<Change> = changes
        .map(|(place, id)| change(place, id, false))
        .collect();
    lambda_event::dynamodb(&changes)
}

/// Returns the position of the reported record, if any.
async fn handle<S: EventStream + Clone>(stream: &S, event: Event) -> Option<usize> {
    handle_within(stream, event, BUDGET).await
}

async fn handle_within<S: EventStream + Clone>(
    stream: &S,
    event: Event,
    budget: Duration,
) -> Option<usize> {
    let forward = Forward::new(Watched::new(stream.clone()), EventSource::default());
    let answer = forward.handle(event, Budget::from_remaining(None, budget));
    // The timeout fails the test if the handler never returns.
    let response = tokio::time::timeout(10 * budget, answer)
        .await
        .expect("an answer in time")
        .unwrap();
    assert!(response.batch_item_failures.len() <= 1, "the lowest alone");
    let failure = response.batch_item_failures.first()?;
    let number: usize = failure.item_identifier.as_ref().unwrap().parse().unwrap();
    Some(number - 1)
}

fn event_id(record: &Record) -> String {
    NotificationEvent::parse(&record.data).unwrap().id()
}

fn stored(stream: &InMemoryStream) -> Vec<String> {
    let records = stream.records();
    records
        .iter()
        .map(|stored| event_id(&stored.record))
        .collect()
}

/// More calls than any batch in these tests needs.
const TOO_MANY_CALLS: usize = 20_000;

/// Records the arguments of each call, and fails the test if the handler never stops calling.
#[derive(Clone)]
struct Watched<S> {
    inner: S,
    calls: Arc<Mutex<Vec<Vec<Record>>>>,
}

impl<S> Watched<S> {
    fn new(inner: S) -> Self {
        Self {
            inner,
            calls: Arc::default(),
        }
    }

    fn calls(&self) -> Vec<Vec<Record>> {
        self.calls.lock().unwrap().clone()
    }
}

impl<S: EventStream> EventStream for Watched<S> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(records.to_vec());
            calls.len()
        };
        assert!(number < TOO_MANY_CALLS, "too many calls to the stream");
        self.inner.put(records).await
    }
}

#[tokio::test(start_paused = true)]
async fn logs_only_calls_with_failed_entries() {
    let (log, inner) = (Log::capture(), InMemoryStream::new(1));
    let fault = StreamFault::mask(0b01, EntryFault::Throttled);
    let stream = FaultyStream::scripted(inner, [fault]);
    assert_eq!(handle(&stream, batch(&["a", "b"])).await, None);
    let lines = log.lines();
    let of_call = |line: &&serde_json::Value| line.get("failed").is_some();
    let failed: Vec<_> = lines.iter().filter(of_call).collect();
    assert_eq!(failed.len(), 1, "{lines:?}");
    assert_eq!(
        (&failed[0]["failed"], &failed[0]["of"]),
        (&json!(1), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn publishes_one_record_per_change() {
    let table = InMemoryTable::default();
    let stream = InMemoryStream::new(4);
    assert_eq!(
        handle(&stream, table.stream_event()).await,
        None,
        "an empty batch"
    );
    assert_eq!(handle(&stream, batch(&["a", "b", "c"])).await, None);
    assert_eq!(stored(&stream), ["a/INIT", "b/INIT", "c/INIT"]);
    for stored in stream.records() {
        let event = NotificationEvent::parse(&stored.record.data).unwrap();
        assert_eq!(event.subject, stored.record.id);
        // The payload is kept byte for byte, including spaces.
        assert_eq!(
            event.data.as_str(),
            format!(r#"{{"of": "{}"}}"#, event.subject)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn skips_removals_and_edits_and_publishes_redrives_again() {
    let table = InMemoryTable::default();
    for id in ["kept", "removed", "expired"] {
        use onewrite::table::NewNotifications as _;
        table
            .insert(&contract::notification(id, "1"))
            .await
            .unwrap();
    }
    let text = |text: &str| serde_dynamo::AttributeValue::S(text.to_owned());
    table.edit("kept", |item| {
        drop(item.insert("note".to_owned(), text("x")))
    });
    let twice = serde_dynamo::AttributeValue::N("1".to_owned());
    table.edit("kept", |item| {
        drop(item.insert(attribute::REDRIVES.to_owned(), twice))
    });
    table.remove("removed");
    table.expire("expired");
    let stream = InMemoryStream::new(1);
    assert_eq!(handle(&stream, table.stream_event()).await, None);
    assert_eq!(
        stored(&stream),
        ["kept/INIT", "removed/INIT", "expired/INIT", "kept/INIT"]
    );
    let records = stream.records();
    assert_eq!(
        records[0].record, records[3].record,
        "the same event, in the same bytes"
    );
}

/// A value of every attribute type, as Lambda sends it.
fn values_of_every_type() -> [serde_json::Value; 10] {
    [
        json!({"S": "x"}),
        json!({"N": "1"}),
        json!({"B": "AAE="}),
        json!({"BOOL": false}),
        json!({"NULL": true}),
        json!({"M": {"a": {"S": "x"}}}),
        json!({"L": [{"N": "1"}, {"NULL": true}]}),
        json!({"SS": ["x"]}),
        json!({"NS": ["1"]}),
        json!({"BS": ["AAE="]}),
    ]
}

#[tokio::test(start_paused = true)]
async fn skips_an_unreadable_change() {
    let changes: Vec<Change> = (0..3)
        .map(|place| change(place, ["a", "b", "c"][place], false))
        .collect();
    for value in values_of_every_type() {
        for place in 0..3 {
            let mut event = lambda_event::dynamodb_json(&changes);
            event["Records"][place]["dynamodb"]["NewImage"]["payload"] = value.clone();
            let stream = InMemoryStream::new(1);
            let event = serde_json::from_value(event).unwrap();
            assert_eq!(handle(&stream, event).await, None);
            let mut healthy = vec!["a/INIT", "b/INIT", "c/INIT"];
            healthy.remove(place);
            assert_eq!(stored(&stream), healthy, "{value}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ignores_unknown_attributes() {
    for value in values_of_every_type() {
        let mut event = lambda_event::dynamodb_json(&[change(0, "a", false)]);
        event["Records"][0]["dynamodb"]["NewImage"]["note"] = value.clone();
        let stream = InMemoryStream::new(1);
        let event = serde_json::from_value(event).unwrap();
        assert_eq!(handle(&stream, event).await, None);
        assert_eq!(stored(&stream), ["a/INIT"], "{value}");
    }
}

/// A change without an event: an edit of an unknown attribute, or an unreadable change.
fn passed(place: usize, id: &str, readable: bool) -> Change {
    let mut change = change(place, id, false);
    if readable {
        change.old = change.new.clone();
    } else {
        let image = change.new.as_mut().unwrap().as_mut();
        image.remove(attribute::PAYLOAD);
    }
    change
}

#[tokio::test(start_paused = true)]
async fn reports_the_failed_change_after_skipped_changes() {
    let changes = [
        passed(0, "a", true),
        passed(1, "a", false),
        change(2, "a", false),
        passed(3, "b", true),
        change(4, "b", false),
        passed(5, "c", false),
    ];
    for (failing, reported) in [("a", Some(2)), ("b", Some(4)), ("c", None)] {
        let stream = FaultyStream::new(InMemoryStream::new(1), move |_, records| {
            let fault = |record: &Record| match record.id.as_str() == failing {
                true => EntryFault::Throttled,
                false => EntryFault::None,
            };
            StreamFault::Entries(records.iter().map(fault).collect())
        });
        let event = lambda_event::dynamodb(&changes);
        assert_eq!(handle(&stream, event).await, reported, "{failing}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_failed_entries_until_the_stream_confirms_them() {
    for fault in [
        EntryFault::Throttled,
        EntryFault::Lost,
        EntryFault::StoredButFailed,
    ] {
        for mask in 0..1 << IDS.len() {
            let inner = InMemoryStream::new(1);
            let stream = FaultyStream::scripted(inner.clone(), [StreamFault::mask(mask, fault)]);
            assert_eq!(handle(&stream, batch(&IDS)).await, None);
            let stored: BTreeSet<String> = stored(&inner).into_iter().collect();
            assert_eq!(stored.len(), IDS.len(), "{fault:?} {mask:b}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retries_a_failed_call() {
    for fault in [Fault::Throttled, Fault::RequestLost, Fault::ResponseLost] {
        let inner = InMemoryStream::new(1);
        let stream = FaultyStream::scripted(inner.clone(), [fault.into(), fault.into()]);
        assert_eq!(handle(&stream, batch(&["a", "b"])).await, None, "{fault:?}");
        assert!(stored(&inner).ends_with(&["a/INIT".to_owned(), "b/INIT".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn reports_the_lowest_failed_record_and_publishes_the_others() {
    for mask in 1..1_usize << IDS.len() {
        let inner = InMemoryStream::new(1);
        let fails = move |id: &str| mask >> IDS.iter().position(|i| *i == id).unwrap() & 1 == 1;
        let stream = FaultyStream::new(inner.clone(), move |_, records| {
            let fault = |record: &Record| match fails(record.id.as_str()) {
                true => EntryFault::Throttled,
                false => EntryFault::None,
            };
            StreamFault::Entries(records.iter().map(fault).collect())
        });
        let lowest = mask.trailing_zeros() as usize;
        assert_eq!(handle(&stream, batch(&IDS)).await, Some(lowest), "{mask:b}");
        let healthy: Vec<String> = (0..IDS.len())
            .filter(|place| mask >> place & 1 == 0)
            .map(|place| format!("{}/INIT", IDS[place]))
            .collect();
        assert_eq!(stored(&inner), healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_the_whole_batch_if_the_stream_never_answers() {
    for fault in [
        Fault::SilentBefore,
        Fault::SilentAfter,
        Fault::Throttled,
        Fault::RequestLost,
    ] {
        let stream = FaultyStream::new(InMemoryStream::new(1), move |_, _| fault.into());
        let started = Instant::now();
        assert_eq!(
            handle(&stream, batch(&["a", "b"])).await,
            Some(0),
            "{fault:?}"
        );
        assert!(started.elapsed() <= BUDGET - ANSWER_MARGIN);
    }
}

#[tokio::test(start_paused = true)]
async fn sends_nothing_without_remaining_time() {
    let stream = Watched::new(InMemoryStream::new(1));
    assert_eq!(
        handle_within(&stream, batch(&["a"]), ANSWER_MARGIN).await,
        Some(0)
    );
    assert!(stream.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn does_not_retry_a_rejected_call() {
    for fault in [StreamFault::Call(Fault::Refused), StreamFault::Miscounted] {
        let faulty = FaultyStream::new(InMemoryStream::new(1), move |_, _| fault.clone());
        let stream = Watched::new(faulty);
        assert_eq!(handle(&stream, batch(&["a", "b"])).await, Some(0));
        assert_eq!(stream.calls().len(), 1);
    }
}

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test(start_paused = true)]
async fn scales_pauses_by_the_jitter_and_emits_metrics_once() {
    for (jitter, pause) in [
        ((|| 0.0) as fn() -> f64, Duration::ZERO),
        (|| 1.0, RETRY_BASE),
    ] {
        let stream = FaultyStream::scripted(InMemoryStream::new(1), [Fault::Throttled.into()]);
        let forward = Forward::new(stream, EventSource::default())
            .with_jitter(jitter)
            .with_observer(Observer::default().with_metrics(|metrics| {
                EMITTED.with_borrow_mut(|emitted| emitted.push(metrics.clone()))
            }));
        let started = Instant::now();
        let budget = Budget::from_remaining(None, BUDGET);
        let _ = forward.handle(batch(&["a"]), budget).await.unwrap();
        // The timer has a resolution of one millisecond.
        let waited = started.elapsed();
        assert!(
            waited >= pause && waited <= pause + Duration::from_millis(2),
            "{waited:?}"
        );
    }
    let emitted = EMITTED.take();
    assert_eq!(emitted.len(), 2);
    assert!(emitted.iter().all(|metrics| metrics.get("Forwarded") == 1));
}

/// A stream that violates its contract: it ignores the first record of a call and returns no result for it.
#[derive(Clone)]
struct OneShort(InMemoryStream);

impl EventStream for OneShort {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        self.0.put(&records[1..]).await
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_a_response_with_too_few_results() {
    let stream = Watched::new(OneShort(InMemoryStream::new(1)));
    assert_eq!(handle(&stream, batch(&["a", "b", "c"])).await, Some(0));
    assert_eq!(stream.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn backs_off_while_the_stream_accepts_nothing() {
    let entries = StreamFault::mask(u64::MAX, EntryFault::Throttled);
    for fault in [StreamFault::Call(Fault::Throttled), entries] {
        let inner = InMemoryStream::new(1);
        let stream = Watched::new(FaultyStream::new(inner, move |_, _| fault.clone()));
        assert_eq!(handle(&stream, batch(&["a", "b"])).await, Some(0));
        // The pauses at their longest: 6 that double, then as many of RETRY_CAP as fit. At their mean, twice as many
        // calls; ten times as many do not happen.
        let calls = stream.calls().len();
        assert!((10..100).contains(&calls), "{calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_soon_while_the_stream_accepts_records() {
    let inner = InMemoryStream::new(1);
    // Each call stores only its first record.
    let stream = FaultyStream::new(inner.clone(), |_, _| {
        StreamFault::mask(!1, EntryFault::Throttled)
    });
    let ids: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let started = Instant::now();
    assert_eq!(handle(&stream, batch(&ids)).await, None);
    assert_eq!(stored(&inner).len(), ids.len());
    // Add one millisecond per call for the resolution of the timer.
    let longest = (RETRY_BASE + Duration::from_millis(1)) * 40;
    assert!(started.elapsed() <= longest, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn sends_the_next_record_of_an_id_only_after_confirmation() {
    let changes = [
        change(0, "a", false),
        change(1, "b", false),
        change(2, "a", true),
        change(3, "b", true),
    ];
    // The first record of "a" fails twice. The record of "b" does not wait for it.
    let inner = InMemoryStream::new(1);
    let script = [
        StreamFault::mask(1, EntryFault::Lost),
        StreamFault::mask(0, EntryFault::None),
    ];
    let faulty = FaultyStream::scripted(inner.clone(), script);
    let stream = Watched::new(faulty);
    assert_eq!(
        handle(&stream, lambda_event::dynamodb(&changes)).await,
        None
    );
    assert_eq!(stored(&inner), ["b/INIT", "b/DONE", "a/INIT", "a/DONE"]);
    for call in stream.calls() {
        let ids: HashSet<_> = call.iter().map(|record| &record.id).collect();
        assert_eq!(ids.len(), call.len());
    }
}

#[tokio::test(start_paused = true)]
async fn respects_the_limits_of_a_call_with_few_calls() {
    // 10,000 records of as many ids: full calls.
    let ids: Vec<String> = (0..10_000).map(|n| format!("n{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let stream = Watched::new(InMemoryStream::new(4));
    assert_eq!(handle(&stream, batch(&ids)).await, None);
    assert_eq!(stream.calls().len(), ids.len() / MAX_PUT_RECORDS);
    // 10,000 of one id: one at a time.
    let stream = Watched::new(InMemoryStream::new(4));
    assert_eq!(handle(&stream, batch(&["same"; 10_000])).await, None);
    assert_eq!(stream.calls().len(), 10_000);
    // Large ones: as many as fit.
    let payload = format!("\"{}\"", "x".repeat(390 * 1024));
    let changes: Vec<Change> = (0..40)
        .map(|n| {
            change_of(
                n,
                &contract::notification(&format!("n{n}"), &payload),
                false,
            )
        })
        .collect();
    let stream = Watched::new(InMemoryStream::new(4));
    assert_eq!(
        handle(&stream, lambda_event::dynamodb(&changes)).await,
        None
    );
    let calls = stream.calls();
    let bytes = |call: &Vec<Record>| call.iter().map(Record::bytes).sum::<usize>();
    assert!(
        calls
            .iter()
            .all(|call| bytes(call) <= MAX_PUT_RECORDS_BYTES)
    );
    assert_eq!(
        calls.len(),
        40_usize.div_ceil(MAX_PUT_RECORDS_BYTES / bytes(&calls[0][..1].to_vec()))
    );
}

#[tokio::test(start_paused = true)]
async fn fails_the_batch_if_a_failed_record_has_no_sequence_number() {
    let changes = [change(0, "a", false), change(1, "b", false)];
    for missing in [json!(null), json!("")] {
        let mut event = lambda_event::dynamodb_json(&changes);
        event["Records"][1]["dynamodb"]["SequenceNumber"] = missing;
        let event: Event = serde_json::from_value(event).unwrap();
        let stream = FaultyStream::new(InMemoryStream::new(1), |_, records| {
            let fault = |record: &Record| match record.id.as_str() {
                "b" => EntryFault::Throttled,
                _ => EntryFault::None,
            };
            StreamFault::Entries(records.iter().map(fault).collect())
        });
        let forward = Forward::new(Watched::new(stream), EventSource::default());
        let budget = Budget::from_remaining(None, BUDGET);
        assert_eq!(
            forward.handle(event.clone(), budget).await,
            Err(MissingSequenceNumber)
        );
        // If no record fails, no sequence number is needed.
        let forward = Forward::new(InMemoryStream::new(1), EventSource::default());
        assert!(forward.handle(event, budget).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn publishes_the_configured_source() {
    let stream = InMemoryStream::new(1);
    let forward = Forward::new(stream.clone(), "//refunds.example".parse().unwrap());
    let budget = Budget::from_remaining(None, BUDGET);
    forward.handle(batch(&["a"]), budget).await.unwrap();
    let event = NotificationEvent::parse(&stream.records()[0].record.data).unwrap();
    assert_eq!(event.source.as_str(), "//refunds.example");
}

/// A generated fault of one call to the stream.
#[derive(Debug, Clone)]
enum Weather {
    Call(u8),
    Entries(Vec<u8>),
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        (0..6_u8).prop_map(Weather::Call),
        prop::collection::vec(0..6_u8, 1..12).prop_map(Weather::Entries),
    ]
}

fn fault(weather: &Weather) -> StreamFault {
    match weather {
        Weather::Call(draw) => StreamFault::Call(match draw {
            0 => Fault::Throttled,
            1 => Fault::RequestLost,
            2 => Fault::ResponseLost,
            3 => Fault::SilentAfter,
            4 => Fault::Refused,
            _ => Fault::None,
        }),
        Weather::Entries(draws) => {
            let entry = |draw: &u8| match draw {
                0 => EntryFault::Throttled,
                1 => EntryFault::Lost,
                2 => EntryFault::StoredButFailed,
                _ => EntryFault::None,
            };
            StreamFault::Entries(draws.iter().map(entry).collect())
        }
    }
}

/// The kinds of changes in the property test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeKind {
    Event,
    Skipped,
    Unreadable,
}

fn change_kind() -> impl Strategy<Value = ChangeKind> {
    prop_oneof![6 => Just(ChangeKind::Event), 1 => Just(ChangeKind::Skipped), 1 => Just(ChangeKind::Unreadable)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Redelivers from the reported record, as Lambda does, until the batch succeeds. No change is lost or skipped
    /// before it is published, and the events of each id first appear in the order of its changes.
    #[test]
    fn loses_and_reorders_no_change(
        emitted in prop::collection::vec((0..5_usize, change_kind()), 1..40),
        weathers in prop::collection::vec(weather(), 0..30),
        seed in any::<u64>(),
        budget_ms in 600..4_000_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let verdict = runtime.block_on(run(&emitted, weathers, seed, Duration::from_millis(budget_ms)));
        prop_assert_eq!(verdict, Ok(()));
    }
}

async fn run(
    emitted: &[(usize, ChangeKind)],
    weathers: Vec<Weather>,
    seed: u64,
    budget: Duration,
) -> Result<(), String> {
    let changes = changes_of(emitted);
    let inner = InMemoryStream::new(3).shuffling(seed);
    let calm = weathers.len();
    let stream = Watched::new(FaultyStream::new(inner.clone(), move |number, _| {
        weathers.get(number).map(fault).unwrap_or_default()
    }));
    let mut from = 0;
    for _ in 0..calm + 2 {
        let event = lambda_event::dynamodb(&changes[from..]);
        let reported = handle_within(&stream, event, budget).await;
        let passed = reported.unwrap_or(changes.len());
        if passed < from {
            return Err(format!(
                "reported {passed}, which was not in the batch from {from}"
            ));
        }
        if emitted
            .get(passed)
            .is_some_and(|(_, emitted)| *emitted != ChangeKind::Event)
        {
            return Err(format!("reported {passed}, which is not to be published"));
        }
        let must_be_published = (from..passed)
            .filter(|place| emitted[*place].1 == ChangeKind::Event)
            .map(|place| &changes[place]);
        check_published(&inner, must_be_published)?;
        from = passed;
        if reported.is_none() {
            break;
        }
    }
    if from < changes.len() {
        return Err("it never ends".to_owned());
    }
    check_ids_in_calls(&stream.calls())?;
    check_first_order(&inner)
}

/// The changes with these ids and kinds, in this order.
fn changes_of(emitted: &[(usize, ChangeKind)]) -> Vec<Change> {
    // Each change of an id is another redrive, so each change has a distinct document.
    let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
    emitted
        .iter()
        .enumerate()
        .map(|(place, (id, emitted))| {
            if *emitted != ChangeKind::Event {
                return passed(place, &format!("id-{id}"), *emitted == ChangeKind::Skipped);
            }
            let version = versions.entry(*id).or_insert(0);
            *version += 1;
            let mut item = contract::notification(&format!("id-{id}"), "null");
            item.version = *version;
            change_of(place, &item, false)
        })
        .collect()
}

/// Every change that the checkpoint passed is in the stream.
fn check_published<'a>(
    stream: &InMemoryStream,
    passed: impl Iterator<Item = &'a Change>,
) -> Result<(), String> {
    let published: HashSet<(String, u64)> = stream
        .records()
        .iter()
        .map(|stored| NotificationEvent::parse(&stored.record.data).unwrap())
        .map(|event| (event.subject.to_string(), event.sequence))
        .collect();
    for change in passed {
        let item = NotificationItem::from_item(change.new.as_ref().unwrap()).unwrap();
        if !published.contains(&(change.id.clone(), item.version)) {
            return Err(format!("{} was passed unpublished", change.sequence_number));
        }
    }
    Ok(())
}

/// No call has two records of an id.
fn check_ids_in_calls(calls: &[Vec<Record>]) -> Result<(), String> {
    for call in calls {
        let ids: HashSet<_> = call.iter().map(|record| record.id.clone()).collect();
        if ids.len() < call.len() {
            return Err("two records of an id in one call".to_owned());
        }
    }
    Ok(())
}

/// The versions of each id first appear in their order.
fn check_first_order(stream: &InMemoryStream) -> Result<(), String> {
    let mut first_seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for stored in stream.records() {
        let event = NotificationEvent::parse(&stored.record.data).unwrap();
        let seen = first_seen.entry(event.subject.to_string()).or_default();
        if !seen.contains(&event.sequence) {
            seen.push(event.sequence);
        }
    }
    for (id, seen) in first_seen {
        if !seen.is_sorted() {
            return Err(format!("{id} first appeared in the order {seen:?}"));
        }
    }
    Ok(())
}
