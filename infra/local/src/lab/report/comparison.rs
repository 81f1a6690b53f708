//! What the page is about: a run, and both designs after it.

use std::collections::{BTreeMap, BTreeSet};

use onewrite_console::lab::{Fault, Ledger};
use onewrite_console::sentence::grouped;
use onewrite_console::view::Count;

use crate::lab::double_write::machine::{Incident, Machine};
use crate::lab::switches::Design;
use crate::ledger_receiver::Effects;
use crate::oracle::Report;
use crate::sample::Sample;

/// What the page is about.
#[derive(Debug)]
pub(crate) struct Run {
    /// RFC 3339.
    pub(crate) at: String,
    /// The command that repeats the run.
    pub(crate) command: String,
    /// Of the faults, and of the messages unless they come from a file.
    pub(crate) seed: u64,
    /// What ran, by name: the version of onewrite and of the emulator, and the settings of the stack.
    pub(crate) versions: Vec<(String, String)>,
}

/// One design after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) ledger: Ledger,
    /// Messages with other content for a stored id that the dead-letter queue has, so that somebody learns of them.
    pub(super) conflicts: u64,
    /// Malformed messages in the dead-letter queue.
    pub(super) rejected: u64,
    /// Conflicts that were acknowledged like duplicates.
    pub(super) dropped: u64,
    pub(super) faults: BTreeMap<Fault, u32>,
}

impl Outcome {
    fn of(machine: &Machine) -> Self {
        Self {
            ledger: machine.ledger(),
            conflicts: 0,
            rejected: machine.rejected(),
            dropped: machine.conflicts_dropped(),
            faults: machine.happened(Design::DoubleWrite),
        }
    }
}

/// A notification that the double write lost or repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Casualty {
    pub(super) id: String,
    pub(super) effects: u32,
    pub(super) incidents: BTreeSet<Incident>,
    /// The effects of onewrite for it.
    pub(super) onewrite: u32,
}

/// Both designs after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(super) ids: u64,
    pub(super) onewrite: Outcome,
    pub(super) double_write: Outcome,
    /// The double write that sends again if the item is in INIT.
    pub(super) resending: Outcome,
    pub(super) casualties: Vec<Casualty>,
    /// Items of the double write that stay in INIT.
    pub(super) stuck: usize,
}

impl Comparison {
    /// Compares the ledger of a stack, which has settled, with two double writes, which have run to their end. `double_write` has the
    /// switches of the stack.
    pub(crate) fn new(
        messages: &[Sample],
        report: &Report,
        effects: &Effects,
        double_write: &Machine,
        resending: &Machine,
    ) -> Self {
        let ids = messages.iter().filter_map(|message| message.meaning.id());
        let ids: BTreeSet<&String> = ids.collect();
        let mut ledger = Ledger::default();
        for id in &ids {
            let times = effects.of(id);
            ledger.effects.0 += u64::from(times);
            match times {
                0 => ledger.lost.0 += 1,
                1 => {}
                _ => ledger.repeated.0 += 1,
            }
        }
        let casualties = double_write
            .casualties()
            .map(|(id, count, incidents)| Casualty {
                id: id.clone(),
                effects: count,
                incidents: incidents.clone(),
                onewrite: effects.of(id),
            });
        Self {
            ids: ids.len() as u64,
            onewrite: Outcome {
                ledger,
                conflicts: report.counts.conflicts as u64,
                rejected: report.counts.rejected as u64,
                dropped: 0,
                faults: double_write.happened(Design::Onewrite),
            },
            double_write: Outcome::of(double_write),
            resending: Outcome::of(resending),
            casualties: casualties.collect(),
            stuck: double_write.stuck(),
        }
    }

    /// The comparison in a sentence.
    pub(super) fn sentence(&self) -> String {
        let of = |name: &str, ledger: &Ledger| {
            let Ledger {
                effects: Count(effects),
                repeated: Count(repeated),
                lost: Count(lost),
                ..
            } = *ledger;
            format!(
                "{name}: {} effects, {} repeated, {} lost.",
                grouped(effects),
                grouped(repeated),
                grouped(lost)
            )
        };
        format!(
            "{} {}",
            of("onewrite", &self.onewrite.ledger),
            of("Double write", &self.double_write.ledger)
        )
    }
}
