//! The operator's tool after failures: dead letters are moved back to the queue, and items stuck in INIT are redriven.

use std::{
    cell::Cell,
    collections::HashMap,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName as Attribute,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use jiff::Timestamp;
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use onewrite_local::{
    clients::{self, Clients},
    inspect,
    stack::Stack,
};
use onewrite_stack::{dead_letter_queue::port::LONG_POLL, outputs::StackOutputs};
use onewrite_tests::recorder::Recorder;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    operator::{command, onewrite, set_version, trace},
    support::{CANARY, options, start_event_sources, store, store_item, valid, wait_until},
};

const XRAY: &str = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1";

/// Sends a message to the dead-letter queue as SQS moves it: with its attributes and its trace header.
async fn bury(
    clients: &Clients,
    outputs: &StackOutputs,
    group: Option<&str>,
    body: &str,
) -> String {
    let text = |value: &str| {
        let text = MessageAttributeValue::builder().data_type("String");
        text.string_value(value).build().unwrap()
    };
    let header = MessageSystemAttributeValue::builder().data_type("String");
    let header = header.string_value(XRAY).build().unwrap();
    let deduplication = group.map(|group| format!("{group}-{}", body.len()));
    let sent = clients
        .sqs
        .send_message()
        .queue_url(&outputs.dead_letter_queue_url)
        .message_body(body)
        .message_attributes("tenant", text("eu"))
        .message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, header)
        .set_message_group_id(group.map(str::to_owned))
        .set_message_deduplication_id(deduplication)
        .send()
        .await
        .unwrap();
    sent.message_id.unwrap()
}

/// Receives the messages of a queue without consumers, in order, and leaves them visible.
async fn peek(clients: &Clients, queue_url: &str) -> Vec<Message> {
    let received = clients
        .sqs
        .receive_message()
        .queue_url(queue_url)
        .max_number_of_messages(10)
        .visibility_timeout(0)
        .message_attribute_names("All")
        .message_system_attribute_names(Attribute::All)
        .send()
        .await
        .unwrap();
    received.messages.unwrap_or_default()
}

fn system_attribute<'m>(message: &'m Message, name: &Attribute) -> &'m str {
    message.attributes().unwrap()[name].as_str()
}

/// The number of visible messages in the dead-letter queue and in the queue.
async fn depths(stack: &Stack) -> (usize, usize) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let dead = inspect::read_queue_depth(clients, &outputs.dead_letter_queue_url).await;
    let waiting = inspect::read_queue_depth(clients, &outputs.queue_url).await;
    // A message that was not put back would be hidden.
    (dead.unwrap().waiting, waiting.unwrap().waiting)
}

/// Runs a command of the operator's tool that must succeed; returns its output.
async fn run(stack: &Stack, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = onewrite(stack, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {stdout}{stderr}");
    stdout
}

async fn wait_until_all_done(stack: &Stack, count: usize) {
    wait_until(&format!("all {count} items are DONE"), async || {
        let items = inspect::read_items(stack.clients(), &stack.outputs().table).await;
        let items = items.unwrap();
        items.len() == count && items.iter().all(|item| item.status == "DONE")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_moved_by_id_and_reason_and_accepted() {
    let mut stack = Stack::start(options("dead-letters")).await.unwrap();
    let stdout = run(&stack, &["--output", "json", "redrive", "dlq"]).await;
    assert_eq!(stdout, "[]\n", "an empty queue is not a failure");
    let secret = format!("\"{CANARY}\"");
    bury_five(&stack, &secret).await;
    assert_dry_run_changes_nothing(&stack).await;
    assert_ctrl_c_makes_letters_visible(&stack).await;
    assert_unknown_ids_and_reasons_are_refused(&stack).await;
    assert_moves_by_id(&stack, &secret).await;
    assert_moves_by_reason(&stack).await;

    let _recorder = start_event_sources(&mut stack).await;
    wait_until_all_done(&stack, 4).await;
    let (_, stdout) = trace(&stack, "first").await;
    assert!(stdout.contains("DONE: one accepted effect."), "{stdout}");
    stack.stop().await;
}

/// Two dead letters that were never stored, a conflict, a duplicate and a malformed one.
async fn bury_five(stack: &Stack, secret: &str) {
    let (clients, outputs) = (stack.clients(), stack.outputs());
    let stored = ["disputed", "copied"].map(str::to_owned);
    store(clients, &outputs.table, &stored).await;
    for body in [
        valid("first", secret).body,
        valid("second", secret).body,
        valid("disputed", secret).body,
        valid("copied", "{\"n\": 1.0}").body,
        format!(r#"{{"notification_id":"broken","payload":"{CANARY}"#),
    ] {
        bury(clients, outputs, None, &body).await;
    }
}

async fn assert_dry_run_changes_nothing(stack: &Stack) {
    let dry = run(stack, &["redrive", "dlq"]).await;
    for line in [
        "would be moved  first, message ",
        "would be moved  second, message ",
        ", valid, not stored, received x1\n",
        "would be moved  copied, message ",
        "left alone      disputed, message ",
        ", conflict: different content is stored, received x",
        "left alone      broken, message ",
        ", rejected: InvalidJson: ",
        "3 would be moved; nothing was changed.\n",
    ] {
        assert!(dry.contains(line), "{line}: {dry}");
    }
    assert!(dry.ends_with(" redrive dlq --apply\n"), "{dry}");
    let json = run(stack, &["--output", "json", "redrive", "dlq"]).await;
    let letters: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(letters.as_array().unwrap().len(), 5);
    assert!(!dry.contains(CANARY) && !json.contains(CANARY));
    let (code, _, stderr) = onewrite(stack, &["redrive", "dlq", "--apply"]).await;
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("use --yes"), "{stderr}");
    assert_eq!(depths(stack).await, (5, 0), "nothing must be moved");
}

/// While another consumer holds one of five letters, an inspection waits for it and holds the other four.
async fn assert_ctrl_c_makes_letters_visible(stack: &Stack) {
    let (clients, queue) = (stack.clients(), &stack.outputs().dead_letter_queue_url);
    let receive = clients.sqs.receive_message().queue_url(queue);
    let receive = receive.max_number_of_messages(1).visibility_timeout(600);
    let held = receive.send().await.unwrap().messages.unwrap();
    let commands: [&[&str]; 3] = [
        &["trace", "first", "--no-stream"],
        &["redrive", "dlq"],
        &["redrive", "dlq", "--yes", "--id", "nobody-s"],
    ];
    for arguments in commands {
        let mut tool = command(stack, arguments).await;
        tool.stdout(Stdio::null()).stderr(Stdio::null());
        let mut tool = tool.spawn().unwrap();
        wait_until("the letters are held", async || depths(stack).await.0 == 0).await;
        let id = Pid::from_raw(tool.id().unwrap().try_into().unwrap());
        signal::kill(id, Signal::SIGINT).unwrap();
        // Without Ctrl-C, it would wait for the count of the queue for longer.
        let ended = tokio::time::timeout(Duration::from_secs(30), tool.wait()).await;
        let code = ended.expect("Ctrl-C ends it").unwrap().code();
        let is_applied = arguments.contains(&"--yes");
        let expected = if is_applied { 1 } else { 130 };
        assert_eq!(code, Some(expected), "{arguments:?}");
        let what = format!("the letters stay visible after {arguments:?}");
        let since = Cell::new(None);
        wait_until(&what, async || {
            let is_visible = depths(stack).await.0 == 4;
            let start = since.get().unwrap_or_else(Instant::now);
            since.set(is_visible.then_some(start));
            is_visible && start.elapsed() > LONG_POLL
        })
        .await;
    }
    let handle = held[0].receipt_handle().unwrap();
    let change = clients.sqs.change_message_visibility().queue_url(queue);
    let change = change.receipt_handle(handle).visibility_timeout(0);
    change.send().await.unwrap();
}

async fn assert_unknown_ids_and_reasons_are_refused(stack: &Stack) {
    let (code, stdout, stderr) = onewrite(stack, &["redrive", "dlq", "--id", "nobody-s"]).await;
    assert_eq!(
        (code, stdout.as_str()),
        (3, "Nothing to move.\n"),
        "{stderr}"
    );
    assert_eq!(stderr, "nobody-s is in no dead letter\n");
    let (code, _, stderr) = onewrite(stack, &["redrive", "dlq", "--reason", "Unlucky"]).await;
    assert_eq!(code, 2, "{stderr}");
}

async fn assert_moves_by_id(stack: &Stack, secret: &str) {
    let arguments = ["redrive", "dlq", "--id", "first", "--yes"];
    let (code, stdout, stderr) = onewrite(stack, &arguments).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("moved           first, message "),
        "{stdout}"
    );
    assert!(
        stdout.contains("1 moved; each has a new message id"),
        "{stdout}"
    );
    assert_eq!(depths(stack).await, (4, 1));
    let messages = peek(stack.clients(), &stack.outputs().queue_url).await;
    assert_eq!(
        messages[0].body(),
        Some(valid("first", secret).body.as_str())
    );
    let tenant = &messages[0].message_attributes().unwrap()["tenant"];
    assert_eq!(tenant.string_value(), Some("eu"));
    assert_eq!(
        system_attribute(&messages[0], &Attribute::AwsTraceHeader),
        XRAY
    );
}

/// Rejected and conflicting dead letters are moved only if their reason is requested.
async fn assert_moves_by_reason(stack: &Stack) {
    let reasons = ["--reason", "InvalidJson", "--reason", "Conflict", "--yes"];
    let stdout = run(stack, &[&["redrive", "dlq"], &reasons[..]].concat()).await;
    assert!(stdout.contains("2 moved; "), "{stdout}");
    assert_eq!(depths(stack).await, (2, 3));
    let stdout = run(stack, &["--output", "json", "redrive", "dlq", "--yes"]).await;
    let letters: Value = serde_json::from_str(&stdout).unwrap();
    let outcome = |letter: &Value| letter["outcome"].as_str().map(str::to_owned);
    let letters = letters.as_array().unwrap().iter();
    let outcomes: Vec<_> = letters.filter_map(outcome).collect();
    assert_eq!(outcomes, vec!["Moved".to_owned(); 2], "{stdout}");
    assert_eq!(depths(stack).await, (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifo_dead_letters_keep_their_group_and_its_order() {
    let options = options("dead-letters-fifo").parameter("QueueType", "fifo");
    let mut stack = Stack::start(options).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let mut ids = Vec::new();
    for (group, body) in [
        ("g", valid("g-1", "1").body),
        ("g", "{".to_owned()),
        ("g", valid("g-3", "333").body),
        ("h", valid("h-1", "1").body),
    ] {
        ids.push(bury(&clients, &outputs, Some(group), &body).await);
    }
    let stdout = run(&stack, &["redrive", "dlq", "--id", "h-1"]).await;
    assert!(stdout.contains("1 would be moved"), "{stdout}");
    assert_eq!(depths(&stack).await, (4, 0));
    let stdout = run(&stack, &["redrive", "dlq", "--yes"]).await;
    assert!(stdout.contains("3 moved; "), "{stdout}");
    assert_eq!(depths(&stack).await, (1, 3));

    let messages = peek(&clients, &outputs.queue_url).await;
    let groups: Vec<_> = messages
        .iter()
        .map(|message| {
            let attribute = |name| system_attribute(message, &name);
            (
                attribute(Attribute::MessageGroupId),
                attribute(Attribute::MessageDeduplicationId),
            )
        })
        .collect();
    assert_eq!(
        groups,
        [("g", ids[0].as_str()), ("g", &ids[2]), ("h", &ids[3])],
        "{messages:?}"
    );
    let _recorder = start_event_sources(&mut stack).await;
    wait_until_all_done(&stack, 3).await;
    let left = peek(&clients, &outputs.dead_letter_queue_url).await;
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0].message_id(),
        Some(ids[1].as_str()),
        "the malformed message must stay"
    );
    stack.stop().await;
}

/// Items that `reconcile` must find.
const OLD: [&str; 5] = ["old-0", "old-1", "old-2", "old-3", "old-4"];

/// An item that is too young for `reconcile`.
const YOUNG: &str = "young";

/// The status and the number of redrives of each item.
async fn statuses(stack: &Stack) -> HashMap<String, (String, u32)> {
    let scan = stack.clients().dynamodb.scan();
    let scan = scan
        .table_name(&stack.outputs().table)
        .consistent_read(true);
    let items = scan.send().await.unwrap().items.unwrap_or_default();
    let text = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    items
        .iter()
        .map(|item| {
            let redrives = item.get("redrives").map_or(0, |n| text(n).parse().unwrap());
            (
                text(&item["notification_id"]),
                (text(&item["status"]), redrives),
            )
        })
        .collect()
}

/// The status of an item that was never redriven.
fn untouched() -> (String, u32) {
    ("INIT".to_owned(), 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_redrives_old_items_in_init_and_resumes() {
    let options = options("reconcile").parameter("CompleteMaximumRetryAttempts", "0");
    let mut stack = Stack::start(options).await.unwrap();
    let _recorder = strand_items_in_init(&mut stack).await;
    assert_reconcile_dry_run_changes_nothing(&stack).await;
    assert_reconcile_resumes_at_its_checkpoint(&stack).await;

    wait_until("the old items are DONE", async || {
        let statuses = statuses(&stack).await;
        OLD.iter().all(|id| statuses[*id].0 == "DONE")
    })
    .await;
    let statuses = statuses(&stack).await;
    assert_eq!(statuses[YOUNG], untouched());
    let redrives: u32 = OLD.iter().map(|id| statuses[*id].1).sum();
    assert!(OLD.iter().all(|id| statuses[*id].1 >= 1), "{statuses:?}");
    assert!(redrives <= OLD.len() as u32 + 1, "{statuses:?}");
    let json = reconcile(&stack, &["--output", "json"]).await;
    assert_eq!((json.0, json.1.as_str()), (0, "[]\n"));

    assert_status_watch_shows_alarms(&stack).await;
    stack.stop().await;
}

/// Stores items whose events are given up, so that they stay in INIT.
async fn strand_items_in_init(stack: &mut Stack) -> Recorder {
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let now = Timestamp::now();
    let long_ago = now - jiff::SignedDuration::from_hours(2);
    let all = || OLD.iter().chain(&[YOUNG]);
    for id in all() {
        let created_at = if *id == YOUNG { now } else { long_ago };
        store_item(&clients, &outputs.table, &valid(id, "1"), created_at).await;
        set_version(stack, id, 7).await;
    }
    let recorder = start_event_sources(stack).await;
    wait_until("all events are in the failure bucket", async || {
        let objects = clients.s3.list_objects_v2().bucket(&outputs.failure_bucket);
        let mut text = String::new();
        for object in objects.send().await.unwrap().contents() {
            let get = clients.s3.get_object().bucket(&outputs.failure_bucket);
            let get = get.key(object.key().unwrap()).send().await.unwrap();
            let bytes = get.body.collect().await.unwrap().into_bytes();
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        all().all(|id| text.contains(id))
    })
    .await;
    for id in all() {
        set_version(stack, id, 1).await;
    }
    recorder
}

fn reconcile_arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["reconcile", "--pending-older-than", "1h"], more].concat()
}

async fn reconcile(stack: &Stack, more: &[&str]) -> (i32, String, String) {
    onewrite(stack, &reconcile_arguments(more)).await
}

async fn assert_reconcile_dry_run_changes_nothing(stack: &Stack) {
    let (code, stdout, stderr) = reconcile(stack, &[]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stderr.contains("The table has ~6 items, "), "{stderr}");
    for id in OLD {
        let line = format!("would be redriven  {id}, stored ");
        assert!(stdout.contains(&line), "{stdout}");
    }
    assert!(!stdout.contains(YOUNG), "{stdout}");
    assert!(
        stdout.contains("5 of 6 items have been in INIT for 1h or longer; nothing was changed."),
        "{stdout}"
    );
    assert!(
        stdout.ends_with(" reconcile --pending-older-than 1h --apply\n"),
        "{stdout}"
    );
    let (code, _, stderr) = reconcile(stack, &["--apply"]).await;
    assert_eq!(code, 5, "{stderr}");
    let statuses = statuses(stack).await;
    assert!(statuses.values().all(|status| *status == untouched()));
}

/// After an interruption, no item is left out, and at most the one in flight is redriven twice.
async fn assert_reconcile_resumes_at_its_checkpoint(stack: &Stack) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint.json");
    let path = file.to_str().unwrap();
    let paged = [
        "--segments",
        "2",
        "--page-items",
        "1",
        "--checkpoint",
        path,
        "--yes",
    ];
    let slow = reconcile_arguments(&[&paged[..], &["--rate", "1"]].concat());
    let mut interrupted = command(stack, &slow).await;
    let mut interrupted = interrupted.stdout(Stdio::null()).spawn().unwrap();
    wait_until("two items are redriven", async || {
        redriven_by_checkpoint(&file) >= 2
    })
    .await;
    interrupted.kill().await.unwrap();
    let before = redriven_by_checkpoint(&file);
    assert!(
        before < OLD.len() as u64,
        "{before}: the run was not interrupted"
    );
    let other = ["--segments", "3", "--checkpoint", path, "--yes"];
    let (code, _, stderr) = reconcile(stack, &other).await;
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("it has 2 segments"), "{stderr}");
    let (code, stdout, stderr) = reconcile(stack, &paged).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stderr.contains("Resuming after "), "{stderr}");
    let lines = stdout.lines();
    let redriven = lines.filter(|line| line.starts_with("redriven ")).count();
    assert!(
        redriven < OLD.len(),
        "the run started from the beginning: {stdout}"
    );
    assert!(!file.exists(), "a finished run must delete its checkpoint");
}

/// The number of redriven items in the checkpoint.
fn redriven_by_checkpoint(file: &Path) -> u64 {
    let Ok(bytes) = std::fs::read(file) else {
        return 0;
    };
    let checkpoint: Value =
        serde_json::from_slice(&bytes).expect("checkpoints are written atomically");
    checkpoint["tally"]["touched"].as_u64().unwrap()
}

/// `status --watch` prints one report after the other, with the alarms in ALARM.
async fn assert_status_watch_shows_alarms(stack: &Stack) {
    let config = clients::config(&stack.endpoint(), stack.credentials());
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&config);
    let alarm = cloudwatch
        .set_alarm_state()
        .alarm_name("onewrite-DeadLetters");
    let alarm = alarm.state_value(StateValue::Alarm).state_reason("seen");
    alarm.send().await.unwrap();
    let watching = command(stack, &["status", "--watch", "1"])
        .await
        .stdout(Stdio::piped())
        .spawn();
    let mut watching = watching.unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (mut reports, mut alarms) = (0, 0);
    let read = async {
        while reports < 2 || alarms < 2 {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the output must not end");
            assert!(
                !line.contains('\x1b'),
                "output without a terminal must not clear the screen: {line}"
            );
            reports += usize::from(line.starts_with("queue           ~"));
            alarms += usize::from(line.starts_with("ALARM           onewrite-DeadLetters since "));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), read).await;
    assert!(in_time.is_ok(), "{reports} reports, {alarms} alarms");
    watching.kill().await.unwrap();
}
