//! Each function's role, tried: what it was not given is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
};

use onewrite_local::{
    emulator::REGION,
    progress::Progress,
    python::{self, Interpreter},
    stack::Stack,
    workspace::Workspace,
};
use serde_json::json;

use super::options;

const SCRIPT: &str = include_str!("least_privilege.py");

/// Of the actions that are tried, those that each role was given.
const GIVEN: [(&str, &[&str]); 3] = [
    (
        "ingest",
        &[
            "dynamodb:PutItem",
            "sqs:ReceiveMessage",
            "sqs:GetQueueAttributes",
        ],
    ),
    (
        "forward",
        &["kinesis:PutRecords", "s3:PutObject", "s3:ListBucket"],
    ),
    (
        "complete",
        &[
            "dynamodb:UpdateItem",
            "kinesis:DescribeStreamSummary",
            "kinesis:ListShards",
            "s3:PutObject",
            "s3:ListBucket",
        ],
    ),
];

/// The codes by which the services say that an action is not allowed.
const REFUSED: [&str; 3] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
];

/// How each action ended, by role. By the emulator's own boto3, which knows every service there is.
async fn tried(stack: &Stack) -> BTreeMap<String, BTreeMap<String, String>> {
    let interpreter = Interpreter::find().await.unwrap();
    let workspace = Workspace::here();
    let packages =
        python::environment(&workspace, &interpreter, python::EMULATOR, Progress::Silent);
    let program = packages.await.unwrap().program("python");
    let outputs = stack.outputs();
    let at = json!({
        "table": outputs.table, "stream": outputs.stream, "bucket": outputs.failure_bucket,
        "queue": outputs.queue_url, "dead_letter_queue": outputs.dead_letter_queue_url,
        "ingest": outputs.ingest, "forward": outputs.forward, "complete": outputs.complete,
    });
    let credentials = stack.credentials();
    let mut script = Command::new(program)
        .args(["-c", SCRIPT])
        .env("AWS_ENDPOINT_URL", stack.endpoint())
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = script.stdin.take().unwrap();
    input.write_all(at.to_string().as_bytes()).unwrap();
    drop(input);
    let output = tokio::task::spawn_blocking(|| script.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_was_not_given_is_refused() {
    let stack = Stack::start(options("roles")).await.unwrap();
    let ends = tried(&stack).await;
    assert_eq!(ends.len(), GIVEN.len());
    for (role, given) in GIVEN {
        let given: BTreeSet<&str> = given.iter().copied().collect();
        let (refused, others): (BTreeMap<&str, &str>, BTreeMap<&str, &str>) = ends[role]
            .iter()
            .map(|(action, end)| (action.as_str(), end.as_str()))
            .partition(|(_, end)| REFUSED.contains(end));
        let allowed: BTreeSet<&str> = others.keys().copied().collect();
        assert_eq!(allowed, given, "{role}: {others:?}");
        // It was allowed, and it worked: a wrong call could have failed before anybody was asked.
        assert!(others.values().all(|end| *end == "done"), "{others:?}");
        assert!(refused.len() >= 30, "{role}: {} refused", refused.len());
    }
    stack.stop().await;
}
