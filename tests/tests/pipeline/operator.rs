//! The operator's tool on a deployed stack: the trace of a notification in each place, and the redrive of failures.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use onewrite::{event::NotificationEvent, item::NotificationItem};
use onewrite_local::{
    emulator::REGION, inspect, messages, oracle::Meaning, sample::Sample, stack::Stack,
};
use onewrite_tests::cargo::build;
use serde_json::{Value, json};
use tokio::{process::Command, sync::OnceCell};

use super::support::{malformed, options, start_event_sources, store, valid, wait_until};

/// A call of the tool on the stack.
pub(super) async fn command(stack: &Stack, arguments: &[&str]) -> Command {
    let credentials = stack.credentials();
    let mut command = Command::new(tool().await);
    command
        .args(["--endpoint-url", &stack.endpoint(), "--region", REGION])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
        .kill_on_drop(true);
    command
}

/// Runs the tool on the stack and returns its exit code, standard output and standard error.
pub(super) async fn onewrite(stack: &Stack, arguments: &[&str]) -> (i32, String, String) {
    let output = command(stack, arguments).await.output().await.unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The path of the tool's binary. It is built once, so that hundreds of calls do not run cargo.
async fn tool() -> &'static Path {
    static TOOL: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async || {
        let built = tokio::task::spawn_blocking(|| build("onewrite-operator", "onewrite"));
        built.await.unwrap()
    };
    TOOL.get_or_init(build).await
}

/// Runs `onewrite trace`, which must write nothing to standard error.
pub(super) async fn trace(stack: &Stack, id: &str) -> (i32, String) {
    let (code, stdout, stderr) = onewrite(stack, &["trace", id]).await;
    assert_eq!(stderr, "", "{id}");
    (code, stdout)
}

/// Publishes the event of a stored item, as `forward` does.
async fn publish(stack: &Stack, id: &str) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let item = clients
        .dynamodb
        .get_item()
        .table_name(&outputs.table)
        .key("notification_id", AttributeValue::S(id.to_owned()))
        .send()
        .await
        .unwrap();
    let item = NotificationItem::from_item(&item.item.unwrap().into()).unwrap();
    clients
        .kinesis
        .put_record()
        .stream_name(&outputs.stream)
        .partition_key(id)
        .data(Blob::new(NotificationEvent::from_item(&item).to_json()))
        .send()
        .await
        .unwrap();
}

/// Edits the version of an item by hand. `complete` cannot complete an event whose version differs from the item's.
pub(super) async fn set_version(stack: &Stack, id: &str, version: u32) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    clients
        .dynamodb
        .update_item()
        .table_name(&outputs.table)
        .key("notification_id", AttributeValue::S(id.to_owned()))
        .update_expression("SET version = :version")
        .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
        .send()
        .await
        .unwrap();
}

/// Asserts that the trace of a notification has this exit code and contains all of these texts.
async fn assert_trace(stack: &Stack, id: &str, expected_code: i32, expected: &[&str]) {
    let (code, stdout) = trace(stack, id).await;
    assert_eq!(code, expected_code, "{stdout}");
    for text in expected {
        assert!(stdout.contains(text), "{text}: {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_notifications_in_every_place_and_redrives_failures() {
    let options = options("trace").parameter("CompleteMaximumRetryAttempts", "0");
    let mut stack = Stack::start(options).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());

    let (code, stdout) = trace(&stack, "unknown").await;
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("cannot be inspected"), "{stdout}");

    let ids = ["slow", "edited"].map(str::to_owned);
    store(&clients, &outputs.table, &ids).await;
    let stored = ["stored        INIT", "Stored, not published"];
    assert_trace(&stack, "slow", 10, &stored).await;
    publish(&stack, "slow").await;
    let published = [
        "published     slow/INIT, shardId-",
        "Published, not settled. Safe to redrive.",
    ];
    assert_trace(&stack, "slow", 11, &published).await;

    set_version(&stack, "edited", 7).await;
    let _recorder = start_event_sources(&mut stack).await;
    send_dead_letters(&stack).await;
    wait_until("Lambda gave up on the edited item", async || {
        let objects = clients.s3.list_objects_v2().bucket(&outputs.failure_bucket);
        objects.send().await.unwrap().key_count() == Some(1)
    })
    .await;

    traces_final_places(&stack).await;
    shows_status(&stack).await;
    redrives_the_failure(&stack).await;
    redrives_a_lost_event_of_done_once(&stack).await;
    erases_a_settled_notification(&stack).await;

    let (code, _, stderr) = onewrite(&stack, &["--stack", "other", "trace", "x"]).await;
    assert_eq!(code, 1);
    assert!(
        stderr.contains("stack \"other\" does not exist in us-east-1"),
        "{stderr}"
    );
    stack.stop().await;
}

async fn count_dead_letters(stack: &Stack) -> usize {
    let queue_url = &stack.outputs().dead_letter_queue_url;
    let depth = inspect::read_queue_depth(stack.clients(), queue_url).await;
    depth.unwrap().waiting
}

/// Sends a notification, then a conflicting one and an invalid one, and waits until the last two are dead letters.
async fn send_dead_letters(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let conflicting = Sample {
        meaning: Meaning::Malformed,
        ..valid("refund-1", "2")
    };
    let first = [valid("refund-1", "1")];
    messages::send(clients, &outputs.queue_url, &first, |_| {})
        .await
        .unwrap();
    wait_until("the first notification is DONE", async || {
        let items = inspect::read_items(clients, &outputs.table).await.unwrap();
        items
            .iter()
            .any(|item| item.id == "refund-1" && item.status == "DONE")
    })
    .await;
    let others = [
        conflicting,
        malformed(r#"{"notification_id": "refund-2", "payload":"#),
    ];
    messages::send(clients, &outputs.queue_url, &others, |_| {})
        .await
        .unwrap();
    wait_until("both messages are dead letters", async || {
        count_dead_letters(stack).await == 2
    })
    .await;
}

async fn traces_final_places(stack: &Stack) {
    // Published by the test, and again by forward.
    let done = ["DONE: one accepted effect.", "repeated      slow/INIT"];
    assert_trace(stack, "slow", 0, &done).await;
    let conflict = [
        "dead letter   message ",
        "error         ingest: conflict: ",
        "different content: 1",
    ];
    assert_trace(stack, "refund-1", 0, &conflict).await;
    let invalid = ["rejected: InvalidJson", "Never stored"];
    assert_trace(stack, "refund-2", 13, &invalid).await;
    let failed = [
        "error         complete: VersionMismatch: ",
        "given up      ",
        "RetryAttemptsExhausted after 1 attempts",
        "then redrive",
    ];
    assert_trace(stack, "edited", 12, &failed).await;

    let (code, stdout, _) = onewrite(stack, &["--output", "json", "trace", "edited"]).await;
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["place"]), (12, &"Failed".into()));
    assert_eq!(report["failures"].as_array().unwrap().len(), 1);
    let dead_letters = count_dead_letters(stack).await;
    assert_eq!(dead_letters, 2, "inspected dead letters stay visible");
}

async fn shows_status(stack: &Stack) {
    let (code, stdout, _) = onewrite(stack, &["status", "--count"]).await;
    assert_eq!(code, 0, "{stdout}");
    for row in [
        "dead letters    ~2 waiting",
        "error           ingest: InvalidJson: ",
        "error           complete: VersionMismatch: ",
        "failure bucket  1 objects",
        "DONE            2 items",
        "INIT            1 items",
        "oldest INIT     ",
        "forward         Enabled\n",
    ] {
        assert!(stdout.contains(row), "{row}: {stdout}");
    }
    let (code, _, stderr) = onewrite(stack, &["redrive", "dlq", "--all"]).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("without --all"), "{stderr}");
}

async fn redrives_the_failure(stack: &Stack) {
    set_version(stack, "edited", 1).await;
    let preview = ["redrive", "failures", "--id", "edited"];
    let (code, stdout, _) = onewrite(stack, &preview).await;
    assert_eq!(code, 0, "{stdout}");
    assert!(
        stdout.ends_with(" redrive failures --id edited --apply\n"),
        "{stdout}"
    );
    // The preview changed nothing.
    assert_trace(stack, "edited", 12, &["then redrive"]).await;
    let (code, stdout, _) = onewrite(stack, &["redrive", "failures", "--yes"]).await;
    assert_eq!(
        (code, stdout.contains("1 of 1 redriven")),
        (0, true),
        "{stdout}"
    );
    wait_until("the edited item is DONE", async || {
        let (_, stdout) = trace(stack, "edited").await;
        stdout.contains("DONE: one accepted effect.")
    })
    .await;
    let (_, stdout, _) = onewrite(stack, &preview).await;
    assert!(stdout.contains("Nothing to redrive."), "{stdout}");
    let (code, _, stderr) = onewrite(stack, &["redrive", "failures", "--id", "slow"]).await;
    assert_eq!(
        (code, stderr.as_str()),
        (3, "slow is in no failure record\n")
    );
}

/// Writes an object to the failure bucket.
async fn put_failure(stack: &Stack, key: &str, text: String) {
    let put = stack.clients().s3.put_object();
    put.bucket(&stack.outputs().failure_bucket)
        .key(key)
        .body(text.into_bytes().into())
        .send()
        .await
        .unwrap();
}

/// Lambda gave up on the change to DONE, so its event was never published. An object that is no failure record is named.
async fn redrives_a_lost_event_of_done_once(stack: &Stack) {
    let image = json!({"status": {"S": "DONE"}});
    let keys = json!({"notification_id": {"S": "slow"}});
    let records = json!({"Records": [{"dynamodb": {"Keys": keys, "NewImage": image}}]});
    let failure = json!({
        "requestContext": {
            "functionArn": stack.outputs().forward,
            "condition": "RecordAgeExceeded",
            "approximateInvokeCount": 1,
        },
        "payload": records.to_string(),
    });
    put_failure(stack, "aws/lambda/lost", failure.to_string()).await;
    let redrive = ["redrive", "failures", "--id", "slow", "--yes"];
    let (code, stdout, _) = onewrite(stack, &redrive).await;
    assert_eq!(
        (code, stdout.contains("1 of 1 redriven")),
        (0, true),
        "{stdout}"
    );
    let (code, stdout, _) = onewrite(stack, &redrive).await;
    assert_eq!(
        (code, stdout.contains("0 of 1 redriven")),
        (0, true),
        "{stdout}"
    );

    put_failure(stack, "notes.txt", "not a failure record".to_owned()).await;
    let (code, _, stderr) = onewrite(stack, &redrive).await;
    assert_eq!((code, stderr.contains("notes.txt")), (1, true), "{stderr}");
}

async fn erases_a_settled_notification(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let preview = ["erase", "slow", "never-sent"];
    let (code, stdout, _) = onewrite(stack, &preview).await;
    assert_eq!(code, 3, "{stdout}");
    for line in [
        "would be erased    slow",
        "no item            never-sent",
        "35 days",
    ] {
        assert!(stdout.contains(line), "{line}: {stdout}");
    }
    let (code, stdout, _) = onewrite(stack, &["erase", "slow", "--yes"]).await;
    assert_eq!(
        (code, stdout.ends_with("1 erased.\n")),
        (0, true),
        "{stdout}"
    );
    let got = clients.dynamodb.get_item().table_name(&outputs.table);
    let id = AttributeValue::S("slow".to_owned());
    let item = got.key("notification_id", id).send().await.unwrap().item;
    let item = item.unwrap();
    assert!(!item.contains_key("payload") && item.contains_key("fingerprint"));
    let (code, stdout) = trace(stack, "slow").await;
    assert_eq!(
        (code, stdout.contains("erased        ")),
        (0, true),
        "{stdout}"
    );
}
