//! What comes, how the pipeline is set up, and how fast its services are.

use serde::Serialize;

use crate::{
    lambda::Work,
    limits::{
        ACCOUNT_CONCURRENCY, INVOCATION_BYTES, ON_DEMAND_QUOTA_SHARDS, PUT_RECORDS,
        TABLE_FIRST_UNITS, TABLE_QUOTA_UNITS, UNIT_BYTES,
    },
};

/// Bytes of a message beside its payload, with an id of 36 characters and no type. A test holds these to what `onewrite
/// cost` measures.
const MESSAGE_BYTES: f64 = 91.0;
/// Bytes of an item beside its payload.
const ITEM_BYTES: f64 = 299.0;
/// Bytes of a record of the notification stream beside its payload.
const RECORD_BYTES: f64 = 447.0;

/// How a change is longer in the event of an invocation than in its item. Assumption: names and types of JSON.
const CHANGE_AS_JSON: f64 = 1.5;
/// How a record is longer in the event of an invocation: base64, and what is beside it. Assumption for the latter.
const RECORD_AS_JSON: (f64, f64) = (4.0 / 3.0, 300.0);

/// How messages come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "profile")]
pub enum Profile {
    /// The same rate from the first second on.
    Constant,
    /// From another rate to the rate, in even steps, all the time.
    Ramp {
        /// Messages a second at the start.
        from: f64,
    },
    /// Another rate, but for a while.
    Burst {
        /// Messages a second before and after it.
        from: f64,
        /// When it begins, in seconds.
        at: f64,
        /// How long it lasts, in seconds.
        seconds: f64,
    },
}

/// What comes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Messages a second that are notifications of their own, of all stacks.
    pub rate: f64,
    /// How they come.
    #[serde(flatten)]
    pub profile: Profile,
    /// Bytes of a payload.
    pub payload_bytes: f64,
    /// Copies beside each message.
    pub duplicates: f64,
    /// Share of the messages that are copies of one id.
    pub hot_share: f64,
    /// Redrives a second of one id.
    pub hot_redrives: f64,
    /// How long it is looked at, in seconds.
    pub seconds: f64,
}

impl Load {
    /// Messages a second at a time.
    #[must_use]
    pub fn at(&self, now: f64) -> f64 {
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

    /// Bytes of a message.
    #[must_use]
    pub fn message_bytes(&self) -> f64 {
        self.payload_bytes + MESSAGE_BYTES
    }

    /// Bytes of an item.
    #[must_use]
    pub fn item_bytes(&self) -> f64 {
        self.payload_bytes + ITEM_BYTES
    }

    /// Bytes of a record of the notification stream.
    #[must_use]
    pub fn record_bytes(&self) -> f64 {
        self.payload_bytes + RECORD_BYTES
    }

    /// Bytes of a change in the table's stream, on average: an INIT has the new image, a DONE both.
    #[must_use]
    pub fn change_bytes(&self) -> f64 {
        1.5 * self.item_bytes()
    }

    /// Write units of an item.
    #[must_use]
    pub fn units(&self) -> f64 {
        (self.item_bytes() / UNIT_BYTES).ceil()
    }
}

/// How the queue is polled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "pollers")]
pub enum Polling {
    /// Lambda scales the pollers.
    Standard {
        /// `IngestMaximumConcurrency`.
        maximum_concurrency: u32,
    },
    /// Pollers of its own.
    Provisioned {
        /// `IngestMinimumPollers`.
        minimum: u32,
        /// `IngestMaximumPollers`.
        maximum: u32,
    },
}

/// The notification stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum Stream {
    /// So many shards: the template's `ShardCount`.
    Provisioned {
        /// How many.
        shards: u32,
    },
    /// As many as are needed, after a while.
    OnDemand {
        /// What it is worth at the start, in shards of 1 MB/s.
        first: f64,
        /// And at most.
        quota: f64,
    },
}

/// How one stack and its account are set up. Names are the template's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Stacks that share the load, and the account.
    pub stacks: u32,
    /// `IngestBatchSize`.
    pub ingest_batch: u32,
    /// `IngestBatchingWindowSeconds`.
    pub ingest_window: u32,
    /// `IngestMaximumConcurrency`, or pollers.
    pub polling: Polling,
    /// `IngestMaxInFlight`.
    pub ingest_max_in_flight: u32,
    /// `IngestMemoryMegabytes`.
    pub ingest_memory: u32,
    /// The queue's visibility timeout in seconds: six times `IngestTimeoutSeconds`, and the window.
    pub visibility_seconds: u32,
    /// `StreamFunctionMemoryMegabytes`.
    pub stream_memory: u32,
    /// `ForwardBatchSize`.
    pub forward_batch: u32,
    /// `ForwardParallelizationFactor`.
    pub forward_parallelization: u32,
    /// `CompleteBatchSize`.
    pub complete_batch: u32,
    /// `CompleteParallelizationFactor`.
    pub complete_parallelization: u32,
    /// `CompleteMaxInFlight`.
    pub complete_max_in_flight: u32,
    /// The notification stream.
    pub stream: Stream,
    /// Write units a second the table begins with: its warm throughput.
    pub table_warm_units: f64,
    /// Write units a second of the table at most: the quota.
    pub table_quota_units: f64,
    /// Shards of the table's stream; one for each partition where none is given.
    pub table_stream_shards: Option<u32>,
    /// Concurrency of the account, which the stacks share.
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

/// How fast code and services are. Assumptions, each replaced by its option.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Milliseconds of a whole vCPU for an invocation.
    pub cpu_of_invocation_ms: f64,
    /// And for each message, change or event.
    pub cpu_of_record_ms: f64,
    /// Milliseconds of a write to DynamoDB.
    pub dynamodb_ms: f64,
    /// Milliseconds of a call of Kinesis.
    pub kinesis_ms: f64,
    /// Milliseconds in which the downstream accepts a notification.
    pub downstream_ms: f64,
    /// How many times longer one in a hundred calls takes.
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
    fn work(&self, memory: u32, at_once: f64, wait_ms: f64) -> Work {
        Work {
            cpu_of_invocation: self.cpu_of_invocation_ms / 1_000.0,
            cpu_of_record: self.cpu_of_record_ms / 1_000.0,
            memory_megabytes: memory.into(),
            at_once,
            wait: wait_ms / 1_000.0,
        }
    }

    /// What `ingest` does.
    #[must_use]
    pub fn ingest(&self, settings: &Settings) -> Work {
        let at_once = settings.ingest_max_in_flight.into();
        self.work(settings.ingest_memory, at_once, self.dynamodb_ms)
    }

    /// What `forward` does.
    #[must_use]
    pub fn forward(&self, settings: &Settings) -> Work {
        self.work(settings.stream_memory, PUT_RECORDS, self.kinesis_ms)
    }

    /// What `complete` does.
    #[must_use]
    pub fn complete(&self, settings: &Settings) -> Work {
        let at_once = settings.complete_max_in_flight.into();
        let wait = self.downstream_ms + self.dynamodb_ms;
        self.work(settings.stream_memory, at_once, wait)
    }
}

/// The largest batches, by number and by bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Batches {
    /// Messages of `ingest`.
    pub ingest: f64,
    /// Changes of `forward`.
    pub forward: f64,
    /// Events of `complete`.
    pub complete: f64,
}

impl Batches {
    /// Of messages of this size.
    #[must_use]
    pub fn of(load: &Load, settings: &Settings) -> Self {
        let (by, beside) = RECORD_AS_JSON;
        let most = |size: u32, bytes: f64| {
            let fits = (INVOCATION_BYTES / bytes).floor().max(1.0);
            f64::from(size).min(fits)
        };
        Self {
            ingest: most(settings.ingest_batch, load.message_bytes()),
            forward: most(settings.forward_batch, CHANGE_AS_JSON * load.change_bytes()),
            complete: most(settings.complete_batch, by * load.record_bytes() + beside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::load;
    use onewrite_operator::cost::Traffic;

    #[test]
    fn sizes_are_those_that_onewrite_cost_measures() {
        for bytes in [2_u16, 100, 1_024, 20_000] {
            let traffic = Traffic::new(1, bytes.into(), 0.0);
            let load = Load {
                payload_bytes: bytes.into(),
                ..load(1.0)
            };
            let sizes = [load.message_bytes(), load.item_bytes(), load.record_bytes()];
            let measured = [
                traffic.message_bytes,
                traffic.item_bytes,
                traffic.record_bytes,
            ];
            assert_eq!(sizes.map(|size| size as u64), measured);
        }
    }

    #[test]
    fn a_large_record_makes_small_batches() {
        let settings = Settings::default();
        let small = Batches::of(&load(1.0), &settings);
        assert_eq!(
            (small.ingest, small.forward, small.complete),
            (10.0, 500.0, 100.0)
        );
        let large = Load {
            payload_bytes: 300_000.0,
            ..load(1.0)
        };
        let large = Batches::of(&large, &settings);
        assert_eq!(
            (large.ingest, large.forward, large.complete),
            (10.0, 8.0, 14.0)
        );
    }

    #[test]
    fn profiles_are_what_their_names_say() {
        let mut load = load(100.0);
        load.seconds = 10.0;
        load.profile = Profile::Ramp { from: 0.0 };
        assert!((load.at(5.0) - 50.0).abs() < 1e-9);
        load.profile = Profile::Burst {
            from: 1.0,
            at: 2.0,
            seconds: 3.0,
        };
        let rates: Vec<f64> = (0..6).map(|now| load.at(now.into())).collect();
        assert_eq!(rates, [1.0, 1.0, 100.0, 100.0, 100.0, 1.0]);
    }
}
