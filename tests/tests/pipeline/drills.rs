//! The runbook, followed: each alarm's cause is brought about, the alarm goes off, its section is done as it is written,
//! and the alarm ends. `infra/RUNBOOK.md` has a section for each alarm; here is a step for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_dynamodb::types::AttributeValue;
use onewrite_event_sources::{choices::Choices, outcome::Outcome};
use onewrite_local::{
    alarms::TimeScale,
    clients::Clients,
    event_sources::{Function, Invoked, Invoker},
    messages,
    sample::Sample,
    stack::{Stack, StackOptions},
    survey,
};
use onewrite_tests::settings::{redirect, set_variable};

use super::{
    PATIENCE, malformed,
    operator::{onewrite, trace},
    options, store, until_still, valid, wait_until,
};

/// A minute of an alarm is three seconds.
const SCALE: TimeScale = TimeScale(20);

/// Often enough that no period of an alarm is without one.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(700);

fn drill(name: &str) -> StackOptions {
    StackOptions {
        alarms: Some(SCALE),
        ..options(name)
    }
}

async fn state(stack: &Stack, alarm: &str) -> Option<StateValue> {
    let name = format!("onewrite-{alarm}");
    let described = stack
        .clients()
        .cloudwatch
        .describe_alarms()
        .alarm_names(&name)
        .send()
        .await
        .unwrap();
    let alarms = described.metric_alarms.unwrap_or_default();
    assert_eq!(alarms.len(), 1, "{name}");
    alarms[0].state_value.clone()
}

async fn goes_off(stack: &Stack, alarm: &str) {
    wait_until(&format!("{alarm} goes off"), async || {
        state(stack, alarm).await == Some(StateValue::Alarm)
    })
    .await;
}

async fn ends(stack: &Stack, alarm: &str) {
    wait_until(&format!("{alarm} ends"), async || {
        state(stack, alarm).await == Some(StateValue::Ok)
    })
    .await;
}

async fn send(stack: &Stack, messages: &[Sample]) {
    messages::send(
        stack.clients(),
        &stack.outputs().queue_url,
        messages,
        |_| {},
    )
    .await
    .unwrap();
}

/// Sends a new notification every now and then until the alarm has gone off; returns the ids.
async fn send_until_off(stack: &Stack, alarm: &str, prefix: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let sending = async {
        while state(stack, alarm).await != Some(StateValue::Alarm) {
            let id = format!("{prefix}-{}", ids.len());
            send(stack, &[valid(&id, "1")]).await;
            ids.push(id);
            tokio::time::sleep(BETWEEN_MESSAGES).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, sending).await;
    assert!(in_time.is_ok(), "waited in vain until {alarm} goes off");
    ids
}

/// Waits until these are DONE; fails with what the tool's trace says of one that is not.
async fn are_done(stack: &Stack, ids: &[String]) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(id) = not_done(stack, ids).await {
        if Instant::now() > deadline {
            let (_, said) = trace(stack, &id).await;
            panic!("waited in vain until {id} is DONE:\n{said}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One of these that is not DONE.
async fn not_done(stack: &Stack, ids: &[String]) -> Option<String> {
    let items = survey::items(stack.clients(), &stack.outputs().table).await;
    let items = items.unwrap();
    let is_done = |id: &str| {
        let of_id = items.iter().find(|item| item.id == id);
        of_id.is_some_and(|item| item.status == "DONE")
    };
    ids.iter().find(|id| !is_done(id)).cloned()
}

/// A command of the tool that has to succeed; what it says.
async fn runs(stack: &Stack, arguments: &[&str]) -> String {
    let (code, said, complaints) = onewrite(stack, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {said}{complaints}");
    said
}

/// An endpoint that speaks no TLS, asked for it: every call fails, at once.
fn unreachable_endpoint(stack: &Stack) -> String {
    stack.endpoint().replace("http://", "https://")
}

/// Lambda without concurrency to spare, while it is said so.
struct Throttling {
    inner: Arc<dyn Invoker>,
    is_on: Arc<AtomicBool>,
}

#[async_trait]
impl Invoker for Throttling {
    async fn invoke(&self, function: &Function, payload: String) -> Invoked {
        if self.is_on.load(Ordering::SeqCst) {
            return Invoked {
                outcome: Outcome::Throttled,
                request_id: None,
            };
        }
        self.inner.invoke(function, payload).await
    }
}

async fn delete_dead_letters(clients: &Clients, url: &str) {
    let purged = clients.sqs.purge_queue().queue_url(url).send().await;
    purged.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_of_what_comes_in() {
    let options = drill("drill-in").parameter("OldestMessageAlarmSeconds", "3");
    let mut stack = Stack::start(options).await.unwrap();
    let throttled = Arc::new(AtomicBool::new(false));
    let is_on = Arc::clone(&throttled);
    stack
        .start_event_sources(
            Some(Box::new(move |inner| Arc::new(Throttling { inner, is_on }))),
            Choices::default_outcomes(),
        )
        .await
        .unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    for alarm in ["DeadLetters", "Rejected", "Throttles", "Pending"] {
        ends(&stack, alarm).await;
    }

    // Rejected, Conflict, then Dead letters: upstream has put the id elsewhere, and used an id twice.
    send(&stack, &[valid("twice", "1")]).await;
    are_done(&stack, &["twice".to_owned()]).await;
    let elsewhere = malformed(r#"{"id": "moved", "payload": 1}"#);
    send(&stack, &[elsewhere, valid("twice", "2")]).await;
    goes_off(&stack, "Rejected").await;
    goes_off(&stack, "Conflict").await;
    goes_off(&stack, "DeadLetters").await;
    wait_until("both are dead letters", async || {
        let depth = survey::depth(&clients, &outputs.dead_letter_queue_url).await;
        depth.unwrap().visible == 2
    })
    .await;
    let said = runs(&stack, &["redrive", "dlq"]).await;
    assert!(
        said.contains("MissingId") && said.contains("conflict"),
        "{said}"
    );
    // By the settings of now it is a notification.
    let pointer = "NOTIFICATION_ID_POINTER";
    let before = set_variable(&clients, &outputs.ingest, pointer, "/id").await;
    runs(
        &stack,
        &["redrive", "dlq", "--id", "moved", "--apply", "--yes"],
    )
    .await;
    are_done(&stack, &["moved".to_owned()]).await;
    set_variable(
        &clients,
        &outputs.ingest,
        pointer,
        &before.unwrap().unwrap(),
    )
    .await
    .unwrap();
    // The conflict: the stored content was right.
    let (_, said) = trace(&stack, "twice").await;
    assert!(said.contains("DONE"), "{said}");
    delete_dead_letters(&clients, &outputs.dead_letter_queue_url).await;
    for alarm in ["Rejected", "Conflict", "DeadLetters"] {
        ends(&stack, alarm).await;
    }

    // Ingest failed: the table does not answer. Some become dead letters, and come back.
    let bad = unreachable_endpoint(&stack);
    redirect(&clients, &outputs.ingest, "DYNAMODB", &bad)
        .await
        .unwrap();
    let failed = send_until_off(&stack, "IngestFailed", "failed").await;
    goes_off(&stack, "DeadLetters").await;
    redirect(&clients, &outputs.ingest, "DYNAMODB", &stack.endpoint())
        .await
        .unwrap();
    wait_until("what is left of them is stored", async || {
        survey::depth(&clients, &outputs.queue_url)
            .await
            .unwrap()
            .total()
            == 0
    })
    .await;
    runs(
        &stack,
        &[
            "redrive",
            "dlq",
            "--reason",
            "NotStored",
            "--apply",
            "--yes",
        ],
    )
    .await;
    are_done(&stack, &failed).await;
    ends(&stack, "IngestFailed").await;
    ends(&stack, "DeadLetters").await;

    // Ingest errors: a setting it cannot start with.
    let before = set_variable(&clients, &outputs.ingest, pointer, "no pointer").await;
    let errors = send_until_off(&stack, "IngestErrors", "errors").await;
    set_variable(
        &clients,
        &outputs.ingest,
        pointer,
        &before.unwrap().unwrap(),
    )
    .await
    .unwrap();
    are_done(&stack, &errors).await;
    ends(&stack, "IngestErrors").await;

    // Throttles: for as long as it takes, then concurrency is raised.
    throttled.store(true, Ordering::SeqCst);
    let refused = send_until_off(&stack, "Throttles", "refused").await;
    throttled.store(false, Ordering::SeqCst);
    are_done(&stack, &refused).await;
    ends(&stack, "Throttles").await;

    // Oldest message: paused. A poll that is under way may still take the first.
    stack.event_sources().unwrap().disable();
    let paused = send_until_off(&stack, "OldestMessage", "paused").await;
    let said = runs(&stack, &["status"]).await;
    assert!(said.contains("OldestMessage"), "{said}");
    stack.event_sources().unwrap().enable();
    are_done(&stack, &paused).await;
    ends(&stack, "OldestMessage").await;
    stack.stop().await;
}

/// Looks for what stays in INIT until `id` is DONE: an alarm can go off sooner than an item is old enough to be found.
async fn reconcile(stack: &Stack, id: &str) {
    const RECONCILE: [&str; 5] = [
        "reconcile",
        "--pending-older-than",
        "1s",
        "--apply",
        "--yes",
    ];
    wait_until(&format!("{id} is DONE by reconciling"), async || {
        runs(stack, &RECONCILE).await;
        not_done(stack, &[id.to_owned()]).await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_of_what_is_published() {
    let options = drill("drill-forward").parameter("IteratorAgeAlarmMilliseconds", "1000");
    let mut stack = Stack::start(options).await.unwrap();
    stack
        .start_event_sources(None, Choices::default_outcomes())
        .await
        .unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());

    // Unpublished, and with it Forward iterator age: Kinesis does not answer.
    let bad = unreachable_endpoint(&stack);
    redirect(&clients, &outputs.forward, "KINESIS", &bad)
        .await
        .unwrap();
    let held = send_until_off(&stack, "Unpublished", "held").await;
    goes_off(&stack, "ForwardIteratorAge").await;
    redirect(&clients, &outputs.forward, "KINESIS", &stack.endpoint())
        .await
        .unwrap();
    are_done(&stack, &held).await;
    ends(&stack, "Unpublished").await;
    ends(&stack, "ForwardIteratorAge").await;

    // Complete iterator age: what is tried again and again grows old.
    redirect(&clients, &outputs.complete, "DYNAMODB", &bad)
        .await
        .unwrap();
    send(&stack, &[valid("old", "1")]).await;
    goes_off(&stack, "CompleteIteratorAge").await;
    redirect(&clients, &outputs.complete, "DYNAMODB", &stack.endpoint())
        .await
        .unwrap();
    are_done(&stack, &["old".to_owned()]).await;
    ends(&stack, "CompleteIteratorAge").await;

    // Forward errors: a setting it cannot start with.
    let before = set_variable(&clients, &outputs.forward, "STREAM_NAME", "").await;
    send(&stack, &[valid("late", "1")]).await;
    goes_off(&stack, "ForwardErrors").await;
    set_variable(
        &clients,
        &outputs.forward,
        "STREAM_NAME",
        &before.unwrap().unwrap(),
    )
    .await
    .unwrap();
    are_done(&stack, &["late".to_owned()]).await;
    ends(&stack, "ForwardErrors").await;

    // Unreadable: somebody has taken an item's payload away, and its event with it. It is restored, and asked for.
    stack.event_sources().unwrap().disable();
    until_still(&stack).await;
    store(&clients, &outputs.table, &["edited".to_owned()]).await;
    edit(
        &clients,
        &outputs.table,
        "ADD redrives :one REMOVE payload",
        (":one", AttributeValue::N("1".to_owned())),
    )
    .await;
    stack.event_sources().unwrap().enable();
    goes_off(&stack, "Unreadable").await;
    let (_, said) = trace(&stack, "edited").await;
    assert!(said.contains("edited by hand"), "{said}");
    edit(
        &clients,
        &outputs.table,
        "SET payload = :payload",
        (":payload", AttributeValue::S("{\"n\": 1.0}".to_owned())),
    )
    .await;
    reconcile(&stack, "edited").await;
    ends(&stack, "Unreadable").await;
    stack.stop().await;
}

/// Edits the item `edited`.
async fn edit(
    clients: &Clients,
    table: &str,
    expression: &str,
    (name, value): (&str, AttributeValue),
) {
    clients
        .dynamodb
        .update_item()
        .table_name(table)
        .key("notification_id", AttributeValue::S("edited".to_owned()))
        .update_expression(expression)
        .expression_attribute_values(name, value)
        .send()
        .await
        .unwrap();
}

/// Deletes all objects, with the versions that the bucket keeps of them.
async fn empty(clients: &Clients, bucket: &str) {
    let listed = clients
        .s3
        .list_object_versions()
        .bucket(bucket)
        .send()
        .await;
    let listed = listed.unwrap();
    let versions = listed.versions.unwrap_or_default().into_iter();
    let markers = listed.delete_markers.unwrap_or_default().into_iter();
    let all = versions
        .map(|version| (version.key, version.version_id))
        .chain(markers.map(|marker| (marker.key, marker.version_id)));
    for (key, version) in all {
        let delete = clients.s3.delete_object().bucket(bucket);
        let delete = delete.set_key(key).set_version_id(version);
        delete.send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_of_what_is_accepted() {
    let options = drill("drill-complete")
        .parameter("CompleteMaximumRetryAttempts", "0")
        .parameter("IteratorAgeAlarmMilliseconds", "1000")
        .parameter("PendingAlarmCount", "2");
    let mut stack = Stack::start(options).await.unwrap();
    stack
        .start_event_sources(None, Choices::default_outcomes())
        .await
        .unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());

    // Complete failed: the downstream does not accept. Given up, Failure bucket and Pending follow.
    let bad = unreachable_endpoint(&stack);
    redirect(&clients, &outputs.complete, "DYNAMODB", &bad)
        .await
        .unwrap();
    let failed = send_until_off(&stack, "CompleteFailed", "failed").await;
    for alarm in ["GivenUp", "FailureBucket", "Pending"] {
        goes_off(&stack, alarm).await;
    }
    let (_, said) = trace(&stack, &failed[0]).await;
    assert!(said.contains("given up"), "{said}");
    redirect(&clients, &outputs.complete, "DYNAMODB", &stack.endpoint())
        .await
        .unwrap();
    until_still(&stack).await;
    runs(&stack, &["redrive", "failures", "--apply", "--yes"]).await;
    are_done(&stack, &failed).await;
    let said = runs(&stack, &["redrive", "failures"]).await;
    assert!(said.contains("Nothing to redrive."), "{said}");
    empty(&clients, &outputs.failure_bucket).await;
    for alarm in ["CompleteFailed", "GivenUp", "FailureBucket", "Pending"] {
        ends(&stack, alarm).await;
    }

    // Complete errors: a setting it cannot start with. What is given up meanwhile has nowhere to go: Dropped.
    let bucket = &outputs.failure_bucket;
    clients
        .s3
        .delete_bucket()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    let before = set_variable(&clients, &outputs.complete, "TABLE_NAME", "").await;
    send(&stack, &[valid("dropped", "1")]).await;
    goes_off(&stack, "CompleteErrors").await;
    goes_off(&stack, "Dropped").await;
    clients
        .s3
        .create_bucket()
        .bucket(bucket)
        .send()
        .await
        .unwrap();
    set_variable(
        &clients,
        &outputs.complete,
        "TABLE_NAME",
        &before.unwrap().unwrap(),
    )
    .await
    .unwrap();
    reconcile(&stack, "dropped").await;
    ends(&stack, "CompleteErrors").await;
    ends(&stack, "Dropped").await;
    stack.stop().await;
}
