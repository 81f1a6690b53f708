//! Bounds of the settings of a mapping, both ends included (S2, S5, F1, D2, D7, D10, D18; Lambda API model).

use std::ops::RangeInclusive;

/// `BatchSize` of every source except a FIFO queue.
pub const BATCH_SIZE: RangeInclusive<i64> = 1..=10_000;
/// `BatchSize` of a FIFO queue, and of a standard queue without a batching window.
pub const BATCH_SIZE_WITHOUT_WINDOW: i64 = 10;
/// `MaximumBatchingWindowInSeconds`.
pub const WINDOW_SECONDS: RangeInclusive<i64> = 0..=300;
/// `ScalingConfig.MaximumConcurrency`.
pub const MAXIMUM_CONCURRENCY: RangeInclusive<i64> = 2..=1_000;
/// `MaximumRetryAttempts`; -1 means no limit.
pub const RETRY_ATTEMPTS: RangeInclusive<i64> = -1..=10_000;
/// `MaximumRecordAgeInSeconds`; -1 means no limit.
pub const RECORD_AGE_SECONDS: RangeInclusive<i64> = -1..=604_800;
/// The shortest `MaximumRecordAgeInSeconds` other than -1.
pub const SHORTEST_RECORD_AGE_SECONDS: i64 = 60;
/// `ParallelizationFactor`.
pub const PARALLELIZATION_FACTOR: RangeInclusive<i64> = 1..=10;
/// The default `BatchSize` of a queue.
pub const DEFAULT_SQS_BATCH_SIZE: i64 = 10;
/// The default `BatchSize` of a stream.
pub const DEFAULT_STREAM_BATCH_SIZE: i64 = 100;
/// Added to batching window and function timeout if the queue's visibility timeout is too short (S4).
pub const VISIBILITY_MARGIN_SECONDS: u32 = 30;
