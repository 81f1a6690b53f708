//! The port to the stream against responses as Kinesis writes them.

use std::time::Duration;

use aws_smithy_types::base64;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::replay::{Answer, Endpoint, Server, error, ok};
use onewrite::error::ServiceError;
use onewrite::{
    limits::{MAX_ATTEMPTS, OPERATION_TIMEOUT},
    notification::NotificationId,
};

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
    assert_silent(&result);
    result
}

fn assert_silent(result: &Result<Vec<PutResult>, StreamError>) {
    let text = match result {
        Ok(puts) => format!("{puts:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!text.contains(CANARY), "{text}");
}

fn attempts(answer: &Answer) -> Vec<Answer> {
    vec![answer.clone(); MAX_ATTEMPTS as usize]
}

#[tokio::test(start_paused = true)]
async fn each_record_goes_out_with_its_id_as_partition_key_in_its_place() {
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
async fn a_partial_failure_is_answered_in_place_and_not_sent_again_in_every_mask_of_up_to_10_records()
 {
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
            assert_silent(&result);
            assert_eq!(&result.unwrap(), puts);
            assert_eq!(endpoint.attempts(), call + 1);
        }
        assert_eq!(expected.len(), 2046);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_length_is_believed_of_no_record() {
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
async fn a_record_without_a_place_in_a_shard_is_not_confirmed() {
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
async fn a_call_that_fails_whole_is_an_error_and_what_passes_is_tried_again() {
    for passing in [
        error(400, "ProvisionedThroughputExceededException"),
        error(500, "InternalFailureException"),
        Answer::Reset,
        Answer::Silence,
    ] {
        let endpoint = Endpoint::new([passing, answer(&[stored(0)])]);
        let puts = put(&endpoint, &records(1)).await.unwrap();
        assert!(matches!(puts[0], PutResult::Confirmed { .. }), "{puts:?}");
        assert_eq!(endpoint.attempts(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_past_the_attempts_is_an_error_of_its_own() {
    for code in [
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
    ] {
        let result = put(&Endpoint::new(attempts(&error(400, code))), &records(2)).await;
        assert!(
            matches!(&result, Err(StreamError::Service(ServiceError::Throttled { code: told })) if told == code),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_error_a_reset_or_an_unreadable_answer_leaves_the_outcome_open() {
    let unreadable = Answer::Http(200, format!("<html>{CANARY}"));
    for answers in [
        attempts(&error(500, "InternalFailureException")),
        attempts(&Answer::Http(503, CANARY.to_owned())),
        attempts(&Answer::Reset),
        vec![unreadable],
    ] {
        let result = put(&Endpoint::new(answers), &records(2)).await;
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
async fn an_endpoint_that_never_answers_is_given_up_in_bounded_time() {
    let bound = OPERATION_TIMEOUT + Duration::from_millis(10);
    let start = Instant::now();
    let result = put(&Endpoint::new(attempts(&Answer::Silence)), &records(2)).await;
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
    assert_silent(&result);
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
async fn a_refusal_is_told_by_its_code_and_not_tried_again() {
    for code in [
        "AccessDeniedException",
        "ResourceNotFoundException",
        "InvalidArgumentException",
        "KMSAccessDeniedException",
        "ExpiredTokenException",
    ] {
        let body = json!({"__type": code, "message": format!("near {CANARY}")});
        let endpoint = Endpoint::new([Answer::Http(400, body.to_string())]);
        let result = put(&endpoint, &records(2)).await;
        assert!(
            matches!(&result, Err(StreamError::Service(ServiceError::Refused { code: told })) if told == code),
            "{result:?}"
        );
        assert_eq!(endpoint.attempts(), 1);
    }
}
