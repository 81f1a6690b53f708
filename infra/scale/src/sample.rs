//! The state of one stack after a step, and its totals.

use serde::Serialize;

/// The state of one stack after one step. Rates are per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the start.
    pub seconds: f64,
    /// Messages that arrived, including copies.
    pub arrived: f64,
    /// Messages in the queue, including those that are hidden after a failed receive.
    pub queue: f64,
    /// Age of the oldest message in seconds.
    pub oldest: f64,
    /// Concurrent invocations of `ingest`.
    pub ingest_concurrency: f64,
    /// Number of provisioned pollers.
    pub pollers: f64,
    /// Messages that DynamoDB throttled.
    pub throttled: f64,
    pub stored: f64,
    /// Write units consumed.
    pub units: f64,
    /// Changes waiting in the table's stream.
    pub table_stream: f64,
    /// Iterator age of `forward` in seconds.
    pub forward_age: f64,
    /// Concurrent invocations of `forward`.
    pub forward_concurrency: f64,
    /// Shards of the notification stream.
    pub shards: f64,
    /// Records published to the notification stream.
    pub published: f64,
    /// Events waiting in the notification stream.
    pub stream: f64,
    /// Iterator age of `complete` in seconds.
    pub complete_age: f64,
    /// Concurrent invocations of `complete`.
    pub complete_concurrency: f64,
    /// Notifications that became DONE.
    pub done: f64,
    /// Median of the seconds from arrival to DONE, for notifications that became DONE in this step.
    pub p50: f64,
    /// 99th percentile of the same.
    pub p99: f64,
    /// Number of dead letters so far.
    pub dead: f64,
}

/// Totals of one stack since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Messages that arrived, including copies.
    pub arrived: f64,
    pub stored: f64,
    /// Copies of messages that were already stored.
    pub copies: f64,
    /// Messages that were moved to the dead-letter queue.
    pub dead: f64,
    /// Notifications that became DONE.
    pub done: f64,
    /// Records published to the notification stream.
    pub published: f64,
    /// Published events of the hottest id.
    pub hot_published: f64,
    /// Redrives of the hottest id that the table throttled.
    pub hot_refused: f64,
    /// Write units consumed.
    pub units: f64,
    /// Invocations of `ingest`, `forward` and `complete`.
    pub invocations: [f64; 3],
    /// Total duration of these invocations.
    pub invocation_seconds: [f64; 3],
    /// Messages received, including failed receives.
    pub received: f64,
    /// Receive calls.
    pub receives: f64,
    pub shard_hours: f64,
}
