//! The configuration of a deployed stack, as far as a guarantee depends on it: plain data, in AWS's terms.

use std::collections::BTreeMap;

use onewrite_aws::targets::TargetAddress;
use onewrite_stack::{downstream, scan::PendingItems};

/// A part of the configuration, or the reason why it could not be read.
pub type ReadResult<T> = Result<T, ReadError>;

/// Why a part of the configuration could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The resource does not exist.
    #[error("the resource does not exist ({0})")]
    NotFound(String),
    /// The call failed.
    #[error("{0}")]
    Failed(String),
}

/// Everything that `doctor` checks, read from a deployed stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackSnapshot {
    /// The stack's parameters. They show what its owner asked for.
    pub parameters: BTreeMap<String, String>,
    /// Whether the stack runs in an emulator.
    pub is_local: bool,
    pub table_name: String,
    pub stream_name: String,
    pub bucket_name: String,
    pub queue: ReadResult<Queue>,
    pub dead_letter_queue: ReadResult<Queue>,
    /// Queues that an earlier deployment of this stack created, and that still hold messages.
    pub orphaned_queues: ReadResult<Vec<OrphanedQueue>>,
    pub table: ReadResult<Table>,
    /// The attribute by which items expire; `None` if TTL is off.
    pub time_to_live: ReadResult<Option<String>>,
    pub has_point_in_time_recovery: ReadResult<bool>,
    pub stream: ReadResult<Stream>,
    /// The default encryption algorithm of the failure bucket; `None` if it has none.
    pub bucket_encryption: ReadResult<Option<String>>,
    /// The settings of the failure bucket's public access block that are off.
    pub disabled_access_blocks: ReadResult<Vec<&'static str>>,
    pub bucket_policy: ReadResult<Option<String>>,
    pub bucket_lifecycle: ReadResult<Lifecycle>,
    pub ingest: Consumer,
    pub forward: Consumer,
    pub complete: Consumer,
    /// The resources that `DownstreamArns` names.
    pub downstream: Vec<DownstreamResource>,
    /// The items in INIT; only read if no downstream is configured.
    pub pending: ReadResult<Option<PendingItems>>,
    /// Reserved concurrency of `ingest`; `None` if nothing is reserved.
    pub reserved_concurrency: ReadResult<Option<i32>>,
    /// Concurrent executions that the account allows in this region; `None` if it does not matter, as in an emulator.
    pub concurrency_quota: ReadResult<Option<i64>>,
}

impl StackSnapshot {
    /// Whether the stack's owner switched a safeguard off by this parameter.
    #[must_use]
    pub fn is_disabled_by(&self, parameter: &str) -> bool {
        self.parameters
            .get(parameter)
            .is_some_and(|value| value == "false")
    }

    /// Whether the stack has a downstream, and so a mapping of `complete`.
    #[must_use]
    pub fn has_downstream(&self) -> bool {
        downstream::is_configured(&self.parameters, self.is_local)
    }

    /// `MessageRetentionPeriod` of the queue; 0 if the queue could not be read.
    #[must_use]
    pub fn queue_retention_seconds(&self) -> i64 {
        self.queue
            .as_ref()
            .map_or(0, |queue| queue.retention_seconds)
    }

    /// A parameter of the stack; `None` if it is empty.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.parameters.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// The AWS partition: `aws`, `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        let queue = self.queue.as_ref().ok();
        queue
            .and_then(|queue| queue.arn.split(':').nth(1))
            .unwrap_or("aws")
    }
}

/// An SQS queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    pub url: String,
    pub arn: String,
    pub visibility_timeout_seconds: i64,
    /// `MessageRetentionPeriod`.
    pub retention_seconds: i64,
    /// `deadLetterTargetArn` of the redrive policy.
    pub dead_letter_target: Option<String>,
    /// `maxReceiveCount` of the redrive policy.
    pub max_receives: Option<i64>,
    pub is_fifo: bool,
    /// Whether SQS encrypts the messages, with its own key or a KMS key.
    pub is_encrypted: bool,
    /// The KMS key; `None` if SQS encrypts with its own key, or not at all.
    pub kms_key: Option<String>,
    pub policy: Option<String>,
}

/// A resource that `DownstreamArns` names: a target, or what a target uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownstreamResource {
    pub arn: String,
    /// Its kind and name, or why `complete` cannot use it.
    pub address: Result<TargetAddress, String>,
    /// How it is configured. Without an address, nothing is read.
    pub settings: ReadResult<ResourceSettings>,
}

/// The settings of a resource on which the delivery depends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSettings {
    /// Whether a queue or a topic is FIFO.
    pub is_fifo: bool,
    /// Whether a state machine is of the type EXPRESS.
    pub is_express: bool,
}

/// A queue without a reader that holds messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrphanedQueue {
    pub url: String,
    /// The approximate number of messages.
    pub messages: i64,
}

/// What the lifecycle rules of a bucket remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// Whether a rule removes old versions of objects.
    pub expires_versions: bool,
    /// Whether a rule removes the markers of deleted objects.
    pub expires_markers: bool,
}

/// A DynamoDB table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The key attributes, partition key first.
    pub key: Vec<String>,
    /// `StreamViewType`; `None` if the table's stream is off.
    pub stream_view: Option<String>,
    /// Whether the table is encrypted with a KMS key.
    pub has_kms_key: bool,
    /// `DeletionProtectionEnabled`.
    pub is_protected: bool,
    /// The regions of the table's replicas.
    pub replicas: Vec<String>,
    /// Whether all regions agree on each write (`MultiRegionConsistency: STRONG`).
    pub is_strongly_consistent: bool,
}

/// A Kinesis stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// `RetentionPeriodHours`.
    pub retention_hours: i64,
    pub is_encrypted: bool,
    pub kms_key: Option<String>,
    /// `RecordDistributionStrategy`; `None` if Kinesis reports none, which means by partition key.
    pub distribution: Option<String>,
}

/// A function and the event source mappings of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The function's name.
    pub name: String,
    /// The function in the version that its mapping invokes.
    pub function: ReadResult<Function>,
    /// All mappings of the source, including those of other functions.
    pub mappings: ReadResult<Vec<Mapping>>,
}

impl Consumer {
    /// The mappings that invoke this function.
    pub fn own_mappings(&self) -> impl Iterator<Item = &Mapping> {
        let mappings = self.mappings.as_deref().unwrap_or_default();
        mappings
            .iter()
            .filter(|mapping| mapping.function == self.name)
    }

    /// The mappings that invoke other functions.
    pub fn other_mappings(&self) -> impl Iterator<Item = &Mapping> {
        let mappings = self.mappings.as_deref().unwrap_or_default();
        mappings
            .iter()
            .filter(|mapping| mapping.function != self.name)
    }
}

/// The configuration of a Lambda function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    pub timeout_seconds: i64,
    /// The instruction set: `x86_64` or `arm64`.
    pub architecture: Option<String>,
    /// Why Lambda cannot invoke the function or its latest code; `None` if it can.
    pub failure: Option<String>,
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
}

impl Function {
    /// The value of an environment variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// An event source mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    pub uuid: String,
    /// The name of the invoked function, without version or alias.
    pub function: String,
    /// The version or alias that the mapping invokes; `None` for the function itself.
    pub qualifier: Option<String>,
    /// The state that Lambda reports, such as `Enabled` or `Disabled`.
    pub state: String,
    pub batch_size: i64,
    pub batching_window_seconds: i64,
    /// Whether `FunctionResponseTypes` contains `ReportBatchItemFailures`.
    pub reports_batch_item_failures: bool,
    /// `StartingPosition` (streams only).
    pub starting_position: Option<String>,
    /// `MaximumRetryAttempts` (streams only); `None` if unlimited.
    pub maximum_retry_attempts: Option<i64>,
    /// `MaximumRecordAgeInSeconds` (streams only); `None` if unlimited.
    pub maximum_record_age_seconds: Option<i64>,
    /// `ParallelizationFactor` (streams only).
    pub parallelization_factor: Option<i64>,
    /// `BisectBatchOnFunctionError`.
    pub bisects: bool,
    /// The ARN of the on-failure destination.
    pub failure_destination: Option<String>,
    /// The patterns of the filter criteria.
    pub filters: Vec<String>,
    /// `MaximumConcurrency` (queues only).
    pub maximum_concurrency: Option<i64>,
    pub has_provisioned_pollers: bool,
    /// `MinimumPollers` of the provisioned pollers.
    pub minimum_pollers: Option<i64>,
}

impl Mapping {
    /// Whether the mapping polls, or is about to.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        matches!(
            self.state.as_str(),
            "Enabled" | "Enabling" | "Creating" | "Updating"
        )
    }
}
