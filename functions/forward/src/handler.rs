//! Handles one batch of stream records and returns its batch item failure.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use jiff::Timestamp;
use onewrite::{event::EventSource, limits::PUT_RECORDS_TIMEOUT, stream::EventStream};
use onewrite_runtime::{
    budget::Budget,
    observer::Observer,
    spans::Span,
    telemetry::{Metrics, elapsed},
};

use crate::{
    call_limit::CallLimit,
    change::{ChangeEvent, ChangeRecord},
    confirmed::ConfirmedChanges,
    publish::{PublishResult, publish},
    window::{Window, sequence_number},
};

/// An unpublished record without sequence number cannot be reported, so the whole batch fails and nothing is skipped. The
/// same holds for an undecodable record without one: it may be a record of another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an unpublished record has no sequence number: the whole batch fails")]
pub struct MissingSequenceNumber;

/// The names of all metrics.
///
/// `Received` = `Forwarded` + `AlreadyForwarded` + `Skipped` + `Unreadable` + `Unpublished`, in changes. A change that Lambda
/// redelivers is received again. `AlreadyForwarded` counts changes whose events this process published in an earlier delivery of
/// the batch. If a change stays unpublished, the changes beyond its window are not read, so they are not received.
/// `Redrives` counts the changes that request an event again. `FailedCalls` counts calls that failed as a whole,
/// `FailedEntries` counts failed entries of successful calls, and `RetriedEntries` counts entries that were put more than
/// once. `StoredToForwarded` is the time from a change to the end of the window that published it, without redrives.
/// `RemainingTime` is what was left of the invocation.
pub const METRICS: [&str; 13] = [
    "Received",
    "Forwarded",
    "AlreadyForwarded",
    "Skipped",
    "Unreadable",
    "Unpublished",
    "Redrives",
    "PutRecordsCalls",
    "FailedCalls",
    "FailedEntries",
    "RetriedEntries",
    "StoredToForwarded",
    "RemainingTime",
];

/// The names of the metrics that `METRICS=essential` selects: those of the alarms and of `onewrite status`.
pub const ESSENTIAL_METRICS: [&str; 2] = ["Unpublished", "Unreadable"];

/// The handler of `forward`. It is the same for all batches.
pub struct Forward<S> {
    stream: S,
    source: EventSource,
    jitter: fn() -> f64,
    observer: Observer,
    call_limit: Mutex<CallLimit>,
    confirmed: Mutex<ConfirmedChanges>,
}

impl<S: EventStream> Forward<S> {
    /// Publishes events with this `source` to `stream`.
    pub fn new(stream: S, source: EventSource) -> Self {
        Self {
            stream,
            source,
            jitter: rand::random,
            observer: Observer::default(),
            call_limit: Mutex::new(CallLimit::new(PUT_RECORDS_TIMEOUT)),
            confirmed: Mutex::default(),
        }
    }

    /// Uses this source of jitter, which returns values from 0 to 1.
    #[must_use]
    pub fn with_jitter(self, jitter: fn() -> f64) -> Self {
        Self { jitter, ..self }
    }

    /// Uses this clock and these outputs for metrics and spans.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Waits this long for the answer to a call, instead of [`PUT_RECORDS_TIMEOUT`].
    #[must_use]
    pub fn with_call_timeout(self, timeout: Duration) -> Self {
        Self {
            call_limit: Mutex::new(CallLimit::new(timeout)),
            ..self
        }
    }

    /// Handles one batch. The response names the first change that Kinesis did not confirm, even if later changes were
    /// confirmed: Lambda retries from the lowest reported sequence number (Lambda developer guide, "Configuring partial
    /// batch response with DynamoDB and Lambda").
    ///
    /// # Errors
    /// [`MissingSequenceNumber`]: the whole batch fails.
    pub async fn handle(
        &self,
        event: ChangeEvent,
        budget: Budget,
    ) -> Result<DynamoDbEventResponse, MissingSequenceNumber> {
        let mut rest = event.records.as_slice();
        if rest.iter().any(is_undecodable_without_number) {
            return Err(MissingSequenceNumber);
        }
        lock(&self.call_limit).begin_invocation(budget.left());
        let mut report = Report::default();
        let mut failure = Ok(None);
        while !rest.is_empty() && failure == Ok(None) {
            let started = self.observer.now();
            let window = Window::read(rest, &self.source, &lock(&self.confirmed));
            rest = &rest[window.changes()..];
            let published = self.publish(&window, budget).await;
            report.add(&window, &published, (started, self.observer.now()));
            failure = self.failure(&window, &published);
        }
        report.metrics.time("RemainingTime", budget.left());
        self.observer.report(&report.metrics, &report.spans);
        let mut response = DynamoDbEventResponse::default();
        response.batch_item_failures.extend(failure?);
        Ok(response)
    }

    async fn publish(&self, window: &Window<'_>, budget: Budget) -> PublishResult {
        let mut limit = *lock(&self.call_limit);
        let published = publish(
            &self.stream,
            &window.records,
            budget,
            &mut limit,
            self.jitter,
        )
        .await;
        *lock(&self.call_limit) = limit;
        published
    }

    /// The batch item failure for the first unconfirmed change. Lambda redelivers all changes after it, too, so those that are
    /// confirmed are remembered.
    fn failure(
        &self,
        window: &Window<'_>,
        published: &PublishResult,
    ) -> Result<Option<DynamoDbBatchItemFailure>, MissingSequenceNumber> {
        let Some(first) = published.first_unconfirmed() else {
            return Ok(None);
        };
        let number = |place: usize| window.origins[place].sequence_number;
        let mut confirmed = lock(&self.confirmed);
        for place in first + 1..window.records.len() {
            if let (true, Some(number)) = (published.confirmed[place], number(place)) {
                confirmed.remember(number, &window.records[place]);
            }
        }
        let sequence_number = number(first).ok_or(MissingSequenceNumber)?;
        tracing::warn!(
            notification_id = window.records[first].id.as_str(),
            sequence_number,
            "not published: Lambda will retry the batch from here"
        );
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier = Some(sequence_number.to_owned());
        Ok(Some(failure))
    }
}

/// Such a record may be one of another service.
fn is_undecodable_without_number(record: &ChangeRecord) -> bool {
    record.change.is_none() && sequence_number(record).is_none()
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The metrics and the spans of a batch, window by window.
struct Report {
    metrics: Metrics,
    /// One span per published record that belongs to a sampled trace.
    spans: Vec<Span>,
}

impl Default for Report {
    fn default() -> Self {
        let mut metrics = Metrics::new("forward");
        for name in METRICS {
            if !["StoredToForwarded", "RemainingTime"].contains(&name) {
                metrics.add(name, 0);
            }
        }
        Self {
            metrics,
            spans: Vec::new(),
        }
    }
}

impl Report {
    fn add(
        &mut self,
        window: &Window<'_>,
        published: &PublishResult,
        times: (Timestamp, Timestamp),
    ) {
        let Self { metrics, spans } = self;
        let records = window.records.iter().zip(&window.origins);
        for ((record, origin), confirmed) in records.zip(&published.confirmed) {
            metrics.add("Redrives", usize::from(origin.changed_at.is_none()));
            if !confirmed {
                metrics.add("Unpublished", 1);
                continue;
            }
            metrics.add("Forwarded", 1);
            if let Some(changed_at) = origin.changed_at {
                metrics.time("StoredToForwarded", elapsed(changed_at, times.1));
            }
            let trace = origin.trace.as_ref();
            spans.extend(Span::new(trace, &record.id, "forward", times));
        }
        for (name, count) in [
            ("Received", window.changes()),
            ("AlreadyForwarded", window.already_forwarded),
            ("Skipped", window.skipped),
            ("Unreadable", window.unreadable),
            ("PutRecordsCalls", published.calls),
            ("FailedCalls", published.failed_calls),
            ("FailedEntries", published.failed_entries),
            ("RetriedEntries", published.retried_entries),
        ] {
            metrics.add(name, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeSet};

    use onewrite::stream::Record;
    use onewrite_testing::{
        EntryFault, Fault, FaultyStream, InMemoryStream, InMemoryTable, StreamFault, contract,
    };

    use super::*;

    thread_local! {
        static EMITTED: RefCell<Option<Metrics>> = const { RefCell::new(None) };
    }

    #[tokio::test(start_paused = true)]
    async fn counts_each_change_once_and_each_failure_by_kind() {
        use onewrite::{item::attribute, table::NewNotifications as _};
        let table = InMemoryTable::default();
        for id in ["a", "b", "never", "removed"] {
            table
                .insert(&contract::notification(id, "1"))
                .await
                .unwrap();
        }
        table.remove("removed");
        // An invalid status: the change concerns the downstream but cannot become an event.
        let broken = serde_dynamo::AttributeValue::S("x".to_owned());
        table.edit("a", |item| {
            drop(item.insert(attribute::STATUS.to_owned(), broken));
        });
        let event: ChangeEvent = table.stream_event();
        let stream = FaultyStream::new(InMemoryStream::new(1), |number, records| {
            let fault = |record: &Record| match (number, record.id.as_str()) {
                (1, "a") | (_, "never") => EntryFault::Throttled,
                _ => EntryFault::None,
            };
            match number {
                0 => Fault::RequestLost.into(),
                1..=3 => StreamFault::Entries(records.iter().map(fault).collect()),
                _ => Fault::Refused.into(),
            }
        });
        let observer =
            Observer::default().with_metrics(|metrics| EMITTED.set(Some(metrics.clone())));
        let forward = Forward::new(stream, EventSource::default()).with_observer(observer);
        let budget = Budget::from_remaining(None, Duration::from_secs(10));
        forward.handle(event, budget).await.unwrap();
        let metrics = EMITTED.take().unwrap();
        assert_eq!(metrics.names().collect::<BTreeSet<_>>(), METRICS.into());
        for (name, count) in [
            ("Received", 6),
            ("Forwarded", 3),
            ("Skipped", 1),
            ("Unreadable", 1),
            ("Unpublished", 1),
            // Call 0 loses all four records, so call 1 has "a" and "b". "a" fails, and "never" fails in calls 2 and 3. Call 4
            // is refused.
            ("PutRecordsCalls", 5),
            ("FailedCalls", 2),
            ("FailedEntries", 3),
            ("RetriedEntries", 4 + 2 + 1),
            ("AlreadyForwarded", 0),
        ] {
            assert_eq!(metrics.get(name), count, "{name}");
        }
    }
}
