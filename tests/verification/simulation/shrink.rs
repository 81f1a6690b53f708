//! Shrinks a failing world: fewer faults, fewer messages and a shorter fault period, as long as the same guarantee breaks.

use crate::bugs::Bug;
use crate::plan::Plan;
use crate::world::World;

/// The shortest plan found that breaks the same guarantee.
pub(crate) fn shrink(plan: &Plan, bug: Option<Bug>) -> Plan {
    let breaks = |plan: &Plan| {
        World::run(plan, bug, false)
            .violation
            .map(|violation| violation.guarantee)
    };
    let guarantee = breaks(plan);
    let still = |plan: &Plan| breaks(plan) == guarantee;
    let mut best = plan.clone();
    loop {
        let before = best.clone();
        shorten_fault_period(&mut best, &still);
        drop_messages(&mut best, &still);
        drop_faults(&mut best, bug, &still);
        if best == before {
            return best;
        }
    }
}

fn shorten_fault_period(best: &mut Plan, still: &impl Fn(&Plan) -> bool) {
    for divisor in [8, 4, 2] {
        let shorter = Plan {
            fault_period: best.fault_period / divisor,
            ..best.clone()
        };
        if still(&shorter) {
            *best = shorter;
            return;
        }
    }
}

fn drop_messages(best: &mut Plan, still: &impl Fn(&Plan) -> bool) {
    let mut messages = best
        .messages
        .clone()
        .unwrap_or_else(|| (0..MAX_MESSAGES).collect());
    let mut chunk = messages.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < messages.len() {
            let mut fewer = messages.clone();
            fewer.drain(from..messages.len().min(from + chunk));
            let shorter = Plan {
                messages: Some(fewer.clone()),
                ..best.clone()
            };
            if still(&shorter) {
                messages = fewer;
                *best = shorter;
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
}

/// More messages than any world has.
const MAX_MESSAGES: usize = 64;

fn drop_faults(best: &mut Plan, bug: Option<Bug>, still: &impl Fn(&Plan) -> bool) {
    let occurrences = World::run(best, bug, false).occurrences;
    for (kind, count) in occurrences {
        if best.without.contains(&kind) {
            continue;
        }
        let mut reduced = best.clone();
        reduced.without.push(kind);
        // A fault that does not happen need not be listed.
        if count > 0 && still(&reduced) {
            *best = reduced;
        }
    }
}
