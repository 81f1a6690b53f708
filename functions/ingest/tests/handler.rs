//! Tests the guarantees of `ingest` against an in-memory table with injected failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aws_lambda_events::event::sqs::SqsBatchResponse;
use onewrite::error::ServiceError;
use onewrite::{
    item::{Enrichment, NotificationItem, PayloadCompression, write_units},
    limits::{ANSWER_MARGIN, MAX_JSON_DEPTH, MAX_MESSAGE_BYTES},
    notification::{MessagePointers, Notification, TraceParent},
    table::{InsertResult, NewNotifications, TableError},
};
use onewrite_ingest::{handler::Ingest, message::QueueEvent};
use onewrite_runtime::{budget::Budget, observer::Observer, telemetry::Metrics};
use onewrite_testing::{Log, lambda_event};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A table whose behaviour depends on the prefix of the id: `throttled-`, `lost-` (written, response lost), `hangs-`
/// and `edited-` (an item without a fingerprint exists). It stores any other id.
#[derive(Default)]
struct Table {
    items: Mutex<BTreeMap<String, NotificationItem>>,
    tried: Mutex<Vec<String>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl NewNotifications for &Table {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let id = item.notification.id.to_string();
        self.tried.lock().unwrap().push(id.clone());
        let now = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.most_in_flight.fetch_max(now, SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.in_flight.fetch_sub(1, SeqCst);
        if id.starts_with("throttled-") {
            return Err(TableError::Service(ServiceError::Throttled {
                code: "ThrottlingException".to_owned(),
            }));
        }
        if id.starts_with("hangs-") {
            std::future::pending::<()>().await;
        }
        if id.starts_with("edited-") {
            return Ok(InsertResult::Exists { fingerprint: None });
        }
        let mut items = self.items.lock().unwrap();
        if let Some(stored) = items.get(&id) {
            return Ok(InsertResult::Exists {
                fingerprint: Some(stored.notification.fingerprint),
            });
        }
        items.insert(id.clone(), item.clone());
        if id.starts_with("lost-") {
            return Err(TableError::Service(ServiceError::Unknown {
                reason: "timeout".to_owned(),
            }));
        }
        Ok(InsertResult::Created)
    }
}

impl Table {
    fn ids(&self) -> Vec<String> {
        self.items.lock().unwrap().keys().cloned().collect()
    }

    fn tried(&self) -> Vec<String> {
        self.tried.lock().unwrap().clone()
    }
}

const BUDGET: Duration = Duration::from_secs(10);

fn aggregate(notification: &Notification) -> Enrichment {
    assert!(
        !notification.id.as_str().starts_with("panics-"),
        "the payload canary"
    );
    let mut enrichment = Enrichment::default();
    if notification.id.as_str().starts_with("nested-") {
        let payload: Value = serde_json::from_str(notification.payload.as_str()).unwrap();
        enrichment.insert("of", json!({"payload": payload}));
    }
    enrichment
}

fn body(id: &str) -> String {
    json!({"notification_id": id, "type": "refund", "payload": {"of": id}}).to_string()
}

fn event(bodies: &[(&str, String)]) -> QueueEvent {
    let records: Vec<Value> = bodies
        .iter()
        .map(|(message_id, body)| {
            json!({"messageId": message_id, "body": body, "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:111111111111:notifications",
                "attributes": {"ApproximateReceiveCount": "1"}})
        })
        .collect();
    lambda_event::parse(&json!({"Records": records}))
}

fn fifo_event(messages: &[(&str, &str)]) -> QueueEvent {
    fifo_json(messages).parse().unwrap()
}

/// Builds a FIFO event from pairs of notification id and group. The message id equals the notification id.
fn fifo_json(messages: &[(&str, &str)]) -> String {
    let records: Vec<Value> = messages
        .iter()
        .map(|(id, group)| {
            json!({"messageId": id, "body": body(id), "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:111111111111:notifications.fifo",
                "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": group}})
        })
        .collect();
    json!({"Records": records}).to_string()
}

async fn handle(table: &Table, event: QueueEvent) -> BTreeSet<String> {
    handle_within(table, event, BUDGET).await
}

async fn handle_within(table: &Table, event: QueueEvent, budget: Duration) -> BTreeSet<String> {
    let ingest = Ingest::new(table, MessagePointers::default(), 4, aggregate);
    failures(
        ingest
            .handle(event, Budget::from_remaining(None, budget))
            .await
            .unwrap(),
    )
}

fn failures(response: SqsBatchResponse) -> BTreeSet<String> {
    response
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier)
        .collect()
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn acknowledges_only_stored_messages() {
    let table = Table::default();
    let ids = [
        "new",
        "throttled-1",
        "lost-1",
        "edited-1",
        "panics-1",
        "new-2",
    ];
    let bodies: Vec<_> = ids.iter().map(|id| (*id, body(id))).collect();
    let failed = handle(&table, event(&bodies)).await;
    assert_eq!(
        failed,
        set(["throttled-1", "lost-1", "edited-1", "panics-1"])
    );
    assert_eq!(table.ids(), ["lost-1", "new", "new-2"]);
}

#[tokio::test(start_paused = true)]
async fn acknowledges_a_duplicate_without_a_write() {
    let table = Table::default();
    let spaced = body("a").replace(':', " : ");
    let failed = handle(
        &table,
        event(&[("m1", body("a")), ("m2", body("a")), ("m3", spaced)]),
    )
    .await;
    assert_eq!(failed, set([]));
    assert_eq!(table.ids(), ["a"]);
    assert_eq!(handle(&table, event(&[("m4", body("a"))])).await, set([]));
}

#[tokio::test(start_paused = true)]
async fn acknowledges_a_write_with_a_lost_response_on_the_next_receive() {
    let table = Table::default();
    assert_eq!(
        handle(&table, event(&[("m1", body("lost-1"))])).await,
        set(["m1"])
    );
    assert_eq!(
        handle(&table, event(&[("m1", body("lost-1"))])).await,
        set([])
    );
}

#[tokio::test(start_paused = true)]
async fn reports_other_content_for_an_id_as_a_conflict() {
    let table = Table::default();
    handle(&table, event(&[("m1", body("a"))])).await;
    let stored = table.items.lock().unwrap()["a"].clone();
    let others = [
        body("a").replace("refund", "payment"),
        body("a").replace(r#"{"of":"a"}"#, r#"{"of":"b"}"#),
        body("a").replace(r#"{"of":"a"}"#, "1.0"),
    ];
    for other in others {
        assert_eq!(handle(&table, event(&[("m2", other)])).await, set(["m2"]));
    }
    assert_eq!(table.items.lock().unwrap()["a"], stored);
}

#[tokio::test(start_paused = true)]
async fn fails_a_rejected_message_alone_without_a_write() {
    let table = Table::default();
    // A payload larger than a message is rejected, however small it is compressed.
    let oversize =
        json!({"notification_id": "big", "payload": "x".repeat(MAX_MESSAGE_BYTES)}).to_string();
    let failed = handle(
        &table,
        event(&[
            ("m1", "not json".to_owned()),
            ("m2", body("good")),
            ("m3", "{}".to_owned()),
            ("m4", oversize),
            (
                "m5",
                r#"{"notification_id":"twice","payload":{"a":1,"a":2}}"#.to_owned(),
            ),
        ]),
    )
    .await;
    assert_eq!(failed, set(["m1", "m3", "m4", "m5"]));
    assert_eq!(table.tried(), ["good"]);
}

#[tokio::test(start_paused = true)]
async fn stores_a_large_payload_compressed_unless_that_is_switched_off() {
    for (compression, units) in [
        (PayloadCompression::Auto, 2),
        (PayloadCompression::Never, 6),
    ] {
        let payload = json!({"note": "a long note, ".repeat(200)});
        let message = json!({"notification_id": "n", "payload": payload}).to_string();
        let table = Table::default();
        let ingest = Ingest::new(&table, MessagePointers::default(), 4, aggregate)
            .with_compression(compression);
        let budget = Budget::from_remaining(None, BUDGET);
        let response = ingest.handle(event(&[("m1", message)]), budget).await;
        assert!(response.unwrap().batch_item_failures.is_empty());
        let item = table.items.lock().unwrap()["n"].clone();
        assert_eq!(write_units(item.bytes()), units, "{compression:?}");
        assert_eq!(item.notification.payload.as_str(), payload.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn fails_a_message_without_a_body_alone() {
    let table = Table::default();
    let mut event = event(&[("m1", body("a")), ("m2", body("b"))]);
    event.records[0].body = None;
    assert_eq!(handle(&table, event).await, set(["m1"]));
    assert_eq!(table.ids(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn fails_an_undecodable_message_alone_and_holds_its_group() {
    for broken in [
        r#""body":7"#,
        r#""body":"x","body":"y""#,
        r#""body":"\ud800""#,
    ] {
        let event = fifo_json(&[("a", "g"), ("b", "g"), ("c", "h")]);
        let valid = format!(r#""body":{}"#, json!(body("a")));
        assert!(event.contains(&valid));
        let event = event.replace(&valid, broken).parse().unwrap();
        let table = Table::default();
        assert_eq!(handle(&table, event).await, set(["a", "b"]), "{broken}");
        assert_eq!(table.ids(), ["c"]);
    }
}

/// Its group is not known, so no later message may be handled before it.
#[tokio::test(start_paused = true)]
async fn fails_the_batch_if_an_undecodable_message_has_no_group() {
    for attributes in ["null", "{}", r#"{"ApproximateReceiveCount":"1"}"#] {
        let mut event: Value = fifo_json(&[("a", "g"), ("b", "g")]).parse().unwrap();
        event["Records"][0]["body"] = json!(7);
        event["Records"][0]["attributes"] = attributes.parse().unwrap();
        let table = Table::default();
        let ingest = Ingest::new(&table, MessagePointers::default(), 4, aggregate);
        let error = ingest
            .handle(
                lambda_event::parse(&event),
                Budget::from_remaining(None, BUDGET),
            )
            .await
            .unwrap_err();
        assert_eq!(error.position, 0, "{attributes}");
        assert_eq!(table.tried(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn fails_the_batch_if_a_message_has_no_id() {
    for missing in [None, Some(String::new())] {
        let table = Table::default();
        let mut event = event(&[("m1", body("a")), ("m2", body("b"))]);
        event.records[1].message_id = missing;
        let ingest = Ingest::new(&table, MessagePointers::default(), 4, aggregate);
        let error = ingest
            .handle(event, Budget::from_remaining(None, BUDGET))
            .await
            .unwrap_err();
        assert_eq!(error.position, 1);
        assert_eq!(table.tried(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn stops_only_the_fifo_group_of_a_failed_message() {
    let table = Table::default();
    let failed = handle(
        &table,
        fifo_event(&[
            ("a1", "A"),
            ("b1", "B"),
            ("throttled-a2", "A"),
            ("b2", "B"),
            ("a3", "A"),
            ("panics-c1", "C"),
            ("c2", "C"),
            ("b3", "B"),
        ]),
    )
    .await;
    assert_eq!(failed, set(["throttled-a2", "a3", "panics-c1", "c2"]));
    assert_eq!(table.ids(), ["a1", "b1", "b2", "b3"]);
    assert!(
        !table.tried().iter().any(|id| id == "a3" || id == "c2"),
        "messages after a failure are not tried"
    );
}

/// An item with an enrichment that `forward` cannot read would stay in INIT for ever.
#[tokio::test(start_paused = true)]
async fn stores_no_item_whose_enrichment_cannot_be_published() {
    let nested = |id: &str, levels: usize| {
        let payload = "[".repeat(levels) + &"]".repeat(levels);
        format!(r#"{{"notification_id":"{id}","payload":{payload}}}"#)
    };
    let table = Table::default();
    let log = Log::capture();
    // The deepest payload of a message is one level down there, and two levels down in this enrichment.
    let deepest = MAX_JSON_DEPTH - 1;
    let bodies = [
        ("m1", nested("nested-1", deepest)),
        ("m2", nested("nested-2", deepest - 1)),
        ("m3", nested("other-3", deepest)),
    ];
    assert_eq!(handle(&table, event(&bodies)).await, set(["m1"]));
    assert_eq!(table.ids(), ["nested-2", "other-3"]);
    let reason = "aggregate returned an enrichment that breaks the rule TooDeep of messages, so it could not be published";
    assert!(
        log.lines().iter().any(|line| {
            let text = format!("{line:?}");
            text.contains("nested-1") && text.contains(reason)
        }),
        "{:?}",
        log.lines()
    );
}

#[tokio::test(start_paused = true)]
async fn writes_a_fifo_group_in_order() {
    let table = Table::default();
    handle(
        &table,
        fifo_event(&[
            ("a3", "A"),
            ("b9", "B"),
            ("a1", "A"),
            ("b2", "B"),
            ("a2", "A"),
        ]),
    )
    .await;
    let of_group = |letter| {
        table
            .tried()
            .into_iter()
            .filter(|id| id.starts_with(letter))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_group("a"), ["a3", "a1", "a2"]);
    assert_eq!(of_group("b"), ["b9", "b2"]);
}

#[tokio::test(start_paused = true)]
async fn reports_unhandled_messages_before_the_deadline() {
    let table = Table::default();
    let ids = ["hangs-1", "hangs-2", "hangs-3", "hangs-4", "a", "b"];
    let bodies: Vec<_> = ids.iter().map(|id| (*id, body(id))).collect();
    let begin = tokio::time::Instant::now();
    let failed = handle(&table, event(&bodies)).await;
    assert_eq!(failed, set(ids));
    assert_eq!(begin.elapsed(), BUDGET - ANSWER_MARGIN);
    assert_eq!(
        table.tried().len(),
        4,
        "no message starts after the deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn starts_nothing_without_remaining_time() {
    let table = Table::default();
    assert_eq!(
        handle_within(&table, event(&[("m1", body("a"))]), ANSWER_MARGIN).await,
        set(["m1"])
    );
    assert_eq!(table.tried(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn writes_messages_concurrently_up_to_the_limit() {
    let table = Table::default();
    let ids: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let bodies: Vec<_> = ids.iter().map(|id| (id.as_str(), body(id))).collect();
    handle(&table, event(&bodies)).await;
    assert_eq!(table.most_in_flight.load(SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn stores_the_trace_and_the_message_id_in_the_item() {
    let table = Table::default();
    let mut event = event(&[("m1", body("a")), ("m2", body("b")), ("m3", body("c"))]);
    let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let attributes = event.records[0].attributes.as_mut().unwrap();
    attributes.aws_trace_header = Some(header.to_owned());
    let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let attributes = json!({"traceparent": {"stringValue": own, "stringListValues": [], "binaryListValues": [],
        "dataType": "String"}});
    event.records[1].message_attributes = serde_json::from_value(attributes).unwrap();
    handle(&table, event).await;
    let items = table.items.lock().unwrap();
    let trace = |id: &str| items[id].traceparent.as_ref().map(TraceParent::as_str);
    assert_eq!(
        trace("a"),
        Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
    );
    assert_eq!(trace("b"), Some(own));
    assert_eq!(trace("c"), None);
    assert_eq!(items["b"].source_message_id, "m2");
}

#[tokio::test(start_paused = true)]
async fn aggregation_only_adds_the_enrichment() {
    fn vip(_: &Notification) -> Enrichment {
        let mut enrichment = Enrichment::default();
        enrichment.insert("tier", "vip");
        enrichment
    }
    let table = Table::default();
    let ingest = Ingest::new(&table, MessagePointers::default(), 4, vip);
    ingest
        .handle(
            event(&[("m1", body("a"))]),
            Budget::from_remaining(None, BUDGET),
        )
        .await
        .unwrap();
    let items = table.items.lock().unwrap();
    assert_eq!(items["a"].enrichment.as_deref(), Some(r#"{"tier":"vip"}"#));
    assert_eq!(items["a"].notification.payload.as_str(), r#"{"of":"a"}"#);
}

/// The kinds of messages in the property test.
#[derive(Debug, Clone)]
enum Kind {
    Good(u8),
    Conflicting(u8),
    Throttled(u8),
    Panics(u8),
    Malformed,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (0..6_u8).prop_map(Kind::Good),
        1 => (0..6_u8).prop_map(Kind::Throttled),
        1 => (0..6_u8).prop_map(Kind::Panics),
        1 => (0..6_u8).prop_map(Kind::Conflicting),
        1 => Just(Kind::Malformed),
    ]
}

fn render(kind: &Kind) -> String {
    match kind {
        Kind::Good(n) => body(&format!("n{n}")),
        Kind::Conflicting(n) => body(&format!("n{n}")).replace("refund", "payment"),
        Kind::Throttled(n) => body(&format!("throttled-{n}")),
        Kind::Panics(n) => body(&format!("panics-{n}")),
        Kind::Malformed => "{".to_owned(),
    }
}

proptest! {
    /// For any mix of messages, `ingest` acknowledges exactly those whose notification is in the table with the same
    /// fingerprint.
    #[test]
    fn acknowledges_exactly_the_stored_messages(kinds in prop::collection::vec(kind(), 1..12)) {
        std::panic::set_hook(Box::new(|_| {}));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let table = Table::default();
            let ids: Vec<String> = (0..kinds.len()).map(|n| format!("m{n}")).collect();
            let bodies: Vec<_> = ids.iter().zip(&kinds).map(|(id, kind)| (id.as_str(), render(kind))).collect();
            let failed = handle(&table, event(&bodies)).await;
            let stored: HashMap<String, _> = table
                .items.lock().unwrap().iter()
                .map(|(id, item)| (id.clone(), item.notification.fingerprint))
                .collect();
            for (message_id, body) in bodies {
                let in_table = MessagePointers::default().parse(&body).is_ok_and(|notification| {
                    stored.get(notification.id.as_str()) == Some(&notification.fingerprint)
                });
                assert_eq!(!failed.contains(message_id), in_table, "{message_id}: {body}");
            }
        });
    }
}

thread_local! {
    static EMITTED: RefCell<Vec<Metrics>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test(start_paused = true)]
async fn counts_and_logs_the_outcome_of_each_message() {
    let (log, table) = (Log::capture(), Table::default());
    handle(&table, event(&[("m0", body("a"))])).await;
    let messages = [
        ("created", body("b")),
        ("copy", body("a")),
        ("conflict", body("a").replace("refund", "payment")),
        ("malformed", "{".to_owned()),
        ("no-id", "{}".to_owned()),
        ("no-id-2", "{}".to_owned()),
        ("throttled", body("throttled-1")),
    ];
    let ingest = Ingest::new(&table, MessagePointers::default(), 4, aggregate).with_observer(
        Observer::default().with_metrics(|metrics| {
            EMITTED.with_borrow_mut(|emitted| emitted.push(metrics.clone()))
        }),
    );
    let budget = Budget::from_remaining(None, BUDGET);
    let _ = ingest.handle(event(&messages), budget).await.unwrap();

    let emitted = EMITTED.take();
    assert_eq!(emitted.len(), 1);
    for (name, count) in [
        ("Received", 7),
        ("Created", 1),
        ("AlreadyStored", 1),
        ("Conflict", 1),
        ("Rejected", 3),
        ("RejectedInvalidJson", 1),
        ("RejectedMissingId", 2),
        ("Failed", 1),
    ] {
        assert_eq!(emitted[0].get(name), count, "{name}");
    }
    let lines = log.lines();
    for (message_id, level) in [
        ("created", "DEBUG"),
        ("copy", "INFO"),
        ("conflict", "WARN"),
        ("malformed", "WARN"),
        ("throttled", "WARN"),
    ] {
        let mut of_message = lines.iter().filter(|line| line["message_id"] == message_id);
        assert_eq!(of_message.next().unwrap()["level"], level, "{message_id}");
        assert!(of_message.next().is_none(), "{message_id}: one line");
    }
}
