//! The error of invalid mapping settings.

use crate::filter::InvalidFilterCriteria;

/// The reason why AWS, or this model of it, rejects the settings of a mapping.
///
/// `Display` is the message that belongs to [`InvalidMapping::code`]. It is AWS's message where that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMapping {
    /// The text is not the JSON of a mapping.
    #[error("the settings of the mapping cannot be parsed: {0}")]
    Unreadable(String),
    /// The request does not name an event source (X13).
    #[error("Unrecognized event source.")]
    EventSourceMissing,
    /// The event source is neither a queue nor a stream.
    #[error("the event source is not an SQS queue, a DynamoDB stream or a Kinesis stream")]
    EventSource,
    /// The event source does not support this setting.
    #[error("{setting} is not supported for {source_kind} event sources")]
    NotForThisSource {
        setting: &'static str,
        source_kind: &'static str,
    },
    /// A number is less than its minimum.
    #[error(
        "1 validation error detected: Value '{value}' at '{setting}' failed to satisfy constraint: \
         Member must have value greater than or equal to {bound}"
    )]
    TooSmall {
        /// The setting, as AWS spells it in error messages.
        setting: &'static str,
        value: i64,
        bound: i64,
    },
    /// A number is greater than its maximum.
    #[error(
        "1 validation error detected: Value '{value}' at '{setting}' failed to satisfy constraint: \
         Member must have value less than or equal to {bound}"
    )]
    TooLarge {
        /// The setting, as AWS spells it in error messages.
        setting: &'static str,
        value: i64,
        bound: i64,
    },
    /// A value is not one of the allowed ones.
    #[error(
        "1 validation error detected: Value '{value}' at '{setting}' failed to satisfy constraint: \
         Member must satisfy enum value set: [{allowed}]"
    )]
    NotOneOf {
        /// The setting, as AWS spells it in error messages.
        setting: &'static str,
        value: String,
        allowed: &'static str,
    },
    /// A batch size above 10 requires a batching window (S2).
    #[error(
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    )]
    WindowNeeded,
    /// A FIFO queue does not support a batching window (F1).
    #[error("Batching window is not supported for FIFO queues")]
    FifoWindow,
    /// The batch size of a FIFO queue is above 10 (F1).
    #[error("Batch size must not exceed 10 for FIFO queues")]
    FifoBatchSize,
    /// The function may run longer than the visibility timeout (S4).
    #[error(
        "Queue visibility timeout: {visibility} seconds is less than Function timeout: {function} seconds"
    )]
    VisibilityTimeout {
        /// In seconds.
        visibility: u32,
        /// In seconds.
        function: u32,
    },
    /// The stream has no starting position (D4).
    #[error(
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: \
         Member must not be null."
    )]
    StartingPositionMissing,
    /// DynamoDB streams do not support `AT_TIMESTAMP` (D4).
    #[error("Unsupported starting position for arn type: {0}")]
    StartingPosition(String),
    /// `AT_TIMESTAMP` and `StartingPositionTimestamp` require each other (K2).
    #[error("StartingPositionTimestamp is required with AT_TIMESTAMP and not supported otherwise")]
    StartingPositionTimestamp,
    /// The starting time is in the future (K2).
    #[error("StartingPositionTimestamp must not be in the future")]
    StartingPositionInFuture,
    /// The record age is neither -1 nor at least 60 seconds (D18).
    #[error("MaximumRecordAgeInSeconds must be -1 or between 60 and 604800")]
    RecordAge,
    /// The destination is not one of those in D21, or is a FIFO queue or topic.
    #[error(
        "The failure destination must be a standard SQS queue, a standard SNS topic, an S3 bucket or a Kafka topic"
    )]
    Destination,
    /// A queue has no destinations, and no source has one for successful invocations (X13).
    #[error("Unsupported DestinationConfig parameter for given event source mapping type.")]
    DestinationConfig,
    /// Tumbling windows are not modelled (D29).
    #[error("TumblingWindowInSeconds is not supported by this implementation")]
    TumblingWindow,
    /// The filter criteria are invalid (X4, X5, X9).
    #[error(transparent)]
    FilterCriteria(#[from] InvalidFilterCriteria),
}

impl InvalidMapping {
    /// The name of the AWS exception.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } | Self::TooLarge { .. } | Self::NotOneOf { .. } => {
                "ValidationException"
            }
            _ => "InvalidParameterValueException",
        }
    }

    /// The HTTP status: every rejection is an error of the caller (`Type` is `User`).
    #[must_use]
    pub fn http_status(&self) -> u16 {
        400
    }
}
