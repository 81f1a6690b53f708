//! Tests the queue port against responses in the format of SQS.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::replay::{Answer, Endpoint, Server, error, http, ok};
use onewrite::limits::{MAX_ATTEMPTS, MAX_VISIBILITY_ENTRIES, OPERATION_TIMEOUT};

/// A receipt handle is not a payload, but a log does not need it either.
const CANARY: &str = "canary-7f3a";
const URL: &str = "https://sqs.us-east-1.amazonaws.com/111111111111/notifications";

fn deferrals(count: usize) -> Vec<Deferral> {
    let deferral = |n: usize| Deferral {
        receipt_handle: format!("AQEB{n}-{CANARY}"),
        wait: Duration::from_secs(30 + n as u64),
    };
    (0..count).map(deferral).collect()
}

fn failed(id: usize, code: &str) -> Value {
    json!({"Id": id.to_string(), "Code": code, "Message": format!("near {CANARY}"), "SenderFault": true})
}

fn successful(id: usize) -> Value {
    json!({"Id": id.to_string()})
}

fn answer(successful: &[Value], failed: &[Value]) -> Answer {
    ok(&json!({"Successful": successful, "Failed": failed}))
}

async fn defer(
    endpoint: &Endpoint,
    deferrals: &[Deferral],
) -> Result<Vec<DeferralResult>, ServiceError> {
    let queue = SqsQueue::new(&endpoint.config().await, URL);
    let result = queue.defer(deferrals).await;
    assert_no_canary(&result);
    result
}

fn assert_no_canary(result: &Result<Vec<DeferralResult>, ServiceError>) {
    let text = match result {
        Ok(results) => format!("{results:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!text.contains(CANARY), "{text}");
}

fn attempts(answer: &Answer) -> Vec<Answer> {
    vec![answer.clone(); MAX_ATTEMPTS as usize]
}

#[tokio::test(start_paused = true)]
async fn sends_each_receipt_handle_with_its_wait_in_seconds() {
    let endpoint = Endpoint::new([answer(&[successful(0), successful(1)], &[])]);
    let results = defer(&endpoint, &deferrals(2)).await.unwrap();
    assert_eq!(results, vec![DeferralResult::Deferred; 2]);
    let sent = endpoint.only();
    assert_eq!(sent.target, "AmazonSQS.ChangeMessageVisibilityBatch");
    assert_eq!(
        sent.body,
        json!({"QueueUrl": URL, "Entries": [
            {"Id": "0", "ReceiptHandle": format!("AQEB0-{CANARY}"), "VisibilityTimeout": 30},
            {"Id": "1", "ReceiptHandle": format!("AQEB1-{CANARY}"), "VisibilityTimeout": 31},
        ]})
    );
}

#[tokio::test(start_paused = true)]
async fn reports_every_combination_of_failed_entries_by_position() {
    for count in 1..=MAX_VISIBILITY_ENTRIES {
        for mask in 0..1_u32 << count {
            let fails = |place: &usize| mask >> place & 1 == 1;
            // SQS names the entries in no particular order.
            let (bad, good): (Vec<usize>, Vec<usize>) = (0..count).rev().partition(fails);
            let code = "ReceiptHandleIsInvalid";
            let endpoint = Endpoint::new([answer(
                &good.iter().copied().map(successful).collect::<Vec<_>>(),
                &bad.iter().map(|id| failed(*id, code)).collect::<Vec<_>>(),
            )]);
            let results = defer(&endpoint, &deferrals(count)).await.unwrap();
            for (place, result) in results.iter().enumerate() {
                let expected = if fails(&place) {
                    let code = code.to_owned();
                    DeferralResult::Failed { code }
                } else {
                    DeferralResult::Deferred
                };
                assert_eq!(*result, expected, "{place} of {count}, {mask:b}");
            }
            assert_eq!(endpoint.attempts(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_a_result_counts_as_failed() {
    for body in [
        json!({}),
        json!({"Successful": []}),
        json!({"Successful": [successful(7)], "Failed": []}),
    ] {
        let results = defer(&Endpoint::new([ok(&body)]), &deferrals(1)).await;
        let code = "NoResult".to_owned();
        assert_eq!(results, Ok(vec![DeferralResult::Failed { code }]), "{body}");
    }
    let both = answer(&[successful(0)], &[failed(0, "InternalError")]);
    let results = defer(&Endpoint::new([both]), &deferrals(1)).await.unwrap();
    assert!(matches!(results[0], DeferralResult::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn retries_transient_errors_of_a_whole_call() {
    for passing in [
        error(400, "RequestThrottled"),
        error(500, "InternalFailure"),
        Answer::Reset,
        Answer::Silence,
    ] {
        let endpoint = Endpoint::new([passing, answer(&[successful(0)], &[])]);
        let results = defer(&endpoint, &deferrals(1)).await;
        assert_eq!(results, Ok(vec![DeferralResult::Deferred]));
        assert_eq!(endpoint.attempts(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_throttling_after_the_last_attempt() {
    for code in ["RequestThrottled", "ThrottlingException"] {
        let result = defer(&Endpoint::new(attempts(&error(400, code))), &deferrals(1)).await;
        let code = code.to_owned();
        assert_eq!(result, Err(ServiceError::Throttled { code }));
    }
}

#[tokio::test(start_paused = true)]
async fn reports_an_unknown_outcome_after_a_server_error_or_a_reset() {
    for answers in [
        attempts(&error(500, "InternalFailure")),
        attempts(&http(503, CANARY.to_owned())),
        attempts(&Answer::Reset),
        vec![http(200, format!("<html>{CANARY}"))],
    ] {
        let result = defer(&Endpoint::new(answers), &deferrals(1)).await;
        assert!(
            matches!(result, Err(ServiceError::Unknown { .. })),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reports_a_refusal_by_its_code_without_a_retry() {
    for code in [
        "AccessDeniedException",
        "QueueDoesNotExist",
        "BatchEntryIdsNotDistinct",
    ] {
        let endpoint = Endpoint::new([error(400, code)]);
        let result = defer(&endpoint, &deferrals(1)).await;
        assert_eq!(result, Err(ServiceError::refused(code)));
        assert_eq!(endpoint.attempts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn times_out_if_the_endpoint_never_answers() {
    let bound = OPERATION_TIMEOUT + Duration::from_millis(10);
    let start = Instant::now();
    let queue = SqsQueue::new(&Server::Silent.config().await, URL);
    let result = queue.defer(&deferrals(1)).await;
    assert!(
        matches!(result, Err(ServiceError::Unknown { .. })),
        "{result:?}"
    );
    assert!(start.elapsed() <= bound, "{:?}", start.elapsed());
}
