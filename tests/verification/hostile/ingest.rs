//! Hostile bodies, pairs of bodies and SQS events, handled by the parser and `ingest`.

use std::collections::BTreeMap;

use onewrite::{
    event::NotificationEvent,
    item::{NotificationItem, PayloadCompression},
    limits::MAX_RECORD_BYTES,
    notification::{MessagePointers, NotificationId, Pointer},
    stream::Record as StreamRecord,
};
use onewrite_ingest::{aggregate::aggregate, handler::Ingest, message::QueueEvent};
use onewrite_runtime::event::decode;
use onewrite_testing::InMemoryTable;
use serde_json::{Value, json};

use crate::{
    check::{self, Line, equal},
    corpus::{self, Body, Event, Pair, Queue},
    text,
};

#[test]
fn handles_every_body_of_the_corpus() {
    for (class, bodies) in corpus::bodies() {
        let cases = bodies
            .into_iter()
            .map(|body| (format!("{class}: {}", body.case), body));
        check::all(cases.collect(), check_body);
    }
}

#[test]
fn distinguishes_duplicates_from_conflicts() {
    let cases = corpus::pairs()
        .into_iter()
        .map(|pair| (pair.case.clone(), pair));
    check::all(cases.collect(), check_pair);
}

#[test]
fn handles_every_sqs_event_of_the_corpus() {
    let cases = corpus::events("ingest")
        .into_iter()
        .map(|event| (event.case.clone(), event));
    check::all(cases.collect(), check_event);
}

async fn check_body(body: &Body) -> Result<(), String> {
    let pointers = pointers(&body.pointers);
    let bytes = body.bytes();
    let Ok(text) = std::str::from_utf8(&bytes) else {
        equal("the corpus", body.outcome.as_str(), "NotText")?;
        let table = InMemoryTable::default();
        let answer = handle(&table, pointers, &event_around(&bytes)).await;
        return equal("the invocation", answer, Err("Unreadable"));
    };
    let parsed = match pointers.parse(text) {
        Ok(_) => "Created",
        Err(rejection) => rejection.name(),
    };
    // The parser does not check the sizes of item and event.
    let parses = ["Created", "ItemTooLarge", "EventTooLarge"].contains(&body.outcome.as_str());
    equal(
        "the parser's outcome",
        parsed,
        if parses { "Created" } else { &body.outcome },
    )?;
    let compressed = body.compressed.as_ref().unwrap_or(&body.outcome);
    let (auto, never) = (PayloadCompression::Auto, PayloadCompression::Never);
    check_stored(body, never, &body.outcome).await?;
    check_stored(body, auto, compressed).await
}

/// Checks what `ingest` stores.
async fn check_stored(
    body: &Body,
    compression: PayloadCompression,
    outcome: &str,
) -> Result<(), String> {
    let table = InMemoryTable::default();
    let event = event_around(&body.bytes());
    let answer = handle_with(&table, pointers(&body.pointers), &event, compression).await;
    let good = outcome == "Created";
    equal(
        "the answer",
        answer,
        Ok(if good { vec![] } else { vec!["m0".to_owned()] }),
    )?;
    equal(
        "the log",
        outcomes(),
        vec![("m0".to_owned(), outcome.to_owned())],
    )?;
    let items = table.items();
    equal("the number of items", items.len(), usize::from(good))?;
    items.values().try_for_each(|item| {
        let item = NotificationItem::from_item(item).map_err(|error| error.to_string())?;
        let [id, kind, payload] = body.stored();
        let notification = &item.notification;
        equal("the id", notification.id.as_str(), &id)?;
        equal("the type", notification.kind.as_str(), &kind)?;
        equal("the payload", notification.payload.as_str(), &payload)?;
        check_later_stages(&item)
    })
}

/// Checks that an accepted item can be published and read again.
fn check_later_stages(item: &NotificationItem) -> Result<(), String> {
    let event = NotificationEvent::from_item(item);
    let record = StreamRecord {
        id: event.subject.clone(),
        data: event.to_json().into_bytes(),
    };
    if record.bytes() > MAX_RECORD_BYTES {
        return Err(format!("its event has {} bytes", record.bytes()));
    }
    equal(
        "its event",
        NotificationEvent::parse(&record.data),
        Ok(event),
    )
}

async fn check_pair(pair: &Pair) -> Result<(), String> {
    let body = |kind: &str, payload: &str| {
        text::string(&format!(
            r#"{{"notification_id":"n","type":"{kind}","payload":{payload}}}"#
        ))
    };
    let messages = [
        body("t", &pair.first),
        body(&pair.second_type, &pair.second),
    ];
    let records: Vec<Value> = messages
        .iter()
        .enumerate()
        .map(|(place, body)| json!({"messageId": format!("m{place}"), "body": body}))
        .collect();
    let event = json!({"Records": records}).to_string();
    let table = InMemoryTable::default();
    let answer = handle(&table, MessagePointers::default(), event.as_bytes()).await;
    let failed = if pair.outcome == "Conflict" {
        vec!["m1".to_owned()]
    } else {
        vec![]
    };
    equal("the answer", answer, Ok(failed))?;
    let outcome = |id: &str, outcome: &str| (id.to_owned(), outcome.to_owned());
    let expected = vec![outcome("m0", "Created"), outcome("m1", &pair.outcome)];
    equal("the log", outcomes(), expected)
}

async fn check_event(event: &Event) -> Result<(), String> {
    let records = event.each();
    let records: Vec<(Value, &str)> = records
        .iter()
        .enumerate()
        .map(|(place, record)| {
            (
                record.edit.apply(good(place, event.queue)),
                &*record.outcome,
            )
        })
        .collect();
    let table = InMemoryTable::default();
    let json: Vec<Value> = records.iter().map(|(json, _)| json.clone()).collect();
    let answer = handle(&table, MessagePointers::default(), &event.bytes(&json)).await;
    if let Some(outcome) = &event.outcome {
        equal("the invocation", answer, Err(outcome.as_str()))?;
        return equal("the number of items", table.items().len(), 0);
    }
    if let Some(failed) = &event.failed {
        return equal("the answer", answer, Ok(failed.clone()));
    }
    let message_id = |json: &Value| json["messageId"].as_str().unwrap_or_default().to_owned();
    let mut expected: Vec<_> = records
        .iter()
        .map(|(json, outcome)| (message_id(json), (*outcome).to_owned()))
        .collect();
    expected.sort();
    let acknowledged = |outcome: &str| ["Created", "AlreadyStored"].contains(&outcome);
    let failed = expected
        .iter()
        .filter(|(_, outcome)| !acknowledged(outcome));
    equal(
        "the answer",
        answer,
        Ok(failed.map(|(id, _)| id.clone()).collect()),
    )?;
    equal("the log", outcomes(), expected)?;
    check_items(&records, &table)
}

/// The table has an item for each created message, and no other.
fn check_items(records: &[(Value, &str)], table: &InMemoryTable) -> Result<(), String> {
    let mut created: Vec<_> = records
        .iter()
        .filter(|(_, outcome)| *outcome == "Created")
        .map(|(json, _)| serde_json::from_str::<Value>(json["body"].as_str().unwrap()).unwrap())
        .map(|body| {
            (
                body["notification_id"].to_string(),
                body["payload"].to_string(),
            )
        })
        .collect();
    created.sort();
    let text = |item: &serde_dynamo::Item| {
        let item = NotificationItem::from_item(item).unwrap().notification;
        (
            json!(item.id.as_str()).to_string(),
            item.payload.as_str().to_owned(),
        )
    };
    let mut stored: Vec<_> = table.items().values().map(text).collect();
    stored.sort();
    equal("the table", stored, created)
}

/// Returns the sorted message ids to retry, or the name of the invocation error.
async fn handle(
    table: &InMemoryTable,
    pointers: MessagePointers,
    event: &[u8],
) -> Result<Vec<String>, &'static str> {
    // The sizes in the corpus are those of items that are not compressed.
    handle_with(table, pointers, event, PayloadCompression::Never).await
}

async fn handle_with(
    table: &InMemoryTable,
    pointers: MessagePointers,
    event: &[u8],
    compression: PayloadCompression,
) -> Result<Vec<String>, &'static str> {
    check::lines();
    let Ok(event) = decode::<QueueEvent>(event) else {
        return Err("Unreadable");
    };
    let ingest = Ingest::new(table.clone(), pointers, 32, aggregate).with_compression(compression);
    let answer = ingest.handle(event, check::budget()).await;
    let failures = answer.map_err(|_| "MissingMessageId")?.batch_item_failures;
    let mut failed: Vec<_> = failures.into_iter().map(|f| f.item_identifier).collect();
    failed.sort();
    Ok(failed)
}

/// The outcome of each message in the log, sorted.
fn outcomes() -> Vec<(String, String)> {
    let outcome = |line: Line| {
        let outcome = match line["message"].as_str() {
            "created" => "Created",
            "already stored" => "AlreadyStored",
            "rejected" => &line["rejection"],
            "failed, SQS will deliver it again" => "Failed",
            message if message.starts_with("conflict") => "Conflict",
            other => panic!("{other}"),
        };
        (line["message_id"].clone(), outcome.to_owned())
    };
    let mut outcomes: Vec<_> = check::lines().into_iter().map(outcome).collect();
    outcomes.sort();
    outcomes
}

fn pointers(named: &BTreeMap<String, String>) -> MessagePointers {
    let default = MessagePointers::default();
    let pointer = |name: &str, default: Pointer| match named.get(name) {
        Some(pointer) => text::string(pointer).parse().unwrap(),
        None => default,
    };
    let id = named.get("id").map(|id| text::string(id).parse().unwrap());
    MessagePointers {
        message: pointer("message", default.message),
        id: id.unwrap_or(default.id),
        kind: pointer("type", default.kind),
        payload: pointer("payload", default.payload),
    }
}

/// An event with these bytes as the body of its message. They need not be UTF-8.
fn event_around(body: &[u8]) -> Vec<u8> {
    let mut event = br#"{"Records":[{"messageId":"m0","body":""#.to_vec();
    for byte in body {
        match byte {
            b'"' | b'\\' => event.extend([b'\\', *byte]),
            0..=0x1f => event.extend(format!("\\u{byte:04x}").as_bytes()),
            _ => event.push(*byte),
        }
    }
    event.extend(br#""}]}"#);
    event
}

fn good(place: usize, queue: Queue) -> Value {
    let suffix = if queue == Queue::Fifo { ".fifo" } else { "" };
    let id = NotificationId::parse(format!("n{place}")).unwrap();
    json!({
        "messageId": format!("m{place}"),
        "receiptHandle": "receipt",
        "body": format!(r#"{{"notification_id":"{id}","type":"t","payload":0}}"#),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "md5OfBody": "00000000000000000000000000000000",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:notifications{suffix}"),
        "awsRegion": "us-east-1",
    })
}
