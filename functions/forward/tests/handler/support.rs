//! Batches of changes, and a stream that records its calls.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use onewrite::{
    event::{EventSource, NotificationEvent},
    item::{NotificationItem, attribute},
    notification::Status,
    stream::{EventStream, PutResult, Record, StreamError},
};
use onewrite_forward::{change::ChangeEvent, handler::Forward};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{Change, InMemoryStream, contract, lambda_event};

pub(crate) const BUDGET: Duration = Duration::from_secs(10);

/// Every combination of failures is tried for this many records.
pub(crate) const IDS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// A change to INIT, or from INIT to DONE if `done` is set. The sequence number is its position.
pub(crate) fn change(place: usize, id: &str, done: bool) -> Change {
    change_of(
        place,
        &contract::notification(id, &format!(r#"{{"of": "{id}"}}"#)),
        done,
    )
}

pub(crate) fn change_of(place: usize, item: &NotificationItem, done: bool) -> Change {
    let mut new = item.clone();
    if done {
        new.status = Status::Done;
        new.version = Status::Done.version();
    }
    Change {
        sequence_number: number(place),
        id: item.notification.id.to_string(),
        old: done.then(|| item.to_item()),
        new: Some(new.to_item()),
        at: Timestamp::UNIX_EPOCH,
        by_ttl: false,
    }
}

pub(crate) fn number(place: usize) -> String {
    format!("{:021}", place + 1)
}

pub(crate) fn batch(ids: &[&str]) -> ChangeEvent {
    let changes = ids.iter().enumerate();
    let changes: Vec<Change> = changes
        .map(|(place, id)| change(place, id, false))
        .collect();
    lambda_event::dynamodb(&changes)
}

/// Returns the position of the reported record, if any.
pub(crate) async fn handle<S: EventStream + Clone>(
    stream: &S,
    event: ChangeEvent,
) -> Option<usize> {
    handle_within(stream, event, BUDGET).await
}

pub(crate) async fn handle_within<S: EventStream + Clone>(
    stream: &S,
    event: ChangeEvent,
    budget: Duration,
) -> Option<usize> {
    let forward = Forward::new(CallRecorder::new(stream.clone()), EventSource::default());
    deliver(&forward, event, budget).await
}

/// Delivers a batch to this process. Returns the position of the reported record, if any.
pub(crate) async fn deliver<S: EventStream>(
    forward: &Forward<S>,
    event: ChangeEvent,
    budget: Duration,
) -> Option<usize> {
    let answer = forward.handle(event, Budget::from_remaining(None, budget));
    // The timeout fails the test if the handler never returns.
    let response = tokio::time::timeout(10 * budget, answer)
        .await
        .expect("an answer in time")
        .unwrap();
    assert!(
        response.batch_item_failures.len() <= 1,
        "only the lowest failure"
    );
    let failure = response.batch_item_failures.first()?;
    let number: usize = failure.item_identifier.as_ref().unwrap().parse().unwrap();
    Some(number - 1)
}

pub(crate) fn event_id(record: &Record) -> String {
    NotificationEvent::parse(&record.data).unwrap().id()
}

pub(crate) fn stored(stream: &InMemoryStream) -> Vec<String> {
    let records = stream.records();
    records
        .iter()
        .map(|stored| event_id(&stored.record))
        .collect()
}

/// More calls than any batch in these tests needs.
pub(crate) const TOO_MANY_CALLS: usize = 20_000;

/// Records the arguments of each call, and fails the test if the handler never stops calling.
#[derive(Clone)]
pub(crate) struct CallRecorder<S> {
    pub(crate) inner: S,
    pub(crate) calls: Arc<Mutex<Vec<Vec<Record>>>>,
}

impl<S> CallRecorder<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            calls: Arc::default(),
        }
    }

    pub(crate) fn calls(&self) -> Vec<Vec<Record>> {
        self.calls.lock().unwrap().clone()
    }
}

impl<S: EventStream> EventStream for CallRecorder<S> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(records.to_vec());
            calls.len()
        };
        assert!(number < TOO_MANY_CALLS, "too many calls to the stream");
        self.inner.put(records).await
    }
}

/// A change without an event: an edit of an unknown attribute, or an unreadable change.
pub(crate) fn change_without_event(place: usize, id: &str, readable: bool) -> Change {
    let mut change = change(place, id, false);
    if readable {
        change.old = change.new.clone();
    } else {
        let image = change.new.as_mut().unwrap().as_mut();
        image.remove(attribute::PAYLOAD);
    }
    change
}
