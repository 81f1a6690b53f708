//! The goals, and the thresholds at which the gate fails. The gate uses ratios and counts only: an absolute time depends
//! more on the machine than on the code.

use serde::Serialize;

use onewrite::item::PayloadCompression;

use crate::{
    cost::{self, DOUBLE, ONEWRITE, POWERTOOLS, UNCOMPRESSED, WITH_PIPES},
    events::Ids,
    figures::{
        COLD_START, COMPLETE_CALLS, CONNECTIONS, COST, FORWARD_BATCH_CPU, FORWARD_CALLS,
        FORWARD_CPU, Figure, Figures, INGEST_CALLS, INGEST_CPU, INGEST_WALL, MEMORY, PROGRAM,
        WARM_MEMORY, WRITE_UNITS,
    },
    format::short,
    measure::{
        ALONE, BY_FIRST_EVENT, FIRST_BATCH, INGEST_BATCH, WHOLE_CORE, batch_of, batch_with,
        changes_of, first_event, memory_of, stored,
    },
    payloads::{EIGHT_KB, ONE_KB, WEBHOOKS},
    peer::{
        BARE, BARE_FORWARD, COMPLETE, FORWARD, INGEST, INGEST_PLAIN, NODE, NODE_FORWARD, PYTHON,
        RAW, SAMPLE, SAMPLE_FORWARD,
    },
};

/// What a figure is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Baseline {
    /// The same case of another peer.
    Peer(&'static str),
    /// Another case, of the same or another peer.
    Case(&'static str, String),
    /// Nothing: the goal limits the figure itself.
    Nothing,
}

/// A goal for one figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    figure: Figure,
    case: String,
    peer: &'static str,
    baseline: Baseline,
    /// The limit of the figure, or of its ratio to the baseline.
    limit: f64,
    /// The limit of the gate, for goals that do not depend on the machine.
    gate: Option<f64>,
}

/// A goal and the measured value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoalResult {
    /// Description of the goal.
    pub what: String,
    /// The measured ratio or figure.
    pub value: f64,
    pub met: bool,
    /// Whether the gate passes. `None` if the gate does not check this goal.
    pub passes: Option<bool>,
}

/// All goals.
#[must_use]
pub fn all() -> Vec<Goal> {
    [start(), cpu(), calls(), units(), dollars()].concat()
}

/// Cold starts, memory, and the first event.
fn start() -> Vec<Goal> {
    let cold = || goal(COLD_START, WHOLE_CORE, INGEST);
    let memory = || goal(MEMORY, "one message", INGEST);
    let first = || goal(INGEST_WALL, &first_event(None), INGEST);
    let large = stored(EIGHT_KB, PayloadCompression::Never);
    vec![
        cold().at_most(8.0),
        cold().relative_to(PYTHON).at_most(1.0 / 60.0),
        cold().relative_to(NODE).at_most(1.0 / 20.0),
        cold().relative_to(SAMPLE).at_most(1.0 / 6.0),
        // `ingest` opens the connections of a batch of ten while it starts; the bare call opens one for its message.
        cold().relative_to(BARE).at_most(1.3).gate(6.0),
        // With calls that take time, connections that are opened at once make up for their cost.
        goal(COLD_START, FIRST_BATCH, INGEST)
            .relative_to(BARE)
            .at_most(1.3)
            .gate(2.0),
        memory().at_most(10.0),
        memory().relative_to(PYTHON).at_most(1.0 / 5.0),
        memory().relative_to(BARE).at_most(1.3).gate(1.5),
        goal(
            WARM_MEMORY,
            &memory_of(INGEST_CPU, &batch_with(INGEST_BATCH, EIGHT_KB)),
            INGEST,
        )
        .relative_to(BARE)
        .at_most(1.3)
        .gate(1.5),
        goal(WARM_MEMORY, &memory_of(FORWARD_BATCH_CPU, &large), FORWARD)
            .relative_to(BARE_FORWARD)
            .at_most(1.3)
            .gate(1.6),
        goal(PROGRAM, "stripped", INGEST).at_most(5.0),
        first().relative_to_case(RAW, ALONE).at_most(1.3),
        // The bare call opens its connections when the first event arrives.
        first().relative_to(BARE).at_most(0.7).gate(0.9),
        // The client may open another one if it does not know yet that one is free.
        goal(CONNECTIONS, BY_FIRST_EVENT, INGEST)
            .at_most(0.0)
            .gate(2.0),
    ]
}

/// CPU time. The bare calls do not compress, so separate goals limit the cost of compression.
fn cpu() -> Vec<Goal> {
    let ingest = |messages, payloads| {
        let case = batch_with(messages, payloads);
        goal(INGEST_CPU, &case, INGEST_PLAIN).relative_to(BARE)
    };
    let compressed = |payloads| {
        let case = batch_with(INGEST_BATCH, payloads);
        let compressed = goal(INGEST_CPU, &case, INGEST).relative_to(INGEST_PLAIN);
        compressed.at_most(1.3).gate(1.6)
    };
    let text = |payloads| stored(payloads, PayloadCompression::Never);
    let forward = |payloads| goal(FORWARD_BATCH_CPU, &text(payloads), FORWARD);
    let inflating = |payloads| {
        let case = stored(payloads, PayloadCompression::Auto);
        let inflating = goal(FORWARD_BATCH_CPU, &case, FORWARD);
        let inflating = inflating.relative_to_case(FORWARD, &text(payloads));
        inflating.at_most(1.3).gate(1.6)
    };
    let mut goals = vec![
        ingest(INGEST_BATCH, ONE_KB).at_most(1.1).gate(1.35),
        ingest(1_000, ONE_KB).at_most(1.1).gate(1.35),
        ingest(INGEST_BATCH, EIGHT_KB).at_most(1.25).gate(1.55),
        forward(ONE_KB)
            .relative_to(NODE_FORWARD)
            .at_most(1.0 / 10.0),
        forward(ONE_KB)
            .relative_to(SAMPLE_FORWARD)
            .at_most(1.0 / 5.0),
        forward(ONE_KB)
            .relative_to(BARE_FORWARD)
            .at_most(1.0)
            .gate(1.25),
        forward(EIGHT_KB)
            .relative_to(BARE_FORWARD)
            .at_most(1.25)
            .gate(1.55),
    ];
    for payloads in [ONE_KB, EIGHT_KB, WEBHOOKS] {
        goals.extend([compressed(payloads), inflating(payloads)]);
    }
    // A record costs no more in a large batch than in a medium one: no cost grows quadratically.
    goals.extend([Ids::Distinct, Ids::One].map(|ids| {
        goal(FORWARD_CPU, &changes_of(10_000, ids), FORWARD)
            .relative_to_case(FORWARD, &changes_of(1_000, ids))
            .at_most(1.2)
            .gate(1.5)
    }));
    goals
}

/// Calls to AWS.
fn calls() -> Vec<Goal> {
    vec![
        goal(INGEST_CALLS, &batch_of(INGEST_BATCH), INGEST)
            .at_most(1.0)
            .gate(1.0),
        goal(FORWARD_CALLS, &changes_of(1_000, Ids::Distinct), FORWARD)
            .at_most(1.0 / 500.0)
            .gate(1.0 / 500.0),
        // `forward` publishes in windows of bounded bytes, and the last call of a window is not full.
        goal(FORWARD_CALLS, &changes_of(10_000, Ids::Distinct), FORWARD)
            .at_most(1.0 / 450.0)
            .gate(1.0 / 450.0),
        // Ten updates, one read of the current states, and one call of the target, a queue.
        goal(COMPLETE_CALLS, &batch_of(10), COMPLETE)
            .at_most(1.2)
            .gate(1.25),
    ]
}

/// Write units. They are counted, so a goal that is met is also what the gate allows.
fn units() -> Vec<Goal> {
    let counted = |payloads| goal(WRITE_UNITS, payloads, ONEWRITE);
    let share = |payloads| counted(payloads).relative_to(UNCOMPRESSED);
    vec![
        counted("200 B").at_most(2.0).gate(2.0),
        counted("500 B").at_most(2.0).gate(2.0),
        counted(ONE_KB).at_most(2.0).gate(2.0),
        counted("2 KB").at_most(4.0).gate(4.0),
        counted("4 KB").at_most(4.0).gate(4.0),
        share(EIGHT_KB).at_most(0.34).gate(0.34),
        share(WEBHOOKS).at_most(0.22).gate(0.22),
    ]
}

/// The bill of 1 KB from the queue to DONE.
fn dollars() -> Vec<Goal> {
    let total = || goal(COST, cost::ALL, ONEWRITE);
    let mut goals = vec![total().at_most(2.2)];
    goals.extend(
        [WITH_PIPES, POWERTOOLS, DOUBLE].map(|peer| total().relative_to(peer).at_most(1.0)),
    );
    goals
}

/// A goal without a baseline or limit.
fn goal(figure: Figure, case: &str, peer: &'static str) -> Goal {
    Goal {
        figure,
        case: case.to_owned(),
        peer,
        baseline: Baseline::Nothing,
        limit: f64::INFINITY,
        gate: None,
    }
}

impl Goal {
    fn relative_to(self, peer: &'static str) -> Self {
        let baseline = Baseline::Peer(peer);
        Self { baseline, ..self }
    }

    fn relative_to_case(self, peer: &'static str, case: &str) -> Self {
        let baseline = Baseline::Case(peer, case.to_owned());
        Self { baseline, ..self }
    }

    fn at_most(self, limit: f64) -> Self {
        Self { limit, ..self }
    }

    /// Sets the limit of the gate, which may be less strict than the goal.
    fn gate(self, limit: f64) -> Self {
        let gate = Some(limit);
        Self { gate, ..self }
    }

    /// Compares the goal with the results. `None` if its figure was not measured.
    #[must_use]
    pub fn evaluate(&self, figures: &Figures) -> Option<GoalResult> {
        let own = figures.get(self.figure, &self.case, self.peer)?;
        let other = match &self.baseline {
            Baseline::Nothing => None,
            Baseline::Peer(peer) => Some(figures.get(self.figure, &self.case, peer)?),
            Baseline::Case(peer, case) => Some(figures.get(self.figure, case, peer)?),
        };
        let value = own.median / other.map_or(1.0, |other| other.median);
        // Other work on the machine makes runs slower, never faster. A change that costs something makes the fastest run slower too.
        let least = other.map_or(value, |other| value.min(own.minimum / other.minimum));
        Some(GoalResult {
            what: self.description(),
            value,
            met: value <= self.limit,
            passes: self.gate.map(|gate| least <= gate),
        })
    }

    #[must_use]
    pub fn description(&self) -> String {
        let Figure { name, unit } = self.figure;
        let Self { case, peer, .. } = self;
        let limit = short(self.limit);
        let what = format!("{peer}: {name} ({case}) at most {limit}");
        match &self.baseline {
            Baseline::Nothing => format!("{what} {unit}"),
            Baseline::Peer(peer) => format!("{what} x {peer}"),
            Baseline::Case(peer, case) => format!("{what} x {peer} ({case})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(own: f64, peer: f64) -> Figures {
        let mut figures = Figures::default();
        figures.add(COLD_START, WHOLE_CORE, INGEST, &[own]);
        figures.add(COLD_START, WHOLE_CORE, BARE, &[peer]);
        figures
    }

    #[test]
    fn compares_a_ratio_with_goal_and_gate() {
        let goals = all();
        let is_relative_to_bare =
            |goal: &&Goal| goal.baseline == Baseline::Peer(BARE) && goal.figure == COLD_START;
        let goal = goals.iter().find(is_relative_to_bare).unwrap();
        for (own, met, passes) in [
            (12.0, true, true),
            (14.0, false, true),
            (61.0, false, false),
        ] {
            let result = goal.evaluate(&figures(own, 10.0)).unwrap();
            assert_eq!((result.met, result.passes), (met, Some(passes)), "{own}");
        }
        assert_eq!(goal.evaluate(&Figures::default()), None);
    }

    #[test]
    fn the_gate_fails_only_if_the_fastest_run_is_worse_too() {
        let goals = all();
        let is_relative_to_bare =
            |goal: &&Goal| goal.baseline == Baseline::Peer(BARE) && goal.figure == COLD_START;
        let goal = goals.iter().find(is_relative_to_bare).unwrap();
        for (fastest, passes) in [(30.0, true), (61.0, false)] {
            let mut figures = Figures::default();
            figures.add(COLD_START, WHOLE_CORE, INGEST, &[fastest, 90.0, 90.0]);
            figures.add(COLD_START, WHOLE_CORE, BARE, &[10.0]);
            let result = goal.evaluate(&figures).unwrap();
            assert_eq!((result.value, result.passes), (9.0, Some(passes)));
        }
    }

    #[test]
    fn a_goal_is_at_least_as_strict_as_the_gate() {
        for goal in all() {
            assert!(
                goal.gate.is_none_or(|gate| goal.limit <= gate),
                "{}",
                goal.description()
            );
        }
    }

    #[test]
    fn the_gate_fails_when_compression_saves_less() {
        let goals = all();
        let share = goals
            .iter()
            .find(|goal| goal.case == WEBHOOKS && goal.baseline == Baseline::Peer(UNCOMPRESSED));
        for (units, passes) in [(4.3, true), (4.5, false)] {
            let mut figures = Figures::default();
            figures.add(WRITE_UNITS, WEBHOOKS, ONEWRITE, &[units]);
            figures.add(WRITE_UNITS, WEBHOOKS, UNCOMPRESSED, &[20.0]);
            let result = share.unwrap().evaluate(&figures).unwrap();
            assert_eq!(result.passes, Some(passes), "{units}");
        }
    }

    #[test]
    fn the_gate_checks_only_ratios_and_counts() {
        for goal in all().iter().filter(|goal| goal.gate.is_some()) {
            let counts = [
                INGEST_CALLS,
                FORWARD_CALLS,
                COMPLETE_CALLS,
                CONNECTIONS,
                WRITE_UNITS,
            ];
            let is_count = counts.contains(&goal.figure);
            assert!(
                is_count || goal.baseline != Baseline::Nothing,
                "{}",
                goal.description()
            );
        }
    }
}
