//! The operator's tool where something did not go through: dead letters go back to the queue, and what stays in INIT comes
//! again.

use std::{collections::HashMap, path::Path, process::Stdio, time::Duration};

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName as Attribute,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use jiff::Timestamp;
use onewrite::{
    item::{Enrichment, NotificationItem, to_millis},
    notification::MessagePointers,
};
use onewrite_local::{
    clients::{self, Clients},
    stack::{Stack, StackOutputs},
    survey,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{
    CANARY,
    operator::{command, onewrite, set_version, trace},
    options, start_event_sources, store, valid, wait_until,
};

const XRAY: &str = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1";

/// Puts a message into the dead-letter queue as SQS would have: with its attributes, and its trace.
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

/// What is in a queue that nobody reads, in its order. It is put back.
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

fn system<'m>(message: &'m Message, name: &Attribute) -> &'m str {
    message.attributes().unwrap()[name].as_str()
}

async fn depths(clients: &Clients, outputs: &StackOutputs) -> (usize, usize) {
    let dead = survey::depth(clients, &outputs.dead_letter_queue_url).await;
    let waiting = survey::depth(clients, &outputs.queue_url).await;
    // Hidden ones would be ones that were not put back.
    (dead.unwrap().visible, waiting.unwrap().visible)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_back_by_id_and_reason_and_are_accepted() {
    let mut stack = Stack::start(options("dead-letters")).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let (code, said, _) = onewrite(&stack, &["--output", "json", "redrive", "dlq"]).await;
    assert_eq!((code, said.as_str()), (0, "[]\n"), "none is no failure");

    let stored = ["disputed", "copied"].map(str::to_owned);
    store(&clients, &outputs.table, &stored).await;
    let secret = format!("\"{CANARY}\"");
    for body in [
        valid("first", &secret).body,
        valid("second", &secret).body,
        valid("disputed", &secret).body,
        valid("copied", "{\"n\": 1.0}").body,
        format!(r#"{{"notification_id":"broken","payload":"{CANARY}"#),
    ] {
        bury(&clients, &outputs, None, &body).await;
    }

    let dlq = |more: &[&'static str]| [&["redrive", "dlq"], more].concat();
    let (code, dry, _) = onewrite(&stack, &dlq(&[])).await;
    assert_eq!(code, 0, "{dry}");
    for line in [
        "would be moved  first, message ",
        "would be moved  second, message ",
        ", it was not stored when it came, received x1\n",
        "would be moved  copied, message ",
        "left alone      disputed, message ",
        ", conflict: another content is stored, received x",
        "left alone      (unread), message ",
        ", rejected: InvalidJson: ",
        "3 would be moved; nothing was changed.\n",
    ] {
        assert!(dry.contains(line), "{line}: {dry}");
    }
    assert!(dry.ends_with(" redrive dlq --apply\n"), "{dry}");
    let (_, json, _) = onewrite(&stack, &[&["--output", "json"], &dlq(&[])[..]].concat()).await;
    let letters: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(letters.as_array().unwrap().len(), 5);
    assert!(!dry.contains(CANARY) && !json.contains(CANARY));
    let (code, _, complaint) = onewrite(&stack, &dlq(&["--apply"])).await;
    assert_eq!(code, 5, "{complaint}");
    assert!(complaint.contains("give --yes"), "{complaint}");
    assert_eq!(depths(&clients, &outputs).await, (5, 0), "all as it was");

    let (code, said, complaint) = onewrite(&stack, &dlq(&["--id", "nobody-s"])).await;
    assert_eq!(
        (code, said.as_str()),
        (3, "Nothing to move.\n"),
        "{complaint}"
    );
    assert_eq!(complaint, "nobody-s is in no dead letter\n");
    let (code, _, complaint) = onewrite(&stack, &dlq(&["--reason", "Unlucky"])).await;
    assert_eq!(code, 2, "{complaint}");

    let (code, said, complaint) = onewrite(&stack, &dlq(&["--id", "first", "--yes"])).await;
    assert_eq!((code, complaint.as_str()), (0, ""), "{said}");
    assert!(said.contains("moved           first, message "), "{said}");
    assert!(
        said.contains("1 moved; each has a new message id"),
        "{said}"
    );
    assert_eq!(depths(&clients, &outputs).await, (4, 1));
    let messages = peek(&clients, &outputs.queue_url).await;
    assert_eq!(
        messages[0].body(),
        Some(valid("first", &secret).body.as_str())
    );
    let tenant = &messages[0].message_attributes().unwrap()["tenant"];
    assert_eq!(tenant.string_value(), Some("eu"));
    assert_eq!(system(&messages[0], &Attribute::AwsTraceHeader), XRAY);

    let reasons = ["--reason", "InvalidJson", "--reason", "Conflict", "--yes"];
    let (code, said, _) = onewrite(&stack, &dlq(&reasons)).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("2 moved; "),
        "what is asked for by its reason: {said}"
    );
    assert_eq!(depths(&clients, &outputs).await, (2, 3));
    let (code, said, _) = onewrite(
        &stack,
        &[&["--output", "json"], &dlq(&["--yes"])[..]].concat(),
    )
    .await;
    let letters: Value = serde_json::from_str(&said).unwrap();
    let outcome = |letter: &Value| letter["outcome"].as_str().map(str::to_owned);
    let outcomes: Vec<_> = letters
        .as_array()
        .unwrap()
        .iter()
        .filter_map(outcome)
        .collect();
    assert_eq!((code, outcomes), (0, vec!["Moved".to_owned(); 2]), "{said}");
    assert_eq!(depths(&clients, &outputs).await, (0, 5));

    let _recorder = start_event_sources(&mut stack).await;
    wait_until("what was moved is accepted", async || {
        let items = survey::items(&clients, &outputs.table).await.unwrap();
        items.len() == 4 && items.iter().all(|item| item.status == "DONE")
    })
    .await;
    let (_, said) = trace(&stack, "first").await;
    assert!(said.contains("DONE: one accepted effect."), "{said}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_fifo_queue_keep_their_group_and_its_order() {
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
    let (code, said, _) = onewrite(&stack, &["redrive", "dlq", "--id", "h-1"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 would be moved"), "{said}");
    assert_eq!(depths(&clients, &outputs).await, (4, 0));
    let (code, said, _) = onewrite(&stack, &["redrive", "dlq", "--yes"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("3 moved; "), "{said}");
    assert_eq!(depths(&clients, &outputs).await, (1, 3));

    let messages = peek(&clients, &outputs.queue_url).await;
    let seen: Vec<_> = messages
        .iter()
        .map(|message| {
            let name = |name| system(message, &name);
            (
                name(Attribute::MessageGroupId),
                name(Attribute::MessageDeduplicationId),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [("g", ids[0].as_str()), ("g", &ids[2]), ("h", &ids[3])],
        "{messages:?}"
    );
    let _recorder = start_event_sources(&mut stack).await;
    wait_until("they are accepted", async || {
        let items = survey::items(&clients, &outputs.table).await.unwrap();
        items.len() == 3 && items.iter().all(|item| item.status == "DONE")
    })
    .await;
    let left = peek(&clients, &outputs.dead_letter_queue_url).await;
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0].message_id(),
        Some(ids[1].as_str()),
        "the poison stays"
    );
    stack.stop().await;
}

/// Writes an item as `ingest` would have at that time.
async fn store_at(clients: &Clients, table: &str, id: &str, created_at: Timestamp) {
    let body = valid(id, "1").body;
    let notification = MessagePointers::default().parse(body.as_bytes()).unwrap();
    let (enrichment, at) = (Enrichment::default(), to_millis(created_at));
    let item = NotificationItem::new(notification, &enrichment, "m".to_owned(), None, at).unwrap();
    let attributes: HashMap<String, AttributeValue> = item.to_item().into();
    let put = clients.dynamodb.put_item().table_name(table);
    put.set_item(Some(attributes)).send().await.unwrap();
}

/// Status and redrives of each item.
async fn standing(clients: &Clients, table: &str) -> HashMap<String, (String, u32)> {
    let scan = clients
        .dynamodb
        .scan()
        .table_name(table)
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

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_in_init_for_too_long_is_found_and_comes_again() {
    const OLD: [&str; 5] = ["old-0", "old-1", "old-2", "old-3", "old-4"];
    let options = options("reconcile").parameter("CompleteMaximumRetryAttempts", "0");
    let mut stack = Stack::start(options).await.unwrap();
    let (clients, outputs) = (stack.clients().clone(), stack.outputs().clone());
    let now = Timestamp::now();
    let long_ago = now - jiff::SignedDuration::from_hours(2);
    for id in OLD {
        store_at(&clients, &outputs.table, id, long_ago).await;
    }
    store_at(&clients, &outputs.table, "young", now).await;
    for id in OLD.iter().chain(&["young"]) {
        set_version(&stack, id, 7).await;
    }
    let _recorder = start_event_sources(&mut stack).await;
    // Their events were given up: by themselves they stay in INIT for ever.
    wait_until("all were given up", async || {
        let objects = clients.s3.list_objects_v2().bucket(&outputs.failure_bucket);
        let mut text = String::new();
        for object in objects.send().await.unwrap().contents() {
            let get = clients.s3.get_object().bucket(&outputs.failure_bucket);
            let get = get.key(object.key().unwrap()).send().await.unwrap();
            let bytes = get.body.collect().await.unwrap().into_bytes();
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        OLD.iter().chain(&["young"]).all(|id| text.contains(id))
    })
    .await;
    for id in OLD.iter().chain(&["young"]) {
        set_version(&stack, id, 1).await;
    }

    let reconcile = |more: &[&str]| -> Vec<String> {
        let all = [&["reconcile", "--pending-older-than", "1h"], more].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let run = async |more: &[&str]| {
        let arguments = reconcile(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        onewrite(&stack, &arguments).await
    };
    let (code, said, estimate) = run(&[]).await;
    assert_eq!(code, 0, "{said}{estimate}");
    assert!(estimate.contains("The table has ~6 items, "), "{estimate}");
    for id in OLD {
        let line = format!("would be redriven  {id}, stored ");
        assert!(said.contains(&line), "{said}");
    }
    assert!(!said.contains("young"), "{said}");
    assert!(
        said.contains("5 of 6 items are in INIT for 1h or longer; nothing was changed."),
        "{said}"
    );
    assert!(
        said.ends_with(" reconcile --pending-older-than 1h --apply\n"),
        "{said}"
    );
    let (code, _, complaint) = run(&["--apply"]).await;
    assert_eq!(code, 5, "{complaint}");
    let standing = async || standing(&clients, &outputs.table).await;
    let untouched = ("INIT".to_owned(), 0);
    assert!(standing().await.values().all(|one| *one == untouched));

    // Interrupted after some, it goes on: none is left out, and at most the one under way is touched twice.
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
    let slow = reconcile(&[&paged[..], &["--rate", "1"]].concat());
    let slow: Vec<&str> = slow.iter().map(String::as_str).collect();
    let mut interrupted = command(&stack, &slow)
        .await
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("some were touched", async || touched(&file) >= 2).await;
    interrupted.kill().await.unwrap();
    let before = touched(&file);
    assert!(
        before < OLD.len() as u64,
        "{before}: it was to be interrupted"
    );
    let (code, _, complaint) = run(&["--segments", "3", "--checkpoint", path, "--yes"]).await;
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains("it has 2 segments"), "{complaint}");
    let (code, said, complaint) = run(&paged).await;
    assert_eq!(code, 0, "{said}{complaint}");
    assert!(
        complaint.contains("Goes on with what was stored before "),
        "{complaint}"
    );
    let lines = said
        .lines()
        .filter(|line| line.starts_with("redriven "))
        .count();
    assert!(
        lines < OLD.len(),
        "it went on and did not begin anew: {said}"
    );
    assert!(!file.exists(), "it is at its end");
    wait_until("the old ones are DONE", async || {
        let standing = standing().await;
        OLD.iter().all(|id| standing[*id].0 == "DONE")
    })
    .await;
    let standing = standing().await;
    assert_eq!(standing["young"], untouched, "it is left alone");
    let touches: u32 = OLD.iter().map(|id| standing[*id].1).sum();
    assert!(OLD.iter().all(|id| standing[*id].1 >= 1), "{standing:?}");
    assert!(touches <= OLD.len() as u32 + 1, "{standing:?}");
    let (code, json, _) = run(&["--output", "json"]).await;
    assert_eq!((code, json.as_str()), (0, "[]\n"));

    watch(&stack).await;
    stack.stop().await;
}

/// Items that were touched until the checkpoint was written last.
fn touched(file: &Path) -> u64 {
    let Ok(bytes) = std::fs::read(file) else {
        return 0;
    };
    let checkpoint: Value = serde_json::from_slice(&bytes).expect("it is written in one step");
    checkpoint["tally"]["touched"].as_u64().unwrap()
}

/// Looks again and again, one look after the other, and shows what is in ALARM.
async fn watch(stack: &Stack) {
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
    let (mut looks, mut alarms) = (0, 0);
    let read = async {
        while looks < 2 || alarms < 2 {
            let line = lines.next_line().await.unwrap().expect("it goes on");
            assert!(
                !line.contains('\x1b'),
                "no terminal, so nothing is cleared: {line}"
            );
            looks += usize::from(line.starts_with("queue           ~"));
            alarms += usize::from(line.starts_with("ALARM           onewrite-DeadLetters since "));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), read).await;
    assert!(in_time.is_ok(), "{looks} looks, {alarms} alarms");
    watching.kill().await.unwrap();
}
