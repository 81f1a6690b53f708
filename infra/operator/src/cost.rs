//! What notifications cost, by service: quantities by the rules of each service, the project's own sizes, and a table of
//! prices. Asks nothing of AWS.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use onewrite::{
    event::NotificationEvent,
    item::{Enrichment, NotificationItem},
    limits::MAX_ITEM_BYTES,
    notification::MessagePointers,
};
use serde::Serialize;

use crate::{
    cli::{Output, json, print},
    error::OperatorError,
};

pub mod prices;

use prices::{BUILT_IN, Prices};

/// Of one SQS request (SQS pricing: each 64 KB of payload is billed as a request).
const SQS_CHUNK_BYTES: u64 = 64 * KB;
/// Messages of one receive or delete (SQS quotas).
const SQS_BATCH: u64 = 10;
/// Of one write unit (DynamoDB developer guide, "Write capacity units").
const WRITE_UNIT_BYTES: u64 = KB;
/// Added to each stored item (DynamoDB developer guide, "Item sizes and formats": 100 bytes for its index).
const STORED_ITEM_BYTES: u64 = 100;
/// Of one PUT payload unit (Kinesis pricing, provisioned mode).
const PUT_UNIT_BYTES: u64 = 25 * KB;
/// Each record counts as whole KBs (Kinesis pricing, on-demand mode).
const RECORD_CHUNK_BYTES: u64 = KB;
/// Changes of one notification, each an event: INIT and DONE.
const CHANGES: u64 = 2;

const KB: u64 = 1024;
const GB: f64 = (KB * KB * KB) as f64;

/// Room for what an item has beside its payload, so that the largest payload still is an item.
const BESIDE_PAYLOAD_BYTES: u64 = 2 * KB;
const MAX_PAYLOAD_BYTES: u64 = MAX_ITEM_BYTES as u64 - BESIDE_PAYLOAD_BYTES;

/// So that every count is exact as a floating-point number.
const MAX_MESSAGES: u64 = 1_000_000_000_000;

/// What is to be reckoned.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Messages that are notifications of their own.
    #[arg(long, value_name = "N", required_unless_present = "print_prices",
        value_parser = clap::value_parser!(u64).range(0..=MAX_MESSAGES))]
    messages: Option<u64>,
    /// Bytes of a payload.
    #[arg(long, value_name = "B", required_unless_present = "print_prices",
        value_parser = clap::value_parser!(u64).range(1..=MAX_PAYLOAD_BYTES))]
    bytes: Option<u64>,
    /// Copies of each message that come beside it: 0.05 is one for every twenty.
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = rate)]
    duplicates: f64,
    #[command(flatten)]
    assumptions: Assumptions,
    /// Another table of prices, as --print-prices writes one.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Writes the built-in table of prices and does nothing else.
    #[arg(long)]
    print_prices: bool,
}

/// What a sum rests on beside the messages.
#[derive(Debug, Clone, PartialEq, Args, Serialize)]
pub struct Assumptions {
    /// Kind of the queue, as the template's QueueType. A FIFO queue's batches have one message.
    #[arg(long, value_enum, default_value_t = QueueType::Standard)]
    pub queue_type: QueueType,
    /// Records of an average invocation: what comes one at a time is handled one at a time, at the most invocations.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch: u64,
    /// Milliseconds of an average invocation.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=900_000))]
    pub duration: u64,
    /// Memory of each function, in MB.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(128..=10_240))]
    pub memory: u64,
    /// Bytes of logs of an average invocation.
    #[arg(long, value_name = "BYTES", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub log_bytes: u64,
    /// Shards of the notification stream, as the template's ShardCount; 0 is on-demand.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=500))]
    pub shards: u64,
    /// Hours in which they all come, for which the stream is paid; 730 is a month.
    #[arg(long, value_name = "H", default_value_t = 730, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    pub hours: u64,
}

/// Kinds of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// At least once, in any order.
    Standard,
    /// In order within each group.
    Fifo,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if (0.0..=1_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("not between 0 and 1000".to_owned())
    }
}

impl Arguments {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`OperatorError::Prices`]: the table of prices cannot be used.
    pub fn run(&self, output: Output) -> Result<ExitCode, OperatorError> {
        if self.print_prices {
            print(BUILT_IN);
            return Ok(ExitCode::SUCCESS);
        }
        let prices = self.read_prices()?;
        let traffic = Traffic::new(
            self.messages.unwrap_or_default(),
            self.bytes.unwrap_or(1),
            self.duplicates,
        );
        let cost = Cost::of(&traffic, &self.assumptions, &prices);
        print(&match output {
            Output::Table => cost.text(),
            Output::Json => json(&cost),
        });
        Ok(ExitCode::SUCCESS)
    }

    fn read_prices(&self) -> Result<Prices, OperatorError> {
        let (file, text) = match &self.prices {
            None => ("built-in".to_owned(), Ok(BUILT_IN.to_owned())),
            Some(path) => (path.display().to_string(), std::fs::read_to_string(path)),
        };
        let prices = text
            .map_err(|error| error.to_string())
            .and_then(|text| Prices::parse(&text));
        prices.map_err(|reason| OperatorError::Prices { file, reason })
    }
}

/// What comes, and how large it is in each place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traffic {
    /// Messages that are notifications of their own.
    pub messages: u64,
    /// Copies of them.
    pub copies: u64,
    /// Bytes of a message body.
    pub message_bytes: u64,
    /// Bytes of an item.
    pub item_bytes: u64,
    /// Bytes of a Kinesis record, its partition key counted.
    pub record_bytes: u64,
}

impl Traffic {
    /// Of messages with this many bytes of payload and an id of 36 characters: what the functions make of such a message
    /// is measured, not estimated.
    #[must_use]
    pub fn new(messages: u64, payload_bytes: u64, duplicates: f64) -> Self {
        const ID: &str = "6a1f3c52-0d4e-4b8a-9c37-2f5e8d1b7a90";
        let filling = payload_bytes.saturating_sub(2) as usize;
        let payload = match payload_bytes {
            0 | 1 => "1".to_owned(),
            _ => format!("\"{}\"", "x".repeat(filling)),
        };
        let body =
            format!(r#"{{"notification_id":"{ID}","type":"notification","payload":{payload}}}"#);
        let item = MessagePointers::default()
            .parse(body.as_bytes())
            .and_then(|notification| {
                let now = Timestamp::UNIX_EPOCH;
                NotificationItem::new(
                    notification,
                    &Enrichment::default(),
                    ID.to_owned(),
                    None,
                    now,
                )
            });
        let sizes = item.as_ref().map_or((0, 0), |item| {
            (
                item.bytes(),
                NotificationEvent::of_item(item).to_json().len(),
            )
        });
        Self {
            messages,
            copies: (messages as f64 * duplicates).ceil() as u64,
            message_bytes: body.len() as u64,
            item_bytes: sizes.0 as u64,
            record_bytes: (sizes.1 + ID.len()) as u64,
        }
    }
}

/// One position of a bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// What it all costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// What comes.
    pub traffic: Traffic,
    /// What it rests on.
    pub assumptions: Assumptions,
    /// Position by position.
    pub positions: Vec<Position>,
    /// Their sum, in US dollars.
    pub usd: f64,
    /// What keeping the items costs for each month.
    pub each_month: Vec<Position>,
    /// What is not counted.
    pub not_counted: &'static str,
    /// The prices it was reckoned with.
    pub prices: Prices,
}

const NOT_COUNTED: &str = "free tiers, discounts, taxes; polls of an empty queue; custom metrics, alarms, dashboard, traces; \
    keys of KMS, VPC endpoints, provisioned pollers; the failure bucket; your own consumers; stream retention beyond 24 hours";

impl Cost {
    /// Reckons it.
    #[must_use]
    pub fn of(traffic: &Traffic, assumptions: &Assumptions, prices: &Prices) -> Self {
        let Traffic {
            messages,
            copies,
            message_bytes,
            item_bytes,
            record_bytes,
        } = *traffic;
        let (is_fifo, batch) = match assumptions.queue_type {
            QueueType::Standard => (false, assumptions.batch),
            QueueType::Fifo => (true, 1),
        };
        let deliveries = messages + copies;
        let changes = CHANGES * messages;

        let receive = batch.min(SQS_BATCH);
        let receives = deliveries.div_ceil(receive);
        let requests = deliveries * message_bytes.div_ceil(SQS_CHUNK_BYTES)
            + receives * (receive * message_bytes).div_ceil(SQS_CHUNK_BYTES)
            // Each batch is deleted at once, by receipt handles.
            + receives;
        let request = if is_fifo {
            &prices.sqs_fifo_requests
        } else {
            &prices.sqs_standard_requests
        };
        // `complete` is not invoked for what its filter leaves out.
        let invocations = deliveries.div_ceil(batch)
            + changes.div_ceil(assumptions.batch)
            + messages.div_ceil(assumptions.batch);
        let seconds = invocations as f64 * assumptions.duration as f64 / 1_000.0;
        let gb_seconds = seconds * assumptions.memory as f64 / 1_024.0;
        // A condition that is false consumes what the write would have (DynamoDB developer guide, "Working with items").
        let units = item_bytes.div_ceil(WRITE_UNIT_BYTES);
        let logs = (invocations * assumptions.log_bytes) as f64 / GB;

        let position = |service, what, quantity: f64, price: &prices::Price| Position {
            service,
            what,
            quantity,
            usd: price.of(quantity),
        };
        let write = &prices.dynamodb_write_units;
        let mut positions = vec![
            position("SQS", "requests", requests as f64, request),
            position(
                "Lambda",
                "requests",
                invocations as f64,
                &prices.lambda_requests,
            ),
            position(
                "Lambda",
                "GB-seconds",
                gb_seconds,
                &prices.lambda_gb_seconds,
            ),
            position(
                "DynamoDB",
                "write units, INIT",
                (messages * units) as f64,
                write,
            ),
            position(
                "DynamoDB",
                "write units, copies",
                (copies * units) as f64,
                write,
            ),
            position(
                "DynamoDB",
                "write units, DONE",
                (messages * units) as f64,
                write,
            ),
            // Lambda's reads of a table's stream are free (DynamoDB pricing).
            Position {
                service: "DynamoDB",
                what: "changes read from its stream",
                quantity: changes as f64,
                usd: 0.0,
            },
        ];
        let hours = assumptions.hours;
        if assumptions.shards == 0 {
            let kilobytes = changes * record_bytes.div_ceil(RECORD_CHUNK_BYTES);
            let (written, read) = (
                (kilobytes * RECORD_CHUNK_BYTES) as f64 / GB,
                (changes * record_bytes) as f64 / GB,
            );
            positions.extend([
                position(
                    "Kinesis",
                    "stream-hours",
                    hours as f64,
                    &prices.kinesis_stream_hours,
                ),
                position("Kinesis", "GB written", written, &prices.kinesis_gb_in),
                position("Kinesis", "GB read", read, &prices.kinesis_gb_out),
            ]);
        } else {
            let shard_hours = (assumptions.shards * hours) as f64;
            let puts = (changes * record_bytes.div_ceil(PUT_UNIT_BYTES)) as f64;
            positions.extend([
                position(
                    "Kinesis",
                    "shard-hours",
                    shard_hours,
                    &prices.kinesis_shard_hours,
                ),
                position(
                    "Kinesis",
                    "PUT payload units",
                    puts,
                    &prices.kinesis_put_units,
                ),
            ]);
        }
        positions.push(position("CloudWatch", "GB of logs", logs, &prices.logs_gb));
        let stored = (messages * (item_bytes + STORED_ITEM_BYTES)) as f64 / GB;
        Self {
            traffic: traffic.clone(),
            assumptions: assumptions.clone(),
            usd: positions.iter().map(|position| position.usd).sum(),
            positions,
            each_month: vec![
                position("DynamoDB", "GB stored", stored, &prices.dynamodb_storage),
                position(
                    "DynamoDB",
                    "GB in point-in-time recovery",
                    stored,
                    &prices.dynamodb_recovery,
                ),
            ],
            not_counted: NOT_COUNTED,
            prices: prices.clone(),
        }
    }

    /// As a person reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let Traffic {
            messages,
            copies,
            message_bytes,
            item_bytes,
            record_bytes,
        } = &self.traffic;
        let Assumptions {
            queue_type,
            batch,
            duration,
            memory,
            log_bytes,
            shards,
            hours,
        } = &self.assumptions;
        let queue = match queue_type {
            QueueType::Standard => "a standard queue",
            QueueType::Fifo => "a FIFO queue, its batches of one",
        };
        let stream = match shards {
            0 => "an on-demand stream".to_owned(),
            shards => format!("a stream of {shards} shards"),
        };
        let row = |Position {
                       service,
                       what,
                       quantity,
                       usd,
                   }: &Position| {
            format!("{service:<11} {what:<29} {quantity:>18.3} {usd:>14.4}\n")
        };
        let mut text = format!(
            "{messages} messages and {copies} copies; bytes: message {message_bytes}, item {item_bytes}, record {record_bytes}\n\
             {queue}, {stream}; {hours} hours; an invocation: {batch} records, {duration} ms, {memory} MB, {log_bytes} bytes of logs\n\n\
             {:<11} {:<29} {:>18} {:>14}\n",
            "service", "what", "quantity", "USD"
        );
        text.extend(self.positions.iter().map(row));
        text.push_str(&format!("{:<60} {:>14.4}\n\n", "sum", self.usd));
        text.push_str("each month that the items are kept\n");
        text.extend(self.each_month.iter().map(row));
        let Prices {
            region,
            as_of,
            note,
            ..
        } = &self.prices;
        text.push_str(&format!(
            "\nprices: {region}, {as_of}. {note}\nnot counted: {}\n",
            self.not_counted
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assumptions() -> Assumptions {
        Assumptions {
            queue_type: QueueType::Standard,
            batch: 10,
            duration: 50,
            memory: 256,
            log_bytes: 2_000,
            shards: 0,
            hours: 730,
        }
    }

    fn of(cost: &Cost, what: &str) -> (f64, f64) {
        let position = cost
            .positions
            .iter()
            .chain(&cost.each_month)
            .find(|position| format!("{} {}", position.service, position.what) == what);
        let position = position.unwrap_or_else(|| panic!("no {what}"));
        (position.quantity, position.usd)
    }

    #[track_caller]
    fn assert_is(cost: &Cost, what: &str, quantity: f64, usd: f64) {
        let (is, costs) = of(cost, what);
        assert!((is - quantity).abs() < 1e-6, "{what}: {is}, not {quantity}");
        assert!((costs - usd).abs() < 1e-6, "{what}: {costs} USD, not {usd}");
    }

    /// A million messages, one in ten twice, of sizes that are easy to reckon with.
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
    fn a_million_messages_cost_what_they_cost_by_hand() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        let cost = Cost::of(&traffic(), &assumptions(), &prices);
        // Sent one by one 1,100,000; received and deleted by ten, 110,000 each.
        assert_is(&cost, "SQS requests", 1_320_000.0, 0.528);
        // ingest 110,000; forward 2,000,000 changes by ten; complete 1,000,000 events by ten.
        assert_is(&cost, "Lambda requests", 410_000.0, 0.082);
        // 410,000 x 0.05 s x 0.25 GB.
        assert_is(&cost, "Lambda GB-seconds", 5_125.0, 0.068_333_675);
        // Two units for 1,500 bytes, each time.
        assert_is(&cost, "DynamoDB write units, INIT", 2_000_000.0, 1.25);
        assert_is(&cost, "DynamoDB write units, copies", 200_000.0, 0.125);
        assert_is(&cost, "DynamoDB write units, DONE", 2_000_000.0, 1.25);
        assert_is(
            &cost,
            "DynamoDB changes read from its stream",
            2_000_000.0,
            0.0,
        );
        assert_is(&cost, "Kinesis stream-hours", 730.0, 29.2);
        // Two events of 2 KB: 4,000,000 KB; read as they are, 2,800,000,000 bytes.
        assert_is(&cost, "Kinesis GB written", 3.814_697_265, 0.305_175_781);
        assert_is(&cost, "Kinesis GB read", 2.607_703_209, 0.104_308_128);
        // 820,000,000 bytes.
        assert_is(&cost, "CloudWatch GB of logs", 0.763_684_511, 0.381_842_256);
        // 1,600,000,000 bytes.
        assert_is(&cost, "DynamoDB GB stored", 1.490_116_119, 0.372_529_030);
        assert_is(
            &cost,
            "DynamoDB GB in point-in-time recovery",
            1.490_116_119,
            0.298_023_224,
        );
        assert!((cost.usd - 33.294_659_84).abs() < 1e-6, "{}", cost.usd);
    }

    #[test]
    fn a_fifo_queue_has_its_price_and_batches_of_one() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        let fifo = Assumptions {
            queue_type: QueueType::Fifo,
            ..assumptions()
        };
        let cost = Cost::of(&traffic(), &fifo, &prices);
        assert_is(&cost, "SQS requests", 3_300_000.0, 1.65);
        assert_is(&cost, "Lambda requests", 1_400_000.0, 0.28);
    }

    #[test]
    fn shards_are_paid_by_the_hour_and_by_what_is_put() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        let provisioned = Assumptions {
            shards: 2,
            ..assumptions()
        };
        let large = Traffic {
            record_bytes: 25 * KB + 1,
            ..traffic()
        };
        let cost = Cost::of(&large, &provisioned, &prices);
        assert_is(&cost, "Kinesis shard-hours", 1_460.0, 21.9);
        assert_is(&cost, "Kinesis PUT payload units", 4_000_000.0, 0.056);
    }

    #[test]
    fn a_large_message_is_several_requests() {
        let prices = Prices::parse(BUILT_IN).unwrap();
        let large = Traffic {
            messages: 10,
            copies: 0,
            message_bytes: 64 * KB + 1,
            ..traffic()
        };
        let cost = Cost::of(&large, &assumptions(), &prices);
        // Two for each sent; one receive of 640 KB and 10 bytes, eleven; one delete.
        assert_is(&cost, "SQS requests", 32.0, 0.000_012_8);
    }

    #[test]
    fn sizes_are_those_of_what_the_functions_make() {
        let of = |bytes| Traffic::new(10, bytes, 0.25);
        let (small, large) = (of(2), of(1_002));
        assert_eq!(
            (small.copies, large.message_bytes - small.message_bytes),
            (3, 1_000)
        );
        assert_eq!(large.item_bytes - small.item_bytes, 1_000);
        assert_eq!(large.record_bytes - small.record_bytes, 1_000);
        // {"notification_id":"","type":"notification","payload":""} and the id.
        assert_eq!(small.message_bytes, 57 + 36);
        assert!(
            of(MAX_PAYLOAD_BYTES).item_bytes > MAX_PAYLOAD_BYTES,
            "it is an item"
        );
    }
}
