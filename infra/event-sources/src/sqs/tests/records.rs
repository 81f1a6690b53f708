//! Filters and the records of events: S19 to S21 and X10.

use std::collections::BTreeMap;

use super::harness::*;
use crate::message::AttributeValue;
use crate::message::MessageAttribute;
use crate::queue::NewMessage;
use crate::sqs::Finding;
use serde_json::Value;
use serde_json::json;

#[test]
fn s19_messages_that_no_filter_matches_are_deleted_and_never_invoked() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    let ids = harness.send(&[r#"{"k":"v"}"#, r#"{"k":"w"}"#, "plain text"]);
    harness.run(60 * SECOND);
    assert_eq!(harness.batches(), [[r#"{"k":"v"}"#]]);
    assert_eq!(harness.deleted_ids(), set(&ids));
    assert!(harness.queue.is_empty());
    assert_eq!(
        harness.findings[0].1,
        Finding::Filtered {
            message_ids: ids[1..].to_vec()
        }
    );
}

#[test]
fn q16_filtered_messages_are_deleted_even_if_the_batch_fails() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| error());
    let ids = harness.send(&[r#"{"k":"v"}"#, r#"{"k":"w"}"#]);
    harness.run(20 * SECOND);
    assert_eq!(harness.deleted, [(START, ids[1].clone())]);
    assert!(harness.queue.contains(&ids[0]));
}

#[test]
fn x10_only_matching_messages_count_towards_a_batch() {
    let settings = json!({
        "BatchSize": 4, "MaximumBatchingWindowInSeconds": 5, "ScalingConfig": { "MaximumConcurrency": 2 },
        "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] },
    });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    for n in 0..16 {
        harness.send(&[&format!(
            r#"{{"n":{n},"k":"{}"}}"#,
            if n % 2 == 0 { "v" } else { "w" }
        )]);
    }
    harness.run(0);
    assert_eq!(
        harness.batch_sizes().first(),
        Some(&4),
        "full without the messages that were dropped"
    );
}

#[test]
fn x10_no_match_no_invocation() {
    let settings =
        json!({ "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"k":["v"]}}"# }] } });
    let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
    harness.send(&["{}", "{}"]);
    harness.run(60 * SECOND);
    assert!(harness.seen.is_empty() && harness.queue.is_empty());
}

#[test]
fn s20_a_record_has_exactly_the_fields_of_aws() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    let body = "\u{feff} {\"n\": 1.0,\t\"big\":123456789012345678901234567890} \"\\ \u{1F600}\r\n";
    let id = harness.send_one(NewMessage {
        trace_header: Some("Root=1-0-0".to_owned()),
        ..NewMessage::new(body)
    });
    harness.run(0);
    let mut record = harness.seen[0].event.records[0].clone();
    let handle = record["receiptHandle"].take();
    assert!(harness.hidden_until.contains_key(handle.as_str().unwrap()));
    let expected = json!({
        "messageId": id,
        "receiptHandle": null,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": START.to_string(),
            "ApproximateFirstReceiveTimestamp": START.to_string(),
            "SenderId": record["attributes"]["SenderId"],
            "AWSTraceHeader": "Root=1-0-0",
        },
        "messageAttributes": {},
        "md5OfBody": record["md5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
        "awsRegion": "us-east-1",
    });
    assert_eq!(record, expected);
}

#[test]
fn s21_message_attributes_have_the_form_of_aws() {
    let mut harness = Harness::instant(standard(30 * SECOND), json!({}), |_| success());
    let attribute = |data_type: &str, value| MessageAttribute {
        data_type: data_type.to_owned(),
        value,
    };
    let message_attributes = BTreeMap::from([
        (
            "WeeksOn".to_owned(),
            attribute("Number", AttributeValue::Text("6".to_owned())),
        ),
        (
            "Raw".to_owned(),
            attribute("Binary", AttributeValue::Binary(vec![0, 255])),
        ),
    ]);
    harness.send_one(NewMessage {
        message_attributes,
        ..NewMessage::new("a")
    });
    harness.run(0);
    let record = &harness.seen[0].event.records[0];
    let expected = json!({
        "WeeksOn": { "stringValue": "6", "stringListValues": [], "binaryListValues": [], "dataType": "Number" },
        "Raw": { "binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary" },
    });
    assert_eq!(record["messageAttributes"], expected);
    assert_eq!(
        record["md5OfMessageAttributes"].as_str().map(str::len),
        Some(32)
    );
}

#[test]
fn s21_the_digest_of_no_attributes_is_absent_or_with_a_window_null() {
    let record = |settings: Value| {
        let mut harness = Harness::instant(standard(30 * SECOND), settings, |_| success());
        harness.send(&["a"]);
        harness.run(10 * SECOND);
        harness.seen.remove(0).event.records.remove(0)
    };
    assert_eq!(record(json!({})).get("md5OfMessageAttributes"), None);
    let windowed = record(json!({ "MaximumBatchingWindowInSeconds": 1 }));
    assert_eq!(windowed.get("md5OfMessageAttributes"), Some(&Value::Null));
}
