//! What can be seen of a notification in each place of a stack. Nothing here changes anything that anybody reads.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType, ShardIteratorType};
use aws_sdk_s3::types::Object;
use aws_sdk_sqs::types::QueueAttributeName;
use indicatif::ProgressBar;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use onewrite::{
    event::NotificationEvent,
    item::{NotificationItem, UnreadableItem, attribute},
};
use serde::{Deserialize, Serialize};
use serde_dynamo::Item;

use crate::{
    dead_letters,
    error::OperatorError,
    stack::Stack,
    trace::{FailedBatch, Seen, StreamRecord},
};

/// The clock of `ingest`, which `created_at` is of, may be ahead of Kinesis' by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Between two reads of a shard: Kinesis allows five a second, and the functions read too.
const BETWEEN_READS: Duration = Duration::from_millis(400);

/// Everything that can be seen of a notification. `dead_letters` says whether to look into the dead-letter queue.
///
/// # Errors
/// [`OperatorError`]: a place could not be looked into. An answer without it could be wrong, so there is none.
pub async fn look(stack: &Stack, id: &str, dead_letters: bool) -> Result<Seen, OperatorError> {
    let item = item(stack, id).await?;
    let known = item.as_ref().and_then(|item| item.as_ref().ok());
    let since = known.and_then(|item| item.created_at.checked_sub(CLOCK_SKEW).ok());
    let records = records(stack, id, since).await?;
    let mut failures = failures(stack, since).await?;
    failures.retain(|failure| failure.ids.contains(id));
    let dead_letters = if dead_letters {
        let of_id = BTreeSet::from([id.to_owned()]);
        dead_letters::look(stack, &of_id, &ProgressBar::hidden()).await?
    } else {
        Vec::new()
    };
    let Depth { waiting, hidden } = depth(stack, &stack.queue_url).await?;
    Ok(Seen {
        id: id.to_owned(),
        now: Timestamp::now(),
        item,
        records,
        dead_letters,
        failures,
        waiting: waiting + hidden,
    })
}

/// The item of an id, as it stands.
///
/// # Errors
/// [`OperatorError`]: the call failed.
pub async fn item(
    stack: &Stack,
    id: &str,
) -> Result<Option<Result<NotificationItem, UnreadableItem>>, OperatorError> {
    let got = stack
        .dynamodb
        .get_item()
        .table_name(&stack.table)
        .key(attribute::NOTIFICATION_ID, AttributeValue::S(id.to_owned()))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| OperatorError::of("GetItem", &error))?;
    Ok(got
        .item
        .map(|attributes| NotificationItem::from_item(&Item::from(attributes))))
}

/// The records of an id: those of the shards that its partition key can have been in.
async fn records(
    stack: &Stack,
    id: &str,
    since: Option<Timestamp>,
) -> Result<Vec<StreamRecord>, OperatorError> {
    let mut records = Vec::new();
    for shard in shards(stack).await? {
        if is_of_shard(id, &shard) {
            read_shard(stack, id, shard.shard_id(), since, &mut records).await?;
        }
    }
    records.sort_by_key(|record| record.at);
    Ok(records)
}

/// All shards that still have records, closed ones too.
async fn shards(stack: &Stack) -> Result<Vec<Shard>, OperatorError> {
    let filter = ShardFilter::builder()
        .r#type(ShardFilterType::FromTrimHorizon)
        .build()
        .map_err(|error| OperatorError::Aws {
            call: "ListShards",
            reason: error.to_string(),
        })?;
    let (mut shards, mut next) = (Vec::new(), None);
    loop {
        let list = stack.kinesis.list_shards();
        // A token stands for the stream and the filter (Kinesis API reference, ListShards).
        let list = match next {
            None => list.stream_name(&stack.stream).shard_filter(filter.clone()),
            Some(token) => list.next_token(token),
        };
        let page = list
            .send()
            .await
            .map_err(|error| OperatorError::of("ListShards", &error))?;
        shards.extend(page.shards.unwrap_or_default());
        next = page.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

/// A record is in the shard whose range has the MD5 hash of its partition key, as a number (Kinesis developer guide).
fn is_of_shard(id: &str, shard: &Shard) -> bool {
    let hash = u128::from_be_bytes(Md5::digest(id).into());
    let Some(range) = shard.hash_key_range() else {
        return true;
    };
    let bound = |text: &str| text.parse::<u128>().ok();
    match (
        bound(range.starting_hash_key()),
        bound(range.ending_hash_key()),
    ) {
        (Some(start), Some(end)) => (start..=end).contains(&hash),
        _ => true,
    }
}

async fn read_shard(
    stack: &Stack,
    id: &str,
    shard: &str,
    since: Option<Timestamp>,
    records: &mut Vec<StreamRecord>,
) -> Result<(), OperatorError> {
    let iterator = stack
        .kinesis
        .get_shard_iterator()
        .stream_name(&stack.stream)
        .shard_id(shard);
    let iterator = match since {
        Some(since) => iterator
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(aws_sdk_kinesis::primitives::DateTime::from_millis(
                since.as_millisecond(),
            )),
        None => iterator.shard_iterator_type(ShardIteratorType::TrimHorizon),
    };
    let mut next = iterator
        .send()
        .await
        .map_err(|error| OperatorError::of("GetShardIterator", &error))?
        .shard_iterator;
    while let Some(iterator) = next {
        let page = stack
            .kinesis
            .get_records()
            .shard_iterator(iterator)
            .send()
            .await
            .map_err(|error| OperatorError::of("GetRecords", &error))?;
        for record in &page.records {
            if record.partition_key() != Some(id) {
                continue;
            }
            let event = NotificationEvent::parse(record.data().as_ref()).ok();
            let at = record
                .approximate_arrival_timestamp()
                .and_then(|at| at.to_millis().ok())
                .and_then(|at| Timestamp::from_millisecond(at).ok());
            records.push(StreamRecord {
                shard: shard.to_owned(),
                sequence_number: record.sequence_number().to_owned(),
                at: at.unwrap_or_default(),
                event_id: event.as_ref().map(NotificationEvent::id),
                status: event.map(|event| event.status.to_string()),
            });
        }
        // An empty page alone is not the end: records may lie further on.
        let is_end = page.millis_behind_latest.unwrap_or(0) == 0;
        next = page.next_shard_iterator.filter(|_| !is_end);
        if next.is_some() {
            tokio::time::sleep(BETWEEN_READS).await;
        }
    }
    Ok(())
}

/// The failure records (Lambda developer guide, "Retain discarded records") that were written since then.
///
/// # Errors
/// [`OperatorError`]: the bucket could not be read whole.
pub async fn failures(
    stack: &Stack,
    since: Option<Timestamp>,
) -> Result<Vec<FailedBatch>, OperatorError> {
    let mut failures = Vec::new();
    for object in objects(stack).await? {
        let written = object
            .last_modified()
            .and_then(|at| Timestamp::from_second(at.secs()).ok())
            .unwrap_or_default();
        let is_older = since.is_some_and(|since| written < since);
        if let Some(key) = object.key()
            && !is_older
            && let Some(failure) = failure(stack, key, written).await?
        {
            failures.push(failure);
        }
    }
    Ok(failures)
}

/// What is in the failure bucket.
///
/// # Errors
/// [`OperatorError`]: the bucket could not be listed.
pub async fn objects(stack: &Stack) -> Result<Vec<Object>, OperatorError> {
    let mut pages = stack
        .s3
        .list_objects_v2()
        .bucket(&stack.failure_bucket)
        .into_paginator()
        .send();
    let mut objects = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| OperatorError::of("ListObjectsV2", &error))?;
        objects.extend(page.contents.unwrap_or_default());
    }
    Ok(objects)
}

async fn failure(
    stack: &Stack,
    key: &str,
    at: Timestamp,
) -> Result<Option<FailedBatch>, OperatorError> {
    let object = stack
        .s3
        .get_object()
        .bucket(&stack.failure_bucket)
        .key(key)
        .send()
        .await
        .map_err(|error| OperatorError::of("GetObject", &error))?;
    let bytes = object.body.collect().await;
    let bytes = bytes.map_err(|error| OperatorError::Aws {
        call: "GetObject",
        reason: error.to_string(),
    })?;
    Ok(read_failure(&bytes.into_bytes(), key, at))
}

/// Reads a failure record; none where the object is something else.
fn read_failure(bytes: &[u8], key: &str, at: Timestamp) -> Option<FailedBatch> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Notice {
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
    let notice: Notice = serde_json::from_slice(bytes).ok()?;
    let event: Event = serde_json::from_str(&notice.payload).ok()?;
    let of_table = format!("/dynamodb/Keys/{}/S", attribute::NOTIFICATION_ID);
    let ids = event.records.iter().filter_map(|record| {
        let key = record
            .pointer("/kinesis/partitionKey")
            .or_else(|| record.pointer(&of_table));
        Some(key?.as_str()?.to_owned())
    });
    let RequestContext {
        function_arn,
        condition,
        approximate_invoke_count,
    } = notice.request_context;
    Some(FailedBatch {
        key: key.to_owned(),
        at,
        function: function_arn,
        condition,
        attempts: approximate_invoke_count,
        ids: ids.collect(),
    })
}

/// How many messages a queue holds, about, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Depth {
    /// Messages that can be received.
    pub waiting: usize,
    /// Messages that were received and are hidden, or are delayed.
    pub hidden: usize,
}

/// How many messages a queue holds, about.
///
/// # Errors
/// [`OperatorError`]: the call failed.
pub async fn depth(stack: &Stack, queue_url: &str) -> Result<Depth, OperatorError> {
    use QueueAttributeName as Name;
    let attributes = stack
        .sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(Name::All)
        .send()
        .await
        .map_err(|error| OperatorError::of("GetQueueAttributes", &error))?
        .attributes
        .unwrap_or_default();
    let count = |name| attributes.get(&name).and_then(|count| count.parse().ok());
    let count = |name| count(name).unwrap_or(0);
    Ok(Depth {
        waiting: count(Name::ApproximateNumberOfMessages),
        hidden: count(Name::ApproximateNumberOfMessagesNotVisible)
            + count(Name::ApproximateNumberOfMessagesDelayed),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange};

    use super::*;

    fn shard(start: &str, end: &str) -> Shard {
        let range = HashKeyRange::builder()
            .starting_hash_key(start)
            .ending_hash_key(end);
        let numbers = SequenceNumberRange::builder().starting_sequence_number("0");
        Shard::builder()
            .shard_id("shard-0")
            .hash_key_range(range.build().unwrap())
            .sequence_number_range(numbers.build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn an_id_is_in_one_half_of_the_hash_keys() {
        let half = u128::MAX / 2;
        let lower = shard("0", &half.to_string());
        let upper = shard(&(half + 1).to_string(), &u128::MAX.to_string());
        // MD5 of "a" begins with 0x0c, that of "b" with 0x92.
        for (id, is_lower) in [("a", true), ("b", false)] {
            assert_eq!(is_of_shard(id, &lower), is_lower);
            assert_eq!(is_of_shard(id, &upper), !is_lower);
        }
        let exactly = u128::from_be_bytes(Md5::digest("a").into()).to_string();
        assert!(is_of_shard("a", &shard(&exactly, &exactly)));
    }

    fn notice(payload: &serde_json::Value) -> Vec<u8> {
        let notice = serde_json::json!({
            "requestContext": {
                "requestId": "r-1",
                "functionArn": "arn:aws:lambda:us-east-1:1:function:complete",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 101
            },
            "version": "1.0",
            "payload": payload.to_string(),
        });
        serde_json::to_vec(&notice).unwrap()
    }

    #[test]
    fn a_failure_record_is_known_by_the_ids_of_its_records() {
        let of_stream = serde_json::json!({"Records": [{"kinesis": {"partitionKey": "a"}}]});
        let of_table = serde_json::json!(
            {"Records": [{"dynamodb": {"Keys": {"notification_id": {"S": "b"}}}}]}
        );
        let read = |notice: &[u8]| read_failure(notice, "k", Timestamp::UNIX_EPOCH);
        let ids = |payload| Vec::from_iter(read(&notice(payload)).unwrap().ids);
        assert_eq!(read(&notice(&of_stream)).unwrap().attempts, 101);
        assert_eq!(
            (ids(&of_stream), ids(&of_table)),
            (vec!["a".into()], vec!["b".into()])
        );
        assert!(read(b"{").is_none());
    }
}
