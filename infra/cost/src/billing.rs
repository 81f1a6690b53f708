//! From quantities to line items: how each service rounds what it bills.

use serde::Serialize;

use crate::prices::{Price, Prices};

/// Messages in one receive or delete call (SQS quotas).
pub const SQS_BATCH: u64 = 10;

/// Bytes of one SQS request (SQS pricing: each 64 KB of payload is billed as a request).
const SQS_REQUEST_BYTES: f64 = 64.0 * KB;
/// Bytes of one write unit (DynamoDB developer guide, "Write capacity units").
const WRITE_UNIT_BYTES: f64 = KB;
/// Bytes of one PUT payload unit (Kinesis pricing, provisioned mode).
const PUT_UNIT_BYTES: f64 = 25.0 * KB;
/// A record counts as a whole number of KB (Kinesis pricing, on-demand mode).
const RECORD_CHUNK_BYTES: f64 = KB;

const KB: f64 = 1_024.0;
const GB: f64 = KB * KB * KB;

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineItem {
    pub service: &'static str,
    /// What is billed, with its unit.
    pub what: &'static str,
    pub quantity: f64,
    /// US dollars.
    pub usd: f64,
}

impl LineItem {
    #[must_use]
    pub fn new(service: &'static str, what: &'static str, quantity: f64, price: &Price) -> Self {
        Self {
            service,
            what,
            quantity,
            usd: price.usd_for(quantity),
        }
    }
}

/// The sum of a bill in US dollars.
#[must_use]
pub fn total(line_items: &[LineItem]) -> f64 {
    line_items.iter().map(|item| item.usd).sum()
}

/// The kind of the queue, as in the template's `QueueType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    Standard,
    Fifo,
}

/// The traffic of a queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueUsage {
    /// Messages, each sent in a separate call.
    pub sent: f64,
    /// Receive calls. A delete call follows each.
    pub receives: f64,
    /// Messages in one receive call.
    pub receive_batch: f64,
    pub message_bytes: f64,
}

/// The requests to send, receive and delete messages.
#[must_use]
pub fn queue(prices: &Prices, queue_type: QueueType, usage: QueueUsage) -> LineItem {
    let requests_for = |bytes: f64| (bytes / SQS_REQUEST_BYTES).ceil();
    let receive_bytes = usage.receive_batch * usage.message_bytes;
    // A batch is deleted by its receipt handles, which fit in one request.
    let requests = usage.sent * requests_for(usage.message_bytes)
        + usage.receives * (requests_for(receive_bytes) + 1.0);
    let price = match queue_type {
        QueueType::Standard => &prices.sqs_standard_requests,
        QueueType::Fifo => &prices.sqs_fifo_requests,
    };
    LineItem::new("SQS", "requests", requests, price)
}

/// GB-seconds of a function with this much memory.
#[must_use]
pub fn gb_seconds(seconds: f64, memory_mb: f64) -> f64 {
    seconds * memory_mb / 1_024.0
}

/// Invocations and their duration.
#[must_use]
pub fn functions(prices: &Prices, invocations: f64, gb_seconds: f64) -> [LineItem; 2] {
    [
        LineItem::new("Lambda", "requests", invocations, &prices.lambda_requests),
        LineItem::new(
            "Lambda",
            "GB-seconds",
            gb_seconds,
            &prices.lambda_gb_seconds,
        ),
    ]
}

/// Write units of an item. A condition that is false consumes as many as the write would have (DynamoDB developer guide,
/// "Working with items").
#[must_use]
pub fn write_units(item_bytes: f64) -> f64 {
    (item_bytes / WRITE_UNIT_BYTES).ceil()
}

/// Writes to the table. `what` tells several kinds of writes apart.
#[must_use]
pub fn writes(prices: &Prices, what: &'static str, units: f64) -> LineItem {
    LineItem::new("DynamoDB", what, units, &prices.dynamodb_write_units)
}

/// Capacity mode of the notification stream.
#[derive(Debug, Clone, Copy)]
pub enum StreamCapacity {
    OnDemand { hours: f64 },
    Provisioned { shard_hours: f64 },
}

/// The notification stream: its capacity, and records that are written once and read once.
#[must_use]
pub fn stream(
    prices: &Prices,
    capacity: StreamCapacity,
    records: f64,
    record_bytes: f64,
) -> Vec<LineItem> {
    let item = |what, quantity, price| LineItem::new("Kinesis", what, quantity, price);
    match capacity {
        StreamCapacity::OnDemand { hours } => {
            let chunks = (record_bytes / RECORD_CHUNK_BYTES).ceil();
            let written = records * chunks * RECORD_CHUNK_BYTES / GB;
            let read = records * record_bytes / GB;
            vec![
                item("stream-hours", hours, &prices.kinesis_stream_hours),
                item("GB written", written, &prices.kinesis_gb_in),
                item("GB read", read, &prices.kinesis_gb_out),
            ]
        }
        StreamCapacity::Provisioned { shard_hours } => {
            let units = records * (record_bytes / PUT_UNIT_BYTES).ceil();
            vec![
                item("shard-hours", shard_hours, &prices.kinesis_shard_hours),
                item("PUT payload units", units, &prices.kinesis_put_units),
            ]
        }
    }
}

/// The logs of invocations.
#[must_use]
pub fn logs(prices: &Prices, invocations: f64, bytes_of_one: f64) -> LineItem {
    let gigabytes = invocations * bytes_of_one / GB;
    LineItem::new("CloudWatch", "GB of logs", gigabytes, &prices.logs_gb)
}

/// A month of storage in the table and in its point-in-time recovery.
#[must_use]
pub fn storage(prices: &Prices, bytes: f64) -> Vec<LineItem> {
    let gigabytes = bytes / GB;
    let item = |what, price| LineItem::new("DynamoDB", what, gigabytes, price);
    vec![
        item("GB stored", &prices.dynamodb_storage),
        item("GB in point-in-time recovery", &prices.dynamodb_recovery),
    ]
}
