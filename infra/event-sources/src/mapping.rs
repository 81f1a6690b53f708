//! The settings of an event source mapping, validated as AWS validates them, and its life cycle.
//!
//! Settings are read from the JSON of `CreateEventSourceMapping` or `ListEventSourceMappings`: past this door nothing
//! is checked again. No poller here.

use serde::Deserialize;

use crate::Millis;
use crate::filter::{FilterCriteria, InvalidPattern, Source};

mod lifecycle;

pub use lifecycle::{Change, Lifecycle, ProcessingResult, State, StateConflict};

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

/// Why AWS, or this model of it, refuses the settings.
///
/// `Display` is the message that goes with [`Refusal::code`]. Where AWS's own words are known they are used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The text is not a mapping's JSON; says what is wrong with it.
    #[error("the settings of the mapping cannot be read: {0}")]
    Unreadable(String),
    /// The event source is neither a queue nor a stream.
    #[error("Unrecognized event source, must be kinesis, dynamodb stream or sqs.")]
    EventSource,
    /// A setting does not exist for this event source.
    #[error("{setting} is not supported for {source_kind} event sources")]
    NotForThisSource {
        /// The setting.
        setting: &'static str,
        /// The event source.
        source_kind: &'static str,
    },
    /// A number is below its least value.
    #[error(
        "1 validation error detected: Value '{value}' at '{setting}' failed to satisfy constraint: \
         Member must have value greater than or equal to {bound}"
    )]
    TooSmall {
        /// The setting, in AWS's spelling of error messages.
        setting: &'static str,
        /// What was asked for.
        value: i64,
        /// The least allowed.
        bound: i64,
    },
    /// A number is above its greatest value.
    #[error(
        "1 validation error detected: Value '{value}' at '{setting}' failed to satisfy constraint: \
         Member must have value less than or equal to {bound}"
    )]
    TooLarge {
        /// The setting, in AWS's spelling of error messages.
        setting: &'static str,
        /// What was asked for.
        value: i64,
        /// The greatest allowed.
        bound: i64,
    },
    /// A text is none of the allowed ones.
    #[error(
        "1 validation error detected: Value '{value}' at '{setting}' failed to satisfy constraint: \
         Member must satisfy enum value set: [{allowed}]"
    )]
    NotOneOf {
        /// The setting, in AWS's spelling of error messages.
        setting: &'static str,
        /// What was asked for.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// More than 10 records without a window (S2).
    #[error(
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    )]
    WindowNeeded,
    /// A window on a FIFO queue (F1).
    #[error("Batching window is not supported for FIFO queues")]
    FifoWindow,
    /// More than 10 records of a FIFO queue (F1).
    #[error("Batch size must not exceed 10 for FIFO queues")]
    FifoBatchSize,
    /// A function that may run longer than a message stays invisible (S4).
    #[error(
        "Queue visibility timeout: {visibility} seconds is less than Function timeout: {function} seconds"
    )]
    VisibilityTimeout {
        /// The queue's visibility timeout in seconds.
        visibility: u32,
        /// The function's timeout in seconds.
        function: u32,
    },
    /// A stream without a starting position (D4).
    #[error("StartingPosition must be specified for stream event sources")]
    StartingPositionMissing,
    /// `AT_TIMESTAMP` for a DynamoDB stream (D4).
    #[error("Unsupported starting position for arn type. Please use TRIM_HORIZON or LATEST.")]
    StartingPosition,
    /// `AT_TIMESTAMP` without a time, or a time without it (K2).
    #[error("StartingPositionTimestamp must be given with AT_TIMESTAMP, and only with it")]
    StartingPositionTimestamp,
    /// `AT_TIMESTAMP` in the future (K2).
    #[error("StartingPositionTimestamp must not be in the future")]
    StartingPositionInFuture,
    /// A record age between -1 and 60 seconds (D18).
    #[error("MaximumRecordAgeInSeconds must be -1 or between 60 and 604800")]
    RecordAge,
    /// A destination that is none of D21, or a FIFO queue or topic.
    #[error(
        "The failure destination must be a standard SQS queue, a standard SNS topic, an S3 bucket or a Kafka topic"
    )]
    Destination,
    /// Tumbling windows are not modelled (D29).
    #[error("TumblingWindowInSeconds is not supported by this implementation")]
    TumblingWindow,
    /// More filters than a mapping may have (X4).
    #[error("Filter criteria exceeded the limit of {} filters", limits::FILTERS)]
    TooManyFilters,
    /// A pattern that is too long (X4). Names neither the pattern nor its length: AWS's words are not known.
    #[error(
        "A filter pattern is longer than {} characters",
        limits::PATTERN_CHARACTERS
    )]
    PatternTooLong,
    /// A pattern that is no filter pattern (X5, X9).
    #[error("Invalid filter pattern definition.")]
    FilterPattern(#[source] InvalidPattern),
}

impl Refusal {
    /// The name of AWS's exception.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } | Self::TooLarge { .. } | Self::NotOneOf { .. } => {
                "ValidationException"
            }
            _ => "InvalidParameterValueException",
        }
    }

    /// The HTTP status that goes with it: every refusal is the caller's fault (`Type` is `User`).
    #[must_use]
    pub fn http_status(&self) -> u16 {
        400
    }
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
        settings.refuse_stream_settings()?;
        let fifo = settings.event_source_arn.ends_with(".fifo");
        let batch_size = within("batchSize", settings.batch_size, &limits::BATCH_SIZE)?;
        let batch_size = batch_size.unwrap_or(limits::DEFAULT_SQS_BATCH_SIZE);
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
        let maximum_concurrency = settings
            .scaling_config
            .as_ref()
            .and_then(|s| s.maximum_concurrency);
        let maximum_concurrency = within(
            "scalingConfig.maximumConcurrency",
            maximum_concurrency,
            &limits::MAXIMUM_CONCURRENCY,
        )?;
        Ok(Self {
            enabled: settings.enabled(),
            fifo,
            batch_size: to_usize(batch_size),
            maximum_batching_window_in_seconds: window,
            report_batch_item_failures: settings.reports_failures()?,
            filter_criteria: settings.filters(Source::Sqs)?,
            maximum_concurrency: maximum_concurrency.map(to_usize),
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
        if settings
            .scaling_config
            .as_ref()
            .is_some_and(|s| s.maximum_concurrency.is_some())
        {
            return Err(Refusal::NotForThisSource {
                setting: "ScalingConfig",
                source_kind: "stream",
            });
        }
        if settings.tumbling_window_in_seconds.is_some_and(|w| w != 0) {
            return Err(Refusal::TumblingWindow);
        }
        let batch_size = within("batchSize", settings.batch_size, &limits::BATCH_SIZE)?;
        let retries = within(
            "maximumRetryAttempts",
            settings.maximum_retry_attempts,
            &limits::RETRY_ATTEMPTS,
        )?;
        let factor = within(
            "parallelizationFactor",
            settings.parallelization_factor,
            &limits::PARALLELIZATION_FACTOR,
        )?;
        let filter_source = match kind {
            StreamKind::DynamoDb => Source::DynamoDb,
            StreamKind::Kinesis => Source::Kinesis,
        };
        Ok(Self {
            kind,
            enabled: settings.enabled(),
            batch_size: to_usize(batch_size.unwrap_or(limits::DEFAULT_STREAM_BATCH_SIZE)),
            maximum_batching_window_in_seconds: settings.window()?,
            report_batch_item_failures: settings.reports_failures()?,
            filter_criteria: settings.filters(filter_source)?,
            starting_position: settings.starting_position(kind)?,
            maximum_retry_attempts: retries.and_then(unless_endless),
            maximum_record_age_in_seconds: settings.record_age()?,
            bisect_batch_on_function_error: settings
                .bisect_batch_on_function_error
                .unwrap_or(false),
            parallelization_factor: to_usize(factor.unwrap_or(1)),
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

/// The wire form, of requests and of listings: every number as wide as JSON's, so that bounds are checked here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    event_source_arn: String,
    function_arn: Option<String>,
    function_name: Option<String>,
    #[serde(default, rename = "UUID")]
    uuid: String,
    enabled: Option<bool>,
    state: Option<String>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    function_response_types: Option<Vec<String>>,
    filter_criteria: Option<WireCriteria>,
    scaling_config: Option<ScalingConfig>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<f64>,
    maximum_retry_attempts: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    parallelization_factor: Option<i64>,
    tumbling_window_in_seconds: Option<i64>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireCriteria {
    filters: Option<Vec<WireFilter>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireFilter {
    pattern: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingConfig {
    maximum_concurrency: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    on_failure: Option<OnFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnFailure {
    destination: Option<String>,
}

impl Settings {
    /// A listing tells the state, a request what is asked for; a mapping on its way to `Enabled` is to run.
    fn enabled(&self) -> bool {
        let stopped = matches!(
            self.state.as_deref(),
            Some("Disabled" | "Disabling" | "Deleting")
        );
        self.enabled.unwrap_or(!stopped)
    }

    /// A listing tells the ARN, a request may hold a name instead.
    fn function(&self) -> String {
        self.function_arn
            .as_ref()
            .or(self.function_name.as_ref())
            .cloned()
            .unwrap_or_default()
    }

    fn window(&self) -> Result<u32, Refusal> {
        let given = self.maximum_batching_window_in_seconds;
        let window = within(
            "maximumBatchingWindowInSeconds",
            given,
            &limits::WINDOW_SECONDS,
        )?;
        Ok(window.and_then(unless_endless).unwrap_or(0))
    }

    fn reports_failures(&self) -> Result<bool, Refusal> {
        const KNOWN: &str = "ReportBatchItemFailures";
        let types = self.function_response_types.as_deref().unwrap_or_default();
        if let Some(other) = types.iter().find(|t| *t != KNOWN) {
            let (setting, value) = ("functionResponseTypes", other.clone());
            return Err(Refusal::NotOneOf {
                setting,
                value,
                allowed: KNOWN,
            });
        }
        Ok(!types.is_empty())
    }

    fn filters(&self, source: Source) -> Result<FilterCriteria, Refusal> {
        let filters = self
            .filter_criteria
            .as_ref()
            .and_then(|c| c.filters.as_deref())
            .unwrap_or_default();
        let pattern = |filter: &WireFilter| filter.pattern.clone().unwrap_or_default();
        let patterns: Vec<String> = filters.iter().map(pattern).collect();
        FilterCriteria::compile(source, &patterns)
    }

    fn starting_position(&self, kind: StreamKind) -> Result<StartingPosition, Refusal> {
        let at = self.starting_position_timestamp;
        let Some(position) = self.starting_position.as_deref() else {
            return Err(Refusal::StartingPositionMissing);
        };
        match (position, kind, at) {
            ("TRIM_HORIZON", _, None) => Ok(StartingPosition::TrimHorizon),
            ("LATEST", _, None) => Ok(StartingPosition::Latest),
            ("AT_TIMESTAMP", StreamKind::DynamoDb, _) => Err(Refusal::StartingPosition),
            ("AT_TIMESTAMP", StreamKind::Kinesis, Some(at)) if at >= 0.0 => Ok(
                StartingPosition::AtTimestamp((at * 1_000.0).round() as Millis),
            ),
            ("TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP", ..) => {
                Err(Refusal::StartingPositionTimestamp)
            }
            (other, ..) => Err(Refusal::NotOneOf {
                setting: "startingPosition",
                value: other.to_owned(),
                allowed: "LATEST, AT_TIMESTAMP, TRIM_HORIZON",
            }),
        }
    }

    fn record_age(&self) -> Result<Option<u32>, Refusal> {
        let given = self.maximum_record_age_in_seconds;
        match within(
            "maximumRecordAgeInSeconds",
            given,
            &limits::RECORD_AGE_SECONDS,
        )? {
            Some(age) if (0..limits::SHORTEST_RECORD_AGE_SECONDS).contains(&age) => {
                Err(Refusal::RecordAge)
            }
            age => Ok(age.and_then(unless_endless)),
        }
    }

    fn destination(&self) -> Result<Option<Destination>, Refusal> {
        let on_failure = self
            .destination_config
            .as_ref()
            .and_then(|c| c.on_failure.as_ref());
        let Some(arn) = on_failure
            .and_then(|f| f.destination.clone())
            .filter(|arn| !arn.is_empty())
        else {
            return Ok(None);
        };
        let kind = match service_of(&arn) {
            Some("sqs" | "sns") if arn.ends_with(".fifo") => return Err(Refusal::Destination),
            Some("sqs") => DestinationKind::Sqs,
            Some("sns") => DestinationKind::Sns,
            Some("s3") => DestinationKind::S3,
            _ if arn.starts_with("kafka://") => DestinationKind::Kafka,
            _ => return Err(Refusal::Destination),
        };
        Ok(Some(Destination { kind, arn }))
    }

    /// A listing spells out absent settings in part, as null, so that only values count.
    fn refuse_stream_settings(&self) -> Result<(), Refusal> {
        let given = [
            ("StartingPosition", self.starting_position.is_some()),
            (
                "MaximumRetryAttempts",
                self.maximum_retry_attempts.is_some(),
            ),
            (
                "MaximumRecordAgeInSeconds",
                self.maximum_record_age_in_seconds.is_some(),
            ),
            (
                "BisectBatchOnFunctionError",
                self.bisect_batch_on_function_error.is_some(),
            ),
            (
                "ParallelizationFactor",
                self.parallelization_factor.is_some(),
            ),
            (
                "TumblingWindowInSeconds",
                self.tumbling_window_in_seconds.is_some(),
            ),
            (
                "DestinationConfig",
                matches!(self.destination(), Err(_) | Ok(Some(_))),
            ),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((setting, _)) => Err(Refusal::NotForThisSource {
                setting,
                source_kind: "SQS",
            }),
            None => Ok(()),
        }
    }
}

/// The third part of an ARN.
fn service_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(1)
}

fn within(
    setting: &'static str,
    value: Option<i64>,
    bounds: &std::ops::RangeInclusive<i64>,
) -> Result<Option<i64>, Refusal> {
    match value {
        Some(value) if value < *bounds.start() => Err(Refusal::TooSmall {
            setting,
            value,
            bound: *bounds.start(),
        }),
        Some(value) if value > *bounds.end() => Err(Refusal::TooLarge {
            setting,
            value,
            bound: *bounds.end(),
        }),
        value => Ok(value),
    }
}

/// A value that is within its bounds, where -1 stands for none.
fn unless_endless(value: i64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// A value that is within its bounds, all of which are small and positive.
fn to_usize(value: i64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
