//! Silence of `ingest`: created, known, rejected and failed messages.

use std::{collections::BTreeSet, time::Duration};

use aws_smithy_types::base64;
use onewrite::notification::MessagePointers;
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, FakeAws, TIME_LIMIT, error_response},
    function_process::{FunctionProcess, Log},
    marker::{LARGE, MARKER, PAYLOAD, body, contains_marker},
};

/// The response of the table for an id, and the expected log field.
const WRITES: [(&str, &str, &str); 14] = [
    ("created", "message", "created"),
    ("large", "message", "created"),
    ("large-stored", "message", "already stored"),
    ("large-conflict", "message", "conflict"),
    ("large-refused", "reason", "refused ("),
    ("stored", "message", "already stored"),
    ("conflict", "message", "conflict"),
    ("no-item", "reason", "did not return the existing item"),
    ("throttled", "reason", "throttled"),
    ("refused", "reason", "refused ("),
    ("failing", "reason", "outcome unknown"),
    ("garbled", "reason", "outcome unknown"),
    ("cut", "reason", "outcome unknown"),
    ("panics", "reason", "panicked"),
];

/// A text that deflate makes only a quarter smaller.
fn incompressible(characters: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut state = 1_u64;
    // A linear congruential generator with Knuth's constants.
    let mut character = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(ALPHABET[(state >> 58) as usize])
    };
    (0..characters).map(|_| character()).collect()
}

fn marked(text: &str) -> String {
    text.replace("MARKER", MARKER)
}

/// Rejected bodies, with the marker in every possible place.
fn rejected() -> Vec<(&'static str, String)> {
    let mut rejected = invalid_json();
    rejected.extend(invalid_members());
    rejected
}

fn invalid_json() -> Vec<(&'static str, String)> {
    vec![
        (
            "InvalidJson",
            marked(r#"{"notification_id":"n","payload":{"MARKER":MARKER}}"#),
        ),
        (
            "InvalidJson",
            marked(r#"{"notification_id":"n","payload":"MARKER"#),
        ),
        ("InvalidJson", marked(r#"MARKER"#)),
        (
            "LoneSurrogate",
            marked(r#"{"notification_id":"n","payload":"MARKER\ud800"}"#),
        ),
        (
            "NumberTooLong",
            marked(&format!(
                r#"{{"notification_id":"n","payload":["MARKER",{}]}}"#,
                "7".repeat(1_001)
            )),
        ),
        (
            "KeyTooLong",
            marked(&format!(
                r#"{{"notification_id":"n","payload":{{"MARKER{}":1}}}}"#,
                "k".repeat(50_001)
            )),
        ),
        ("NotAnObject", marked(r#"["MARKER",{"MARKER":"MARKER"}]"#)),
        ("NotAnObject", marked(r#""MARKER""#)),
        (
            "TooDeep",
            format!(
                r#"{{"notification_id":"n","payload":{}"{MARKER}"{}}}"#,
                "[".repeat(64),
                "]".repeat(64)
            ),
        ),
        (
            "DuplicateKey",
            marked(r#"{"notification_id":"n","payload":{"MARKER":"MARKER","MARKER":"MARKER"}}"#),
        ),
    ]
}

fn invalid_members() -> Vec<(&'static str, String)> {
    let with = |id: &str, kind: &str| {
        format!(
            r#"{{"notification_id":{id},"type":{kind},"payload":{PAYLOAD},"{MARKER}":"{MARKER}"}}"#
        )
    };
    vec![
        (
            "MissingId",
            marked(r#"{"id":"MARKER","type":"MARKER","payload":"MARKER"}"#),
        ),
        ("IdNotAString", with(&marked(r#"["MARKER"]"#), "\"t\"")),
        (
            "BucketNotification",
            marked(r#"{"Event":"s3:TestEvent","Bucket":"MARKER"}"#),
        ),
        ("IdNotAnInteger", with("1.0", "\"t\"")),
        ("InvalidId", with(&marked(r#""MARKER\tMARKER""#), "\"t\"")),
        (
            "InvalidId",
            with(&format!("\"{}\"", MARKER.repeat(26)), "\"t\""),
        ),
        (
            "TypeNotAString",
            with("\"n\"", &marked(r#"{"MARKER":"MARKER"}"#)),
        ),
        ("InvalidType", with("\"n\"", &marked(r#""MARKER\nMARKER""#))),
        (
            "MissingPayload",
            marked(r#"{"notification_id":"n","type":"MARKER","Payload":"MARKER"}"#),
        ),
        (
            "ItemTooLarge",
            body("n").replace(
                "\"n\": 1.0",
                &format!("\"n\": \"{MARKER}{}\"", incompressible(500_000)),
            ),
        ),
    ]
}

fn message(id: &str, body: Option<&str>) -> Value {
    let marked = json!({"dataType": "String", "stringValue": MARKER});
    json!({
        "messageId": id, "body": body, "receiptHandle": MARKER, "md5OfBody": MARKER, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:notifications",
        "attributes": {"ApproximateReceiveCount": MARKER, "AWSTraceHeader": MARKER, "SenderId": MARKER},
        "messageAttributes": {"traceparent": marked, MARKER: marked},
    })
}

fn event(messages: &[Value]) -> Vec<u8> {
    json!({"Records": messages}).to_string().into_bytes()
}

/// A message that is deferred if it fails for a transient reason.
fn first_receive(id: &str) -> Value {
    let mut message = message(id, Some(&body(id)));
    message["attributes"]["ApproximateReceiveCount"] = "1".into();
    message
}

fn service(operation: &str, request: &Value) -> Answer {
    match operation {
        "PutItem" => table(request),
        "ChangeMessageVisibilityBatch" => queue(request),
        other => panic!("{other}"),
    }
}

/// Refuses a call with one entry. Otherwise, the first entry succeeds and the others fail.
fn queue(request: &Value) -> Answer {
    let entries = request["Entries"].as_array().unwrap();
    let message = json!({"message": MARKER, "Message": MARKER});
    let [first, others @ ..] = &entries[..] else {
        panic!("a call without entries");
    };
    if others.is_empty() {
        return error_response(403, "AccessDeniedException", message);
    }
    let failed = |entry: &Value| json!({"Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": MARKER});
    let failed: Vec<Value> = others.iter().map(failed).collect();
    let body = json!({"Successful": [{"Id": first["Id"]}], "Failed": failed});
    Answer::Http(200, body.to_string())
}

fn table(request: &Value) -> Answer {
    let item = &request["Item"];
    let exists = |item: Value| {
        error_response(
            400,
            "ConditionalCheckFailedException",
            json!({"message": MARKER, "Item": item}),
        )
    };
    let message = json!({"message": format!("{MARKER}: {PAYLOAD}"), "Message": MARKER});
    let id = item["notification_id"]["S"].as_str().unwrap();
    if id.starts_with(LARGE) {
        assert!(contains_marker(
            MARKER,
            item["payload"]["B"].as_str().unwrap()
        ));
    }
    match id.strip_prefix("large-").unwrap_or(id) {
        "created" | "large" => Answer::Http(200, json!({}).to_string()),
        "stored" => exists(item.clone()),
        "conflict" => {
            let mut other = item.clone();
            other["fingerprint"] = json!({"B": base64::encode([0; 32])});
            exists(other)
        }
        "no-item" => error_response(400, "ConditionalCheckFailedException", message),
        "throttled" => error_response(400, "ThrottlingException", message),
        "refused" => error_response(400, "ValidationException", message),
        "failing" => error_response(500, "InternalServerError", message),
        "garbled" => Answer::Http(200, format!("{{\"{MARKER}\": {MARKER}")),
        "cut" => Answer::Cut,
        "silent" => Answer::Silence,
        other => panic!("{other}"),
    }
}

/// Events that fail the invocation.
fn unreadable_events() -> Vec<Vec<u8>> {
    let nameless = [
        message("named", Some(&body("created"))),
        message("", Some(&body("created"))),
    ];
    vec![
        event(&nameless),
        format!(r#"{{"Records":"{MARKER}"}}"#).into_bytes(),
        format!(r#"{{"Records":[{{"messageId":"m","attributes":"{MARKER}"}}]}}"#).into_bytes(),
        format!(r#"{{"Records":[{{"{MARKER}":"{MARKER}","body":"a","body":"{MARKER}"}}]}}"#)
            .into_bytes(),
        format!(r#"{{"Records":[{{"messageId":"m","body":"{MARKER}"#).into_bytes(),
        format!(r#""{MARKER}""#).into_bytes(),
        MARKER.as_bytes().to_vec(),
        [body("n").as_bytes(), b"\xff"].concat(),
    ]
}

#[tokio::test]
async fn ingest_does_not_log_payloads_on_any_path() {
    let mut aws = FakeAws::start(service).await;
    let function = FunctionProcess::start("ingest", &aws);

    let mut messages: Vec<Value> = WRITES.iter().map(|(id, ..)| first_receive(id)).collect();
    let rejected = rejected();
    for (place, (name, body)) in rejected.iter().enumerate() {
        messages.push(message(&format!("{name}-{place}"), Some(body)));
    }
    messages.push(message("MissingBody-", None));
    let result = aws.invoke(event(&messages), TIME_LIMIT).await;
    let acknowledged = ["created", "stored", "large", "large-stored"];
    let must_fail: BTreeSet<&str> = messages
        .iter()
        .map(|message| message["messageId"].as_str().unwrap())
        .filter(|id| !acknowledged.contains(id))
        .collect();
    assert_eq!(failures(&result.outcome.unwrap()), must_fail);

    let short = Duration::from_millis(1_500);
    let silent = event(&[first_receive("silent")]);
    let result = aws.invoke(silent, short).await;
    assert_eq!(
        failures(&result.outcome.unwrap()),
        BTreeSet::from(["silent"])
    );

    let mut fifo = [
        message("first", Some(MARKER)),
        message("behind", Some(&body("created"))),
    ];
    for message in &mut fifo {
        message["eventSourceARN"] = "arn:aws:sqs:us-east-1:000000000000:notifications.fifo".into();
        message["attributes"]["MessageGroupId"] = MARKER.into();
    }
    let result = aws.invoke(event(&fifo), TIME_LIMIT).await;
    assert_eq!(
        failures(&result.outcome.unwrap()),
        BTreeSet::from(["first", "behind"])
    );

    let mut undecodable = message("undecodable", None);
    undecodable["body"] = json!({MARKER: MARKER});
    let result = aws.invoke(event(&[undecodable]), TIME_LIMIT).await;
    assert_eq!(
        failures(&result.outcome.unwrap()),
        BTreeSet::from(["undecodable"])
    );

    for unreadable in unreadable_events() {
        assert!(aws.invoke(unreadable, TIME_LIMIT).await.outcome.is_err());
    }

    let log = function.stop_and_check(&aws).await;
    assert_outcome_lines(&log, &rejected);
    assert_eq!(log.metric_sum("Created"), 2);
    assert_eq!(log.metric_sum("Deferred"), 1);
    assert_eq!(
        log.metric_sum("Received") as usize,
        messages.len() + 2 + fifo.len()
    );
}

fn assert_outcome_lines(log: &Log, rejected: &[(&'static str, String)]) {
    for (id, field, text) in WRITES {
        log.assert_line(&[("message_id", id), (field, text)]);
    }
    for (name, _) in rejected {
        log.assert_line(&[("message_id", *name), ("rejection", *name)]);
    }
    log.assert_line(&[("rejection", "MissingBody")]);
    log.assert_line(&[
        ("message_id", "silent"),
        ("reason", "the time of the invocation was up"),
    ]);
    log.assert_line(&[("message_id", "behind"), ("reason", "earlier message")]);
    log.assert_line(&[("message_id", "undecodable"), ("reason", "decoded")]);
    log.assert_line(&[("message", "not deferred"), ("reason", "InternalError")]);
    log.assert_line(&[
        ("message", "not deferred"),
        ("reason", "refused (AccessDenied"),
    ]);
    log.assert_line(&[("message", "panicked")]);
}

fn failures(answer: &Value) -> BTreeSet<&str> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap())
        .collect()
}

#[test]
fn rejections_do_not_contain_the_body() {
    for (name, body) in rejected() {
        let parsed = MessagePointers::default().parse(&body);
        match parsed {
            Err(rejection) => {
                assert_eq!(rejection.name(), name);
                assert!(
                    !format!("{rejection} {rejection:?}").contains(MARKER),
                    "{name}"
                );
            }
            Ok(notification) => {
                assert_eq!(name, "ItemTooLarge");
                assert!(!format!("{notification:?}").contains(MARKER), "{name}");
            }
        }
    }
}
