use onewrite_console::view::Count;
use onewrite_stack::wire::{self, Sent};
use serde_json::{Value, json};

use super::*;

fn filter(json: &Value) -> Filter {
    serde_json::from_value(json.clone()).unwrap()
}

fn pipeline(stack: Stack, allows_changes: bool) -> StackPipeline {
    StackPipeline::new(stack, "onewrite --stack orders", allows_changes, None)
}

/// A local stack that gives these responses.
async fn local_stack(responses: &[(&str, Value)]) -> (Stack, Sent) {
    let (mut stack, sent) = wire::stack(responses).await;
    stack.is_local = true;
    (stack, sent)
}

fn item(id: &str, kind: &str) -> Value {
    json!({
        "notification_id": {"S": id},
        "type": {"S": kind},
        "status": {"S": "INIT"},
        "created_at": {"S": "2026-11-23T10:00:00.000Z"},
    })
}

fn page(items: &[Value]) -> Value {
    let count = items.len();
    json!({"Items": items, "Count": count, "ScannedCount": count})
}

const KINDS: [Kind; 4] = [
    Kind::DeadLetters,
    Kind::Pending,
    Kind::FailureBucket,
    Kind::Refused,
];

#[tokio::test]
async fn a_read_only_console_redrives_nothing_and_calls_nothing() {
    let (stack, sent) = local_stack(&[]).await;
    let pipeline = pipeline(stack, false);
    assert!(!pipeline.about().allows_changes);
    for kind in KINDS {
        let filter = filter(&json!({"reason": "Conflict"}));
        let refused = pipeline.preview(kind, &filter).await.unwrap_err();
        assert_eq!(refused, PipelineError::ReadOnly);
    }
    let applied = pipeline.apply("1-0", &|_| {}).await;
    assert_eq!(applied, Err(PipelineError::ReadOnly));
    assert!(sent.is_empty());
}

#[tokio::test]
async fn an_empty_filter_is_refused_before_anything_is_received() {
    let (stack, sent) = local_stack(&[]).await;
    let pipeline = pipeline(stack, true);
    let blank = json!({"notification_type": " ", "reason": "", "older_than_millis": "0"});
    for kind in KINDS {
        for filter in [filter(&json!({})), filter(&blank)] {
            let refused = pipeline.preview(kind, &filter).await;
            assert!(
                matches!(refused, Err(PipelineError::Invalid(_))),
                "{kind:?}"
            );
        }
    }
    let refused = filter(&json!({"reason": "account-closed"}));
    let refused = pipeline.preview(Kind::Refused, &refused).await.unwrap_err();
    assert!(refused.to_string().contains("is final"), "{refused}");
    assert!(sent.is_empty());
}

#[tokio::test]
async fn redrives_exactly_the_previewed_items_each_as_it_was() {
    let items = page(&[
        item("a", "invoice"),
        item("b", "refund"),
        item("c", "refund"),
    ]);
    let changed = json!({"__type": "x#ConditionalCheckFailedException"});
    // A page that is read later has another item that matches.
    let later = page(&[
        item("b", "refund"),
        item("c", "refund"),
        item("d", "refund"),
    ]);
    let (stack, sent) = local_stack(&[
        ("Scan", items),
        ("Scan", later),
        ("UpdateItem", json!({})),
        ("UpdateItem", changed),
        ("GetItem", json!({})),
    ])
    .await;
    let pipeline = pipeline(stack, true);
    let filter = filter(&json!({"notification_type": "refund", "older_than_millis": "1000"}));
    let preview = pipeline.preview(Kind::Pending, &filter).await.unwrap();
    let keys: Vec<&str> = preview.entries.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["b", "c"]);
    assert_eq!(preview.command, "", "no command selects by type");

    let results = Mutex::new(Vec::new());
    let progress = |applied: Applied| results.lock().unwrap().push(applied);
    pipeline.apply(&preview.token, &progress).await.unwrap();
    let results = results.into_inner().unwrap();
    let shown: Vec<_> = results
        .iter()
        .map(|one| (one.key.as_str(), one.is_redriven, one.result.as_str()))
        .collect();
    assert_eq!(shown, [("b", true, "redriven"), ("c", false, "no item")]);
    for update in sent.bodies("UpdateItem") {
        let condition = update["ConditionExpression"].as_str().unwrap();
        assert!(condition.contains("#status = :status"), "{condition}");
        assert!(condition.contains("attribute_not_exists(#redrives)"));
        assert!(condition.contains("#created = :created"), "{condition}");
    }
    let again = pipeline.apply(&preview.token, &progress_nothing).await;
    assert!(matches!(again, Err(PipelineError::Invalid(_))), "one use");
    assert_eq!(sent.bodies("UpdateItem").len(), 2);
}

fn progress_nothing(_: Applied) {}

#[tokio::test]
async fn lists_by_type_and_says_which_age_it_used() {
    let items = page(&[item("a", "invoice"), item("b", "refund")]);
    let (stack, sent) = local_stack(&[("Scan", items)]).await;
    let pipeline = pipeline(stack, false);
    let filter = filter(&json!({"notification_type": "refund"}));
    let list = pipeline.attention(Kind::Pending, &filter).await.unwrap();
    assert_eq!(list.entries.len(), 1);
    assert_eq!(list.entries[0].notification_type.as_deref(), Some("refund"));
    assert_eq!(list.by_reason["INIT"], Count(2), "also of other types");
    assert!(
        list.notes[0].contains("INIT for 30s or longer"),
        "{:?}",
        list.notes
    );
    assert_eq!(list.not_inspected, None);
    let scan = &sent.bodies("Scan")[0];
    assert_eq!(
        scan["FilterExpression"],
        "#created < :before AND #status = :init"
    );
}

#[tokio::test]
async fn an_id_that_a_filter_names_twice_is_listed_and_redriven_once() {
    let mut stored = item("a", "refund");
    stored["fingerprint"] = json!({"S": "0f".repeat(32)});
    stored["payload"] = json!({"S": "1"});
    stored["version"] = json!({"N": "1"});
    stored["source_message_id"] = json!({"S": "m"});
    let responses = [
        ("GetItem", json!({"Item": stored})),
        ("UpdateItem", json!({})),
    ];
    let (stack, sent) = local_stack(&responses).await;
    let pipeline = pipeline(stack, true);
    let filter = filter(&json!({"ids": ["a", "a"]}));
    let list = pipeline.attention(Kind::Pending, &filter).await.unwrap();
    assert_eq!((list.entries.len(), list.by_reason["INIT"]), (1, Count(1)));
    let preview = pipeline.preview(Kind::Pending, &filter).await.unwrap();
    assert_eq!(preview.entries.len(), 1, "{:?}", preview.notes);
    pipeline
        .apply(&preview.token, &progress_nothing)
        .await
        .unwrap();
    assert_eq!(sent.bodies("UpdateItem").len(), 1);
}

/// A table of 5,000 items. The first page has 2,000, of which one is selected, and uses up what a look may read.
fn large_table() -> [(&'static str, Value); 2] {
    let mut first = page(&[item("a", "invoice")]);
    first["ScannedCount"] = json!(2_000);
    first["LastEvaluatedKey"] = json!({"notification_id": {"S": "a"}});
    first["ConsumedCapacity"] = json!({"CapacityUnits": 2_000.0});
    let described = json!({"Table": {"ItemCount": 5_000, "TableSizeBytes": 5_000_000}});
    [("Scan", first), ("DescribeTable", described)]
}

#[tokio::test]
async fn a_look_at_a_large_table_ends_and_says_what_is_left() {
    let answers = large_table();
    let (stack, sent) = local_stack(&answers).await;
    let pipeline = pipeline(stack, false);
    let list = pipeline.attention(Kind::Refused, &Filter::default()).await;
    let list = list.unwrap();
    assert_eq!(sent.bodies("Scan").len(), 1);
    assert_eq!(list.not_inspected, Some(Count(3_000)));
    assert!(
        list.notes[0].contains("ended after 2000 items"),
        "{:?}",
        list.notes
    );
}

#[tokio::test]
async fn a_preview_of_a_part_suggests_no_command_for_everything() {
    let answers = large_table();
    let (stack, _) = local_stack(&answers).await;
    let pipeline = pipeline(stack, true);
    let old = filter(&json!({"older_than_millis": "1000"}));
    let preview = pipeline.preview(Kind::Pending, &old).await.unwrap();
    assert_eq!((preview.entries.len(), preview.command.as_str()), (1, ""));
    let other = filter(&json!({"older_than_millis": "1000", "reason": "other"}));
    let preview = pipeline.preview(Kind::Pending, &other).await.unwrap();
    assert_eq!((preview.entries.len(), preview.command.as_str()), (0, ""));
}

/// Waits until this operation was called.
async fn until_called(sent: &Sent, operation: &str) {
    let wait = async {
        while sent.bodies(operation).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, wait).await.unwrap();
}

/// A dead letter that a look receives, and what else it asks.
fn one_dead_letter() -> [(&'static str, Value); 5] {
    let message = json!({"MessageId": "m1", "ReceiptHandle": "h1", "Body": "{}"});
    let depth = json!({"Attributes": {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesNotVisible": "1",
        "ApproximateNumberOfMessagesDelayed": "0",
    }});
    [
        ("GET /2015-03-31/functions/ingest/configuration", json!({})),
        ("ReceiveMessage", json!({"Messages": [message]})),
        ("ReceiveMessage", json!({})),
        ("GetQueueAttributes", depth),
        (
            "ChangeMessageVisibilityBatch",
            json!({"Successful": [], "Failed": []}),
        ),
    ]
}

#[tokio::test]
async fn a_page_that_is_left_leaves_no_dead_letter_hidden() {
    let (stack, sent) = local_stack(&one_dead_letter()).await;
    let pipeline = Arc::new(pipeline(stack, false));
    let looking = Arc::clone(&pipeline);
    let look = tokio::spawn(async move {
        let all = Filter::default();
        looking.attention(Kind::DeadLetters, &all).await
    });
    until_called(&sent, "ReceiveMessage").await;
    look.abort();
    assert!(look.await.unwrap_err().is_cancelled());
    until_called(&sent, "ChangeMessageVisibilityBatch").await;
    let all = Filter::default();
    let list = pipeline.attention(Kind::DeadLetters, &all).await;
    assert!(list.is_ok(), "the next look waits for its end: {list:?}");
}

/// Dead letters as they are received, and what else a redrive calls.
fn three_dead_letters() -> Vec<(&'static str, Value)> {
    let message = |number: u32| {
        json!({
            "MessageId": format!("m{number}"),
            "ReceiptHandle": format!("h{number}"),
            "Body": format!(r#"{{"notification_id":"n{number}","type":"t","payload":1}}"#),
            "Attributes": {"MessageGroupId": "g"},
        })
    };
    let messages = json!({"Messages": [message(1), message(2), message(3)]});
    let mut responses = one_dead_letter().to_vec();
    responses.retain(|(operation, _)| *operation != "ReceiveMessage");
    responses.extend([
        // One look, with a long poll that finds nothing, and then the redrive.
        ("ReceiveMessage", messages.clone()),
        ("ReceiveMessage", json!({})),
        ("ReceiveMessage", messages),
        ("GetItem", json!({})),
        ("SendMessage", json!({"MessageId": "new"})),
        ("DeleteMessage", json!({})),
    ]);
    responses
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_console_ends_a_redrive_and_leaves_nothing_hidden() {
    let (stack, sent) = local_stack(&three_dead_letters()).await;
    let pipeline = Arc::new(pipeline(stack, true));
    let filter = filter(&json!({"reason": "NotStored"}));
    let preview = pipeline.preview(Kind::DeadLetters, &filter).await.unwrap();
    assert_eq!(preview.entries.len(), 3);
    let results = Arc::new(Mutex::new(Vec::new()));
    let (redriving, log) = (Arc::clone(&pipeline), Arc::clone(&results));
    let redrive = tokio::spawn(async move {
        let progress = |applied: Applied| log.lock().unwrap().push(applied);
        redriving.apply(&preview.token, &progress).await
    });
    // The clock stands still while this waits, so the second letter is not moved.
    until_called(&sent, "SendMessage").await;
    pipeline.end().await;
    assert_eq!(redrive.await.unwrap(), Ok(()));
    let results = results.lock().unwrap().clone();
    let results: Vec<_> = results
        .iter()
        .map(|one| (one.key.as_str(), one.is_redriven, one.result.as_str()))
        .collect();
    assert_eq!(
        results,
        [
            ("m1", true, "moved, now message new"),
            ("m2", false, "not moved: the console ended"),
            ("m3", false, "not moved: the console ended"),
        ]
    );
    let visible = sent.bodies("ChangeMessageVisibilityBatch");
    let of_redrive = visible[1]["Entries"].as_array().unwrap();
    let mut handles: Vec<_> = of_redrive
        .iter()
        .map(|entry| {
            (
                entry["ReceiptHandle"].as_str().unwrap(),
                &entry["VisibilityTimeout"],
            )
        })
        .collect();
    handles.sort_by_key(|(handle, _)| *handle);
    assert_eq!(handles, [("h2", &json!(0)), ("h3", &json!(0))]);
    let all = Filter::default();
    let list = pipeline.attention(Kind::DeadLetters, &all).await;
    assert!(matches!(list, Err(PipelineError::Failed(_))), "{list:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_console_ends_a_redrive_of_items() {
    let items = page(&[item("a", "refund"), item("b", "refund")]);
    let responses = [("Scan", items), ("UpdateItem", json!({}))];
    let (stack, sent) = local_stack(&responses).await;
    let pipeline = pipeline(stack, true);
    let filter = filter(&json!({"notification_type": "refund"}));
    let preview = pipeline.preview(Kind::Pending, &filter).await.unwrap();
    pipeline.end().await;
    let results = Mutex::new(Vec::new());
    let progress = |applied: Applied| results.lock().unwrap().push(applied.result);
    pipeline.apply(&preview.token, &progress).await.unwrap();
    let results = results.into_inner().unwrap();
    assert_eq!(results, ["not tried: the console ended"; 2]);
    assert!(sent.bodies("UpdateItem").is_empty());
}

#[tokio::test]
async fn an_unknown_payload_is_not_found_and_an_invalid_id_is_refused() {
    let (stack, _) = local_stack(&[("GetItem", json!({}))]).await;
    let pipeline = pipeline(stack, false);
    let missing = pipeline.payload("rf_8841").await;
    assert_eq!(missing, Err(PipelineError::NotFound));
    let invalid = pipeline.payload("tab\tinside").await;
    assert!(matches!(invalid, Err(PipelineError::Invalid(_))));
}

#[tokio::test]
async fn names_the_stack_and_the_command_for_it() {
    let pipeline = pipeline(wire::stack(&[]).await.0, false);
    let about = pipeline.about();
    assert_eq!(about.stack, "onewrite");
    assert_eq!(about.command, "onewrite --stack orders");
    assert!(!about.is_local && !about.has_lab);
}

fn selected(ids: &[&str]) -> Vec<Candidate> {
    let candidate = |id: &&str| Candidate {
        entry: onewrite_console::view::Entry {
            key: (*id).to_owned(),
            notification_id: Some((*id).to_owned()),
            notification_type: None,
            reason: String::new(),
            since: None,
            is_redrivable: true,
            detail: String::new(),
        },
        since: None,
        target: None,
        is_selected: true,
    };
    ids.iter().map(candidate).collect()
}

#[test]
fn suggests_a_command_only_if_it_selects_the_same() {
    let by = |json: Value| ValidFilter::try_from(&filter(&json)).unwrap();
    for (kind, filter, expected) in [
        (
            Kind::DeadLetters,
            json!({"reason": "conflict"}),
            "onewrite redrive dlq --reason Conflict --apply",
        ),
        (
            Kind::DeadLetters,
            json!({"ids": ["it's"]}),
            r"onewrite redrive dlq --id 'it'\''s' --apply",
        ),
        (Kind::DeadLetters, json!({"older_than_millis": "1"}), ""),
        (
            Kind::Pending,
            json!({"older_than_millis": "900000"}),
            "onewrite reconcile --pending-older-than 15m --apply",
        ),
        (Kind::Pending, json!({"ids": ["a"]}), ""),
        (
            Kind::FailureBucket,
            json!({"notification_type": "x"}),
            "onewrite redrive failures --id a --id b --apply",
        ),
    ] {
        let filter = by(filter);
        let line = command("onewrite", kind, &filter, &selected(&["a", "b"]), true);
        assert_eq!(line, expected, "{kind:?} {filter:?}");
        let of_nothing = command("onewrite", kind, &filter, &[], true);
        assert_eq!(of_nothing, "", "{kind:?} {filter:?}");
        let of_a_part = command("onewrite", kind, &filter, &selected(&["a", "b"]), false);
        let names_ids = kind == Kind::FailureBucket;
        assert_eq!(of_a_part, if names_ids { expected } else { "" }, "{kind:?}");
    }
    let many: Vec<String> = (0..=MAX_IDS).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let filter = by(json!({"notification_type": "x"}));
    let line = command(
        "onewrite",
        Kind::FailureBucket,
        &filter,
        &selected(&many),
        true,
    );
    assert_eq!(line, "");
}
