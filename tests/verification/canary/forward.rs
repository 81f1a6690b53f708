//! Silence of `forward`: published, retried, failed and unreadable changes.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use aws_smithy_types::base64;
use jiff::Timestamp;
use onewrite::{
    item::{NotificationItem, UnreadableItem, attribute},
    limits::MAX_ATTEMPTS,
};
use onewrite_forward::{change::ChangeEvent, select::select};
use onewrite_testing::{Change, lambda_event};
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, FakeAws, TIME_LIMIT, error_response},
    function_process::FunctionProcess,
    marker::{MARKER, PAYLOAD, contains_marker, item},
};

/// The response of the stream for an id, the expected log field, and whether the record is retried.
const PUTS: [(&str, &str, &str, bool); 8] = [
    ("entry-fails", "codes", "InternalFailure", false),
    ("throttled", "reason", "throttled", false),
    ("failing", "reason", "outcome unknown", false),
    ("garbled", "reason", "outcome unknown", false),
    ("cut", "reason", "outcome unknown", false),
    ("refused", "reason", "refused (", true),
    (
        "malformed",
        "reason",
        "the response has 2 entries for 1 records",
        true,
    ),
    ("silent", "reason", "no answer within", true),
];

fn stream() -> impl Fn(&str, &Value) -> Answer {
    let calls: Mutex<BTreeMap<String, u32>> = Mutex::default();
    move |operation, request| {
        assert_eq!(operation, "PutRecords");
        let id = request["Records"][0]["PartitionKey"].as_str().unwrap();
        let mut calls = calls.lock().unwrap();
        let call = calls.entry(id.to_owned()).or_default();
        *call += 1;
        answer(id, *call, request["Records"].as_array().unwrap().len())
    }
}

/// Transient faults end after a few calls.
fn answer(id: &str, call: u32, records: usize) -> Answer {
    let message = json!({"message": format!("{MARKER}: {PAYLOAD}"), "Message": MARKER});
    let answer = |entry: Value, entries: usize| {
        Answer::Http(
            200,
            json!({"FailedRecordCount": 0, "Records": vec![entry; entries]}).to_string(),
        )
    };
    let confirmed = json!({"ShardId": "shardId-000000000000", "SequenceNumber": "1"});
    let given_up = call > MAX_ATTEMPTS;
    match id {
        "entry-fails" if call == 1 => answer(
            json!({"ErrorCode": "InternalFailure", "ErrorMessage": MARKER}),
            records,
        ),
        "throttled" if !given_up => {
            error_response(400, "ProvisionedThroughputExceededException", message)
        }
        "failing" if !given_up => error_response(500, "InternalFailure", message),
        "garbled" if call == 1 => Answer::Http(200, format!("{{\"{MARKER}\": {MARKER}")),
        "cut" if !given_up => Answer::Cut,
        "refused" => error_response(400, "ValidationException", message),
        "malformed" => answer(
            json!({"ErrorCode": "InternalFailure", "ErrorMessage": MARKER}),
            records + 1,
        ),
        "silent" => Answer::Silence,
        _ => answer(confirmed, records),
    }
}

fn change(id: &str) -> Value {
    let item = item(id).to_item();
    let change = Change {
        sequence_number: "100".to_owned(),
        id: id.to_owned(),
        old: None,
        new: Some(item),
        at: Timestamp::UNIX_EPOCH,
        by_ttl: false,
    };
    lambda_event::dynamodb_json(&[change])["Records"][0].clone()
}

fn event(records: &[Value]) -> Vec<u8> {
    json!({"Records": records}).to_string().into_bytes()
}

/// Unreadable changes, with the marker in place of the original values.
fn unreadable() -> Vec<Value> {
    let broken = |name: &str, value: Value| {
        let mut record = change("broken");
        record["dynamodb"]["NewImage"][name] = value;
        record
    };
    let text = json!({"S": format!("{MARKER} {MARKER} ")});
    let mut records: Vec<Value> = [
        attribute::NOTIFICATION_ID,
        attribute::STATUS,
        attribute::TYPE,
        attribute::PAYLOAD,
        attribute::FINGERPRINT,
        attribute::CREATED_AT,
        attribute::VERSION,
        attribute::REDRIVES,
        attribute::TRACEPARENT,
        attribute::ENRICHMENT,
        attribute::EXPIRES_AT,
    ]
    .map(|name| broken(name, text.clone()))
    .into();
    records.push(broken(
        attribute::PAYLOAD,
        json!({"M": {MARKER: {"S": MARKER}}}),
    ));
    records.push(broken(
        attribute::PAYLOAD,
        json!({"S": format!(r#"{{"{MARKER}":1,"{MARKER}":2}}"#)}),
    ));
    records.push(broken(attribute::VERSION, json!({"N": MARKER})));
    records.extend(broken_streams().map(|bytes| {
        let mut record = change("large-broken");
        record["dynamodb"]["NewImage"][attribute::PAYLOAD]["B"] = base64::encode(bytes).into();
        record
    }));
    // Records that cannot be decoded.
    let payloads = [
        json!(MARKER),
        json!({MARKER: MARKER}),
        json!({"S": [MARKER]}),
        json!({"B": format!("{MARKER}!")}),
    ];
    records.extend(payloads.map(|value| broken(attribute::PAYLOAD, value)));
    let mut text = change("broken");
    text["dynamodb"]["NewImage"] = MARKER.into();
    records.push(text);
    let mut kind = change("broken");
    kind["eventName"] = MARKER.into();
    records.push(kind);
    let mut no_image = change("broken");
    no_image["dynamodb"]["OldImage"] = no_image["dynamodb"]["NewImage"].take();
    records.push(no_image);
    records
}

/// The compressed payload with a byte behind it, without its end, as a text, and with another text in it.
fn broken_streams() -> [Vec<u8>; 4] {
    let payload = item("large").deflated.payload.unwrap();
    assert!(contains_marker(MARKER, &base64::encode(&payload)));
    let twice = onewrite::compression::deflate(&MARKER.repeat(100)).unwrap();
    [
        [&payload[..], b"x"].concat(),
        payload[..payload.len() - 1].to_vec(),
        MARKER.repeat(10).into_bytes(),
        twice,
    ]
}

/// Events that fail the invocation.
fn failing_events() -> Vec<Vec<u8>> {
    let edit = |pointer: &str, value: Value| {
        let mut record = change("refused");
        *record.pointer_mut(pointer).unwrap() = value;
        event(&[record])
    };
    vec![
        event(&[change("panics")]),
        edit("/dynamodb/SequenceNumber", Value::Null),
        edit("/dynamodb/SequenceNumber", json!([MARKER])),
        edit("/dynamodb", MARKER.into()),
        format!(r#"{{"Records":"{MARKER}"}}"#).into_bytes(),
        format!(r#"{{"{MARKER}":{MARKER}"#).into_bytes(),
        format!(r#"{{"Records":[],"{MARKER}":"{MARKER}","Records":[]}}"#).into_bytes(),
    ]
}

#[tokio::test]
async fn forward_does_not_log_payloads_on_any_path() {
    let mut aws = FakeAws::start(stream()).await;
    let function = FunctionProcess::start("forward", &aws);

    let result = aws.invoke(event(&[change("large")]), TIME_LIMIT).await;
    assert_eq!(reported(&result.outcome.unwrap()), None);
    let mut published = change("published");
    for unused in ["StreamViewType", "SizeBytes", "ApproximateCreationDateTime"] {
        published["dynamodb"][unused] = MARKER.into();
    }
    let result = aws.invoke(event(&[published]), TIME_LIMIT).await;
    assert_eq!(reported(&result.outcome.unwrap()), None);
    for (id, .., comes_again) in PUTS {
        let time = if id == "silent" {
            Duration::from_millis(1_500)
        } else {
            TIME_LIMIT
        };
        let result = aws.invoke(event(&[change(id)]), time).await;
        assert_eq!(
            reported(&result.outcome.unwrap()),
            comes_again.then_some("100".to_owned()),
            "{id}"
        );
    }

    let mut removed = change("removed");
    removed["eventName"] = "REMOVE".into();
    removed["dynamodb"]["OldImage"] = removed["dynamodb"]["NewImage"].take();
    let mut edited = change("edited");
    edited["eventName"] = "MODIFY".into();
    edited["dynamodb"]["OldImage"] = edited["dynamodb"]["NewImage"].clone();
    let result = aws.invoke(event(&[removed, edited]), TIME_LIMIT).await;
    assert_eq!(reported(&result.outcome.unwrap()), None);

    let unreadable = unreadable();
    let result = aws.invoke(event(&unreadable), TIME_LIMIT).await;
    assert_eq!(reported(&result.outcome.unwrap()), None);

    for failing in failing_events() {
        let outcome = aws.invoke(failing, TIME_LIMIT).await.outcome;
        assert!(outcome.is_err(), "{outcome:?}");
    }

    let log = function.stop_and_check(&aws).await;
    for (id, field, text, comes_again) in PUTS {
        log.assert_line(&[(field, text)]);
        if comes_again {
            log.assert_line(&[("notification_id", id), ("message", "not published")]);
        }
    }
    let healed = PUTS.iter().filter(|(.., comes_again)| !comes_again).count() as u64;
    assert_eq!(log.metric_sum("Forwarded"), 2 + healed);
    assert_eq!(log.metric_sum("Skipped"), 2);
    assert_eq!(log.metric_sum("Unreadable"), unreadable.len() as u64);
    log.assert_line(&[("message", "panicked")]);
    log.assert_line(&[("message", "unreadable"), ("reason", "no new image")]);
    log.assert_line(&[
        ("message", "unreadable"),
        ("reason", "neither INSERT, MODIFY nor REMOVE"),
    ]);
}

fn reported(answer: &Value) -> Option<String> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    assert!(failures.len() < 2);
    failures
        .first()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
}

#[test]
fn debug_output_of_changes_hides_payloads() {
    let mut records = unreadable();
    records.push(change("good"));
    let event: ChangeEvent = lambda_event::parse(&json!({"Records": records}));
    for record in &event.records {
        let image = record
            .change
            .as_ref()
            .and_then(|one| one.new_image.as_ref());
        let read: Option<Result<NotificationItem, UnreadableItem>> =
            image.map(NotificationItem::from_attributes);
        let shown = format!("{:?} {read:?}", select(record));
        assert!(!shown.contains(MARKER), "{shown}");
    }
}
