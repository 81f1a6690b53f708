//! The limits of the targets, each with its source.

use std::time::Duration;

/// Time for one call of a target. Our own limit: the event source retries, so that a call has one attempt only.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time to connect to an HTTPS endpoint, which can be on another continent. Our own limit.
pub(super) const HTTP_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time in which a batch is collected. Our own limit, a fraction of what a call takes.
pub(super) const BATCH_LINGER: Duration = Duration::from_millis(5);

/// Most entries of one `SendMessageBatch`, `PublishBatch` or `PutEvents` (API references of SQS, SNS and EventBridge).
pub(super) const MAX_BATCH_ENTRIES: usize = 10;

/// Largest message of SQS, and largest sum of a batch, in bytes (SQS API reference, "SendMessageBatch": 1 MiB).
pub(super) const MAX_QUEUE_BYTES: usize = 1024 * 1024;

/// Largest sum of a batch that every queue accepts, in bytes (the largest `MaximumMessageSize` before 2025, which older queues keep:
/// 256 KiB). A larger message is sent alone.
pub(super) const MAX_QUEUE_BATCH_BYTES: usize = 256 * 1024;

/// Largest message of SNS, in bytes, if the topic allows it (SNS API reference, "PublishBatch": `MaximumMessageSize` up to
/// 1 MiB).
pub(super) const MAX_TOPIC_BYTES: usize = 1024 * 1024;

/// Largest sum of a batch that every topic accepts, in bytes (SNS API reference, "PublishBatch": 256 KiB by default). A larger
/// message is published alone.
pub(super) const MAX_TOPIC_BATCH_BYTES: usize = 256 * 1024;

/// Largest entry of EventBridge, in bytes (EventBridge quotas: 1 MiB; 256 KiB before 2026).
pub(super) const MAX_BUS_BYTES: usize = 1024 * 1024;

/// Largest sum of a batch that every endpoint accepts, in bytes (the limit of EventBridge before 2026). A larger entry is put
/// alone.
pub(super) const MAX_BUS_BATCH_BYTES: usize = 256 * 1024;

/// Longest `DetailType`, in characters (EventBridge API reference, "PutEventsRequestEntry").
pub(super) const MAX_DETAIL_TYPE_CHARS: usize = 128;

/// Largest input of an execution, in bytes of UTF-8 (Step Functions quotas: 256 KiB).
pub(super) const MAX_EXECUTION_INPUT_BYTES: usize = 256 * 1024;

/// Largest payload of a synchronous invocation, in bytes (Lambda quotas: 6 MB).
pub(super) const MAX_INVOCATION_BYTES: usize = 6 * 1024 * 1024;

/// Longest name of an execution, in characters (Step Functions API reference, "StartExecution").
pub(super) const MAX_EXECUTION_NAME_CHARS: usize = 80;

/// Longest `MessageGroupId` and `MessageDeduplicationId`, in characters (SQS and SNS API references).
pub(super) const MAX_FIFO_ID_CHARS: usize = 128;

/// Most of a response's body that is read so that its connection can be used again, in bytes. Our own limit.
pub(super) const MAX_DRAINED_BYTES: usize = 64 * 1024;

/// Most time for reading that. Our own limit.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the signing secret of an HTTPS endpoint is used before it is read again. Our own limit.
pub(super) const SECRET_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long a secret is used if it cannot be read again. Our own limit: longer than most outages, and shorter than an operator
/// expects a replaced secret to be used.
pub(super) const MAX_SECRET_AGE: Duration = Duration::from_secs(60 * 60);

/// The pause after a secret could not be read, in which no call tries it again. Our own limit.
pub(super) const SECRET_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// How long a secret is used at least. It bounds the reads while an endpoint returns 401 or 403 to every request.
pub(super) const MIN_SECRET_LIFETIME: Duration = Duration::from_secs(10);

/// Shortest and longest key of a signature, in bytes (Standard Webhooks, "Signature scheme": 192 to 512 bits).
pub(super) const SIGNING_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
