//! The documents for the failure destination of a stream mapping (D21 to D23, K8).
//!
//! The poller decides when to send a failure record; the driver decides how.

use serde_json::{Value, json};

use crate::Millis;
use crate::mapping::StreamKind;

/// Why a batch was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// All attempts failed. Contains how the last one ended.
    RetryAttemptsExhausted(LastResponse),
    /// The records exceeded the maximum age. The failure record then has no `responseContext` (D22).
    RecordAgeExceeded,
}

/// How the last attempt of a discarded batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastResponse {
    /// A function error: `functionError` is `"Unhandled"`.
    FunctionError,
    /// A partial batch response: `functionError` is null.
    FailureReport,
}

/// A failure record about a discarded batch. It contains no record data; [`FailureRecord::object`] adds it, for S3 only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRecord {
    pub kind: StreamKind,
    pub request_id: String,
    pub function_arn: String,
    /// Why the batch was discarded.
    pub condition: Condition,
    /// Invocations of this batch; 1 if it exceeded the maximum age before the first (D22).
    pub approximate_invoke_count: u64,
    /// When the batch was discarded.
    pub timestamp: Millis,
    pub shard_id: String,
    pub start_sequence_number: String,
    pub end_sequence_number: String,
    pub first_arrival: Millis,
    pub last_arrival: Millis,
    /// The number of records.
    pub batch_size: usize,
    pub stream_arn: String,
}

impl FailureRecord {
    /// Builds the document for an SQS queue or an SNS topic; it contains only metadata (D21, K8).
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
                    LastResponse::FunctionError => Value::from("Unhandled"),
                    LastResponse::FailureReport => Value::Null,
                },
            });
        }
        body
    }

    /// Builds the object for an S3 bucket: the failure record, and in `payload` the whole event as text (D23).
    #[must_use]
    pub fn object(&self, event: &str) -> Value {
        let mut object = self.body();
        object["payload"] = Value::from(event);
        object
    }

    /// Builds the key of the S3 object (D23). `random_uuid` distinguishes objects of the same second.
    #[must_use]
    pub fn object_key(&self, mapping_uuid: &str, random_uuid: &str) -> String {
        let when = format(self.timestamp, "%Y/%m/%d/%Y-%m-%dT%H.%M.%S");
        format!(
            "aws/lambda/{mapping_uuid}/{}/{when}-{random_uuid}",
            self.shard_id
        )
    }
}

fn milliseconds(at: Millis) -> String {
    format(at, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn seconds(at: Millis) -> String {
    format(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// Formats a time in UTC. A time after the last supported year becomes the last supported time, so that a failure record is
/// never lost because of its date.
fn format(at: Millis, pattern: &str) -> String {
    let at = i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.unwrap_or(jiff::Timestamp::MAX)
        .strftime(pattern)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_record(kind: StreamKind, condition: Condition) -> FailureRecord {
        FailureRecord {
            kind,
            request_id: "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5".into(),
            function_arn: "arn:aws:lambda:eu-west-1:111111111111:function:forward".into(),
            condition,
            approximate_invoke_count: 2,
            timestamp: 1_657_720_081_007,
            shard_id: "shardId-00000001573689847184-864758bb".into(),
            start_sequence_number: "800000000003126276362".into(),
            end_sequence_number: "800000000003126276364".into(),
            first_arrival: 1_657_720_000_123,
            last_arrival: 1_657_720_001_999,
            batch_size: 3,
            stream_arn: "arn:aws:dynamodb:eu-west-1:111111111111:table/orders/stream/2026-01-01T00:00:00.000".into(),
        }
    }

    const EXHAUSTED: Condition = Condition::RetryAttemptsExhausted(LastResponse::FunctionError);

    #[test]
    fn d21_failure_record_contains_only_metadata() {
        assert_eq!(
            failure_record(StreamKind::DynamoDb, EXHAUSTED).body(),
            json!({
                "requestContext": {
                    "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
                    "functionArn": "arn:aws:lambda:eu-west-1:111111111111:function:forward",
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 2
                },
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
                "version": "1.0",
                "timestamp": "2022-07-13T13:48:01.007Z",
                "DDBStreamBatchInfo": {
                    "shardId": "shardId-00000001573689847184-864758bb",
                    "startSequenceNumber": "800000000003126276362",
                    "endSequenceNumber": "800000000003126276364",
                    "approximateArrivalOfFirstRecord": "2022-07-13T13:46:40Z",
                    "approximateArrivalOfLastRecord": "2022-07-13T13:46:41Z",
                    "batchSize": 3,
                    "streamArn": "arn:aws:dynamodb:eu-west-1:111111111111:table/orders/stream/2026-01-01T00:00:00.000"
                }
            })
        );
    }

    #[test]
    fn d22_expired_record_failure_record_has_no_response_context() {
        let body = failure_record(StreamKind::DynamoDb, Condition::RecordAgeExceeded).body();
        assert_eq!(body["requestContext"]["condition"], "RecordAgeExceeded");
        assert_eq!(body.get("responseContext"), None);
    }

    #[test]
    fn d22_failure_reports_leave_function_error_null() {
        let reported = Condition::RetryAttemptsExhausted(LastResponse::FailureReport);
        let body = failure_record(StreamKind::DynamoDb, reported).body();
        assert_eq!(
            body["responseContext"].get("functionError"),
            Some(&Value::Null)
        );
        assert_eq!(body["responseContext"]["statusCode"], 200);
    }

    #[test]
    fn d23_object_contains_event_as_string() {
        let event = r#"{"Records":[{"eventID":"1"}]}"#;
        let object = failure_record(StreamKind::DynamoDb, EXHAUSTED).object(event);
        assert_eq!(object["payload"], event);
        let without = |mut object: Value| {
            object.as_object_mut().unwrap().remove("payload");
            object
        };
        assert_eq!(
            without(object),
            failure_record(StreamKind::DynamoDb, EXHAUSTED).body()
        );
    }

    #[test]
    fn d23_object_key_contains_mapping_shard_and_second() {
        let key = failure_record(StreamKind::DynamoDb, EXHAUSTED).object_key("mapping", "random");
        let shard = "shardId-00000001573689847184-864758bb";
        assert_eq!(
            key,
            format!("aws/lambda/mapping/{shard}/2022/07/13/2022-07-13T13.48.01-random")
        );
    }

    #[test]
    fn k8_kinesis_failure_record_has_its_own_key_and_milliseconds() {
        let body = failure_record(StreamKind::Kinesis, EXHAUSTED).body();
        assert_eq!(body.get("DDBStreamBatchInfo"), None);
        assert_eq!(
            body["KinesisBatchInfo"]["approximateArrivalOfFirstRecord"],
            "2022-07-13T13:46:40.123Z"
        );
        assert_eq!(body["KinesisBatchInfo"]["batchSize"], 3);
    }

    #[test]
    fn out_of_range_time_does_not_lose_the_failure_record() {
        let late = FailureRecord {
            timestamp: Millis::MAX,
            ..failure_record(StreamKind::DynamoDb, EXHAUSTED)
        };
        assert!(
            late.body()["timestamp"]
                .as_str()
                .unwrap()
                .starts_with("9999-")
        );
    }
}
