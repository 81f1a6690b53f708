//! Whatever happens in whatever order, no record is lost, and no record is delivered before an earlier one of its key
//! is processed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::*;
use crate::Millis;
use crate::choices::{Choices, Mixer};
use crate::failure_record::FailureRecord;
use crate::invocation::InvocationOutcome;
use crate::mapping::StreamKind;
use crate::shards::{Stream, StreamSettings};
use crate::stream::{Input, StreamPoller};

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    kind: StreamKind,
    shards: u64,
    gives_up: bool,
    settings: Settings,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    batch_size: u32,
    window: u32,
    factor: u32,
    bisect: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, count: u8 },
    Pass(Millis),
    Split(prop::sample::Index),
    FailReads,
    Disable,
    Enable,
    Reconfigure(Settings),
    Lose,
}

impl Settings {
    fn json(self, gives_up: bool) -> Value {
        to_queue(json!({
            "BatchSize": self.batch_size,
            "MaximumBatchingWindowInSeconds": self.window,
            "ParallelizationFactor": self.factor,
            "BisectBatchOnFunctionError": self.bisect,
            "MaximumRetryAttempts": if gives_up { 2 } else { -1 },
        }))
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    (1..=20u32, 0..=3u32, 1..=4u32, any::<bool>()).prop_map(
        |(batch_size, window, factor, bisect)| Settings {
            batch_size,
            window,
            factor,
            bisect,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6u8, 1..10u8).prop_map(|(key, count)| Step::Put { key, count }),
        6 => (0..20_000u64).prop_map(Step::Pass),
        1 => any::<prop::sample::Index>().prop_map(Step::Split),
        1 => Just(Step::FailReads),
        1 => Just(Step::Disable),
        1 => Just(Step::Enable),
        1 => settings().prop_map(Step::Reconfigure),
        1 => Just(Step::Lose),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![Just(StreamKind::DynamoDb), Just(StreamKind::Kinesis)];
    let steps = prop::collection::vec(step(), 1..40);
    (
        any::<u64>(),
        kind,
        1..4u64,
        any::<bool>(),
        settings(),
        steps,
    )
        .prop_map(|(seed, kind, shards, gives_up, settings, steps)| Plan {
            seed,
            kind,
            shards,
            gives_up,
            settings,
            steps,
        })
}

/// What a function should have received, given the failures it reported.
#[derive(Default)]
struct Ledger {
    /// Records of successful invocations.
    processed: BTreeSet<String>,
    /// The labels of each key in the order of their first appearance.
    first_seen: BTreeMap<String, Vec<String>>,
    seen: BTreeSet<String>,
    calm: bool,
}

fn key_of(label: &str) -> &str {
    label.split('-').next().unwrap()
}

/// Fails, reports failures or is throttled at random, until the ledger is calm.
fn unreliable_function(
    seed: u64,
    ledger: Rc<RefCell<Ledger>>,
) -> impl FnMut(&Invocation) -> InvocationOutcome {
    let mut mixer = Mixer::new(seed);
    move |invocation: &Invocation| {
        let mut ledger = ledger.borrow_mut();
        for label in &invocation.labels {
            if ledger.seen.insert(label.clone()) {
                let key = key_of(label).to_owned();
                ledger
                    .first_seen
                    .entry(key)
                    .or_default()
                    .push(label.clone());
            }
        }
        let fate = if ledger.calm { 5 } else { mixer.next() % 10 };
        match fate {
            0 => error(),
            1 => InvocationOutcome::Throttled,
            2 => InvocationOutcome::InvocationError("500".to_owned()),
            3 => InvocationOutcome::Response("[1]".to_owned()),
            4 => {
                let first = (mixer.next() % invocation.labels.len() as u64) as usize;
                for label in &invocation.labels[..first] {
                    ledger.processed.insert(label.clone());
                }
                let failed: Vec<&str> = invocation.labels[first..]
                    .iter()
                    .map(String::as_str)
                    .collect();
                invocation.failing(&failed)
            }
            _ => {
                ledger.processed.extend(invocation.labels.iter().cloned());
                ok()
            }
        }
    }
}

fn run(plan: &Plan) -> Result<(), TestCaseError> {
    let choices = Choices::from_seed(plan.seed);
    let settings = StreamSettings {
        empty_one_in: 3,
        ..StreamSettings::new(plan.kind)
    };
    let stream = Stream::new(settings, plan.shards, plan.seed);
    let mut current = mapping(plan.kind, plan.settings.json(plan.gives_up));
    let mut harness = Harness::over(stream, StreamPoller::new(current.clone(), choices));
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    harness = harness.function(unreliable_function(plan.seed, Rc::clone(&ledger)));
    harness.run = 700;
    harness.enable();
    let mut put: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in &plan.steps {
        match step {
            Step::Put { key, count } => {
                for _ in 0..*count {
                    let key = format!("k{key}");
                    let of_key = put.entry(key.clone()).or_default();
                    let label = format!("{key}-{}", of_key.len());
                    of_key.push(label.clone());
                    harness.put_keyed(&key, &label);
                }
            }
            Step::Pass(millis) => harness.pass(*millis),
            Step::Split(index) => {
                let open = harness.stream.open_shards();
                let shard: &String = index.get(&open);
                harness.stream.split(harness.now, shard);
            }
            Step::FailReads => {
                harness.failing_reads = 2;
                harness.failing_lists = 2;
            }
            Step::Disable => harness.input(Input::Disable),
            Step::Enable => harness.enable(),
            Step::Reconfigure(settings) => {
                current = mapping(plan.kind, settings.json(plan.gives_up));
                harness.input(Input::Reconfigure(current.clone()));
            }
            Step::Lose => {
                harness.lose_poller(current.clone(), choices);
                harness.enable();
            }
        }
        let listed = harness.poller.in_flight();
        prop_assert!(listed.invocations <= 64);
    }
    ledger.borrow_mut().calm = true;
    harness.enable();
    harness.pass(600_000);

    check_records(plan, &put, &ledger.borrow(), &harness.failure_records)?;
    prop_assert!(harness.poller.is_idle());
    Ok(())
}

/// Every record was processed or given up, and each key's records were seen in order.
fn check_records(
    plan: &Plan,
    put: &BTreeMap<String, Vec<String>>,
    ledger: &Ledger,
    failure_records: &[(FailureRecord, String)],
) -> Result<(), TestCaseError> {
    let given_up: BTreeSet<String> = failure_records
        .iter()
        .flat_map(|(_, event)| {
            let event: Value = serde_json::from_str(event).unwrap();
            let records = event["Records"].as_array().unwrap().clone();
            records
                .into_iter()
                .map(|record| record["label"].as_str().unwrap().to_owned())
        })
        .collect();
    if !plan.gives_up {
        prop_assert!(given_up.is_empty(), "{given_up:?}");
    }
    for (key, labels) in put {
        for label in labels {
            prop_assert!(
                ledger.processed.contains(label) || given_up.contains(label),
                "{label} was lost"
            );
        }
        let seen: Vec<_> = ledger.first_seen.get(key).cloned().unwrap_or_default();
        prop_assert_eq!(&seen, labels, "each was seen, in order");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_loses_a_record_and_keeps_key_order(plan in plan()) {
        run(&plan)?;
    }
}
