//! Shrinks a failing world: fewer faults, fewer messages and a shorter storm, as long as the same guarantee breaks.

use crate::bugs::Bug;
use crate::plan::Plan;
use crate::world::World;

/// The shortest plan found that breaks the same guarantee.
pub(crate) fn shrink(plan: &Plan, bug: Option<Bug>) -> Plan {
    let breaks = |plan: &Plan| {
        World::run(plan, bug, false)
            .broken
            .map(|broken| broken.guarantee)
    };
    let guarantee = breaks(plan);
    let still = |plan: &Plan| breaks(plan) == guarantee;
    let mut best = plan.clone();
    loop {
        let before = best.clone();
        shorten_storm(&mut best, &still);
        drop_letters(&mut best, &still);
        drop_faults(&mut best, bug, &still);
        if best == before {
            return best;
        }
    }
}

fn shorten_storm(best: &mut Plan, still: &impl Fn(&Plan) -> bool) {
    for divisor in [8, 4, 2] {
        let shorter = Plan {
            storm: best.storm / divisor,
            ..best.clone()
        };
        if still(&shorter) {
            *best = shorter;
            return;
        }
    }
}

fn drop_letters(best: &mut Plan, still: &impl Fn(&Plan) -> bool) {
    let mut letters = best
        .letters
        .clone()
        .unwrap_or_else(|| (0..MAX_LETTERS).collect());
    let mut chunk = letters.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < letters.len() {
            let mut fewer = letters.clone();
            fewer.drain(from..letters.len().min(from + chunk));
            let shorter = Plan {
                letters: Some(fewer.clone()),
                ..best.clone()
            };
            if still(&shorter) {
                letters = fewer;
                *best = shorter;
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
}

/// More messages than any world has.
const MAX_LETTERS: usize = 64;

fn drop_faults(best: &mut Plan, bug: Option<Bug>, still: &impl Fn(&Plan) -> bool) {
    let met = World::run(best, bug, false).met;
    for (kind, count) in met {
        if best.without.contains(&kind) {
            continue;
        }
        let mut calmer = best.clone();
        calmer.without.push(kind);
        // A fault that does not happen need not be listed.
        if count > 0 && still(&calmer) {
            *best = calmer;
        }
    }
}
