//! Tests which messages are deferred, for how long, and what a failed call changes: nothing but the wait.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use onewrite::{
    deferral::{WAITS, Waits},
    error::ServiceError,
    item::Enrichment,
    limits::{ANSWER_MARGIN, DEFERRAL_TIME, MAX_RECEIVES, MAX_VISIBILITY_ENTRIES},
    notification::{MessagePointers, Notification},
    queue::{Deferral, DeferralResult, DelayedDelivery},
};
use onewrite_ingest::{handler::Ingest, message::QueueEvent};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{Fault, FaultyTable, InMemoryTable, Log, lambda_event};
use serde_json::{Value, json};
use tokio::time::Instant;

const BUDGET: Duration = Duration::from_secs(10);
const CANARY: &str = "canary-7f3a";

/// What the queue answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Deferred,
    Slow,
    EntriesFail,
    Throttled,
    Refused,
    Silent,
}

/// A queue that records its calls in the same journal as the table.
#[derive(Clone)]
struct Queue {
    answer: Answer,
    calls: Arc<Mutex<Vec<Vec<Deferral>>>>,
    journal: Journal,
}

type Journal = Arc<Mutex<Vec<String>>>;

impl DelayedDelivery for Queue {
    async fn defer(&self, deferrals: &[Deferral]) -> Result<Vec<DeferralResult>, ServiceError> {
        self.calls.lock().unwrap().push(deferrals.to_vec());
        self.journal.lock().unwrap().push("defer".to_owned());
        let results = |result: DeferralResult| Ok(vec![result; deferrals.len()]);
        let code = "RequestThrottled".to_owned();
        match self.answer {
            Answer::Deferred => results(DeferralResult::Deferred),
            Answer::Slow => {
                tokio::time::sleep(Duration::from_millis(60)).await;
                results(DeferralResult::Deferred)
            }
            Answer::EntriesFail => results(DeferralResult::Failed { code }),
            Answer::Throttled => Err(ServiceError::Throttled { code }),
            Answer::Refused => Err(ServiceError::refused("AccessDeniedException")),
            Answer::Silent => pending().await,
        }
    }
}

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

/// What one invocation did.
struct Outcome {
    failures: BTreeSet<String>,
    /// The wait of each deferred receipt handle.
    waits: BTreeMap<String, Duration>,
    /// The number of messages of each call.
    calls: Vec<usize>,
    journal: Vec<String>,
    metrics: Metrics,
    time: Duration,
}

/// The fault of a table call depends on the prefix of the id.
fn fault(id: &str) -> Fault {
    match id.split('-').next() {
        Some("throttled") => Fault::Throttled,
        Some("refused") => Fault::Refused,
        Some("lost") => Fault::ResponseLost,
        Some("silent") => Fault::SilentAfter,
        _ => Fault::Delayed(Duration::from_millis(5)),
    }
}

fn aggregate(notification: &Notification) -> Enrichment {
    assert!(!notification.id.as_str().starts_with("panics-"), "{CANARY}");
    Enrichment::default()
}

async fn invoke(answer: Answer, event: QueueEvent) -> Outcome {
    invoke_with(answer, event, || 0.0).await
}

async fn invoke_with(answer: Answer, event: QueueEvent, jitter: fn() -> f64) -> Outcome {
    let (journal, calls) = (Journal::default(), Arc::default());
    let queue = Queue {
        answer,
        calls: Arc::clone(&calls),
        journal: Arc::clone(&journal),
    };
    let of_table = Arc::clone(&journal);
    let table = FaultyTable::new(InMemoryTable::default(), move |call| {
        of_table.lock().unwrap().push(call.id.to_string());
        fault(call.id.as_str())
    });
    let emit = |metrics: &Metrics| EMITTED.with_borrow_mut(|all| all.push(metrics.clone()));
    let ingest = Ingest::new(table, MessagePointers::default(), 4, aggregate)
        .with_queue(Some(queue))
        .with_jitter(jitter)
        .with_observer(Observer::default().with_metrics(emit));
    let started = Instant::now();
    let budget = Budget::from_remaining(None, BUDGET);
    let response = ingest.handle(event, budget).await.unwrap();
    let failures = response.batch_item_failures.into_iter();
    let calls = calls.lock().unwrap();
    let deferrals = calls.iter().flatten();
    let wait = |deferral: &Deferral| (deferral.receipt_handle.clone(), deferral.wait);
    Outcome {
        failures: failures.map(|failure| failure.item_identifier).collect(),
        waits: deferrals.map(wait).collect(),
        calls: calls.iter().map(Vec::len).collect(),
        journal: journal.lock().unwrap().clone(),
        metrics: EMITTED.take().pop().unwrap(),
        time: started.elapsed(),
    }
}

/// A message with its receive count. Its message id is its notification id, and its receipt handle `handle-<id>`.
fn message(id: &str, receive_count: u32) -> Value {
    let body = match id.split('-').next() {
        Some("malformed") => CANARY.to_owned(),
        _ => json!({"notification_id": id, "type": "refund", "payload": CANARY}).to_string(),
    };
    json!({"messageId": id, "receiptHandle": handle(id), "body": body, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:111111111111:notifications",
        "attributes": {"ApproximateReceiveCount": receive_count.to_string()}})
}

fn of_group(mut message: Value, group: &str) -> Value {
    message["eventSourceARN"] = "arn:aws:sqs:eu-central-1:111111111111:notifications.fifo".into();
    message["attributes"]["MessageGroupId"] = group.into();
    message
}

fn handle(id: &str) -> String {
    format!("handle-{id}")
}

fn event(records: &[Value]) -> QueueEvent {
    lambda_event::parse(&json!({"Records": records}))
}

fn waits<const N: usize>(waits: [(&str, Duration); N]) -> BTreeMap<String, Duration> {
    let waits = waits.into_iter().map(|(id, wait)| (handle(id), wait));
    waits.collect()
}

#[tokio::test(start_paused = true)]
async fn defers_only_messages_that_failed_for_a_transient_reason() {
    let conflict = message("stored", 1);
    let conflict = conflict.to_string().replace("refund", "payment");
    let records = [
        message("stored", 1),
        message("throttled-1", 1),
        message("refused-1", 1),
        message("lost-1", 1),
        message("panics-1", 1),
        message("malformed-1", 1),
        serde_json::from_str(&conflict.replace("\"stored\"", "\"conflict\"")).unwrap(),
    ];
    let outcome = invoke(Answer::Deferred, event(&records)).await;
    let transient = [("throttled-1", WAITS[0]), ("lost-1", WAITS[0])];
    assert_eq!(outcome.waits, waits(transient));
    assert_eq!(outcome.failures.len(), records.len() - 1);
    assert_eq!(outcome.metrics.get("Conflict"), 1);
    assert_eq!(outcome.metrics.get("Deferred"), 2);
    assert_eq!(outcome.metrics.get("NotDeferred"), 0);
}

#[tokio::test(start_paused = true)]
async fn waits_longer_after_each_receive_but_the_last() {
    for receive_count in 1..=MAX_RECEIVES + 1 {
        let event = || event(&[message("throttled-1", receive_count)]);
        let outcome = invoke(Answer::Deferred, event()).await;
        let expected = WAITS.get(receive_count as usize - 1);
        let expected = expected.map(|wait| (handle("throttled-1"), *wait));
        assert_eq!(outcome.waits, expected.into_iter().collect());
        let jittered = invoke_with(Answer::Deferred, event(), || 1.0).await;
        let expected = Waits::default().after(receive_count, 1.0);
        assert_eq!(jittered.waits.into_values().next(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_receive_count_or_handle_keeps_its_timeout() {
    for missing in ["/attributes", "/receiptHandle"] {
        let mut record = message("throttled-1", 1);
        *record.pointer_mut(missing).unwrap() = Value::Null;
        let outcome = invoke(Answer::Deferred, event(&[record])).await;
        assert_eq!(outcome.calls, [0; 0], "{missing}");
        assert_eq!(outcome.failures.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_changes_nothing_but_the_wait() {
    let records: Vec<Value> = ["new", "throttled-1", "malformed-1", "lost-1"]
        .map(|id| message(id, 2))
        .into();
    let deferred = invoke(Answer::Deferred, event(&records)).await;
    for answer in [
        Answer::EntriesFail,
        Answer::Throttled,
        Answer::Refused,
        Answer::Silent,
    ] {
        let log = Log::capture();
        let outcome = invoke(answer, event(&records)).await;
        assert_eq!(outcome.failures, deferred.failures, "{answer:?}");
        assert_eq!(outcome.metrics.get("Created"), 1);
        assert_eq!(outcome.metrics.get("Failed"), 2);
        assert_eq!(outcome.metrics.get("Deferred"), 0);
        assert_eq!(outcome.metrics.get("NotDeferred"), 2);
        let lines = log.lines();
        let warned = lines.iter().filter(|line| line["messages"] == 2);
        assert_eq!(warned.count(), 1, "{answer:?}: {lines:?}");
        assert!(outcome.time <= DEFERRAL_TIME + Duration::from_millis(10));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_out_of_time_are_deferred_before_the_deadline() {
    let records = ["silent-1", "silent-2", "silent-3", "silent-4", "untried"];
    let records: Vec<Value> = records.map(|id| message(id, 1)).into();
    let outcome = invoke(Answer::Deferred, event(&records)).await;
    assert_eq!(outcome.waits.len(), records.len());
    assert_eq!(outcome.time, BUDGET - ANSWER_MARGIN - DEFERRAL_TIME);
    let outcome = invoke(Answer::Silent, event(&records)).await;
    assert_eq!(outcome.failures.len(), records.len());
    assert_eq!(outcome.time, BUDGET - ANSWER_MARGIN);
}

#[tokio::test(start_paused = true)]
async fn defers_after_all_messages_in_calls_of_at_most_ten() {
    let ids: Vec<String> = (0..25).map(|n| format!("throttled-{n}")).collect();
    let mut records: Vec<Value> = ids.iter().map(|id| message(id, 1)).collect();
    records.push(message("new", 1));
    let outcome = invoke(Answer::Deferred, event(&records)).await;
    assert_eq!(outcome.calls, [MAX_VISIBILITY_ENTRIES, 10, 5]);
    let calls = outcome.journal.iter().map(|call| call == "defer");
    assert!(calls.is_sorted(), "{:?}", outcome.journal);
    assert_eq!(outcome.waits.len(), ids.len());
    assert_eq!(outcome.metrics.get("Deferred"), 25);
}

/// The largest batch of a standard queue has 10,000 messages (Lambda API reference, `BatchSize`).
#[tokio::test(start_paused = true)]
async fn defers_the_largest_batch_of_a_throttled_table_in_time() {
    let ids = (0..10_000).map(|n| format!("throttled-{n}"));
    let records: Vec<Value> = ids.map(|id| message(&id, 1)).collect();
    let outcome = invoke(Answer::Slow, event(&records)).await;
    assert_eq!(outcome.metrics.get("Deferred"), 10_000);
    assert!(outcome.time < DEFERRAL_TIME, "{:?}", outcome.time);
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_waits_as_long_as_its_failed_message() {
    let records = [
        of_group(message("a1", 3), "A"),
        of_group(message("throttled-a2", 3), "A"),
        of_group(message("a3", 1), "A"),
        of_group(message("malformed-b1", 3), "B"),
        of_group(message("b2", 3), "B"),
        of_group(message("throttled-c1", MAX_RECEIVES), "C"),
        of_group(message("c2", 1), "C"),
        of_group(message("d1", 1), "D"),
    ];
    let outcome = invoke(Answer::Deferred, event(&records)).await;
    let group = [("throttled-a2", WAITS[2]), ("a3", WAITS[2])];
    assert_eq!(outcome.waits, waits(group));
    let acknowledged = ["a1", "d1"];
    assert_eq!(outcome.failures.len(), records.len() - acknowledged.len());
    assert!(
        acknowledged
            .iter()
            .all(|id| !outcome.failures.contains(*id))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_if_nothing_failed() {
    let outcome = invoke(Answer::Deferred, event(&[message("new", 1)])).await;
    assert_eq!(outcome.journal, ["new"]);
    for name in ["Deferred", "NotDeferred"] {
        assert_eq!(outcome.metrics.get(name), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn logs_neither_the_payload_nor_the_receipt_handle() {
    let records: Vec<Value> = ["throttled-1", "malformed-1", "panics-1"]
        .map(|id| message(id, 1))
        .into();
    for answer in [Answer::Deferred, Answer::EntriesFail, Answer::Refused] {
        let log = Log::capture();
        invoke(answer, event(&records)).await;
        let lines = format!("{:?}", log.lines());
        assert!(!lines.contains(CANARY), "{lines}");
        assert!(!lines.contains("handle-"), "{lines}");
    }
}
