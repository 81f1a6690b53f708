//! The load, the configuration of the pipeline, and the speed of its services.

use onewrite_cost::{
    billing,
    sizes::{DEFLATE_RATIO, Sizes},
};
use serde::Serialize;

use crate::{
    lambda::Work,
    limits::{
        ACCOUNT_CONCURRENCY, INVOCATION_BYTES, ON_DEMAND_QUOTA_SHARDS, PUT_RECORDS,
        TABLE_FIRST_UNITS, TABLE_QUOTA_UNITS,
    },
};

/// How much larger a change is in a Lambda event than in its item. Assumption: names and types of JSON.
const CHANGE_AS_JSON: f64 = 1.5;
/// How much larger a record is in a Lambda event: base64, and its metadata. The latter is an assumption.
const RECORD_AS_JSON: (f64, f64) = (4.0 / 3.0, 300.0);

/// The rate of messages over time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "profile")]
pub enum Profile {
    /// The same rate all the time.
    Constant,
    /// A linear increase to the rate.
    Ramp {
        /// Messages a second at the start.
        from: f64,
    },
    /// The rate for a limited time.
    Burst {
        /// Messages a second before and after the burst.
        from: f64,
        /// When the burst begins, in seconds.
        at: f64,
        /// Duration of the burst.
        seconds: f64,
    },
}

/// The messages that arrive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Messages with different ids per second, in all stacks.
    pub rate: f64,
    #[serde(flatten)]
    pub profile: Profile,
    pub payload_bytes: f64,
    /// Copies of each message.
    pub duplicates: f64,
    /// Fraction of the messages that are copies of one id.
    pub hot_share: f64,
    /// Redrives a second of one id.
    pub hot_redrives: f64,
    /// Simulated time.
    pub seconds: f64,
}

impl Load {
    /// Messages of 1 KB at a constant rate for an hour; 1 % of them arrive twice.
    #[must_use]
    pub fn constant(rate: f64) -> Self {
        Self {
            rate,
            profile: Profile::Constant,
            payload_bytes: 1_024.0,
            duplicates: 0.01,
            hot_share: 0.0,
            hot_redrives: 0.0,
            seconds: 3_600.0,
        }
    }

    /// Messages a second at this time.
    #[must_use]
    pub fn rate_at(&self, now: f64) -> f64 {
        match self.profile {
            Profile::Constant => self.rate,
            Profile::Ramp { from } => from + (self.rate - from) * (now / self.seconds).min(1.0),
            Profile::Burst { from, at, seconds } => {
                if (at..at + seconds).contains(&now) {
                    self.rate
                } else {
                    from
                }
            }
        }
    }

    fn sizes(&self) -> Sizes {
        Sizes::new(self.payload_bytes as u64, DEFLATE_RATIO)
    }

    #[must_use]
    pub fn message_bytes(&self) -> f64 {
        self.sizes().message as f64
    }

    /// Bytes of an item in DONE, which is the largest.
    #[must_use]
    pub fn item_bytes(&self) -> f64 {
        self.sizes().settled_item as f64
    }

    /// Bytes of a record in the notification stream.
    #[must_use]
    pub fn record_bytes(&self) -> f64 {
        self.sizes().record as f64
    }

    /// Average bytes of a change in the table's stream: INIT has one image, DONE has two.
    #[must_use]
    pub fn change_bytes(&self) -> f64 {
        1.5 * self.item_bytes()
    }

    /// Write units of an item.
    #[must_use]
    pub fn units(&self) -> f64 {
        billing::write_units(self.item_bytes())
    }
}

/// The pollers of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "pollers")]
pub enum Polling {
    /// Lambda scales the pollers.
    Standard {
        /// `IngestConcurrency`.
        maximum_concurrency: u32,
    },
    /// The stack has provisioned pollers.
    Provisioned {
        /// The first number of `IngestConcurrency`.
        minimum: u32,
        /// The second number of `IngestConcurrency`.
        maximum: u32,
    },
}

/// The notification stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum Stream {
    /// A fixed number of shards: the template's `ShardCount`.
    Provisioned { shards: u32 },
    /// On-demand mode, which adds shards after a while.
    OnDemand {
        /// Capacity at the start in shards of 1 MB/s.
        first: f64,
        /// Maximum capacity in shards of 1 MB/s.
        quota: f64,
    },
}

/// The configuration of one stack and its account. Names are those of the template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Stacks that share the load and the account.
    pub stacks: u32,
    /// `IngestBatchSize`.
    pub ingest_batch: u32,
    /// `BatchingWindowSeconds`, of ingest.
    pub ingest_window: u32,
    /// `IngestConcurrency`: a maximum, or provisioned pollers.
    pub polling: Polling,
    /// `MAX_IN_FLIGHT` of ingest.
    pub ingest_max_in_flight: u32,
    /// `FunctionMemoryMegabytes`, of ingest.
    pub ingest_memory: u32,
    /// The queue's visibility timeout in seconds: six times `IngestTimeoutSeconds` plus the window.
    pub visibility_seconds: u32,
    /// `FunctionMemoryMegabytes`, of forward and complete.
    pub stream_memory: u32,
    /// The batch size of forward.
    pub forward_batch: u32,
    /// `StreamParallelizationFactor`, of forward.
    pub forward_parallelization: u32,
    /// The batch size of complete.
    pub complete_batch: u32,
    /// `StreamParallelizationFactor`, of complete.
    pub complete_parallelization: u32,
    /// `DownstreamMaxConcurrency`.
    pub complete_max_in_flight: u32,
    pub stream: Stream,
    /// Write units a second at the start: the warm throughput of the table.
    pub table_warm_units: f64,
    /// Maximum write units a second of the table: the quota.
    pub table_quota_units: f64,
    /// Shards of the table's stream. By default, one for each partition.
    pub table_stream_shards: Option<u32>,
    /// Concurrency quota of the account, which the stacks share.
    pub account_concurrency: u32,
}

impl Default for Settings {
    /// The template's defaults in a new account.
    fn default() -> Self {
        Self {
            stacks: 1,
            ingest_batch: 10,
            ingest_window: 0,
            polling: Polling::Standard {
                maximum_concurrency: 50,
            },
            ingest_max_in_flight: 32,
            ingest_memory: 256,
            visibility_seconds: 180,
            stream_memory: 256,
            forward_batch: 500,
            forward_parallelization: 4,
            complete_batch: 100,
            complete_parallelization: 4,
            complete_max_in_flight: 16,
            stream: Stream::OnDemand {
                first: crate::limits::ON_DEMAND_FIRST_SHARDS,
                quota: ON_DEMAND_QUOTA_SHARDS,
            },
            table_warm_units: TABLE_FIRST_UNITS,
            table_quota_units: TABLE_QUOTA_UNITS,
            table_stream_shards: None,
            account_concurrency: ACCOUNT_CONCURRENCY,
        }
    }
}

/// The speed of code and services. All values are assumptions; each has an option.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Milliseconds of a full vCPU for an invocation.
    pub cpu_of_invocation_ms: f64,
    /// Milliseconds of a full vCPU for each message, change or event.
    pub cpu_of_record_ms: f64,
    /// Milliseconds of a write to DynamoDB.
    pub dynamodb_ms: f64,
    /// Milliseconds of a call to Kinesis.
    pub kinesis_ms: f64,
    /// Milliseconds in which the downstream handles a notification.
    pub downstream_ms: f64,
    /// Factor by which 1 % of the calls are slower.
    pub tail: f64,
}

impl Default for Speed {
    fn default() -> Self {
        Self {
            cpu_of_invocation_ms: 2.0,
            cpu_of_record_ms: 0.3,
            dynamodb_ms: 10.0,
            kinesis_ms: 30.0,
            downstream_ms: 20.0,
            tail: 3.0,
        }
    }
}

impl Speed {
    fn work(&self, memory: u32, concurrent_records: f64, wait_ms: f64) -> Work {
        Work {
            cpu_of_invocation: self.cpu_of_invocation_ms / 1_000.0,
            cpu_of_record: self.cpu_of_record_ms / 1_000.0,
            memory_megabytes: memory.into(),
            concurrent_records,
            wait: wait_ms / 1_000.0,
        }
    }

    #[must_use]
    pub fn ingest(&self, settings: &Settings) -> Work {
        let concurrent = settings.ingest_max_in_flight.into();
        self.work(settings.ingest_memory, concurrent, self.dynamodb_ms)
    }

    #[must_use]
    pub fn forward(&self, settings: &Settings) -> Work {
        self.work(settings.stream_memory, PUT_RECORDS, self.kinesis_ms)
    }

    #[must_use]
    pub fn complete(&self, settings: &Settings) -> Work {
        let concurrent = settings.complete_max_in_flight.into();
        let wait = self.downstream_ms + self.dynamodb_ms;
        self.work(settings.stream_memory, concurrent, wait)
    }
}

/// The largest batches that batch sizes and the payload limit of Lambda allow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Batches {
    /// Messages for `ingest`.
    pub ingest: f64,
    /// Changes for `forward`.
    pub forward: f64,
    /// Events for `complete`.
    pub complete: f64,
}

impl Batches {
    #[must_use]
    pub fn new(load: &Load, settings: &Settings) -> Self {
        let (factor, metadata) = RECORD_AS_JSON;
        let largest = |size: u32, bytes: f64| {
            let fits = (INVOCATION_BYTES / bytes).floor().max(1.0);
            f64::from(size).min(fits)
        };
        Self {
            ingest: largest(settings.ingest_batch, load.message_bytes()),
            forward: largest(settings.forward_batch, CHANGE_AS_JSON * load.change_bytes()),
            complete: largest(
                settings.complete_batch,
                factor * load.record_bytes() + metadata,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_records_make_batches_smaller() {
        let settings = Settings::default();
        let small = Batches::new(&Load::constant(1.0), &settings);
        assert_eq!(
            (small.ingest, small.forward, small.complete),
            (10.0, 500.0, 100.0)
        );
        let large = Load {
            payload_bytes: 300_000.0,
            ..Load::constant(1.0)
        };
        let large = Batches::new(&large, &settings);
        assert_eq!(
            (large.ingest, large.forward, large.complete),
            (10.0, 17.0, 14.0)
        );
    }

    #[test]
    fn ramps_and_bursts_follow_their_profile() {
        let mut load = Load::constant(100.0);
        load.seconds = 10.0;
        load.profile = Profile::Ramp { from: 0.0 };
        assert!((load.rate_at(5.0) - 50.0).abs() < 1e-9);
        load.profile = Profile::Burst {
            from: 1.0,
            at: 2.0,
            seconds: 3.0,
        };
        let rates: Vec<f64> = (0..6).map(|now| load.rate_at(now.into())).collect();
        assert_eq!(rates, [1.0, 1.0, 100.0, 100.0, 100.0, 1.0]);
    }
}
