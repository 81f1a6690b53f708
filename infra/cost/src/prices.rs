//! The price table: the built-in one, and how to read another.

use serde::{Deserialize, Serialize};

/// The built-in table as JSON.
pub const BUILT_IN: &str = include_str!("prices.json");

/// The prices of one region at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub region: String,
    /// The month in which the prices were looked up.
    pub as_of: String,
    pub note: String,
    pub lambda_requests: Price,
    pub lambda_gb_seconds: Price,
    /// Hours of a provisioned poller.
    pub lambda_poller_hours: Price,
    pub sqs_standard_requests: Price,
    /// What a message group adds to a request of a standard queue.
    pub sqs_fair_requests: Price,
    pub sqs_fifo_requests: Price,
    pub dynamodb_write_units: Price,
    /// The functions do not read the table; `onewrite reconcile` does.
    pub dynamodb_read_units: Price,
    /// GB-months in the table.
    pub dynamodb_storage: Price,
    /// GB-months in point-in-time recovery.
    pub dynamodb_recovery: Price,
    /// Changes that DynamoDB itself writes to Kinesis.
    pub dynamodb_change_units: Price,
    /// Hours of an on-demand stream.
    pub kinesis_stream_hours: Price,
    /// GB written to an on-demand stream.
    pub kinesis_gb_in: Price,
    /// GB read from an on-demand stream.
    pub kinesis_gb_out: Price,
    /// GB written with on-demand advantage, which has no stream-hours.
    pub kinesis_advantage_gb_in: Price,
    /// GB read with on-demand advantage.
    pub kinesis_advantage_gb_out: Price,
    /// Shard hours of a provisioned stream.
    pub kinesis_shard_hours: Price,
    /// PUT payload units of a provisioned stream.
    pub kinesis_put_units: Price,
    /// Requests of EventBridge Pipes.
    pub pipes_requests: Price,
    pub logs_gb: Price,
    /// Months of a custom metric.
    pub metrics: Price,
    /// Months of a metric that an alarm watches.
    pub alarms: Price,
    /// Months of a dashboard.
    pub dashboards: Price,
    /// Traces that X-Ray records.
    pub traces: Price,
}

/// The price of a number of units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars for `per` units.
    pub usd: f64,
    pub per: f64,
    pub unit: String,
    /// The page to check the price against.
    pub source: String,
}

/// A price table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It is not JSON, lacks a price, or has an unknown one.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The price is negative, or is not for a positive number of units.
    #[error("{name}: invalid price of {usd} USD per {per}")]
    Invalid {
        name: &'static str,
        usd: f64,
        per: f64,
    },
}

impl Price {
    /// US dollars for this quantity.
    #[must_use]
    pub fn usd_for(&self, quantity: f64) -> f64 {
        quantity / self.per * self.usd
    }
}

impl Prices {
    /// Parses the built-in table.
    ///
    /// # Errors
    /// Never: a test parses the built-in table.
    pub fn built_in() -> Result<Self, PricesError> {
        Self::parse(BUILT_IN)
    }

    /// Parses a table in the format of [`BUILT_IN`].
    ///
    /// # Errors
    /// [`PricesError`], if the table is not valid.
    pub fn parse(json: &str) -> Result<Self, PricesError> {
        let prices: Self = serde_json::from_str(json)?;
        for (name, price) in prices.named() {
            let Price { usd, per, .. } = *price;
            // JSON has no infinity and no NaN.
            if usd < 0.0 || per <= 0.0 {
                return Err(PricesError::Invalid { name, usd, per });
            }
        }
        Ok(prices)
    }

    fn named(&self) -> [(&'static str, &Price); 24] {
        [
            ("lambda_requests", &self.lambda_requests),
            ("lambda_gb_seconds", &self.lambda_gb_seconds),
            ("lambda_poller_hours", &self.lambda_poller_hours),
            ("sqs_standard_requests", &self.sqs_standard_requests),
            ("sqs_fair_requests", &self.sqs_fair_requests),
            ("sqs_fifo_requests", &self.sqs_fifo_requests),
            ("dynamodb_write_units", &self.dynamodb_write_units),
            ("dynamodb_read_units", &self.dynamodb_read_units),
            ("dynamodb_storage", &self.dynamodb_storage),
            ("dynamodb_recovery", &self.dynamodb_recovery),
            ("dynamodb_change_units", &self.dynamodb_change_units),
            ("kinesis_stream_hours", &self.kinesis_stream_hours),
            ("kinesis_gb_in", &self.kinesis_gb_in),
            ("kinesis_gb_out", &self.kinesis_gb_out),
            ("kinesis_advantage_gb_in", &self.kinesis_advantage_gb_in),
            ("kinesis_advantage_gb_out", &self.kinesis_advantage_gb_out),
            ("kinesis_shard_hours", &self.kinesis_shard_hours),
            ("kinesis_put_units", &self.kinesis_put_units),
            ("pipes_requests", &self.pipes_requests),
            ("logs_gb", &self.logs_gb),
            ("metrics", &self.metrics),
            ("alarms", &self.alarms),
            ("dashboards", &self.dashboards),
            ("traces", &self.traces),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_built_in_price_has_a_source_on_aws_pricing_pages() {
        let prices = Prices::built_in().unwrap();
        for (name, price) in prices.named() {
            assert!(
                price.source.starts_with("https://aws.amazon.com/"),
                "{name}"
            );
            assert!(price.usd > 0.0, "{name}");
        }
    }

    #[test]
    fn rejects_tables_with_missing_or_invalid_prices() {
        let lacking = BUILT_IN.replace("\"logs_gb\"", "\"logs\"");
        let error = Prices::parse(&lacking).unwrap_err();
        assert!(error.to_string().contains("logs"), "{error}");
        for (from, to) in [
            ("\"usd\": 0.625", "\"usd\": -1"),
            (
                "\"usd\": 0.625, \"per\": 1000000",
                "\"usd\": 0.625, \"per\": 0",
            ),
        ] {
            let error = Prices::parse(&BUILT_IN.replace(from, to)).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("dynamodb_write_units: "), "{error}");
        }
    }
}
