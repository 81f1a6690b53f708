//! Checks that the models meet the contract, that the contract detects violations, and that faults behave as documented.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    time::Duration,
};

use aws_lambda_events::event::{dynamodb, kinesis::KinesisEvent};
use futures::FutureExt as _;
use proptest::prelude::*;
use serde_dynamo::AttributeValue;

use super::{contract::*, *};
use onewrite::error::ServiceError;
use onewrite::{
    item::NotificationItem,
    limits::{MAX_PUT_RECORDS, MAX_RECORD_BYTES, PUT_RECORDS_TIMEOUT},
    notification::{NotificationId, Status},
    stream::{EventStream, PutResult, Record, StreamError},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError, Verdict,
    },
};

const EFFECTS: EffectsTable<'_> = EffectsTable {
    name: "effects",
    key: "effect_id",
};

fn table() -> InMemoryTable {
    InMemoryTable::default().with_other_table(EFFECTS.name, EFFECTS.key)
}

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn records(ids: &[&str]) -> Vec<Record> {
    let record = |id: &&str| Record {
        id: NotificationId::parse(*id).unwrap(),
        data: format!("event of {id}").into_bytes(),
    };
    ids.iter().map(record).collect()
}

mod the_table {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        now(new_notifications(&table(), "insert-"));
        now(completions(&table(), "complete-"));
        now(current_states(&table(), "read-"));
        now(completions_with_writes(&table(), EFFECTS, "transact-"));
    }

    #[test]
    fn is_shared_by_its_clones() {
        let table = table();
        now(new_notifications(&table.clone(), "a-"));
        assert!(table.item("a-once").is_some());
    }

    /// An item with an unreadable fingerprint was edited. That does not show that it is another notification.
    #[test]
    fn an_invalid_fingerprint_is_a_version_mismatch() {
        let table = table();
        let item = notification("n-1", "1");
        now(table.insert(&item)).unwrap();
        table.edit("n-1", |item| {
            item.insert("fingerprint".to_owned(), AttributeValue::S("x".to_owned()));
        });
        let completed = now(table.complete(&completion_of(&item), vec![]));
        assert_eq!(completed.unwrap(), CompletionResult::VersionMismatch);
    }

    #[test]
    fn records_each_change_once_and_in_order() {
        let table = table();
        let item = notification("n-1", r#"{"n": 1.0}"#);
        now(table.insert(&item)).unwrap();
        now(table.insert(&item)).unwrap();
        now(table.complete(&completion_of(&item), vec![])).unwrap();
        now(table.complete(&completion_of(&item), vec![])).unwrap();
        table.edit("n-1", |_| ());
        table.edit("n-1", |item| {
            item.insert("redrives".to_owned(), AttributeValue::N("1".to_owned()));
        });
        table.expire("n-1");
        table.remove("n-1");

        let event: dynamodb::Event =
            serde_json::from_value(lambda_event::dynamodb_json(&table.changes())).unwrap();
        let names: Vec<_> = event
            .records
            .iter()
            .map(|r| r.event_name.as_str())
            .collect();
        assert_eq!(names, ["INSERT", "MODIFY", "MODIFY", "REMOVE"]);
        let read = |image| NotificationItem::from_item(image).ok();
        let images: Vec<_> = event
            .records
            .iter()
            .map(|r| (read(&r.change.old_image), read(&r.change.new_image)))
            .collect();
        assert_eq!(images[0], (None, Some(item)));
        for pair in images.windows(2) {
            assert_eq!(
                pair[0].1, pair[1].0,
                "each image begins where the last ended"
            );
        }
        let done = images[1].1.as_ref().unwrap();
        assert_eq!((done.status, done.version), (Status::Done, 2));
        assert!(done.expires_at.is_some());
        assert_eq!(images[2].1.as_ref().unwrap().redrives, 1);
        assert_eq!(images[3].1, None);
        let by_ttl: Vec<_> = event
            .records
            .iter()
            .map(|r| r.user_identity.is_some())
            .collect();
        assert_eq!(by_ttl, [false, false, false, true]);
        let numbers: Vec<_> = event
            .records
            .iter()
            .map(|r| r.change.sequence_number.clone().unwrap())
            .collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn rejects_unsupported_writes() {
        let table = table();
        now(table.insert(&notification("n-1", "1"))).unwrap();
        let elsewhere = EffectsTable {
            name: "nowhere",
            ..EFFECTS
        };
        let same = || EFFECTS.effect("same");
        let empty = aws_sdk_dynamodb::types::TransactWriteItem::builder().build();
        for (writes, expected) in [
            (vec![elsewhere.effect("e")], "ResourceNotFoundException"),
            (vec![same(), same()], "ValidationException"),
            (vec![empty], "NotModelled"),
        ] {
            let result = now(table.complete(&completion("n-1"), writes));
            assert!(
                matches!(&result, Err(TableError::Service(ServiceError::Refused { code })) if code == expected),
                "{result:?}"
            );
        }
        assert_eq!(table.other_items("effects").len(), 0);
        assert_eq!(table.changes().len(), 1);
    }
}

/// Adapters with one bug each. The contract must detect every bug.
mod the_contract {
    use super::*;

    /// A bug of an adapter.
    #[derive(Clone, Copy, PartialEq)]
    enum Bug {
        None,
        CreatesTwice,
        ReturnsItsOwnFingerprint,
        CreatesUnknownIds,
        AcceptsTwice,
        IgnoresTheVersion,
        IgnoresTheFingerprint,
        IgnoresTheRefusal,
        WritesWithoutDone,
        DropsTheWrites,
        ReadsInit,
        ReadsHundred,
        ReadsUnknownIds,
        ReadsNoFingerprint,
    }

    struct Buggy(Bug, InMemoryTable);

    impl NewNotifications for Buggy {
        async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
            Ok(match (self.0, self.1.insert(item).await?) {
                (Bug::CreatesTwice, _) => InsertResult::Created,
                (Bug::ReturnsItsOwnFingerprint, InsertResult::Exists { .. }) => {
                    InsertResult::Exists {
                        fingerprint: Some(item.notification.fingerprint),
                    }
                }
                (_, inserted) => inserted,
            })
        }
    }

    impl Completions for Buggy {
        type Write = aws_sdk_dynamodb::types::TransactWriteItem;

        async fn complete(
            &self,
            completion: &Completion,
            mut writes: Vec<Self::Write>,
        ) -> Result<CompletionResult, TableError> {
            let mut completion = completion.clone();
            match self.0 {
                Bug::CreatesUnknownIds => self.1.edit(completion.id.as_str(), |_| ()),
                Bug::IgnoresTheVersion => completion.version = 1,
                Bug::IgnoresTheFingerprint => {
                    if let Some(item) = self.1.item(completion.id.as_str()) {
                        let item = NotificationItem::from_item(&item).unwrap();
                        completion.fingerprint = item.notification.fingerprint;
                    }
                }
                Bug::IgnoresTheRefusal => completion.verdict = Verdict::Done,
                Bug::DropsTheWrites => writes.clear(),
                Bug::WritesWithoutDone => {
                    let other = notification(&format!("{}-other", completion.id), "1");
                    self.1.insert(&other).await?;
                    let mut other = completion.clone();
                    other.id = NotificationId::parse(format!("{}-other", other.id)).unwrap();
                    other.version = 1;
                    self.1
                        .complete(&other, writes.split_off(writes.len().min(1)))
                        .await?;
                    return self.1.complete(&completion, writes).await;
                }
                _ => {}
            }
            Ok(
                match (self.0, self.1.complete(&completion, writes).await?) {
                    (Bug::AcceptsTwice, CompletionResult::AlreadySettled(_)) => {
                        CompletionResult::Settled
                    }
                    (_, completed) => completed,
                },
            )
        }
    }

    impl CurrentStates for Buggy {
        async fn current_states(
            &self,
            ids: &[NotificationId],
        ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
            let first = &ids[..ids.len().min(100)];
            let init = CurrentState {
                status: Status::Init,
                version: 1,
                fingerprint: None,
            };
            let mut states = match self.0 {
                Bug::ReadsHundred => self.1.current_states(first).await?,
                _ => self.1.current_states(ids).await?,
            };
            for state in states.values_mut() {
                match self.0 {
                    Bug::ReadsInit => (state.status, state.version) = (Status::Init, 1),
                    Bug::ReadsNoFingerprint => state.fingerprint = None,
                    _ => {}
                }
            }
            if self.0 == Bug::ReadsUnknownIds {
                for id in ids {
                    states.entry(id.clone()).or_insert(init);
                }
            }
            Ok(states)
        }
    }

    fn is_caught(bug: Bug) -> bool {
        let buggy = Buggy(bug, table());
        let run = async {
            new_notifications(&buggy, "insert-").await;
            completions(&buggy, "complete-").await;
            completions_with_writes(&buggy, EFFECTS, "transact-").await;
            current_states(&buggy, "read-").await;
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| now(run))).is_err()
    }

    #[test]
    fn catches_every_bug() {
        assert!(!is_caught(Bug::None));
        assert!(is_caught(Bug::CreatesTwice));
        assert!(is_caught(Bug::ReturnsItsOwnFingerprint));
        assert!(is_caught(Bug::CreatesUnknownIds));
        assert!(is_caught(Bug::AcceptsTwice));
        assert!(is_caught(Bug::IgnoresTheVersion));
        assert!(is_caught(Bug::IgnoresTheFingerprint));
        assert!(is_caught(Bug::IgnoresTheRefusal));
        assert!(is_caught(Bug::WritesWithoutDone));
        assert!(is_caught(Bug::DropsTheWrites));
        assert!(is_caught(Bug::ReadsInit));
        assert!(is_caught(Bug::ReadsHundred));
        assert!(is_caught(Bug::ReadsUnknownIds));
        assert!(is_caught(Bug::ReadsNoFingerprint));
    }
}

mod the_stream {
    use super::*;

    fn shard_of(stream: &InMemoryStream, id: &str) -> String {
        match now(stream.put(&records(&[id]))).unwrap().remove(0) {
            PutResult::Confirmed { shard_id, .. } => shard_id,
            failed @ PutResult::Failed { .. } => panic!("{failed:?}"),
        }
    }

    #[test]
    fn routes_by_md5_of_the_partition_key() {
        // MD5("a") begins with 0c, MD5("b") with 92.
        let stream = InMemoryStream::new(2);
        assert_eq!(shard_of(&stream, "a"), "shardId-000000000000");
        assert_eq!(shard_of(&stream, "b"), "shardId-000000000001");
    }

    #[test]
    fn keeps_the_order_of_calls_but_not_within_a_call() {
        let ids: Vec<_> = (0..100).map(|n| format!("n-{n}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let stored = |stream: &InMemoryStream| -> Vec<String> {
            let records = stream.records();
            records.iter().map(|r| r.record.id.to_string()).collect()
        };
        let ordered = InMemoryStream::new(1);
        let shuffled = InMemoryStream::new(1).shuffling(7);
        for stream in [&ordered, &shuffled] {
            let (first, last) = ids.split_at(50);
            now(stream.put(&records(first))).unwrap();
            now(stream.put(&records(last))).unwrap();
            let halves = stored(stream);
            assert_eq!(
                halves[..50]
                    .iter()
                    .map(String::as_str)
                    .collect::<BTreeSet<_>>(),
                first.iter().copied().collect()
            );
        }
        assert_eq!(stored(&ordered), ids);
        assert_ne!(stored(&shuffled), ids);
    }

    #[test]
    fn returns_results_in_request_order_when_shuffled() {
        let stream = InMemoryStream::new(4).shuffling(7);
        let sent = records(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        let puts = now(stream.put(&sent)).unwrap();
        let stored = stream.records();
        for (record, put) in sent.iter().zip(puts) {
            let found = stored
                .iter()
                .find(|stored| stored.record == *record)
                .unwrap();
            let PutResult::Confirmed {
                shard_id,
                sequence_number,
            } = put
            else {
                panic!("{put:?}");
            };
            assert_eq!(
                (&shard_id, &sequence_number),
                (&found.shard_id, &found.sequence_number)
            );
        }
    }

    #[test]
    fn enforces_the_limits_of_a_call() {
        let stream = InMemoryStream::new(1);
        let record = |bytes: usize| Record {
            id: NotificationId::parse("n").unwrap(),
            data: vec![0; bytes],
        };
        let mib = 1024 * 1024;
        for good in [vec![record(1); MAX_PUT_RECORDS], vec![record(mib - 1); 5]] {
            assert!(now(stream.put(&good)).is_ok());
        }
        for bad in [
            vec![],
            vec![record(1); MAX_PUT_RECORDS + 1],
            vec![record(MAX_RECORD_BYTES)],
            vec![record(mib - 1); 6],
        ] {
            let result = now(stream.put(&bad));
            assert!(
                matches!(
                    result,
                    Err(StreamError::Service(ServiceError::Refused { .. }))
                ),
                "{result:?}"
            );
        }
    }

    #[test]
    fn round_trips_through_a_lambda_event() {
        let stream = InMemoryStream::new(1);
        now(stream.put(&records(&["a", "b"]))).unwrap();
        let event: KinesisEvent =
            serde_json::from_value(lambda_event::kinesis_json(&stream.records())).unwrap();
        let ids: Vec<_> = event
            .records
            .iter()
            .map(|r| r.kinesis.partition_key.as_str())
            .collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(event.records[1].kinesis.data.0, b"event of b");
        assert_eq!(
            event.records[1].kinesis.sequence_number,
            stream.records()[1].sequence_number
        );
    }

    proptest! {
        #[test]
        fn keeps_an_id_in_its_shard_or_in_a_child_after_a_split(
            shards in 1_u32..20, ids in prop::collection::vec("[!-~]{1,20}", 1..20),
        ) {
            let stream = InMemoryStream::new(shards);
            let homes: Vec<_> = ids.iter().map(|id| shard_of(&stream, id)).collect();
            for (id, home) in ids.iter().zip(&homes) {
                prop_assert_eq!(&shard_of(&stream, id), home);
            }
            stream.split();
            for (id, home) in ids.iter().zip(&homes) {
                let child = shard_of(&stream, id);
                let shards = stream.shards();
                let child = shards.iter().find(|shard| shard.id == child).unwrap();
                prop_assert_eq!(child.parent.as_ref(), Some(home));
            }
            prop_assert_eq!(stream.shards().iter().filter(|s| s.is_open).count(), 2 * shards as usize);
        }
    }
}

mod faults {
    use super::*;

    const DELAY: Duration = Duration::from_secs(60);

    /// Names the outcome of a call; `silent` if it never returns.
    async fn outcome<T>(call: impl Future<Output = Result<T, TableError>>) -> &'static str {
        let call = std::panic::AssertUnwindSafe(call).catch_unwind();
        match tokio::time::timeout(Duration::from_secs(3_600), call).await {
            Err(_elapsed) => "silent",
            Ok(Err(_panic)) => "panicked",
            Ok(Ok(Err(TableError::Service(error)))) => match error {
                ServiceError::Throttled { .. } => "Throttled",
                ServiceError::Unknown { .. } => "Unknown",
                ServiceError::Refused { .. } => "Refused",
            },
            Ok(Ok(Err(_))) => "another error",
            Ok(Ok(Ok(_))) => "answered",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn have_the_documented_effect_on_the_table() {
        for (fault, expected, takes_effect) in [
            (Fault::None, "answered", true),
            (Fault::Throttled, "Throttled", false),
            (Fault::Refused, "Refused", false),
            (Fault::RequestLost, "Unknown", false),
            (Fault::ResponseLost, "Unknown", true),
            (Fault::SilentBefore, "silent", false),
            (Fault::SilentAfter, "silent", true),
            (Fault::Delayed(DELAY), "answered", true),
            (Fault::AnswerDelayed(DELAY), "answered", true),
            (Fault::Panic, "panicked", false),
        ] {
            let inner = table();
            let faulty = FaultyTable::scripted(inner.clone(), [fault, Fault::None, fault]);
            assert_eq!(
                outcome(faulty.insert(&notification("n-1", "1"))).await,
                expected
            );
            assert_eq!(inner.item("n-1").is_some(), takes_effect, "{fault:?}");
            faulty.insert(&notification("n-1", "1")).await.unwrap();
            let done = completion("n-1");
            assert_eq!(outcome(faulty.complete(&done, vec![])).await, expected);
            let changes = 1 + usize::from(takes_effect);
            assert_eq!(inner.changes().len(), changes, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn depend_on_the_call() {
        let faulty = FaultyTable::new(table(), |call: &TableCall<'_>| {
            let is_bad = call.id.as_str() == "bad" && !call.is_completion && call.number == 1;
            if is_bad {
                Fault::Throttled
            } else {
                Fault::None
            }
        });
        assert!(faulty.insert(&notification("good", "1")).await.is_ok());
        assert!(faulty.insert(&notification("bad", "1")).await.is_err());
        assert!(faulty.insert(&notification("bad", "1")).await.is_ok());
    }

    #[test]
    fn report_failed_entries_at_their_positions_for_every_mask() {
        let ids = ["a", "b", "c", "d", "e", "f"];
        for (fault, code, is_stored) in [
            (
                EntryFault::Throttled,
                "ProvisionedThroughputExceededException",
                false,
            ),
            (EntryFault::Lost, "InternalFailure", false),
            (EntryFault::StoredButFailed, "InternalFailure", true),
        ] {
            for mask in 0..1_u64 << ids.len() {
                let inner = InMemoryStream::new(3);
                let faulty =
                    FaultyStream::scripted(inner.clone(), [StreamFault::mask(mask, fault)]);
                let puts = now(faulty.put(&records(&ids))).unwrap();
                assert_eq!(puts.len(), ids.len());
                let stored = inner.records();
                for (place, id) in ids.iter().enumerate() {
                    let found = stored
                        .iter()
                        .find(|stored| stored.record.id.as_str() == *id);
                    let fails = mask >> place & 1 == 1;
                    assert_eq!(found.is_some(), !fails || is_stored);
                    match &puts[place] {
                        PutResult::Failed { code: found_code } => {
                            assert!(fails && found_code == code)
                        }
                        PutResult::Confirmed {
                            sequence_number, ..
                        } => {
                            assert!(!fails && *sequence_number == found.unwrap().sequence_number);
                        }
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn have_the_documented_effect_on_a_call_to_the_stream() {
        let lost: StreamFault = Fault::ResponseLost.into();
        let script = [lost, Fault::Throttled.into(), StreamFault::Miscounted];
        let inner = InMemoryStream::new(1);
        let faulty = FaultyStream::scripted(inner.clone(), script);
        let records = records(&["a", "b"]);
        assert!(matches!(
            faulty.put(&records).await,
            Err(StreamError::Service(ServiceError::Unknown { .. }))
        ));
        assert_eq!(inner.records().len(), 2);
        assert!(matches!(
            faulty.put(&records).await,
            Err(StreamError::Service(ServiceError::Throttled { .. }))
        ));
        assert_eq!(inner.records().len(), 2);
        let miscounted = faulty.put(&records).await;
        assert!(matches!(
            miscounted,
            Err(StreamError::Malformed {
                sent: 2,
                received: 1
            })
        ));
        assert_eq!(inner.records().len(), 4);
        assert_eq!(faulty.put(&records).await.unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_path_answers_in_time_or_leaves_the_outcome_unknown() {
        let path = SlowPath {
            latency: Duration::from_secs(1),
            bytes_per_second: 11,
        };
        let records = records(&["a", "b"]);
        let time = path.time(records.iter().map(Record::bytes).sum());
        assert_eq!(time, Duration::from_secs(1 + 2));
        let stopped = SlowPath {
            bytes_per_second: 0,
            ..path
        };
        let inner = InMemoryStream::new(1);
        let script = [StreamFault::Slow(path), StreamFault::Slow(stopped)];
        let faulty = FaultyStream::scripted(inner.clone(), script);
        let started = tokio::time::Instant::now();
        assert_eq!(faulty.put(&records).await.unwrap().len(), 2);
        assert_eq!(started.elapsed(), time);
        assert!(matches!(
            faulty.put(&records).await,
            Err(StreamError::Service(ServiceError::Unknown { .. }))
        ));
        assert_eq!(started.elapsed(), time + PUT_RECORDS_TIMEOUT);
        assert_eq!(inner.records().len(), 4);
    }
}
