//! Tests completions, alone and in a transaction with writes of the consumer.

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
    assert_eq!(completed.unwrap(), CompletionResult::Settled);
    let sent = endpoint.only();
    assert_eq!(sent.target, "DynamoDB_20120810.UpdateItem");
    assert_eq!(
        sent.body,
        json!({
            "TableName": "notifications",
            "Key": {"notification_id": {"S": "n-1"}},
            "UpdateExpression":
                "SET #status = :settled, version = :next, updated_at = :now, expires_at = :expires",
            "ConditionExpression":
                "attribute_exists(notification_id) AND #status = :init AND version = :seen AND fingerprint IN (:fingerprint, :fingerprint_text)",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {
                ":init": {"S": "INIT"},
                ":settled": {"S": "DONE"},
                ":fingerprint": {"B": aws_smithy_types::base64::encode(completion.fingerprint.as_bytes())},
                ":fingerprint_text": {"S": completion.fingerprint.to_string()},
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
    assert_eq!(completed.unwrap(), CompletionResult::Settled);
    let body = endpoint.only().body;
    assert_eq!(
        body["UpdateExpression"],
        "SET #status = :settled, version = :next, updated_at = :now"
    );
    assert!(body["ExpressionAttributeValues"].get(":expires").is_none());
}

#[tokio::test(start_paused = true)]
async fn stores_the_reason_of_a_refusal_and_the_name_of_the_consumer() {
    let endpoint = Endpoint::new([ok(&json!({}))]);
    let completion = Completion {
        expires_at: None,
        verdict: Verdict::Refused("account_closed".parse().unwrap()),
        settled_by: "ledger".parse().ok(),
        ..super::completion("n-1")
    };
    let completed = table(&endpoint).await.complete(&completion, vec![]).await;
    assert_eq!(completed.unwrap(), CompletionResult::Settled);
    let body = endpoint.only().body;
    assert_eq!(
        body["UpdateExpression"],
        "SET #status = :settled, version = :next, updated_at = :now, refusal = :refusal, settled_by = :settled_by"
    );
    let values = &body["ExpressionAttributeValues"];
    assert_eq!(values[":settled"], json!({"S": "REFUSED"}));
    assert_eq!(values[":refusal"], json!({"S": "account_closed"}));
    assert_eq!(values[":settled_by"], json!({"S": "ledger"}));
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
            CompletionResult::AlreadySettled(Status::Done),
        ),
        (
            with("status", json!({"S": "REFUSED"})),
            CompletionResult::AlreadySettled(Status::Refused),
        ),
        (
            Some(erased()),
            CompletionResult::AlreadySettled(Status::Done),
        ),
        (
            with("fingerprint", json!({"S": "0".repeat(64)})),
            CompletionResult::OtherNotification,
        ),
        (
            with("fingerprint", json!({"S": "x"})),
            CompletionResult::VersionMismatch,
        ),
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
        CompletionResult::Settled
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
        assert_eq!(completed.unwrap(), CompletionResult::Settled);
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
    assert_eq!(completed.unwrap(), CompletionResult::Settled);
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
    assert_eq!(completed.unwrap(), CompletionResult::Settled);
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
