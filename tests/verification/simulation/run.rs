//! Runs many worlds in parallel and summarises them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::bugs::Bug;
use crate::effects::PANIC;
use crate::fault_plan::FaultKind;
use crate::plan::Plan;
use crate::world::{Run, World};

/// So many worlds meet every pair of faults.
pub(crate) const WORLDS_FOR_PAIRS: u64 = 3_000;

/// Totals over all worlds.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) worlds: u64,
    pub(crate) messages: u64,
    pub(crate) repeated_events: u64,
    pub(crate) dead_letters: u64,
    /// Number of times each fault happened, and number of worlds it happened in.
    faults: Vec<(u64, u64)>,
    /// Kinds of faults that happened in one world, as pairs with the lower kind first.
    pairs: BTreeSet<(FaultKind, FaultKind)>,
    /// Worlds and kinds of faults per thousand seeds.
    thousands: BTreeMap<u64, (u64, BTreeSet<FaultKind>)>,
    /// The run with the lowest seed that broke a guarantee.
    pub(crate) violation: Option<Run>,
}

impl Summary {
    fn add(&mut self, run: Run) {
        self.worlds += 1;
        self.messages += run.messages;
        self.repeated_events += run.repeated_events;
        self.dead_letters += run.dead_letters;
        self.faults.resize(FaultKind::ALL.len(), (0, 0));
        let thousand = self.thousands.entry(run.plan.seed / 1_000).or_default();
        thousand.0 += 1;
        let occurrences: Vec<FaultKind> = run
            .occurrences
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, _)| *kind)
            .collect();
        for (kind, count) in &run.occurrences {
            let (times, worlds) = &mut self.faults[*kind as usize];
            *times += count;
            *worlds += u64::from(*count > 0);
        }
        for (place, kind) in occurrences.iter().enumerate() {
            thousand.1.insert(*kind);
            self.pairs
                .extend(occurrences[place + 1..].iter().map(|other| (*kind, *other)));
        }
        if run.violation.is_some()
            && self
                .violation
                .as_ref()
                .is_none_or(|other| run.plan.seed < other.plan.seed)
        {
            self.violation = Some(run);
        }
    }

    /// Prints the totals, fault by fault and overall.
    pub(crate) fn print(&self) {
        println!("{:>10} {:>7}  fault", "times", "worlds");
        for (kind, (times, worlds)) in FaultKind::ALL.iter().zip(&self.faults) {
            println!("{times:>10} {worlds:>7}  {}", kind.name());
        }
        let kinds = FaultKind::ALL.len();
        println!(
            "\n{} worlds, {} messages, {} events published again, {} dead letters, {} of {} pairs of faults",
            self.worlds,
            self.messages,
            self.repeated_events,
            self.dead_letters,
            self.pairs.len(),
            kinds * (kinds - 1) / 2,
        );
    }

    /// Lists faults that these worlds should have met but did not. A fault that never happened proves nothing. Every
    /// thousand seeds must meet every kind, and [`WORLDS_FOR_PAIRS`] must meet every pair of kinds.
    pub(crate) fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (thousand, (worlds, occurrences)) in &self.thousands {
            let missing = FaultKind::ALL
                .iter()
                .filter(|kind| *worlds == 1_000 && !occurrences.contains(kind));
            gaps.extend(missing.map(|kind| {
                format!(
                    "no world of seeds {thousand}000 to {thousand}999 met \"{}\"",
                    kind.name()
                )
            }));
        }
        if self.worlds >= WORLDS_FOR_PAIRS {
            for (place, kind) in FaultKind::ALL.iter().enumerate() {
                let others = FaultKind::ALL[place + 1..].iter();
                let missing = others.filter(|other| !self.pairs.contains(&(*kind, **other)));
                gaps.extend(missing.map(|other| {
                    format!(
                        "no world met both \"{}\" and \"{}\"",
                        kind.name(),
                        other.name()
                    )
                }));
            }
        }
        if self.worlds >= 100 && self.repeated_events == 0 {
            gaps.push("no event was published twice".to_owned());
        }
        gaps
    }
}

/// Runs the worlds of these plans on all cores. Calls `progress` after each.
pub(crate) fn all(plans: &[Plan], bug: Option<Bug>, progress: impl Fn() + Sync) -> Summary {
    silence_planned_panics();
    let next = AtomicU64::new(0);
    let summary = Mutex::new(Summary::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let run = World::run(plan, bug, false);
                    summary
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(run);
                    progress();
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The first of these seeds in which a planted bug breaks a guarantee.
pub(crate) fn first_violation(mut seeds: Range<u64>, bug: Bug) -> Option<Run> {
    silence_planned_panics();
    seeds.find_map(|seed| {
        let run = World::run(&Plan::from_seed(seed), Some(bug), false);
        run.violation.is_some().then_some(run)
    })
}

/// The header of the table of planted bugs.
pub(crate) const TABLE_OF_BUGS: &str =
    "| planted bug | caught by | worlds it took |\n| --- | --- | ---: |";

/// The table row of a planted bug: the guarantee that caught it, and the number of worlds it took. `None` if no
/// guarantee caught it.
pub(crate) fn row(seeds: &Range<u64>, bug: Bug) -> Option<String> {
    let run = first_violation(seeds.clone(), bug)?;
    let guarantee = run.violation.as_ref()?.guarantee;
    let worlds = run.plan.seed - seeds.start + 1;
    Some(format!("| {} | {guarantee} | {worlds} |", bug.name()))
}

/// Suppresses the output of planned panics.
fn silence_planned_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(PANIC) {
                before(panic);
            }
        }));
    });
}

/// Reports the broken guarantee and the history of the notification concerned.
pub(crate) fn report(plan: &Plan, bug: Option<Bug>) -> String {
    let run = World::run(plan, bug, true);
    let Some(violation) = &run.violation else {
        return format!("seed {}: every guarantee held", plan.seed);
    };
    let lines: Vec<String> = run
        .history
        .iter()
        .filter(|entry| {
            let concerns = |id: &String| entry.ids.is_empty() || entry.ids.contains(id);
            violation.id.as_ref().is_none_or(concerns)
        })
        .map(|entry| format!("+{:9.3}s  {}", entry.at as f64 / 1_000.0, entry.what))
        .collect();
    format!(
        "seed {}: {}: {} ({})\n{}\nagain: {}",
        plan.seed,
        violation.guarantee,
        violation.what,
        violation.id.as_deref().unwrap_or("all"),
        lines.join("\n"),
        plan.command(bug),
    )
}
