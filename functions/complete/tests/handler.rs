//! Tests the guarantees of `complete` against an in-memory table with injected failures.
#![allow(clippy::unwrap_used)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use aws_lambda_events::event::kinesis::KinesisEvent;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use onewrite::{
    completion::{Completer, Downstream, DownstreamError, Effect},
    event::NotificationEvent,
    item::{NotificationItem, attribute},
    limits::ANSWER_MARGIN,
    notification::{NotificationId, Status},
    stream::Record,
    table::{Completions, NewNotifications},
};
use onewrite_complete::{handler::Complete, record::MissingSequenceNumber};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{
    Fault, FaultyTable, InMemoryTable, Log, StoredRecord, contract, lambda_event,
};
use proptest::prelude::*;
use serde_dynamo::AttributeValue as Value;
use tokio::time::Instant;

const BUDGET: Duration = Duration::from_secs(10);
const LEDGER: &str = "ledger";

/// A downstream whose behaviour depends on the prefix of the id: `refuses-`, `panics-`, `hangs-`,
/// `doubted-` (its write's condition is false), `calls-` (the call is the effect). Any other effect is a new entry of
/// the ledger per call, so a repeated effect leaves two entries.
#[derive(Default)]
struct Accountant {
    calls: Mutex<Vec<String>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Downstream<TransactWriteItem> for &Accountant {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let id = event.subject.as_str();
        let call = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(id.to_owned());
            calls.len()
        };
        let now = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.most_in_flight.fetch_max(now, SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.in_flight.fetch_sub(1, SeqCst);
        let kind = id.split_once('-').map_or("", |(kind, _)| kind);
        match kind {
            "refuses" => return Err(DownstreamError::new("the books are closed")),
            "panics" => panic!("{}", event.data.as_str()),
            "hangs" => pending().await,
            "calls" => return Ok(Effect::Happened),
            _ => {}
        }
        let text = |text: String| AttributeValue::S(text);
        let entry = Put::builder()
            .table_name(LEDGER)
            .item("entry_id", text(format!("{id}#{call}")))
            .item("of", text(id.to_owned()))
            .set_condition_expression(
                (kind == "doubted").then(|| "attribute_exists(of)".to_owned()),
            )
            .build()
            .unwrap();
        let write = TransactWriteItem::builder().put(entry).build();
        Ok(Effect::CommitWith(vec![write]))
    }
}

impl Accountant {
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

fn table() -> InMemoryTable {
    InMemoryTable::default().with_other_table(LEDGER, "entry_id")
}

/// Stores a notification; returns its INIT event.
async fn store(table: &InMemoryTable, id: &str) -> Vec<u8> {
    let item = contract::notification(id, &format!(r#"{{"canary":"of {id}"}}"#));
    table.insert(&item).await.unwrap();
    document(&item)
}

async fn store_all(table: &InMemoryTable, ids: &[&str]) -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    for id in ids {
        documents.push(store(table, id).await);
    }
    documents
}

/// The INIT event of a notification that is not in the table.
fn unknown(id: &str) -> Vec<u8> {
    document(&contract::notification(id, "null"))
}

fn done_event(id: &str) -> Vec<u8> {
    let mut item = contract::notification(id, "null");
    item.status = Status::Done;
    item.version = Status::Done.version();
    document(&item)
}

fn document(item: &NotificationItem) -> Vec<u8> {
    NotificationEvent::from_item(item).to_json().into_bytes()
}

/// The sequence number of a record: 8, 9, 10, 11 …, which sort as numbers but not as text.
fn sequence_number(place: usize) -> String {
    (8 + place).to_string()
}

fn batch(documents: &[Vec<u8>]) -> KinesisEvent {
    batch_from(0, documents)
}

fn batch_from(first: usize, documents: &[Vec<u8>]) -> KinesisEvent {
    let records: Vec<_> = documents
        .iter()
        .enumerate()
        .skip(first)
        .map(|(place, data)| StoredRecord {
            sequence_number: sequence_number(place),
            shard_id: "shardId-000000000000".to_owned(),
            record: Record {
                id: NotificationId::parse("any").unwrap(),
                data: data.clone(),
            },
            at: Timestamp::UNIX_EPOCH,
        })
        .collect();
    lambda_event::kinesis(&records)
}

fn complete<T: Completions>(table: T, accountant: &Accountant) -> Complete<T, &Accountant>
where
    for<'a> &'a Accountant: Downstream<T::Write>,
{
    Complete::new(Completer::new(table, 0), accountant, 4)
}

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test(start_paused = true)]
async fn counts_and_logs_the_outcome_of_each_event() {
    let log = Log::capture();
    let table = table();
    let accountant = Accountant::default();
    let mut documents = store_all(
        &table,
        &[
            "a",
            "twice",
            "refuses-1",
            "doubted-1",
            "panics-1",
            "hangs-1",
        ],
    )
    .await;
    documents.push(documents[1].clone());
    documents.extend([unknown("nobody"), done_event("b"), b"no event".to_vec()]);
    let already = store(&table, "already").await;
    assert_eq!(
        handle(
            table.clone(),
            &accountant,
            batch(std::slice::from_ref(&already))
        )
        .await,
        None
    );
    documents.push(already);

    let complete =
        complete(table, &accountant).with_observer(Observer::default().with_metrics(|metrics| {
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
        ("Received", 11),
        ("Copies", 1),
        ("Done", 2),
        ("AlreadyDone", 1),
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
        ("refuses-1", "WARN"),
        ("panics-1", "WARN"),
        ("hangs-1", "WARN"),
        ("doubted-1", "ERROR"),
        ("nobody", "ERROR"),
    ] {
        assert_eq!(level("notification_id", id), Some(expected), "{id}");
    }
    assert_eq!(level("failure", "Unreadable"), Some("ERROR"));
}

/// Returns the reported sequence number, if any.
async fn handle<T: Completions<Write = TransactWriteItem>>(
    table: T,
    accountant: &Accountant,
    event: KinesisEvent,
) -> Option<String> {
    handle_within(table, accountant, event, BUDGET).await
}

async fn handle_within<T: Completions<Write = TransactWriteItem>>(
    table: T,
    accountant: &Accountant,
    event: KinesisEvent,
    budget: Duration,
) -> Option<String> {
    let response = complete(table, accountant)
        .handle(event, Budget::from_remaining(None, budget))
        .await
        .unwrap();
    assert!(response.batch_item_failures.len() <= 1, "the lowest alone");
    response
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier.unwrap())
        .next()
}

fn is_done(table: &InMemoryTable, id: &str) -> bool {
    let status = table.item(id).unwrap().get(attribute::STATUS).cloned();
    status == Some(Value::S("DONE".to_owned()))
}

/// Counts the committed effects of each notification.
fn ledger(table: &InMemoryTable) -> BTreeMap<String, usize> {
    let mut effects = BTreeMap::new();
    for entry in table.other_items(LEDGER).into_values() {
        let Some(Value::S(id)) = entry.get("of").cloned() else {
            panic!("an entry of nothing");
        };
        *effects.entry(id).or_default() += 1;
    }
    effects
}

/// Counts the changes of each item, including its INSERT.
fn changes(table: &InMemoryTable) -> BTreeMap<String, usize> {
    let mut changes = BTreeMap::new();
    for change in table.changes() {
        *changes.entry(change.id).or_default() += 1;
    }
    changes
}

fn assert_each_done_once<'a>(table: &InMemoryTable, ids: impl IntoIterator<Item = &'a str>) {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    for id in &ids {
        assert!(is_done(table, id), "{id} is DONE");
    }
    let each = |count| ids.iter().map(|id| ((*id).to_owned(), count)).collect();
    assert_eq!(ledger(table), each(1), "one effect each");
    assert_eq!(changes(table), each(2), "INSERT and one transition each");
}

#[tokio::test(start_paused = true)]
async fn commits_the_effect_of_an_accepted_notification_with_done() {
    let (table, accountant) = (table(), Accountant::default());
    let documents = store_all(&table, &["a", "b", "calls-c"]).await;
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
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
    let (table, accountant) = (table(), Accountant::default());
    let ids = ["a", "b", "c", "d", "e"];
    let documents = store_all(&table, &ids).await;
    let answers = futures::future::join_all((0..CONSUMERS).map(|consumer| {
        // Different delays before and after the write let the consumers overtake each other.
        let pace = move |millis: usize| Duration::from_millis((millis * (consumer % 3)) as u64);
        let answering = FaultyTable::new(table.clone(), move |_| Fault::AnswerDelayed(pace(7)));
        let table = FaultyTable::new(answering, move |call| Fault::Delayed(pace(call.number)));
        handle(table, &accountant, batch(&documents))
    }))
    .await;
    assert_eq!(answers, vec![None; CONSUMERS]);
    assert_eq!(
        accountant.calls().len(),
        CONSUMERS * ids.len(),
        "all competed"
    );
    assert_each_done_once(&table, ids);
}

#[tokio::test(start_paused = true)]
async fn acknowledges_a_done_notification_without_a_write() {
    let (table, accountant) = (table(), Accountant::default());
    let documents = store_all(&table, &["a"]).await;
    for _ in 0..3 {
        assert_eq!(
            handle(table.clone(), &accountant, batch(&documents)).await,
            None
        );
    }
    assert_each_done_once(&table, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn reports_a_failure_at_any_position_of_the_batch() {
    for bad in [
        "refuses-x",
        "panics-x",
        "doubted-x",
        "unknown-x",
        "not an event",
    ] {
        for place in 0..5 {
            let (table, accountant) = (table(), Accountant::default());
            let good = ["a", "b", "c", "d"];
            let mut documents = store_all(&table, &good).await;
            let failing = match bad {
                "unknown-x" => unknown(bad),
                "not an event" => bad.as_bytes().to_vec(),
                _ => store(&table, bad).await,
            };
            documents.insert(place, failing);
            assert_eq!(
                handle(table.clone(), &accountant, batch(&documents)).await,
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
async fn reports_the_lowest_failure() {
    let (table, accountant) = (table(), Accountant::default());
    let documents = store_all(
        &table,
        &["a", "refuses-1", "b", "panics-2", "c", "refuses-3", "d"],
    )
    .await;
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
        Some(sequence_number(1))
    );
    assert!(["a", "b", "c", "d"].iter().all(|id| is_done(&table, id)));
}

#[tokio::test(start_paused = true)]
async fn leaves_an_edited_item_unchanged() {
    let (table, accountant) = (table(), Accountant::default());
    let documents = store_all(&table, &["a", "b"]).await;
    table.edit("a", |item| {
        item.insert(attribute::VERSION.to_owned(), Value::N("7".to_owned()));
    });
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
        Some(sequence_number(0))
    );
    assert!(!is_done(&table, "a") && is_done(&table, "b"));
}

#[tokio::test(start_paused = true)]
async fn ignores_done_events() {
    let (table, accountant) = (table(), Accountant::default());
    store(&table, "a").await;
    let documents = [done_event("a"), done_event("unknown")];
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
        None
    );
    assert_eq!(accountant.calls(), [""; 0]);
    assert!(
        !is_done(&table, "a"),
        "a DONE event must not change the item"
    );
}

#[tokio::test(start_paused = true)]
async fn handles_copies_of_an_event_in_a_batch_once() {
    let (table, accountant) = (table(), Accountant::default());
    let [a, b] = store_all(&table, &["a", "refuses-b"])
        .await
        .try_into()
        .unwrap();
    let documents = [a.clone(), b.clone(), a.clone(), done_event("a"), b, a];
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
        Some(sequence_number(1)),
        "the first of the copies that failed"
    );
    assert_eq!(accountant.calls(), ["a", "refuses-b"]);
    assert!(is_done(&table, "a"));
}

#[tokio::test(start_paused = true)]
async fn fails_the_batch_if_a_failed_record_has_no_sequence_number() {
    for missing in ["", "x1"] {
        let (table, accountant) = (table(), Accountant::default());
        let documents = store_all(&table, &["refuses-a", "refuses-b", "c"]).await;
        let mut event = batch(&documents);
        event.records[1].kinesis.sequence_number = missing.to_owned();
        let answer = complete(table.clone(), &accountant)
            .handle(event, Budget::from_remaining(None, BUDGET))
            .await;
        assert_eq!(answer.unwrap_err(), MissingSequenceNumber);
        assert!(is_done(&table, "c"), "the others are still handled");
    }
}

#[tokio::test(start_paused = true)]
async fn accepts_a_missing_sequence_number_of_a_handled_record() {
    let (table, accountant) = (table(), Accountant::default());
    let documents = store_all(&table, &["a", "refuses-b"]).await;
    let mut event = batch(&documents);
    event.records[0].kinesis.sequence_number = String::new();
    assert_eq!(
        handle(table, &accountant, event).await,
        Some(sequence_number(1))
    );
}

#[tokio::test(start_paused = true)]
async fn reports_unhandled_records_before_the_deadline() {
    let (table, accountant) = (table(), Accountant::default());
    let ids = ["a", "hangs-1", "hangs-2", "hangs-3", "hangs-4", "b", "c"];
    let documents = store_all(&table, &ids).await;
    let begin = Instant::now();
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
        Some(sequence_number(1))
    );
    assert_eq!(begin.elapsed(), BUDGET - ANSWER_MARGIN);
    assert!(is_done(&table, "a"));
    assert!(!is_done(&table, "b") && !is_done(&table, "c"));
    assert_eq!(
        accountant.calls().len(),
        5,
        "no record starts after the deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn starts_nothing_without_remaining_time() {
    let (table, accountant) = (table(), Accountant::default());
    let documents = store_all(&table, &["a"]).await;
    assert_eq!(
        handle_within(table, &accountant, batch(&documents), ANSWER_MARGIN).await,
        Some(sequence_number(0))
    );
    assert_eq!(accountant.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn handles_notifications_concurrently_up_to_the_limit() {
    let (table, accountant) = (table(), Accountant::default());
    let ids: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let documents = store_all(&table, &ids).await;
    assert_eq!(
        handle(table.clone(), &accountant, batch(&documents)).await,
        None
    );
    assert_eq!(accountant.most_in_flight.load(SeqCst), 4);
    assert_each_done_once(&table, ids);
}

#[tokio::test(start_paused = true)]
async fn accepts_an_empty_batch() {
    assert_eq!(
        handle(table(), &Accountant::default(), batch(&[])).await,
        None
    );
}

/// The faults of a call to the table.
const FAULTS: [Fault; 8] = [
    Fault::None,
    Fault::Throttled,
    Fault::Refused,
    Fault::RequestLost,
    Fault::ResponseLost,
    Fault::SilentBefore,
    Fault::SilentAfter,
    Fault::Panic,
];

#[tokio::test(start_paused = true)]
async fn commits_an_effect_with_done_or_not_at_all_under_every_fault() {
    for fault in FAULTS {
        let (table, accountant) = (table(), Accountant::default());
        let documents = store_all(&table, &["a"]).await;
        let faulty = FaultyTable::scripted(table.clone(), [fault]);
        let first = handle(faulty.clone(), &accountant, batch(&documents)).await;
        assert_eq!(first.is_some(), fault != Fault::None, "{fault:?}");
        let takes_effect = matches!(
            fault,
            Fault::None | Fault::ResponseLost | Fault::SilentAfter
        );
        assert_eq!(is_done(&table, "a"), takes_effect, "{fault:?}");
        assert_eq!(ledger(&table).contains_key("a"), takes_effect, "{fault:?}");

        assert_eq!(handle(faulty, &accountant, batch(&documents)).await, None);
        assert_each_done_once(&table, ["a"]);
    }
}

/// Polls `work` at most `polls` times, then drops it, as a crash does.
async fn crash_after<F: Future>(polls: usize, work: F) -> Option<F::Output> {
    let (mut work, mut polled) = (pin!(work), 0);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polled == polls => Poll::Ready(None),
        Poll::Pending => {
            polled += 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn repeats_no_committed_effect_after_a_crash_at_any_await_point() {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let mut halfway = 0;
    for polls in 0.. {
        let (table, accountant) = (table(), Accountant::default());
        let documents = store_all(&table, &ids).await;
        let pause = Duration::from_millis(3);
        let answering = FaultyTable::new(table.clone(), move |_| Fault::AnswerDelayed(pause));
        let slow = FaultyTable::new(answering, move |call| {
            Fault::Delayed(pause * call.number as u32)
        });
        let work = handle(slow, &accountant, batch(&documents));
        let survived = crash_after(polls, work).await.is_some();
        let done = ids.iter().filter(|id| is_done(&table, id)).count();
        assert_eq!(ledger(&table).len(), done, "after {polls} polls");
        halfway += usize::from((1..ids.len()).contains(&done));

        assert_eq!(
            handle(table.clone(), &accountant, batch(&documents)).await,
            None
        );
        assert_each_done_once(&table, ids);
        if survived {
            assert!(halfway > 3, "crashes met work half done: {halfway}");
            return;
        }
    }
}

/// The kinds of records in the property test.
#[derive(Debug, Clone, Copy)]
enum Sent {
    Init(u8),
    Done(u8),
    Unknown,
    Foreign,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => (0..6_u8).prop_map(Sent::Init),
        1 => (0..6_u8).prop_map(Sent::Done),
        1 => Just(Sent::Unknown),
        1 => Just(Sent::Foreign),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Simulates Lambda: redelivers from the checkpoint until every record is acknowledged, while the table fails
    /// for some time. A record that always fails is discarded after the maximum number of attempts.
    #[test]
    fn completes_every_notification_once_and_never_skips_a_failure(
        records in prop::collection::vec(sent(), 1..16),
        faults in prop::collection::vec(prop::sample::select(FAULTS.to_vec()), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (table, accountant) = (table(), Accountant::default());
            let mut documents = Vec::new();
            let mut stored = BTreeSet::new();
            for record in &records {
                documents.push(match record {
                    Sent::Init(n) => {
                        let id = format!("n{n}");
                        let document = store(&table, &id).await;
                        stored.insert(id);
                        document
                    }
                    Sent::Done(n) => done_event(&format!("n{n}")),
                    Sent::Unknown => unknown("unknown"),
                    Sent::Foreign => b"{}".to_vec(),
                });
            }
            let is_poison = |place: usize| matches!(records[place], Sent::Unknown | Sent::Foreign);
            let faulty = FaultyTable::scripted(table.clone(), faults.clone());
            let (mut checkpoint, mut attempts) = (0, 0);
            while checkpoint < records.len() {
                attempts += 1;
                let event = batch_from(checkpoint, &documents);
                let Some(reported) = handle(faulty.clone(), &accountant, event).await else {
                    break;
                };
                let lowest = reported.parse::<usize>().unwrap() - 8;
                assert!((checkpoint..records.len()).contains(&lowest));
                for (place, sent) in records.iter().enumerate().take(lowest).skip(checkpoint) {
                    assert!(!is_poison(place), "{place} was passed");
                    if let Sent::Init(n) = sent {
                        assert!(is_done(&table, &format!("n{n}")), "{place} was passed");
                    }
                }
                if lowest > checkpoint {
                    (checkpoint, attempts) = (lowest, 0);
                } else if attempts > faults.len() {
                    // The list of faults is exhausted, so only a poison record can still fail.
                    assert!(is_poison(lowest), "{lowest} must not fail after the last fault");
                    (checkpoint, attempts) = (lowest + 1, 0);
                }
            }
            assert_each_done_once(&table, stored.iter().map(String::as_str));
        });
    }
}
