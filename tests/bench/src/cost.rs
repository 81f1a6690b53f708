//! What a million notifications of 1 KB cost from the queue to DONE, by each design: invocations by the time that was
//! measured, writes by the calls that were counted, and the table of prices that `onewrite cost` has.
//!
//! Batches are full ones of the template's sizes, which is how a busy pipeline runs and the cheapest way for each design
//! alike. All run at the template's memory and at the price of arm64.

use anyhow::{Context as _, Result};
use onewrite::event::NotificationEvent;
use serde_json::Value;

use crate::{
    contender::{
        COMPLETE, DOUBLE_WRITE, FORWARD, INGEST, INGEST_BATCHED, NODE, NODE_FORWARD, PYTHON,
        PYTHON_FORWARD, SAMPLE_ALL, SAMPLE_FORWARD,
    },
    events::{self, Ids},
    figures::{BILLED, COST, Figures, INGEST_CALLS, WRITE_UNITS},
    measure::{PAYLOAD, batch_of},
};

/// Memory of each function in the template, in MB.
pub const MEMORY_MB: u64 = 256;
/// Messages of a batch of `ingest` in the template.
pub const INGEST_BATCH: usize = 10;
/// Changes of a batch of `forward` in the template.
pub const FORWARD_BATCH: usize = 500;
/// Events of a batch of `complete` in the template.
pub const COMPLETE_BATCH: usize = 100;

/// This project's design.
pub const ONEWRITE: &str = "onewrite";
/// The same with a pipe in the place of `forward`.
pub const WITH_PIPES: &str = "onewrite, Pipes for forward";
/// Idempotency by a table of its own.
pub const POWERTOOLS: &str = "Python, Powertools";
/// INIT, send, DONE.
pub const DOUBLE: &str = "Python, double write";
/// The position of the sum.
pub const ALL: &str = "all";

/// How many notifications are reckoned.
const NOTIFICATIONS: f64 = 1e6;
/// Changes of each, INIT and DONE, each an event.
const CHANGES: f64 = 2.0;

/// US dollars for a million requests of a pipe, us-east-1, 2026-11 (EventBridge pricing, "Pipes"), and bytes of a
/// request. Requests are counted as if a batch were one text; where each event counts for itself, a pipe is dearer.
const PIPE_REQUESTS_USD: f64 = 0.40;
const PIPE_REQUEST_BYTES: f64 = 64.0 * KB;

/// Messages of one receive or delete, and bytes of a request (SQS quotas and pricing).
const SQS_BATCH: f64 = 10.0;
const SQS_REQUEST_BYTES: f64 = 64.0 * KB;
const KB: f64 = 1_024.0;
const GB: f64 = KB * KB * KB;

/// How changes come into the stream.
enum Publishing {
    /// By a function.
    By(&'static str),
    /// By EventBridge Pipes.
    Pipe,
    /// By who takes the message, who also writes DONE.
    Ingest,
}

/// A way from the queue to DONE.
struct Design {
    name: &'static str,
    ingest: &'static str,
    publishing: Publishing,
    /// Writes of the notification itself by who takes the message; what it calls beyond that for each message is a
    /// record of idempotency, of one write unit.
    writes: f64,
}

const DESIGNS: [Design; 8] = {
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
        design("onewrite, batched inserts", INGEST_BATCHED, FORWARD),
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

/// What a design costs.
struct Bill {
    /// Write units of one notification.
    units: f64,
    /// Positions of all notifications, in US dollars.
    positions: Vec<(&'static str, f64)>,
}

/// The table of prices that `onewrite cost` has.
struct Prices(Value);

impl Prices {
    fn read() -> Result<Self> {
        let json = include_str!("../../../infra/operator/src/cost/prices.json");
        Ok(Self(serde_json::from_str(json)?))
    }

    /// What so much of it costs, in US dollars.
    fn of(&self, what: &str, quantity: f64) -> Result<f64> {
        let price = &self.0[what];
        let number = |name| price[name].as_f64().context("no such price");
        Ok(quantity / number("per")? * number("usd")?)
    }
}

/// Adds the cost of each design whose parts were measured.
///
/// # Errors
/// The table of prices cannot be read, or has no such price.
pub fn reckon(figures: &mut Figures) -> Result<()> {
    let prices = Prices::read()?;
    for design in &DESIGNS {
        let Some(Bill { units, positions }) = design.reckon(figures, &prices)? else {
            continue;
        };
        figures.add(WRITE_UNITS, ALL, design.name, &[units]);
        let sum: f64 = positions.iter().map(|(_, usd)| usd).sum();
        for (position, usd) in positions.into_iter().chain([(ALL, sum)]) {
            figures.add(COST, position, design.name, &[usd]);
        }
    }
    Ok(())
}

impl Design {
    /// None where a part was not measured.
    fn reckon(&self, figures: &Figures, prices: &Prices) -> Result<Option<Bill>> {
        let calls = figures.get(INGEST_CALLS, &batch_of(INGEST_BATCH), self.ingest);
        let functions: Option<Vec<_>> = self
            .functions()
            .into_iter()
            .map(|function| function.invocations(figures))
            .collect();
        let (Some(calls), Some(functions)) = (calls, functions) else {
            return Ok(None);
        };
        let (id, payload) = events::sample(PAYLOAD);
        let item = events::item(&id, &payload);
        let message = events::body(&id, &payload).len() as f64;
        let record = (NotificationEvent::of_item(&item).to_json().len() + id.len()) as f64;
        let units_of = |bytes: f64| (bytes / KB).ceil();

        let publishes_itself = matches!(self.publishing, Publishing::Ingest);
        let puts = if publishes_itself { 1.0 } else { 0.0 };
        let small_writes = (calls.median - self.writes - puts).max(0.0);
        // INIT and DONE, whoever writes which.
        let units = 2.0 * units_of(item.bytes() as f64) + small_writes;
        let records = if publishes_itself { 1.0 } else { CHANGES };
        let receive = (SQS_BATCH * message / SQS_REQUEST_BYTES).ceil() / SQS_BATCH;

        let of = |what, quantity: f64| prices.of(what, NOTIFICATIONS * quantity);
        let mut lambda = 0.0;
        for (invocations, gb_seconds) in functions {
            lambda += of("lambda_requests", invocations)? + of("lambda_gb_seconds", gb_seconds)?;
        }
        let pipe = match self.publishing {
            Publishing::Pipe => {
                let init = events::stream(1, Ids::Distinct, PAYLOAD).len() as f64;
                // A change has the item as it was and as it is.
                let done = init + item.bytes() as f64;
                NOTIFICATIONS * (init + done) / PIPE_REQUEST_BYTES * PIPE_REQUESTS_USD / 1e6
            }
            Publishing::By(_) | Publishing::Ingest => 0.0,
        };
        let kinesis = of("kinesis_gb_in", records * units_of(record) * KB / GB)?
            + of("kinesis_gb_out", records * record / GB)?;
        // Sent, received, deleted.
        let requests = 1.0 + receive + 1.0 / SQS_BATCH;
        let positions = vec![
            ("SQS", of("sqs_standard_requests", requests)?),
            ("Lambda", lambda),
            ("DynamoDB", of("dynamodb_write_units", units)?),
            ("Pipes", pipe),
            ("Kinesis", kinesis),
        ];
        Ok(Some(Bill { units, positions }))
    }

    fn functions(&self) -> Vec<Function> {
        let ingest = Function {
            contender: self.ingest,
            batch: INGEST_BATCH,
            records: 1.0,
        };
        let forward = |contender| Function {
            contender,
            batch: FORWARD_BATCH,
            records: CHANGES,
        };
        let complete = Function {
            contender: COMPLETE,
            batch: COMPLETE_BATCH,
            records: 1.0,
        };
        match self.publishing {
            Publishing::By(contender) => vec![ingest, forward(contender), complete],
            Publishing::Pipe => vec![ingest, complete],
            Publishing::Ingest => vec![ingest],
        }
    }
}

/// A function of a design, and how many records of each notification it is given.
struct Function {
    contender: &'static str,
    batch: usize,
    records: f64,
}

impl Function {
    /// Invocations and GB-seconds for each notification; none where it was not measured.
    fn invocations(&self, figures: &Figures) -> Option<(f64, f64)> {
        let time = figures.get(BILLED, &batch_of(self.batch), self.contender)?;
        let invocations = self.records / self.batch as f64;
        // Billed by the millisecond that was begun (Lambda pricing).
        let seconds = invocations * time.median.ceil() / 1e3;
        Some((invocations, seconds * MEMORY_MB as f64 / 1_024.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every function takes this long, and every message of `ingest` makes so many calls.
    fn figures(contenders: &[(&'static str, f64)], millis: f64) -> Figures {
        let mut figures = Figures::default();
        for (contender, calls) in contenders {
            figures.add(INGEST_CALLS, batch_of(INGEST_BATCH), contender, &[*calls]);
            for batch in [INGEST_BATCH, FORWARD_BATCH, COMPLETE_BATCH] {
                figures.add(BILLED, batch_of(batch), contender, &[millis]);
            }
        }
        reckon(&mut figures).unwrap();
        figures
    }

    #[test]
    fn a_sum_is_of_calls_time_and_prices() {
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
    fn idempotency_and_the_double_write_are_paid_for() {
        let contenders = [
            (PYTHON, 3.0),
            (PYTHON_FORWARD, 1.0),
            (COMPLETE, 1.0),
            (DOUBLE_WRITE, 3.0),
        ];
        let figures = figures(&contenders, 100.0);
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
    fn memory_and_batches_are_those_of_the_template() {
        let template = include_str!("../../../template.yaml");
        let default = |parameter: &str| {
            let (_, behind) = template.split_once(&format!("\n  {parameter}:\n")).unwrap();
            let (_, default) = behind.split_once("Default: ").unwrap();
            default.lines().next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(default("IngestMemoryMegabytes"), MEMORY_MB as usize);
        assert_eq!(default("StreamFunctionMemoryMegabytes"), MEMORY_MB as usize);
        assert!(BILLED.name.contains(&format!("at {MEMORY_MB} MB")));
        assert_eq!(default("IngestBatchSize"), INGEST_BATCH);
        assert_eq!(default("ForwardBatchSize"), FORWARD_BATCH);
        assert_eq!(default("CompleteBatchSize"), COMPLETE_BATCH);
    }
}
