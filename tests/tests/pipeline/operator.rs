//! The operator's tool beside a whole stack: what it says of a notification in each place it can be in.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use onewrite::{event::NotificationEvent, item::NotificationItem};
use onewrite_local::{
    emulator::REGION, messages, oracle::Meaning, sample::Sample, stack::Stack, survey,
    workspace::Workspace,
};
use serde_json::Value;
use tokio::process::Command;

use super::{malformed, options, start_event_sources, store, valid, wait_until};

/// The tool, to be run on the stack.
pub(super) async fn command(stack: &Stack, arguments: &[&str]) -> Command {
    let credentials = stack.credentials();
    let mut command = Command::new(tool(stack).await);
    command
        .args(["--endpoint-url", &stack.endpoint(), "--region", REGION])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
        .kill_on_drop(true);
    command
}

/// Runs the tool on the stack; its exit code, its answer and its complaints.
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

/// The tool's binary, built once for each stack and kept beside it: dozens of calls need not ask cargo each time.
async fn tool(stack: &Stack) -> PathBuf {
    let tool = stack.directory().join("onewrite");
    if !tool.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--message-format=json"])
            .args(["--package", "onewrite-operator", "--bin", "onewrite"])
            .current_dir(Workspace::here().root())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let messages = String::from_utf8(built.stdout).unwrap();
        let executable = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).unwrap();
            Some(message["executable"].as_str()?.to_owned())
        });
        std::fs::copy(executable.expect("the tool is built"), &tool).unwrap();
    }
    tool
}

pub(super) async fn trace(stack: &Stack, id: &str) -> (i32, String) {
    let (code, said, complaints) = onewrite(stack, &["trace", id]).await;
    assert_eq!(complaints, "", "{id}");
    (code, said)
}

/// Puts the event of a stored item into the stream, as `forward` would.
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
        .data(Blob::new(NotificationEvent::of_item(&item).to_json()))
        .send()
        .await
        .unwrap();
}

/// Edits an item by hand: in another version than its event tells of, no event of it can be completed.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_says_where_a_notification_is_and_a_redrive_brings_it_on() {
    let options = options("trace").parameter("CompleteMaximumRetryAttempts", "0");
    let mut stack = Stack::start(options).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());

    let (code, said) = trace(&stack, "nobody-s").await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("not seen in the queue"), "{said}");

    store(
        &clients,
        &outputs.table,
        &["slow".to_owned(), "spoilt".to_owned()],
    )
    .await;
    let (code, said) = trace(&stack, "slow").await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("stored        INIT"), "{said}");
    assert!(said.contains("Stored, not published"), "{said}");
    publish(&stack, "slow").await;
    let (_, said) = trace(&stack, "slow").await;
    assert!(said.contains("published     slow/INIT, shardId-"), "{said}");
    assert!(
        said.contains("Published, not DONE. Safe to redrive."),
        "{said}"
    );

    set_version(&stack, "spoilt", 7).await;
    let _recorder = start_event_sources(&mut stack).await;
    let conflicting = Sample {
        meaning: Meaning::Malformed,
        ..valid("refund-1", "2")
    };
    let first = [valid("refund-1", "1")];
    messages::send(&clients, &outputs.queue_url, &first, |_| {})
        .await
        .unwrap();
    wait_until("the first is stored", async || {
        let items = survey::items(&clients, &outputs.table).await.unwrap();
        items
            .iter()
            .any(|item| item.id == "refund-1" && item.status == "DONE")
    })
    .await;
    let others = [
        conflicting,
        malformed(r#"{"notification_id": "refund-2", "payload":"#),
    ];
    messages::send(&clients, &outputs.queue_url, &others, |_| {})
        .await
        .unwrap();
    let dead = async || {
        let depth = survey::depth(&clients, &outputs.dead_letter_queue_url).await;
        depth.unwrap()
    };
    wait_until("both are dead letters", async || dead().await.visible == 2).await;
    wait_until("the spoilt one was given up", async || {
        let objects = clients.s3.list_objects_v2().bucket(&outputs.failure_bucket);
        objects.send().await.unwrap().key_count() == Some(1)
    })
    .await;

    let (_, said) = trace(&stack, "slow").await;
    assert!(said.contains("DONE: one accepted effect."), "{said}");
    assert!(
        said.contains("repeated      slow/INIT"),
        "by hand, and by forward: {said}"
    );
    let (_, said) = trace(&stack, "refund-1").await;
    assert!(said.contains("dead letter   message "), "{said}");
    assert!(said.contains("say something else: 1"), "{said}");
    let (code, said) = trace(&stack, "refund-2").await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("rejected: InvalidJson"), "{said}");
    assert!(said.contains("Never stored"), "{said}");
    let (_, said) = trace(&stack, "spoilt").await;
    assert!(said.contains("given up      "), "{said}");
    assert!(
        said.contains("RetryAttemptsExhausted after 1 attempts"),
        "{said}"
    );
    assert!(said.contains("then redrive"), "{said}");

    let (code, said, _) = onewrite(&stack, &["--output", "json", "trace", "spoilt"]).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["place"]), (0, &"Failed".into()));
    assert_eq!(answer["failures"].as_array().unwrap().len(), 1);
    assert_eq!(dead().await.visible, 2, "looking has put back what it took");

    let (code, said, _) = onewrite(&stack, &["status", "--count"]).await;
    assert_eq!(code, 0, "{said}");
    for row in [
        "dead letters    ~2 waiting",
        "failure bucket  1 objects",
        "DONE            2 items",
        "INIT            1 items",
        "oldest INIT     ",
        "forward         Disabled, no data since ",
    ] {
        assert!(said.contains(row), "{row}: {said}");
    }

    set_version(&stack, "spoilt", 1).await;
    let redrive = ["redrive", "failures", "--id", "spoilt"];
    let (code, said, _) = onewrite(&stack, &redrive).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.ends_with(" redrive failures --id spoilt --apply\n"),
        "{said}"
    );
    let (_, said) = trace(&stack, "spoilt").await;
    assert!(said.contains("then redrive"), "nothing was changed: {said}");
    let (code, said, _) = onewrite(&stack, &["redrive", "failures", "--yes"]).await;
    assert_eq!(
        (code, said.contains("1 of 1 redriven")),
        (0, true),
        "{said}"
    );
    wait_until("it is DONE", async || {
        trace(&stack, "spoilt")
            .await
            .1
            .contains("DONE: one accepted effect.")
    })
    .await;
    let (_, said, _) = onewrite(&stack, &redrive).await;
    assert!(said.contains("Nothing to redrive."), "{said}");
    let (code, _, complaint) = onewrite(&stack, &["redrive", "failures", "--id", "slow"]).await;
    assert_eq!(
        (code, complaint.as_str()),
        (3, "slow is in no failure record\n")
    );

    let (code, _, complaint) = onewrite(&stack, &["--stack", "other", "trace", "x"]).await;
    assert_eq!(code, 1);
    assert!(
        complaint.contains("there is no stack \"other\" in us-east-1"),
        "{complaint}"
    );
    stack.stop().await;
}
