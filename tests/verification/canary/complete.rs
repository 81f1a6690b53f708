//! Silence of `complete`: completed, already completed, refused and unreadable events.

use std::time::Duration;

use aws_smithy_types::base64;
use onewrite::event::{NotificationEvent, UnreadableEvent};
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, FakeAws, TIME_LIMIT, error_response},
    function_process::FunctionProcess,
    marker::{MARKER, PAYLOAD, item},
};

/// The response of table and downstream for an id, and the expected log field.
const COMPLETIONS: [(&str, &str, &str); 19] = [
    ("done", "message", "done"),
    ("already", "message", "already settled"),
    ("unknown", "failure", "UnknownId"),
    ("edited", "failure", "VersionMismatch"),
    ("throttled", "reason", "throttled"),
    ("refused", "reason", "refused ("),
    ("failing", "reason", "outcome unknown"),
    ("garbled", "reason", "outcome unknown"),
    ("cut", "reason", "outcome unknown"),
    ("rejected", "reason", "503"),
    ("panics", "failure", "Panicked"),
    ("commits-done", "message", "done"),
    ("commits-already", "message", "already settled"),
    ("commits-doubted", "failure", "WritesRefused"),
    ("commits-throttled", "reason", "throttled"),
    ("commits-refused", "reason", "refused ("),
    ("commits-garbled", "reason", "outcome unknown"),
    ("large-done", "message", "done"),
    ("large-already", "message", "already settled"),
];

fn table(operation: &str, request: &Value) -> Answer {
    let message = json!({"message": format!("{MARKER}: {PAYLOAD}"), "Message": MARKER});
    let old = |id: &str, status: &str| {
        let mut old = json!(item(id).to_item());
        old["status"]["S"] = status.into();
        old
    };
    if operation == "BatchGetItem" {
        return current_states(request);
    }
    let key = if operation == "UpdateItem" {
        &request["Key"]
    } else {
        assert_eq!(operation, "TransactWriteItems");
        &request["TransactItems"][0]["Update"]["Key"]
    };
    let id = key["notification_id"]["S"].as_str().unwrap();
    let exists = |status: &str| {
        error_response(
            400,
            "ConditionalCheckFailedException",
            json!({"message": MARKER, "Item": old(id, status)}),
        )
    };
    let canceled = |reasons: [Value; 2]| {
        error_response(
            400,
            "TransactionCanceledException",
            json!({"Message": MARKER, "CancellationReasons": reasons}),
        )
    };
    let reason =
        |code: &str, item: Option<Value>| json!({"Code": code, "Message": MARKER, "Item": item});
    let none = json!({"Code": "None"});
    match id {
        "done" | "large-done" | "commits-done" => Answer::Http(200, json!({}).to_string()),
        "already" | "large-already" => exists("DONE"),
        "unknown" => error_response(400, "ConditionalCheckFailedException", message),
        "edited" => exists(MARKER),
        "throttled" => error_response(400, "ThrottlingException", message),
        "refused" | "commits-refused" => error_response(400, "ValidationException", message),
        "failing" => error_response(500, "InternalServerError", message),
        "garbled" | "commits-garbled" => Answer::Http(200, format!("{{\"{MARKER}\": {MARKER}")),
        "cut" => Answer::Cut,
        "silent" => Answer::Silence,
        "commits-already" => canceled([
            reason("ConditionalCheckFailed", Some(old(id, "DONE"))),
            none,
        ]),
        "commits-doubted" => canceled([
            none,
            reason("ConditionalCheckFailed", Some(old(id, "INIT"))),
        ]),
        "commits-throttled" => canceled([none, reason("ThrottlingError", None)]),
        other => panic!("{other}"),
    }
}

/// Every item is in INIT, and has more attributes than were asked for. The item `unread` cannot be read.
fn current_states(request: &Value) -> Answer {
    let (name, keys) = request["RequestItems"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let ids = keys["Keys"].as_array().unwrap().iter();
    let ids: Vec<&str> = ids
        .map(|key| key["notification_id"]["S"].as_str().unwrap())
        .collect();
    if ids.contains(&"unread") {
        let message = json!({"message": format!("{MARKER}: {PAYLOAD}")});
        return error_response(400, "ThrottlingException", message);
    }
    let items: Vec<Value> = ids
        .into_iter()
        .map(|id| json!(item(id).to_item()))
        .collect();
    Answer::Http(200, json!({"Responses": {name: items}}).to_string())
}

fn document(id: &str) -> String {
    NotificationEvent::from_item(&item(id)).to_json()
}

/// Documents that are not events, with the marker in place of the original values.
fn unreadable() -> Vec<Vec<u8>> {
    let good: Value = serde_json::from_str(&document("broken")).unwrap();
    let mut documents: Vec<Vec<u8>> = good
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "data")
        .map(|name| {
            let mut broken = good.clone();
            broken[name] = format!("{MARKER} {MARKER}").into();
            broken.to_string().into_bytes()
        })
        .collect();
    documents.extend([
        MARKER.as_bytes().to_vec(),
        format!("\"{MARKER}\"").into_bytes(),
        format!("{{\"{MARKER}\":1,\"{MARKER}\":2}}").into_bytes(),
        format!("{}\"{MARKER}\"{}", "[".repeat(66), "]".repeat(66)).into_bytes(),
        [MARKER.as_bytes(), b"\xff"].concat(),
        document("cut-short").replace('}', "").into_bytes(),
    ]);
    documents
}

fn record(place: usize, data: &[u8]) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": MARKER, "sequenceNumber": (100 + place).to_string(),
            "data": base64::encode(data), "approximateArrivalTimestamp": 1_700_000_000.5,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": MARKER, "eventName": "aws:kinesis:record",
        "invokeIdentityArn": MARKER, "awsRegion": "us-east-1", "eventSourceARN": MARKER,
    })
}

fn event<D: AsRef<[u8]>>(documents: &[D]) -> Vec<u8> {
    let records = documents.iter().enumerate();
    let records: Vec<Value> = records
        .map(|(place, data)| record(place, data.as_ref()))
        .collect();
    json!({"Records": records}).to_string().into_bytes()
}

#[tokio::test]
async fn complete_does_not_log_payloads_on_any_path() {
    let mut aws = FakeAws::start(table).await;
    let function = FunctionProcess::start("complete", &aws);

    let documents = COMPLETIONS.map(|(id, ..)| document(id));
    let result = aws.invoke(event(&documents), TIME_LIMIT).await;
    // The first two events succeed, so the retry starts at the third.
    assert_eq!(reported(&result.outcome.unwrap()), "102");

    let unreadable = unreadable();
    let result = aws.invoke(event(&unreadable), TIME_LIMIT).await;
    assert_eq!(reported(&result.outcome.unwrap()), "100");

    let short = Duration::from_millis(1_500);
    let result = aws.invoke(event(&[document("silent")]), short).await;
    assert_eq!(reported(&result.outcome.unwrap()), "100");

    let result = aws.invoke(event(&[document("unread")]), TIME_LIMIT).await;
    assert_eq!(reported(&result.outcome.unwrap()), "100");

    let edit = |pointer: &str, value: Value| {
        let mut record = record(0, MARKER.as_bytes());
        *record.pointer_mut(pointer).unwrap() = value;
        json!({"Records": [record]}).to_string().into_bytes()
    };
    for undecodable in [
        edit("/kinesis/data", format!("{MARKER}!").into()),
        edit("/kinesis/data", json!([MARKER])),
        edit("/kinesis/approximateArrivalTimestamp", MARKER.into()),
    ] {
        let result = aws.invoke(undecodable, TIME_LIMIT).await;
        assert_eq!(reported(&result.outcome.unwrap()), "100");
    }
    for failing in [
        edit("/kinesis/sequenceNumber", "x".into()),
        edit("/kinesis/sequenceNumber", json!({MARKER: MARKER})),
        edit("/kinesis", MARKER.into()),
        format!(r#"{{"Records":"{MARKER}"}}"#).into_bytes(),
        format!(r#"{{"{MARKER}":{MARKER}"#).into_bytes(),
    ] {
        let outcome = aws.invoke(failing, TIME_LIMIT).await.outcome;
        assert!(outcome.is_err(), "{outcome:?}");
    }

    let log = function.stop_and_check(&aws).await;
    for (id, field, text) in COMPLETIONS {
        log.assert_line(&[("notification_id", id), (field, text)]);
    }
    log.assert_line(&[("notification_id", "silent"), ("failure", "OutOfTime")]);
    log.assert_line(&[("notification_id", "unread"), ("failure", "StateUnknown")]);
    log.assert_line(&[("message", "panicked")]);
    assert_eq!(log.metric_sum("Done"), 3);
    assert_eq!(log.metric_sum("AlreadySettled"), 3);
    // Three records that cannot be decoded, and three without a sequence number.
    assert_eq!(log.metric_sum("Unreadable"), unreadable.len() as u64 + 6);
}

fn reported(answer: &Value) -> &str {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    failures[0]["itemIdentifier"].as_str().unwrap()
}

#[test]
fn debug_output_of_events_hides_payloads() {
    let event = NotificationEvent::parse(document("n").as_bytes()).unwrap();
    assert!(!format!("{event:?}").contains(MARKER));
    for document in unreadable() {
        let error: UnreadableEvent = NotificationEvent::parse(&document).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(MARKER), "{error}");
    }
}
