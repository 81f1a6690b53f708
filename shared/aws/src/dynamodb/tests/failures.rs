//! Tests how failures of the service are classified, which is the same for all operations.

use std::time::Duration;

use onewrite::limits::{ATTEMPT_TIMEOUT, OPERATION_TIMEOUT};
use tokio::time::Instant;

use super::*;
use crate::replay::Server;

/// Calls each operation once, with the same answers.
async fn each_operation(answers: &[Answer]) -> Vec<(Result<(), TableError>, usize)> {
    let mut results = Vec::new();
    for operation in 0..3 {
        let endpoint = Endpoint::new(answers.iter().cloned());
        let result = match operation {
            0 => insert(&endpoint).await.map(drop),
            1 => complete(&endpoint, vec![]).await.map(drop),
            _ => complete(&endpoint, vec![write("e-1")]).await.map(drop),
        };
        results.push((result, endpoint.attempts()));
    }
    results
}

#[tokio::test(start_paused = true)]
async fn reports_throttling_after_the_last_attempt() {
    for code in [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
    ] {
        for (result, sent) in each_operation(&attempts(&error(400, code))).await {
            assert!(
                matches!(&result, Err(TableError::Service(ServiceError::Throttled { code: found_code })) if found_code == code),
                "{result:?}"
            );
            assert_eq!(sent, MAX_ATTEMPTS as usize);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reports_an_unknown_outcome_after_server_errors_or_resets() {
    for (answer, words) in [
        (error(500, "InternalServerError"), "InternalServerError"),
        (error(503, "ServiceUnavailable"), "ServiceUnavailable"),
        (
            http(502, format!("<html>{CANARY}")),
            "HTTP 502 with an unreadable body",
        ),
        (Answer::Reset, "connection reset"),
    ] {
        for (result, sent) in each_operation(&attempts(&answer)).await {
            assert!(
                matches!(&result, Err(TableError::Service(ServiceError::Unknown { reason })) if reason == words),
                "{result:?}"
            );
            assert_eq!(sent, MAX_ATTEMPTS as usize);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn times_out_if_the_endpoint_never_answers() {
    let start = Instant::now();
    let results = each_operation(&attempts(&Answer::Silence)).await;
    let each = start.elapsed() / 3;
    assert!(
        (ATTEMPT_TIMEOUT..=OPERATION_TIMEOUT + Duration::from_millis(10)).contains(&each),
        "{each:?}"
    );
    for (result, _) in results {
        assert!(
            matches!(
                result,
                Err(TableError::Service(ServiceError::Unknown { .. }))
            ),
            "{result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reports_a_rejection_by_its_code_without_a_retry() {
    for code in [
        "AccessDeniedException",
        "ResourceNotFoundException",
        "ValidationException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
    ] {
        let answer = http(
            400,
            json!({"__type": format!("com.amazon.coral.service#{code}"), "Message": format!("near {CANARY}")})
                .to_string(),
        );
        for (result, sent) in each_operation(&[answer]).await {
            assert!(
                matches!(&result, Err(TableError::Service(ServiceError::Refused { code: found_code })) if found_code == code),
                "{result:?}"
            );
            assert_eq!(sent, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reports_a_transaction_conflict_as_retryable() {
    let endpoint = Endpoint::new(attempts(&error(400, "TransactionConflictException")));
    let result = complete(&endpoint, vec![]).await;
    assert!(
        matches!(
            result,
            Err(TableError::Service(ServiceError::Throttled { .. }))
        ),
        "{result:?}"
    );
}

/// Time is virtual and the sockets are real. The first timeout that the runtime reaches must end the attempt.
#[tokio::test(start_paused = true)]
async fn times_out_a_silent_connection() {
    let table = DynamoDbTable::new(&Server::Silent.config().await, "notifications");
    let start = Instant::now();
    let result = table.insert(&item()).await;
    assert!(start.elapsed() <= OPERATION_TIMEOUT + Duration::from_millis(10));
    assert_no_canary(&result);
    assert!(
        matches!(
            result,
            Err(TableError::Service(ServiceError::Unknown { .. }))
        ),
        "{result:?}"
    );
}

#[tokio::test]
async fn reports_an_unknown_outcome_after_a_connection_reset() {
    let table = DynamoDbTable::new(&Server::Resetting.config().await, "notifications");
    let result = table.insert(&item()).await;
    assert_no_canary(&result);
    assert!(
        matches!(
            result,
            Err(TableError::Service(ServiceError::Unknown { .. }))
        ),
        "{result:?}"
    );
}
