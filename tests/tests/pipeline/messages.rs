//! Messages from the queue to their end: stored and completed, or in the dead-letter queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use onewrite::{
    item::attribute,
    limits::{MAX_ITEM_BYTES, MAX_RECEIVES},
};
use onewrite_aws::{dynamodb::DynamoDbTable, sqs::SqsQueue};
use onewrite_local::{
    clients::{self, Clients},
    demo,
    emulator::Credentials,
    inspect, messages,
    oracle::{Event, Item, Meaning, SentMessage},
    progress::Progress,
    sample::Sample,
    stack::Stack,
};
use onewrite_testing::contract::{self, EffectsTable};
use onewrite_tests::recorder::{Invocation, Recorder};
use serde_json::json;

use super::support::{
    CANARY, assert_no_violations, malformed, noise, options, receive_counts, settle, start, valid,
    wait_until_idle,
};

#[tokio::test(flavor = "multi_thread")]
async fn sqs_adapter_hides_a_received_message() {
    let stack = Stack::start(options("visibility")).await.unwrap();
    let config = clients::config(&stack.endpoint(), stack.credentials());
    let (sqs, url) = (&stack.clients().sqs, &stack.outputs().queue_url);
    sqs.send_message()
        .queue_url(url)
        .message_body("1")
        .send()
        .await
        .unwrap();
    // The second receive would return the message again, unless the adapter hides it.
    let receive = async || {
        let request = sqs.receive_message().queue_url(url);
        let request = request.visibility_timeout(1).wait_time_seconds(2);
        let received = request.send().await.unwrap().messages.unwrap_or_default();
        received.into_iter().next()
    };
    let message = receive().await.unwrap();
    let handle = message.receipt_handle.unwrap();
    contract::delayed_delivery(&SqsQueue::new(&config, url), &handle).await;
    assert!(receive().await.is_none());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_adapter_fulfils_the_table_contract() {
    let stack = Stack::start(options("contract")).await.unwrap();
    let config = clients::config(&stack.endpoint(), stack.credentials());
    let name = &stack.outputs().table;
    let table = DynamoDbTable::new(&config, name);
    contract::new_notifications(&table, "put-").await;
    contract::completions(&table, "complete-").await;
    contract::current_states(&table, "states-").await;
    let key = attribute::NOTIFICATION_ID;
    contract::completions_with_writes(&table, EffectsTable { name, key }, "writes-").await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_stored_once_or_dead_lettered() {
    let options = options("standard").parameter("LogLevel", "debug");
    let (mut stack, recorder) = start(options).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    assert_unknown_caller_is_denied(&stack).await;

    // While the event sources are off, ten copies accumulate, so that one receive returns several: duplicates in a batch.
    stack.event_sources().unwrap().disable();
    wait_until_idle(&stack).await;
    let messages = first_messages();
    let sent = messages::send(&clients, &outputs.queue_url, &messages, |_| {});
    let sent = sent.await.unwrap();
    stack.event_sources().unwrap().enable();
    settle(&mut stack, sent.len()).await;
    assert_batch_with_duplicates(&recorder.invocations(&outputs.ingest));

    // Later duplicates change nothing, even with other white space. Other content is a conflict.
    let before = inspect::read_items(&clients, &outputs.table).await.unwrap();
    let late = [
        valid("copied", r#"{"n":1.0}"#),
        valid("disputed", "2"),
        valid("new-3", &format!("[3,9007199254740993,\"{CANARY}\"]")),
    ];
    let late_sent = messages::send(&clients, &outputs.queue_url, &late, |_| {});
    let late_sent = late_sent.await.unwrap();
    settle(&mut stack, late.len()).await;
    let after = inspect::read_items(&clients, &outputs.table).await.unwrap();
    assert_eq!(states(before), states(after));

    let found = inspect::read_final_state(&clients, &outputs).await.unwrap();
    let malformed_ids = sent
        .iter()
        .filter(|sent| sent.meaning == Meaning::Malformed)
        .map(|sent| &sent.message_id);
    let conflict = &late_sent[1].message_id;
    let expected: BTreeSet<&String> = malformed_ids.chain([conflict]).collect();
    assert_eq!(found.dead_letters.iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(found.waiting, 0);

    // The functions logged all of that at every level, without any payload.
    let log = std::fs::read_to_string(stack.directory().join("emulator.log")).unwrap();
    assert!(log.contains("\"rejected\"") && log.contains("\"created\""));
    assert!(!log.contains(CANARY));

    let all_sent = sent.iter().chain(&late_sent);
    assert_receives(&receive_counts(&stack, &recorder), all_sent, &expected);
    assert_init_and_done_in_one_shard(&found.events, found.items.len());
    stack.stop().await;
}

/// Shows that IAM is enforced.
async fn assert_unknown_caller_is_denied(stack: &Stack) {
    let unknown = Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: "wrong".to_owned(),
    };
    let unknown = Clients::new(&stack.endpoint(), &unknown);
    let items = inspect::read_items(&unknown, &stack.outputs().table).await;
    assert!(items.is_err());
}

/// Ten copies, ten other notifications, one that a later message contradicts, and malformed messages.
fn first_messages() -> Vec<Sample> {
    let mut messages: Vec<Sample> = (0..10).map(|_| valid("copied", r#"{"n": 1.0}"#)).collect();
    messages.extend((0..10).map(|n| {
        let payload = format!("[{n}, 9007199254740993, \"{CANARY}\"]");
        valid(&format!("new-{n}"), &payload)
    }));
    messages.push(valid("disputed", "1"));
    // SQS does not accept an empty body.
    let malformed_bodies = [
        "{",
        "[]",
        r#"{"type":"refund","payload":1}"#,
        r#"{"notification_id":7.0,"payload":1}"#,
        r#"{"notification_id":" a","payload":1}"#,
        r#"{"notification_id":"x","notification_id":"x","payload":1}"#,
        r#"{"notification_id":"x","payload":"canary-5d1f9a"#,
        r#"{"notification_id":"x","type":5,"payload":1}"#,
    ];
    messages.extend(malformed_bodies.map(malformed));
    let oversize = noise(MAX_ITEM_BYTES * 3 / 2);
    let body = format!(r#"{{"notification_id":"big","payload":"{oversize}"}}"#);
    messages.push(malformed(body));
    messages
}

fn assert_batch_with_duplicates(ingest: &[Invocation]) {
    let copies: Vec<usize> = ingest
        .iter()
        .map(|invocation| {
            let bodies = invocation.texts("/body");
            bodies.iter().filter(|body| body.contains("copied")).count()
        })
        .collect();
    assert!(
        copies.iter().any(|copies| *copies > 1),
        "no batch had a duplicate: {copies:?}"
    );
}

fn states(items: Vec<Item>) -> BTreeSet<(String, String, u64)> {
    items
        .into_iter()
        .map(|item| (item.id, item.payload, item.version))
        .collect()
}

/// Asserts that each dead letter was received exactly six times, each time by `ingest`, and every other message once.
fn assert_receives<'a>(
    receives: &BTreeMap<String, Vec<u32>>,
    sent: impl Iterator<Item = &'a SentMessage>,
    dead_letters: &BTreeSet<&String>,
) {
    let six: Vec<u32> = (1..=MAX_RECEIVES).collect();
    for message in sent {
        let counts = &receives[&message.message_id];
        if dead_letters.contains(&message.message_id) {
            assert_eq!(*counts, six, "{}", message.message_id);
        } else {
            assert_eq!(*counts, [1], "{}", message.message_id);
        }
    }
}

/// Asserts that each item has one INIT and one DONE event, in records with the item's own key, in one shard.
fn assert_init_and_done_in_one_shard(all: &[Event], items: usize) {
    let mut events: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for event in all {
        assert_eq!(event.partition_key, event.id);
        let of_id = events.entry(&event.id).or_default();
        of_id.push((&event.status, &event.shard));
    }
    assert_eq!(events.len(), items);
    for (id, events) in events {
        let statuses: Vec<&str> = events.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, ["INIT", "DONE"], "{id}");
        assert_eq!(events[0].1, events[1].1, "{id}");
    }
}

async fn send_to_group(stack: &Stack, group: &str, body: &str) -> String {
    let deduplication_id =
        format!("{group}-{body}-{}", body.len()).replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let sent = stack
        .clients()
        .sqs
        .send_message()
        .queue_url(&stack.outputs().queue_url)
        .message_group_id(group)
        .message_deduplication_id(deduplication_id)
        .message_body(body)
        .send()
        .await
        .unwrap();
    sent.message_id.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifo_queue_keeps_group_order_after_poison_message() {
    let (mut stack, recorder) = start(options("fifo").parameter("QueueType", "fifo")).await;
    let body = |id: &str| valid(id, "1").body;
    let first = send_to_group(&stack, "a", &body("a-1")).await;
    // SQS drops a second message with the same deduplication id within five minutes.
    let copy = send_to_group(&stack, "a", &body("a-1")).await;
    let poison = send_to_group(&stack, "a", "{").await;
    let behind = send_to_group(&stack, "a", &body("a-3")).await;
    for n in 0..5 {
        send_to_group(&stack, "b", &body(&format!("b-{n}"))).await;
    }
    settle(&mut stack, 8).await;

    let found = inspect::read_final_state(stack.clients(), stack.outputs()).await;
    let found = found.unwrap();
    let ids: BTreeSet<&str> = found.items.iter().map(|item| item.id.as_str()).collect();
    let expected = ["a-1", "a-3", "b-0", "b-1", "b-2", "b-3", "b-4"];
    assert_eq!(ids, expected.into_iter().collect());
    assert!(found.items.iter().all(|item| item.status == "DONE"));
    assert_eq!(found.dead_letters, std::slice::from_ref(&poison));

    let receives = receive_counts(&stack, &recorder);
    assert_eq!(receives.len(), 8, "{receives:?}");
    assert!(copy == first || !receives.contains_key(&copy));
    assert_eq!(receives[&poison], (1..=MAX_RECEIVES).collect::<Vec<_>>());
    // A message behind the poison message is received only after it left the queue, so it keeps all its receives.
    assert_eq!(
        (&receives[&first], &receives[&behind]),
        (&vec![1], &vec![1])
    );
    let last = |pointer: &str, text: &str| last_invocation(&stack, &recorder, pointer, text);
    let last_try = last("/messageId", &poison);
    assert!(last("/messageId", &behind) > last_try);
    let invocations = recorder.invocations(&stack.outputs().ingest);
    let bodies = invocations.iter().flat_map(|i| i.texts("/body"));
    let of_b = bodies.filter(|text| text.contains("\"b-"));
    let sent = (0..5).map(|n| body(&format!("b-{n}")));
    assert_eq!(of_b.collect::<Vec<_>>(), sent.collect::<Vec<_>>());
    // Other groups do not wait for the poison message.
    assert!(last("/body", &body("b-4")) < last_try);
    stack.stop().await;
}

/// When `ingest` last received a record with this text at this JSON pointer.
fn last_invocation(stack: &Stack, recorder: &Recorder, pointer: &str, text: &str) -> SystemTime {
    let invocations = recorder.invocations(&stack.outputs().ingest).into_iter();
    let of_record = invocations
        .filter(|invocation| invocation.texts(pointer).iter().any(|other| other == text));
    of_record.map(|invocation| invocation.at).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_adapt_to_an_enriched_envelope_without_code() {
    let options = options("pointers")
        .parameter("NotificationIdPointer", "/detail/refund/id")
        .parameter("NotificationTypePointer", "/detail-type")
        .parameter("PayloadPointer", "");
    let (mut stack, _recorder) = start(options).await;
    let body = json!({"detail-type": "refund", "detail": {"refund": {"id": "rf_1"}}}).to_string();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let sample = Sample {
        meaning: Meaning::Valid {
            id: "rf_1".to_owned(),
            kind: "refund".to_owned(),
            content: body.clone(),
            payload: body.clone(),
        },
        body,
    };
    let report = demo::run_messages(&mut stack, &[sample], Progress::Silent).await;
    let report = report.unwrap();
    assert_no_violations(&report);
    assert_eq!(report.counts.done, 1);
    let items = inspect::read_items(&clients, &outputs.table).await.unwrap();
    assert_eq!(
        (items[0].id.as_str(), items[0].kind.as_str()),
        ("rf_1", "refund")
    );
    stack.stop().await;
}
