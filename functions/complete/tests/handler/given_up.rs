//! Events that no retry can help: kept once they are old, and never lost.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use onewrite::{
    completion::Completer, error::ServiceError, notification::NotificationType, redrive::LostEvent,
    table::NewNotifications as _,
};
use onewrite_complete::{
    given_up::{FailureStore, GRACE},
    handler::Complete,
    record::{KinesisRecord, ShardEvent},
    targets::{Route, Targets},
};
use onewrite_runtime::{budget::Budget, observer::Observer};
use onewrite_testing::{InMemoryTable, contract};
use serde_json::Value;

use crate::support::{
    BUDGET, LedgerDownstream, batch, document, is_done, sequence_number, store, store_all, table,
    unknown,
};

/// The time at which all batches are handled. Their records arrived in 1970, unless a test says otherwise.
const NOW: &str = "1970-01-02T00:00:00Z";

#[derive(Clone, Copy, Default, PartialEq)]
enum Answer {
    #[default]
    Kept,
    Denied,
    Silence,
}

/// A bucket in memory.
#[derive(Clone, Default)]
struct Bucket {
    objects: Arc<Mutex<BTreeMap<String, String>>>,
    answer: Answer,
}

impl FailureStore for Bucket {
    fn keep(&self, key: String, object: String) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(async move {
            match self.answer {
                Answer::Kept => {}
                Answer::Denied => return Err(ServiceError::refused("AccessDenied")),
                Answer::Silence => pending().await,
            }
            self.objects.lock().unwrap().insert(key, object);
            Ok(())
        })
    }
}

impl Bucket {
    fn objects(&self) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        objects
            .values()
            .map(|object| serde_json::from_str(object).unwrap())
            .collect()
    }
}

/// The reported sequence number.
async fn handle(table: &InMemoryTable, bucket: &Bucket, event: ShardEvent) -> Option<String> {
    let downstream = LedgerDownstream {
        checks_state: true,
        ..LedgerDownstream::default()
    };
    let types = vec!["refund".parse().unwrap()];
    let targets = Targets::new(vec![Route::new("refunds", types, &downstream, None)]);
    let observer = Observer::default().with_clock(|| NOW.parse().unwrap());
    let complete = Complete::new(Completer::new(table.clone(), 0), targets, 4)
        .with_observer(observer)
        .with_failure_store(bucket.clone(), "stack-complete");
    let budget = Budget::from_remaining(None, BUDGET);
    let response = complete.handle(event, budget).await.unwrap();
    let mut failures = response.batch_item_failures.into_iter();
    failures
        .next()
        .map(|failure| failure.item_identifier.unwrap())
}

/// Events that no retry can help, by the name of their failure.
async fn permanent_failures(table: &InMemoryTable) -> Vec<(&'static str, Vec<u8>)> {
    let replaced = store(table, "calls-replaced").await;
    table.expire("calls-replaced");
    let other = contract::notification("calls-replaced", "2");
    table.insert(&other).await.unwrap();
    let mut edited = contract::notification("calls-edited", "1");
    table.insert(&edited).await.unwrap();
    edited.version += 1;
    let mut untaken = contract::notification("calls-untaken", "1");
    untaken.notification.kind = NotificationType::parse("order").unwrap();
    table.insert(&untaken).await.unwrap();
    vec![
        ("UnknownId", unknown("calls-removed")),
        ("OtherNotification", replaced),
        ("VersionMismatch", document(&edited)),
        ("DownstreamFailed", document(&untaken)),
        ("Unreadable", b"not an event".to_vec()),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_old_event_that_no_retry_can_help_is_kept_and_the_lane_goes_on() {
    let (table, bucket) = (table(), Bucket::default());
    let failures = permanent_failures(&table).await;
    let mut documents: Vec<_> = failures
        .iter()
        .map(|(_, document)| document.clone())
        .collect();
    documents.extend(store_all(&table, &["calls-1"]).await);
    for _redelivery in 0..2 {
        assert_eq!(handle(&table, &bucket, batch(&documents)).await, None);
    }
    assert!(is_done(&table, "calls-1"));
    let objects = bucket.objects();
    assert_eq!(objects.len(), failures.len(), "each is kept once");
    for (name, document) in failures {
        let kept = objects
            .iter()
            .find(|object| object["requestContext"]["condition"] == name);
        let kept = kept.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(kept["requestContext"]["functionArn"], "stack-complete");
        let event: Value = serde_json::from_str(kept["payload"].as_str().unwrap()).unwrap();
        // As Lambda's objects: `onewrite redrive failures` finds the id, and the event can be decoded again.
        let lost = LostEvent::from_record(&event["Records"][0]).unwrap();
        assert_eq!(lost.id, "any", "{name}: the partition key of the record");
        let again: ShardEvent = event.to_string().parse().unwrap();
        assert_eq!(again.records[0].data.as_ref(), Some(&document), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_kept_fails() {
    for answer in [Answer::Denied, Answer::Silence] {
        let bucket = Bucket {
            answer,
            ..Bucket::default()
        };
        let table = table();
        for (name, document) in permanent_failures(&table).await {
            let reported = handle(&table, &bucket, batch(&[document])).await;
            assert_eq!(reported, Some(sequence_number(0)), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_young_event_is_retried_although_no_retry_seems_to_help() {
    let now: Timestamp = NOW.parse().unwrap();
    let (table, bucket) = (table(), Bucket::default());
    for (name, document) in permanent_failures(&table).await {
        for (age, expected) in [
            (GRACE - Duration::from_secs(1), Some(sequence_number(0))),
            (GRACE, None),
        ] {
            let mut event = batch(std::slice::from_ref(&document));
            let arrived = now - SignedDuration::try_from(age).unwrap();
            event.records[0].arrived = Some(arrived.as_second() as f64);
            assert_eq!(handle(&table, &bucket, event).await, expected, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_a_retry_can_help_are_never_given_up() {
    let (table, bucket) = (table(), Bucket::default());
    let ids = ["rejects-1", "panics-1", "busy-1", "doubted-1", "hangs-1"];
    for id in ids {
        let document = store(&table, id).await;
        let reported = handle(&table, &bucket, batch(&[document])).await;
        assert_eq!(reported, Some(sequence_number(0)), "{id}");
    }
    // What is not known completely cannot be kept either.
    let forget: [fn(&mut KinesisRecord); 4] = [
        |record| record.data = None,
        |record| record.arrived = None,
        |record| record.event_id.clear(),
        |record| record.partition_key.clear(),
    ];
    for forget in forget {
        let mut incomplete = batch(&[unknown("calls-1")]);
        forget(&mut incomplete.records[0]);
        let reported = handle(&table, &bucket, incomplete).await;
        assert_eq!(reported, Some(sequence_number(0)));
    }
    assert_eq!(bucket.objects(), Vec::<Value>::new());
}
