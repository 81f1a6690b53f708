//! Failures of the stream, and the checkpoint that is reported.

use std::collections::BTreeSet;

use onewrite::{
    event::EventSource,
    limits::ANSWER_MARGIN,
    stream::{EventStream, PutResult, Record, StreamError},
};
use onewrite_forward::{
    change::ChangeEvent,
    handler::{Forward, MissingSequenceNumber},
};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{
    EntryFault, Fault, FaultyStream, InMemoryStream, StreamFault, lambda_event,
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    BUDGET, CallRecorder, IDS, batch, change, change_without_event, handle, handle_within, stored,
};

#[tokio::test(start_paused = true)]
async fn reports_the_failed_change_after_skipped_changes() {
    let changes = [
        change_without_event(0, "a", true),
        change_without_event(1, "a", false),
        change(2, "a", false),
        change_without_event(3, "b", true),
        change(4, "b", false),
        change_without_event(5, "c", false),
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
    let stream = CallRecorder::new(InMemoryStream::new(1));
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
        let stream = CallRecorder::new(faulty);
        assert_eq!(handle(&stream, batch(&["a", "b"])).await, Some(0));
        assert_eq!(stream.calls().len(), 1);
    }
}

/// A stream that violates its contract: it ignores the first record of a call and returns no result for it.
#[derive(Clone)]
struct StreamWithMissingResult(InMemoryStream);

impl EventStream for StreamWithMissingResult {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        self.0.put(&records[1..]).await
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_a_response_with_too_few_results() {
    let stream = CallRecorder::new(StreamWithMissingResult(InMemoryStream::new(1)));
    assert_eq!(handle(&stream, batch(&["a", "b", "c"])).await, Some(0));
    assert_eq!(stream.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fails_the_batch_if_a_failed_record_has_no_sequence_number() {
    let changes = [change(0, "a", false), change(1, "b", false)];
    for missing in [json!(null), json!("")] {
        let mut event = lambda_event::dynamodb_json(&changes);
        event["Records"][1]["dynamodb"]["SequenceNumber"] = missing;
        let event: ChangeEvent = lambda_event::parse(&event);
        let stream = FaultyStream::new(InMemoryStream::new(1), |_, records| {
            let fault = |record: &Record| match record.id.as_str() {
                "b" => EntryFault::Throttled,
                _ => EntryFault::None,
            };
            StreamFault::Entries(records.iter().map(fault).collect())
        });
        let forward = Forward::new(CallRecorder::new(stream), EventSource::default());
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
