//! The failure bucket: the batches that Lambda gave up on (Lambda developer guide, "Retain discarded records").

use std::collections::BTreeSet;

use aws_sdk_s3::{operation::get_object::GetObjectError, types::Object};
use jiff::Timestamp;
use onewrite::{item::attribute, redrive::LostEvent};
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
    /// The events that were in the batch.
    #[serde(skip)]
    pub lost: Vec<LostEvent>,
}

/// The contents of the failure bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureRecords {
    pub batches: Vec<FailedBatch>,
    /// The keys of objects that are not failure records, or only in part. They may contain notifications too.
    pub unreadable: Vec<String>,
    /// The number of objects that were not read, because of a limit.
    pub not_read: usize,
}

/// Reads the failed batches that were written since that time.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_failed_batches(
    stack: &Stack,
    since: Option<Timestamp>,
) -> Result<FailureRecords, StackError> {
    let mut objects = list_objects(stack).await?;
    objects.retain(|object| !is_older(written(object), since));
    read_records(stack, objects).await
}

/// Reads the newest failed batches, at most `limit`.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_newest_failed_batches(
    stack: &Stack,
    limit: usize,
) -> Result<FailureRecords, StackError> {
    let mut objects = list_objects(stack).await?;
    let not_read = keep_newest(&mut objects, limit);
    let records = read_records(stack, objects).await?;
    Ok(FailureRecords {
        not_read,
        ..records
    })
}

/// Keeps the newest objects, and those without a time. Returns how many are left out.
fn keep_newest(objects: &mut Vec<Object>, limit: usize) -> usize {
    objects.sort_by_key(|object| std::cmp::Reverse(written(object).unwrap_or(Timestamp::MAX)));
    let left_out = objects.len().saturating_sub(limit);
    objects.truncate(limit);
    left_out
}

/// When the object was written.
fn written(object: &Object) -> Option<Timestamp> {
    let at = object.last_modified()?;
    Timestamp::from_second(at.secs()).ok()
}

async fn read_records(stack: &Stack, objects: Vec<Object>) -> Result<FailureRecords, StackError> {
    let mut records = FailureRecords::default();
    for object in objects {
        let written = written(&object);
        let key = object.key().unwrap_or_default().to_owned();
        let record = read_object(stack, &key).await?;
        let record = record.and_then(|bytes| parse(&bytes, &key, written.unwrap_or_default()));
        let is_complete = record.as_ref().is_some_and(|(_, is_complete)| *is_complete);
        records.batches.extend(record.map(|(batch, _)| batch));
        if !is_complete {
            records.unreadable.push(key);
        }
    }
    Ok(records)
}

/// Whether the object was written before that time. An object without a time may be younger.
fn is_older(written: Option<Timestamp>, since: Option<Timestamp>) -> bool {
    matches!((written, since), (Some(written), Some(since)) if written < since)
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
        // Without a token, the paginator would end here and the rest would be missing without a word.
        if page.is_truncated == Some(true) && page.next_continuation_token.is_none() {
            return Err(StackError::Call {
                call: "ListObjectsV2",
                reason: "the list is incomplete".to_owned(),
            });
        }
        objects.extend(page.contents.unwrap_or_default());
    }
    Ok(objects)
}

/// Reads an object; `None` if it was removed since it was listed.
async fn read_object(stack: &Stack, key: &str) -> Result<Option<Vec<u8>>, StackError> {
    let object = stack
        .s3
        .get_object()
        .bucket(&stack.outputs.failure_bucket)
        .key(key)
        .send()
        .await;
    let object = match object {
        Ok(object) => object,
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetObjectError::is_no_such_key) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(StackError::from_sdk("GetObject", &error)),
    };
    let bytes = object.body.collect().await;
    let bytes = bytes.map_err(|error| StackError::Call {
        call: "GetObject",
        reason: error.to_string(),
    })?;
    Ok(Some(bytes.to_vec()))
}

/// Parses a failure record, and whether the ids of all its records were found; `None` if the object is not a failure record.
fn parse(bytes: &[u8], key: &str, at: Timestamp) -> Option<(FailedBatch, bool)> {
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
    let ids = event.records.iter().map(|record| {
        let id = record
            .pointer("/kinesis/partitionKey")
            .or_else(|| record.pointer(&table_key));
        Some(id?.as_str()?.to_owned())
    });
    let ids: Vec<Option<String>> = ids.collect();
    let is_complete = ids.iter().all(Option::is_some);
    let context = record.request_context;
    let batch = FailedBatch {
        key: key.to_owned(),
        at,
        function: context.function_arn,
        condition: context.condition,
        attempts: context.approximate_invoke_count,
        ids: ids.into_iter().flatten().collect(),
        lost: event
            .records
            .iter()
            .filter_map(LostEvent::from_record)
            .collect(),
    };
    Some((batch, is_complete))
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
        let ids = |payload| Vec::from_iter(read(&failure_record(payload)).unwrap().0.ids);
        assert_eq!(read(&failure_record(&of_stream)).unwrap().0.attempts, 101);
        assert_eq!(
            (ids(&of_stream), ids(&of_table)),
            (vec!["a".into()], vec!["b".into()])
        );
        assert!(read(b"{").is_none());
    }

    #[test]
    fn reports_a_record_without_an_id_and_keeps_the_others() {
        let payload = serde_json::json!(
            {"Records": [{"kinesis": {"partitionKey": "a"}}, {"dynamodb": {"Keys": {}}}]}
        );
        let (batch, is_complete) =
            parse(&failure_record(&payload), "k", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((batch.ids.len(), is_complete), (1, false));
    }

    #[test]
    fn a_limit_keeps_the_newest_objects_and_counts_the_others() {
        let object = |key: &str, second: Option<i64>| {
            let at = second.map(aws_sdk_s3::primitives::DateTime::from_secs);
            Object::builder().key(key).set_last_modified(at).build()
        };
        let mut objects = vec![
            object("old", Some(1)),
            object("new", Some(3)),
            object("middle", Some(2)),
            object("no time", None),
        ];
        assert_eq!(keep_newest(&mut objects, 3), 1);
        let keys: Vec<_> = objects.iter().filter_map(Object::key).collect();
        assert_eq!(keys, ["no time", "new", "middle"]);
        assert_eq!(keep_newest(&mut objects, 3), 0);
    }

    #[test]
    fn an_object_without_a_time_is_not_too_old() {
        let at = |second| Timestamp::from_second(second).ok();
        assert!(is_older(at(1), at(2)));
        assert!(!is_older(at(2), at(2)) && !is_older(at(1), None));
        assert!(!is_older(None, at(2)));
    }
}
