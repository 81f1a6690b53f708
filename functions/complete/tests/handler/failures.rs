//! The batch item failure that is reported, and the time budget.

use std::sync::atomic::Ordering::SeqCst;

use onewrite::limits::ANSWER_MARGIN;
use onewrite_complete::record::MissingSequenceNumber;
use onewrite_runtime::budget::Budget;
use tokio::time::Instant;

use crate::support::{
    BUDGET, LedgerDownstream, assert_each_done_once, batch, complete, handle, handle_within,
    is_done, ledger, sequence_number, store, store_all, table, unknown,
};

#[tokio::test(start_paused = true)]
async fn reports_a_failure_at_any_position_of_the_batch() {
    for bad in [
        "rejects-x",
        "panics-x",
        "doubted-x",
        "unknown-x",
        "not an event",
    ] {
        for place in 0..5 {
            let (table, downstream) = (table(), LedgerDownstream::default());
            let good = ["a", "b", "c", "d"];
            let mut documents = store_all(&table, &good).await;
            let failing = match bad {
                "unknown-x" => unknown(bad),
                "not an event" => bad.as_bytes().to_vec(),
                _ => store(&table, bad).await,
            };
            documents.insert(place, failing);
            assert_eq!(
                handle(table.clone(), &downstream, batch(&documents)).await,
                Some(sequence_number(place)),
                "{bad} at {place}"
            );
            assert!(
                good.iter().all(|id| is_done(&table, id)),
                "{bad} must not stop the others"
            );
            if table.item(bad).is_some() {
                assert!(!is_done(&table, bad), "{bad} stays in INIT");
            }
            assert!(!ledger(&table).contains_key(bad), "{bad} has no effect");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reports_an_undecodable_record_and_handles_the_others() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["a", "b", "c"]).await;
    let mut event = batch(&documents);
    event.records[1].data = None;
    assert_eq!(
        handle(table.clone(), &downstream, event).await,
        Some(sequence_number(1))
    );
    assert!(is_done(&table, "a") && !is_done(&table, "b") && is_done(&table, "c"));
}

#[tokio::test(start_paused = true)]
async fn reports_the_lowest_failure() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(
        &table,
        &["a", "rejects-1", "b", "panics-2", "c", "rejects-3", "d"],
    )
    .await;
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        Some(sequence_number(1))
    );
    assert!(["a", "b", "c", "d"].iter().all(|id| is_done(&table, id)));
}

#[tokio::test(start_paused = true)]
async fn fails_the_batch_if_a_failed_record_has_no_sequence_number() {
    for missing in ["", "x1"] {
        let (table, downstream) = (table(), LedgerDownstream::default());
        let documents = store_all(&table, &["rejects-a", "rejects-b", "c"]).await;
        let mut event = batch(&documents);
        event.records[1].sequence_number = missing.to_owned();
        let answer = complete(table.clone(), &downstream)
            .handle(event, Budget::from_remaining(None, BUDGET))
            .await;
        assert_eq!(answer.unwrap_err(), MissingSequenceNumber);
        assert!(is_done(&table, "c"), "the others are still handled");
    }
}

#[tokio::test(start_paused = true)]
async fn accepts_a_missing_sequence_number_of_a_handled_record() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["a", "rejects-b"]).await;
    let mut event = batch(&documents);
    event.records[0].sequence_number = String::new();
    assert_eq!(
        handle(table, &downstream, event).await,
        Some(sequence_number(1))
    );
}

#[tokio::test(start_paused = true)]
async fn reports_unhandled_records_before_the_deadline() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let ids = ["a", "hangs-1", "hangs-2", "hangs-3", "hangs-4", "b", "c"];
    let documents = store_all(&table, &ids).await;
    let begin = Instant::now();
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        Some(sequence_number(1))
    );
    assert_eq!(begin.elapsed(), BUDGET - ANSWER_MARGIN);
    assert!(is_done(&table, "a"));
    assert!(!is_done(&table, "b") && !is_done(&table, "c"));
    assert_eq!(
        downstream.calls().len(),
        5,
        "no record starts after the deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn starts_nothing_without_remaining_time() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["a"]).await;
    assert_eq!(
        handle_within(table, &downstream, batch(&documents), ANSWER_MARGIN).await,
        Some(sequence_number(0))
    );
    assert_eq!(downstream.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn handles_notifications_concurrently_up_to_the_limit() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let ids: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let documents = store_all(&table, &ids).await;
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        None
    );
    assert_eq!(downstream.most_in_flight.load(SeqCst), 4);
    assert_each_done_once(&table, ids);
}
