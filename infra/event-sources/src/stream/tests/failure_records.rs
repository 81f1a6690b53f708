//! Failure records to the failure destination, and what happens if it rejects them.

use serde_json::{Value, json};

use super::harness::*;
use crate::invocation::InvocationOutcome;
use crate::mapping::StreamKind::{DynamoDb, Kinesis};
use crate::stream::Finding;

fn given_up(outcome: impl Fn() -> InvocationOutcome + 'static) -> Harness {
    let settings = to_queue(json!({"MaximumRetryAttempts": 1}));
    let mut harness = Harness::new(Kinesis, settings).function(move |_| outcome());
    harness.put("a");
    harness.now += 7;
    harness.put("b");
    harness.enable();
    harness.pass(60_000);
    harness
}

#[test]
fn d21_failure_record_identifies_batch_and_last_invocation() {
    let harness = given_up(error);
    let (failure_record, event) = &harness.failure_records[0];
    assert_eq!(failure_record.request_id, "request-2");
    assert_eq!(
        failure_record.function_arn,
        "arn:aws:lambda:eu-west-1:111111111111:function:f"
    );
    assert_eq!(
        (failure_record.first_arrival, failure_record.last_arrival),
        (START, START + 7)
    );
    assert_eq!(
        (
            failure_record.start_sequence_number.as_str(),
            failure_record.end_sequence_number.as_str()
        ),
        ("1", "2")
    );
    assert_eq!(
        (failure_record.batch_size, failure_record.shard_id.as_str()),
        (2, "shardId-000000000000")
    );
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["Records"].as_array().unwrap().len(), 2);
    assert!(
        !failure_record.body().to_string().contains("Records"),
        "no record data"
    );
}

#[test]
fn k8_kinesis_failure_record_contains_kinesis_batch_info() {
    let body = given_up(error).failure_records[0].0.body();
    assert!(body.get("KinesisBatchInfo").is_some() && body.get("DDBStreamBatchInfo").is_none());
}

#[test]
fn d22_failure_record_contains_the_last_response() {
    let answer = |harness: &Harness| {
        harness.failure_records[0].0.body()["responseContext"]["functionError"].clone()
    };
    assert_eq!(answer(&given_up(error)), json!("Unhandled"));
    let malformed =
        given_up(|| InvocationOutcome::Response(r#"{"batchItemFailures":[{}]}"#.to_owned()));
    assert_eq!(answer(&malformed), Value::Null);
}

#[test]
fn d22_record_expired_before_invocation_counts_one() {
    let settings = to_queue(json!({"MaximumRecordAgeInSeconds": 60}));
    let mut harness = Harness::new(DynamoDb, settings);
    harness.put("a");
    harness.now += 61_000;
    harness.enable();
    harness.pass(1_000);
    assert_eq!(
        harness.failure_records_sent(),
        [("RecordAgeExceeded".to_owned(), 1, "a".to_owned())]
    );
    let (failure_record, _) = &harness.failure_records[0];
    assert_eq!(failure_record.body().get("responseContext"), None);
    let groups: Vec<usize> = failure_record.request_id.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12]);
}

#[test]
fn d23_passes_the_whole_event_for_a_bucket() {
    let harness = given_up(error);
    let (failure_record, event) = &harness.failure_records[0];
    assert_eq!(failure_record.object(event)["payload"], json!(event));
}

#[test]
fn q12_discards_records_if_destination_rejects_and_reports_it() {
    let settings = to_queue(json!({"MaximumRetryAttempts": 0, "BatchSize": 1}));
    let mut harness =
        Harness::new(DynamoDb, settings).function(
            |invocation| {
                if invocation.has("a") { error() } else { ok() }
            },
        );
    harness.destination_refuses = true;
    harness.put_all(&["a", "b"]);
    harness.enable();
    harness.pass(60_000);
    assert_eq!(harness.batches(), ["a", "b"]);
    let refused = |finding: &&Finding| matches!(finding, Finding::FailureRecordRejected { .. });
    assert_eq!(harness.findings.iter().filter(refused).count(), 1);
}

#[test]
fn d17_records_stay_unprocessed_until_failure_record_is_answered() {
    let settings = to_queue(json!({"MaximumRetryAttempts": 0, "BatchSize": 1}));
    let mut harness = Harness::new(DynamoDb, settings.clone()).function(|_| error());
    harness.destination_is_silent = true;
    harness.put_all(&["a", "b"]);
    harness.enable();
    harness.pass(60_000);
    assert_eq!(harness.batches(), ["a"]);
    assert_eq!(harness.poller.in_flight().failure_records, 1);
    // If the poller is lost meanwhile, the failure record is sent again.
    harness.destination_is_silent = false;
    harness.lose_poller(
        mapping(DynamoDb, settings),
        crate::choices::Choices::default_outcomes(),
    );
    harness.enable();
    harness.pass(60_000);
    assert_eq!(harness.batches(), ["a", "a", "b"]);
    assert_eq!(harness.failure_records.len(), 3);
}
