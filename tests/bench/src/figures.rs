//! What was measured: for each figure, case and contender the least, the middle and the most of all runs.

use serde::Serialize;

/// The spread of some runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub minimum: f64,
    /// The middle one, which figures and goals are judged by.
    pub median: f64,
    /// The most.
    pub maximum: f64,
    /// How many there were.
    pub runs: usize,
}

impl Spread {
    /// Of at least one run.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
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

/// One figure of one contender in one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// What was measured, with its unit.
    pub figure: Figure,
    /// Under which condition.
    pub case: String,
    /// Of whom.
    pub contender: &'static str,
    /// What came of it.
    pub spread: Spread,
}

/// A figure and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $unit:literal;)*) => {
        $($(#[$doc])* pub const $constant: Figure = Figure { name: $name, unit: $unit };)*
        /// All of them, in the order in which they are told.
        pub const ALL: &[Figure] = &[$($constant),*];
    };
}

figures! {
    /// From the start of the process to its first response, one message.
    COLD_START = "cold start", "ms";
    /// From the start of the process to its first request for an event.
    INITIALISATION = "initialisation", "ms";
    /// The most memory in all of that.
    MEMORY = "peak memory", "MiB";
    /// The program.
    PROGRAM = "program", "MB";
    /// CPU of a warm function, by batch size.
    INGEST_CPU = "ingest: CPU of a message", "µs";
    /// From the event to the answer of a batch of ten, each call to DynamoDB taking five milliseconds.
    INGEST_WALL = "ingest: time of a batch of 10, 5 ms a call", "ms";
    /// Calls to AWS.
    INGEST_CALLS = "ingest: calls of a message", "";
    /// Records of 1 KB in batches of a thousand.
    FORWARD_RATE = "forward: records in a second of CPU", "/s";
    /// By batch size, small records.
    FORWARD_CPU = "forward: CPU of a record", "µs";
    /// Calls to AWS.
    FORWARD_CALLS = "forward: calls of a record", "";
    /// CPU of a warm function, by batch size.
    COMPLETE_CPU = "complete: CPU of a notification", "µs";
    /// Calls to AWS.
    COMPLETE_CALLS = "complete: calls of a notification", "";
    /// From the event to the answer of a batch as large as the template's, with the share of the template's memory.
    BILLED = "time of an invocation at 256 MB, 5 ms a call", "ms";
    /// By position; the contenders are designs.
    COST = "cost of a million notifications of 1 KB, from the queue to DONE", "USD";
    /// Of the tables; the contenders are designs.
    WRITE_UNITS = "write units of a notification of 1 KB, from the queue to DONE", "";
    /// How much of a core the bench itself took while the functions worked.
    BENCH_SHARE = "the bench's own use of a core", "%";
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Figures(Vec<Measurement>);

impl Figures {
    /// Adds the runs of a contender; nothing where there were none.
    pub fn add(
        &mut self,
        figure: Figure,
        case: impl Into<String>,
        contender: &'static str,
        samples: &[f64],
    ) {
        let measured = Spread::of(samples).map(|spread| Measurement {
            figure,
            case: case.into(),
            contender,
            spread,
        });
        self.0.extend(measured);
    }

    /// All, in the order in which they were measured.
    #[must_use]
    pub fn all(&self) -> &[Measurement] {
        &self.0
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, figure: Figure, case: &str, contender: &str) -> Option<Spread> {
        let is_it = |measured: &&Measurement| {
            measured.figure == figure && measured.case == case && measured.contender == contender
        };
        Some(self.0.iter().find(is_it)?.spread)
    }

    /// The cases and the contenders of a figure, in the order in which they were measured.
    #[must_use]
    pub fn of(&self, figure: Figure) -> (Vec<&str>, Vec<&'static str>) {
        let (mut cases, mut contenders) = (Vec::new(), Vec::new());
        for measured in self.0.iter().filter(|measured| measured.figure == figure) {
            if !cases.contains(&measured.case.as_str()) {
                cases.push(measured.case.as_str());
            }
            if !contenders.contains(&measured.contender) {
                contenders.push(measured.contender);
            }
        }
        (cases, contenders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(&[]), None);
        let spread = |samples: &[f64]| {
            let spread = Spread::of(samples).unwrap();
            (spread.minimum, spread.median, spread.maximum, spread.runs)
        };
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0, 3));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), (1.0, 2.5, 4.0, 4));
    }

    #[test]
    fn cases_and_contenders_keep_their_order() {
        let mut figures = Figures::default();
        figures.add(COLD_START, "b", "x", &[1.0]);
        figures.add(COLD_START, "a", "y", &[2.0]);
        figures.add(COLD_START, "a", "none", &[]);
        assert_eq!(figures.of(COLD_START), (vec!["b", "a"], vec!["x", "y"]));
        assert_eq!(figures.get(COLD_START, "a", "y").unwrap().median, 2.0);
        assert_eq!(figures.get(MEMORY, "a", "y"), None);
    }
}
