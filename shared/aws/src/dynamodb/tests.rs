//! Tests the table ports against responses in the format of DynamoDB.

use std::time::Duration;

use aws_sdk_dynamodb::types::Put;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::replay::{Answer, Endpoint, Server, error, ok};
use onewrite::error::ServiceError;
use onewrite::limits::{ATTEMPT_TIMEOUT, MAX_ATTEMPTS, OPERATION_TIMEOUT};
use onewrite_testing::contract::{completion, notification};

const CANARY: &str = "canary-7f3a";

fn item() -> NotificationItem {
    notification("n-1", &format!(r#"{{"note":"{CANARY}"}}"#))
}

fn item_json(item: &NotificationItem) -> Value {
    serde_json::to_value(item.to_item()).unwrap()
}

/// A settled item whose payload an operator erased.
fn erased() -> Value {
    let mut erased = item_json(&item());
    erased["status"] = json!({"S": "DONE"});
    erased["erased_at"] = json!({"S": "2026-11-23T10:00:00.000Z"});
    drop(erased.as_object_mut().unwrap().remove("payload"));
    erased
}

fn condition_failed(old: Option<Value>) -> Answer {
    let mut body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    });
    if let Some(old) = old {
        body["Item"] = old;
    }
    Answer::Http(400, body.to_string())
}

fn canceled(reasons: &Value) -> Answer {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": reasons,
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
    });
    Answer::Http(400, body.to_string())
}

fn attempts(answer: &Answer) -> Vec<Answer> {
    vec![answer.clone(); MAX_ATTEMPTS as usize]
}

async fn table(endpoint: &Endpoint) -> DynamoDbTable {
    DynamoDbTable::new(&endpoint.config().await, "notifications")
}

async fn insert(endpoint: &Endpoint) -> Result<InsertResult, TableError> {
    let result = table(endpoint).await.insert(&item()).await;
    assert_no_canary(&result);
    result
}

async fn complete(
    endpoint: &Endpoint,
    writes: Vec<TransactWriteItem>,
) -> Result<CompletionResult, TableError> {
    let table = table(endpoint).await;
    let result = table.complete(&completion("n-1"), writes).await;
    assert_no_canary(&result);
    result
}

fn assert_no_canary<T: std::fmt::Debug>(result: &Result<T, TableError>) {
    let mut texts = format!("{result:?}");
    let mut cause = result.as_ref().err().map(|e| e as &dyn std::error::Error);
    while let Some(error) = cause {
        texts.push_str(&format!("{error} {error:?}"));
        cause = error.source();
    }
    assert!(!texts.contains(CANARY), "{texts}");
}

/// A write of the consumer that fails if its key exists.
fn write(key: &str) -> TransactWriteItem {
    let put = Put::builder()
        .table_name("effects")
        .item("effect_id", string(key))
        .item("note", string(CANARY))
        .condition_expression("attribute_not_exists(effect_id)")
        .build()
        .unwrap();
    TransactWriteItem::builder().put(put).build()
}

fn throttled() -> Answer {
    error(400, "ProvisionedThroughputExceededException")
}

mod insert {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn creates_a_new_item_with_one_conditional_put_item() {
        let endpoint = Endpoint::new([ok(&json!({}))]);
        let item = item();
        let created = table(&endpoint).await.insert(&item).await.unwrap();
        assert_eq!(created, InsertResult::Created);
        let sent = endpoint.only();
        assert_eq!(sent.target, "DynamoDB_20120810.PutItem");
        assert_eq!(
            sent.body,
            json!({
                "TableName": "notifications",
                "Item": item_json(&item),
                "ConditionExpression": "attribute_not_exists(notification_id)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn returns_the_stored_fingerprint_if_the_condition_fails() {
        let same = item();
        let other = super::notification("n-1", "2");
        for stored in [same, other] {
            let endpoint = Endpoint::new([condition_failed(Some(item_json(&stored)))]);
            let fingerprint = Some(stored.notification.fingerprint);
            let exists = InsertResult::Exists { fingerprint };
            assert_eq!(super::insert(&endpoint).await.unwrap(), exists);
            assert_eq!(endpoint.attempts(), 1, "a failed condition is an answer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn recognizes_a_copy_of_an_erased_notification() {
        let endpoint = Endpoint::new([condition_failed(Some(erased()))]);
        let fingerprint = Some(item().notification.fingerprint);
        let exists = InsertResult::Exists { fingerprint };
        assert_eq!(super::insert(&endpoint).await.unwrap(), exists);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_an_existing_item_without_a_fingerprint() {
        let mut edited = item_json(&item());
        for fingerprint in [None, Some(json!({"S": "short"})), Some(json!({"N": "1"}))] {
            match fingerprint {
                Some(fingerprint) => edited["fingerprint"] = fingerprint,
                None => drop(edited.as_object_mut().unwrap().remove("fingerprint")),
            }
            let endpoint = Endpoint::new([condition_failed(Some(edited.clone()))]);
            let exists = InsertResult::Exists { fingerprint: None };
            assert_eq!(super::insert(&endpoint).await.unwrap(), exists);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rejects_a_failed_condition_without_the_old_item() {
        let endpoint = Endpoint::new([condition_failed(None)]);
        let result = super::insert(&endpoint).await;
        assert!(matches!(result, Err(TableError::NoOldItem)), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_transient_errors() {
        for passing in [
            throttled(),
            error(500, "InternalServerError"),
            Answer::Reset,
        ] {
            let endpoint = Endpoint::new([passing, ok(&json!({}))]);
            assert_eq!(
                super::insert(&endpoint).await.unwrap(),
                InsertResult::Created
            );
            assert_eq!(endpoint.attempts(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn finds_its_own_item_after_a_lost_response() {
        let item = item();
        for lost in [
            error(500, "InternalServerError"),
            Answer::Reset,
            Answer::Silence,
        ] {
            let endpoint = Endpoint::new([lost, condition_failed(Some(item_json(&item)))]);
            let fingerprint = Some(item.notification.fingerprint);
            let exists = InsertResult::Exists { fingerprint };
            assert_eq!(super::insert(&endpoint).await.unwrap(), exists);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reports_an_unknown_outcome_for_an_unreadable_response() {
        let endpoint = Endpoint::new([Answer::Http(200, format!("<html>{CANARY}"))]);
        let result = super::insert(&endpoint).await;
        assert!(
            matches!(
                result,
                Err(TableError::Service(ServiceError::Unknown { .. }))
            ),
            "{result:?}"
        );
    }
}

mod complete {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn completes_with_one_conditional_update_item() {
        let endpoint = Endpoint::new([ok(&json!({}))]);
        let completion = Completion {
            expires_at: Some(1_800_000_000),
            at: "2026-11-23T10:00:00.5Z".parse().unwrap(),
            ..super::completion("n-1")
        };
        let completed = table(&endpoint).await.complete(&completion, vec![]).await;
        assert_eq!(completed.unwrap(), CompletionResult::Accepted);
        let sent = endpoint.only();
        assert_eq!(sent.target, "DynamoDB_20120810.UpdateItem");
        assert_eq!(
            sent.body,
            json!({
                "TableName": "notifications",
                "Key": {"notification_id": {"S": "n-1"}},
                "UpdateExpression":
                    "SET #status = :done, version = :next, updated_at = :now, expires_at = :expires",
                "ConditionExpression":
                    "attribute_exists(notification_id) AND #status = :init AND version = :seen",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {
                    ":init": {"S": "INIT"},
                    ":done": {"S": "DONE"},
                    ":seen": {"N": "1"},
                    ":next": {"N": "2"},
                    ":now": {"S": "2026-11-23T10:00:00.500Z"},
                    ":expires": {"N": "1800000000"},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn sets_no_expiry_without_retention() {
        let endpoint = Endpoint::new([ok(&json!({}))]);
        let completion = Completion {
            expires_at: None,
            ..super::completion("n-1")
        };
        let completed = table(&endpoint).await.complete(&completion, vec![]).await;
        assert_eq!(completed.unwrap(), CompletionResult::Accepted);
        let body = endpoint.only().body;
        assert_eq!(
            body["UpdateExpression"],
            "SET #status = :done, version = :next, updated_at = :now"
        );
        assert!(body["ExpressionAttributeValues"].get(":expires").is_none());
    }

    /// The items that prevent a completion, and the expected results.
    fn obstacles() -> Vec<(Option<Value>, CompletionResult)> {
        let with = |name: &str, value: Value| {
            let mut old = item_json(&item());
            old[name] = value;
            Some(old)
        };
        vec![
            (None, CompletionResult::UnknownId),
            (
                with("status", json!({"S": "DONE"})),
                CompletionResult::AlreadyDone,
            ),
            (Some(erased()), CompletionResult::AlreadyDone),
            (
                with("version", json!({"N": "7"})),
                CompletionResult::VersionMismatch,
            ),
            (
                with("status", json!({"S": "EDITED"})),
                CompletionResult::VersionMismatch,
            ),
            (
                with("status", json!({"N": "1"})),
                CompletionResult::VersionMismatch,
            ),
            (
                Some(json!({"notification_id": {"S": "n-1"}})),
                CompletionResult::VersionMismatch,
            ),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn derives_the_result_from_the_existing_item() {
        for (old, expected) in obstacles() {
            let endpoint = Endpoint::new([condition_failed(old)]);
            let completed = super::complete(&endpoint, vec![]).await.unwrap();
            assert_eq!(completed, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn derives_the_result_in_a_transaction_for_every_write_outcome() {
        for (old, expected) in obstacles() {
            for write_code in ["None", "ConditionalCheckFailed", "TransactionConflict"] {
                let mut done = json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"});
                if let Some(old) = &old {
                    done["Item"] = old.clone();
                }
                let endpoint = Endpoint::new([canceled(&json!([done, {"Code": write_code}]))]);
                let completed = super::complete(&endpoint, vec![write("e-1")])
                    .await
                    .unwrap();
                assert_eq!(completed, expected, "{write_code}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn commits_the_writes_after_done_in_one_transaction() {
        let endpoint = Endpoint::new([ok(&json!({}))]);
        let writes = vec![write("e-1"), write("e-2")];
        assert_eq!(
            super::complete(&endpoint, writes).await.unwrap(),
            CompletionResult::Accepted
        );
        let alone = Endpoint::new([ok(&json!({}))]);
        super::complete(&alone, vec![]).await.unwrap();
        let sent = endpoint.only();
        assert_eq!(sent.target, "DynamoDB_20120810.TransactWriteItems");
        let items = sent.body["TransactItems"].as_array().unwrap();
        assert_eq!(items.len(), 3);
        for field in [
            "Key",
            "ConditionExpression",
            "ReturnValuesOnConditionCheckFailure",
        ] {
            assert_eq!(
                items[0]["Update"][field],
                alone.only().body[field],
                "{field}"
            );
        }
        assert_eq!(items[0]["Update"]["TableName"], "notifications");
        assert_eq!(items[1]["Put"]["Item"]["effect_id"]["S"], "e-1");
        assert_eq!(items[2]["Put"]["Item"]["effect_id"]["S"], "e-2");
    }

    #[tokio::test(start_paused = true)]
    async fn uses_one_token_per_call_and_shares_it_between_attempts() {
        let answers = [Answer::Reset, ok(&json!({})), ok(&json!({}))];
        let endpoint = Endpoint::new(answers);
        for _ in 0..2 {
            let completed = super::complete(&endpoint, vec![write("e-1")]).await;
            assert_eq!(completed.unwrap(), CompletionResult::Accepted);
        }
        let tokens: Vec<_> = endpoint
            .sent()
            .iter()
            .map(|sent| sent.body["ClientRequestToken"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(tokens[0], tokens[1]);
        assert_ne!(tokens[1], tokens[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn distinguishes_the_cancellation_reasons() {
        let codes = |codes: &[&str]| codes.iter().map(|code| json!({"Code": code})).collect();
        let reasons: fn(&[&str]) -> Value = codes;
        let endpoint = |codes: &[&str]| Endpoint::new([canceled(&reasons(codes))]);
        for refused in [
            ["None", "ConditionalCheckFailed", "None"],
            ["None", "None", "ConditionalCheckFailed"],
            ["None", "TransactionConflict", "ConditionalCheckFailed"],
        ] {
            let writes = vec![write("e-1"), write("e-2")];
            let completed = super::complete(&endpoint(&refused), writes).await.unwrap();
            assert_eq!(completed, CompletionResult::WritesRefused, "{refused:?}");
        }
        for code in [
            "TransactionConflict",
            "ProvisionedThroughputExceeded",
            "ThrottlingError",
        ] {
            for codes in [
                ["None", code],
                [code, "None"],
                [code, "ConditionalCheckFailed"],
            ] {
                let result = super::complete(&endpoint(&codes), vec![write("e-1")]).await;
                assert!(
                    matches!(&result, Err(TableError::Service(ServiceError::Throttled { code: found_code })) if found_code == code),
                    "{codes:?}: {result:?}"
                );
            }
        }
        for code in ["ItemCollectionSizeLimitExceeded", "ValidationError"] {
            for codes in [["None", code], [code, "None"]] {
                let result = super::complete(&endpoint(&codes), vec![write("e-1")]).await;
                assert!(
                    matches!(&result, Err(TableError::Service(ServiceError::Refused { code: found_code })) if found_code == code),
                    "{codes:?}: {result:?}"
                );
            }
        }
        for none in [&[][..], &["None", "None"][..]] {
            let result = super::complete(&endpoint(none), vec![write("e-1")]).await;
            assert!(
                matches!(
                    result,
                    Err(TableError::Service(ServiceError::Refused { .. }))
                ),
                "{result:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_a_transaction_in_progress_then_reports_an_unknown_outcome() {
        let in_progress = error(400, "TransactionInProgressException");
        let endpoint = Endpoint::new([Answer::Silence, in_progress.clone(), ok(&json!({}))]);
        let completed = super::complete(&endpoint, vec![write("e-1")]).await;
        assert_eq!(completed.unwrap(), CompletionResult::Accepted);
        let endpoint = Endpoint::new(attempts(&in_progress));
        let result = super::complete(&endpoint, vec![write("e-1")]).await;
        assert!(
            matches!(
                result,
                Err(TableError::Service(ServiceError::Unknown { .. }))
            ),
            "{result:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_send_more_writes_than_a_transaction_allows() {
        let writes = |count: usize| (0..count).map(|n| write(&n.to_string())).collect();
        let max = MAX_TRANSACT_WRITES - 1;
        let endpoint = Endpoint::new([ok(&json!({}))]);
        let completed = super::complete(&endpoint, writes(max)).await;
        assert_eq!(completed.unwrap(), CompletionResult::Accepted);
        let body = endpoint.only().body;
        assert_eq!(body["TransactItems"].as_array().unwrap().len(), 100);
        let endpoint = Endpoint::new([]);
        let result = super::complete(&endpoint, writes(max + 1)).await;
        assert!(
            matches!(
                result,
                Err(TableError::TooManyWrites {
                    writes: 100,
                    max: 99
                })
            ),
            "{result:?}"
        );
    }
}

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
            Answer::Http(502, format!("<html>{CANARY}")),
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
        let answer = Answer::Http(
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
