//! Why a mapping is refused, in AWS's words where they are known.

use super::limits;
use crate::filter::InvalidPattern;

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
    #[error("the event source is not an SQS queue, a DynamoDB stream or a Kinesis stream")]
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
    #[error(
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: \
         Member must not be null."
    )]
    StartingPositionMissing,
    /// `AT_TIMESTAMP` for a DynamoDB stream (D4).
    #[error("Unsupported starting position for arn type: {0}")]
    StartingPosition(String),
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
