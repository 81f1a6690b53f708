//! The outcome of each event, its log line and its metric.

use std::{cell::RefCell, time::Duration};

use onewrite::{
    item::{NotificationItem, attribute},
    notification::Status,
};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{Fault, FaultyTable, Log, contract};
use serde_dynamo::AttributeValue as Value;

use crate::support::{
    BUDGET, LedgerDownstream, assert_each_done_once, batch, changes, complete, document,
    done_event, handle, is_done, ledger, sequence_number, store, store_all, table, unknown,
};

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test(start_paused = true)]
async fn counts_and_logs_the_outcome_of_each_event() {
    let log = Log::capture();
    let table = table();
    let downstream = LedgerDownstream::default();
    let mut documents = store_all(
        &table,
        &[
            "a",
            "twice",
            "rejects-1",
            "doubted-1",
            "panics-1",
            "hangs-1",
            "refuses-1",
        ],
    )
    .await;
    documents.push(documents[1].clone());
    documents.extend([unknown("missing"), done_event("b"), b"no event".to_vec()]);
    let already = store(&table, "already").await;
    assert_eq!(
        handle(
            table.clone(),
            &downstream,
            batch(std::slice::from_ref(&already))
        )
        .await,
        None
    );
    documents.push(already);

    let complete =
        complete(table, &downstream).with_observer(Observer::default().with_metrics(|metrics| {
            EMITTED.with_borrow_mut(|emitted| emitted.push(metrics.clone()))
        }));
    let budget = Budget::from_remaining(None, BUDGET);
    let _ = complete.handle(batch(&documents), budget).await.unwrap();

    assert_counts_each_outcome();
    assert_levels(&log);
}

fn assert_counts_each_outcome() {
    let emitted = EMITTED.take();
    assert_eq!(emitted.len(), 1);
    for (name, count) in [
        ("Received", 12),
        ("Copies", 1),
        ("Done", 2),
        ("AlreadySettled", 1),
        ("Refused", 1),
        ("Contradicted", 0),
        ("Ignored", 1),
        ("Failed", 6),
        ("DownstreamFailed", 1),
        ("WritesRefused", 1),
        ("Panicked", 1),
        ("OutOfTime", 1),
        ("UnknownId", 1),
        ("Unreadable", 1),
    ] {
        assert_eq!(emitted[0].get(name), count, "{name}");
    }
}

fn assert_levels(log: &Log) {
    let lines = log.lines();
    let level = |key: &str, value: &str| {
        let line = lines.iter().rev().find(|line| line[key] == value);
        line.map(|line| line["level"].as_str().unwrap())
    };
    for (id, expected) in [
        ("a", "DEBUG"),
        ("already", "INFO"),
        ("b", "DEBUG"),
        ("refuses-1", "INFO"),
        ("rejects-1", "WARN"),
        ("panics-1", "WARN"),
        ("hangs-1", "WARN"),
        ("doubted-1", "ERROR"),
        ("missing", "ERROR"),
    ] {
        assert_eq!(level("notification_id", id), Some(expected), "{id}");
    }
    assert_eq!(level("failure", "Unreadable"), Some("ERROR"));
}

#[tokio::test(start_paused = true)]
async fn commits_the_effect_of_an_accepted_notification_with_done() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["a", "b", "calls-c"]).await;
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        None
    );
    assert!(["a", "b", "calls-c"].iter().all(|id| is_done(&table, id)));
    assert_eq!(ledger(&table).into_keys().collect::<Vec<_>>(), ["a", "b"]);
    let item = NotificationItem::from_item(&table.item("a").unwrap()).unwrap();
    assert_eq!((item.version, item.expires_at), (2, None));
}

#[tokio::test(start_paused = true)]
async fn lets_exactly_one_competing_consumer_win() {
    const CONSUMERS: usize = 8;
    let (table, downstream) = (table(), LedgerDownstream::default());
    let ids = ["a", "b", "c", "d", "e"];
    let documents = store_all(&table, &ids).await;
    let answers = futures::future::join_all((0..CONSUMERS).map(|consumer| {
        // Different delays before and after the write let the consumers overtake each other.
        let pace = move |millis: usize| Duration::from_millis((millis * (consumer % 3)) as u64);
        let answering = FaultyTable::new(table.clone(), move |_| Fault::AnswerDelayed(pace(7)));
        let table = FaultyTable::new(answering, move |call| Fault::Delayed(pace(call.number)));
        handle(table, &downstream, batch(&documents))
    }))
    .await;
    assert_eq!(answers, vec![None; CONSUMERS]);
    assert_eq!(
        downstream.calls().len(),
        CONSUMERS * ids.len(),
        "all competed"
    );
    assert_each_done_once(&table, ids);
}

#[tokio::test(start_paused = true)]
async fn refuses_once_without_an_effect() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["refuses-1", "a"]).await;
    for _ in 0..2 {
        let reported = handle(table.clone(), &downstream, batch(&documents)).await;
        assert_eq!(reported, None, "a refusal stops nothing");
    }
    let refused = NotificationItem::from_item(&table.item("refuses-1").unwrap()).unwrap();
    assert_eq!(refused.status, Status::Refused);
    assert_eq!(refused.refusal.unwrap().as_str(), "account_closed");
    assert_eq!(ledger(&table).get("refuses-1"), None);
    assert_eq!(changes(&table)["refuses-1"], 2, "INSERT and one transition");
    assert!(is_done(&table, "a"));
}

#[tokio::test(start_paused = true)]
async fn settles_both_notifications_of_a_reused_id_in_one_batch() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let stale = document(&contract::notification("a", "1"));
    let current = store(&table, "a").await;
    let reported = handle(table.clone(), &downstream, batch(&[stale, current])).await;
    assert_eq!(reported, Some(sequence_number(0)), "the removed one");
    assert!(is_done(&table, "a"));
    assert_eq!(ledger(&table)["a"], 1);
}

#[tokio::test(start_paused = true)]
async fn acknowledges_a_done_notification_without_a_write() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["a"]).await;
    for _ in 0..3 {
        assert_eq!(
            handle(table.clone(), &downstream, batch(&documents)).await,
            None
        );
    }
    assert_each_done_once(&table, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn leaves_an_edited_item_unchanged() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let documents = store_all(&table, &["a", "b"]).await;
    table.edit("a", |item| {
        item.insert(attribute::VERSION.to_owned(), Value::N("7".to_owned()));
    });
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        Some(sequence_number(0))
    );
    assert!(!is_done(&table, "a") && is_done(&table, "b"));
}

#[tokio::test(start_paused = true)]
async fn ignores_done_events() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    store(&table, "a").await;
    let documents = [done_event("a"), done_event("unknown")];
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        None
    );
    assert_eq!(downstream.calls(), [""; 0]);
    assert!(
        !is_done(&table, "a"),
        "a DONE event must not change the item"
    );
}

#[tokio::test(start_paused = true)]
async fn handles_copies_of_an_event_in_a_batch_once() {
    let (table, downstream) = (table(), LedgerDownstream::default());
    let [a, b] = store_all(&table, &["a", "rejects-b"])
        .await
        .try_into()
        .unwrap();
    let documents = [a.clone(), b.clone(), a.clone(), done_event("a"), b, a];
    assert_eq!(
        handle(table.clone(), &downstream, batch(&documents)).await,
        Some(sequence_number(1)),
        "the first of the copies that failed"
    );
    assert_eq!(downstream.calls(), ["a", "rejects-b"]);
    assert!(is_done(&table, "a"));
}

#[tokio::test(start_paused = true)]
async fn accepts_an_empty_batch() {
    assert_eq!(
        handle(table(), &LedgerDownstream::default(), batch(&[])).await,
        None
    );
}
