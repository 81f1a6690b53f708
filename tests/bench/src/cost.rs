//! The cost of a million notifications from the queue to DONE, for each design: measured times of invocations, counted calls,
//! the sizes of items and events, and the cost model of `onewrite cost`.
//!
//! Batches are full and have the template's sizes, as in a busy pipeline; this is the cheapest case for every design. All
//! functions have the template's memory and the price of arm64.

use anyhow::Result;
use onewrite::item::PayloadCompression;
use onewrite_cost::{
    billing::{self, QueueType, QueueUsage, SQS_BATCH, StreamCapacity, gb_seconds},
    prices::Prices,
};

use crate::{
    figures::{BILLED, COST, COST_BY_PAYLOAD, Figures, INGEST_CALLS, WRITE_UNITS},
    measure::{
        COMPLETE_BATCH, FORWARD_BATCH, INGEST_BATCH, MEMORY_MB, batch_of, batch_with, stored,
    },
    payloads::{EIGHT_KB, ONE_KB, PayloadSets, Payloads},
    peer::{
        COMPLETE, DOUBLE_WRITE, FORWARD, INGEST, INGEST_PLAIN, NODE, NODE_FORWARD, PYTHON,
        PYTHON_FORWARD, SAMPLE_ALL, SAMPLE_FORWARD,
    },
    sizes::{Sizes, Storage},
};

/// This project's design.
pub const ONEWRITE: &str = "onewrite";
/// The same with `PayloadCompression=never`.
pub const UNCOMPRESSED: &str = "onewrite, not compressed";
/// With a pipe instead of `forward`.
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

/// Bytes of one request of a pipe (EventBridge pricing, "Pipes"). Requests are calculated from the bytes of a full batch; if each
/// event counts separately, a pipe is more expensive.
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
    storage: Storage,
    publishing: Publishing,
    /// Writes of the notification by the function that handles the message. Its other calls for each message write
    /// idempotency records of one write unit.
    writes: f64,
}

const DESIGNS: [Design; 8] = {
    const fn design(name: &'static str, ingest: &'static str, forward: &'static str) -> Design {
        Design {
            name,
            ingest,
            storage: Storage::Peer,
            publishing: Publishing::By(forward),
            writes: 1.0,
        }
    }
    const fn own(name: &'static str, ingest: &'static str, how: PayloadCompression) -> Design {
        Design {
            storage: Storage::Own(how),
            ..design(name, ingest, FORWARD)
        }
    }
    [
        own(ONEWRITE, INGEST, PayloadCompression::Auto),
        own(UNCOMPRESSED, INGEST_PLAIN, PayloadCompression::Never),
        // A pipe does not decompress.
        Design {
            publishing: Publishing::Pipe,
            ..own(WITH_PIPES, INGEST_PLAIN, PayloadCompression::Never)
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

/// Adds write units and cost of each design for each kind of payload, as far as its functions were measured.
///
/// # Errors
/// If the price table cannot be parsed.
pub fn calculate(figures: &mut Figures, payloads: &PayloadSets) -> Result<()> {
    let prices = Prices::built_in()?;
    for payloads in payloads.all() {
        let name = payloads.name;
        for design in &DESIGNS {
            let sizes = payloads.texts().iter();
            let sizes: Vec<_> = sizes
                .filter_map(|text| design.storage.sizes(text))
                .collect();
            let Some(units) = design.write_units(figures, &sizes) else {
                continue;
            };
            figures.add(WRITE_UNITS, name, design.name, &[units]);
            let Some(items) = design.bill(figures, &prices, payloads, &sizes) else {
                continue;
            };
            let total: f64 = items.iter().map(|(_, usd)| usd).sum();
            figures.add(COST_BY_PAYLOAD, name, design.name, &[total]);
            if name == ONE_KB {
                for (service, usd) in items.into_iter().chain([(ALL, total)]) {
                    figures.add(COST, service, design.name, &[usd]);
                }
            }
        }
    }
    Ok(())
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

impl Design {
    /// Write units of a notification. Every design writes INIT and DONE. `None` if the other calls were not counted.
    fn write_units(&self, figures: &Figures, sizes: &[Sizes]) -> Option<f64> {
        let idempotency_writes = match self.storage {
            Storage::Own(_) => 0.0,
            Storage::Peer => {
                let calls = figures.get(INGEST_CALLS, &batch_of(INGEST_BATCH), self.ingest)?;
                let puts = f64::from(u8::from(self.publishes_itself()));
                (calls.median - self.writes - puts).max(0.0)
            }
        };
        Some(mean(sizes.iter().map(Sizes::write_units)) + idempotency_writes)
    }

    /// US dollars by service. `None` if a function was not measured.
    fn bill(
        &self,
        figures: &Figures,
        prices: &Prices,
        payloads: &Payloads,
        sizes: &[Sizes],
    ) -> Option<Vec<(&'static str, f64)>> {
        let mut lambda = 0.0;
        for function in self.functions() {
            let (invocations, gb_seconds) = function.usage(figures, payloads)?;
            let (invocations, gb_seconds) =
                (NOTIFICATIONS * invocations, NOTIFICATIONS * gb_seconds);
            lambda += billing::total(&billing::functions(prices, invocations, gb_seconds));
        }
        let units = self.write_units(figures, sizes)?;
        let writes = billing::writes(prices, "write units", NOTIFICATIONS * units);
        Some(vec![
            (
                "SQS",
                mean(sizes.iter().map(|sizes| queue_usd(prices, sizes))),
            ),
            ("Lambda", lambda),
            (writes.service, writes.usd),
            (
                "Pipes",
                mean(sizes.iter().map(|sizes| self.pipe_usd(prices, sizes))),
            ),
            (
                "Kinesis",
                mean(sizes.iter().map(|sizes| self.stream_usd(prices, sizes))),
            ),
        ])
    }

    fn publishes_itself(&self) -> bool {
        matches!(self.publishing, Publishing::Ingest)
    }

    fn stream_usd(&self, prices: &Prices, sizes: &Sizes) -> f64 {
        let records = if self.publishes_itself() {
            1.0
        } else {
            CHANGES
        };
        // Hourly charges of the stream do not depend on the number of notifications.
        let capacity = StreamCapacity::OnDemand { hours: 0.0 };
        let items = billing::stream(prices, capacity, NOTIFICATIONS * records, sizes.record);
        billing::total(&items)
    }

    fn pipe_usd(&self, prices: &Prices, sizes: &Sizes) -> f64 {
        match self.publishing {
            Publishing::Pipe => {
                // A change to DONE has the old and the new item.
                let bytes = 2.0 * sizes.change + sizes.settled_item;
                let requests = NOTIFICATIONS * bytes / PIPE_REQUEST_BYTES;
                prices.pipes_requests.usd_for(requests)
            }
            Publishing::By(_) | Publishing::Ingest => 0.0,
        }
    }

    fn functions(&self) -> Vec<Function> {
        let function = |peer, batch, records| Function {
            peer,
            batch,
            records,
            compression: PayloadCompression::Never,
        };
        let ingest = function(self.ingest, INGEST_BATCH, 1.0);
        let forward = |peer| Function {
            compression: self.storage.compression(),
            ..function(peer, FORWARD_BATCH, CHANGES)
        };
        let complete = function(COMPLETE, COMPLETE_BATCH, 1.0);
        match self.publishing {
            Publishing::By(peer) => vec![ingest, forward(peer), complete],
            Publishing::Pipe => vec![ingest, complete],
            Publishing::Ingest => vec![ingest],
        }
    }
}

/// SQS: each message is sent in a separate call, and received and deleted in full batches.
fn queue_usd(prices: &Prices, sizes: &Sizes) -> f64 {
    let queue = QueueUsage {
        sent: NOTIFICATIONS,
        receives: NOTIFICATIONS / SQS_BATCH as f64,
        receive_batch: SQS_BATCH as f64,
        message_bytes: sizes.message,
    };
    billing::queue(prices, QueueType::Standard, queue).usd
}

/// A function of a design, and the number of its records for each notification.
struct Function {
    peer: &'static str,
    batch: usize,
    records: f64,
    /// How the items are stored that it processes.
    compression: PayloadCompression,
}

impl Function {
    /// Invocations and GB-seconds for each notification. `None` if the function was not measured.
    fn usage(&self, figures: &Figures, payloads: &Payloads) -> Option<(f64, f64)> {
        let invocations = self.records / self.batch as f64;
        let seconds = invocations * self.millis(figures, payloads)? / 1e3;
        Some((invocations, gb_seconds(seconds, MEMORY_MB as f64)))
    }

    /// The billed duration with these payloads. Of the synthetic ones, two sizes are measured; the others are on a straight
    /// line through them.
    fn millis(&self, figures: &Figures, payloads: &Payloads) -> Option<f64> {
        let measured = |payloads: &str| {
            let case = stored(&batch_with(self.batch, payloads), self.compression);
            Some(figures.get(BILLED, &case, self.peer)?.median)
        };
        let millis = measured(payloads.name).or_else(|| {
            let bytes = payloads.synthetic_bytes?;
            let (small, large) = (measured(ONE_KB)?, measured(EIGHT_KB)?);
            let part = (bytes as f64 - 1_024.0) / (8_192.0 - 1_024.0);
            Some((small + (large - small) * part).max(0.0))
        })?;
        // Billed durations are rounded up to a millisecond (Lambda pricing).
        Some(millis.ceil())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results in which every function takes this long for 1 KB and three times as long for 8 KB, and `ingest` makes this many
    /// calls per message.
    fn figures(peers: &[(&'static str, f64)], millis: f64) -> Figures {
        let mut figures = Figures::default();
        for (peer, calls) in peers {
            figures.add(INGEST_CALLS, batch_of(INGEST_BATCH), peer, &[*calls]);
            for batch in [INGEST_BATCH, FORWARD_BATCH, COMPLETE_BATCH] {
                for compression in [PayloadCompression::Auto, PayloadCompression::Never] {
                    for (payloads, times) in [(ONE_KB, 1.0), (EIGHT_KB, 3.0)] {
                        let case = stored(&batch_with(batch, payloads), compression);
                        figures.add(BILLED, case, peer, &[times * millis]);
                    }
                }
            }
        }
        calculate(&mut figures, &PayloadSets::new(None)).unwrap();
        figures
    }

    const OWN: [(&str, f64); 4] = [
        (INGEST, 1.0),
        (INGEST_PLAIN, 1.0),
        (FORWARD, 1.0),
        (COMPLETE, 1.0),
    ];

    #[test]
    fn cost_follows_from_calls_times_and_prices() {
        let figures = figures(&OWN, 7.2);
        let of = |position, design| figures.get(COST, position, design).unwrap().median;
        // 100,000 + 4,000 + 10,000 invocations of 8 ms at 256 MB.
        let lambda = 114_000.0 * (0.20 / 1e6 + 0.008 * 0.25 * 0.000_013_333_4);
        let actual = of("Lambda", ONEWRITE);
        assert!((actual - lambda).abs() < 1e-9, "{actual}");
        assert!((of("SQS", ONEWRITE) - 1.2 * 0.40).abs() < 1e-9);
        // An item with 1 KB of text has more than 1 KB: two units for INIT, two for DONE.
        assert_eq!(of("DynamoDB", UNCOMPRESSED), 4.0 * 0.625);
        assert_eq!(of("DynamoDB", ONEWRITE), 2.0 * 0.625);
        assert!(of("Kinesis", ONEWRITE) > 0.0 && of("Pipes", ONEWRITE) == 0.0);
        let services =
            ["SQS", "Lambda", "DynamoDB", "Kinesis"].map(|service| of(service, ONEWRITE));
        let sum: f64 = services.iter().sum();
        assert!((of(ALL, ONEWRITE) - sum).abs() < 1e-9);
        let by_payload = figures.get(COST_BY_PAYLOAD, ONE_KB, ONEWRITE);
        assert_eq!(by_payload.unwrap().median, of(ALL, ONEWRITE));
        assert!(of("Pipes", WITH_PIPES) > 0.0);
        assert_eq!(of("DynamoDB", WITH_PIPES), 4.0 * 0.625);
        assert_eq!(figures.get(COST, ALL, POWERTOOLS), None);
    }

    #[test]
    fn write_units_need_no_measurement_of_the_functions() {
        let mut figures = Figures::default();
        calculate(&mut figures, &PayloadSets::new(None)).unwrap();
        let units = |payloads, design| figures.get(WRITE_UNITS, payloads, design);
        assert_eq!(units("200 B", ONEWRITE).unwrap().median, 2.0);
        assert_eq!(units(EIGHT_KB, UNCOMPRESSED).unwrap().median, 18.0);
        assert_eq!(units(ONE_KB, POWERTOOLS), None);
        assert_eq!(figures.get(COST_BY_PAYLOAD, ONE_KB, ONEWRITE), None);
    }

    #[test]
    fn times_between_two_measured_sizes_are_on_a_straight_line() {
        let figures = figures(&OWN, 10.0);
        let ingest = Function {
            peer: INGEST,
            batch: INGEST_BATCH,
            records: 1.0,
            compression: PayloadCompression::Never,
        };
        let millis = |name, bytes| {
            let payloads = Payloads::synthetic(name, bytes);
            ingest.millis(&figures, &payloads)
        };
        assert_eq!(millis(ONE_KB, 1_024), Some(10.0));
        assert_eq!(millis("half", (1_024 + 8_192) / 2), Some(20.0));
        assert_eq!(millis(EIGHT_KB, 8_192), Some(30.0));
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
        assert_eq!(of("DynamoDB", POWERTOOLS), 6.0 * 0.625);
        assert_eq!(of("DynamoDB", DOUBLE), 4.0 * 0.625);
        let (one, two) = (of("Kinesis", DOUBLE), of("Kinesis", POWERTOOLS));
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
