//! What is wanted of the figures, and the ratios at which the gate fails. Ratios only: an absolute time says more of the
//! machine than of the code.

use serde::Serialize;

use crate::{
    contender::{
        BARE, BARE_FORWARD, COMPLETE, FORWARD, INGEST, INGEST_BATCHED, NODE, NODE_FORWARD, PYTHON,
        RAW, SAMPLE, SAMPLE_FORWARD,
    },
    cost::{self, DOUBLE, ONEWRITE, POWERTOOLS, WITH_PIPES},
    events::Ids,
    figures::{
        COLD_START, COMPLETE_CALLS, COST, FORWARD_CALLS, FORWARD_CPU, FORWARD_RATE, Figure,
        Figures, INGEST_CALLS, INGEST_CPU, INGEST_WALL, MEMORY, PROGRAM, WRITE_UNITS,
    },
    measure::{WHOLE_CORE, batch_of, changes_of},
};

/// What a figure is held against.
#[derive(Debug, Clone, PartialEq)]
pub enum Beside {
    /// The same case of a peer.
    Peer(&'static str),
    /// Another case, of a peer or its own.
    Case(&'static str, String),
    /// Nothing: the figure itself.
    Nothing,
}

/// The side on which it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
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

/// One goal.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    figure: Figure,
    case: String,
    contender: &'static str,
    beside: Beside,
    goal: Bound,
    /// What the gate allows; it has a goal for what every machine measures alike.
    gate: Option<Bound>,
}

/// A goal, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// What is wanted, in words.
    pub what: String,
    /// What was measured: a ratio, or the figure itself.
    pub value: f64,
    /// Whether the goal is met.
    pub met: bool,
    /// Whether the gate lets it pass; none where it has no say.
    pub passes: Option<bool>,
}

/// All goals.
#[must_use]
pub fn all() -> Vec<Goal> {
    let cold = || goal(COLD_START, WHOLE_CORE, INGEST);
    let memory = || goal(MEMORY, "one message", INGEST);
    let cpu = |contender, messages| goal(INGEST_CPU, &batch_of(messages), contender);
    let first = |contender| {
        goal(INGEST_WALL, "first event", contender).beside_case(RAW, "one message, warm")
    };
    let calls = |contender, messages| goal(INGEST_CALLS, &batch_of(messages), contender);
    let rate = || goal(FORWARD_RATE, "1 KB, batch of 1,000", FORWARD);
    let mut goals = vec![
        cold().at_most(8.0),
        cold().beside(PYTHON).at_most(1.0 / 60.0),
        cold().beside(NODE).at_most(1.0 / 20.0),
        cold().beside(SAMPLE).at_most(1.0 / 6.0),
        cold().beside(BARE).at_most(1.3).gate(1.6),
        memory().at_most(10.0),
        memory().beside(PYTHON).at_most(1.0 / 5.0),
        memory().beside(BARE).at_most(1.3).gate(1.3),
        goal(PROGRAM, "stripped", INGEST).at_most(5.0),
        cpu(INGEST, 10).beside(BARE).at_most(1.15).gate(1.6),
        cpu(INGEST, 1_000).beside(BARE).at_most(1.15).gate(1.6),
        cpu(INGEST_BATCHED, 10).beside(BARE).at_most(0.25).gate(0.8),
        cpu(INGEST_BATCHED, 100).beside(BARE).at_most(0.1),
        first(INGEST).at_most(1.3),
        first(INGEST_BATCHED).at_most(1.3),
        calls(INGEST, 10).at_most(1.0).gate(1.0),
        calls(INGEST_BATCHED, 100).at_most(1.0 / 25.0),
        rate().beside(NODE_FORWARD).at_least(10.0),
        rate().beside(SAMPLE_FORWARD).at_least(5.0),
        rate()
            .beside(BARE_FORWARD)
            .at_least(1.0 / 1.25)
            .gate(1.0 / 2.0),
        goal(FORWARD_CALLS, &changes_of(10_000, Ids::Distinct), FORWARD)
            .at_most(1.0 / 500.0)
            .gate(1.0 / 500.0),
        goal(COMPLETE_CALLS, &batch_of(10), COMPLETE)
            .at_most(1.0)
            .gate(1.0),
        goal(WRITE_UNITS, cost::ALL, ONEWRITE).at_most(2.0),
    ];
    let peers = [WITH_PIPES, POWERTOOLS, DOUBLE];
    goals.extend(peers.map(|peer| goal(COST, cost::ALL, ONEWRITE).beside(peer).at_most(1.0)));
    // A record costs no more in a large batch than in a middling one: nothing grows with the square.
    goals.extend([Ids::Distinct, Ids::One].map(|ids| {
        goal(FORWARD_CPU, &changes_of(10_000, ids), FORWARD)
            .beside_case(FORWARD, &changes_of(1_000, ids))
            .at_most(1.2)
            .gate(1.5)
    }));
    goals
}

/// Beside nothing, and met by anything.
fn goal(figure: Figure, case: &str, contender: &'static str) -> Goal {
    Goal {
        figure,
        case: case.to_owned(),
        contender,
        beside: Beside::Nothing,
        goal: Bound::AtMost(f64::INFINITY),
        gate: None,
    }
}

impl Goal {
    fn beside(self, peer: &'static str) -> Self {
        let beside = Beside::Peer(peer);
        Self { beside, ..self }
    }

    fn beside_case(self, contender: &'static str, case: &str) -> Self {
        let beside = Beside::Case(contender, case.to_owned());
        Self { beside, ..self }
    }

    fn at_most(self, limit: f64) -> Self {
        let goal = Bound::AtMost(limit);
        Self { goal, ..self }
    }

    fn at_least(self, limit: f64) -> Self {
        let goal = Bound::AtLeast(limit);
        Self { goal, ..self }
    }

    /// The gate allows less than the goal wants, on the same side.
    fn gate(self, limit: f64) -> Self {
        let gate = Some(match self.goal {
            Bound::AtMost(_) => Bound::AtMost(limit),
            Bound::AtLeast(_) => Bound::AtLeast(limit),
        });
        Self { gate, ..self }
    }

    /// What came of it; none where it was not measured.
    #[must_use]
    pub fn judge(&self, figures: &Figures) -> Option<Judged> {
        let own = figures.get(self.figure, &self.case, self.contender)?.median;
        let other = match &self.beside {
            Beside::Nothing => 1.0,
            Beside::Peer(peer) => figures.get(self.figure, &self.case, peer)?.median,
            Beside::Case(peer, case) => figures.get(self.figure, case, peer)?.median,
        };
        let value = own / other;
        Some(Judged {
            what: self.words(),
            value,
            met: self.goal.holds(value),
            passes: self.gate.map(|gate| gate.holds(value)),
        })
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Figure { name, unit } = self.figure;
        let Self {
            case, contender, ..
        } = self;
        let (side, limit) = match self.goal {
            Bound::AtMost(limit) => ("at most", limit),
            Bound::AtLeast(limit) => ("at least", limit),
        };
        let what = format!("{contender}: {name} ({case})");
        match &self.beside {
            Beside::Nothing => format!("{what} {side} {} {unit}", short(limit)),
            Beside::Peer(peer) => format!("{what} {side} {} x {peer}", short(limit)),
            Beside::Case(peer, case) => {
                format!("{what} {side} {} x {peer} ({case})", short(limit))
            }
        }
    }
}

/// Three digits that say something.
#[must_use]
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        value if value >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
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
    fn a_ratio_is_judged_by_goal_and_gate() {
        let goals = all();
        let beside_bare =
            |goal: &&Goal| goal.beside == Beside::Peer(BARE) && goal.figure == COLD_START;
        let goal = goals.iter().find(beside_bare).unwrap();
        for (own, met, passes) in [
            (12.0, true, true),
            (14.0, false, true),
            (17.0, false, false),
        ] {
            let judged = goal.judge(&figures(own, 10.0)).unwrap();
            assert_eq!((judged.met, judged.passes), (met, Some(passes)), "{own}");
        }
        assert_eq!(goal.judge(&Figures::default()), None);
    }

    #[test]
    fn the_gate_judges_ratios_counts_and_nothing_that_a_machine_decides() {
        for goal in all().iter().filter(|goal| goal.gate.is_some()) {
            let is_count = [INGEST_CALLS, FORWARD_CALLS, COMPLETE_CALLS].contains(&goal.figure);
            assert!(
                is_count || goal.beside != Beside::Nothing,
                "{}",
                goal.words()
            );
        }
    }

    #[test]
    fn figures_are_told_by_the_digits_that_say_something() {
        let told = [8.0, 1.0 / 60.0, 0.002, 123.4, 1.3, 20.0].map(short);
        assert_eq!(told, ["8", "0.0167", "0.002", "123", "1.3", "20"]);
    }
}
