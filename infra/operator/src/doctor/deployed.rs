//! What a deployed stack is, as far as a guarantee rests on it: plain data, in AWS's words.

use std::collections::BTreeMap;

/// What was read of a part of the stack, or why it was not.
pub type Read<T> = Result<T, Unread>;

/// Why a part of the stack was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is not there.
    #[error("there is none ({0})")]
    Gone(String),
    /// It could not be asked for.
    #[error("{0}")]
    Failed(String),
}

/// Everything that is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The stack's parameters: what its owner has asked for.
    pub parameters: BTreeMap<String, String>,
    /// The queue's URL.
    pub queue_url: String,
    /// The dead-letter queue's URL.
    pub dead_letter_queue_url: String,
    /// The table's name.
    pub table_name: String,
    /// The notification stream's name.
    pub stream_name: String,
    /// The failure bucket's name.
    pub bucket_name: String,
    /// The queue.
    pub queue: Read<Queue>,
    /// The dead-letter queue.
    pub dead_letter_queue: Read<Queue>,
    /// The table.
    pub table: Read<Table>,
    /// The attribute by which items expire; none where TTL is off.
    pub time_to_live: Read<Option<String>>,
    /// Whether the table can be restored to a point in time.
    pub is_recoverable: Read<bool>,
    /// The notification stream.
    pub stream: Read<Stream>,
    /// The algorithm by which the failure bucket encrypts; none where it does not.
    pub bucket_encryption: Read<Option<String>>,
    /// What of the failure bucket's public access block is off.
    pub bucket_public: Read<Vec<&'static str>>,
    /// The failure bucket's policy.
    pub bucket_policy: Read<Option<String>>,
    /// `ingest`, and the mappings of its source.
    pub ingest: Reader,
    /// `forward`, and the mappings of its source.
    pub forward: Reader,
    /// `complete`, and the mappings of its source.
    pub complete: Reader,
    /// Reserved concurrency of `ingest`; none where nothing is reserved.
    pub reserved_concurrency: Read<Option<i32>>,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// `QueueArn`.
    pub arn: String,
    /// `VisibilityTimeout`.
    pub visibility_timeout_seconds: i64,
    /// `MessageRetentionPeriod`.
    pub retention_seconds: i64,
    /// `deadLetterTargetArn` of the redrive policy.
    pub dead_letter_target: Option<String>,
    /// `maxReceiveCount` of the redrive policy.
    pub max_receives: Option<i64>,
    /// Whether it is a FIFO queue.
    pub is_fifo: bool,
    /// Whether it is encrypted, by SQS's key or another.
    pub is_encrypted: bool,
    /// Its policy.
    pub policy: Option<String>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The attributes of its key, partition key first.
    pub key: Vec<String>,
    /// `StreamViewType`; none where its stream is off.
    pub stream_view: Option<String>,
    /// Whether it is encrypted with a key of KMS.
    pub has_kms_key: bool,
    /// `DeletionProtectionEnabled`.
    pub is_protected: bool,
    /// The other regions it is written in.
    pub replicas: Vec<String>,
    /// Whether its regions agree on each write (`MultiRegionConsistency: STRONG`).
    pub is_strongly_consistent: bool,
}

/// A Kinesis stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// `RetentionPeriodHours`.
    pub retention_hours: i64,
    /// Whether it is encrypted.
    pub is_encrypted: bool,
    /// `RecordDistributionStrategy`; none where Kinesis says none, which is by partition key.
    pub distribution: Option<String>,
}

/// A function and what reads the source it lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The function's name.
    pub name: String,
    /// The function in the version that its mapping invokes.
    pub function: Read<Function>,
    /// All mappings of its source, other functions' too.
    pub mappings: Read<Vec<Mapping>>,
}

impl Reader {
    /// The mappings that invoke this function.
    pub fn own(&self) -> impl Iterator<Item = &Mapping> {
        let mappings = self.mappings.as_deref().unwrap_or_default();
        mappings
            .iter()
            .filter(|mapping| mapping.function == self.name)
    }

    /// The mappings that invoke something else.
    pub fn others(&self) -> impl Iterator<Item = &Mapping> {
        let mappings = self.mappings.as_deref().unwrap_or_default();
        mappings
            .iter()
            .filter(|mapping| mapping.function != self.name)
    }
}

/// A function's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// `Timeout`.
    pub timeout_seconds: i64,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
}

/// An event source mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its UUID.
    pub uuid: String,
    /// The name of the function it invokes, without version or alias.
    pub function: String,
    /// Lambda's word for how it stands: `Enabled`, `Disabled` and the like.
    pub state: String,
    /// `BatchSize`.
    pub batch_size: i64,
    /// `MaximumBatchingWindowInSeconds`.
    pub batching_window_seconds: i64,
    /// Whether `FunctionResponseTypes` has `ReportBatchItemFailures`.
    pub reports_batch_item_failures: bool,
    /// `StartingPosition`, of a stream's mapping.
    pub starting_position: Option<String>,
    /// `MaximumRetryAttempts`, of a stream's mapping; none where it is without end.
    pub maximum_retry_attempts: Option<i64>,
    /// `MaximumRecordAgeInSeconds`, of a stream's mapping; none where it is without end.
    pub maximum_record_age_seconds: Option<i64>,
    /// `BisectBatchOnFunctionError`.
    pub bisects: bool,
    /// The ARN of its failure destination.
    pub failure_destination: Option<String>,
    /// The patterns of its filter criteria.
    pub filters: Vec<String>,
    /// `MaximumConcurrency`, of a queue's mapping.
    pub maximum_concurrency: Option<i64>,
    /// Whether it has provisioned pollers.
    pub has_pollers: bool,
}

impl Mapping {
    /// Whether it polls, or is about to.
    #[must_use]
    pub fn is_on(&self) -> bool {
        matches!(
            self.state.as_str(),
            "Enabled" | "Enabling" | "Creating" | "Updating"
        )
    }
}
