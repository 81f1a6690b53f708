//! A property test: no change is lost or reordered under random faults.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use onewrite::{
    event::{EventSource, NotificationEvent},
    item::NotificationItem,
    stream::Record,
};
use onewrite_forward::handler::Forward;
use onewrite_testing::{
    Change, EntryFault, Fault, FaultyStream, InMemoryStream, StreamFault, contract, lambda_event,
};
use proptest::prelude::*;

use crate::support::{CallRecorder, change_of, change_without_event, deliver};

/// A generated fault of one call to the stream.
#[derive(Debug, Clone)]
enum GeneratedFault {
    Call(u8),
    Entries(Vec<u8>),
}

fn generated_fault() -> impl Strategy<Value = GeneratedFault> {
    prop_oneof![
        (0..6_u8).prop_map(GeneratedFault::Call),
        prop::collection::vec(0..6_u8, 1..12).prop_map(GeneratedFault::Entries),
    ]
}

fn fault(generated: &GeneratedFault) -> StreamFault {
    match generated {
        GeneratedFault::Call(draw) => StreamFault::Call(match draw {
            0 => Fault::Throttled,
            1 => Fault::RequestLost,
            2 => Fault::ResponseLost,
            3 => Fault::SilentAfter,
            4 => Fault::Refused,
            _ => Fault::None,
        }),
        GeneratedFault::Entries(draws) => {
            let entry = |draw: &u8| match draw {
                0 => EntryFault::Throttled,
                1 => EntryFault::Lost,
                2 => EntryFault::StoredButFailed,
                _ => EntryFault::None,
            };
            StreamFault::Entries(draws.iter().map(entry).collect())
        }
    }
}

/// The kinds of changes in the property test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeKind {
    Event,
    Skipped,
    Unreadable,
}

fn change_kind() -> impl Strategy<Value = ChangeKind> {
    prop_oneof![6 => Just(ChangeKind::Event), 1 => Just(ChangeKind::Skipped), 1 => Just(ChangeKind::Unreadable)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Redelivers from the reported record, as Lambda does, until the batch succeeds. Some deliveries reach a new process, which
    /// has no memory. No change is lost or skipped
    /// before it is published, and the events of each id first appear in the order of its changes.
    #[test]
    fn loses_and_reorders_no_change(
        emitted in prop::collection::vec((0..5_usize, change_kind()), 1..40),
        faults in prop::collection::vec(generated_fault(), 0..30),
        seed in any::<u64>(),
        budget_ms in 600..4_000_u64,
        restarts in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let verdict = runtime.block_on(run(&emitted, faults, seed, Duration::from_millis(budget_ms), &restarts));
        prop_assert_eq!(verdict, Ok(()));
    }
}

async fn run(
    emitted: &[(usize, ChangeKind)],
    faults: Vec<GeneratedFault>,
    seed: u64,
    budget: Duration,
    restarts: &[bool],
) -> Result<(), String> {
    let changes = changes_of(emitted);
    let inner = InMemoryStream::new(3).shuffling(seed);
    let fault_count = faults.len();
    let stream = CallRecorder::new(FaultyStream::new(inner.clone(), move |number, _| {
        faults.get(number).map(fault).unwrap_or_default()
    }));
    let process = || Forward::new(stream.clone(), EventSource::default());
    let (mut from, mut forward) = (0, process());
    for delivery in 0..fault_count + 2 {
        if restarts[delivery % restarts.len()] {
            forward = process();
        }
        let event = lambda_event::dynamodb(&changes[from..]);
        let reported = deliver(&forward, event, budget).await;
        let passed = reported.unwrap_or(changes.len());
        if passed < from {
            return Err(format!(
                "reported {passed}, which was not in the batch from {from}"
            ));
        }
        if emitted
            .get(passed)
            .is_some_and(|(_, emitted)| *emitted != ChangeKind::Event)
        {
            return Err(format!("reported {passed}, which is not to be published"));
        }
        let must_be_published = (from..passed)
            .filter(|place| emitted[*place].1 == ChangeKind::Event)
            .map(|place| &changes[place]);
        check_published(&inner, must_be_published)?;
        from = passed;
        if reported.is_none() {
            break;
        }
    }
    if from < changes.len() {
        return Err("it never ends".to_owned());
    }
    check_ids_in_calls(&stream.calls())?;
    check_first_order(&inner)
}

/// The changes with these ids and kinds, in this order.
fn changes_of(emitted: &[(usize, ChangeKind)]) -> Vec<Change> {
    // Each change of an id is another redrive, so each change has a distinct document.
    let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
    emitted
        .iter()
        .enumerate()
        .map(|(place, (id, emitted))| {
            if *emitted != ChangeKind::Event {
                return change_without_event(
                    place,
                    &format!("id-{id}"),
                    *emitted == ChangeKind::Skipped,
                );
            }
            let version = versions.entry(*id).or_insert(0);
            *version += 1;
            let mut item = contract::notification(&format!("id-{id}"), "null");
            item.version = *version;
            change_of(place, &item, false)
        })
        .collect()
}

/// Every change that the checkpoint passed is in the stream.
fn check_published<'a>(
    stream: &InMemoryStream,
    passed: impl Iterator<Item = &'a Change>,
) -> Result<(), String> {
    let published: HashSet<(String, u64)> = stream
        .records()
        .iter()
        .map(|stored| NotificationEvent::parse(&stored.record.data).unwrap())
        .map(|event| (event.subject.to_string(), event.sequence))
        .collect();
    for change in passed {
        let item = NotificationItem::from_item(change.new.as_ref().unwrap()).unwrap();
        if !published.contains(&(change.id.clone(), item.version)) {
            return Err(format!(
                "{} was skipped unpublished",
                change.sequence_number
            ));
        }
    }
    Ok(())
}

/// No call has two records of an id.
fn check_ids_in_calls(calls: &[Vec<Record>]) -> Result<(), String> {
    for call in calls {
        let ids: HashSet<_> = call.iter().map(|record| record.id.clone()).collect();
        if ids.len() < call.len() {
            return Err("two records of an id in one call".to_owned());
        }
    }
    Ok(())
}

/// The versions of each id first appear in their order.
fn check_first_order(stream: &InMemoryStream) -> Result<(), String> {
    let mut first_seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for stored in stream.records() {
        let event = NotificationEvent::parse(&stored.record.data).unwrap();
        let seen = first_seen.entry(event.subject.to_string()).or_default();
        if !seen.contains(&event.sequence) {
            seen.push(event.sequence);
        }
    }
    for (id, seen) in first_seen {
        if !seen.is_sorted() {
            return Err(format!("{id} first appeared in the order {seen:?}"));
        }
    }
    Ok(())
}
