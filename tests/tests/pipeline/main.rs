//! The whole pipeline, end to end: the very template on the emulator with IAM enforced, the release binaries, our event
//! sources. Each test has a stack of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod doctor;
mod drills;
mod least_privilege;
mod operator;
mod recovery;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::types::{EventSourcePosition, FunctionResponseType};
use jiff::Timestamp;
use onewrite::{
    adapters::{batched::BatchedInserts, dynamodb::DynamoDbTable},
    item::{Enrichment, NotificationItem, attribute, to_millis},
    limits::{MAX_ATTEMPTS, MAX_ITEM_BYTES, MAX_RECEIVES},
    notification::MessagePointers,
    testing::contract::{self, EffectsTable},
};
use onewrite_event_sources::choices::Choices;
use onewrite_local::{
    clients::{self, Clients},
    demo,
    emulator::{Credentials, REGION},
    messages,
    oracle::{self, Meaning, Report},
    progress::Progress,
    quiet::until_quiet,
    sample::Sample,
    stack::{Stack, StackOptions},
    survey,
    workspace::Workspace,
};
use onewrite_tests::{
    fault_proxy::{FaultProxy, WireFault},
    recorder::{Invocation, Recorder},
    settings::redirect,
    trouble::{Climate, Trouble},
};
use serde_json::json;

/// Somebody's data: it may be stored, queued and streamed, and nothing else.
const CANARY: &str = "canary-5d1f9a";

/// How long a condition is waited for before the test is given up.
const PATIENCE: Duration = Duration::from_secs(120);

async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waited = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waited).await;
    assert!(in_time.is_ok(), "waited in vain until {what}");
}

/// Waits until nothing is under way in the pollers; a receive that waits for messages may still be.
async fn until_still(stack: &Stack) {
    wait_until("the pollers stand still", async || {
        stack.event_sources().unwrap().is_idle()
    })
    .await;
}

fn options(name: &str) -> StackOptions {
    StackOptions {
        event_sources: false,
        ..StackOptions::named(name)
    }
}

async fn start(options: StackOptions) -> (Stack, Recorder) {
    let mut stack = Stack::start(options).await.unwrap();
    let recorder = start_event_sources(&mut stack).await;
    (stack, recorder)
}

async fn start_event_sources(stack: &mut Stack) -> Recorder {
    let recorder = Recorder::default();
    stack
        .start_event_sources(Some(recorder.decorator()), Choices::default_outcomes())
        .await
        .unwrap();
    recorder
}

fn valid(id: &str, payload: &str) -> Sample {
    let body = format!(r#"{{"notification_id":"{id}","type":"refund","payload":{payload}}}"#);
    Sample {
        body,
        meaning: Meaning::Valid {
            id: id.to_owned(),
            kind: "refund".to_owned(),
            content: payload.to_owned(),
            payload: payload.to_owned(),
        },
    }
}

fn malformed(body: impl Into<String>) -> Sample {
    Sample {
        body: body.into(),
        meaning: Meaning::Malformed,
    }
}

fn assert_kept(report: &Report) {
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

/// The receive counts with which each message was given to `ingest`, by message id.
fn receives(stack: &Stack, recorder: &Recorder) -> BTreeMap<String, Vec<u32>> {
    let mut receives: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for invocation in recorder.of(&stack.outputs().ingest) {
        let ids = invocation.texts("/messageId");
        let counts = invocation.texts("/attributes/ApproximateReceiveCount");
        for (id, count) in ids.into_iter().zip(counts) {
            receives.entry(id).or_default().push(count.parse().unwrap());
        }
    }
    receives
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapters_of_the_table_keep_its_contract() {
    let stack = Stack::start(options("contract")).await.unwrap();
    let config = clients::config(&stack.endpoint(), stack.credentials());
    let name = &stack.outputs().table;
    let table = DynamoDbTable::new(&config, name);
    contract::new_notifications(&table, "put-").await;
    contract::new_notifications(&BatchedInserts::new(&config, name), "batched-").await;
    contract::completions(&table, "complete-").await;
    let key = attribute::NOTIFICATION_ID;
    contract::completions_with_writes(&table, EffectsTable { name, key }, "writes-").await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_ends_where_it_must() {
    every_message_of(options("standard")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_ends_where_it_must_by_batched_inserts() {
    every_message_of(options("batched").parameter("IngestBatchedInserts", "true")).await;
}

async fn every_message_of(options: StackOptions) {
    let options = options.parameter("LogLevel", "debug");
    let (mut stack, recorder) = start(options).await;

    // Whoever has no credentials of the account is refused: what follows runs with IAM enforced.
    let stranger = Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: "wrong".to_owned(),
    };
    let stranger = Clients::new(&stack.endpoint(), &stranger);
    assert!(
        survey::items(&stranger, &stack.outputs().table)
            .await
            .is_err()
    );

    // Ten copies wait in the queue, so that a receive finds several: duplicates in one batch.
    stack.event_sources().unwrap().disable();
    until_still(&stack).await;
    let mut messages: Vec<Sample> = (0..10).map(|_| valid("copied", r#"{"n": 1.0}"#)).collect();
    messages.extend((0..10).map(|n| {
        valid(
            &format!("new-{n}"),
            &format!("[{n}, 9007199254740993, \"{CANARY}\"]"),
        )
    }));
    messages.push(valid("disputed", "1"));
    let bodies = [
        "",
        "{",
        "[]",
        r#"{"type":"refund","payload":1}"#,
        r#"{"notification_id":7,"payload":1}"#,
        r#"{"notification_id":"a b","payload":1}"#,
        r#"{"notification_id":"x","notification_id":"x","payload":1}"#,
        r#"{"notification_id":"x","payload":"canary-5d1f9a"#,
        r#"{"notification_id":"x","type":5,"payload":1}"#,
    ];
    // An empty body cannot be sent at all.
    let poison: Vec<Sample> = bodies.into_iter().skip(1).map(malformed).collect();
    messages.extend(poison);
    let oversize = "x".repeat(MAX_ITEM_BYTES);
    let body = format!(r#"{{"notification_id":"big","payload":"{oversize}"}}"#);
    messages.push(malformed(body));
    let clients = stack.clients().clone();
    let outputs = stack.outputs().clone();
    let sent = onewrite_local::messages::send(&clients, &outputs.queue_url, &messages, |_| {})
        .await
        .unwrap();
    stack.event_sources().unwrap().enable();
    assert!(
        until_quiet(&mut stack, sent.len(), Progress::Silent)
            .await
            .unwrap()
    );

    let copies: Vec<usize> = recorder
        .of(&outputs.ingest)
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

    // Across batches, and long after: the copies change nothing; the other content is a conflict.
    let before = survey::items(&clients, &outputs.table).await.unwrap();
    let late = [
        valid("copied", r#"{"n":1.0}"#),
        valid("disputed", "2"),
        valid("new-3", &format!("[3,9007199254740993,\"{CANARY}\"]")),
    ];
    // The payload differs in white space, which is the same notification with another text.
    let late_sent = onewrite_local::messages::send(&clients, &outputs.queue_url, &late, |_| {})
        .await
        .unwrap();
    assert!(
        until_quiet(&mut stack, late.len(), Progress::Silent)
            .await
            .unwrap()
    );
    let after = survey::items(&clients, &outputs.table).await.unwrap();
    let states = |items: Vec<onewrite_local::oracle::Item>| -> BTreeSet<_> {
        items
            .into_iter()
            .map(|item| (item.id, item.payload, item.version))
            .collect()
    };
    assert_eq!(states(before), states(after));

    let found = survey::survey(&clients, &outputs).await.unwrap();
    let malformed_ids: BTreeSet<&String> = sent
        .iter()
        .filter(|sent| sent.meaning == Meaning::Malformed)
        .map(|sent| &sent.message_id)
        .collect();
    let conflict = &late_sent[1].message_id;
    let expected: BTreeSet<&String> = malformed_ids.into_iter().chain([conflict]).collect();
    assert_eq!(found.dead_letters.iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(found.waiting, 0);

    // The functions have told of all that in their logs, at every level, without what the messages say.
    let log = std::fs::read_to_string(stack.directory().join("emulator.log")).unwrap();
    assert!(log.contains("\"rejected\"") && log.contains("\"created\""));
    assert!(!log.contains(CANARY));

    // Exactly six receives, each of which was tried; a message that was taken came once.
    let receives = receives(&stack, &recorder);
    let six: Vec<u32> = (1..=MAX_RECEIVES).collect();
    for message in sent.iter().chain(&late_sent) {
        let counts = &receives[&message.message_id];
        if expected.contains(&message.message_id) {
            assert_eq!(*counts, six, "{}", message.message_id);
        } else {
            assert_eq!(*counts, [1], "{}", message.message_id);
        }
    }

    // One INIT and one DONE of each item, each in a record of the item's own key, in one shard.
    let mut events: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for event in &found.events {
        assert_eq!(event.partition_key, event.id);
        let of_id = events.entry(&event.id).or_default();
        of_id.push((&event.status, &event.shard));
    }
    assert_eq!(events.len(), found.items.len());
    for (id, events) in events {
        let statuses: Vec<&str> = events.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, ["INIT", "DONE"], "{id}");
        assert_eq!(events[0].1, events[1].1, "{id}");
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_keeps_the_order_of_each_group_and_a_poison_message_holds_its_own_alone_then_leaves()
 {
    let (mut stack, recorder) = start(options("fifo").parameter("QueueType", "fifo")).await;
    let clients = stack.clients().clone();
    let outputs = stack.outputs().clone();
    let send = async |group: &str, body: &str| {
        let sent = clients
            .sqs
            .send_message()
            .queue_url(&outputs.queue_url)
            .message_group_id(group)
            .message_deduplication_id(
                format!("{group}-{body}-{}", body.len())
                    .replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
            )
            .message_body(body)
            .send()
            .await
            .unwrap();
        sent.message_id.unwrap()
    };
    let body = |id: &str| valid(id, "1").body;
    let first = send("a", &body("a-1")).await;
    // Sent twice within five minutes under one deduplication id: SQS takes it once.
    let copy = send("a", &body("a-1")).await;
    let poison = send("a", "{").await;
    let behind = send("a", &body("a-3")).await;
    for n in 0..5 {
        send("b", &body(&format!("b-{n}"))).await;
    }
    assert!(until_quiet(&mut stack, 8, Progress::Silent).await.unwrap());

    let found = survey::survey(&clients, &outputs).await.unwrap();
    let ids: BTreeSet<&str> = found.items.iter().map(|item| item.id.as_str()).collect();
    let expected = ["a-1", "a-3", "b-0", "b-1", "b-2", "b-3", "b-4"];
    assert_eq!(ids, expected.into_iter().collect());
    assert!(found.items.iter().all(|item| item.status == "DONE"));
    assert_eq!(found.dead_letters, std::slice::from_ref(&poison));

    let receives = receives(&stack, &recorder);
    assert_eq!(receives.len(), 8, "{receives:?}");
    assert!(copy == first || !receives.contains_key(&copy));
    assert_eq!(receives[&poison], (1..=MAX_RECEIVES).collect::<Vec<_>>());
    // What is behind the poison message is not received before it has left, so it loses none of its own receives.
    assert_eq!(
        (&receives[&first], &receives[&behind]),
        (&vec![1], &vec![1])
    );
    let invocations = recorder.of(&outputs.ingest);
    let last_try = last(&invocations, "/messageId", &poison);
    assert!(last(&invocations, "/messageId", &behind) > last_try);
    // What a group's messages became, in the order they were sent.
    let invoked: Vec<String> = invocations.iter().flat_map(|i| i.texts("/body")).collect();
    let of_b = invoked.into_iter().filter(|text| text.contains("\"b-"));
    let sent = (0..5).map(|n| body(&format!("b-{n}")));
    assert_eq!(of_b.collect::<Vec<_>>(), sent.collect::<Vec<_>>());
    // Other groups did not wait.
    assert!(last(&invocations, "/body", &body("b-4")) < last_try);
    stack.stop().await;
}

/// When a record that says `text` at `pointer` was last given to the function.
fn last(invocations: &[Invocation], pointer: &str, text: &str) -> SystemTime {
    let of_record = invocations
        .iter()
        .filter(|invocation| invocation.texts(pointer).iter().any(|other| other == text));
    of_record.map(|invocation| invocation.at).max().unwrap()
}

/// Writes items as `ingest` would, in one go, so that they meet in one batch of the table's stream.
async fn store(clients: &Clients, table: &str, ids: &[String]) {
    for id in ids {
        let body = valid(id, "{\"n\": 1.0}").body;
        let notification = MessagePointers::default().parse(body.as_bytes()).unwrap();
        let now = to_millis(Timestamp::now());
        let enrichment = Enrichment::default();
        let item =
            NotificationItem::new(notification, &enrichment, "m".to_owned(), None, now).unwrap();
        let attributes: std::collections::HashMap<String, AttributeValue> = item.to_item().into();
        clients
            .dynamodb
            .put_item()
            .table_name(table)
            .set_item(Some(attributes))
            .send()
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_kinesis_does_not_take_comes_again_with_what_follows_it() {
    const RECORDS: usize = 9;
    // One lane, so that all records of the stream's shard meet in one batch.
    let options = options("partial").parameter("ForwardParallelizationFactor", "1");
    let mut stack = Stack::start(options).await.unwrap();
    let clients = stack.clients().clone();
    let outputs = stack.outputs().clone();
    let emulator = stack
        .endpoint()
        .trim_start_matches("http://")
        .parse()
        .unwrap();
    let proxy = FaultProxy::start(emulator).await.unwrap();
    redirect(&clients, &outputs.forward, "KINESIS", &proxy.endpoint())
        .await
        .unwrap();
    let recorder = start_event_sources(&mut stack).await;

    for (phase, place) in [("head", 0), ("middle", RECORDS / 2), ("end", RECORDS - 1)] {
        let sources = stack.event_sources().unwrap();
        sources.disable();
        until_still(&stack).await;
        let ids: Vec<String> = (0..RECORDS).map(|n| format!("{phase}-{n}")).collect();
        store(&clients, &outputs.table, &ids).await;
        let failing = ids[place].clone();
        proxy.fail(&failing, u32::MAX);
        let seen = recorder.of(&outputs.forward).len();
        sources.enable();

        // Until the function has given up on it once.
        let failed = || {
            recorder
                .of(&outputs.forward)
                .into_iter()
                .skip(seen)
                .find(|i| !i.failed().is_empty())
        };
        wait_until("forward reports the record", async || failed().is_some()).await;
        assert!(proxy.left() < u32::MAX, "the fault has happened");
        proxy.fail(&failing, 0);
        assert!(
            until_quiet(&mut stack, RECORDS, Progress::Silent)
                .await
                .unwrap()
        );

        let key = "/dynamodb/Keys/notification_id/S";
        let invocations: Vec<_> = recorder
            .of(&outputs.forward)
            .into_iter()
            .skip(seen)
            .collect();
        let first = failed().unwrap();
        assert_eq!(first.texts(key), ids, "all met in one batch");
        let number = &first.texts("/dynamodb/SequenceNumber")[place];
        assert_eq!(first.failed(), std::slice::from_ref(number), "{phase}");
        let again = invocations
            .iter()
            .skip_while(|i| i.failed().is_empty())
            .nth(1)
            .unwrap();
        assert_eq!(
            again.texts(key),
            ids[place..],
            "{phase}: it and all behind it, none before it"
        );
    }

    let found = survey::survey(&clients, &outputs).await.unwrap();
    assert_eq!(found.items.len(), 3 * RECORDS);
    assert!(found.items.iter().all(|item| item.status == "DONE"));
    let of = |id: &str, status: &str| {
        let events = found.events.iter();
        events
            .filter(|event| event.id == id && event.status == status)
            .count()
    };
    for item in &found.items {
        assert!(
            of(&item.id, "INIT") >= 1 && of(&item.id, "DONE") == 1,
            "{}",
            item.id
        );
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_bring_each_notification_to_done_once() {
    let mut stack = Stack::start(options("consumers")).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    // A second mapping of the same function and stream: it sees every event, as another consumer would.
    let summary = clients
        .kinesis
        .describe_stream_summary()
        .stream_name(&outputs.stream)
        .send()
        .await
        .unwrap();
    let stream_arn = summary.stream_description_summary.unwrap().stream_arn;
    clients
        .lambda
        .create_event_source_mapping()
        .function_name(&outputs.complete)
        .event_source_arn(stream_arn)
        .enabled(false)
        .starting_position(EventSourcePosition::TrimHorizon)
        .function_response_types(FunctionResponseType::ReportBatchItemFailures)
        .send()
        .await
        .unwrap();
    let recorder = start_event_sources(&mut stack).await;
    let messages: Vec<Sample> = (0..40).map(|n| valid(&format!("n-{n}"), "{}")).collect();
    let report = demo::observe(&mut stack, &messages, Progress::Silent)
        .await
        .unwrap();
    assert_kept(&report);
    assert_eq!((report.counts.created, report.counts.done), (40, 40));

    // Both consumers get every event; the second one may be a poll behind.
    let told = || {
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for invocation in recorder.of(&outputs.complete) {
            for key in invocation.texts("/kinesis/partitionKey") {
                *told.entry(key).or_default() += 1;
            }
        }
        told
    };
    wait_until("both consumers have seen every notification", async || {
        let told = told();
        told.len() == 40 && told.values().all(|count| *count >= 2)
    })
    .await;
    assert!(
        recorder
            .of(&outputs.complete)
            .iter()
            .all(|invocation| invocation.failed().is_empty())
    );
    let events = survey::events(&clients, &outputs.stream).await.unwrap().0;
    for n in 0..40 {
        let id = format!("n-{n}");
        let done = events
            .iter()
            .filter(|event| event.id == id && event.status == "DONE")
            .count();
        assert_eq!(done, 1, "{id}: one change to DONE, so one event of it");
    }
    let items = survey::items(&clients, &outputs.table).await.unwrap();
    assert!(
        items
            .iter()
            .all(|item| item.status == "DONE" && item.version == 2)
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enriched_envelope_needs_no_code() {
    let options = options("pointers")
        .parameter("NotificationIdPointer", "/detail/refund/id")
        .parameter("NotificationTypePointer", "/detail-type")
        .parameter("PayloadPointer", "");
    let (mut stack, _recorder) = start(options).await;
    let body = json!({"detail-type": "refund", "detail": {"refund": {"id": "rf_1"}}}).to_string();
    let clients = stack.clients().clone();
    let outputs = stack.outputs().clone();
    let sample = Sample {
        meaning: Meaning::Valid {
            id: "rf_1".to_owned(),
            kind: "refund".to_owned(),
            content: body.clone(),
            payload: body.clone(),
        },
        body,
    };
    let report = demo::observe(&mut stack, &[sample], Progress::Silent)
        .await
        .unwrap();
    assert_kept(&report);
    assert_eq!(report.counts.done, 1);
    let items = survey::items(&clients, &outputs.table).await.unwrap();
    assert_eq!(
        (items[0].id.as_str(), items[0].kind.as_str()),
        ("rf_1", "refund")
    );
    stack.stop().await;
}

/// `cargo local demo --stack onewrite`, for which the environment names the emulator: its exit code, and all it wrote.
async fn judge_by_name(stack: &Stack, arguments: &[&str]) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(env!("CARGO"))
        .args(["local", "demo", "--stack"])
        .args(arguments)
        .current_dir(Workspace::here().root())
        .env("AWS_ENDPOINT_URL", stack.endpoint())
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", &stack.credentials().access_key_id)
        .env(
            "AWS_SECRET_ACCESS_KEY",
            &stack.credentials().secret_access_key,
        )
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let written = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(written).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployed_stack_is_judged_by_its_name_and_others_notifications_are_left_out() {
    let (mut stack, _recorder) = start(options("deployed")).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let (code, said) = judge_by_name(&stack, &["nobody-s"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("sam list stack-outputs failed"), "{said}");

    let earlier = [valid("earlier", "{}")];
    let report = demo::observe(&mut stack, &earlier, Progress::Silent).await;
    assert_kept(&report.unwrap());
    let run = ["onewrite", "--settle", "10", "--messages", "9"];
    let (code, said) = judge_by_name(&stack, &run).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Every promise was kept."), "{said}");
    assert!(!said.contains("earlier"), "{said}");
    let items = survey::items(&clients, &outputs.table).await.unwrap();
    assert_eq!(items.len(), 1 + 6, "it was this stack");

    // Somebody's dead letter: a run would take it for its own.
    let letter = [malformed("{")];
    messages::send(&clients, &outputs.dead_letter_queue_url, &letter, |_| {})
        .await
        .unwrap();
    let (code, said) = judge_by_name(&stack, &run).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("holds 1 messages"), "{said}");
    let dead = survey::depth(&clients, &outputs.dead_letter_queue_url).await;
    assert_eq!(dead.unwrap().total(), 1, "it is still there");
    stack.stop().await;
}

/// Each fault of the wire: once, which the SDK's own attempts heal, and as often as it tries, which they do not.
fn wire_faults(of_operation: &[WireFault]) -> Vec<WireFault> {
    let common = [
        WireFault::CutBefore,
        WireFault::CutAfter,
        WireFault::Late(300),
        WireFault::Silent,
        WireFault::InternalError,
        WireFault::Unavailable,
        WireFault::Throttled,
    ];
    let faults = common.iter().chain(of_operation);
    let often = |fault: &WireFault| {
        let once = [*fault, WireFault::None];
        let run = std::iter::repeat_n(*fault, MAX_ATTEMPTS as usize);
        once.into_iter().chain(run).chain([WireFault::None])
    };
    faults.flat_map(often).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_happens_on_the_wire() {
    nothing_is_lost_on_the_wire(options("wire"), "PutItem").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_happens_on_the_wire_to_a_batch_of_inserts() {
    let options = options("wire-batched").parameter("IngestBatchedInserts", "true");
    nothing_is_lost_on_the_wire(options, "BatchExecuteStatement").await;
}

/// `insert` is the operation by which `ingest` writes.
async fn nothing_is_lost_on_the_wire(options: StackOptions, insert: &str) {
    /// More than any run takes: a script that does not end is a fault that does not happen.
    const WAVES: usize = 200;
    let mut stack = Stack::start(options).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let emulator = stack
        .endpoint()
        .trim_start_matches("http://")
        .parse()
        .unwrap();
    let of_operation = [
        (&outputs.ingest, "DYNAMODB", insert, &[][..]),
        (
            &outputs.forward,
            "KINESIS",
            "PutRecords",
            &[WireFault::PartlyFailed],
        ),
        (&outputs.complete, "DYNAMODB", "UpdateItem", &[]),
    ];
    let mut proxies = Vec::new();
    for (function, service, operation, faults) in of_operation {
        let proxy = FaultProxy::start(emulator).await.unwrap();
        proxy.script(operation, wire_faults(faults));
        redirect(&clients, function, service, &proxy.endpoint())
            .await
            .unwrap();
        proxies.push(proxy);
    }
    start_event_sources(&mut stack).await;

    let mut sent = Vec::new();
    for wave in 0..WAVES {
        // The second half of a wave says what the first says: duplicates, and a conflict.
        let mut messages: Vec<Sample> = (0..3)
            .map(|n| valid(&format!("w{wave}-{n}"), "{\"n\": 1.0}"))
            .collect();
        messages.extend([messages[0].clone(), valid(&format!("w{wave}-1"), "2")]);
        sent.extend(
            messages::send(&clients, &outputs.queue_url, &messages, |_| {})
                .await
                .unwrap(),
        );
        let left = || proxies.iter().map(FaultProxy::scripted).sum::<usize>();
        let before = left();
        if before == 0 {
            break;
        }
        wait_until("the next call meets its fault", async || left() < before).await;
    }
    let left: Vec<usize> = proxies.iter().map(FaultProxy::scripted).collect();
    assert_eq!(left, [0, 0, 0], "every fault has happened");
    assert!(
        until_quiet(&mut stack, sent.len(), Progress::Silent)
            .await
            .unwrap()
    );
    let found = survey::survey(&clients, &outputs).await.unwrap();
    let report = oracle::judge(&sent, &found);
    assert_kept(&report);
    assert!(
        report.counts.repeated > 0,
        "an answer that is lost makes an event come twice"
    );
    for proxy in &proxies {
        let met = proxy.met();
        assert!(met[&WireFault::Silent] > MAX_ATTEMPTS as usize, "{met:?}");
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_where_it_is_wanted_nothing_is_lost() {
    let (mut stack, recorder) = start(options("tls")).await;
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let of_service = [
        (&outputs.ingest, "DYNAMODB", "/messageId"),
        (&outputs.forward, "KINESIS", "/eventID"),
        (&outputs.complete, "DYNAMODB", "/eventID"),
    ];
    let spoken = stack.endpoint();
    let wanted = spoken.replace("http://", "https://");
    let mut sent = Vec::new();
    for (function, service, record) in of_service {
        redirect(&clients, function, service, &wanted)
            .await
            .unwrap();
        let message = [valid(&format!("tls-{}", sent.len()), "1.0")];
        let accepted = messages::send(&clients, &outputs.queue_url, &message, |_| {}).await;
        sent.extend(accepted.unwrap());
        // The function answers, and what it could not do is to come again.
        wait_until("the function reports what failed", async || {
            let invocations = recorder.of(function);
            let reports = |i: &Invocation| !i.failed().is_empty() && !i.texts(record).is_empty();
            invocations.iter().any(reports)
        })
        .await;
        redirect(&clients, function, service, &spoken)
            .await
            .unwrap();
        let is_quiet = until_quiet(&mut stack, sent.len(), Progress::Silent).await;
        assert!(is_quiet.unwrap());
    }
    let found = survey::survey(&clients, &outputs).await.unwrap();
    assert_kept(&oracle::judge(&sent, &found));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_functions_are_killed_and_event_sources_stop() {
    const KILLS: usize = 5;
    const STOPS: usize = 2;
    let climate = Climate {
        writes: 20,
        puts: 5,
        kill: Duration::from_secs(1),
        stop: Duration::from_secs(5),
    };
    let mut stack = Stack::start(options("killed")).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let mut trouble = Trouble::before(&stack, climate, 1).await.unwrap();
    start_event_sources(&mut stack).await;

    // Messages go in until enough has happened.
    let is_enough = AtomicBool::new(false);
    let stirring = async {
        let stirred = trouble.stir(&stack, |tally| {
            tally.killed >= KILLS && tally.stopped >= STOPS
        });
        stirred.await.unwrap();
        is_enough.store(true, Ordering::Relaxed);
    };
    let sending = async {
        let mut sent = Vec::new();
        while !is_enough.load(Ordering::Relaxed) {
            // Each fifth is a copy of the one before it.
            let numbers = (sent.len()..sent.len() + 20).map(|n| n - usize::from(n % 5 == 4));
            let wave: Vec<Sample> = numbers.map(|n| valid(&format!("k-{n}"), "1.0")).collect();
            let accepted = messages::send(&clients, &outputs.queue_url, &wave, |_| {}).await;
            sent.extend(accepted.unwrap());
            // Otherwise the queue would grow without end.
            wait_until("few messages wait", async || {
                let depth = survey::depth(&clients, &outputs.queue_url).await.unwrap();
                depth.visible < 40
            })
            .await;
        }
        sent
    };
    let (sent, ()) = tokio::join!(sending, stirring);
    let is_quiet = until_quiet(&mut stack, sent.len(), Progress::Silent).await;
    assert!(is_quiet.unwrap());
    let found = survey::survey(&clients, &outputs).await.unwrap();
    let report = oracle::judge(&sent, &found);
    assert_kept(&report);
    assert!(report.counts.duplicates > 0 && report.counts.repeated > 0);
    stack.stop().await;
}
