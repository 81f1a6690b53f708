//! Handles one batch of stream records and returns its batch item failure.

use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use jiff::Timestamp;
use onewrite::{
    event::EventSource,
    notification::TraceParent,
    stream::{EventStream, Record},
};
use onewrite_runtime::{
    budget::Budget,
    observer::Observer,
    spans::Span,
    telemetry::{Metrics, elapsed},
};

use crate::{
    change::{ChangeEvent, ChangeRecord},
    publish::{PublishResult, publish},
    select::{Selection, Unreadable, is_redrive, key, select},
};

/// An unpublished record without sequence number cannot be reported, so the whole batch fails and nothing is skipped. The
/// same holds for an undecodable record without one: it may be a record of another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an unpublished record has no sequence number: the whole batch fails")]
pub struct MissingSequenceNumber;

/// The names of all metrics.
///
/// `Received` = `Forwarded` + `Skipped` + `Unreadable` + `Unpublished`, in changes. `Redrives` counts the changes that
/// request an event again. `FailedCalls` counts calls that failed as a whole, `FailedEntries` counts failed entries of
/// successful calls, and `RetriedEntries` counts entries that were put more than once. `StoredToForwarded` is the time
/// from a change to the end of the batch that published it, without redrives. `RemainingTime` is what was left of the
/// invocation.
pub const METRICS: [&str; 12] = [
    "Received",
    "Forwarded",
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

/// The handler of `forward`. It is the same for all batches.
pub struct Forward<S> {
    stream: S,
    source: EventSource,
    jitter: fn() -> f64,
    observer: Observer,
}

/// A batch, divided into records to publish and changes to skip.
#[derive(Default)]
struct Batch {
    /// The records to publish, in the order of their changes.
    records: Vec<Record>,
    /// For each record, the position of its change in the batch.
    positions: Vec<usize>,
    /// For each record, the time of its change. `None` for a redrive, which repeats an old change.
    changed_at: Vec<Option<Timestamp>>,
    /// For each record, the trace that its message came with.
    traces: Vec<Option<TraceParent>>,
    skipped: usize,
    unreadable: usize,
}

impl<S: EventStream> Forward<S> {
    /// Publishes events with this `source` to `stream`.
    pub fn new(stream: S, source: EventSource) -> Self {
        Self {
            stream,
            source,
            jitter: rand::random,
            observer: Observer::default(),
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
        let started = self.observer.now();
        let batch = self.read(&event.records)?;
        let published = publish(&self.stream, &batch.records, budget, self.jitter).await;
        let now = self.observer.now();
        self.observer.report(
            &metrics(&batch, &published, now, budget),
            &batch.spans(&published, (started, now)),
        );
        let mut response = DynamoDbEventResponse::default();
        if let Some(first) = published.first_unconfirmed() {
            let record = &event.records[batch.positions[first]];
            let sequence_number = sequence_number(record).ok_or(MissingSequenceNumber)?;
            tracing::warn!(
                notification_id = batch.records[first].id.as_str(),
                sequence_number,
                "not published: Lambda will retry the batch from here"
            );
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(sequence_number.to_owned());
            response.batch_item_failures.push(failure);
        }
        Ok(response)
    }

    fn read(&self, records: &[ChangeRecord]) -> Result<Batch, MissingSequenceNumber> {
        let mut batch = Batch::default();
        for (position, record) in records.iter().enumerate() {
            match select(record) {
                Selection::Forward(event) => {
                    let event = event.with_source(self.source.clone());
                    let changed_at = (!is_redrive(record)).then_some(event.time);
                    batch.positions.push(position);
                    batch.changed_at.push(changed_at);
                    batch.traces.push(event.traceparent.clone());
                    batch.records.push(Record {
                        data: event.to_json().into_bytes(),
                        id: event.subject,
                    });
                }
                Selection::Skip(_) => batch.skipped += 1,
                Selection::Unreadable(Unreadable::Undecodable)
                    if sequence_number(record).is_none() =>
                {
                    return Err(MissingSequenceNumber);
                }
                Selection::Unreadable(unreadable) => {
                    batch.unreadable += 1;
                    tracing::error!(
                        notification_id = key(record),
                        sequence_number = sequence_number(record),
                        reason = unreadable.to_string(),
                        "unreadable: skipped, the item stays in the table"
                    );
                }
            }
        }
        Ok(batch)
    }
}

impl Batch {
    /// One span per published record that belongs to a sampled trace.
    fn spans(&self, published: &PublishResult, times: (Timestamp, Timestamp)) -> Vec<Span> {
        let all = self.records.iter().zip(&self.traces);
        all.zip(&published.confirmed)
            .filter(|(_, confirmed)| **confirmed)
            .filter_map(|((record, trace), _)| {
                Span::new(trace.as_ref(), &record.id, "forward", times)
            })
            .collect()
    }
}

fn sequence_number(record: &ChangeRecord) -> Option<&str> {
    let number = record.sequence_number.as_deref();
    number.filter(|number| !number.is_empty())
}

fn metrics(batch: &Batch, published: &PublishResult, now: Timestamp, budget: Budget) -> Metrics {
    let mut metrics = Metrics::new("forward");
    let received = batch.records.len() + batch.skipped + batch.unreadable;
    metrics.add("Received", received);
    metrics.add("Forwarded", 0);
    metrics.add("Unpublished", 0);
    metrics.add("Redrives", 0);
    for (confirmed, changed_at) in published.confirmed.iter().zip(&batch.changed_at) {
        metrics.add(
            if *confirmed {
                "Forwarded"
            } else {
                "Unpublished"
            },
            1,
        );
        match changed_at {
            None => metrics.add("Redrives", 1),
            Some(changed_at) if *confirmed => {
                metrics.time("StoredToForwarded", elapsed(*changed_at, now));
            }
            Some(_) => {}
        }
    }
    metrics.add("Skipped", batch.skipped);
    metrics.add("Unreadable", batch.unreadable);
    metrics.add("PutRecordsCalls", published.calls);
    metrics.add("FailedCalls", published.failed_calls);
    metrics.add("FailedEntries", published.failed_entries);
    metrics.add("RetriedEntries", published.retried_entries);
    metrics.time("RemainingTime", budget.left());
    metrics
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use onewrite_testing::{
        EntryFault, Fault, FaultyStream, InMemoryStream, InMemoryTable, StreamFault, contract,
    };

    use super::*;

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
        let forward = Forward::new(
            FaultyStream::new(InMemoryStream::new(1), |number, records| {
                let fault = |record: &Record| match (number, record.id.as_str()) {
                    (1, "a") | (_, "never") => EntryFault::Throttled,
                    _ => EntryFault::None,
                };
                match number {
                    0 => Fault::RequestLost.into(),
                    1 | 2 => StreamFault::Entries(records.iter().map(fault).collect()),
                    _ => Fault::Refused.into(),
                }
            }),
            EventSource::default(),
        );
        let batch = forward.read(&event.records).unwrap();
        let budget = Budget::from_remaining(None, Duration::from_secs(10));
        let published = publish(&forward.stream, &batch.records, budget, forward.jitter).await;
        let now = "2026-11-23T10:00:02Z".parse().unwrap();
        let metrics = metrics(&batch, &published, now, budget);
        assert_eq!(metrics.names().collect::<BTreeSet<_>>(), METRICS.into());
        for (name, count) in [
            ("Received", 6),
            ("Forwarded", 3),
            ("Skipped", 1),
            ("Unreadable", 1),
            ("Unpublished", 1),
            // Call 0 loses all four records. "a" and "never" fail in call 1, "never" fails in call 2, call 3 is refused.
            ("PutRecordsCalls", 4),
            ("FailedCalls", 2),
            ("FailedEntries", 3),
            ("RetriedEntries", 4 + 2 + 1),
        ] {
            assert_eq!(metrics.get(name), count, "{name}");
        }
    }
}
