//! The bill for a number of messages.

use serde::Serialize;

use crate::{
    alternatives::{Alternative, alternatives},
    billing::{self, LineItem, QueueUsage, SQS_BATCH, gb_seconds, write_units},
    fixed::fixed,
    prices::Prices,
    traffic::{Assumptions, CHANGES, Traffic},
};

/// Bytes that DynamoDB adds to each stored item (DynamoDB developer guide, "Item sizes and formats": 100 bytes for its
/// index).
pub const STORED_ITEM_BYTES: u64 = 100;

/// Write units of one write in a transaction: DynamoDB prepares and commits it (DynamoDB developer guide, "Managing complex
/// workflows with DynamoDB transactions").
const TRANSACTION_FACTOR: f64 = 2.0;

/// Costs that no estimate contains.
pub const NOT_COUNTED: &str = "free tiers, discounts, taxes; metrics of failures, in the hours in which something fails; keys of KMS, VPC \
    endpoints; the failure bucket; your own consumers and the writes of your transactions; stream retention beyond 24 hours";

/// The bill for [`Traffic`] under [`Assumptions`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub traffic: Traffic,
    pub assumptions: Assumptions,
    /// What the stack costs without messages.
    pub fixed: Vec<LineItem>,
    /// What the messages cost.
    #[serde(rename = "positions")]
    pub line_items: Vec<LineItem>,
    /// Sums in US dollars.
    pub fixed_usd: f64,
    pub variable_usd: f64,
    pub usd: f64,
    /// Cost of storing the items for a month.
    #[serde(rename = "each_month")]
    pub monthly: Vec<LineItem>,
    /// What other parts of AWS would cost.
    pub alternatives: Vec<Alternative>,
    pub not_counted: &'static str,
    pub prices: Prices,
}

impl Estimate {
    #[must_use]
    pub fn new(traffic: &Traffic, assumptions: &Assumptions, prices: &Prices) -> Self {
        let fixed = fixed(prices, assumptions.fixed_usage());
        let line_items = variable(traffic, assumptions, prices);
        let (fixed_usd, variable_usd) = (billing::total(&fixed), billing::total(&line_items));
        let stored = traffic.settled_bytes.saturating_add(STORED_ITEM_BYTES);
        let stored = traffic.messages.saturating_mul(stored);
        Self {
            traffic: traffic.clone(),
            assumptions: assumptions.clone(),
            fixed,
            line_items,
            fixed_usd,
            variable_usd,
            usd: fixed_usd + variable_usd,
            monthly: billing::storage(prices, stored as f64),
            alternatives: alternatives(traffic, assumptions, prices),
            not_counted: NOT_COUNTED,
            prices: prices.clone(),
        }
    }
}

/// How much more the write that settles costs than another one.
fn settling_factor(assumptions: &Assumptions) -> f64 {
    if assumptions.commits_writes {
        TRANSACTION_FACTOR
    } else {
        1.0
    }
}

/// What the messages cost.
fn variable(traffic: &Traffic, assumptions: &Assumptions, prices: &Prices) -> Vec<LineItem> {
    let messages = traffic.messages as f64;
    // Saturates: an absurd number must not become a small one.
    let deliveries = traffic.messages.saturating_add(traffic.copies);
    let changes = CHANGES.saturating_mul(traffic.messages);

    let batch = assumptions.ingest_batch();
    let receive_batch = batch.min(SQS_BATCH);
    let queue = QueueUsage {
        sent: deliveries as f64,
        receives: deliveries.div_ceil(receive_batch) as f64,
        receive_batch: receive_batch as f64,
        message_bytes: traffic.message_bytes as f64,
    };
    // Lambda does not invoke `complete` for records that its filter excludes.
    let of_functions = [
        deliveries.div_ceil(batch),
        changes.div_ceil(assumptions.batch),
        traffic.messages.div_ceil(assumptions.batch),
    ]
    .map(|count| count as f64);
    let invocations = of_functions.iter().sum::<f64>();
    let seconds = invocations * assumptions.duration as f64 / 1_000.0;
    let gb_seconds = gb_seconds(seconds, assumptions.memory as f64);
    let units = write_units(traffic.item_bytes as f64);
    let settled_units = write_units(traffic.settled_bytes as f64);

    let mut items = vec![billing::queue(prices, assumptions.queue_type, queue)];
    items.extend(billing::functions(prices, invocations, gb_seconds));
    items.extend([
        billing::writes(prices, "write units, INIT", messages * units),
        billing::writes(prices, "write units, copies", traffic.copies as f64 * units),
        billing::writes(
            prices,
            "write units, DONE",
            messages * settled_units * settling_factor(assumptions),
        ),
        // Lambda's reads of a table's stream are free (DynamoDB pricing).
        LineItem {
            service: "DynamoDB",
            what: "changes read from its stream",
            quantity: changes as f64,
            usd: 0.0,
        },
    ]);
    items.extend(billing::stream_records(
        prices,
        assumptions.stream_capacity(),
        changes as f64,
        traffic.record_bytes as f64,
    ));
    let log_bytes = assumptions.log_bytes as f64;
    items.push(billing::logs(prices, invocations, log_bytes));
    let period = assumptions.hours as f64 * 3_600.0;
    let traces = of_functions.map(|count| assumptions.metrics.traces(count, period));
    items.push(LineItem::new(
        "X-Ray",
        "recorded traces",
        traces.iter().sum(),
        &prices.traces,
    ));
    items
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        billing::QueueType,
        fixed::Metrics,
        sizes::Sizes,
        traffic::sample::{KB, assumptions, traffic},
    };

    #[track_caller]
    fn assert_line_item(estimate: &Estimate, name: &str, quantity: f64, usd: f64) {
        let Estimate {
            fixed,
            line_items,
            monthly,
            ..
        } = estimate;
        let mut items = line_items.iter().chain(fixed).chain(monthly);
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
        let usd = estimate.variable_usd;
        assert!((usd - 4.094_659_84).abs() < 1e-6, "{usd}");
        assert!((estimate.usd - usd - estimate.fixed_usd).abs() < 1e-9);
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
    fn groups_transactions_and_traces_cost_more() {
        let prices = Prices::built_in().unwrap();
        let expensive = Assumptions {
            queue_type: QueueType::Fair,
            metrics: Metrics::All,
            commits_writes: true,
            batch: 1,
            ..assumptions()
        };
        let estimate = Estimate::new(&traffic(), &expensive, &prices);
        // 3,300,000 requests at 0.50 in place of 0.40.
        assert_line_item(&estimate, "SQS requests", 3_300_000.0, 1.65);
        assert_line_item(&estimate, "DynamoDB write units, DONE", 4_000_000.0, 2.5);
        // A month has 2,628,000 seconds, so nearly every invocation is the first of its second.
        assert_line_item(&estimate, "X-Ray recorded traces", 4_100_000.0, 20.5);
        let estimate = Estimate::new(&traffic(), &assumptions(), &prices);
        assert_line_item(&estimate, "X-Ray recorded traces", 0.0, 0.0);
    }

    #[test]
    fn a_message_has_the_given_sizes_and_copies() {
        let traffic = Traffic::new(10, Sizes::new(2, 1.0), 0.25);
        assert_eq!(traffic.copies, 3);
        // {"notification_id":"","type":"notification","payload":""} and the id.
        assert_eq!(traffic.message_bytes, 57 + 36);
        assert!(traffic.settled_bytes > traffic.item_bytes);
    }

    #[test]
    fn absurd_numbers_saturate() {
        let traffic = Traffic {
            messages: u64::MAX,
            copies: u64::MAX,
            item_bytes: u64::MAX,
            settled_bytes: u64::MAX,
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
