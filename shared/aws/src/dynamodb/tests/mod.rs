//! Tests the table ports against responses in the format of DynamoDB.

mod complete;
mod failures;
mod insert;
mod states;

use aws_sdk_dynamodb::types::Put;
use serde_json::{Value, json};

use super::*;
use crate::replay::{Answer, Endpoint, error, http, ok};
use onewrite::error::ServiceError;
use onewrite::limits::MAX_ATTEMPTS;
use onewrite_testing::contract::{completion, completion_of, notification};

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
    http(400, body.to_string())
}

fn canceled(reasons: &Value) -> Answer {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": reasons,
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
    });
    http(400, body.to_string())
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
    let result = table.complete(&completion_of(&item()), writes).await;
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
