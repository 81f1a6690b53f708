//! What an hour of it costs, by the table of prices that `onewrite cost` has.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    flow::Totals,
    settings::{Load, Settings, Stream},
};

/// The table of prices that `onewrite cost` has.
pub const BUILT_IN: &str = include_str!("../../operator/src/cost/prices.json");

/// What no position is of.
pub const NOT_COUNTED: &str =
    "provisioned pollers; what is stored; whatever `onewrite cost` does not count";

/// Bytes of logs of an invocation, as `onewrite cost` assumes.
const LOG_BYTES: f64 = 2_000.0;
/// Bytes of one SQS request (SQS pricing: 64 KB).
const SQS_CHUNK_BYTES: f64 = 64.0 * KB;
/// Bytes of one PUT payload unit (Kinesis pricing, provisioned mode: 25 KB).
const PUT_UNIT_BYTES: f64 = 25.0 * KB;

const KB: f64 = 1_024.0;
const GB: f64 = KB * KB * KB;

/// The price of so many units.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Price {
    usd: f64,
    per: f64,
}

/// A table of prices, as `onewrite cost --print-prices` writes one; what is not needed here is left out.
#[derive(Debug, Clone, Deserialize)]
pub struct Prices {
    region: String,
    as_of: String,
    lambda_requests: Price,
    lambda_gb_seconds: Price,
    sqs_standard_requests: Price,
    dynamodb_write_units: Price,
    kinesis_stream_hours: Price,
    kinesis_gb_in: Price,
    kinesis_gb_out: Price,
    kinesis_shard_hours: Price,
    kinesis_put_units: Price,
    logs_gb: Price,
}

impl Prices {
    /// Reads a table.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("the table of prices cannot be read")
    }
}

/// One position of the bill of an hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Position {
    /// The service.
    pub service: &'static str,
    /// What is paid for.
    pub what: &'static str,
    /// How much of it.
    pub quantity: f64,
    /// In US dollars.
    pub usd: f64,
}

/// The bill of an hour like those that were simulated, of all stacks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Position by position.
    pub positions: Vec<Position>,
    /// Their sum in US dollars.
    pub usd: f64,
    /// Region and date of the prices.
    pub prices: String,
}

impl Cost {
    /// Of the sums of one stack.
    #[must_use]
    pub fn of(load: &Load, settings: &Settings, totals: &Totals, prices: &Prices) -> Self {
        let to_hour = f64::from(settings.stacks) * 3_600.0 / load.seconds;
        let position = |service, what, quantity: f64, price: Price| Position {
            service,
            what,
            quantity: quantity * to_hour,
            usd: quantity * to_hour / price.per * price.usd,
        };
        let chunks = |bytes: f64| (bytes / SQS_CHUNK_BYTES).ceil();
        let receive = totals.received / totals.receives.max(1e-9);
        let requests = totals.arrived * chunks(load.message_bytes())
            + totals.receives * (chunks(receive * load.message_bytes()) + 1.0);
        let memory = [
            settings.ingest_memory,
            settings.stream_memory,
            settings.stream_memory,
        ];
        let invocations: f64 = totals.invocations.iter().sum();
        let seconds = totals.invocation_seconds.iter().zip(memory);
        let gb_seconds: f64 = seconds
            .map(|(seconds, memory)| seconds * f64::from(memory) / KB)
            .sum();
        let record = load.record_bytes();
        let mut positions = vec![
            position("SQS", "requests", requests, prices.sqs_standard_requests),
            position("Lambda", "requests", invocations, prices.lambda_requests),
            position("Lambda", "GB-seconds", gb_seconds, prices.lambda_gb_seconds),
            position(
                "DynamoDB",
                "write units",
                totals.units,
                prices.dynamodb_write_units,
            ),
        ];
        match settings.stream {
            Stream::Provisioned { .. } => {
                let units = totals.published * (record / PUT_UNIT_BYTES).ceil();
                positions.extend([
                    position(
                        "Kinesis",
                        "shard-hours",
                        totals.shard_hours,
                        prices.kinesis_shard_hours,
                    ),
                    position(
                        "Kinesis",
                        "PUT payload units",
                        units,
                        prices.kinesis_put_units,
                    ),
                ]);
            }
            Stream::OnDemand { .. } => {
                let written = totals.published * (record / KB).ceil() * KB / GB;
                let read = totals.published * record / GB;
                let hours = load.seconds / 3_600.0;
                positions.extend([
                    position(
                        "Kinesis",
                        "stream-hours",
                        hours,
                        prices.kinesis_stream_hours,
                    ),
                    position("Kinesis", "GB written", written, prices.kinesis_gb_in),
                    position("Kinesis", "GB read", read, prices.kinesis_gb_out),
                ]);
            }
        }
        let logs = invocations * LOG_BYTES / GB;
        positions.push(position("CloudWatch", "GB of logs", logs, prices.logs_gb));
        Self {
            usd: positions.iter().map(|position| position.usd).sum(),
            positions,
            prices: format!("{}, {}", prices.region, prices.as_of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::load;
    use onewrite_operator::cost::{self, Assumptions, QueueType, Traffic};

    /// Both reckon an hour of a million messages, one in a hundred twice.
    #[test]
    fn it_is_what_onewrite_cost_says() {
        let traffic = Traffic::new(1_000_000, 1_024, 0.01);
        for shards in [0, 50] {
            let assumptions = Assumptions {
                queue_type: QueueType::Standard,
                batch: 10,
                duration: 50,
                memory: 256,
                log_bytes: 2_000,
                shards,
                hours: 1,
            };
            let prices = cost::prices::Prices::parse(BUILT_IN).unwrap();
            let theirs = cost::Cost::of(&traffic, &assumptions, &prices).usd;
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
                ..load(0.0)
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
            let ours = Cost::of(&load, &settings, &totals, &Prices::parse(BUILT_IN).unwrap()).usd;
            assert!((ours - theirs).abs() < 1e-6, "{ours}, not {theirs}");
        }
    }
}
