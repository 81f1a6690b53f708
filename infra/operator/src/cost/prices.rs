//! The table of prices: what is built in, and how another is read.

use serde::{Deserialize, Serialize};

use crate::error::OperatorError;

/// The built-in table, as it is printed.
pub const BUILT_IN: &str = include_str!("prices.json");

/// What AWS asks for each thing, in one region at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The region they are of.
    pub region: String,
    /// When they were looked up.
    pub as_of: String,
    /// What to know of them.
    pub note: String,
    /// Invocations.
    pub lambda_requests: Price,
    /// Time of the functions by their memory.
    pub lambda_gb_seconds: Price,
    /// Requests to a standard queue.
    pub sqs_standard_requests: Price,
    /// Requests to a FIFO queue.
    pub sqs_fifo_requests: Price,
    /// Write units of the table.
    pub dynamodb_write_units: Price,
    /// Read units of the table; the functions read nothing, a reconcile does.
    pub dynamodb_read_units: Price,
    /// A month of a GB in the table.
    pub dynamodb_storage: Price,
    /// A month of a GB in its point-in-time recovery.
    pub dynamodb_recovery: Price,
    /// An hour of an on-demand stream.
    pub kinesis_stream_hours: Price,
    /// A GB written to an on-demand stream.
    pub kinesis_gb_in: Price,
    /// A GB read from an on-demand stream.
    pub kinesis_gb_out: Price,
    /// An hour of a shard.
    pub kinesis_shard_hours: Price,
    /// PUT payload units of a provisioned stream.
    pub kinesis_put_units: Price,
    /// A GB of logs.
    pub logs_gb: Price,
}

/// The price of so many units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars.
    pub usd: f64,
    /// For this many units.
    pub per: f64,
    /// The unit.
    pub unit: String,
    /// Where it was looked up.
    pub source: String,
}

impl Price {
    /// What a quantity costs.
    #[must_use]
    pub fn of(&self, quantity: f64) -> f64 {
        quantity / self.per * self.usd
    }
}

impl Prices {
    /// The built-in table, read.
    ///
    /// # Errors
    /// [`OperatorError::Prices`]; a test reads it.
    pub fn built_in() -> Result<Self, OperatorError> {
        Self::parse(BUILT_IN).map_err(|reason| OperatorError::Prices {
            file: "built-in".to_owned(),
            reason,
        })
    }

    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        let prices: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        for (name, price) in prices.named() {
            // JSON has no infinity and no NaN.
            if price.usd < 0.0 || price.per <= 0.0 {
                return Err(format!("{name}: {} USD per {}", price.usd, price.per));
            }
        }
        Ok(prices)
    }

    fn named(&self) -> [(&'static str, &Price); 14] {
        [
            ("lambda_requests", &self.lambda_requests),
            ("lambda_gb_seconds", &self.lambda_gb_seconds),
            ("sqs_standard_requests", &self.sqs_standard_requests),
            ("sqs_fifo_requests", &self.sqs_fifo_requests),
            ("dynamodb_write_units", &self.dynamodb_write_units),
            ("dynamodb_read_units", &self.dynamodb_read_units),
            ("dynamodb_storage", &self.dynamodb_storage),
            ("dynamodb_recovery", &self.dynamodb_recovery),
            ("kinesis_stream_hours", &self.kinesis_stream_hours),
            ("kinesis_gb_in", &self.kinesis_gb_in),
            ("kinesis_gb_out", &self.kinesis_gb_out),
            ("kinesis_shard_hours", &self.kinesis_shard_hours),
            ("kinesis_put_units", &self.kinesis_put_units),
            ("logs_gb", &self.logs_gb),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_built_in_price_has_a_page_to_check_it_by() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        for (name, price) in prices.named() {
            assert!(
                price.source.starts_with("https://aws.amazon.com/"),
                "{name}"
            );
            assert!(price.usd > 0.0, "{name}");
        }
    }

    #[test]
    fn a_table_that_lacks_something_or_cannot_be_is_refused() {
        let lacking = BUILT_IN.replace("\"logs_gb\"", "\"logs\"");
        assert!(Prices::parse(&lacking).unwrap_err().contains("logs"));
        for (from, to) in [
            ("\"usd\": 0.625", "\"usd\": -1"),
            (
                "\"usd\": 0.625, \"per\": 1000000",
                "\"usd\": 0.625, \"per\": 0",
            ),
        ] {
            let error = Prices::parse(&BUILT_IN.replace(from, to)).unwrap_err();
            assert!(error.starts_with("dynamodb_write_units: "), "{error}");
        }
    }
}
