//! Events that no retry can help: they are kept in the failure bucket, so that the events behind them do not wait.
//!
//! Lambda would do the same after its last retry, but only when the record is too old, for the whole batch, and after hours in
//! which the lane does not progress. The object has the form of those that Lambda writes (Lambda developer guide, "Retain discarded
//! records"), so `onewrite redrive failures` reads both.

use std::time::Duration;

use aws_lambda_events::encodings::Base64Data;
use futures::future::BoxFuture;
use jiff::Timestamp;
use onewrite::error::ServiceError;
use onewrite_aws::failure_bucket::FailureBucket;
use serde_json::json;

use crate::record::KinesisRecord;

/// The age at which an event is given up that no retry can help. Until then, a deployment can be rolled back, or a setting
/// corrected, and nobody needs to publish the events again. Our own choice: most such mistakes are noticed earlier.
pub const GRACE: Duration = Duration::from_secs(15 * 60);

/// Keeps events that are given up.
pub trait FailureStore: Send + Sync {
    /// Writes an object durably, or replaces the one with the same key.
    ///
    /// An implementation must return in bounded time.
    fn keep(&self, key: String, object: String) -> BoxFuture<'_, Result<(), ServiceError>>;
}

impl FailureStore for FailureBucket {
    fn keep(&self, key: String, object: String) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(async move { self.put(&key, object).await })
    }
}

/// Whether a record is older than [`GRACE`]. One whose age, id, key or data is not known is never given up.
pub(crate) fn is_due(record: &KinesisRecord, now: Timestamp) -> bool {
    let now = now.as_millisecond() as f64 / 1_000.0;
    let is_old = |arrived| now - arrived >= GRACE.as_secs_f64();
    let is_complete = ![&record.event_id, &record.partition_key]
        .into_iter()
        .any(String::is_empty);
    is_complete && record.data.is_some() && record.arrived.is_some_and(is_old)
}

/// The key of a record. It is the same after a retry, so a record is kept once.
pub(crate) fn key(record: &KinesisRecord) -> String {
    // `shardId-000000000000:49590338271490256608559692538361571095921575989136588898`
    format!("complete/{}", record.event_id.replace(':', "/"))
}

/// The object for a record that failed for this reason.
pub(crate) fn object(
    record: &KinesisRecord,
    function: &str,
    reason: &str,
    now: Timestamp,
) -> String {
    let mut data = Base64Data::default();
    data.0 = record.data.clone().unwrap_or_default();
    let event = json!({"Records": [{
        "eventID": record.event_id,
        "kinesis": {
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence_number,
            "approximateArrivalTimestamp": record.arrived,
            "data": data,
        },
    }]});
    let object = json!({
        "requestContext": {
            "functionArn": function,
            "condition": reason,
            "approximateInvokeCount": 1,
        },
        "version": "1.0",
        "timestamp": now.to_string(),
        "payload": event.to_string(),
    });
    object.to_string()
}
