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
pub(crate) const GB: f64 = KB * KB * KB;

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

/// The kind of the queue: the template's `QueueType`, or a standard queue whose messages have a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    Standard,
    /// A fair queue: a standard queue whose senders set `MessageGroupId`.
    Fair,
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
        QueueType::Standard | QueueType::Fair => &prices.sqs_standard_requests,
        QueueType::Fifo => &prices.sqs_fifo_requests,
    };
    let mut item = LineItem::new("SQS", "requests", requests, price);
    if queue_type == QueueType::Fair {
        item.usd += prices.sqs_fair_requests.usd_for(requests);
    }
    item
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
    let mut items = vec![stream_hours(prices, capacity)];
    items.extend(stream_records(prices, capacity, records, record_bytes));
    items
}

/// The capacity of the notification stream.
#[must_use]
pub fn stream_hours(prices: &Prices, capacity: StreamCapacity) -> LineItem {
    let (what, hours, price) = match capacity {
        StreamCapacity::OnDemand { hours } => ("stream-hours", hours, &prices.kinesis_stream_hours),
        StreamCapacity::Provisioned { shard_hours } => {
            ("shard-hours", shard_hours, &prices.kinesis_shard_hours)
        }
    };
    LineItem::new("Kinesis", what, hours, price)
}

/// Records that are written once to the notification stream and read once.
#[must_use]
pub fn stream_records(
    prices: &Prices,
    capacity: StreamCapacity,
    records: f64,
    record_bytes: f64,
) -> Vec<LineItem> {
    let item = |what, quantity, price| LineItem::new("Kinesis", what, quantity, price);
    match capacity {
        StreamCapacity::OnDemand { .. } => {
            let StreamVolume { written, read } = on_demand_gb(records, record_bytes);
            vec![
                item("GB written", written, &prices.kinesis_gb_in),
                item("GB read", read, &prices.kinesis_gb_out),
            ]
        }
        StreamCapacity::Provisioned { .. } => {
            let units = records * (record_bytes / PUT_UNIT_BYTES).ceil();
            vec![item("PUT payload units", units, &prices.kinesis_put_units)]
        }
    }
}

/// What on-demand mode bills, in GB.
pub(crate) struct StreamVolume {
    pub(crate) written: f64,
    pub(crate) read: f64,
}

pub(crate) fn on_demand_gb(records: f64, record_bytes: f64) -> StreamVolume {
    let chunks = (record_bytes / RECORD_CHUNK_BYTES).ceil();
    StreamVolume {
        written: records * chunks * RECORD_CHUNK_BYTES / GB,
        read: records * record_bytes / GB,
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
