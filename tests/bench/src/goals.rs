//! The goals, and the thresholds at which the gate fails. The gate uses ratios and counts only: an absolute time depends
//! more on the machine than on the code.

use serde::Serialize;

use crate::{
    cost::{self, DOUBLE, ONEWRITE, POWERTOOLS, WITH_PIPES},
    events::Ids,
    figures::{
        COLD_START, COMPLETE_CALLS, COST, FORWARD_CALLS, FORWARD_CPU, FORWARD_RATE, Figure,
        Figures, INGEST_CALLS, INGEST_CPU, INGEST_WALL, MEMORY, PROGRAM, WRITE_UNITS,
    },
    format::short,
    measure::{WHOLE_CORE, batch_of, changes_of},
    peer::{
        BARE, BARE_FORWARD, COMPLETE, FORWARD, INGEST, NODE, NODE_FORWARD, PYTHON, RAW, SAMPLE,
        SAMPLE_FORWARD,
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

/// The limit of a goal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// A goal for one figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    figure: Figure,
    case: String,
    peer: &'static str,
    baseline: Baseline,
    goal: Bound,
    /// The threshold of the gate, for goals that do not depend on the machine.
    gate: Option<Bound>,
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

#[must_use]
pub fn all() -> Vec<Goal> {
    let cold = || goal(COLD_START, WHOLE_CORE, INGEST);
    let memory = || goal(MEMORY, "one message", INGEST);
    let cpu = |messages| goal(INGEST_CPU, &batch_of(messages), INGEST);
    let rate = || goal(FORWARD_RATE, "1 KB, batch of 1,000", FORWARD);
    let mut goals = vec![
        cold().at_most(8.0),
        cold().relative_to(PYTHON).at_most(1.0 / 60.0),
        cold().relative_to(NODE).at_most(1.0 / 20.0),
        cold().relative_to(SAMPLE).at_most(1.0 / 6.0),
        cold().relative_to(BARE).at_most(1.3).gate(1.6),
        memory().at_most(10.0),
        memory().relative_to(PYTHON).at_most(1.0 / 5.0),
        memory().relative_to(BARE).at_most(1.3).gate(1.3),
        goal(PROGRAM, "stripped", INGEST).at_most(5.0),
        cpu(10).relative_to(BARE).at_most(1.15).gate(1.6),
        cpu(1_000).relative_to(BARE).at_most(1.15).gate(1.6),
        goal(INGEST_WALL, "first event", INGEST)
            .relative_to_case(RAW, "one message, warm")
            .at_most(1.3),
        goal(INGEST_CALLS, &batch_of(10), INGEST)
            .at_most(1.0)
            .gate(1.0),
        rate().relative_to(NODE_FORWARD).at_least(10.0),
        rate().relative_to(SAMPLE_FORWARD).at_least(5.0),
        rate()
            .relative_to(BARE_FORWARD)
            .at_least(1.0 / 1.25)
            .gate(1.0 / 2.0),
        goal(FORWARD_CALLS, &changes_of(10_000, Ids::Distinct), FORWARD)
            .at_most(1.0 / 500.0)
            .gate(1.0 / 500.0),
        // Ten updates, one read of the current states, and one call of the target, a queue.
        goal(COMPLETE_CALLS, &batch_of(10), COMPLETE)
            .at_most(1.2)
            .gate(1.25),
        goal(WRITE_UNITS, cost::ALL, ONEWRITE).at_most(2.0),
    ];
    let peers = [WITH_PIPES, POWERTOOLS, DOUBLE];
    goals.extend(peers.map(|peer| {
        goal(COST, cost::ALL, ONEWRITE)
            .relative_to(peer)
            .at_most(1.0)
    }));
    // A record costs no more in a large batch than in a medium one: no cost grows quadratically.
    goals.extend([Ids::Distinct, Ids::One].map(|ids| {
        goal(FORWARD_CPU, &changes_of(10_000, ids), FORWARD)
            .relative_to_case(FORWARD, &changes_of(1_000, ids))
            .at_most(1.2)
            .gate(1.5)
    }));
    goals
}

/// A goal without a baseline or limit.
fn goal(figure: Figure, case: &str, peer: &'static str) -> Goal {
    Goal {
        figure,
        case: case.to_owned(),
        peer,
        baseline: Baseline::Nothing,
        goal: Bound::AtMost(f64::INFINITY),
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
        let goal = Bound::AtMost(limit);
        Self { goal, ..self }
    }

    fn at_least(self, limit: f64) -> Self {
        let goal = Bound::AtLeast(limit);
        Self { goal, ..self }
    }

    /// Sets the threshold of the gate, which may be less strict than the goal.
    fn gate(self, limit: f64) -> Self {
        let gate = Some(match self.goal {
            Bound::AtMost(_) => Bound::AtMost(limit),
            Bound::AtLeast(_) => Bound::AtLeast(limit),
        });
        Self { gate, ..self }
    }

    /// Compares the goal with the results. `None` if its figure was not measured.
    #[must_use]
    pub fn evaluate(&self, figures: &Figures) -> Option<GoalResult> {
        let own = figures.get(self.figure, &self.case, self.peer)?.median;
        let other = match &self.baseline {
            Baseline::Nothing => 1.0,
            Baseline::Peer(peer) => figures.get(self.figure, &self.case, peer)?.median,
            Baseline::Case(peer, case) => figures.get(self.figure, case, peer)?.median,
        };
        let value = own / other;
        Some(GoalResult {
            what: self.description(),
            value,
            met: self.goal.holds(value),
            passes: self.gate.map(|gate| gate.holds(value)),
        })
    }

    #[must_use]
    pub fn description(&self) -> String {
        let Figure { name, unit } = self.figure;
        let Self { case, peer, .. } = self;
        let (side, limit) = match self.goal {
            Bound::AtMost(limit) => ("at most", limit),
            Bound::AtLeast(limit) => ("at least", limit),
        };
        let what = format!("{peer}: {name} ({case})");
        match &self.baseline {
            Baseline::Nothing => format!("{what} {side} {} {unit}", short(limit)),
            Baseline::Peer(peer) => format!("{what} {side} {} x {peer}", short(limit)),
            Baseline::Case(peer, case) => {
                format!("{what} {side} {} x {peer} ({case})", short(limit))
            }
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
            (17.0, false, false),
        ] {
            let result = goal.evaluate(&figures(own, 10.0)).unwrap();
            assert_eq!((result.met, result.passes), (met, Some(passes)), "{own}");
        }
        assert_eq!(goal.evaluate(&Figures::default()), None);
    }

    #[test]
    fn the_gate_checks_only_ratios_and_counts() {
        for goal in all().iter().filter(|goal| goal.gate.is_some()) {
            let is_count = [INGEST_CALLS, FORWARD_CALLS, COMPLETE_CALLS].contains(&goal.figure);
            assert!(
                is_count || goal.baseline != Baseline::Nothing,
                "{}",
                goal.description()
            );
        }
    }
}
