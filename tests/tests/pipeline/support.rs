//! Helpers that the end-to-end tests share.

use std::{
    collections::{BTreeMap, HashMap},
    process::Command,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem, PayloadCompression, to_millis},
    notification::MessagePointers,
};
use onewrite_event_sources::choices::Choices;
use onewrite_local::{
    clients::Clients,
    emulator::{Credentials, REGION},
    oracle::{Meaning, Report},
    profile::Profile,
    progress::Progress,
    python::Environment,
    sample::Sample,
    settled::wait_until_settled,
    stack::{Stack, StackOptions},
};
use onewrite_tests::recorder::Recorder;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Stands for customer data: it may be stored, queued and streamed, but never logged.
pub(super) const CANARY: &str = "canary-5d1f9a";

/// How long a test waits for a condition before it fails.
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs a script with boto3, which the emulator brings along. It calls AWS services that no test has an SDK crate for.
pub(super) fn boto3(
    environment: &Environment,
    endpoint: String,
    credentials: &Credentials,
    script: &str,
) -> Command {
    let mut command = Command::new(environment.program("python"));
    command
        .args(["-c", script])
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    command
}

/// The pause before the next look at a condition: a tenth of the time since the first one. Each look needs CPU time of the emulator or
/// of the browser, which the tests beside this one need too.
pub(super) fn pause(since: Instant) -> Duration {
    (since.elapsed() / 10).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

pub(super) async fn wait_until<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let since = Instant::now();
    let poll = async {
        while !condition().await {
            tokio::time::sleep(pause(since)).await;
        }
    };
    let in_time = tokio::time::timeout(TIMEOUT, poll).await;
    assert!(in_time.is_ok(), "timed out waiting until {what}");
}

/// Waits until no poller has work in flight. A long poll that waits for messages may still be open.
pub(super) async fn wait_until_idle(stack: &Stack) {
    wait_until("the pollers are idle", async || {
        stack.event_sources().unwrap().is_idle()
    })
    .await;
}

/// Waits until the pipeline has processed everything that was sent.
pub(super) async fn settle(stack: &mut Stack, sent: usize) {
    let is_settled = wait_until_settled(stack, sent, Progress::Silent).await;
    assert!(is_settled.unwrap(), "the pipeline is stuck with work left");
}

/// Options of a stack whose event sources the test starts itself.
pub(super) fn options(name: &str) -> StackOptions {
    StackOptions {
        event_sources: false,
        profile: Profile::ReleaseDirect,
        ..StackOptions::new(name)
    }
}

/// The same, deployed by `sam deploy` as on AWS.
pub(super) fn sam_options(name: &str) -> StackOptions {
    StackOptions {
        profile: Profile::Release,
        ..options(name)
    }
}

pub(super) async fn start(options: StackOptions) -> (Stack, Recorder) {
    let mut stack = Stack::start(options).await.unwrap();
    let recorder = start_event_sources(&mut stack).await;
    (stack, recorder)
}

pub(super) async fn start_event_sources(stack: &mut Stack) -> Recorder {
    let recorder = Recorder::default();
    stack
        .start_event_sources(Some(recorder.decorator()), Choices::default_outcomes())
        .await
        .unwrap();
    recorder
}

pub(super) fn valid(id: &str, payload: &str) -> Sample {
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

pub(super) fn malformed(body: impl Into<String>) -> Sample {
    Sample {
        body: body.into(),
        meaning: Meaning::Malformed,
    }
}

pub(super) fn assert_no_violations(report: &Report) {
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

/// The receive counts of each message in the invocations of `ingest`, by message id.
pub(super) fn receive_counts(stack: &Stack, recorder: &Recorder) -> BTreeMap<String, Vec<u32>> {
    let mut receives: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for invocation in recorder.invocations(&stack.outputs().ingest) {
        let ids = invocation.texts("/messageId");
        let counts = invocation.texts("/attributes/ApproximateReceiveCount");
        for (id, count) in ids.into_iter().zip(counts) {
            receives.entry(id).or_default().push(count.parse().unwrap());
        }
    }
    receives
}

/// Writes items as `ingest` would, at once, so that they arrive in one batch of the table's stream.
pub(super) async fn store(clients: &Clients, table: &str, ids: &[String]) {
    for id in ids {
        store_item(clients, table, &valid(id, "{\"n\": 1.0}"), Timestamp::now()).await;
    }
}

/// Writes the item of a message as `ingest` would at this time.
pub(super) async fn store_item(
    clients: &Clients,
    table: &str,
    message: &Sample,
    created_at: Timestamp,
) {
    let notification = MessagePointers::default().parse(&message.body);
    let (enrichment, at) = (Enrichment::default(), to_millis(created_at));
    let item = NotificationItem::new(
        notification.unwrap(),
        &enrichment,
        "m".to_owned(),
        None,
        at,
        PayloadCompression::Auto,
    );
    let attributes: HashMap<String, AttributeValue> = item.unwrap().to_item().into();
    let put = clients.dynamodb.put_item().table_name(table);
    put.set_item(Some(attributes)).send().await.unwrap();
}

/// Text that no compression makes smaller than three quarters of its length.
pub(super) fn noise(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    StdRng::seed_from_u64(19).fill_bytes(&mut random);
    let mut text = BASE64_STANDARD.encode(random);
    text.truncate(bytes);
    text
}

/// Runs a command to its end. Returns its exit code and all output.
pub(super) async fn run_to_end(mut command: tokio::process::Command) -> (Option<i32>, String) {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let written = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(written).unwrap())
}
