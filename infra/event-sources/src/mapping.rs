//! The settings of an event source mapping, validated as AWS validates them, and its lifecycle.
//!
//! Settings are parsed from the JSON of `CreateEventSourceMapping` or `ListEventSourceMappings`. Nothing is validated
//! again after that.

use crate::Millis;
use crate::filter::{FilterCriteria, Source};

mod error;
mod lifecycle;
pub mod limits;
mod settings;
mod source;

pub use error::InvalidMapping;
pub use lifecycle::{Change, Lifecycle, ProcessingResult, State, StateConflict};
use settings::{Settings, service_of, to_usize};
pub use source::{Destination, DestinationKind, StartingPosition, StreamKind};

/// The mapping of a queue or of a stream.
#[derive(Debug, Clone)]
pub enum Mapping {
    Sqs(SqsMapping),
    Stream(StreamMapping),
}

/// The settings of a queue's mapping. Parsing is the only way to create them, so every value is within its bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqsMapping {
    /// The mapping's id; empty in a create request.
    pub uuid: String,
    /// The ARN or name of the function.
    pub function_arn: String,
    pub event_source_arn: String,
    /// Whether the mapping should be enabled.
    pub enabled: bool,
    /// Whether the queue is a FIFO queue (its name ends in `.fifo`).
    pub fifo: bool,
    pub batch_size: usize,
    pub maximum_batching_window_in_seconds: u32,
    /// Whether `FunctionResponseTypes` contains `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    pub filter_criteria: FilterCriteria,
    /// `ScalingConfig.MaximumConcurrency`.
    pub maximum_concurrency: Option<usize>,
}

/// The settings of a stream's mapping. Parsing is the only way to create them, so every value is within its bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamMapping {
    pub kind: StreamKind,
    /// The mapping's id; empty in a create request.
    pub uuid: String,
    /// The ARN or name of the function.
    pub function_arn: String,
    pub event_source_arn: String,
    /// Whether the mapping should be enabled.
    pub enabled: bool,
    pub batch_size: usize,
    pub maximum_batching_window_in_seconds: u32,
    /// Whether `FunctionResponseTypes` contains `ReportBatchItemFailures`.
    pub report_batch_item_failures: bool,
    pub filter_criteria: FilterCriteria,
    /// Where to start reading a shard that has no checkpoint.
    pub starting_position: StartingPosition,
    /// Retries after the first invocation of a batch; `None` means no limit (D10).
    pub maximum_retry_attempts: Option<u32>,
    /// Records of this age or older are discarded; `None` means no limit (D18).
    pub maximum_record_age_in_seconds: Option<u32>,
    /// Whether a failed batch is split in two (D15).
    pub bisect_batch_on_function_error: bool,
    /// Concurrent batches of a shard (D7).
    pub parallelization_factor: usize,
    /// The destination of failure records about discarded batches.
    pub on_failure: Option<Destination>,
}

impl Mapping {
    /// Parses one entry of `ListEventSourceMappings` or a request to `CreateEventSourceMapping`.
    ///
    /// # Errors
    /// The first [`InvalidMapping`] that applies.
    pub fn from_json(json: &str) -> Result<Self, InvalidMapping> {
        let settings: Settings =
            serde_json::from_str(json).map_err(|e| InvalidMapping::Unreadable(e.to_string()))?;
        match service_of(&settings.event_source_arn) {
            Some("sqs") => SqsMapping::new(settings).map(Self::Sqs),
            Some("dynamodb") => {
                StreamMapping::new(StreamKind::DynamoDb, settings).map(Self::Stream)
            }
            Some("kinesis") => StreamMapping::new(StreamKind::Kinesis, settings).map(Self::Stream),
            _ if settings.event_source_arn.is_empty() => Err(InvalidMapping::EventSourceMissing),
            _ => Err(InvalidMapping::EventSource),
        }
    }

    #[must_use]
    pub fn uuid(&self) -> &str {
        match self {
            Self::Sqs(mapping) => &mapping.uuid,
            Self::Stream(mapping) => &mapping.uuid,
        }
    }
}

impl SqsMapping {
    /// Parses the mapping of a queue.
    ///
    /// # Errors
    /// The first [`InvalidMapping`] that applies; [`InvalidMapping::EventSource`] for a stream.
    pub fn from_json(json: &str) -> Result<Self, InvalidMapping> {
        match Mapping::from_json(json)? {
            Mapping::Sqs(mapping) => Ok(mapping),
            Mapping::Stream(_) => Err(InvalidMapping::EventSource),
        }
    }

    fn new(settings: Settings) -> Result<Self, InvalidMapping> {
        settings.check_supported_by_queues()?;
        let fifo = settings.event_source_arn.ends_with(".fifo");
        let batch_size = settings.batch_size(limits::DEFAULT_SQS_BATCH_SIZE)?;
        let window = settings.window()?;
        if fifo && window > 0 {
            return Err(InvalidMapping::FifoWindow);
        }
        if batch_size > limits::BATCH_SIZE_WITHOUT_WINDOW && window == 0 {
            return Err(if fifo {
                InvalidMapping::FifoBatchSize
            } else {
                InvalidMapping::WindowNeeded
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

    /// Checks the timeouts of queue and function, in seconds, as AWS does when a mapping is created or updated (S4).
    ///
    /// # Errors
    /// [`InvalidMapping::VisibilityTimeout`] if the function could run longer than the visibility timeout.
    pub fn check_timeouts(
        &self,
        visibility_timeout: u32,
        function_timeout: u32,
    ) -> Result<(), InvalidMapping> {
        if function_timeout > visibility_timeout {
            let (visibility, function) = (visibility_timeout, function_timeout);
            return Err(InvalidMapping::VisibilityTimeout {
                visibility,
                function,
            });
        }
        Ok(())
    }

    /// Returns the visibility timeout of the poller's receives, in seconds: that of the queue, unless batching window
    /// and function timeout together exceed it (S4).
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
    /// Parses the mapping of a stream.
    ///
    /// # Errors
    /// The first [`InvalidMapping`] that applies; [`InvalidMapping::EventSource`] for a queue.
    pub fn from_json(json: &str) -> Result<Self, InvalidMapping> {
        match Mapping::from_json(json)? {
            Mapping::Stream(mapping) => Ok(mapping),
            Mapping::Sqs(_) => Err(InvalidMapping::EventSource),
        }
    }

    fn new(kind: StreamKind, settings: Settings) -> Result<Self, InvalidMapping> {
        settings.check_supported_by_streams()?;
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

    /// The age at which a record is discarded, in milliseconds.
    #[must_use]
    pub fn maximum_record_age(&self) -> Option<Millis> {
        self.maximum_record_age_in_seconds
            .map(|age| Millis::from(age) * 1_000)
    }

    /// Checks the starting position against the clock, as AWS does when a mapping is created (K2).
    ///
    /// # Errors
    /// [`InvalidMapping::StartingPositionInFuture`].
    pub fn check_starting_position(&self, now: Millis) -> Result<(), InvalidMapping> {
        match self.starting_position {
            StartingPosition::AtTimestamp(at) if at > now => {
                Err(InvalidMapping::StartingPositionInFuture)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
