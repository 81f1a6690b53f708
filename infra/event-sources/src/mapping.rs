//! The settings of an event source mapping, validated as AWS validates them, and its life cycle.
//!
//! Settings are read from the JSON of `CreateEventSourceMapping` or `ListEventSourceMappings`: past this door nothing
//! is checked again. No poller here.

use crate::Millis;
use crate::filter::{FilterCriteria, Source};

mod lifecycle;
mod refusal;
mod settings;

pub use lifecycle::{Change, Lifecycle, ProcessingResult, State, StateConflict};
pub use refusal::Refusal;
use settings::{Settings, service_of, to_usize};

/// Bounds of the settings, both ends included (S2, S5, F1, D2, D7, D10, D18; Lambda's API model).
pub mod limits {
    use std::ops::RangeInclusive;

    /// `BatchSize` of every source but a FIFO queue.
    pub const BATCH_SIZE: RangeInclusive<i64> = 1..=10_000;
    /// `BatchSize` of a FIFO queue, and of a standard queue without a batching window.
    pub const BATCH_SIZE_WITHOUT_WINDOW: i64 = 10;
    /// `MaximumBatchingWindowInSeconds`.
    pub const WINDOW_SECONDS: RangeInclusive<i64> = 0..=300;
    /// `ScalingConfig.MaximumConcurrency`.
    pub const MAXIMUM_CONCURRENCY: RangeInclusive<i64> = 2..=1_000;
    /// `MaximumRetryAttempts`; -1 is endless.
    pub const RETRY_ATTEMPTS: RangeInclusive<i64> = -1..=10_000;
    /// `MaximumRecordAgeInSeconds`; -1 is endless.
    pub const RECORD_AGE_SECONDS: RangeInclusive<i64> = -1..=604_800;
    /// The shortest `MaximumRecordAgeInSeconds` that is not endless.
    pub const SHORTEST_RECORD_AGE_SECONDS: i64 = 60;
    /// `ParallelizationFactor`.
    pub const PARALLELIZATION_FACTOR: RangeInclusive<i64> = 1..=10;
    /// Filters of a mapping without a raised quota (X4).
    pub const FILTERS: usize = 5;
    /// Characters of a filter's `Pattern` (X4).
    pub const PATTERN_CHARACTERS: usize = 4_096;
    /// `BatchSize` of a queue where none is given.
    pub const DEFAULT_SQS_BATCH_SIZE: i64 = 10;
    /// `BatchSize` of a stream where none is given.
    pub const DEFAULT_STREAM_BATCH_SIZE: i64 = 100;
    /// What a queue's visibility timeout gets on top of window and function timeout where it is too short (S4).
    pub const VISIBILITY_MARGIN_SECONDS: u32 = 30;
}

/// Either kind of mapping.
#[derive(Debug, Clone)]
pub enum Mapping {
    /// Of a queue.
    Sqs(SqsMapping),
    /// Of a stream.
    Stream(StreamMapping),
}

/// The settings of a queue's mapping. Only made by parsing, so that every value is in its bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqsMapping {
    /// The mapping's id; empty in a create request.
    pub uuid: String,
    /// The function, as ARN or name.
    pub function_arn: String,
    /// The queue.
    pub event_source_arn: String,
    /// Whether the mapping is to run.
    pub enabled: bool,
    /// The queue is FIFO (its name ends in `.fifo`).
    pub fifo: bool,
    /// The most records of a batch.
    pub batch_size: usize,
    /// How long a batch is gathered; 0 for at once.
    pub maximum_batching_window_in_seconds: u32,
    /// `FunctionResponseTypes` holds `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// Filters; matches everything where none are set.
    pub filter_criteria: FilterCriteria,
    /// `ScalingConfig.MaximumConcurrency`.
    pub maximum_concurrency: Option<usize>,
}

/// The settings of a stream's mapping. Only made by parsing, so that every value is in its bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamMapping {
    /// Which service the stream belongs to.
    pub kind: StreamKind,
    /// The mapping's id; empty in a create request.
    pub uuid: String,
    /// The function, as ARN or name.
    pub function_arn: String,
    /// The stream.
    pub event_source_arn: String,
    /// Whether the mapping is to run.
    pub enabled: bool,
    /// The most records of a batch.
    pub batch_size: usize,
    /// How long a batch is gathered; 0 for at once.
    pub maximum_batching_window_in_seconds: u32,
    /// `FunctionResponseTypes` holds `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    /// Filters; matches everything where none are set.
    pub filter_criteria: FilterCriteria,
    /// Where a shard without a checkpoint is read from.
    pub starting_position: StartingPosition,
    /// Retries after the first invocation of a batch; none for endless (D10).
    pub maximum_retry_attempts: Option<u32>,
    /// Records of this age or older are given up; none for endless (D18).
    pub maximum_record_age_in_seconds: Option<u32>,
    /// A failed batch is split in two (D15).
    pub bisect_batch_on_function_error: bool,
    /// Concurrent batches of a shard (D7).
    pub parallelization_factor: usize,
    /// Where notices of discarded batches go.
    pub on_failure: Option<Destination>,
}

/// The services whose streams a mapping reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// DynamoDB Streams.
    DynamoDb,
    /// Kinesis Data Streams.
    Kinesis,
}

/// Where a shard without a checkpoint is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record there is.
    TrimHorizon,
    /// Whatever is written from now on.
    Latest,
    /// The first record at or after a moment; Kinesis only (K2).
    AtTimestamp(Millis),
}

/// A failure destination, known by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What stands there.
    pub kind: DestinationKind,
    /// Its ARN.
    pub arn: String,
}

/// The kinds of failure destinations of a stream (D21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationKind {
    /// A standard queue.
    Sqs,
    /// A standard topic.
    Sns,
    /// A bucket.
    S3,
    /// A Kafka topic.
    Kafka,
}

impl Mapping {
    /// Reads one mapping, as one entry of `ListEventSourceMappings` or a request to `CreateEventSourceMapping`.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn from_json(json: &str) -> Result<Self, Refusal> {
        let settings: Settings =
            serde_json::from_str(json).map_err(|e| Refusal::Unreadable(e.to_string()))?;
        match service_of(&settings.event_source_arn) {
            Some("sqs") => SqsMapping::new(settings).map(Self::Sqs),
            Some("dynamodb") => {
                StreamMapping::new(StreamKind::DynamoDb, settings).map(Self::Stream)
            }
            Some("kinesis") => StreamMapping::new(StreamKind::Kinesis, settings).map(Self::Stream),
            _ => Err(Refusal::EventSource),
        }
    }

    /// The mapping's id.
    #[must_use]
    pub fn uuid(&self) -> &str {
        match self {
            Self::Sqs(mapping) => &mapping.uuid,
            Self::Stream(mapping) => &mapping.uuid,
        }
    }
}

impl SqsMapping {
    /// Reads the mapping of a queue.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; a stream is [`Refusal::EventSource`].
    pub fn from_json(json: &str) -> Result<Self, Refusal> {
        match Mapping::from_json(json)? {
            Mapping::Sqs(mapping) => Ok(mapping),
            Mapping::Stream(_) => Err(Refusal::EventSource),
        }
    }

    fn new(settings: Settings) -> Result<Self, Refusal> {
        settings.refuse_what_queues_lack()?;
        let fifo = settings.event_source_arn.ends_with(".fifo");
        let batch_size = settings.batch_size(limits::DEFAULT_SQS_BATCH_SIZE)?;
        let window = settings.window()?;
        if fifo && window > 0 {
            return Err(Refusal::FifoWindow);
        }
        if batch_size > limits::BATCH_SIZE_WITHOUT_WINDOW && window == 0 {
            return Err(if fifo {
                Refusal::FifoBatchSize
            } else {
                Refusal::WindowNeeded
            });
        }
        Ok(Self {
            enabled: settings.enabled(),
            fifo,
            batch_size: to_usize(batch_size),
            maximum_batching_window_in_seconds: window,
            report_batch_item_failures: settings.reports_failures()?,
            filter_criteria: settings.filters(Source::Sqs)?,
            maximum_concurrency: settings.maximum_concurrency()?,
            function_arn: settings.function(),
            event_source_arn: settings.event_source_arn,
            uuid: settings.uuid,
        })
    }

    /// The batching window in milliseconds.
    #[must_use]
    pub fn batching_window(&self) -> Millis {
        Millis::from(self.maximum_batching_window_in_seconds) * 1_000
    }

    /// What AWS checks against the queue and the function when the mapping is created or updated, in seconds (S4).
    ///
    /// # Errors
    /// [`Refusal::VisibilityTimeout`] if a run could outlast the visibility timeout.
    pub fn check_timeouts(
        &self,
        visibility_timeout: u32,
        function_timeout: u32,
    ) -> Result<(), Refusal> {
        if function_timeout > visibility_timeout {
            let (visibility, function) = (visibility_timeout, function_timeout);
            return Err(Refusal::VisibilityTimeout {
                visibility,
                function,
            });
        }
        Ok(())
    }

    /// The visibility timeout the poller receives with, in seconds: the queue's own, unless window and run together
    /// would outlast it (S4).
    #[must_use]
    pub fn effective_visibility_timeout(
        &self,
        visibility_timeout: u32,
        function_timeout: u32,
    ) -> u32 {
        let window = self.maximum_batching_window_in_seconds;
        let needed = window.saturating_add(function_timeout);
        if window > 0 && needed > visibility_timeout {
            needed.saturating_add(limits::VISIBILITY_MARGIN_SECONDS)
        } else {
            visibility_timeout
        }
    }
}

impl StreamMapping {
    /// Reads the mapping of a stream.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; a queue is [`Refusal::EventSource`].
    pub fn from_json(json: &str) -> Result<Self, Refusal> {
        match Mapping::from_json(json)? {
            Mapping::Stream(mapping) => Ok(mapping),
            Mapping::Sqs(_) => Err(Refusal::EventSource),
        }
    }

    fn new(kind: StreamKind, settings: Settings) -> Result<Self, Refusal> {
        settings.refuse_what_streams_lack()?;
        let filter_source = match kind {
            StreamKind::DynamoDb => Source::DynamoDb,
            StreamKind::Kinesis => Source::Kinesis,
        };
        Ok(Self {
            kind,
            enabled: settings.enabled(),
            batch_size: to_usize(settings.batch_size(limits::DEFAULT_STREAM_BATCH_SIZE)?),
            maximum_batching_window_in_seconds: settings.window()?,
            report_batch_item_failures: settings.reports_failures()?,
            filter_criteria: settings.filters(filter_source)?,
            starting_position: settings.starting_position(kind)?,
            maximum_retry_attempts: settings.retry_attempts()?,
            maximum_record_age_in_seconds: settings.record_age()?,
            bisect_batch_on_function_error: settings.bisects(),
            parallelization_factor: settings.parallelization_factor()?,
            on_failure: settings.destination()?,
            function_arn: settings.function(),
            event_source_arn: settings.event_source_arn,
            uuid: settings.uuid,
        })
    }

    /// The batching window in milliseconds.
    #[must_use]
    pub fn batching_window(&self) -> Millis {
        Millis::from(self.maximum_batching_window_in_seconds) * 1_000
    }

    /// The age at which a record is given up, in milliseconds.
    #[must_use]
    pub fn maximum_record_age(&self) -> Option<Millis> {
        self.maximum_record_age_in_seconds
            .map(|age| Millis::from(age) * 1_000)
    }

    /// What AWS checks against its clock when the mapping is created (K2).
    ///
    /// # Errors
    /// [`Refusal::StartingPositionInFuture`].
    pub fn check_starting_position(&self, now: Millis) -> Result<(), Refusal> {
        match self.starting_position {
            StartingPosition::AtTimestamp(at) if at > now => Err(Refusal::StartingPositionInFuture),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
