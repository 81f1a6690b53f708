//! `onewrite cost`: the options of an estimate, and how it is printed. The estimate itself is in `onewrite-cost`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use onewrite::{
    item::PayloadCompression,
    limits::{MAX_ITEM_BYTES, MAX_MESSAGE_BYTES},
};
use onewrite_cost::{
    alternatives::Alternative,
    billing::{self, LineItem},
    estimate::Estimate,
    fixed,
    prices::{BUILT_IN, Prices, PricesError},
    sizes::{DEFLATE_RATIO, Sizes},
    traffic::{Assumptions, Traffic},
};
use serde::Serialize;

use crate::{
    error::OperatorError,
    terminal::{Output, json, print},
};

/// Up to here, a floating-point number represents every count exactly.
const MAX_MESSAGES: u64 = 1_000_000_000_000;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Number of messages with different ids.
    #[arg(long, value_name = "N", required_unless_present = "print_prices",
        value_parser = parse_messages)]
    messages: Option<u64>,
    /// Payload size in bytes.
    #[arg(long, value_name = "B", required_unless_present_any = ["print_prices", "payload"],
        value_parser = clap::value_parser!(u64).range(1..=MAX_MESSAGE_BYTES as u64))]
    bytes: Option<u64>,
    /// Size of a compressed payload, as a part of --bytes. 1 means that nothing is compressed.
    #[arg(long, value_name = "R", default_value_t = DEFLATE_RATIO, value_parser = parse_ratio)]
    ratio: f64,
    /// Measure the payload of a typical message in this file, JSON, instead of --bytes and --ratio.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bytes", "ratio"])]
    payload: Option<PathBuf>,
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
    /// Type of the queue. Batches of a FIFO queue have one message.
    #[arg(long, value_enum, default_value_t = QueueType::Standard)]
    queue_type: QueueType,
    /// Records of an average invocation of a busy pipeline. The estimate also shows invocations of one record each.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Duration of an average invocation in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=900_000))]
    duration: u64,
    /// Memory of each function in MB.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(128..=10_240))]
    memory: u64,
    /// Bytes of logs of an average invocation. Without it, those of the metrics.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    log_bytes: Option<u64>,
    /// Metrics of the stack, as in the template's Metrics.
    #[arg(long, value_enum, default_value_t = Metrics::Essential)]
    metrics: Metrics,
    /// Write DONE in a transaction with the writes of a function (CommitWith), which costs twice as many units.
    #[arg(long)]
    commit_with: bool,
    /// Shards of the notification stream, as in the template's ShardCount; 0 is on-demand.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=500))]
    shards: u64,
    /// Provisioned pollers of the queue, as in the template's IngestConcurrency; 0 means Lambda's own.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pollers: u64,
    /// Hours for which the stack is billed; 730 is a month.
    #[arg(long, value_name = "H", default_value_t = fixed::MONTH_HOURS, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    hours: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueueType {
    /// At least once, in any order.
    Standard,
    /// A standard queue whose senders set a message group (fair queue).
    Fair,
    /// In order within each message group.
    Fifo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metrics {
    /// Those that alarms and `onewrite status` need.
    Essential,
    /// Also the other metrics, those of mappings, traces and the dashboard.
    All,
}

impl From<&AssumptionArguments> for Assumptions {
    fn from(arguments: &AssumptionArguments) -> Self {
        let metrics = match arguments.metrics {
            Metrics::Essential => fixed::Metrics::Essential,
            Metrics::All => fixed::Metrics::All,
        };
        Self {
            queue_type: match arguments.queue_type {
                QueueType::Standard => billing::QueueType::Standard,
                QueueType::Fair => billing::QueueType::Fair,
                QueueType::Fifo => billing::QueueType::Fifo,
            },
            batch: arguments.batch,
            duration: arguments.duration,
            memory: arguments.memory,
            log_bytes: arguments.log_bytes.unwrap_or_else(|| metrics.log_bytes()),
            metrics,
            commits_writes: arguments.commit_with,
            shards: arguments.shards,
            pollers: arguments.pollers,
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

fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number between 0 and 1".to_owned()),
    }
}

/// The estimate, and the cost of the messages if each invocation has one record only.
#[derive(Serialize)]
struct Estimates {
    #[serde(flatten)]
    busy: Estimate,
    /// The line items, as `positions`.
    sparse: Vec<LineItem>,
    sparse_variable_usd: f64,
}

impl Estimates {
    fn new(traffic: &Traffic, assumptions: &Assumptions, prices: &Prices) -> Self {
        let single = Assumptions {
            batch: 1,
            ..assumptions.clone()
        };
        let sparse = Estimate::new(traffic, &single, prices);
        Self {
            busy: Estimate::new(traffic, assumptions, prices),
            sparse_variable_usd: sparse.variable_usd,
            sparse: sparse.line_items,
        }
    }
}

impl Arguments {
    /// Prints the estimate, or the price table.
    ///
    /// # Errors
    /// [`OperatorError`], if the price table or the payload cannot be used.
    pub fn run(&self, output: Output) -> Result<ExitCode, OperatorError> {
        if self.print_prices {
            print(BUILT_IN);
            return Ok(ExitCode::SUCCESS);
        }
        let messages = self.messages.unwrap_or_default();
        let traffic = Traffic::new(messages, self.sizes()?, self.duplicates);
        let estimates = Estimates::new(&traffic, &(&self.assumptions).into(), &self.prices()?);
        print(&match output {
            Output::Table => format_estimates(&estimates),
            Output::Json => json(&estimates),
        });
        Ok(ExitCode::SUCCESS)
    }

    /// The sizes of a message. An error does not quote the payload.
    fn sizes(&self) -> Result<Sizes, OperatorError> {
        let rejected = |file: String, reason: String| OperatorError::Message { file, reason };
        let (name, sizes) = match &self.payload {
            None => {
                let bytes = self.bytes.unwrap_or(1);
                ("--bytes".to_owned(), Some(Sizes::new(bytes, self.ratio)))
            }
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| rejected(name.clone(), error.to_string()))?;
                let sizes = Sizes::measure(text.trim(), PayloadCompression::Auto);
                (name, sizes)
            }
        };
        let sizes = sizes.filter(|sizes| sizes.settled_item <= MAX_ITEM_BYTES as u64);
        let reason = "ingest rejects this payload: it is no JSON, or its item is too large";
        sizes.ok_or_else(|| rejected(name, reason.to_owned()))
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

fn format_estimates(estimates: &Estimates) -> String {
    let Estimates {
        busy: estimate,
        sparse,
        sparse_variable_usd,
    } = estimates;
    let assumptions = &estimate.assumptions;
    let mut text = format!(
        "{}\nfixed, {} hours\n",
        format_basis(&estimate.traffic, assumptions),
        assumptions.hours
    );
    text.extend(estimate.fixed.iter().map(format_line_item));
    text.push_str(&format_total(estimate.fixed_usd));
    text.push_str(&format!(
        "\nmessages {:>66} {:>16}\n",
        format!("{} per invocation", assumptions.batch),
        "1 per invocation"
    ));
    let items = estimate.line_items.iter().zip(sparse);
    text.extend(items.map(|(busy, sparse)| format_pair(busy, sparse)));
    text.push_str(&format!(
        "{:<60} {:>14.4} {:>16.4}\n{:<60} {:>14.4} {:>16.4}\n",
        "total",
        estimate.variable_usd,
        sparse_variable_usd,
        "with the fixed cost",
        estimate.usd,
        estimate.fixed_usd + sparse_variable_usd,
    ));
    text.push_str("\nstorage of these items, per month\n");
    text.extend(estimate.monthly.iter().map(format_line_item));
    text.push_str("\nother parts of AWS, USD for the same messages\n");
    text.extend(estimate.alternatives.iter().map(format_alternative));
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

fn format_total(usd: f64) -> String {
    format!("{:<60} {usd:>14.4}\n", "total")
}

/// A line item of a busy pipeline, and its cost with one record per invocation.
fn format_pair(busy: &LineItem, sparse: &LineItem) -> String {
    let line = format_line_item(busy);
    format!("{} {:>16.4}\n", line.trim_end(), sparse.usd)
}

fn format_alternative(alternative: &Alternative) -> String {
    let Alternative {
        what,
        lowest_usd,
        highest_usd,
    } = alternative;
    format!("{what:<61} {lowest_usd:>13.4} {highest_usd:>16.4}\n")
}

fn format_basis(traffic: &Traffic, assumptions: &Assumptions) -> String {
    let Traffic {
        messages,
        copies,
        message_bytes,
        item_bytes,
        settled_bytes,
        record_bytes,
    } = traffic;
    let Assumptions {
        queue_type,
        batch,
        duration,
        memory,
        log_bytes,
        metrics: _,
        commits_writes,
        shards,
        pollers: _,
        hours: _,
    } = assumptions;
    let queue = match queue_type {
        billing::QueueType::Standard => "standard queue",
        billing::QueueType::Fair => "fair queue",
        billing::QueueType::Fifo => "FIFO queue with batches of one message",
    };
    let stream = match shards {
        0 => "on-demand stream".to_owned(),
        1 => "stream with one shard".to_owned(),
        shards => format!("stream with {shards} shards"),
    };
    let transactions = if *commits_writes {
        ", DONE in transactions"
    } else {
        ""
    };
    format!(
        "{messages} messages and {copies} copies; bytes per message {message_bytes}, item {item_bytes}, in DONE {settled_bytes}, record {record_bytes}\n\
         {queue}, {stream}{transactions}; per invocation {batch} records, {duration} ms, {memory} MB, {log_bytes} bytes of logs\n"
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
    fn accepts_ratios_from_zero_to_one() {
        assert_eq!(parse_ratio("0.3"), Ok(0.3));
        for text in ["", "1.1", "-1", "NaN", "half"] {
            assert!(parse_ratio(text).is_err(), "{text}");
        }
    }
}
