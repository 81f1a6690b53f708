//! Effects under faults of the table, crashes and redeliveries.

use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use onewrite_testing::{Fault, FaultyTable};
use proptest::prelude::*;

use crate::support::{
    LedgerDownstream, assert_each_done_once, batch, batch_from, done_event, handle, is_done,
    ledger, store, store_all, table, unknown,
};

/// The faults of a call to the table.
const FAULTS: [Fault; 8] = [
    Fault::None,
    Fault::Throttled,
    Fault::Refused,
    Fault::RequestLost,
    Fault::ResponseLost,
    Fault::SilentBefore,
    Fault::SilentAfter,
    Fault::Panic,
];

#[tokio::test(start_paused = true)]
async fn commits_an_effect_with_done_or_not_at_all_under_every_fault() {
    for fault in FAULTS {
        let (table, downstream) = (table(), LedgerDownstream::default());
        let documents = store_all(&table, &["a"]).await;
        let faulty = FaultyTable::scripted(table.clone(), [fault]);
        let first = handle(faulty.clone(), &downstream, batch(&documents)).await;
        assert_eq!(first.is_some(), fault != Fault::None, "{fault:?}");
        let takes_effect = matches!(
            fault,
            Fault::None | Fault::ResponseLost | Fault::SilentAfter
        );
        assert_eq!(is_done(&table, "a"), takes_effect, "{fault:?}");
        assert_eq!(ledger(&table).contains_key("a"), takes_effect, "{fault:?}");

        assert_eq!(handle(faulty, &downstream, batch(&documents)).await, None);
        assert_each_done_once(&table, ["a"]);
    }
}

/// Polls `work` at most `polls` times, then drops it, as a crash does.
async fn crash_after<F: Future>(polls: usize, work: F) -> Option<F::Output> {
    let (mut work, mut polled) = (pin!(work), 0);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polled == polls => Poll::Ready(None),
        Poll::Pending => {
            polled += 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn repeats_no_committed_effect_after_a_crash_at_any_await_point() {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let mut halfway = 0;
    for polls in 0.. {
        let (table, downstream) = (table(), LedgerDownstream::default());
        let documents = store_all(&table, &ids).await;
        let pause = Duration::from_millis(3);
        let answering = FaultyTable::new(table.clone(), move |_| Fault::AnswerDelayed(pause));
        let slow = FaultyTable::new(answering, move |call| {
            Fault::Delayed(pause * call.number as u32)
        });
        let work = handle(slow, &downstream, batch(&documents));
        let survived = crash_after(polls, work).await.is_some();
        let done = ids.iter().filter(|id| is_done(&table, id)).count();
        assert_eq!(ledger(&table).len(), done, "after {polls} polls");
        halfway += usize::from((1..ids.len()).contains(&done));

        assert_eq!(
            handle(table.clone(), &downstream, batch(&documents)).await,
            None
        );
        assert_each_done_once(&table, ids);
        if survived {
            assert!(
                halfway > 3,
                "too few crashes with some notifications done: {halfway}"
            );
            return;
        }
    }
}

/// The kinds of records in the property test.
#[derive(Debug, Clone, Copy)]
enum GeneratedRecord {
    Init(u8),
    Done(u8),
    Unknown,
    Foreign,
}

fn generated_record() -> impl Strategy<Value = GeneratedRecord> {
    prop_oneof![
        6 => (0..6_u8).prop_map(GeneratedRecord::Init),
        1 => (0..6_u8).prop_map(GeneratedRecord::Done),
        1 => Just(GeneratedRecord::Unknown),
        1 => Just(GeneratedRecord::Foreign),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Simulates Lambda: redelivers from the checkpoint until every record is acknowledged, while the table fails
    /// for some time. A record that always fails is discarded after the maximum number of attempts.
    #[test]
    fn completes_every_notification_once_and_never_skips_a_failure(
        records in prop::collection::vec(generated_record(), 1..16),
        faults in prop::collection::vec(prop::sample::select(FAULTS.to_vec()), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (table, downstream) = (table(), LedgerDownstream::default());
            let mut documents = Vec::new();
            let mut stored = BTreeSet::new();
            for record in &records {
                documents.push(match record {
                    GeneratedRecord::Init(n) => {
                        let id = format!("n{n}");
                        let document = store(&table, &id).await;
                        stored.insert(id);
                        document
                    }
                    GeneratedRecord::Done(n) => done_event(&format!("n{n}")),
                    GeneratedRecord::Unknown => unknown("unknown"),
                    GeneratedRecord::Foreign => b"{}".to_vec(),
                });
            }
            let is_poison = |place: usize| matches!(records[place], GeneratedRecord::Unknown | GeneratedRecord::Foreign);
            let faulty = FaultyTable::scripted(table.clone(), faults.clone());
            let (mut checkpoint, mut attempts) = (0, 0);
            while checkpoint < records.len() {
                attempts += 1;
                let event = batch_from(checkpoint, &documents);
                let Some(reported) = handle(faulty.clone(), &downstream, event).await else {
                    break;
                };
                let lowest = reported.parse::<usize>().unwrap() - 8;
                assert!((checkpoint..records.len()).contains(&lowest));
                for (place, sent) in records.iter().enumerate().take(lowest).skip(checkpoint) {
                    assert!(!is_poison(place), "{place} was skipped");
                    if let GeneratedRecord::Init(n) = sent {
                        assert!(is_done(&table, &format!("n{n}")), "{place} was skipped");
                    }
                }
                if lowest > checkpoint {
                    (checkpoint, attempts) = (lowest, 0);
                } else if attempts > faults.len() {
                    // The list of faults is exhausted, so only a poison record can still fail.
                    assert!(is_poison(lowest), "{lowest} must not fail after the last fault");
                    (checkpoint, attempts) = (lowest + 1, 0);
                }
            }
            assert_each_done_once(&table, stored.iter().map(String::as_str));
        });
    }
}
