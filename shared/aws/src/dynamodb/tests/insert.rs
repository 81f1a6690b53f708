//! Tests the insert of a notification.

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

/// Earlier versions stored the fingerprint as text.
#[tokio::test(start_paused = true)]
async fn returns_a_fingerprint_that_is_stored_as_text() {
    let expected = item().notification.fingerprint;
    let mut stored = item_json(&item());
    stored["fingerprint"] = json!({"S": expected.to_string()});
    let endpoint = Endpoint::new([condition_failed(Some(stored))]);
    let fingerprint = Some(expected);
    let exists = InsertResult::Exists { fingerprint };
    assert_eq!(super::insert(&endpoint).await.unwrap(), exists);
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
        error(400, "ProvisionedThroughputExceededException"),
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
    let endpoint = Endpoint::new([http(200, format!("<html>{CANARY}"))]);
    let result = super::insert(&endpoint).await;
    assert!(
        matches!(
            result,
            Err(TableError::Service(ServiceError::Unknown { .. }))
        ),
        "{result:?}"
    );
}
