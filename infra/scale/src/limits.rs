//! The limits of AWS services, each with the page that documents it. "Interpretation" marks values that a page does not
//! state explicitly.

/// Concurrent batches with which a standard queue's mapping begins (Lambda developer guide, "Configuring scaling behavior for
/// SQS event source mappings").
pub const SQS_FIRST_CONCURRENCY: f64 = 5.0;

/// Concurrent invocations such a mapping adds in a minute while messages are left (same page).
pub const SQS_CONCURRENCY_PER_MINUTE: f64 = 300.0;

/// Maximum concurrent invocations of such a mapping (same page).
pub const SQS_MAXIMUM_CONCURRENCY: f64 = 1_250.0;

/// Concurrent invocations of one provisioned poller (same page, "provisioned mode").
pub const POLLER_CONCURRENCY: f64 = 10.0;

/// Bytes a second of one provisioned poller: 1 MB (same page).
pub const POLLER_BYTES: f64 = 1_000_000.0;

/// Receives a second of one provisioned poller (same page).
pub const POLLER_RECEIVES: f64 = 10.0;

/// Concurrent invocations that provisioned pollers add in a minute (same page).
pub const POLLER_CONCURRENCY_PER_MINUTE: f64 = 1_000.0;

/// Range of `MinimumPollers` (Lambda developer guide, "Lambda parameters for Amazon SQS event source mappings").
pub const MINIMUM_POLLERS: (u32, u32) = (2, 200);

/// Largest `MaximumPollers` of a queue (Lambda API reference, `ProvisionedPollerConfig`).
pub const MAXIMUM_POLLERS: u32 = 10_000;

/// Messages of one receive (SQS developer guide, "Amazon SQS message quotas").
pub const RECEIVE_MESSAGES: f64 = 10.0;

/// Approximate number of messages of a standard queue that can be in flight (SQS developer guide, "Amazon SQS standard
/// queue quotas"). Can be raised.
pub const SQS_IN_FLIGHT: f64 = 120_000.0;

/// Receives before a message is a dead letter (`maxReceiveCount` of the template).
pub const RECEIVES: u32 = 6;

/// Concurrent executions of an account in a region, unless raised (Lambda developer guide, "Understanding Lambda function
/// scaling").
pub const ACCOUNT_CONCURRENCY: u32 = 1_000;

/// Requests a second for each unit of concurrency (same page): an invocation counts as at least a tenth of a second.
pub const REQUESTS_PER_CONCURRENCY: f64 = 10.0;

/// Execution environments that a function may add at once, and again in each period (Lambda developer guide, "Lambda
/// scaling behavior"). They are refilled continuously.
pub const ENVIRONMENTS_PER_PERIOD: f64 = 1_000.0;

/// The period in seconds (same page).
pub const ENVIRONMENTS_PERIOD_SECONDS: f64 = 10.0;

/// Bytes of the payload of one invocation (Lambda developer guide, "Lambda quotas": 6 MB).
pub const INVOCATION_BYTES: f64 = 6_000_000.0;

/// Maximum records or messages of one batch (Lambda developer guide, parameters of each event source mapping).
pub const BATCH: u32 = 10_000;

/// Memory with which a function has one full vCPU (Lambda developer guide, "Configure Lambda function memory").
pub const VCPU_MEGABYTES: f64 = 1_769.0;

/// Largest `ParallelizationFactor` (Lambda developer guide, parameters of DynamoDB and Kinesis mappings).
pub const PARALLELIZATION_FACTOR: u32 = 10;

/// Seconds between polls of a shard of a table's stream (Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB":
/// a base rate of 4 times a second).
pub const TABLE_STREAM_POLL_SECONDS: f64 = 0.25;

/// Records of one read of such a shard (DynamoDB Streams API reference, `GetRecords`).
pub const TABLE_STREAM_READ_RECORDS: f64 = 1_000.0;

/// Bytes of one read of such a shard: 1 MB (same page).
pub const TABLE_STREAM_READ_BYTES: f64 = 1_000_000.0;

/// Concurrent readers of one such shard (DynamoDB developer guide, "Quotas in Amazon DynamoDB"). `forward` is one.
pub const TABLE_STREAM_READERS: u32 = 2;

/// Hours that a table's stream keeps its changes (DynamoDB developer guide, "Change data capture for DynamoDB Streams").
pub const TABLE_STREAM_HOURS: u32 = 24;

/// Write units a second that a new on-demand table accepts (DynamoDB developer guide, "DynamoDB on-demand capacity mode").
pub const TABLE_FIRST_UNITS: f64 = 4_000.0;

/// Seconds within which an on-demand table may throttle traffic above twice its previous peak (same page). Interpretation: it
/// grows once in that time, which is the slowest growth that is allowed.
pub const TABLE_GROWTH_SECONDS: f64 = 1_800.0;

/// Write units a second of an on-demand table, unless raised (DynamoDB developer guide, "Quotas in Amazon DynamoDB").
pub const TABLE_QUOTA_UNITS: f64 = 40_000.0;

/// Write units a second of one partition (DynamoDB developer guide, "Best practices for designing and using partition
/// keys").
pub const PARTITION_UNITS: f64 = 1_000.0;

/// Bytes of one partition: 10 GB (DynamoDB developer guide, "Partitions and data distribution").
pub const PARTITION_BYTES: f64 = 10.0 * 1_024.0 * 1_024.0 * 1_024.0;

/// Records a second into one shard (Kinesis developer guide, "Quotas and limits"). A partition key belongs to one shard.
pub const SHARD_RECORDS: f64 = 1_000.0;

/// Bytes a second into one shard: 1 MB (same page).
pub const SHARD_BYTES: f64 = 1_000_000.0;

/// Bytes a second out of one shard, for all readers that share it: 2 MB (same page).
pub const SHARD_READ_BYTES: f64 = 2_000_000.0;

/// Seconds between polls of a Kinesis shard (Lambda developer guide, "Using Lambda to process records from Amazon Kinesis
/// Data Streams": a base rate of once a second).
pub const STREAM_POLL_SECONDS: f64 = 1.0;

/// Records of one `PutRecords` call (Kinesis API reference); `forward` sends at most one record of an id in a call.
pub const PUT_RECORDS: f64 = 500.0;

/// Capacity of a new on-demand stream in shards: 4 MB/s (Kinesis developer guide, "Quotas and limits").
pub const ON_DEMAND_FIRST_SHARDS: f64 = 4.0;

/// Seconds within which an on-demand stream may throttle traffic above twice its previous peak (Kinesis developer
/// guide, "Choose the right mode to stream in"). Interpretation: it grows once in that time.
pub const ON_DEMAND_GROWTH_SECONDS: f64 = 900.0;

/// Maximum capacity of an on-demand stream in shards, unless raised: 200 MB/s; 10 GB/s in us-east-1, us-west-2 and eu-west-1
/// (Kinesis developer guide, "Quotas and limits").
pub const ON_DEMAND_QUOTA_SHARDS: f64 = 200.0;

/// The same quota in us-east-1, us-west-2 and eu-west-1.
pub const ON_DEMAND_QUOTA_SHARDS_LARGE: f64 = 10_000.0;

/// Provisioned shards of an account in us-east-1, us-west-2 and eu-west-1, unless raised; 1,000 or 6,000 elsewhere (same
/// page).
pub const SHARD_QUOTA: u32 = 20_000;

/// Largest `ShardCount` that the template allows.
pub const TEMPLATE_SHARDS: u32 = 500;
