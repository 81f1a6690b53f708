//! The cost of a million notifications of 1 KB from the queue to DONE, for each design: measured times of invocations, counted
//! calls, and the cost model of `onewrite cost`.
//!
//! Batches are full and have the template's sizes, as in a busy pipeline; this is the cheapest case for every design. All
//! functions have the template's memory and the price of arm64.

use anyhow::Result;
use onewrite::event::NotificationEvent;
use onewrite_cost::{
    billing::{self, QueueType, QueueUsage, SQS_BATCH, StreamCapacity, gb_seconds, write_units},
    prices::Prices,
};

use crate::{
    events::{self, Ids},
    figures::{BILLED, COST, Figures, INGEST_CALLS, WRITE_UNITS},
    measure::{MEMORY_MB, PAYLOAD, batch_of},
    peer::{
        COMPLETE, DOUBLE_WRITE, FORWARD, INGEST, NODE, NODE_FORWARD, PYTHON, PYTHON_FORWARD,
        SAMPLE_ALL, SAMPLE_FORWARD,
    },
};

/// Batch size of `ingest` in the template.
pub const INGEST_BATCH: usize = 10;
/// Batch size of `forward` in the template.
pub const FORWARD_BATCH: usize = 500;
/// Batch size of `complete` in the template.
pub const COMPLETE_BATCH: usize = 100;

/// This project's design.
pub const ONEWRITE: &str = "onewrite";
/// The same, with a pipe instead of `forward`.
pub const WITH_PIPES: &str = "onewrite, Pipes for forward";
/// Idempotency with a separate table.
pub const POWERTOOLS: &str = "Python, Powertools";
/// Write INIT, send, and write DONE.
pub const DOUBLE: &str = "Python, double write";
/// The case of the total.
pub const ALL: &str = "all";

/// Number of notifications.
const NOTIFICATIONS: f64 = 1e6;
/// Changes of each notification, INIT and DONE. Each is an event.
const CHANGES: f64 = 2.0;

/// US dollars for a million requests of a pipe in us-east-1, 2026-11 (EventBridge pricing, "Pipes"), and bytes of a request.
/// Requests are calculated from the bytes of a batch; if each event counts separately, a pipe is more expensive.
const PIPE_REQUESTS_USD: f64 = 0.40;
const PIPE_REQUEST_BYTES: f64 = 64.0 * 1_024.0;

/// What publishes changes to the stream.
enum Publishing {
    /// A function.
    By(&'static str),
    /// EventBridge Pipes.
    Pipe,
    /// The function that handles the message. It also writes DONE.
    Ingest,
}

/// A way from the queue to DONE.
struct Design {
    name: &'static str,
    ingest: &'static str,
    publishing: Publishing,
    /// Writes of the notification by the function that handles the message. Its other calls for each message write
    /// idempotency records of one write unit.
    writes: f64,
}

const DESIGNS: [Design; 7] = {
    const fn design(name: &'static str, ingest: &'static str, forward: &'static str) -> Design {
        Design {
            name,
            ingest,
            publishing: Publishing::By(forward),
            writes: 1.0,
        }
    }
    [
        design(ONEWRITE, INGEST, FORWARD),
        Design {
            publishing: Publishing::Pipe,
            ..design(WITH_PIPES, INGEST, FORWARD)
        },
        design("Rust samples", SAMPLE_ALL, SAMPLE_FORWARD),
        design(POWERTOOLS, PYTHON, PYTHON_FORWARD),
        design("Node, Powertools", NODE, NODE_FORWARD),
        design("Node, Powertools, onewrite forward", NODE, FORWARD),
        Design {
            publishing: Publishing::Ingest,
            writes: 2.0,
            ..design(DOUBLE, DOUBLE_WRITE, FORWARD)
        },
    ]
};

/// The cost of all notifications with a design.
struct Bill {
    /// Write units of one notification.
    units: f64,
    /// US dollars by service.
    items: Vec<(&'static str, f64)>,
}

/// Adds the cost of each design whose functions were measured.
///
/// # Errors
/// If the price table cannot be parsed.
pub fn calculate(figures: &mut Figures) -> Result<()> {
    let prices = Prices::built_in()?;
    for design in &DESIGNS {
        let Some(Bill { units, items }) = design.bill(figures, &prices) else {
            continue;
        };
        figures.add(WRITE_UNITS, ALL, design.name, &[units]);
        let total: f64 = items.iter().map(|(_, usd)| usd).sum();
        for (service, usd) in items.into_iter().chain([(ALL, total)]) {
            figures.add(COST, service, design.name, &[usd]);
        }
    }
    Ok(())
}

impl Design {
    /// `None` if a function was not measured.
    fn bill(&self, figures: &Figures, prices: &Prices) -> Option<Bill> {
        let calls = figures.get(INGEST_CALLS, &batch_of(INGEST_BATCH), self.ingest)?;
        let mut lambda = 0.0;
        for function in self.functions() {
            let (invocations, gb_seconds) = function.usage(figures)?;
            let (invocations, gb_seconds) =
                (NOTIFICATIONS * invocations, NOTIFICATIONS * gb_seconds);
            lambda += billing::total(&billing::functions(prices, invocations, gb_seconds));
        }
        let (id, payload) = events::sample(PAYLOAD);
        let item = events::item(&id, &payload);
        let item_bytes = item.bytes() as f64;
        let record = (NotificationEvent::from_item(&item).to_json().len() + id.len()) as f64;
        let queue = QueueUsage {
            sent: NOTIFICATIONS,
            receives: NOTIFICATIONS / SQS_BATCH as f64,
            receive_batch: SQS_BATCH as f64,
            message_bytes: events::body(&id, &payload).len() as f64,
        };

        let publishes_itself = matches!(self.publishing, Publishing::Ingest);
        let puts = if publishes_itself { 1.0 } else { 0.0 };
        let idempotency_writes = (calls.median - self.writes - puts).max(0.0);
        // Every design writes INIT and DONE.
        let units = 2.0 * write_units(item_bytes) + idempotency_writes;
        let records = if publishes_itself { 1.0 } else { CHANGES };
        // Hourly charges of the stream do not depend on the number of notifications.
        let capacity = StreamCapacity::OnDemand { hours: 0.0 };
        let stream = billing::stream(prices, capacity, NOTIFICATIONS * records, record);
        let queue = billing::queue(prices, QueueType::Standard, queue);
        let writes = billing::writes(prices, "write units", NOTIFICATIONS * units);
        let items = vec![
            (queue.service, queue.usd),
            ("Lambda", lambda),
            (writes.service, writes.usd),
            ("Pipes", self.pipe_usd(item_bytes)),
            ("Kinesis", billing::total(&stream)),
        ];
        Some(Bill { units, items })
    }

    fn pipe_usd(&self, item_bytes: f64) -> f64 {
        match self.publishing {
            Publishing::Pipe => {
                let init = events::stream(1, Ids::Distinct, PAYLOAD).len() as f64;
                // A change to DONE has the old and the new item.
                let done = init + item_bytes;
                NOTIFICATIONS * (init + done) / PIPE_REQUEST_BYTES * PIPE_REQUESTS_USD / 1e6
            }
            Publishing::By(_) | Publishing::Ingest => 0.0,
        }
    }

    fn functions(&self) -> Vec<Function> {
        let ingest = Function {
            peer: self.ingest,
            batch: INGEST_BATCH,
            records: 1.0,
        };
        let forward = |peer| Function {
            peer,
            batch: FORWARD_BATCH,
            records: CHANGES,
        };
        let complete = Function {
            peer: COMPLETE,
            batch: COMPLETE_BATCH,
            records: 1.0,
        };
        match self.publishing {
            Publishing::By(peer) => vec![ingest, forward(peer), complete],
            Publishing::Pipe => vec![ingest, complete],
            Publishing::Ingest => vec![ingest],
        }
    }
}

/// A function of a design, and the number of its records for each notification.
struct Function {
    peer: &'static str,
    batch: usize,
    records: f64,
}

impl Function {
    /// Invocations and GB-seconds for each notification. `None` if the function was not measured.
    fn usage(&self, figures: &Figures) -> Option<(f64, f64)> {
        let time = figures.get(BILLED, &batch_of(self.batch), self.peer)?;
        let invocations = self.records / self.batch as f64;
        // Billed durations are rounded up to a millisecond (Lambda pricing).
        let seconds = invocations * time.median.ceil() / 1e3;
        Some((invocations, gb_seconds(seconds, MEMORY_MB as f64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results in which every function takes this long, and `ingest` makes this many calls per message.
    fn figures(peers: &[(&'static str, f64)], millis: f64) -> Figures {
        let mut figures = Figures::default();
        for (peer, calls) in peers {
            figures.add(INGEST_CALLS, batch_of(INGEST_BATCH), peer, &[*calls]);
            for batch in [INGEST_BATCH, FORWARD_BATCH, COMPLETE_BATCH] {
                figures.add(BILLED, batch_of(batch), peer, &[millis]);
            }
        }
        calculate(&mut figures).unwrap();
        figures
    }

    #[test]
    fn cost_follows_from_calls_times_and_prices() {
        let figures = figures(&[(INGEST, 1.0), (FORWARD, 1.0), (COMPLETE, 1.0)], 7.2);
        let of = |position| figures.get(COST, position, "onewrite").unwrap().median;
        // 100,000 + 4,000 + 10,000 invocations of 8 ms at 256 MB.
        let lambda = 114_000.0 * (0.20 / 1e6 + 0.008 * 0.25 * 0.000_013_333_4);
        assert!((of("Lambda") - lambda).abs() < 1e-9, "{}", of("Lambda"));
        // An item of 1 KB of payload has more than 1 KB: two units for INIT, two for DONE.
        assert_eq!(of("DynamoDB"), 4.0 * 0.625);
        assert_eq!(figures.get(WRITE_UNITS, ALL, ONEWRITE).unwrap().median, 4.0);
        assert!((of("SQS") - 1.2 * 0.40).abs() < 1e-9);
        assert!(of("Kinesis") > 0.0 && of("Pipes") == 0.0);
        let sum = of("SQS") + of("Lambda") + of("DynamoDB") + of("Kinesis");
        assert!((of("all") - sum).abs() < 1e-9);
        let piped = figures.get(COST, "Pipes", "onewrite, Pipes for forward");
        assert!(piped.unwrap().median > 0.0);
        assert_eq!(figures.get(COST, "all", "Python, Powertools"), None);
    }

    #[test]
    fn idempotency_costs_writes_and_double_write_saves_records() {
        let peers = [
            (PYTHON, 3.0),
            (PYTHON_FORWARD, 1.0),
            (COMPLETE, 1.0),
            (DOUBLE_WRITE, 3.0),
        ];
        let figures = figures(&peers, 100.0);
        let of = |position, design| figures.get(COST, position, design).unwrap().median;
        assert_eq!(of("DynamoDB", "Python, Powertools"), 6.0 * 0.625);
        assert_eq!(of("DynamoDB", "Python, double write"), 4.0 * 0.625);
        let (one, two) = (
            of("Kinesis", "Python, double write"),
            of("Kinesis", "Python, Powertools"),
        );
        assert!((2.0 * one - two).abs() < 1e-9);
    }

    #[test]
    fn memory_and_batch_sizes_match_the_template() {
        let template = include_str!("../../../template.yaml");
        let default = |parameter: &str| {
            let (_, behind) = template.split_once(&format!("\n  {parameter}:\n")).unwrap();
            let (_, default) = behind.split_once("Default: ").unwrap();
            default.lines().next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(default("FunctionMemoryMegabytes"), MEMORY_MB as usize);
        assert!(BILLED.name.contains(&format!("at {MEMORY_MB} MB")));
        assert_eq!(default("IngestBatchSize"), INGEST_BATCH);
        assert!(template.contains(&format!("\n      BatchSize: {FORWARD_BATCH} #")));
        assert!(template.contains(&format!("\n      BatchSize: {COMPLETE_BATCH} #")));
    }
}
