//! Every bound this project keeps, each with its source. Nothing else states a figure that stands here; where the
//! template or the README repeats one, a test holds them together.

use std::time::Duration;

/// Longest notification id, in characters (ASCII, so also bytes): Kinesis takes partition keys of 1 to 256 characters
/// (`PutRecordsRequestEntry.PartitionKey`), and DynamoDB keys may be longer.
pub const MAX_ID_CHARS: usize = 256;

/// Longest notification type, in characters (ASCII, so also bytes). Our own: it is part of the CloudEvents `type`.
pub const MAX_TYPE_CHARS: usize = 128;

/// Longest CloudEvents `source`, in characters (ASCII, so also bytes). Our own.
pub const MAX_SOURCE_CHARS: usize = 256;

/// Deepest nesting of arrays and objects in a message. Our own: it bounds the stack, here and in whatever reads an event.
pub const MAX_JSON_DEPTH: usize = 64;

/// Largest item, in bytes, names and values counted (DynamoDB developer guide, "Constraints": 400 KB).
pub const MAX_ITEM_BYTES: usize = 400 * 1024;

/// What an item may still grow by after it was created, in bytes: `expires_at` is added with DONE and `redrives` can
/// gain digits. Kept free at the creation, so that DONE never fails for want of room.
pub const ITEM_GROWTH_BYTES: usize = 256;

/// Largest body of an SQS message, in bytes, attributes counted (SQS quotas: 1 MiB).
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Receives before a message goes to the dead-letter queue (`maxReceiveCount` of the template).
pub const MAX_RECEIVES: u32 = 6;

/// Most records in one `PutRecords` call (Kinesis API reference).
pub const MAX_PUT_RECORDS: usize = 500;

/// Most bytes in one `PutRecords` call, partition keys counted. The API takes 10 MiB since 2025; we stay at the 5 MiB
/// it took before, which every endpoint accepts.
pub const MAX_PUT_RECORDS_BYTES: usize = 5 * 1024 * 1024;

/// Largest Kinesis record, in bytes, partition key counted (1 MiB unless the stream was raised).
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// Most writes in one `TransactWriteItems` call (DynamoDB API reference); one of them is the DONE write itself.
pub const MAX_TRANSACT_WRITES: usize = 100;

/// Statements of one `BatchExecuteStatement` call (DynamoDB developer guide, "Running batch operations with PartiQL for
/// DynamoDB": 25).
pub const MAX_BATCH_STATEMENTS: usize = 25;

/// Time to open a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Time until the first byte of a response. The SDK sets none of its own.
pub const READ_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Time for one attempt of a call, connection included.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Time for a call with all its attempts.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(8_000);

/// Attempts the SDK makes of one call, the first included.
pub const MAX_ATTEMPTS: u32 = 3;

/// Kept free before an invocation's deadline, to answer in.
pub const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// First pause before failed `PutRecords` entries are sent again; doubled each time, with full jitter.
pub const RETRY_BASE: Duration = Duration::from_millis(50);

/// Longest such pause.
pub const RETRY_CAP: Duration = Duration::from_millis(2_000);

/// The most an event has beyond its item, in bytes, and beyond the escapes in it: names of attributes, times, its
/// source, and the id in its three places.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 1_024 + 2 * (MAX_SOURCE_CHARS + 3 * MAX_ID_CHARS);

// Escapes double a text at most, since the item's texts hold no control characters but white space of JSON.
const _: () = assert!(
    2 * MAX_ITEM_BYTES + EVENT_OVERHEAD_BYTES + MAX_ID_CHARS < MAX_RECORD_BYTES,
    "every item's event fits a record"
);
const _: () = assert!(
    MAX_RECORD_BYTES <= MAX_PUT_RECORDS_BYTES,
    "every record fits a call"
);
const _: () = assert!(ATTEMPT_TIMEOUT.as_millis() < OPERATION_TIMEOUT.as_millis());
const _: () = assert!(CONNECT_TIMEOUT.as_millis() < ATTEMPT_TIMEOUT.as_millis());
const _: () = assert!(READ_TIMEOUT.as_millis() < ATTEMPT_TIMEOUT.as_millis());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(MAX_ITEM_BYTES, 409_600);
        assert_eq!(MAX_MESSAGE_BYTES, 1_048_576);
        assert_eq!(MAX_RECORD_BYTES, 1_048_576);
        assert_eq!(MAX_PUT_RECORDS_BYTES, 5_242_880);
    }
}
