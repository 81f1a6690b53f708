//! Whatever happens in whatever order, no message is lost, and none is deleted without being acknowledged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::*;
use crate::Millis;
use crate::choices::{Choices, Mixer};
use crate::invocation::InvocationOutcome;
use crate::queue::{NewMessage, QueueSettings, Redrive};
use crate::sqs::Input;

const PATTERN: &str = r#"{"body":{"drop":[false]}}"#;

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    fifo: bool,
    reporting: bool,
    visibility_timeout: Millis,
    max_receive_count: Option<u32>,
    settings: Settings,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    batch_size: u32,
    window: u32,
    maximum_concurrency: u32,
    filtered: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Send { group: u8, count: u8 },
    Pass(Millis),
    Redeliver(prop::sample::Index),
    Disable,
    Enable,
    Reconfigure(Settings),
}

impl Settings {
    fn json(self, fifo: bool, reports: bool) -> Value {
        let mut settings = if reports { reporting() } else { json!({}) };
        settings["BatchSize"] = if fifo || self.window == 0 {
            self.batch_size.min(10)
        } else {
            self.batch_size
        }
        .into();
        settings["MaximumBatchingWindowInSeconds"] = if fifo { 0 } else { self.window }.into();
        settings["ScalingConfig"] = json!({ "MaximumConcurrency": self.maximum_concurrency });
        if self.filtered {
            settings["FilterCriteria"] = json!({ "Filters": [{ "Pattern": PATTERN }] });
        }
        settings
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    (1..=25u32, 0..=20u32, 2..=6u32, any::<bool>()).prop_map(
        |(batch_size, window, maximum_concurrency, filtered)| Settings {
            batch_size,
            window,
            maximum_concurrency,
            filtered,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8, 1..12u8).prop_map(|(group, count)| Step::Send { group, count }),
        4 => (0..40_000u64).prop_map(Step::Pass),
        2 => any::<prop::sample::Index>().prop_map(Step::Redeliver),
        1 => Just(Step::Disable),
        2 => Just(Step::Enable),
        1 => settings().prop_map(Step::Reconfigure),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let flags = (any::<u64>(), any::<bool>(), any::<bool>());
    let steps = prop::collection::vec(step(), 1..40);
    (
        flags,
        4..40u64,
        prop::option::of(1..6u32),
        settings(),
        steps,
    )
        .prop_map(
            |((seed, fifo, reporting), visibility, max_receive_count, settings, steps)| Plan {
                seed,
                fifo,
                reporting,
                visibility_timeout: visibility * SECOND,
                max_receive_count,
                settings,
                steps,
            },
        )
}

/// What the function did; the poller is checked against it.
#[derive(Default)]
struct Ledger {
    /// The time of the first acknowledgement of each message.
    acknowledged: BTreeMap<String, Millis>,
    calm: bool,
}

/// Succeeds, fails, reports failures, returns a malformed response, is throttled or exceeds the visibility timeout.
/// Once calm, it always succeeds.
fn function(
    plan: &Plan,
    ledger: Rc<RefCell<Ledger>>,
) -> impl FnMut(Millis, &Event) -> (InvocationOutcome, Millis) + use<> {
    let mut mixer = Mixer::new(plan.seed);
    let Plan {
        fifo,
        reporting,
        visibility_timeout,
        ..
    } = *plan;
    move |now, event| {
        let ids = event.message_ids();
        let calm = ledger.borrow().calm;
        let takes = if calm {
            0
        } else {
            mixer.next() % (visibility_timeout * 5 / 4)
        };
        let (outcome, done) = match if calm { 0 } else { mixer.next() % 8 } {
            0 | 1 => (success(), ids),
            2 => (error(), Vec::new()),
            3 => (InvocationOutcome::Throttled, Vec::new()),
            4 => (
                InvocationOutcome::InvocationError("ServiceException".to_owned()),
                Vec::new(),
            ),
            5 if reporting => (failures([&"unknown".to_owned()]), Vec::new()),
            _ if reporting => {
                let failed = some_failed(&mut mixer, event, fifo);
                let answer = failures(&failed);
                (
                    answer,
                    ids.into_iter().filter(|id| !failed.contains(id)).collect(),
                )
            }
            _ => (success(), ids),
        };
        for id in done {
            let first = &mut ledger.borrow_mut().acknowledged;
            let at = first.entry(id).or_insert(now + takes);
            *at = (*at).min(now + takes);
        }
        (outcome, takes)
    }
}

/// Fails one in three messages and, on a FIFO queue, all behind it in its group (F6).
fn some_failed(mixer: &mut Mixer, event: &Event, fifo: bool) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    let mut failed = BTreeSet::new();
    for (record, id) in event.records.iter().zip(event.message_ids()) {
        let group = record["attributes"]["MessageGroupId"].to_string();
        if mixer.one_in(3) || fifo && broken.contains(&group) {
            failed.insert(id);
            broken.insert(group);
        }
    }
    failed
}

struct PlanResult {
    harness: Harness,
    ledger: Rc<RefCell<Ledger>>,
    sent: Vec<(u8, String)>,
    dropped: BTreeSet<String>,
}

fn play(plan: &Plan) -> PlanResult {
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let choices = Choices::from_seed(plan.seed);
    let queue = if plan.fifo {
        QueueSettings::fifo()
    } else {
        QueueSettings::standard()
    };
    let redrive = plan.max_receive_count.map(|max_receive_count| Redrive {
        max_receive_count,
        retention: u64::MAX / 2,
    });
    let queue = QueueSettings {
        visibility_timeout: plan.visibility_timeout,
        retention: u64::MAX / 2,
        redrive,
        shuffle: choices.shuffle_standard,
        seed: plan.seed,
        ..queue
    };
    let settings = plan.settings.json(plan.fifo, plan.reporting);
    let mut harness = Harness::new(queue, settings, choices, function(plan, ledger.clone()));
    harness.faults = Some(Mixer::new(!plan.seed));
    let mut played = PlanResult {
        harness,
        ledger,
        sent: Vec::new(),
        dropped: BTreeSet::new(),
    };
    for step in &plan.steps {
        played.step(plan, step);
    }
    played
}

impl PlanResult {
    fn step(&mut self, plan: &Plan, step: &Step) {
        match step {
            Step::Send { group, count } => {
                for _ in 0..*count {
                    let drop = self.sent.len().is_multiple_of(5);
                    let body = json!({ "n": self.sent.len(), "drop": drop }).to_string();
                    let outgoing = match plan.fifo {
                        true => NewMessage::in_group(group.to_string(), body),
                        false => NewMessage::new(body),
                    };
                    let id = self.harness.send_one(outgoing);
                    if drop {
                        self.dropped.insert(id.clone());
                    }
                    self.sent.push((*group, id));
                }
            }
            Step::Pass(time) => self.harness.pass(*time),
            Step::Redeliver(index) => {
                if !self.sent.is_empty() {
                    let (_, id) = index.get(&self.sent);
                    self.harness.queue.redeliver(self.harness.now, id);
                }
            }
            Step::Disable => self.harness.input(Input::Disable),
            Step::Enable => self.harness.enable(),
            Step::Reconfigure(settings) => {
                let settings = mapping(plan.fifo, settings.json(plan.fifo, plan.reporting));
                self.harness.input(Input::Reconfigure(settings));
            }
        }
    }

    /// Stops all faults, so that everything drains.
    fn calm_down(&mut self) {
        self.ledger.borrow_mut().calm = true;
        self.harness.faults = None;
        self.harness.enable();
        for _ in 0..200 {
            if self.harness.queue.is_empty()
                && self.harness.poller.is_idle()
                && self.harness.concurrent() == 0
            {
                return;
            }
            self.harness.pass(60 * SECOND);
        }
        panic!("{} messages are left", self.harness.queue.len());
    }

    fn may_be_dropped(&self, id: &str) -> bool {
        self.dropped.contains(id)
    }
}

proptest! {
    #[test]
    fn never_loses_a_message(plan in plan()) {
        let mut played = play(&plan);
        for calm in [false, true] {
            if calm {
                played.calm_down();
            }
            let ledger = played.ledger.borrow();
            for (_, id) in &played.sent {
                let here = played.harness.queue.contains(id);
                let dead = played.harness.queue.dead_letter_queue().is_some_and(|queue| queue.contains(id));
                let acknowledged = ledger.acknowledged.contains_key(id);
                prop_assert!(here || dead || acknowledged || played.may_be_dropped(id), "{id} is lost");
            }
        }
    }

    #[test]
    fn deletes_only_acknowledged_or_filtered_messages(plan in plan()) {
        let mut played = play(&plan);
        played.calm_down();
        let ledger = played.ledger.borrow();
        for (at, id) in &played.harness.deleted {
            let acknowledged = ledger.acknowledged.get(id).is_some_and(|first| first <= at);
            prop_assert!(acknowledged || played.may_be_dropped(id), "{id} was deleted unasked");
        }
    }

    #[test]
    fn never_invokes_after_the_visibility_timeout(plan in plan()) {
        let played = play(&plan);
        for seen in &played.harness.seen {
            for record in &seen.event.records {
                let until = played.harness.hidden_until[record["receiptHandle"].as_str().unwrap()];
                prop_assert!(seen.at < until);
            }
        }
    }

    #[test]
    fn never_exceeds_the_concurrency_of_the_mapping(plan in plan()) {
        let mut plan = plan;
        plan.steps.retain(|step| !matches!(step, Step::Reconfigure(_) | Step::Disable));
        let played = play(&plan);
        let Settings { batch_size, maximum_concurrency, .. } = plan.settings;
        prop_assert!(played.harness.peak <= maximum_concurrency as usize);
        prop_assert!(played.harness.batch_sizes().iter().all(|size| *size <= batch_size as usize));
    }

    /// If the function stops at the first failure of a group (F6), the messages of each group are first acknowledged
    /// in the order they were sent, unless one moves to the dead-letter queue (F8).
    #[test]
    fn fifo_group_is_acknowledged_in_order(plan in plan()) {
        let mut plan = plan;
        plan.fifo = true;
        plan.max_receive_count = None;
        let mut played = play(&plan);
        played.calm_down();
        let ledger = played.ledger.borrow();
        for group in 0..4 {
            let of_group = played.sent.iter().filter(|(of, id)| *of == group && !played.may_be_dropped(id));
            let times: Vec<&Millis> = of_group.filter_map(|(_, id)| ledger.acknowledged.get(id)).collect();
            prop_assert!(times.is_sorted(), "group {group}: {times:?}");
        }
    }
}
