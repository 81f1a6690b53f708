//! What is sent to the failure destination of a stream mapping (D21 to D23, K8).
//!
//! Only the documents and their names: when a notice is due, and to whom it goes, is the poller's and the driver's.

use serde_json::{Value, json};

use crate::Millis;
use crate::mapping::StreamKind;

/// Why a batch was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The function was called [`Notice::approximate_invoke_count`] times; the answer to the last call is told.
    RetryAttemptsExhausted(LastAnswer),
    /// The records grew too old; there is then no `responseContext` (D22).
    RecordAgeExceeded,
}

/// How the last attempt of an exhausted batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastAnswer {
    /// A function error: `functionError` is `"Unhandled"`.
    FunctionError,
    /// A partial batch response: `functionError` is null.
    FailureReport,
}

/// A batch that was given up. Holds no record data: that is added for S3 alone, by [`Notice::object`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which service the stream belongs to.
    pub kind: StreamKind,
    /// The request id of the last invocation.
    pub request_id: String,
    /// The function of the mapping.
    pub function_arn: String,
    /// Why the batch was discarded.
    pub condition: Condition,
    /// Invocations of this batch; 1 if it was too old before the first (D22).
    pub approximate_invoke_count: u64,
    /// When it was discarded.
    pub timestamp: Millis,
    /// The shard of the batch.
    pub shard_id: String,
    /// The first record's sequence number.
    pub start_sequence_number: String,
    /// The last record's sequence number.
    pub end_sequence_number: String,
    /// The first record's arrival in the stream.
    pub first_arrival: Millis,
    /// The last record's arrival in the stream.
    pub last_arrival: Millis,
    /// Number of records.
    pub batch_size: usize,
    /// The stream.
    pub stream_arn: String,
}

impl Notice {
    /// The document for an SQS queue or an SNS topic: metadata alone (D21, K8).
    #[must_use]
    pub fn body(&self) -> Value {
        let (info_key, arrival) = match self.kind {
            StreamKind::DynamoDb => ("DDBStreamBatchInfo", seconds as fn(Millis) -> String),
            StreamKind::Kinesis => ("KinesisBatchInfo", milliseconds as fn(Millis) -> String),
        };
        let condition = match self.condition {
            Condition::RetryAttemptsExhausted(_) => "RetryAttemptsExhausted",
            Condition::RecordAgeExceeded => "RecordAgeExceeded",
        };
        let mut body = json!({
            "requestContext": {
                "requestId": self.request_id,
                "functionArn": self.function_arn,
                "condition": condition,
                "approximateInvokeCount": self.approximate_invoke_count,
            },
            "version": "1.0",
            "timestamp": milliseconds(self.timestamp),
            info_key: {
                "shardId": self.shard_id,
                "startSequenceNumber": self.start_sequence_number,
                "endSequenceNumber": self.end_sequence_number,
                "approximateArrivalOfFirstRecord": arrival(self.first_arrival),
                "approximateArrivalOfLastRecord": arrival(self.last_arrival),
                "batchSize": self.batch_size,
                "streamArn": self.stream_arn,
            },
        });
        if let Condition::RetryAttemptsExhausted(last) = self.condition {
            body["responseContext"] = json!({
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": match last {
                    LastAnswer::FunctionError => Value::from("Unhandled"),
                    LastAnswer::FailureReport => Value::Null,
                },
            });
        }
        body
    }

    /// The object for an S3 bucket: the notice, and under `payload` the whole event as text (D23).
    #[must_use]
    pub fn object(&self, event: &str) -> Value {
        let mut object = self.body();
        object["payload"] = Value::from(event);
        object
    }

    /// The key of that object (D23); `random_uuid` keeps two of the same second apart.
    #[must_use]
    pub fn object_key(&self, mapping_uuid: &str, random_uuid: &str) -> String {
        let when = format(self.timestamp, "%Y/%m/%d/%Y-%m-%dT%H.%M.%S");
        format!("aws/lambda/{mapping_uuid}/{}/{when}-{random_uuid}", self.shard_id)
    }
}

fn milliseconds(at: Millis) -> String {
    format(at, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn seconds(at: Millis) -> String {
    format(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// UTC. A moment past the calendar's last year reads as its end: a notice must never be lost over its date.
fn format(at: Millis, pattern: &str) -> String {
    let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.unwrap_or(jiff::Timestamp::MAX).strftime(pattern).to_string()
}
