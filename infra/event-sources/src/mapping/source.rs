//! The streams that a mapping reads and the destinations of its failure records.

use crate::Millis;

/// The service of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    DynamoDb,
    Kinesis,
}

/// Where to start reading a shard that has no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// At the oldest record in the shard.
    TrimHorizon,
    /// After the newest record in the shard.
    Latest,
    /// At the first record that arrived at or after this time; Kinesis only (K2).
    AtTimestamp(Millis),
}

/// A failure destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub kind: DestinationKind,
    pub arn: String,
}

/// The kind of a stream's failure destination (D21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationKind {
    Sqs,
    Sns,
    S3,
    Kafka,
}
