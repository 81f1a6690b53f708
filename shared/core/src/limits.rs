//! All limits of this project, each with its source. Tests compare the template and the documents with these constants.

use std::time::Duration;

/// Longest notification id, in characters (ASCII, so also bytes). Kinesis allows partition keys of 1 to 256 characters
/// (`PutRecordsRequestEntry.PartitionKey`). DynamoDB keys may be longer.
pub const MAX_ID_CHARS: usize = 256;

/// Most pointers whose values together are the notification id. Our own limit.
pub const MAX_ID_POINTERS: usize = 4;

/// Longest notification type, in characters (ASCII, so also bytes). Our own limit; the type is part of the CloudEvents `type`.
pub const MAX_TYPE_CHARS: usize = 128;

/// Longest code of a refusal, in characters (ASCII, so also bytes). Our own limit; [`ITEM_GROWTH_BYTES`] includes it.
pub const MAX_REFUSAL_CHARS: usize = 64;

/// Longest name of a consumer, in characters (ASCII, so also bytes). Lambda allows function names of 64 characters
/// (Lambda API reference, `CreateFunction`).
pub const MAX_CONSUMER_NAME_CHARS: usize = 64;

/// Longest CloudEvents `source`, in characters (ASCII, so also bytes). Our own limit.
pub const MAX_SOURCE_CHARS: usize = 256;

/// Deepest nesting of arrays and objects in a message. Our own limit: it bounds the stack, here and in the consumers.
pub const MAX_JSON_DEPTH: usize = 64;

/// Longest number in a message, in characters with sign, point and exponent. Jackson, which AWS's event matcher and many
/// consumers use, reads no longer ones (`StreamReadConstraints.DEFAULT_MAX_NUM_LEN`; aws/event-ruler keeps the default), and
/// Lambda drops an event that its filter cannot read. Python reads no integer above 4,300 digits
/// (`sys.int_info.default_max_str_digits`).
pub const MAX_NUMBER_CHARS: usize = 1_000;

/// Longest object key in a message, in bytes as written between its quotes. Jackson reads no longer ones
/// (`StreamReadConstraints.DEFAULT_MAX_NAME_LEN`, in characters or bytes of the decoded key, of which there are never more).
/// Its other limits are far away: strings of 20,000,000 characters, a depth of 1,000.
pub const MAX_KEY_BYTES: usize = 50_000;

/// Largest item, in bytes, names and values counted (DynamoDB developer guide, "Constraints": 400 KB).
pub const MAX_ITEM_BYTES: usize = 400 * 1024;

/// DynamoDB bills a write by the started kilobytes of the item (DynamoDB developer guide, "Write request units").
pub const WRITE_UNIT_BYTES: usize = 1024;

/// Space reserved when an item is created, in bytes: DONE and REFUSED add `updated_at`, `settled_by` and `expires_at`, REFUSED
/// also adds `refusal`, and an operator's redrive adds `redrives`. Because of it, neither ever fails because the item is too large.
pub const ITEM_GROWTH_BYTES: usize = 256;

/// Largest body of an SQS message, in bytes, including attributes (SQS quotas: 1 MiB).
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Receives before SQS moves a message to the dead-letter queue (`maxReceiveCount` of the template).
pub const MAX_RECEIVES: u32 = 6;

/// Longest visibility timeout, counted from the receive of the message (SQS developer guide, "Visibility timeout": 12 hours).
pub const MAX_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(12 * 60 * 60);

/// Most entries in one `ChangeMessageVisibilityBatch` call (SQS API reference).
pub const MAX_VISIBILITY_ENTRIES: usize = 10;

/// Most time that an invocation spends on deferring messages. As much is reserved before its end, beyond [`ANSWER_MARGIN`].
/// A call usually takes some milliseconds. The limit is for an SQS endpoint that does not answer, as in a VPC without one.
pub const DEFERRAL_TIME: Duration = Duration::from_millis(2_000);

/// Most concurrent `ChangeMessageVisibilityBatch` calls of an invocation. The largest batch has 10,000 messages and so needs
/// 1,000 calls. If a call takes at most 60 ms, all of them fit into [`DEFERRAL_TIME`].
pub const MAX_DEFERRAL_CALLS: usize = 32;

/// Most records in one `PutRecords` call (Kinesis API reference).
pub const MAX_PUT_RECORDS: usize = 500;

/// Most bytes in one `PutRecords` call, including partition keys. The API accepts 10 MiB since 2025. We stay at the earlier
/// limit of 5 MiB, which every endpoint accepts.
pub const MAX_PUT_RECORDS_BYTES: usize = 5 * 1024 * 1024;

/// Largest Kinesis record, in bytes, including the partition key. The template sets this limit for its stream (Kinesis
/// developer guide, "Large records": up to 10 MiB). Lambda delivers at most 6 MB in an event, and base64 makes 4 bytes of 3
/// (Lambda developer guide, "Lambda quotas": invocation payload).
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;

/// Largest enrichment of a notification, in bytes as JSON text. Our own limit, so that every event fits into a record.
pub const MAX_ENRICHMENT_BYTES: usize = 1024 * 1024;

/// Largest event of a Lambda function, in bytes (Lambda developer guide, "Lambda quotas": 6 MB).
pub const MAX_LAMBDA_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// Most writes in one `TransactWriteItems` call (DynamoDB API reference). One of them is the DONE write.
pub const MAX_TRANSACT_WRITES: usize = 100;

/// Most keys in one `BatchGetItem` call (DynamoDB API reference).
pub const MAX_BATCH_GET: usize = 100;

/// Most `BatchGetItem` calls for the same keys. DynamoDB leaves keys unprocessed if it throttles, or if a response would
/// exceed 16 MB, which statuses and fingerprints never do.
pub const MAX_BATCH_GET_CALLS: u32 = 5;

/// Time to open a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Time until the first byte of a response. The SDK has no default.
pub const READ_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Time for one attempt of a call, including the connection.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Time for a call with all its attempts.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(8_000);

/// Time for one `PutRecords` call: the connection, the upload of up to [`MAX_PUT_RECORDS_BYTES`] in base64 and the response. The
/// SDK makes one attempt; `forward` retries by itself, with a smaller call if the outcome is unknown. A full call passes from
/// about 1.2 MiB per second on.
pub const PUT_RECORDS_TIMEOUT: Duration = Duration::from_millis(6_000);

/// Attempts of the SDK per call, including the first.
pub const MAX_ATTEMPTS: u32 = 3;

/// Time reserved before the deadline of an invocation for its response.
pub const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// Longest first pause before a retry, by the SDK and by `forward` (AWS Developer Tools Blog, "Updated default retry behavior for
/// AWS SDKs and tools": 50 ms for transient errors). It doubles each time, with full jitter.
pub const RETRY_BASE: Duration = Duration::from_millis(50);

/// Longest first pause before the SDK retries a call to DynamoDB (the same document: 25 ms).
pub const DYNAMODB_RETRY_BASE: Duration = Duration::from_millis(25);

/// Longest pause before a retry.
pub const RETRY_CAP: Duration = Duration::from_millis(2_000);

/// The largest size of an event beyond its item and its escapes, in bytes: attribute names, times, source, and the id,
/// which occurs three times.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 1_024 + 2 * (MAX_SOURCE_CHARS + 3 * MAX_ID_CHARS);

/// The size of Lambda's event with one record beyond the record itself, in bytes. It has about 500.
const RECORD_ENVELOPE_BYTES: usize = 4 * 1024;

// The payload is part of the event as it is. The enrichment is a string there. Escapes at most double a text, because the
// texts of an item contain no control characters except JSON white space.
const _: () = assert!(
    MAX_MESSAGE_BYTES + 2 * MAX_ENRICHMENT_BYTES + EVENT_OVERHEAD_BYTES + MAX_ID_CHARS
        < MAX_RECORD_BYTES,
    "the event of every item fits into a record"
);
const _: () = assert!(
    MAX_RECORD_BYTES.div_ceil(3) * 4 + RECORD_ENVELOPE_BYTES < MAX_LAMBDA_EVENT_BYTES,
    "Lambda can deliver every record"
);
const _: () = assert!(
    MAX_RECORD_BYTES <= MAX_PUT_RECORDS_BYTES,
    "every record fits into a call"
);
const _: () = assert!(ATTEMPT_TIMEOUT.as_millis() < OPERATION_TIMEOUT.as_millis());
const _: () = assert!(CONNECT_TIMEOUT.as_millis() < PUT_RECORDS_TIMEOUT.as_millis());
const _: () = assert!(CONNECT_TIMEOUT.as_millis() < ATTEMPT_TIMEOUT.as_millis());
const _: () = assert!(READ_TIMEOUT.as_millis() < ATTEMPT_TIMEOUT.as_millis());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(MAX_ITEM_BYTES, 409_600);
        assert_eq!(MAX_MESSAGE_BYTES, 1_048_576);
        assert_eq!(MAX_RECORD_BYTES, 4_194_304);
        assert_eq!(MAX_PUT_RECORDS_BYTES, 5_242_880);
    }
}
