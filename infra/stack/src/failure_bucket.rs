//! The failure bucket: the batches that Lambda gave up on (Lambda developer guide, "Retain discarded records").

use std::collections::BTreeSet;

use aws_sdk_s3::types::Object;
use jiff::Timestamp;
use onewrite::item::attribute;
use serde::{Deserialize, Serialize};

use crate::{error::StackError, stack::Stack};

/// A batch that Lambda gave up on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedBatch {
    /// The key of the object in the failure bucket.
    pub key: String,
    /// When the object was written.
    pub at: Timestamp,
    /// The ARN of the function that failed.
    pub function: String,
    /// The reason that Lambda states, such as `RetryAttemptsExhausted`.
    pub condition: String,
    /// How often Lambda invoked the function with the batch.
    pub attempts: u64,
    /// The ids of the notifications in the batch.
    #[serde(skip)]
    pub ids: BTreeSet<String>,
}

/// Reads the failed batches that were written since that time.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_failed_batches(
    stack: &Stack,
    since: Option<Timestamp>,
) -> Result<Vec<FailedBatch>, StackError> {
    let mut batches = Vec::new();
    for object in list_objects(stack).await? {
        let written = object
            .last_modified()
            .and_then(|at| Timestamp::from_second(at.secs()).ok())
            .unwrap_or_default();
        let is_older = since.is_some_and(|since| written < since);
        if let Some(key) = object.key()
            && !is_older
            && let Some(batch) = read_object(stack, key, written).await?
        {
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// Lists the objects in the failure bucket.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list_objects(stack: &Stack) -> Result<Vec<Object>, StackError> {
    let mut pages = stack
        .s3
        .list_objects_v2()
        .bucket(&stack.outputs.failure_bucket)
        .into_paginator()
        .send();
    let mut objects = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| StackError::from_sdk("ListObjectsV2", &error))?;
        objects.extend(page.contents.unwrap_or_default());
    }
    Ok(objects)
}

async fn read_object(
    stack: &Stack,
    key: &str,
    at: Timestamp,
) -> Result<Option<FailedBatch>, StackError> {
    let object = stack
        .s3
        .get_object()
        .bucket(&stack.outputs.failure_bucket)
        .key(key)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetObject", &error))?;
    let bytes = object.body.collect().await;
    let bytes = bytes.map_err(|error| StackError::Call {
        call: "GetObject",
        reason: error.to_string(),
    })?;
    Ok(parse(&bytes.into_bytes(), key, at))
}

/// Parses a failure record; `None` if the object is something else.
fn parse(bytes: &[u8], key: &str, at: Timestamp) -> Option<FailedBatch> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct FailureRecord {
        request_context: RequestContext,
        payload: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RequestContext {
        function_arn: String,
        condition: String,
        approximate_invoke_count: u64,
    }
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "Records")]
        records: Vec<serde_json::Value>,
    }
    let record: FailureRecord = serde_json::from_slice(bytes).ok()?;
    let event: Event = serde_json::from_str(&record.payload).ok()?;
    let table_key = format!("/dynamodb/Keys/{}/S", attribute::NOTIFICATION_ID);
    let ids = event.records.iter().filter_map(|record| {
        let id = record
            .pointer("/kinesis/partitionKey")
            .or_else(|| record.pointer(&table_key));
        Some(id?.as_str()?.to_owned())
    });
    let context = record.request_context;
    Some(FailedBatch {
        key: key.to_owned(),
        at,
        function: context.function_arn,
        condition: context.condition,
        attempts: context.approximate_invoke_count,
        ids: ids.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_record(payload: &serde_json::Value) -> Vec<u8> {
        let record = serde_json::json!({
            "requestContext": {
                "requestId": "r-1",
                "functionArn": "arn:aws:lambda:us-east-1:1:function:complete",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 101
            },
            "version": "1.0",
            "payload": payload.to_string(),
        });
        serde_json::to_vec(&record).unwrap()
    }

    #[test]
    fn reads_ids_from_failure_records_of_both_streams() {
        let of_stream = serde_json::json!({"Records": [{"kinesis": {"partitionKey": "a"}}]});
        let of_table = serde_json::json!(
            {"Records": [{"dynamodb": {"Keys": {"notification_id": {"S": "b"}}}}]}
        );
        let read = |bytes: &[u8]| parse(bytes, "k", Timestamp::UNIX_EPOCH);
        let ids = |payload| Vec::from_iter(read(&failure_record(payload)).unwrap().ids);
        assert_eq!(read(&failure_record(&of_stream)).unwrap().attempts, 101);
        assert_eq!(
            (ids(&of_stream), ids(&of_table)),
            (vec!["a".into()], vec!["b".into()])
        );
        assert!(read(b"{").is_none());
    }
}
