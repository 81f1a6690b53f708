//! A second, small model: consumers whose effect is a call to a target. They read the current state before the call. The item
//! can be removed after it was settled, and its id can be used again, while processes still hold events of the first
//! notification.
//!
//! One id is enough, because consumers and the table treat ids independently.

use stateright::{Checker as _, Model, Property};

/// The notifications that use the id one after the other.
const GENERATIONS: usize = 2;
const PROCESSES: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// The consumer calls the target without reading the state.
    NotRead,
    /// The consumer takes an open item for its own notification without comparing fingerprints.
    FingerprintNotRead,
    /// A process uses a state that it has read for an earlier event.
    OldState,
    /// The write that settles does not compare fingerprints.
    FingerprintNotInCondition,
    /// The consumer settles although the target did not accept.
    SettledWithoutAcceptance,
    /// The consumer drops an event whose notification is open.
    OpenDropped,
}

impl Bug {
    const ALL: [(Self, &'static str); 6] = [
        (Self::NotRead, OPEN),
        (Self::FingerprintNotRead, OPEN),
        (Self::OldState, OPEN),
        (Self::FingerprintNotInCondition, OWN_EVENT),
        (Self::SettledWithoutAcceptance, EFFECT),
        (Self::OpenDropped, PROGRESS),
    ];
}

const OPEN: &str = "Called while open";
const OWN_EVENT: &str = "Settled by its own event";
const EFFECT: &str = "Effect";
const PROGRESS: &str = "Progress";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    item: Option<Item>,
    /// The number of notifications that were stored.
    stored: usize,
    /// By generation, whether a consumer has moved past its event.
    passed: [bool; GENERATIONS],
    /// By generation, how often the target accepted it.
    accepted: [u8; GENERATIONS],
    processes: [Process; PROCESSES],
    broken: Option<&'static str>,
    /// Crashes, lost answers and redelivered events that may still happen.
    faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Item {
    generation: usize,
    is_settled: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Process {
    job: Option<Job>,
    /// The state that it has read for an earlier event.
    old: Option<Option<Item>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    generation: usize,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Received. What the table had then.
    Received(Option<Item>),
    /// Read, and the notification is open. What the table had when the event was received.
    Open(Option<Item>),
    Accepted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Store,
    Remove,
    /// A process receives the event of a generation.
    Receive(usize, usize),
    Read(usize),
    Call(usize),
    /// The target accepts, but its answer is lost.
    CallLost(usize),
    Settle(usize),
    Crash(usize),
}

#[derive(Debug, Clone, Copy, Default)]
struct Consumers {
    bug: Option<Bug>,
}

impl Consumers {
    fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

impl Model for Consumers {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            item: None,
            stored: 0,
            passed: [false; GENERATIONS],
            accepted: [0; GENERATIONS],
            processes: Default::default(),
            broken: None,
            faults: 3,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        match state.item {
            None if state.stored < GENERATIONS => actions.push(Action::Store),
            Some(item) if item.is_settled && state.stored < GENERATIONS => {
                actions.push(Action::Remove);
            }
            _ => {}
        }
        for (number, process) in state.processes.iter().enumerate() {
            let Some(job) = process.job else {
                let events = 0..state.stored;
                let unread = events.filter(|event| !state.passed[*event] || state.faults > 0);
                actions.extend(unread.map(|event| Action::Receive(number, event)));
                continue;
            };
            match job.step {
                Step::Received(_) => actions.push(Action::Read(number)),
                Step::Open(_) if state.faults > 0 => {
                    actions.extend([Action::Call(number), Action::CallLost(number)]);
                }
                Step::Open(_) => actions.push(Action::Call(number)),
                Step::Accepted => actions.push(Action::Settle(number)),
            }
            if state.faults > 0 {
                actions.push(Action::Crash(number));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Store => {
                let generation = state.stored;
                let is_settled = false;
                state.item = Some(Item {
                    generation,
                    is_settled,
                });
                state.stored += 1;
            }
            Action::Remove => state.item = None,
            Action::Receive(number, generation) => {
                state.faults -= u8::from(state.passed[generation]);
                let step = Step::Received(state.item);
                state.processes[number].job = Some(Job { generation, step });
            }
            Action::Read(number) => self.read(&mut state, number),
            Action::Call(number) | Action::CallLost(number) => {
                self.call(&mut state, number, matches!(action, Action::CallLost(_)));
            }
            Action::Settle(number) => self.settle(&mut state, number),
            Action::Crash(number) => {
                state.faults -= 1;
                state.processes[number] = Process::default();
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(OPEN, |_: &Self, state: &State| state.broken != Some(OPEN)),
            Property::always(OWN_EVENT, |_: &Self, state: &State| {
                state.broken != Some(OWN_EVENT)
            }),
            Property::always(EFFECT, |_: &Self, state: &State| {
                state.broken != Some(EFFECT)
            }),
            Property::eventually(PROGRESS, |_: &Self, state: &State| {
                let is_settled = state.item.is_some_and(|item| item.is_settled);
                is_settled && state.passed == [true; GENERATIONS]
            }),
            Property::sometimes(
                "both processes call the target at once",
                |_: &Self, state: &State| {
                    let calls = |process: &Process| {
                        process
                            .job
                            .is_some_and(|job| matches!(job.step, Step::Open(_)))
                    };
                    state.processes.iter().all(calls)
                },
            ),
            Property::sometimes(
                "settled between the read and the call",
                |_: &Self, state: &State| {
                    let opened = |process: &Process| {
                        let job = process.job.filter(|job| matches!(job.step, Step::Open(_)));
                        job.is_some_and(|job| state.is_settled(job.generation))
                    };
                    state.processes.iter().any(opened)
                },
            ),
            Property::sometimes(
                "the target accepts a notification twice",
                |_: &Self, state: &State| state.accepted.iter().any(|accepted| *accepted > 1),
            ),
            Property::sometimes(
                "an old event meets a later notification",
                |_: &Self, state: &State| {
                    let item = state.item.filter(|item| !item.is_settled);
                    let old = |process: &Process| {
                        let job = process.job.zip(item);
                        job.is_some_and(|(job, item)| job.generation < item.generation)
                    };
                    state.processes.iter().any(old)
                },
            ),
        ]
    }
}

impl State {
    /// Whether the item is this notification, and settled.
    fn is_settled(&self, generation: usize) -> bool {
        let item = self.item.filter(|item| item.generation == generation);
        item.is_some_and(|item| item.is_settled)
    }

    /// Moves past the event of a process.
    fn pass(&mut self, number: usize, generation: usize) {
        self.passed[generation] = true;
        self.processes[number].job = None;
    }
}

/// Whether the item is this notification, and open.
fn is_open(item: Option<Item>, generation: usize) -> bool {
    item.is_some_and(|item| item.generation == generation && !item.is_settled)
}

impl Consumers {
    fn read(self, state: &mut State, number: usize) {
        let Process { job, old } = state.processes[number];
        let Some(Job {
            generation,
            step: Step::Received(received),
        }) = job
        else {
            return;
        };
        let read = match old {
            Some(old) if self.has(Bug::OldState) => old,
            _ => state.item,
        };
        state.processes[number].old = self.has(Bug::OldState).then_some(read);
        let is_open = match self.bug {
            Some(Bug::NotRead) => true,
            Some(Bug::FingerprintNotRead) => read.is_some_and(|item| !item.is_settled),
            _ => is_open(read, generation),
        };
        if !is_open || self.has(Bug::OpenDropped) {
            return state.pass(number, generation);
        }
        let step = Step::Open(received);
        state.processes[number].job = Some(Job { generation, step });
    }

    /// The call may begin only if the notification was open when the invocation began.
    fn call(self, state: &mut State, number: usize, is_lost: bool) {
        let Some(Job {
            generation,
            step: Step::Open(received),
        }) = state.processes[number].job
        else {
            return;
        };
        if !is_open(received, generation) {
            state.broken = Some(OPEN);
        }
        state.accepted[generation] += u8::from(!self.has(Bug::SettledWithoutAcceptance));
        let step = Step::Accepted;
        state.processes[number].job = (!is_lost).then_some(Job { generation, step });
        state.faults -= u8::from(is_lost);
    }

    fn settle(self, state: &mut State, number: usize) {
        let Some(Job { generation, .. }) = state.processes[number].job else {
            return;
        };
        let is_same =
            |item: &Item| item.generation == generation || self.has(Bug::FingerprintNotInCondition);
        if let Some(item) = state.item.filter(|item| !item.is_settled).filter(is_same) {
            state.item = Some(Item {
                is_settled: true,
                ..item
            });
            if item.generation != generation {
                state.broken = Some(OWN_EVENT);
            } else if state.accepted[generation] == 0 {
                state.broken = Some(EFFECT);
            }
        }
        state.pass(number, generation);
    }
}

#[test]
fn consumers_that_read_the_state_keep_their_guarantees_although_ids_are_used_again() {
    let checker = Consumers::default().checker().spawn_bfs().join();
    println!("\n{} states", checker.unique_state_count());
    // Also checks that every situation occurs.
    checker.assert_properties();
}

#[test]
fn detects_every_bug_of_a_state_check() {
    for (bug, guarantee) in Bug::ALL {
        let consumers = Consumers { bug: Some(bug) };
        let checker = consumers.checker().spawn_bfs().join();
        let broken = checker.discovery(guarantee);
        assert!(broken.is_some(), "{bug:?} does not break \"{guarantee}\"");
    }
}
