//! What an estimate is made for: the messages, and what is assumed about the stack.

use serde::Serialize;

use crate::{
    billing::{QueueType, StreamCapacity},
    fixed::{FixedUsage, Metrics},
    sizes::Sizes,
};

/// Changes of one notification, each an event: INIT and DONE.
pub const CHANGES: u64 = 2;

/// The messages, and the bytes of one in each place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traffic {
    /// Messages with different ids.
    pub messages: u64,
    /// Copies of these messages.
    pub copies: u64,
    pub message_bytes: u64,
    /// The item in INIT.
    pub item_bytes: u64,
    /// The item in DONE.
    pub settled_bytes: u64,
    pub record_bytes: u64,
}

impl Traffic {
    /// Messages of these sizes; `duplicates` is the number of copies of each.
    #[must_use]
    pub fn new(messages: u64, sizes: Sizes, duplicates: f64) -> Self {
        Self {
            messages,
            copies: (messages as f64 * duplicates).ceil() as u64,
            message_bytes: sizes.message,
            item_bytes: sizes.item,
            settled_bytes: sizes.settled_item,
            record_bytes: sizes.record,
        }
    }
}

/// What an estimate assumes in addition to the messages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assumptions {
    /// Batches of a FIFO queue have one message.
    pub queue_type: QueueType,
    /// Records of an average invocation.
    pub batch: u64,
    /// Milliseconds of an average invocation.
    pub duration: u64,
    /// Memory of each function in MB.
    pub memory: u64,
    /// Bytes of logs of an average invocation.
    pub log_bytes: u64,
    /// Which metrics the stack has.
    pub metrics: Metrics,
    /// Whether DONE is written in a transaction with the writes of a function (`CommitWith`).
    pub commits_writes: bool,
    /// Shards of the notification stream; 0 is on-demand.
    pub shards: u64,
    /// Provisioned pollers of the queue; 0: Lambda's own.
    pub pollers: u64,
    /// Hours for which stream, pollers, metrics, alarms and dashboard are billed.
    pub hours: u64,
}

impl Assumptions {
    pub(crate) fn fixed_usage(&self) -> FixedUsage {
        FixedUsage {
            inventory: self.metrics.inventory(),
            stream: self.stream_capacity(),
            pollers: self.pollers,
            hours: self.hours,
        }
    }

    /// Records of an average invocation of `ingest`.
    pub(crate) fn ingest_batch(&self) -> u64 {
        match self.queue_type {
            QueueType::Standard | QueueType::Fair => self.batch,
            QueueType::Fifo => 1,
        }
    }

    pub(crate) fn stream_capacity(&self) -> StreamCapacity {
        let hours = self.hours;
        match self.shards {
            0 => StreamCapacity::OnDemand {
                hours: hours as f64,
            },
            shards => StreamCapacity::Provisioned {
                shard_hours: shards.saturating_mul(hours) as f64,
            },
        }
    }
}

/// An estimate for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    pub(crate) const KB: u64 = 1_024;

    pub(crate) fn assumptions() -> Assumptions {
        Assumptions {
            queue_type: QueueType::Standard,
            batch: 10,
            duration: 50,
            memory: 256,
            log_bytes: 2_000,
            metrics: Metrics::Essential,
            commits_writes: false,
            shards: 0,
            pollers: 0,
            hours: 730,
        }
    }

    pub(crate) fn traffic() -> Traffic {
        Traffic {
            messages: 1_000_000,
            copies: 100_000,
            message_bytes: 1_000,
            item_bytes: 1_500,
            settled_bytes: 1_500,
            record_bytes: 1_400,
        }
    }
}
