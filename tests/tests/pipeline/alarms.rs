//! Drills of the runbook, `docs/operating.md`, one for each alarm: cause the alarm, follow its section, and see the alarm
//! return to OK.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_dynamodb::types::AttributeValue;
use hyper::StatusCode;
use jiff::Timestamp;
use onewrite::item::to_rfc3339;
use onewrite_event_sources::{choices::Choices, invocation::InvocationOutcome};
use onewrite_local::{
    clients::Clients,
    event_sources::{Function, InvocationResult, Invoker},
    inspect,
    ledger_receiver::Behaviour,
    messages,
    sample::Sample,
    stack::{Stack, StackOptions},
};
use onewrite_tests::{
    alarms::{PENDING_COUNT, TimeScale, monitor::AlarmMonitor},
    settings::{redirect, set_variable},
};

use super::{
    operator::{onewrite, trace},
    support::{TIMEOUT, malformed, options, pause, store, valid, wait_until, wait_until_idle},
};

/// One minute of an alarm's period takes three seconds.
const SCALE: TimeScale = TimeScale(20);

/// Short enough that every period of an alarm has a message.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(700);

/// How long the receiver keeps its answer back, so that another consumer settles the notification first.
const REFUSAL_DELAY: Duration = Duration::from_millis(500);

/// Starts a stack and evaluates its alarms.
async fn start(options: StackOptions) -> (Stack, AlarmMonitor) {
    let stack = Stack::start(options).await.unwrap();
    let alarms = AlarmMonitor::start(&stack, SCALE).unwrap();
    (stack, alarms)
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

/// The alarms that do not fire.
async fn without_firing<'a>(stack: &Stack, alarms: &[&'a str]) -> Vec<&'a str> {
    let mut silent = Vec::new();
    for &alarm in alarms {
        if state(stack, alarm).await != Some(StateValue::Alarm) {
            silent.push(alarm);
        }
    }
    silent
}

/// Waits until each alarm has fired. The first one may be OK again before the last one fires.
async fn wait_for_alarms(stack: &Stack, alarms: &[&str]) {
    let missing = RefCell::new(alarms.to_vec());
    wait_until(&format!("each of {alarms:?} has fired"), async || {
        let rest = without_firing(stack, &missing.take()).await;
        let is_done = rest.is_empty();
        missing.replace(rest);
        is_done
    })
    .await;
}

async fn wait_for_alarm(stack: &Stack, alarm: &str) {
    wait_for_alarms(stack, &[alarm]).await;
}

async fn wait_for_ok(stack: &Stack, alarm: &str) {
    wait_until(&format!("{alarm} is OK"), async || {
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

/// Sends new notifications until each alarm has fired, and returns their ids. An alarm may be OK again before the last one
/// fires: its period goes on.
async fn send_until_alarms(stack: &Stack, alarms: &[&str], prefix: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut missing = alarms.to_vec();
    let sending = async {
        loop {
            missing = without_firing(stack, &missing).await;
            if missing.is_empty() {
                break;
            }
            let id = format!("{prefix}-{}", ids.len());
            send(stack, &[valid(&id, "1")]).await;
            ids.push(id);
            tokio::time::sleep(BETWEEN_MESSAGES).await;
        }
    };
    let in_time = tokio::time::timeout(TIMEOUT, sending).await;
    assert!(in_time.is_ok(), "waited in vain until {missing:?} fire");
    ids
}

/// Waits until these notifications are DONE. The failure message has the trace of one that is not.
async fn wait_until_done(stack: &Stack, ids: &[String]) {
    let since = Instant::now();
    while let Some(id) = find_not_done(stack, ids).await {
        if since.elapsed() > TIMEOUT {
            let (_, stdout) = trace(stack, &id).await;
            panic!("timed out waiting until {id} is DONE:\n{stdout}");
        }
        tokio::time::sleep(pause(since)).await;
    }
}

/// The first of these notifications that is not DONE.
async fn find_not_done(stack: &Stack, ids: &[String]) -> Option<String> {
    let items = inspect::read_items(stack.clients(), &stack.outputs().table).await;
    let items = items.unwrap();
    let is_done = |id: &str| {
        let of_id = items.iter().find(|item| item.id == id);
        of_id.is_some_and(|item| item.status == "DONE")
    };
    ids.iter().find(|id| !is_done(id)).cloned()
}

/// Runs a command of the operator's tool that must succeed; returns its output.
async fn run(stack: &Stack, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = onewrite(stack, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// The emulator does not speak TLS, so every call to this endpoint fails at once.
fn tls_endpoint(stack: &Stack) -> String {
    stack.endpoint().replace("http://", "https://")
}

/// Throttles every invocation while it is on.
struct ThrottlingInvoker {
    inner: Arc<dyn Invoker>,
    is_on: Arc<AtomicBool>,
}

#[async_trait]
impl Invoker for ThrottlingInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        if self.is_on.load(Ordering::SeqCst) {
            return InvocationResult {
                outcome: InvocationOutcome::Throttled,
                request_id: None,
            };
        }
        self.inner.invoke(function, payload).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runbook_resolves_alarms_of_ingest() {
    let options = options("drill-in").parameter("DelayAlarmSeconds", "3");
    let (mut stack, _alarms) = start(options).await;
    let is_throttled = Arc::new(AtomicBool::new(false));
    let is_on = Arc::clone(&is_throttled);
    stack
        .start_event_sources(
            Some(Box::new(move |inner| {
                Arc::new(ThrottlingInvoker { inner, is_on })
            })),
            Choices::default_outcomes(),
        )
        .await
        .unwrap();
    for alarm in ["DeadLetters", "Rejected", "Throttles", "Pending"] {
        wait_for_ok(&stack, alarm).await;
    }
    drill_rejected_and_conflict(&stack).await;
    drill_ingest_failed(&stack).await;
    drill_ingest_errors(&stack).await;

    // Throttles: raise the concurrency.
    is_throttled.store(true, Ordering::SeqCst);
    let throttled = send_until_alarms(&stack, &["Throttles"], "refused").await;
    is_throttled.store(false, Ordering::SeqCst);
    wait_until_done(&stack, &throttled).await;
    wait_for_ok(&stack, "Throttles").await;

    // OldestMessage: the event source is paused. A poll in flight may still receive the first message.
    stack.event_sources().unwrap().disable();
    let paused = send_until_alarms(&stack, &["OldestMessage"], "paused").await;
    let stdout = run(&stack, &["status"]).await;
    assert!(stdout.contains("OldestMessage"), "{stdout}");
    stack.event_sources().unwrap().enable();
    wait_until_done(&stack, &paused).await;
    wait_for_ok(&stack, "OldestMessage").await;
    stack.stop().await;
}

/// Rejected, Conflict, then DeadLetters: upstream moved the id to another field, and used an id twice.
async fn drill_rejected_and_conflict(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    send(stack, &[valid("twice", "1")]).await;
    wait_until_done(stack, &["twice".to_owned()]).await;
    let moved = malformed(r#"{"id": "moved", "payload": 1}"#);
    send(stack, &[moved, valid("twice", "2")]).await;
    let alarms = ["Rejected", "Conflict", "DeadLetters"];
    wait_for_alarms(stack, &alarms).await;
    wait_until("both are dead letters", async || {
        let depth = inspect::read_queue_depth(clients, &outputs.dead_letter_queue_url).await;
        depth.unwrap().waiting == 2
    })
    .await;
    let stdout = run(stack, &["redrive", "dlq"]).await;
    assert!(
        stdout.contains("MissingId") && stdout.contains("conflict"),
        "{stdout}"
    );
    // With the new pointer, the rejected message is a valid notification.
    let pointer = "NOTIFICATION_ID_POINTER";
    let before = set_variable(clients, &outputs.ingest, pointer, "/id").await;
    run(
        stack,
        &["redrive", "dlq", "--id", "moved", "--apply", "--yes"],
    )
    .await;
    wait_until_done(stack, &["moved".to_owned()]).await;
    restore_variable(stack, &outputs.ingest, pointer, before).await;
    // The stored content of the conflict was right.
    let (_, stdout) = trace(stack, "twice").await;
    assert!(stdout.contains("DONE"), "{stdout}");
    let purge = clients.sqs.purge_queue();
    let purge = purge.queue_url(&outputs.dead_letter_queue_url);
    purge.send().await.unwrap();
    for alarm in alarms {
        wait_for_ok(stack, alarm).await;
    }
}

/// IngestFailed: the table does not respond. Some messages become dead letters and are redriven.
async fn drill_ingest_failed(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    redirect(clients, &outputs.ingest, "DYNAMODB", &tls_endpoint(stack))
        .await
        .unwrap();
    let failed = send_until_alarms(stack, &["IngestFailed", "DeadLetters"], "failed").await;
    redirect(clients, &outputs.ingest, "DYNAMODB", &stack.endpoint())
        .await
        .unwrap();
    wait_until("the queue is empty", async || {
        let depth = inspect::read_queue_depth(clients, &outputs.queue_url).await;
        depth.unwrap().total() == 0
    })
    .await;
    run(
        stack,
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
    wait_until_done(stack, &failed).await;
    wait_for_ok(stack, "IngestFailed").await;
    wait_for_ok(stack, "DeadLetters").await;
}

/// IngestErrors: `ingest` cannot start with its settings.
async fn drill_ingest_errors(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let pointer = "NOTIFICATION_ID_POINTER";
    let before = set_variable(clients, &outputs.ingest, pointer, "no pointer").await;
    let errors = send_until_alarms(stack, &["IngestErrors"], "errors").await;
    restore_variable(stack, &outputs.ingest, pointer, before).await;
    wait_until_done(stack, &errors).await;
    wait_for_ok(stack, "IngestErrors").await;
}

async fn restore_variable(
    stack: &Stack,
    function: &str,
    name: &str,
    before: anyhow::Result<Option<String>>,
) {
    let value = before.unwrap().unwrap();
    set_variable(stack.clients(), function, name, &value)
        .await
        .unwrap();
}

/// Reconciles until `id` is DONE: an alarm can fire before an item is old enough for `reconcile`.
async fn reconcile(stack: &Stack, id: &str) {
    const RECONCILE: [&str; 5] = [
        "reconcile",
        "--pending-older-than",
        "1s",
        "--apply",
        "--yes",
    ];
    wait_until(&format!("{id} is DONE after reconcile"), async || {
        run(stack, &RECONCILE).await;
        find_not_done(stack, &[id.to_owned()]).await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runbook_resolves_alarms_of_forward() {
    let options = options("drill-forward").parameter("DelayAlarmSeconds", "1");
    let (mut stack, _alarms) = start(options).await;
    stack
        .start_event_sources(None, Choices::default_outcomes())
        .await
        .unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());

    // Unpublished and ForwardIteratorAge: Kinesis does not respond.
    let bad = tls_endpoint(&stack);
    redirect(&clients, &outputs.forward, "KINESIS", &bad)
        .await
        .unwrap();
    let unpublished =
        send_until_alarms(&stack, &["Unpublished", "ForwardIteratorAge"], "held").await;
    redirect(&clients, &outputs.forward, "KINESIS", &stack.endpoint())
        .await
        .unwrap();
    wait_until_done(&stack, &unpublished).await;
    wait_for_ok(&stack, "Unpublished").await;
    wait_for_ok(&stack, "ForwardIteratorAge").await;

    // CompleteIteratorAge: a record that is retried again and again gets old.
    redirect(&clients, &outputs.complete, "DYNAMODB", &bad)
        .await
        .unwrap();
    send(&stack, &[valid("old", "1")]).await;
    wait_for_alarm(&stack, "CompleteIteratorAge").await;
    redirect(&clients, &outputs.complete, "DYNAMODB", &stack.endpoint())
        .await
        .unwrap();
    wait_until_done(&stack, &["old".to_owned()]).await;
    wait_for_ok(&stack, "CompleteIteratorAge").await;

    // ForwardErrors: `forward` cannot start with its settings.
    let before = set_variable(&clients, &outputs.forward, "STREAM_NAME", "").await;
    send(&stack, &[valid("late", "1")]).await;
    wait_for_alarm(&stack, "ForwardErrors").await;
    restore_variable(&stack, &outputs.forward, "STREAM_NAME", before).await;
    wait_until_done(&stack, &["late".to_owned()]).await;
    wait_for_ok(&stack, "ForwardErrors").await;

    drill_unreadable(&stack).await;
    stack.stop().await;
}

/// Unreadable: somebody deleted an item's payload, so it has no event. The item is restored and reconciled.
async fn drill_unreadable(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    stack.event_sources().unwrap().disable();
    wait_until_idle(stack).await;
    store(clients, &outputs.table, &["edited".to_owned()]).await;
    edit_item(
        stack,
        "ADD redrives :one REMOVE payload",
        (":one", AttributeValue::N("1".to_owned())),
    )
    .await;
    stack.event_sources().unwrap().enable();
    wait_for_alarm(stack, "Unreadable").await;
    let (_, stdout) = trace(stack, "edited").await;
    assert!(stdout.contains("edited by hand"), "{stdout}");
    edit_item(
        stack,
        "SET payload = :payload",
        (":payload", AttributeValue::S("{\"n\": 1.0}".to_owned())),
    )
    .await;
    reconcile(stack, "edited").await;
    wait_for_ok(stack, "Unreadable").await;
}

/// Edits the item `edited`.
async fn edit_item(stack: &Stack, expression: &str, (name, value): (&str, AttributeValue)) {
    stack
        .clients()
        .dynamodb
        .update_item()
        .table_name(&stack.outputs().table)
        .key("notification_id", AttributeValue::S("edited".to_owned()))
        .update_expression(expression)
        .expression_attribute_values(name, value)
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runbook_resolves_alarms_of_complete() {
    let options = options("drill-complete")
        .parameter("CompleteMaximumRetryAttempts", "0")
        .parameter("DelayAlarmSeconds", "1");
    let (mut stack, _alarms) = start(options).await;
    stack
        .start_event_sources(None, Choices::default_outcomes())
        .await
        .unwrap();
    drill_complete_failed(&stack).await;
    drill_refused_and_contradicted(&stack).await;
    drill_dropped(&stack).await;
    stack.stop().await;
}

/// CompleteFailed: the downstream refuses. GivenUp, FailureBucket and Pending follow.
async fn drill_complete_failed(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    redirect(clients, &outputs.complete, "DYNAMODB", &tls_endpoint(stack))
        .await
        .unwrap();
    let alarms = ["CompleteFailed", "GivenUp", "FailureBucket", "Pending"];
    let pending = (0..PENDING_COUNT + 20).map(|number| format!("pending-{number}"));
    let pending: Vec<String> = pending.collect();
    let messages: Vec<Sample> = pending.iter().map(|id| valid(id, "1")).collect();
    send(stack, &messages).await;
    let failed = send_until_alarms(stack, &alarms, "failed").await;
    let (_, stdout) = trace(stack, &failed[0]).await;
    assert!(stdout.contains("given up"), "{stdout}");
    redirect(clients, &outputs.complete, "DYNAMODB", &stack.endpoint())
        .await
        .unwrap();
    wait_until_idle(stack).await;
    run(stack, &["redrive", "failures", "--apply", "--yes"]).await;
    wait_until_done(stack, &failed).await;
    wait_until_done(stack, &pending).await;
    let stdout = run(stack, &["redrive", "failures"]).await;
    assert!(stdout.contains("Nothing to redrive."), "{stdout}");
    empty_bucket(clients, &outputs.failure_bucket).await;
    for alarm in alarms {
        wait_for_ok(stack, alarm).await;
    }
}

/// Refused: the receiver refuses for good. Contradicted: it accepts what it refused while the answer of the table was lost.
async fn drill_refused_and_contradicted(stack: &Stack) {
    let receiver = stack.ledger().unwrap();
    receiver.script(|_| Behaviour::answer(StatusCode::GONE));
    let refused = send_until_alarms(stack, &["Refused"], "gone").await;
    receiver.script(|_| Behaviour::accept());
    wait_until("the first one is REFUSED", async || {
        trace(stack, &refused[0]).await.0 == 16
    })
    .await;
    let (_, stdout) = trace(stack, &refused[0]).await;
    assert!(stdout.contains("http_410"), "{stdout}");
    wait_for_ok(stack, "Refused").await;

    // Another consumer refuses the notification between the delivery and the write of DONE.
    let (clients, table) = (stack.clients().clone(), stack.outputs().table.clone());
    let runtime = tokio::runtime::Handle::current();
    receiver.script(move |request| {
        let (clients, table) = (clients.clone(), table.clone());
        let id = request.idempotency_key.clone();
        runtime.spawn(async move { refuse_instead(&clients, &table, id).await });
        Behaviour::accept().delay(REFUSAL_DELAY)
    });
    let contradicted = send_until_alarms(stack, &["Contradicted"], "both").await;
    receiver.script(|_| Behaviour::accept());
    // The first decision stays.
    let mut kept = 0;
    for id in &contradicted {
        let (code, stdout) = trace(stack, id).await;
        kept += usize::from(code == 16 && stdout.contains("account_closed"));
    }
    assert!(kept > 0, "{contradicted:?}");
    wait_for_ok(stack, "Contradicted").await;
}

/// Settles a notification as a second consumer would. Best effort: it may be settled already.
async fn refuse_instead(clients: &Clients, table: &str, id: String) {
    let string = |text: &str| AttributeValue::S(text.to_owned());
    let update = clients.dynamodb.update_item().table_name(table);
    let update = update.key("notification_id", string(&id));
    let update = update
        .update_expression(
            "SET #status = :refused, refusal = :code, updated_at = :now, #version = :two",
        )
        .condition_expression("#status = :init")
        .expression_attribute_names("#status", "status")
        .expression_attribute_names("#version", "version")
        .expression_attribute_values(":refused", string("REFUSED"))
        .expression_attribute_values(":init", string("INIT"))
        .expression_attribute_values(":code", string("account_closed"))
        .expression_attribute_values(":now", string(&to_rfc3339(Timestamp::now())))
        .expression_attribute_values(":two", AttributeValue::N("2".to_owned()));
    let _ = update.send().await;
}

/// CompleteErrors: `complete` cannot start with its settings. Dropped: the bucket for failed records is gone.
async fn drill_dropped(stack: &Stack) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let bucket = &outputs.failure_bucket;
    let delete = clients.s3.delete_bucket().bucket(bucket);
    delete.send().await.unwrap();
    let before = set_variable(clients, &outputs.complete, "TABLE_NAME", "").await;
    send(stack, &[valid("dropped", "1")]).await;
    wait_for_alarms(stack, &["CompleteErrors", "Dropped"]).await;
    let create = clients.s3.create_bucket().bucket(bucket);
    create.send().await.unwrap();
    restore_variable(stack, &outputs.complete, "TABLE_NAME", before).await;
    reconcile(stack, "dropped").await;
    wait_for_ok(stack, "CompleteErrors").await;
    wait_for_ok(stack, "Dropped").await;
}

/// Deletes all objects and all their versions.
async fn empty_bucket(clients: &Clients, bucket: &str) {
    let list = clients.s3.list_object_versions().bucket(bucket);
    let listed = list.send().await.unwrap();
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
