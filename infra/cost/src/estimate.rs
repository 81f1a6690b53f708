//! The bill for a number of messages.

use serde::Serialize;

use crate::{
    billing::{
        self, LineItem, QueueType, QueueUsage, SQS_BATCH, StreamCapacity, gb_seconds, write_units,
    },
    prices::Prices,
    sizes::Sizes,
};

/// Bytes that DynamoDB adds to each stored item (DynamoDB developer guide, "Item sizes and formats": 100 bytes for its
/// index).
pub const STORED_ITEM_BYTES: u64 = 100;
/// Bytes of logs of an average invocation, unless measured.
pub const LOG_BYTES: u64 = 2_000;
/// Changes of one notification, each an event: INIT and DONE.
pub const CHANGES: u64 = 2;

/// Costs that no estimate contains.
pub const NOT_COUNTED: &str = "free tiers, discounts, taxes; polls of an empty queue; custom metrics, alarms, dashboard, traces; \
    keys of KMS, VPC endpoints, provisioned pollers; the failure bucket; your own consumers; stream retention beyond 24 hours";

/// The messages, and the bytes of one in each place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traffic {
    /// Messages with different ids.
    pub messages: u64,
    /// Copies of these messages.
    pub copies: u64,
    pub message_bytes: u64,
    pub item_bytes: u64,
    pub record_bytes: u64,
}

impl Traffic {
    /// Messages with this many bytes of payload; `duplicates` is the number of copies of each.
    #[must_use]
    pub fn new(messages: u64, payload_bytes: u64, duplicates: f64) -> Self {
        let sizes = Sizes::new(payload_bytes);
        Self {
            messages,
            copies: (messages as f64 * duplicates).ceil() as u64,
            message_bytes: sizes.message,
            item_bytes: sizes.item,
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
    /// Shards of the notification stream; 0 is on-demand.
    pub shards: u64,
    /// Hours for which the stream is billed.
    pub hours: u64,
}

/// The bill for [`Traffic`] under [`Assumptions`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub traffic: Traffic,
    pub assumptions: Assumptions,
    #[serde(rename = "positions")]
    pub line_items: Vec<LineItem>,
    /// Sum of the line items in US dollars.
    pub usd: f64,
    /// Cost of storing the items for a month.
    #[serde(rename = "each_month")]
    pub monthly: Vec<LineItem>,
    pub not_counted: &'static str,
    pub prices: Prices,
}

impl Assumptions {
    fn stream_capacity(&self) -> StreamCapacity {
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

impl Estimate {
    #[must_use]
    pub fn new(traffic: &Traffic, assumptions: &Assumptions, prices: &Prices) -> Self {
        let batch = match assumptions.queue_type {
            QueueType::Standard => assumptions.batch,
            QueueType::Fifo => 1,
        };
        let messages = traffic.messages;
        // Saturates: an absurd number must not become a small one.
        let deliveries = messages.saturating_add(traffic.copies);
        let changes = CHANGES.saturating_mul(messages);

        let receive_batch = batch.min(SQS_BATCH);
        let queue = QueueUsage {
            sent: deliveries as f64,
            receives: deliveries.div_ceil(receive_batch) as f64,
            receive_batch: receive_batch as f64,
            message_bytes: traffic.message_bytes as f64,
        };
        // Lambda does not invoke `complete` for records that its filter excludes.
        let invocations = [
            deliveries.div_ceil(batch),
            changes.div_ceil(assumptions.batch),
            messages.div_ceil(assumptions.batch),
        ];
        let invocations = invocations.iter().map(|count| *count as f64).sum::<f64>();
        let seconds = invocations * assumptions.duration as f64 / 1_000.0;
        let units = write_units(traffic.item_bytes as f64);

        let mut line_items = vec![billing::queue(prices, assumptions.queue_type, queue)];
        let gb_seconds = gb_seconds(seconds, assumptions.memory as f64);
        line_items.extend(billing::functions(prices, invocations, gb_seconds));
        line_items.extend([
            billing::writes(prices, "write units, INIT", messages as f64 * units),
            billing::writes(prices, "write units, copies", traffic.copies as f64 * units),
            billing::writes(prices, "write units, DONE", messages as f64 * units),
            // Lambda's reads of a table's stream are free (DynamoDB pricing).
            LineItem {
                service: "DynamoDB",
                what: "changes read from its stream",
                quantity: changes as f64,
                usd: 0.0,
            },
        ]);
        line_items.extend(billing::stream(
            prices,
            assumptions.stream_capacity(),
            changes as f64,
            traffic.record_bytes as f64,
        ));
        let log_bytes = assumptions.log_bytes as f64;
        line_items.push(billing::logs(prices, invocations, log_bytes));
        let stored = messages.saturating_mul(traffic.item_bytes.saturating_add(STORED_ITEM_BYTES));
        Self {
            traffic: traffic.clone(),
            assumptions: assumptions.clone(),
            usd: billing::total(&line_items),
            line_items,
            monthly: billing::storage(prices, stored as f64),
            not_counted: NOT_COUNTED,
            prices: prices.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KB: u64 = 1_024;

    fn assumptions() -> Assumptions {
        Assumptions {
            queue_type: QueueType::Standard,
            batch: 10,
            duration: 50,
            memory: 256,
            log_bytes: LOG_BYTES,
            shards: 0,
            hours: 730,
        }
    }

    #[track_caller]
    fn assert_line_item(estimate: &Estimate, name: &str, quantity: f64, usd: f64) {
        let mut items = estimate.line_items.iter().chain(&estimate.monthly);
        let item = items.find(|item| format!("{} {}", item.service, item.what) == name);
        let item = item.unwrap_or_else(|| panic!("no line item {name}"));
        let actual = item.quantity;
        assert!(
            (actual - quantity).abs() < 1e-6,
            "{name}: {actual} instead of {quantity}"
        );
        let actual = item.usd;
        assert!(
            (actual - usd).abs() < 1e-6,
            "{name}: {actual} USD instead of {usd}"
        );
    }

    /// A million messages, one in ten of them twice, of sizes that are easy to calculate with.
    fn traffic() -> Traffic {
        Traffic {
            messages: 1_000_000,
            copies: 100_000,
            message_bytes: 1_000,
            item_bytes: 1_500,
            record_bytes: 1_400,
        }
    }

    #[test]
    fn a_million_messages_cost_what_a_calculation_by_hand_says() {
        let prices = Prices::built_in().unwrap();
        let estimate = Estimate::new(&traffic(), &assumptions(), &prices);
        let expected = [
            // 1,100,000 sent one by one; 110,000 receives and 110,000 deletes of ten.
            ("SQS requests", 1_320_000.0, 0.528),
            // ingest 110,000; forward 2,000,000 changes by ten; complete 1,000,000 events by ten.
            ("Lambda requests", 410_000.0, 0.082),
            // 410,000 x 0.05 s x 0.25 GB.
            ("Lambda GB-seconds", 5_125.0, 0.068_333_675),
            // Two units for 1,500 bytes, each time.
            ("DynamoDB write units, INIT", 2_000_000.0, 1.25),
            ("DynamoDB write units, copies", 200_000.0, 0.125),
            ("DynamoDB write units, DONE", 2_000_000.0, 1.25),
            ("DynamoDB changes read from its stream", 2_000_000.0, 0.0),
            ("Kinesis stream-hours", 730.0, 29.2),
            // Two events of 2 KB: 4,000,000 KB. Reads are not rounded: 2,800,000,000 bytes.
            ("Kinesis GB written", 3.814_697_265, 0.305_175_781),
            ("Kinesis GB read", 2.607_703_209, 0.104_308_128),
            // 820,000,000 bytes.
            ("CloudWatch GB of logs", 0.763_684_511, 0.381_842_256),
            // 1,600,000,000 bytes.
            ("DynamoDB GB stored", 1.490_116_119, 0.372_529_030),
            (
                "DynamoDB GB in point-in-time recovery",
                1.490_116_119,
                0.298_023_224,
            ),
        ];
        for (name, quantity, usd) in expected {
            assert_line_item(&estimate, name, quantity, usd);
        }
        let usd = estimate.usd;
        assert!((usd - 33.294_659_84).abs() < 1e-6, "{usd}");
    }

    #[test]
    fn a_fifo_queue_has_its_own_price_and_batches_of_one_message() {
        let prices = Prices::built_in().unwrap();
        let fifo = Assumptions {
            queue_type: QueueType::Fifo,
            ..assumptions()
        };
        let estimate = Estimate::new(&traffic(), &fifo, &prices);
        assert_line_item(&estimate, "SQS requests", 3_300_000.0, 1.65);
        assert_line_item(&estimate, "Lambda requests", 1_400_000.0, 0.28);
    }

    #[test]
    fn shards_are_billed_by_the_hour_and_by_payload_unit() {
        let prices = Prices::built_in().unwrap();
        let provisioned = Assumptions {
            shards: 2,
            ..assumptions()
        };
        let large = Traffic {
            record_bytes: 25 * KB + 1,
            ..traffic()
        };
        let estimate = Estimate::new(&large, &provisioned, &prices);
        assert_line_item(&estimate, "Kinesis shard-hours", 1_460.0, 21.9);
        assert_line_item(&estimate, "Kinesis PUT payload units", 4_000_000.0, 0.056);
    }

    #[test]
    fn a_large_message_is_billed_as_several_requests() {
        let prices = Prices::built_in().unwrap();
        let large = Traffic {
            messages: 10,
            copies: 0,
            message_bytes: 64 * KB + 1,
            ..traffic()
        };
        let estimate = Estimate::new(&large, &assumptions(), &prices);
        // Two for each sent; one receive of 640 KB and 10 bytes, eleven; one delete.
        assert_line_item(&estimate, "SQS requests", 32.0, 0.000_012_8);
    }

    #[test]
    fn sizes_follow_the_payload_and_include_the_overhead() {
        let sized = |bytes| Traffic::new(10, bytes, 0.25);
        let (small, large) = (sized(2), sized(1_002));
        assert_eq!(
            (small.copies, large.message_bytes - small.message_bytes),
            (3, 1_000)
        );
        assert_eq!(large.item_bytes - small.item_bytes, 1_000);
        assert_eq!(large.record_bytes - small.record_bytes, 1_000);
        // {"notification_id":"","type":"notification","payload":""} and the id.
        assert_eq!(small.message_bytes, 57 + 36);
    }

    #[test]
    fn absurd_numbers_saturate() {
        let traffic = Traffic {
            messages: u64::MAX,
            copies: u64::MAX,
            item_bytes: u64::MAX,
            ..traffic()
        };
        let assumptions = Assumptions {
            batch: 1,
            shards: u64::MAX,
            hours: u64::MAX,
            ..assumptions()
        };
        let estimate = Estimate::new(&traffic, &assumptions, &Prices::built_in().unwrap());
        assert!(
            estimate.usd > 1e12 && estimate.usd.is_finite(),
            "{}",
            estimate.usd
        );
    }
}
