//! Size, order and pace of the calls to the stream.

use std::{cell::RefCell, collections::HashSet, time::Duration};

use onewrite::{
    event::EventSource,
    limits::{MAX_PUT_RECORDS, MAX_PUT_RECORDS_BYTES, RETRY_BASE},
    stream::Record,
};
use onewrite_forward::handler::Forward;
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{
    Change, EntryFault, Fault, FaultyStream, InMemoryStream, StreamFault, contract, lambda_event,
};
use tokio::time::Instant;

use crate::support::{BUDGET, CallRecorder, batch, change, change_of, handle, stored};

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

#[tokio::test(start_paused = true)]
async fn backs_off_while_the_stream_accepts_nothing() {
    let entries = StreamFault::mask(u64::MAX, EntryFault::Throttled);
    for fault in [StreamFault::Call(Fault::Throttled), entries] {
        let inner = InMemoryStream::new(1);
        let stream = CallRecorder::new(FaultyStream::new(inner, move |_, _| fault.clone()));
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
    let stream = CallRecorder::new(faulty);
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
    let stream = CallRecorder::new(InMemoryStream::new(4));
    assert_eq!(handle(&stream, batch(&ids)).await, None);
    assert_eq!(stream.calls().len(), ids.len() / MAX_PUT_RECORDS);
    // 10,000 of one id: one at a time.
    let stream = CallRecorder::new(InMemoryStream::new(4));
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
    let stream = CallRecorder::new(InMemoryStream::new(4));
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
