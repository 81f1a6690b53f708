//! The forms of an item: one that an earlier version stored, and the largest ones.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use onewrite::limits::{MAX_ITEM_BYTES, MAX_MESSAGE_BYTES};
use onewrite_local::{
    inspect, messages,
    oracle::{self, Meaning, SentMessage},
    sample::Sample,
    stack::Stack,
};
use serde_json::Value;

use super::{
    oldest,
    operator::onewrite,
    support::{
        CANARY, assert_no_violations, noise, options, settle, start, start_event_sources, valid,
        wait_until,
    },
};

pub(super) type Attributes = HashMap<String, AttributeValue>;

pub(super) async fn read_item(stack: &Stack, id: &str) -> Option<Attributes> {
    let get = stack.clients().dynamodb.get_item();
    let get = get.table_name(&stack.outputs().table).consistent_read(true);
    let get = get.key("notification_id", AttributeValue::S(id.to_owned()));
    get.send().await.unwrap().item
}

async fn send(stack: &Stack, samples: &[Sample]) -> Vec<SentMessage> {
    let queue_url = &stack.outputs().queue_url;
    let sent = messages::send(stack.clients(), queue_url, samples, |_| {});
    sent.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_the_version_before_is_published_and_settled() {
    let mut stack = Stack::start(options("older-items")).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let put = clients.dynamodb.put_item().table_name(&outputs.table);
    let put = put.set_item(Some(oldest::item("rf_8841")));
    put.send().await.unwrap();
    let _recorder = start_event_sources(&mut stack).await;
    wait_until("the older item is DONE", async || {
        let item = read_item(&stack, "rf_8841").await.unwrap();
        item["status"].as_s().unwrap() == "DONE"
    })
    .await;

    let item = read_item(&stack, "rf_8841").await.unwrap();
    assert_eq!(item["settled_by"].as_s().unwrap(), &outputs.complete);
    assert!(item["fingerprint"].is_s(), "it stays as it was stored");

    // A copy of its message is a duplicate, and another payload is a conflict.
    let copy = valid("rf_8841", r#"{"n":1.0}"#);
    let conflict = Sample {
        meaning: Meaning::Malformed,
        ..valid("rf_8841", r#"{"n": 2.0}"#)
    };
    let sent = send(&stack, &[copy, conflict]).await;
    settle(&mut stack, 2).await;
    let found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    assert_eq!(found.dead_letters, [sent[1].message_id.clone()]);
    let events = found.events.iter();
    let statuses: Vec<&str> = events.map(|event| event.status.as_str()).collect();
    assert_eq!(statuses, ["INIT", "DONE"]);
    let payloads = found.events.iter().map(|event| event.payload.as_str());
    assert!(payloads.clone().all(|payload| payload == r#"{"n": 1.0}"#));

    // The operator's tool redrives it, and shows who settled it.
    redrives_the_event_of_done(&stack).await;
    stack.stop().await;
}

/// Adds 1 to the `redrives` of the older item, as an operator does after an outage.
async fn redrives_the_event_of_done(stack: &Stack) {
    let since = ["reconcile", "--since", "2026-11-23", "--pending-older-than"];
    let arguments = [&since[..], &["1s", "--apply", "--yes"]].concat();
    wait_until("the item is old enough", async || {
        let (code, stdout, stderr) = onewrite(stack, &arguments).await;
        assert_eq!(code, 0, "{stderr}");
        stdout.contains("rf_8841")
    })
    .await;
    let item = read_item(stack, "rf_8841").await.unwrap();
    assert_eq!(item["redrives"].as_n().unwrap(), "1");
    wait_until("the event of DONE is published again", async || {
        let outputs = stack.outputs();
        let events = inspect::read_events(stack.clients(), &outputs.stream).await;
        let (events, _) = events.unwrap();
        let of_done = events.iter().filter(|event| event.status == "DONE");
        of_done.count() == 2
    })
    .await;
    let (code, stdout, _) = onewrite(stack, &["trace", "rf_8841"]).await;
    let settler = format!("version 2, by {}", stack.outputs().complete);
    assert_eq!((code, stdout.contains(&settler)), (0, true), "{stdout}");
}

/// A message of exactly the size that SQS accepts at most. Its payload repeats itself, as large JSON documents do.
fn largest_message(id: &str) -> Sample {
    let with = |filler: usize| {
        let lines = r#"{"sku":"8841-A","amount":1.0},"#.repeat(30_000);
        let filler = "x".repeat(filler);
        valid(
            id,
            &format!(r#"{{"lines":[{lines}0],"filler":"{filler}"}}"#),
        )
    };
    let rest = MAX_MESSAGE_BYTES - with(0).body.len();
    let largest = with(rest);
    assert_eq!(largest.body.len(), MAX_MESSAGE_BYTES);
    largest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_messages_are_settled_or_rejected_with_their_stored_size() {
    let (mut stack, _recorder) = start(options("largest")).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    // A quarter of this is saved, which is not enough.
    let random = format!(r#""{CANARY} {}""#, noise(MAX_MESSAGE_BYTES * 3 / 4));
    let too_large = Sample {
        meaning: Meaning::Malformed,
        ..valid("random", &random)
    };
    let largest = largest_message("largest");
    let sent = send(&stack, &[largest.clone(), too_large]).await;
    settle(&mut stack, sent.len()).await;

    let item = read_item(&stack, "largest").await.unwrap();
    let stored = item["payload"].as_b().unwrap().as_ref().len();
    assert!(stored < MAX_ITEM_BYTES / 4, "{stored}");
    assert_eq!(item["settled_by"].as_s().unwrap(), &outputs.complete);
    assert!(read_item(&stack, "random").await.is_none());

    // Item and events have the payload byte for byte: the oracle compares them with what was sent.
    let found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    assert_eq!(found.dead_letters, [sent[1].message_id.clone()]);
    let report = oracle::verify(&sent, &found);
    assert_no_violations(&report);
    assert_eq!(report.counts.done, 1);

    assert_the_log_has_the_stored_size(&stack);
    prints_the_payload(&stack, &largest).await;
    stack.stop().await;
}

/// The reason names the size of the item, which is smaller than the message and larger than DynamoDB's limit. No log line has
/// a payload.
fn assert_the_log_has_the_stored_size(stack: &Stack) {
    let log = std::fs::read_to_string(stack.directory().join("emulator.log")).unwrap();
    let line = log.lines().find(|line| line.contains("ItemTooLarge"));
    let line = line.expect("the rejection is logged");
    let numbers = line.split(|c: char| !c.is_ascii_digit());
    let sizes = numbers.filter_map(|digits| digits.parse::<usize>().ok());
    let is_stored_size = |size: usize| size > MAX_ITEM_BYTES && size < MAX_MESSAGE_BYTES * 3 / 4;
    assert!(sizes.clone().any(is_stored_size), "{line}");
    assert!(!log.contains(CANARY));
}

/// `onewrite trace --payload` prints what was sent, whatever the item stores.
async fn prints_the_payload(stack: &Stack, largest: &Sample) {
    let arguments = ["--output", "json", "trace", "largest"];
    let (_, without, _) = onewrite(stack, &arguments).await;
    let arguments = [&arguments[..], &["--payload"]].concat();
    let (code, with, stderr) = onewrite(stack, &arguments).await;
    assert_eq!(code, 0, "{stderr}");
    let Meaning::Valid { payload, .. } = &largest.meaning else {
        unreachable!("the largest message is valid");
    };
    let reports: Vec<BTreeMap<String, Value>> = [without, with]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(reports[0].get("payload"), None);
    assert!(reports[1]["payload"] == payload.as_str());
}
