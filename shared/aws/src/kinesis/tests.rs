//! Tests the stream port against responses in the format of Kinesis.

use std::time::Duration;

use aws_smithy_types::base64;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::replay::{Answer, Endpoint, Server, error, http, ok};
use onewrite::error::ServiceError;
use onewrite::{limits::PUT_RECORDS_TIMEOUT, notification::NotificationId};

const CANARY: &str = "canary-7f3a";

fn records(count: usize) -> Vec<Record> {
    let record = |n| Record {
        id: NotificationId::parse(format!("n-{n}")).unwrap(),
        data: format!(r#"{{"n":{n},"note":"{CANARY}"}}"#).into_bytes(),
    };
    (0..count).map(record).collect()
}

fn stored(place: usize) -> Value {
    json!({
        "SequenceNumber": format!("4954398548005{place}"),
        "ShardId": format!("shardId-00000000000{}", place % 4),
    })
}

fn throttled(place: usize) -> Value {
    json!({
        "ErrorCode": "ProvisionedThroughputExceededException",
        "ErrorMessage": format!("Rate exceeded for shard shardId-000000000000 in stream near {CANARY} {place}"),
    })
}

fn internal_failure(_: usize) -> Value {
    json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."})
}

fn answer(entries: &[Value]) -> Answer {
    let failed = entries
        .iter()
        .filter(|entry| entry.get("ErrorCode").is_some());
    ok(&json!({
        "EncryptionType": "KMS",
        "FailedRecordCount": failed.count(),
        "Records": entries,
    }))
}

async fn put(endpoint: &Endpoint, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
    let stream = KinesisStream::new(&endpoint.config().await, "events");
    let result = stream.put(records).await;
    assert_no_canary(&result);
    result
}

fn assert_no_canary(result: &Result<Vec<PutResult>, StreamError>) {
    let text = match result {
        Ok(puts) => format!("{puts:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!text.contains(CANARY), "{text}");
}

#[tokio::test(start_paused = true)]
async fn sends_each_record_in_order_with_its_id_as_partition_key() {
    let endpoint = Endpoint::new([answer(&[stored(0), stored(1)])]);
    let records = records(2);
    put(&endpoint, &records).await.unwrap();
    let sent = endpoint.only();
    assert_eq!(sent.target, "Kinesis_20131202.PutRecords");
    let entry = |record: &Record| json!({"PartitionKey": record.id.as_str(), "Data": base64::encode(&record.data)});
    assert_eq!(
        sent.body,
        json!({"StreamName": "events", "Records": [entry(&records[0]), entry(&records[1])]})
    );
}

#[tokio::test(start_paused = true)]
async fn reports_partial_failures_by_position_without_a_retry() {
    for (failure, code) in [
        (
            throttled as fn(usize) -> Value,
            "ProvisionedThroughputExceededException",
        ),
        (internal_failure, "InternalFailure"),
    ] {
        let cases =
            (1..=10_usize).flat_map(|count| (0..1_u32 << count).map(move |mask| (count, mask)));
        let mut answers = Vec::new();
        let mut expected = Vec::new();
        for (count, mask) in cases {
            let fails = |place: usize| mask >> place & 1 == 1;
            let entries: Vec<_> = (0..count)
                .map(|place| {
                    if fails(place) {
                        failure(place)
                    } else {
                        stored(place)
                    }
                })
                .collect();
            answers.push(answer(&entries));
            let confirmed = |place: usize| PutResult::Confirmed {
                shard_id: format!("shardId-00000000000{}", place % 4),
                sequence_number: format!("4954398548005{place}"),
            };
            let failed = || PutResult::Failed {
                code: code.to_owned(),
            };
            let puts: Vec<_> = (0..count)
                .map(|place| {
                    if fails(place) {
                        failed()
                    } else {
                        confirmed(place)
                    }
                })
                .collect();
            expected.push(puts);
        }
        let endpoint = Endpoint::new(answers);
        let stream = KinesisStream::new(&endpoint.config().await, "events");
        for (call, puts) in expected.iter().enumerate() {
            let result = stream.put(&records(puts.len())).await;
            assert_no_canary(&result);
            assert_eq!(&result.unwrap(), puts);
            assert_eq!(endpoint.attempts(), call + 1);
        }
        assert_eq!(expected.len(), 2046);
    }
}

#[tokio::test(start_paused = true)]
async fn rejects_a_response_with_another_number_of_records() {
    for answered in [0, 1, 3] {
        let entries: Vec<_> = (0..answered).map(stored).collect();
        let result = put(&Endpoint::new([answer(&entries)]), &records(2)).await;
        assert!(
            matches!(result, Err(StreamError::Malformed { sent: 2, received: r }) if r == answered),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn does_not_confirm_a_record_without_a_shard_and_sequence_number() {
    for entry in [
        json!({}),
        json!({"ShardId": "shardId-000000000000"}),
        json!({"SequenceNumber": "49"}),
        json!({"ShardId": "shardId-000000000000", "SequenceNumber": "49", "ErrorCode": "InternalFailure"}),
    ] {
        let body = json!({"FailedRecordCount": 0, "Records": [entry, stored(1)]});
        let puts = put(&Endpoint::new([ok(&body)]), &records(2)).await.unwrap();
        assert!(matches!(puts[0], PutResult::Failed { .. }), "{puts:?}");
        assert!(matches!(puts[1], PutResult::Confirmed { .. }), "{puts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reports_throttling_without_a_retry() {
    for code in [
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
    ] {
        let result = put(&Endpoint::new([error(400, code)]), &records(2)).await;
        assert!(
            matches!(&result, Err(StreamError::Service(ServiceError::Throttled { code: found_code })) if found_code == code),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reports_an_unknown_outcome_without_a_retry() {
    for answer in [
        error(500, "InternalFailureException"),
        http(503, CANARY.to_owned()),
        Answer::Reset,
        Answer::Silence,
        http(200, format!("<html>{CANARY}")),
    ] {
        // A second attempt would fail the test.
        let result = put(&Endpoint::new([answer]), &records(2)).await;
        assert!(
            matches!(
                result,
                Err(StreamError::Service(ServiceError::Unknown { .. }))
            ),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn times_out_if_the_endpoint_never_answers() {
    let bound = PUT_RECORDS_TIMEOUT + Duration::from_millis(10);
    let start = Instant::now();
    let result = put(&Endpoint::new([Answer::Silence]), &records(2)).await;
    assert!(
        matches!(
            result,
            Err(StreamError::Service(ServiceError::Unknown { .. }))
        ),
        "{result:?}"
    );
    assert!(start.elapsed() <= bound, "{:?}", start.elapsed());

    let start = Instant::now();
    let stream = KinesisStream::new(&Server::Silent.config().await, "events");
    let result = stream.put(&records(2)).await;
    assert_no_canary(&result);
    assert!(
        matches!(
            result,
            Err(StreamError::Service(ServiceError::Unknown { .. }))
        ),
        "{result:?}"
    );
    assert!(start.elapsed() <= bound, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn reports_a_rejection_by_its_code_without_a_retry() {
    for code in [
        "AccessDeniedException",
        "ResourceNotFoundException",
        "InvalidArgumentException",
        "KMSAccessDeniedException",
        "ExpiredTokenException",
    ] {
        let body = json!({"__type": code, "message": format!("near {CANARY}")});
        let endpoint = Endpoint::new([http(400, body.to_string())]);
        let result = put(&endpoint, &records(2)).await;
        assert!(
            matches!(&result, Err(StreamError::Service(ServiceError::Refused { code: found_code })) if found_code == code),
            "{result:?}"
        );
        assert_eq!(endpoint.attempts(), 1);
    }
}
