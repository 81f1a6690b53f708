//! The page of a demo: one static file that can be mailed. It has no script, and makes no request.
//!
//! It names ids and counts, never a payload. All text is escaped.

mod escape;
mod guarantees;
mod sections;

use std::collections::{BTreeMap, BTreeSet};

use onewrite_console::lab::{Fault, Ledger};
use onewrite_console::sentence::grouped;
use onewrite_console::view::Count;

use super::double_write::machine::{Incident, Machine};
use super::switches::Design;
use crate::ledger_receiver::Effects;
use crate::oracle::Report;
use crate::sample::Sample;
use escape::escape;

/// The look of the page, without any file beside it.
const STYLE: &str = include_str!("report/style.css");

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
struct Outcome {
    ledger: Ledger,
    /// Messages with other content for a stored id that the dead-letter queue has, so that somebody learns of them.
    conflicts: u64,
    /// Malformed messages in the dead-letter queue.
    rejected: u64,
    /// Conflicts that were acknowledged like duplicates.
    dropped: u64,
    faults: BTreeMap<Fault, u32>,
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
struct Casualty {
    id: String,
    effects: u32,
    incidents: BTreeSet<Incident>,
    /// The effects of onewrite for it.
    onewrite: u32,
}

/// Both designs after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    ids: u64,
    onewrite: Outcome,
    double_write: Outcome,
    /// The double write that sends again if the item is in INIT.
    resending: Outcome,
    casualties: Vec<Casualty>,
    /// Items of the double write that stay in INIT.
    stuck: usize,
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
    fn sentence(&self) -> String {
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

/// Renders the page.
#[must_use]
pub(crate) fn html(run: &Run, report: &Report, comparison: &Comparison) -> String {
    let ids = grouped(comparison.ids);
    let sent = grouped(report.counts.sent as u64);
    let sentence = escape(&comparison.sentence());
    let sections = [
        sections::comparison(comparison),
        sections::casualties(comparison),
        sections::faults(comparison),
        guarantees::section(report),
        sections::counts(report),
        sections::fairness(comparison),
        sections::run(run),
    ]
    .concat();
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>onewrite: the same messages and faults through two designs</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>
<p class="brand">onewrite</p>
<h1>{sent} messages, {ids} notifications, and the same faults through two designs</h1>
<p class="lead">{sentence}</p>
</header>
{sections}</main>
</body>
</html>
"#
    )
}

#[cfg(test)]
mod tests;
