use serde_json::{Value, json};

use super::*;
use crate::wire;

/// 2026-11-28T12:00:00Z, in milliseconds.
const NOW: i64 = 1_795_867_200_000;
const CONFIGURATION: &str = "GET /2015-03-31/functions/complete/configuration";

fn at(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap()
}

fn last_hour(id: Option<&str>) -> ErrorSearch<'_> {
    ErrorSearch {
        since: at(NOW - 3_600_000),
        now: at(NOW),
        deadline: Instant::now() + Duration::from_secs(600),
        id,
    }
}

/// A failure as `complete` logs it.
fn failed(id: &str, millisecond: i64) -> Value {
    let line = json!({
        "timestamp": "2026-11-28T11:59:59.000000Z", "level": "WARN",
        "message": "failed, Lambda will deliver it again", "notification_id": id, "sequence_number": "4966",
        "failure": "TableFailed", "reason": "DynamoDB: refused (AccessDeniedException)",
    });
    event(millisecond, &line.to_string())
}

fn event(millisecond: i64, message: &str) -> Value {
    json!({"timestamp": millisecond, "message": message, "logStreamName": "2026/11/28/[$LATEST]5f", "eventId": "3"})
}

fn page(events: &[Value], next_token: Option<&str>) -> (&'static str, Value) {
    let mut page = json!({"events": events, "searchedLogStreams": []});
    if let Some(token) = next_token {
        page["nextToken"] = token.into();
    }
    ("FilterLogEvents", page)
}

fn configuration() -> (&'static str, Value) {
    (
        CONFIGURATION,
        json!({"LoggingConfig": {"LogGroup": "stack-CompleteLogs", "LogFormat": "JSON"}}),
    )
}

#[tokio::test]
async fn follows_empty_pages_and_reads_the_newest_lines_first() {
    let responses = [
        configuration(),
        page(&[], Some("more")),
        page(&[failed("a", NOW - 2_000), failed("b", NOW - 1_000)], None),
        page(&[failed("c", NOW - 90_000)], None),
        page(&[], None),
    ];
    let (stack, sent) = wire::stack(&responses).await;
    let errors = read(&stack, "complete", "complete", last_hour(None)).await;
    assert_eq!((&errors.not_read, errors.read_since), (&None, None));
    let [kind] = &errors.kinds[..] else {
        panic!("{errors:?}")
    };
    assert_eq!((kind.count, kind.last.at), (3, at(NOW - 1_000)));
    assert_eq!(
        kind.last.text(),
        "TableFailed: DynamoDB: refused (AccessDeniedException)"
    );

    let inputs = sent.bodies("FilterLogEvents");
    assert!(
        inputs
            .iter()
            .all(|input| input["logGroupName"] == "stack-CompleteLogs")
    );
    assert_eq!(
        (&inputs[0]["nextToken"], &inputs[1]["nextToken"]),
        (&Value::Null, &"more".into())
    );
    let times: Vec<_> = [0, 2, 3, 4]
        .map(|index| &inputs[index])
        .map(|input| {
            (
                input["startTime"].as_i64().unwrap() - NOW,
                input["endTime"].as_i64().unwrap() - NOW,
            )
        })
        .into();
    // Without gaps and without a millisecond twice, up to an hour ago.
    assert_eq!(
        times[..3],
        [(-60_000, 0), (-300_000, -60_001), (-1_260_000, -300_001)]
    );
    assert_eq!(times[3], (-3_600_000, -1_260_001));
}

#[tokio::test]
async fn stops_at_the_newest_error_of_a_notification() {
    let responses = [
        configuration(),
        page(&[failed("other", NOW - 500)], None),
        page(
            &[
                failed("rf_8841", NOW - 70_000),
                failed("rf_8841x", NOW - 69_000),
            ],
            None,
        ),
    ];
    let (stack, sent) = wire::stack(&responses).await;
    let errors = read(&stack, "complete", "complete", last_hour(Some("rf_8841"))).await;
    assert_eq!(errors.kinds[0].last.at, at(NOW - 70_000));
    let inputs = sent.bodies("FilterLogEvents");
    assert_eq!(inputs.len(), 2);
    let pattern = inputs[0]["filterPattern"].as_str().unwrap();
    assert!(
        pattern.ends_with(r#"&& ($.notification_id = "rf_8841") }"#),
        "{pattern}"
    );
}

#[tokio::test]
async fn says_how_far_it_came_when_the_time_is_over() {
    let (stack, _) = wire::stack(&[configuration(), page(&[], Some("more"))]).await;
    let search = ErrorSearch {
        deadline: Instant::now(),
        ..last_hour(None)
    };
    let errors = read(&stack, "complete", "complete", search).await;
    assert_eq!((errors.not_read, errors.read_since), (None, Some(at(NOW))));
    let (stack, _) = wire::stack(&[configuration(), page(&[failed("a", NOW - 1)], None)]).await;
    let errors = read(&stack, "complete", "complete", search).await;
    assert_eq!(
        (errors.kinds.len(), errors.read_since),
        (1, Some(at(NOW - 60_000)))
    );
}

#[tokio::test]
async fn reports_logs_that_cannot_be_read_without_failing() {
    for (code, reason) in [
        ("AccessDeniedException", "FilterLogEvents: access denied"),
        (
            "ResourceNotFoundException",
            "FilterLogEvents failed: ResourceNotFoundException",
        ),
    ] {
        let error = json!({"__type": format!("com.amazonaws.logs#{code}"), "message": "secret"});
        let (stack, _) = wire::stack(&[configuration(), ("FilterLogEvents", error)]).await;
        let errors = read(&stack, "complete", "complete", last_hour(None)).await;
        assert_eq!(errors.not_read.as_deref(), Some(reason));
    }
}

#[test]
fn knows_errors_from_other_log_lines() {
    let parse = |line: &str| LoggedError::parse(NOW, line).map(|error| error.text());
    let line = |fields: Value| parse(&fields.to_string());
    for other in [
        "",
        "START RequestId: 5f",
        "[]",
        "7",
        r#"{"level":"INFO","message":"done"}"#,
    ] {
        assert_eq!(parse(other), None, "{other}");
    }
    assert_eq!(
        line(
            json!({"level": "WARN", "message": "rejected", "rejection": "MissingId", "reason": "no id"})
        ),
        Some("MissingId: no id".to_owned())
    );
    assert_eq!(
        line(
            json!({"level": "ERROR", "message": "a PutRecords call failed, and a retry alone does not help",
            "records": 2, "reason": "AccessDeniedException"})
        ),
        Some("a PutRecords call failed: AccessDeniedException".to_owned())
    );
    assert_eq!(
        line(json!({"level": "ERROR", "message": "TABLE_NAME: missing"})),
        Some("TABLE_NAME: missing".to_owned())
    );
    assert_eq!(
        line(json!({"level": "ERROR", "message": "panicked", "place": "src/a.rs:7:1"})),
        Some("panicked: src/a.rs:7:1".to_owned())
    );
    let report = |status: &str| {
        line(
            json!({"time": "2026-11-28T12:00:00.000Z", "type": "platform.report",
            "record": {"requestId": "5f", "status": status, "errorType": "Sandbox.Timedout"}}),
        )
    };
    assert_eq!(report("success"), None);
    assert_eq!(
        report("timeout"),
        Some("invocation timeout: Sandbox.Timedout".to_owned())
    );
}

#[test]
fn ids_cannot_change_the_filter_pattern() {
    let all = line::pattern(Some("a"));
    for id in [r#"a") || ($.x = "b"#, "a*", "a b", "ä"] {
        let pattern = line::pattern(Some(id));
        assert!(
            !pattern.contains(id) && pattern.len() < all.len(),
            "{pattern}"
        );
    }
}

#[test]
fn bounds_the_number_of_kinds() {
    let mut kinds = Kinds::new();
    for number in 0..100 {
        let line = json!({"level": "WARN", "message": format!("text {number}")});
        add(
            &mut kinds,
            LoggedError::parse(NOW, &line.to_string()).unwrap(),
        );
    }
    assert_eq!(kinds.len(), MAX_KINDS);
}
