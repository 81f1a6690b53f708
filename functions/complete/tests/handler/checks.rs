//! What the handler knows before it calls the downstream: current states, and what its process has settled.

use std::{collections::BTreeMap, time::Duration};

use onewrite::table::NewNotifications as _;
use onewrite_complete::settled::MAX_REMEMBERED;
use onewrite_runtime::budget::Budget;
use onewrite_testing::{Fault, FaultyTable, InMemoryTable, contract};

use super::support::{
    BUDGET, LedgerDownstream, batch, complete, document, handle, is_done, sequence_number, store,
    store_all, table, unknown,
};

/// How often the poisoned batch is retried.
const RETRIES: usize = 100;

fn checking() -> LedgerDownstream {
    LedgerDownstream {
        checks_state: true,
        ..LedgerDownstream::default()
    }
}

fn call_counts(downstream: &LedgerDownstream) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in downstream.calls() {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn does_not_call_the_downstream_for_settled_notifications() {
    let (table, downstream) = (table(), checking());
    let documents = store_all(&table, &["calls-1", "refuses-1", "calls-2"]).await;
    for _process in 0..2 {
        assert_eq!(
            handle(table.clone(), &downstream, batch(&documents)).await,
            None
        );
    }
    assert_eq!(downstream.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn does_not_call_the_downstream_for_removed_replaced_or_edited_notifications() {
    let (table, downstream) = (table(), checking());
    let replaced = store(&table, "calls-replaced").await;
    table.expire("calls-replaced");
    let other = contract::notification("calls-replaced", "2");
    table.insert(&other).await.unwrap();
    let mut edited = contract::notification("calls-edited", "1");
    table.insert(&edited).await.unwrap();
    edited.version += 1;
    let documents = [unknown("calls-removed"), replaced, document(&edited)];
    for place in 0..documents.len() {
        let reported = handle(table.clone(), &downstream, batch(&documents[place..=place])).await;
        assert_eq!(reported, Some(sequence_number(0)), "{place}");
    }
    assert_eq!(downstream.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn calls_nothing_if_the_current_states_cannot_be_read() {
    for fault in [
        Fault::Throttled,
        Fault::Refused,
        Fault::SilentBefore,
        Fault::ResponseLost,
    ] {
        let (table, downstream) = (table(), checking());
        let documents = store_all(&table, &["calls-1", "calls-2"]).await;
        let faulty = FaultyTable::scripted(table.clone(), []).with_faulty_reads(move |_| fault);
        let reported = handle(faulty, &downstream, batch(&documents)).await;
        assert_eq!(reported, Some(sequence_number(0)), "{fault:?}");
        assert_eq!(downstream.calls(), [""; 0], "{fault:?}");
        let reported = handle(table.clone(), &downstream, batch(&documents)).await;
        assert_eq!(reported, None, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_does_not_repeat_the_calls_for_its_neighbours() {
    // With the check of the table or without it: a process remembers what it has settled.
    for checks_state in [true, false] {
        let table = table();
        let downstream = LedgerDownstream {
            checks_state,
            ..LedgerDownstream::default()
        };
        let ids: Vec<String> = (0..100)
            .map(|place| match place {
                37 => "rejects-1".to_owned(),
                _ => format!("calls-{place}"),
            })
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let documents = store_all(&table, &ids).await;
        let process = complete(table.clone(), &downstream);
        for _retry in 0..=RETRIES {
            let budget = Budget::from_remaining(None, BUDGET);
            let response = process.handle(batch(&documents), budget).await.unwrap();
            let reported = response.batch_item_failures[0].item_identifier.clone();
            assert_eq!(reported, Some(sequence_number(37)));
        }
        let mut counts = call_counts(&downstream);
        assert_eq!(counts.remove("rejects-1"), Some(RETRIES + 1));
        assert_eq!(counts.len(), 99);
        assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_receiver_ends_the_batch() {
    let (table, downstream) = (table(), checking());
    let ids = [
        "calls-1", "calls-2", "busy-1", "calls-3", "calls-4", "calls-5", "calls-6", "calls-7",
    ];
    let documents = store_all(&table, &ids).await;
    let reported = handle(table.clone(), &downstream, batch(&documents)).await;
    assert_eq!(reported, Some(sequence_number(2)));
    assert!(is_done(&table, "calls-1") && is_done(&table, "calls-2"));
    // At most the four that are processed at the same time, the busy one included, and those in front of them.
    let calls = downstream.calls();
    assert!(calls.len() <= 6, "{calls:?}");
    assert!(!calls.contains(&"calls-7".to_owned()), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_the_downstream_again_for_a_notification_that_was_removed_and_sent_again() {
    let (table, downstream) = (InMemoryTable::default(), checking());
    let process = complete(table.clone(), &downstream);
    for round in 1..=2 {
        let mut item = contract::notification("calls-1", "1");
        item.created_at = jiff::Timestamp::from_second(round).unwrap();
        item.updated_at = item.created_at;
        table.insert(&item).await.unwrap();
        let event = batch(&[document(&item)]);
        let response = process
            .handle(event, Budget::from_remaining(None, BUDGET))
            .await;
        assert!(response.unwrap().batch_item_failures.is_empty());
        assert!(is_done(&table, "calls-1"), "{round}");
        table.expire("calls-1");
    }
    assert_eq!(downstream.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_is_forgotten_during_the_batch_is_still_settled() {
    let (table, downstream) = (InMemoryTable::default(), checking());
    let process = complete(table.clone(), &downstream);
    let budget = || Budget::from_remaining(None, Duration::from_secs(3_600));
    let ids: Vec<String> = (0..MAX_REMEMBERED + 5)
        .map(|number| format!("calls-{number}"))
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut documents = store_all(&table, &ids).await;
    let new = documents.split_off(MAX_REMEMBERED);
    let response = process.handle(batch(&documents), budget()).await.unwrap();
    assert!(response.batch_item_failures.is_empty());
    // The memory is full, so the new ones displace the oldest, which is the last of this batch.
    let again = [new, documents[..1].to_vec()].concat();
    let response = process.handle(batch(&again), budget()).await.unwrap();
    assert!(response.batch_item_failures.is_empty());
    assert_eq!(downstream.calls().len(), ids.len());
}
