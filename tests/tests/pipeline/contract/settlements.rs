//! One settlement each: event and verdict, the request that it makes, DynamoDB's answer, and what the answer means.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use onewrite::{
    completion::{Completer, CompletionOutcome, Downstream, DownstreamError, Effect},
    event::NotificationEvent,
    item::NotificationItem,
    limits::MAX_TRANSACT_WRITES,
    notification::Status,
};
use serde_json::{Value, json};

use super::{
    fixtures::{NOW, event_json, item, item_json, now, older_item_json, refund},
    wire::{Answer, Server},
};

/// What the vectors' own code decides.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Accepted,
    /// Accepted with this many writes.
    Writes(usize),
    Refused(&'static str),
    /// An exception.
    Fault,
    /// The receiver is busy.
    Busy,
    /// An answer without a verdict.
    Unclear,
}

fn key(id: &str, number: usize) -> String {
    format!("{id}#{number}")
}

impl Verdict {
    pub(crate) fn to_json(&self, id: &str) -> Value {
        let write = |number| {
            json!({"Put": {
                "TableName": "ledger",
                "Item": {"entry_id": {"S": key(id, number)}},
                "ConditionExpression": "attribute_not_exists(entry_id)",
            }})
        };
        match self {
            Self::Accepted => json!({"accepted": true}),
            Self::Writes(count) => {
                json!({"accepted": true, "writes": (0..*count).map(write).collect::<Vec<_>>()})
            }
            Self::Refused(code) => json!({"refused": code}),
            Self::Fault => json!({"raises": "an exception"}),
            Self::Busy => json!({"raises": "retry later"}),
            Self::Unclear => json!({"accepted": "yes"}),
        }
    }

    pub(crate) fn effect(&self, id: &str) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let write = |number| {
            let put = Put::builder()
                .table_name("ledger")
                .item("entry_id", AttributeValue::S(key(id, number)))
                .condition_expression("attribute_not_exists(entry_id)");
            TransactWriteItem::builder()
                .put(put.build().unwrap())
                .build()
        };
        match self {
            Self::Accepted => Ok(Effect::Happened),
            Self::Writes(count) => Ok(Effect::CommitWith((0..*count).map(write).collect())),
            Self::Refused(code) => Ok(Effect::Refused(code.parse().unwrap())),
            Self::Fault | Self::Unclear => Err(DownstreamError::new("a fault")),
            Self::Busy => Err(DownstreamError::retry_later("busy", None)),
        }
    }
}

impl Downstream<TransactWriteItem> for Verdict {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        self.effect(event.subject.as_str())
    }
}

struct Settlement {
    name: String,
    item: NotificationItem,
    verdict: Verdict,
    retention_days: u32,
    /// The name of the consumer.
    settled_by: Option<&'static str>,
    answers: Vec<Answer>,
}

impl Settlement {
    fn new(name: impl Into<String>, verdict: Verdict, answer: Answer) -> Self {
        Self {
            name: name.into(),
            item: refund("rf_1"),
            verdict,
            retention_days: 0,
            settled_by: None,
            answers: vec![answer],
        }
    }

    async fn run(self) -> Value {
        let server = Server::start(&self.answers).await;
        let mut completer = Completer::new(server.table(), self.retention_days).with_clock(now);
        if let Some(name) = self.settled_by {
            completer = completer.with_name(name.parse().unwrap());
        }
        let event = NotificationEvent::from_item(&self.item);
        let outcome = match completer.complete(&event, &self.verdict).await {
            Ok(CompletionOutcome::Settled(_)) => "Settled",
            Ok(CompletionOutcome::AlreadySettled(_)) => "AlreadySettled",
            Ok(CompletionOutcome::Contradicted { .. }) => "Contradicted",
            Ok(CompletionOutcome::Ignored) => "Ignored",
            Err(error) => error.name(),
        };
        let is_failure =
            !["Settled", "AlreadySettled", "Contradicted", "Ignored"].contains(&outcome);
        json!({
            "name": self.name,
            "event": event_json(&self.item),
            "verdict": self.verdict.to_json(event.subject.as_str()),
            "retention_days": self.retention_days,
            "settled_by": self.settled_by,
            "now": NOW,
            "calls": server.calls(),
            "outcome": outcome,
            "must_be_retried": is_failure,
        })
    }
}

pub(crate) async fn vectors() -> Vec<Value> {
    let all = requests()
        .into_iter()
        .chain(conditions())
        .chain(cancellations());
    let mut vectors = Vec::new();
    for settlement in all.chain(failures()) {
        vectors.push(settlement.run().await);
    }
    vectors
}

/// Every form of the request.
fn requests() -> Vec<Settlement> {
    let done = |name| Settlement::new(name, Verdict::Accepted, Answer::ok(json!({})));
    let mut edited = refund("rf_1");
    edited.version = 9_007_199_254_740_993;
    let mut settled = refund("rf_1");
    settled.status = Status::Done;
    settled.version = 2;
    vec![
        done("DONE"),
        Settlement {
            retention_days: 30,
            ..done("DONE with a retention")
        },
        Settlement {
            item: item("a/b c", "refund", "null"),
            ..done("DONE of an id with special characters")
        },
        Settlement {
            item: edited,
            ..done("DONE of a large version")
        },
        Settlement {
            verdict: Verdict::Refused("account_closed"),
            ..done("REFUSED")
        },
        Settlement {
            verdict: Verdict::Refused("e.4-2"),
            retention_days: 30,
            ..done("REFUSED with a retention")
        },
        Settlement {
            settled_by: Some("refunds-consumer"),
            ..done("DONE by a consumer with a name")
        },
        Settlement {
            verdict: Verdict::Refused("account_closed"),
            settled_by: Some("refunds consumer (eu) \"2\""),
            retention_days: 30,
            ..done("REFUSED with a retention by a consumer with a name")
        },
        Settlement {
            verdict: Verdict::Writes(1),
            ..done("DONE with a write")
        },
        Settlement {
            verdict: Verdict::Writes(2),
            retention_days: 30,
            settled_by: Some("refunds-consumer"),
            ..done("DONE with two writes, a retention and a name")
        },
        Settlement {
            verdict: Verdict::Writes(MAX_TRANSACT_WRITES),
            answers: vec![],
            ..done("too many writes")
        },
        Settlement {
            item: settled,
            answers: vec![],
            ..done("an event of another status than INIT")
        },
    ]
}

fn changed(mut item: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        item[name] = value.clone();
    }
    item
}

/// The items that prevent a settlement, with a name.
fn obstacles() -> Vec<(&'static str, Option<Value>)> {
    let with = |changes: &[_]| Some(changed(item_json(&refund("rf_1")), changes));
    let older = |changes: &[_]| Some(changed(older_item_json(&refund("rf_1")), changes));
    let status = |status: &str| ("status", json!({"S": status}));
    let version = ("version", json!({"N": "2"}));
    let other = (
        "fingerprint",
        item_json(&item("rf_1", "refund", "2"))["fingerprint"].clone(),
    );
    let older_other = ("fingerprint", json!({"S": "0".repeat(64)}));
    let invalid = |fingerprint: Value| with(&[status("DONE"), ("fingerprint", fingerprint)]);
    let mut removed = item_json(&refund("rf_1"));
    removed.as_object_mut().unwrap().remove("fingerprint");
    let mut removed_later = removed.clone();
    removed_later["status"] = json!({"S": "DONE"});
    vec![
        ("DONE", with(&[status("DONE"), version.clone()])),
        ("REFUSED", with(&[status("REFUSED"), version.clone()])),
        ("no item", None),
        (
            "another notification in INIT",
            with(std::slice::from_ref(&other)),
        ),
        (
            "another notification in DONE",
            with(&[status("DONE"), other]),
        ),
        (
            "an older item in DONE",
            older(&[status("DONE"), version.clone()]),
        ),
        (
            "an older item of another notification in DONE",
            older(&[status("DONE"), older_other]),
        ),
        (
            "an older item of another version in INIT",
            older(std::slice::from_ref(&version)),
        ),
        (
            "a fingerprint that is too short in DONE",
            invalid(json!({"B": "AAAA"})),
        ),
        (
            "a fingerprint that is no digits in DONE",
            invalid(json!({"S": "x".repeat(64)})),
        ),
        ("another version in INIT", with(&[version])),
        ("an unknown status", with(&[status("PENDING")])),
        ("no fingerprint in INIT", Some(removed)),
        ("no fingerprint in DONE", Some(removed_later)),
    ]
}

fn verdicts() -> [(&'static str, Verdict); 2] {
    [
        ("DONE", Verdict::Accepted),
        ("REFUSED", Verdict::Refused("account_closed")),
    ]
}

/// Failed conditions of an update.
fn conditions() -> Vec<Settlement> {
    let pairs = obstacles().into_iter().flat_map(|(found, item)| {
        verdicts().map(|(decided, verdict)| {
            let name = format!("{decided}, but the table has: {found}");
            Settlement::new(name, verdict, Answer::condition_failed(item.clone()))
        })
    });
    pairs.collect()
}

/// Canceled transactions.
fn cancellations() -> Vec<Settlement> {
    let fine = json!({"Code": "None"});
    let failed =
        json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"});
    let conflict = json!({"Code": "TransactionConflict", "Message": "a conflict"});
    let first = |item: Option<Value>| {
        let mut reason = failed.clone();
        if let Some(item) = item {
            reason["Item"] = item;
        }
        reason
    };
    let canceled = |name: String, reasons: Value| {
        Settlement::new(name, Verdict::Writes(1), Answer::canceled(&reasons))
    };
    let mut all: Vec<_> = obstacles()
        .into_iter()
        .map(|(found, item)| {
            let name = format!("DONE with a write, but the table has: {found}");
            canceled(name, json!([first(item), fine]))
        })
        .collect();
    let done = item_json(&refund("rf_1"));
    let mut done_elsewhere = done;
    done_elsewhere["status"] = json!({"S": "DONE"});
    let both = json!([first(Some(done_elsewhere)), failed]);
    let others = [
        ("both conditions are false: the first write decides", both),
        ("the condition of the write is false", json!([fine, failed])),
        ("a conflict on the status", json!([conflict, failed])),
        ("a conflict on the write", json!([fine, conflict])),
        ("no reasons", json!([])),
    ];
    all.extend(others.map(|(name, reasons)| canceled(name.to_owned(), reasons)));
    all
}

/// Answers that do not say whether the write happened.
fn failures() -> Vec<Settlement> {
    let answer = |status, code| Answer::error(status, code, &Value::Null);
    [
        (
            "an error of the service",
            answer(500, "InternalServerError"),
        ),
        (
            "throttling",
            answer(400, "ProvisionedThroughputExceededException"),
        ),
        ("no permission", answer(400, "AccessDeniedException")),
        ("no table", answer(400, "ResourceNotFoundException")),
    ]
    .map(|(name, answer)| Settlement::new(name, Verdict::Accepted, answer))
    .into()
}
