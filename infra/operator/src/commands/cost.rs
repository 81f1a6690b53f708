//! `onewrite cost`: the options of an estimate, and how it is printed. The estimate itself is in `onewrite-cost`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use onewrite::limits::MAX_ITEM_BYTES;
use onewrite_cost::{
    billing::{self, LineItem},
    estimate::{Assumptions, Estimate, Traffic},
    prices::{BUILT_IN, Prices, PricesError},
};

use crate::{
    error::OperatorError,
    terminal::{Output, json, print},
};

/// Space for the other attributes of an item, so that the largest allowed payload fits in an item.
const ITEM_OVERHEAD_BYTES: u64 = 2 * 1_024;
const MAX_PAYLOAD_BYTES: u64 = MAX_ITEM_BYTES as u64 - ITEM_OVERHEAD_BYTES;

/// Up to here, a floating-point number represents every count exactly.
const MAX_MESSAGES: u64 = 1_000_000_000_000;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Number of messages with different ids.
    #[arg(long, value_name = "N", required_unless_present = "print_prices",
        value_parser = parse_messages)]
    messages: Option<u64>,
    /// Payload size in bytes.
    #[arg(long, value_name = "B", required_unless_present = "print_prices",
        value_parser = clap::value_parser!(u64).range(1..=MAX_PAYLOAD_BYTES))]
    bytes: Option<u64>,
    /// Copies of each message: 0.05 means one copy for every twenty messages.
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = parse_duplicates)]
    duplicates: f64,
    #[command(flatten)]
    assumptions: AssumptionArguments,
    /// Read prices from a file in the format of --print-prices.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the built-in price table and exit.
    #[arg(long)]
    print_prices: bool,
}

#[derive(Debug, Clone, Args)]
struct AssumptionArguments {
    /// Type of the queue, as in the template's QueueType. Batches of a FIFO queue have one message.
    #[arg(long, value_enum, default_value_t = QueueType::Standard)]
    queue_type: QueueType,
    /// Records of an average invocation. Small batches cause more invocations.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Duration of an average invocation in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=900_000))]
    duration: u64,
    /// Memory of each function in MB.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(128..=10_240))]
    memory: u64,
    /// Bytes of logs of an average invocation.
    #[arg(long, value_name = "BYTES", default_value_t = onewrite_cost::estimate::LOG_BYTES,
        value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    log_bytes: u64,
    /// Shards of the notification stream, as in the template's ShardCount; 0 is on-demand.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=500))]
    shards: u64,
    /// Hours for which the stream is billed; 730 is a month.
    #[arg(long, value_name = "H", default_value_t = 730, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    hours: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueueType {
    /// At least once, in any order.
    Standard,
    /// In order within each message group.
    Fifo,
}

impl From<&AssumptionArguments> for Assumptions {
    fn from(arguments: &AssumptionArguments) -> Self {
        Self {
            queue_type: match arguments.queue_type {
                QueueType::Standard => billing::QueueType::Standard,
                QueueType::Fifo => billing::QueueType::Fifo,
            },
            batch: arguments.batch,
            duration: arguments.duration,
            memory: arguments.memory,
            log_bytes: arguments.log_bytes,
            shards: arguments.shards,
            hours: arguments.hours,
        }
    }
}

impl From<PricesError> for OperatorError {
    fn from(error: PricesError) -> Self {
        prices_error("built-in".to_owned(), &error)
    }
}

fn prices_error(file: String, reason: &impl ToString) -> OperatorError {
    OperatorError::Prices {
        file,
        reason: reason.to_string(),
    }
}

/// Parses a number of messages. For a number in another spelling, the error suggests the digits.
fn parse_messages(text: &str) -> Result<u64, String> {
    let limit = || format!("must be a whole number from 0 to {MAX_MESSAGES}");
    if let Ok(messages) = text.parse::<u64>() {
        return if messages <= MAX_MESSAGES {
            Ok(messages)
        } else {
            Err(limit())
        };
    }
    let without_separators = text.replace(['_', ',', '\'', ' '], "");
    let number = without_separators.parse::<f64>().ok();
    let is_count =
        |number: &f64| number.fract() == 0.0 && (0.0..=MAX_MESSAGES as f64).contains(number);
    Err(match number.filter(is_count) {
        Some(number) => format!("write it with digits only: {number}"),
        None => limit(),
    })
}

fn parse_duplicates(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number between 0 and 1000".to_owned()),
    }
}

impl Arguments {
    /// Prints the estimate, or the price table.
    ///
    /// # Errors
    /// [`OperatorError::Prices`], if the price table cannot be used.
    pub fn run(&self, output: Output) -> Result<ExitCode, OperatorError> {
        if self.print_prices {
            print(BUILT_IN);
            return Ok(ExitCode::SUCCESS);
        }
        let traffic = Traffic::new(
            self.messages.unwrap_or_default(),
            self.bytes.unwrap_or(1),
            self.duplicates,
        );
        let estimate = Estimate::new(&traffic, &(&self.assumptions).into(), &self.prices()?);
        print(&match output {
            Output::Table => format_estimate(&estimate),
            Output::Json => json(&estimate),
        });
        Ok(ExitCode::SUCCESS)
    }

    fn prices(&self) -> Result<Prices, OperatorError> {
        let Some(path) = &self.prices else {
            return Ok(Prices::built_in()?);
        };
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(json) => Prices::parse(&json).map_err(|error| prices_error(file, &error)),
            Err(error) => Err(prices_error(file, &error)),
        }
    }
}

fn format_estimate(estimate: &Estimate) -> String {
    let mut text = format!(
        "{}\n{:<11} {:<29} {:>18} {:>14}\n",
        format_basis(&estimate.traffic, &estimate.assumptions),
        "service",
        "what",
        "quantity",
        "USD"
    );
    text.extend(estimate.line_items.iter().map(format_line_item));
    text.push_str(&format!("{:<60} {:>14.4}\n\n", "total", estimate.usd));
    text.push_str("storage of these items, per month\n");
    text.extend(estimate.monthly.iter().map(format_line_item));
    let Prices {
        region,
        as_of,
        note,
        ..
    } = &estimate.prices;
    text.push_str(&format!(
        "\nprices: {region}, {as_of}. {note}\nnot included: {}\n",
        estimate.not_counted
    ));
    text
}

fn format_basis(traffic: &Traffic, assumptions: &Assumptions) -> String {
    let Traffic {
        messages,
        copies,
        message_bytes,
        item_bytes,
        record_bytes,
    } = traffic;
    let Assumptions {
        queue_type,
        batch,
        duration,
        memory,
        log_bytes,
        shards,
        hours,
    } = assumptions;
    let queue = match queue_type {
        billing::QueueType::Standard => "standard queue",
        billing::QueueType::Fifo => "FIFO queue with batches of one message",
    };
    let stream = match shards {
        0 => "on-demand stream".to_owned(),
        shards => format!("stream with {shards} shards"),
    };
    format!(
        "{messages} messages and {copies} copies; bytes per message {message_bytes}, item {item_bytes}, record {record_bytes}\n\
         {queue}, {stream}, {hours} hours; per invocation {batch} records, {duration} ms, {memory} MB, {log_bytes} bytes of logs\n"
    )
}

fn format_line_item(item: &LineItem) -> String {
    let LineItem {
        service,
        what,
        quantity,
        usd,
    } = item;
    format!("{service:<11} {what:<29} {quantity:>18.3} {usd:>14.4}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_digits_for_a_number_in_another_spelling() {
        assert_eq!(parse_messages("1000000"), Ok(1_000_000));
        for text in ["1e6", "1_000_000", "1,000,000", "1000000.0", "1E+6"] {
            let error = parse_messages(text).unwrap_err();
            assert_eq!(error, "write it with digits only: 1000000", "{text}");
        }
        for text in [
            "",
            "many",
            "-1",
            "1.5",
            "1e13",
            "18446744073709551616",
            "NaN",
        ] {
            let error = parse_messages(text).unwrap_err();
            assert_eq!(error, "must be a whole number from 0 to 1000000000000");
        }
    }

    #[test]
    fn the_largest_payload_fits_in_an_item() {
        let traffic = Traffic::new(1, MAX_PAYLOAD_BYTES, 0.0);
        assert!(traffic.item_bytes > MAX_PAYLOAD_BYTES);
    }
}
