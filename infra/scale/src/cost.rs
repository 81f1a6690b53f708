//! The cost of an hour of the simulated load, by the cost model of `onewrite cost`.

use onewrite_cost::{
    billing::{self, LineItem, QueueType, QueueUsage, StreamCapacity, gb_seconds},
    fixed::Metrics,
    prices::Prices,
};
use serde::Serialize;

use crate::{
    sample::Totals,
    settings::{Load, Settings, Stream},
};

/// Costs that the bill does not contain.
pub const NOT_COUNTED: &str = "the fixed cost of `onewrite cost`, except for the stream; storage; everything that `onewrite cost` excludes";

/// The bill for an hour of all stacks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HourlyCost {
    #[serde(rename = "positions")]
    pub line_items: Vec<LineItem>,
    /// Sum in US dollars.
    pub usd: f64,
    /// Region and date of the prices.
    pub prices: String,
}

impl HourlyCost {
    /// Extrapolates the totals of one stack.
    #[must_use]
    pub fn new(load: &Load, settings: &Settings, totals: &Totals, prices: &Prices) -> Self {
        let per_hour = f64::from(settings.stacks) * 3_600.0 / load.seconds;
        let queue = QueueUsage {
            sent: totals.arrived * per_hour,
            receives: totals.receives * per_hour,
            receive_batch: totals.received / totals.receives.max(1e-9),
            message_bytes: load.message_bytes(),
        };
        let memory = [
            settings.ingest_memory,
            settings.stream_memory,
            settings.stream_memory,
        ];
        let durations = totals.invocation_seconds.into_iter().zip(memory);
        let gb_seconds: f64 = durations
            .map(|(seconds, memory)| gb_seconds(seconds, memory.into()))
            .sum();
        let invocations = totals.invocations.iter().sum::<f64>() * per_hour;
        let capacity = match settings.stream {
            Stream::Provisioned { .. } => StreamCapacity::Provisioned {
                shard_hours: totals.shard_hours * per_hour,
            },
            Stream::OnDemand { .. } => StreamCapacity::OnDemand {
                hours: settings.stacks.into(),
            },
        };

        let mut line_items = vec![billing::queue(prices, QueueType::Standard, queue)];
        line_items.extend(billing::functions(
            prices,
            invocations,
            gb_seconds * per_hour,
        ));
        let units = totals.units * per_hour;
        line_items.push(billing::writes(prices, "write units", units));
        let records = totals.published * per_hour;
        let record_bytes = load.record_bytes();
        line_items.extend(billing::stream(prices, capacity, records, record_bytes));
        let log_bytes = Metrics::Essential.log_bytes() as f64;
        line_items.push(billing::logs(prices, invocations, log_bytes));
        Self {
            usd: billing::total(&line_items),
            line_items,
            prices: format!("{}, {}", prices.region, prices.as_of),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use onewrite_cost::{
        estimate::Estimate,
        sizes::{DEFLATE_RATIO, Sizes},
        traffic::{Assumptions, Traffic},
    };

    /// An hour with a million messages, 1 % of them twice.
    #[test]
    fn costs_the_same_as_the_estimate_for_the_same_messages() {
        let prices = Prices::built_in().unwrap();
        let traffic = Traffic::new(1_000_000, Sizes::new(1_024, DEFLATE_RATIO), 0.01);
        for shards in [0, 50] {
            let assumptions = Assumptions {
                queue_type: QueueType::Standard,
                batch: 10,
                duration: 50,
                memory: 256,
                log_bytes: Metrics::Essential.log_bytes(),
                metrics: Metrics::Essential,
                commits_writes: false,
                shards,
                pollers: 0,
                hours: 1,
            };
            let estimate = Estimate::new(&traffic, &assumptions, &prices);
            let mut fixed = estimate.fixed.iter();
            let stream = fixed.find(|item| item.service == "Kinesis").unwrap();
            let estimate = estimate.variable_usd + stream.usd;
            let stream = if shards == 0 {
                Settings::default().stream
            } else {
                Stream::Provisioned { shards: 50 }
            };
            let settings = Settings {
                stream,
                ..Settings::default()
            };
            let load = Load {
                seconds: 3_600.0,
                ..Load::constant(0.0)
            };
            let invocations = [101_000.0, 200_000.0, 100_000.0];
            let totals = Totals {
                arrived: 1_010_000.0,
                received: 1_010_000.0,
                receives: 101_000.0,
                units: 2_010_000.0 * load.units(),
                invocations,
                invocation_seconds: invocations.map(|count| count * 0.05),
                published: 2_000_000.0,
                shard_hours: 50.0,
                ..Totals::default()
            };
            let usd = HourlyCost::new(&load, &settings, &totals, &prices).usd;
            assert!((usd - estimate).abs() < 1e-6, "{usd} instead of {estimate}");
        }
    }
}
