//! Results: minimum, median and maximum of all runs for each figure, case and peer.

use serde::Serialize;

/// The spread of several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub minimum: f64,
    /// The value that is reported and compared with the goals.
    pub median: f64,
    pub maximum: f64,
    /// Number of runs.
    pub runs: usize,
}

impl Spread {
    /// `None` if there are no samples.
    #[must_use]
    pub fn from_samples(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            minimum,
            median,
            maximum,
            runs: sorted.len(),
        })
    }
}

/// One figure of one peer in one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    pub figure: Figure,
    /// The condition, for example the batch size.
    pub case: String,
    #[serde(rename = "contender")]
    pub peer: &'static str,
    pub spread: Spread,
}

/// A figure and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $unit:literal;)*) => {
        $($(#[$doc])* pub const $constant: Figure = Figure { name: $name, unit: $unit };)*
        /// All figures, in the order in which they are reported.
        pub const ALL: &[Figure] = &[$($constant),*];
    };
}

figures! {
    /// From the start of the process to its first response, one message.
    COLD_START = "cold start", "ms";
    /// From the start of the process to its first request for an event.
    INITIALISATION = "initialisation", "ms";
    /// Peak memory during the cold start.
    MEMORY = "peak memory", "MiB";
    /// Size of the program.
    PROGRAM = "program", "MB";
    /// CPU time of a warm function by batch size.
    INGEST_CPU = "ingest: CPU per message", "µs";
    /// From the event to the response for a batch of ten, with five milliseconds per call to DynamoDB.
    INGEST_WALL = "ingest: time of a batch of 10, 5 ms per call", "ms";
    /// TLS connections of a new process.
    CONNECTIONS = "ingest: connections opened for a first event of 10", "";
    /// Number of calls to AWS.
    INGEST_CALLS = "ingest: calls per message", "";
    /// CPU time of a warm function by payload.
    FORWARD_BATCH_CPU = "forward: CPU per record, batch of 500", "µs";
    /// CPU time of a warm function by batch size, for small records.
    FORWARD_CPU = "forward: CPU per record of 64 B", "µs";
    /// Number of calls to AWS.
    FORWARD_CALLS = "forward: calls per record", "";
    /// CPU time of a warm function by batch size.
    COMPLETE_CPU = "complete: CPU per notification", "µs";
    /// Number of calls to AWS.
    COMPLETE_CALLS = "complete: calls per notification", "";
    /// From the event to the response for a batch of the template's size, with the CPU share of the template's memory.
    BILLED = "time of an invocation at 256 MB, 5 ms per call", "ms";
    /// By service; the peers are designs.
    COST = "cost of a million notifications of 1 KB, from the queue to DONE", "USD";
    /// By payload; the peers are designs.
    COST_BY_PAYLOAD = "cost of a million notifications, from the queue to DONE", "USD";
    /// Write units of all tables by payload; the peers are designs.
    WRITE_UNITS = "write units of a notification, from the queue to DONE", "";
    /// Peak memory of the processes whose CPU time was measured.
    WARM_MEMORY = "peak memory after many batches", "MiB";
    /// CPU usage of the benchmark itself while the functions work.
    BENCH_SHARE = "CPU usage of the benchmark itself", "%";
}

/// All results.
#[derive(Debug, Default)]
pub struct Figures(Vec<Measurement>);

impl Figures {
    /// Adds the samples of a peer. Does nothing if there are none.
    pub fn add(
        &mut self,
        figure: Figure,
        case: impl Into<String>,
        peer: &'static str,
        samples: &[f64],
    ) {
        let measured = Spread::from_samples(samples).map(|spread| Measurement {
            figure,
            case: case.into(),
            peer,
            spread,
        });
        self.0.extend(measured);
    }

    /// All measurements in order.
    #[must_use]
    pub fn all(&self) -> &[Measurement] {
        &self.0
    }

    /// The spread of one measurement.
    #[must_use]
    pub fn get(&self, figure: Figure, case: &str, peer: &str) -> Option<Spread> {
        let matches = |measured: &&Measurement| {
            measured.figure == figure && measured.case == case && measured.peer == peer
        };
        Some(self.0.iter().find(matches)?.spread)
    }

    /// The cases and the peers of a figure, in the order of measurement.
    #[must_use]
    pub fn cases_and_peers(&self, figure: Figure) -> (Vec<&str>, Vec<&'static str>) {
        let (mut cases, mut peers) = (Vec::new(), Vec::new());
        for measured in self.0.iter().filter(|measured| measured.figure == figure) {
            if !cases.contains(&measured.case.as_str()) {
                cases.push(measured.case.as_str());
            }
            if !peers.contains(&measured.peer) {
                peers.push(measured.peer);
            }
        }
        (cases, peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle_two() {
        assert_eq!(Spread::from_samples(&[]), None);
        let spread = |samples: &[f64]| {
            let spread = Spread::from_samples(samples).unwrap();
            (spread.minimum, spread.median, spread.maximum, spread.runs)
        };
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0, 3));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), (1.0, 2.5, 4.0, 4));
    }

    #[test]
    fn cases_and_peers_keep_their_order() {
        let mut figures = Figures::default();
        figures.add(COLD_START, "b", "x", &[1.0]);
        figures.add(COLD_START, "a", "y", &[2.0]);
        figures.add(COLD_START, "a", "none", &[]);
        assert_eq!(
            figures.cases_and_peers(COLD_START),
            (vec!["b", "a"], vec!["x", "y"])
        );
        assert_eq!(figures.get(COLD_START, "a", "y").unwrap().median, 2.0);
        assert_eq!(figures.get(MEMORY, "a", "y"), None);
    }
}
