//! Each function's role is denied everything that it does not need.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_local::{python::Interpreter, stack::Stack};
use onewrite_tests::script;
use serde_json::{Value, json};

use super::support::{boto3, options};

const SCRIPT: &str = include_str!("least_privilege.py");

/// The tested actions that each role allows.
const ALLOWED: [(&str, &[&str]); 3] = [
    (
        "ingest",
        &[
            "dynamodb:PutItem",
            "sqs:ReceiveMessage",
            "sqs:GetQueueAttributes",
            "sqs:ChangeMessageVisibility",
        ],
    ),
    (
        "forward",
        &["kinesis:PutRecords", "s3:PutObject", "s3:ListBucket"],
    ),
    (
        "complete",
        &[
            "dynamodb:BatchGetItem",
            "dynamodb:UpdateItem",
            "kinesis:DescribeStreamSummary",
            "kinesis:ListShards",
            "s3:PutObject",
            "s3:ListBucket",
        ],
    ),
];

/// The error codes of a denied action.
const DENIED: [&str; 3] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
];

/// Tries every action with every role; returns the results by role and action.
async fn try_actions(stack: &Stack) -> BTreeMap<String, BTreeMap<String, String>> {
    let outputs = stack.outputs();
    let resources = json!({
        "table": outputs.table, "stream": outputs.stream, "bucket": outputs.failure_bucket,
        "queue": outputs.queue_url, "dead_letter_queue": outputs.dead_letter_queue_url,
        "ingest": outputs.ingest, "forward": outputs.forward, "complete": outputs.complete,
    });
    let results = run_script(stack, SCRIPT, &resources).await;
    serde_json::from_slice(&results).unwrap()
}

/// Runs a Python script with this input and returns its output. It has the emulator's boto3, which supports every service.
pub(super) async fn run_script(stack: &Stack, code: &'static str, input: &Value) -> Vec<u8> {
    let environment = script::python(&Interpreter::find().await.unwrap())
        .await
        .unwrap();
    let command = boto3(&environment, stack.endpoint(), stack.credentials(), code);
    let input = input.clone();
    let output = tokio::task::spawn_blocking(move || script::run(command, &input));
    output.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_denied_every_action_they_do_not_need() {
    let stack = Stack::start(options("roles")).await.unwrap();
    let results = try_actions(&stack).await;
    assert_eq!(results.len(), ALLOWED.len());
    for (role, expected) in ALLOWED {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        let (denied, others): (BTreeMap<&str, &str>, BTreeMap<&str, &str>) = results[role]
            .iter()
            .map(|(action, result)| (action.as_str(), result.as_str()))
            .partition(|(_, result)| DENIED.contains(result));
        let allowed: BTreeSet<&str> = others.keys().copied().collect();
        assert_eq!(allowed, expected, "{role}: {others:?}");
        // Allowed calls must succeed: an invalid call could fail before its authorization.
        assert!(
            others.values().all(|result| *result == "done"),
            "{others:?}"
        );
        assert!(denied.len() >= 30, "{role}: {} denied", denied.len());
    }
    stack.stop().await;
}
