//! The targets of `complete`: queues, functions, a URL, workflows, buses and topics, or none at all.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use onewrite_local::{
    downstream::{Downstream, Targets},
    inspect, oracle,
    oracle::{Meaning, SentMessage},
    sample::Sample,
    stack::{Stack, StackOptions},
};

use super::support::{assert_no_violations, options};

mod functions;
mod none;
mod queues;
mod services;
mod url;

fn with_targets(name: &str, targets: Targets) -> StackOptions {
    StackOptions {
        downstream: Downstream::Targets(targets),
        ..options(name)
    }
}

/// A notification with this type and the payload 1.
fn of_type(kind: &str, id: &str) -> Sample {
    let payload = "1";
    let body = format!(r#"{{"notification_id":"{id}","type":"{kind}","payload":{payload}}}"#);
    Sample {
        body,
        meaning: Meaning::Valid {
            id: id.to_owned(),
            kind: kind.to_owned(),
            content: payload.to_owned(),
            payload: payload.to_owned(),
        },
    }
}

/// Asserts that everything that was sent is settled.
async fn assert_settled(stack: &Stack, sent: &[SentMessage]) {
    let found = inspect::read_final_state(stack.clients(), stack.outputs()).await;
    assert_no_violations(&oracle::verify(sent, &found.unwrap()));
}

async fn scan(stack: &Stack, table: &str) -> Vec<HashMap<String, AttributeValue>> {
    let scan = stack.clients().dynamodb.scan().table_name(table);
    let pages = scan.consistent_read(true).into_paginator().items().send();
    pages.collect::<Result<_, _>>().await.unwrap()
}

fn text(item: &HashMap<String, AttributeValue>, name: &str) -> String {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.cloned().unwrap_or_default()
}

/// The final status of each notification: `DONE`, or the code of its refusal.
async fn verdicts(stack: &Stack) -> BTreeMap<String, String> {
    let items = scan(stack, &stack.outputs().table).await;
    let verdict = |item: &HashMap<String, AttributeValue>| match text(item, "status").as_str() {
        "REFUSED" => text(item, "refusal"),
        status => status.to_owned(),
    };
    let of_id = |item| (text(item, "notification_id"), verdict(item));
    items.iter().map(of_id).collect()
}
