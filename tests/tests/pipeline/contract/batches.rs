//! One batch each: the records that Lambda sends, the verdicts, the calls to DynamoDB, and the response.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::{
    completion::{Completer, Downstream, DownstreamError, Effect},
    event::NotificationEvent,
    item::NotificationItem,
    limits::MAX_BATCH_GET_CALLS,
    stream::Record,
};
use onewrite_complete::{handler::Complete, record::ShardEvent};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{StoredRecord, lambda_event};
use serde_json::{Value, json};

use super::{
    fixtures::{NOW, item, item_json, now, older_item_json, refund},
    settlements::Verdict,
    wire::{Answer, Server, TABLE},
};

/// The vectors' own code: a verdict by id, and a list of the ids that it was called with.
struct Scripted {
    verdicts: BTreeMap<&'static str, Verdict>,
    checks_state: bool,
    accepted: Arc<Mutex<Vec<String>>>,
}

impl Downstream<TransactWriteItem> for Scripted {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let id = event.subject.as_str();
        self.accepted.lock().unwrap().push(id.to_owned());
        self.verdicts[id].effect(id)
    }

    fn checks_state(&self) -> bool {
        self.checks_state
    }
}

struct BatchVector {
    name: &'static str,
    /// Sequence number and data of each record.
    records: Vec<(&'static str, Vec<u8>)>,
    verdicts: Vec<(&'static str, Verdict)>,
    checks_state: bool,
    answers: Vec<Answer>,
}

/// The name of the consumer, which Lambda sets in the environment.
const CONSUMER: &str = "refunds-consumer";

/// A record of the notification stream.
pub(crate) fn record(sequence_number: &str, data: Vec<u8>) -> StoredRecord {
    StoredRecord {
        sequence_number: sequence_number.to_owned(),
        shard_id: "shardId-000000000000".to_owned(),
        record: Record {
            id: refund("rf_1").notification.id,
            data,
        },
        at: now(),
    }
}

impl BatchVector {
    async fn run(self) -> Value {
        let records = self.records.into_iter();
        let records: Vec<_> = records.map(|(number, data)| record(number, data)).collect();
        let batch = lambda_event::kinesis_json(&records);
        let server = Server::start(&self.answers).await;
        let accepted = Arc::default();
        let verdicts: BTreeMap<_, _> = self.verdicts.into_iter().collect();
        let downstream = Scripted {
            verdicts: verdicts.clone(),
            checks_state: self.checks_state,
            accepted: Arc::clone(&accepted),
        };
        let completer = Completer::new(server.table(), 0)
            .with_clock(now)
            .with_name(CONSUMER.parse().unwrap());
        // One at a time, so that the order of the calls is known.
        let handler = Complete::new(completer, downstream, 1);
        let minute = Duration::from_secs(60);
        let budget = Budget::from_remaining(Some(minute), minute);
        let event: ShardEvent = lambda_event::parse(&batch);
        let response = handler.handle(event, budget).await.unwrap();
        let failures = response.batch_item_failures.iter();
        let failures = failures.map(|failure| json!({"itemIdentifier": failure.item_identifier}));
        let verdicts = verdicts
            .iter()
            .map(|(id, verdict)| ((*id).to_owned(), verdict.to_json(id)));
        let accepted = accepted.lock().unwrap().clone();
        json!({
            "name": self.name,
            "batch": batch,
            "verdicts": verdicts.collect::<serde_json::Map<_, _>>(),
            "checks_state": self.checks_state,
            "settled_by": CONSUMER,
            "now": NOW,
            "calls": server.calls(),
            "accepted": accepted,
            "response": {"batchItemFailures": failures.collect::<Vec<_>>()},
        })
    }
}

fn document(item: &NotificationItem) -> Vec<u8> {
    NotificationEvent::from_item(item).to_json().into_bytes()
}

fn init(id: &str) -> Vec<u8> {
    document(&refund(id))
}

fn done(id: &str) -> NotificationItem {
    let mut item = refund(id);
    item.status = onewrite::notification::Status::Done;
    item.version = item.status.version();
    item
}

/// The answer to the read of the current states.
fn states(items: &[NotificationItem]) -> Answer {
    states_json(items.iter().map(item_json))
}

fn states_json(items: impl Iterator<Item = Value>) -> Answer {
    let projected = items.map(|all| {
        let names = ["notification_id", "status", "version", "fingerprint"];
        let members = names.map(|name| (name.to_owned(), all[name].clone()));
        Value::Object(members.into_iter().collect())
    });
    Answer::ok(json!({
        "Responses": {TABLE: projected.collect::<Vec<_>>()},
        "UnprocessedKeys": {},
    }))
}

fn written() -> Answer {
    Answer::ok(json!({}))
}

fn unprocessed(ids: &[&str], found: &[NotificationItem]) -> Answer {
    let mut answer = states(found);
    let keys = ids.iter().map(|id| json!({"notification_id": {"S": id}}));
    answer.body["UnprocessedKeys"][TABLE] = json!({
        "Keys": keys.collect::<Vec<_>>(),
        "ConsistentRead": true,
        "ProjectionExpression": "notification_id, #status, version, fingerprint",
        "ExpressionAttributeNames": {"#status": "status"},
    });
    answer
}

pub(crate) async fn vectors() -> Vec<Value> {
    let mut vectors = Vec::new();
    let all = verdicts()
        .into_iter()
        .chain(orders())
        .chain(known_states())
        .chain(unknown_states());
    for vector in all.chain(records()) {
        vectors.push(vector.run().await);
    }
    vectors
}

fn verdicts() -> Vec<BatchVector> {
    let four = ["a", "b", "c", "d"];
    vec![
        BatchVector {
            name: "every verdict",
            records: vec![
                ("1", init("a")),
                ("2", init("b")),
                ("3", init("c")),
                ("4", init("d")),
            ],
            verdicts: vec![
                ("a", Verdict::Accepted),
                ("b", Verdict::Writes(1)),
                ("c", Verdict::Refused("account_closed")),
                ("d", Verdict::Fault),
            ],
            checks_state: true,
            answers: vec![states(&four.map(refund)), written(), written(), written()],
        },
        BatchVector {
            name: "an answer without a verdict",
            records: vec![("7", init("a"))],
            verdicts: vec![("a", Verdict::Unclear)],
            checks_state: true,
            answers: vec![states(&[refund("a")])],
        },
        BatchVector {
            name: "without a read of the current states",
            records: vec![("1", init("a"))],
            verdicts: vec![("a", Verdict::Writes(1))],
            checks_state: false,
            answers: vec![written()],
        },
        BatchVector {
            name: "a busy receiver ends the batch",
            records: vec![("1", init("a")), ("2", init("b")), ("3", init("c"))],
            verdicts: vec![
                ("a", Verdict::Accepted),
                ("b", Verdict::Busy),
                ("c", Verdict::Accepted),
            ],
            checks_state: true,
            answers: vec![states(&["a", "b", "c"].map(refund)), written()],
        },
        BatchVector {
            name: "a failed write fails its event alone",
            records: vec![("1", init("a")), ("2", init("b"))],
            verdicts: vec![("a", Verdict::Accepted), ("b", Verdict::Accepted)],
            checks_state: true,
            answers: vec![
                states(&["a", "b"].map(refund)),
                Answer::error(500, "InternalServerError", &Value::Null),
                written(),
            ],
        },
    ]
}

fn orders() -> Vec<BatchVector> {
    let fault = |id| (id, Verdict::Fault);
    vec![
        BatchVector {
            name: "the lowest number by its value, not as text",
            records: vec![("10", init("a")), ("9", init("b")), ("11", init("c"))],
            verdicts: ["a", "b", "c"].map(fault).into(),
            checks_state: true,
            answers: vec![states(&["a", "b", "c"].map(refund))],
        },
        BatchVector {
            name: "numbers that a floating-point number cannot hold",
            records: vec![
                (
                    "49590338271490256608559692538361571095921575989136588899",
                    init("a"),
                ),
                (
                    "49590338271490256608559692538361571095921575989136588898",
                    init("b"),
                ),
            ],
            verdicts: ["a", "b"].map(fault).into(),
            checks_state: true,
            answers: vec![states(&["a", "b"].map(refund))],
        },
        BatchVector {
            name: "copies of one event are one event",
            records: vec![("5", init("a")), ("6", init("b")), ("7", init("a"))],
            verdicts: vec![("a", Verdict::Fault), ("b", Verdict::Accepted)],
            checks_state: true,
            answers: vec![states(&["a", "b"].map(refund)), written()],
        },
    ]
}

fn known_states() -> Vec<BatchVector> {
    let other = item("c", "refund", "2");
    let mut edited = refund("d");
    edited.version = 7;
    let mut refused = refund("e");
    refused.status = onewrite::notification::Status::Refused;
    refused.version = 2;
    let older = [done("a"), other.clone(), refund("f")];
    let accepted = |id| (id, Verdict::Accepted);
    vec![
        BatchVector {
            name: "the receiver is called only for a notification in INIT",
            records: vec![
                ("1", init("a")),
                ("2", init("e")),
                ("3", init("f")),
                ("4", init("b")),
                ("5", init("c")),
                ("6", init("d")),
            ],
            verdicts: ["a", "b", "c", "d", "e", "f"].map(accepted).into(),
            checks_state: true,
            // There is no "b".
            answers: vec![
                states(&[done("a"), other, edited, refused, refund("f")]),
                written(),
            ],
        },
        BatchVector {
            name: "items of an older version are read too",
            records: vec![("1", init("a")), ("2", init("c")), ("3", init("f"))],
            verdicts: ["a", "c", "f"].map(accepted).into(),
            checks_state: true,
            answers: vec![states_json(older.iter().map(older_item_json)), written()],
        },
    ]
}

fn unknown_states() -> Vec<BatchVector> {
    let accepted = |id| (id, Verdict::Accepted);
    vec![
        BatchVector {
            name: "unprocessed keys are read again",
            records: vec![("1", init("a")), ("2", init("b"))],
            verdicts: ["a", "b"].map(accepted).into(),
            checks_state: true,
            answers: vec![
                unprocessed(&["b"], &[done("a")]),
                states(&[refund("b")]),
                written(),
            ],
        },
        BatchVector {
            name: "unknown states fail the batch without a call to the receiver",
            records: vec![
                ("1", init("a")),
                ("2", document(&done("b"))),
                ("3", init("c")),
            ],
            verdicts: ["a", "c"].map(accepted).into(),
            checks_state: true,
            answers: vec![Answer::error(400, "AccessDeniedException", &Value::Null)],
        },
        BatchVector {
            name: "keys that stay unprocessed",
            records: vec![("1", init("a"))],
            verdicts: vec![accepted("a")],
            checks_state: true,
            answers: vec![unprocessed(&["a"], &[]); MAX_BATCH_GET_CALLS as usize],
        },
    ]
}

fn records() -> Vec<BatchVector> {
    vec![
        BatchVector {
            name: "an empty batch",
            records: vec![],
            verdicts: vec![],
            checks_state: true,
            answers: vec![],
        },
        BatchVector {
            name: "events of other statuses are ignored",
            records: vec![("1", document(&done("a")))],
            verdicts: vec![],
            checks_state: true,
            answers: vec![],
        },
        BatchVector {
            name: "a record that is not an event fails alone",
            records: vec![("1", init("a")), ("2", b"{}".to_vec()), ("3", vec![0xff])],
            verdicts: vec![("a", Verdict::Accepted)],
            checks_state: true,
            answers: vec![states(&[refund("a")]), written()],
        },
    ]
}
