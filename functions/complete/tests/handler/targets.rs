//! Several targets behind the handler: one that is busy stops only what needs it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use onewrite::{
    completion::Completer, notification::NotificationType, table::NewNotifications as _,
};
use onewrite_complete::{
    handler::Complete,
    targets::{OPENING_FAILURES, Route, Targets},
};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{Fault, FaultyTable, InMemoryTable, contract};

use crate::support::{
    BUDGET, LedgerDownstream, batch, batch_from, document, is_done, sequence_number, store_all,
    table,
};

const REFUND: &str = "refund";
const ORDER: &str = "order";

/// A process of `complete` with a target for each type, and how often it read current states.
struct Process<'a> {
    handler: Complete<FaultyTable<InMemoryTable>, Targets<&'a LedgerDownstream>>,
    reads: Arc<AtomicUsize>,
}

fn checking() -> LedgerDownstream {
    LedgerDownstream {
        checks_state: true,
        ..LedgerDownstream::default()
    }
}

impl<'a> Process<'a> {
    fn new(table: &InMemoryTable, routes: [(&str, &'a LedgerDownstream); 2]) -> Self {
        let reads = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reads);
        let table = FaultyTable::scripted(table.clone(), []).with_faulty_reads(move |_| {
            counter.fetch_add(1, SeqCst);
            Fault::None
        });
        let routes = routes.map(|(kind, target)| {
            let types = vec![kind.parse().unwrap()];
            Route::new(kind, types, target, None)
        });
        let targets = Targets::new(routes.into());
        Self {
            handler: Complete::new(Completer::new(table, 0), targets, 4),
            reads,
        }
    }

    /// Returns the reported sequence number, if any.
    async fn handle(&self, first: usize, documents: &[Vec<u8>]) -> Option<String> {
        let budget = Budget::from_remaining(None, BUDGET);
        let event = batch_from(first, documents);
        let response = self.handler.handle(event, budget).await.unwrap();
        let mut failures = response.batch_item_failures.into_iter();
        failures
            .next()
            .map(|failure| failure.item_identifier.unwrap())
    }
}

async fn store_order(table: &InMemoryTable, id: &str) -> Vec<u8> {
    let mut item = contract::notification(id, "null");
    item.notification.kind = NotificationType::parse(ORDER).unwrap();
    table.insert(&item).await.unwrap();
    document(&item)
}

/// Refunds at even places, the first of them busy, and orders at odd ones.
async fn store_mixed(table: &InMemoryTable, count: usize) -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    for place in 0..count {
        documents.push(match place {
            0 => store_all(table, &["busy-0"]).await.remove(0),
            _ if place % 2 == 0 => store_all(table, &[&format!("calls-{place}")])
                .await
                .remove(0),
            _ => store_order(table, &format!("calls-{place}")).await,
        });
    }
    documents
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_stops_only_the_notifications_that_need_it() {
    let (table, [refunds, orders]) = (table(), [(); 2].map(|()| checking()));
    let documents = store_mixed(&table, 20).await;
    let process = Process::new(&table, [(REFUND, &refunds), (ORDER, &orders)]);
    assert_eq!(
        process.handle(0, &documents).await,
        Some(sequence_number(0))
    );
    let is_settled = |place: usize| is_done(&table, &format!("calls-{place}"));
    assert!((1..20).step_by(2).all(is_settled), "all orders are DONE");
    // Those that were called at the same time as the busy one.
    assert!(refunds.calls().len() <= 2, "{:?}", refunds.calls());
    assert_eq!(orders.calls().len(), 10);

    // Lambda delivers everything again, also what is DONE. That costs no call, and one read for all refunds that are left.
    for _retry in 0..3 {
        let before = (process.reads.load(SeqCst), refunds.calls().len());
        assert_eq!(
            process.handle(0, &documents).await,
            Some(sequence_number(0))
        );
        assert_eq!(orders.calls().len(), 10, "no order is delivered again");
        assert!(process.reads.load(SeqCst) <= before.0 + 1);
        // Those that are processed at the same time.
        assert!(refunds.calls().len() <= before.1 + 4);
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_circuit_breaker_is_open_nothing_is_read_or_called() {
    let (table, [refunds, orders]) = (table(), [(); 2].map(|()| checking()));
    let ids: Vec<String> = (0..OPENING_FAILURES)
        .map(|number| format!("rejects-{number}"))
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let documents = store_all(&table, &ids).await;
    let process = Process::new(&table, [(REFUND, &refunds), (ORDER, &orders)]);
    process.handle(0, &documents).await;
    assert_eq!(
        (refunds.calls().len(), process.reads.load(SeqCst)),
        (OPENING_FAILURES, 1)
    );
    let more = store_all(&table, &["calls-1", "calls-2"]).await;
    for _retry in 0..10 {
        assert_eq!(process.handle(0, &more).await, Some(sequence_number(0)));
    }
    assert_eq!(
        (refunds.calls().len(), process.reads.load(SeqCst)),
        (OPENING_FAILURES, 1)
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    // One of them finds out that the target works, and the other one follows.
    while process.handle(0, &more).await.is_some() {}
    assert!(is_done(&table, "calls-1") && is_done(&table, "calls-2"));
    assert_eq!(refunds.calls().len(), OPENING_FAILURES + 2);
}

#[tokio::test(start_paused = true)]
async fn a_whole_batch_behind_a_postponed_record_is_remembered() {
    const LARGEST_BATCH: usize = 100;
    let (table, [refunds, orders]) = (table(), [(); 2].map(|()| LedgerDownstream::default()));
    let documents = store_mixed(&table, LARGEST_BATCH).await;
    let process = Process::new(&table, [(REFUND, &refunds), (ORDER, &orders)]);
    for _retry in 0..10 {
        assert_eq!(
            process.handle(0, &documents).await,
            Some(sequence_number(0))
        );
    }
    assert_eq!(orders.calls().len(), LARGEST_BATCH / 2);
}

#[tokio::test(start_paused = true)]
async fn no_call_begins_when_too_little_time_is_left() {
    let (table, downstream) = (table(), checking());
    // Four at a time: the last call would begin after 7.5 s of 9.5 s, and could not take as long as the others.
    let ids = ["slow-1", "slow-2", "slow-3", "slow-4", "calls-1"];
    let documents = store_all(&table, &ids).await;
    let reported = crate::support::handle(table.clone(), &downstream, batch(&documents)).await;
    assert_eq!(reported, Some(sequence_number(4)));
    assert_eq!(downstream.calls().len(), 4);
    assert!(["slow-1", "slow-4"].iter().all(|id| is_done(&table, id)));
}
