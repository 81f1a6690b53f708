//! One batch, from the event to the answer.

use aws_lambda_events::event::{
    dynamodb::{Event, EventRecord},
    streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse},
};
use jiff::Timestamp;
use onewrite::{
    budget::Budget,
    event::EventSource,
    notification::TraceParent,
    spans::{self, Span},
    stream::{EventStream, Record},
    telemetry::{Metrics, elapsed},
};

use crate::{
    publish::{Published, publish},
    select::{Selected, is_redrive, key, select},
};

/// A change that is not published and whose record has no sequence number cannot be reported, so the batch fails whole
/// and nothing of it is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an unpublished record has no sequence number: the whole batch is failed")]
pub struct MissingSequenceNumber;

/// The names of all metrics. `Received` = `Forwarded` + `Skipped` + `Unreadable` + `Unpublished`, in changes; `Redrives`
/// are those of them that ask for an event again. `PutRecordsCalls`, `FailedCalls` as a whole, `FailedEntries` of calls
/// that succeeded, and `RetriedEntries` that were put more than once tell how hard it was. Then from a change to the end
/// of the batch that told of it, redrives apart; and what was left of the invocation's time.
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

/// The function: everything that stays the same from batch to batch.
pub struct Forward<S> {
    stream: S,
    source: EventSource,
    jitter: fn() -> f64,
    clock: fn() -> Timestamp,
    emit: fn(&Metrics),
    tell: fn(&[Span]),
}

/// A batch, sorted by what is to be done.
#[derive(Default)]
struct Batch {
    /// What is to be published, in the order of the changes.
    records: Vec<Record>,
    /// For each of them, its place in the batch.
    places: Vec<usize>,
    /// For each of them when its change was made; none for a redrive, which tells of an old one.
    changed_at: Vec<Option<Timestamp>>,
    /// For each of them the trace that its message came with.
    traces: Vec<Option<TraceParent>>,
    skipped: usize,
    unreadable: usize,
}

impl<S: EventStream> Forward<S> {
    /// Publishes to `stream`, as `source`.
    pub fn new(stream: S, source: EventSource) -> Self {
        Self {
            stream,
            source,
            jitter: rand::random,
            clock: Timestamp::now,
            emit: Metrics::emit,
            tell: spans::tell,
        }
    }

    /// The same function with another source of jitter, from 0 to 1.
    #[must_use]
    pub fn with_jitter(self, jitter: fn() -> f64) -> Self {
        Self { jitter, ..self }
    }

    /// The same function by another clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// The same function with another way out for its spans than the X-Ray daemon.
    #[must_use]
    pub fn with_spans(self, tell: fn(&[Span])) -> Self {
        Self { tell, ..self }
    }

    /// The same function with another way out for its metrics than standard output.
    #[must_use]
    pub fn with_metrics(self, emit: fn(&Metrics)) -> Self {
        Self { emit, ..self }
    }

    /// Takes one batch and answers from which change on it must come again: from the first that is not confirmed,
    /// whatever became of those behind it (Lambda developer guide, "Configuring partial batch response with DynamoDB
    /// and Lambda": Lambda delivers the lowest sequence number and everything after it again).
    ///
    /// # Errors
    /// [`MissingSequenceNumber`]: the batch fails whole.
    pub async fn handle(
        &self,
        event: Event,
        budget: Budget,
    ) -> Result<DynamoDbEventResponse, MissingSequenceNumber> {
        let began = (self.clock)();
        let batch = self.read(&event.records);
        let published = publish(&self.stream, &batch.records, budget, self.jitter).await;
        let now = (self.clock)();
        (self.emit)(&metrics(&batch, &published, now, budget));
        (self.tell)(&batch.spans(&published, (began, now)));
        let mut response = DynamoDbEventResponse::default();
        if let Some(first) = published.first_unconfirmed() {
            let record = &event.records[batch.places[first]];
            let sequence_number = sequence_number(record).ok_or(MissingSequenceNumber)?;
            tracing::warn!(
                notification_id = batch.records[first].id.as_str(),
                sequence_number,
                "not published: the batch comes again from here"
            );
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(sequence_number.to_owned());
            response.batch_item_failures.push(failure);
        }
        Ok(response)
    }

    fn read(&self, records: &[EventRecord]) -> Batch {
        let mut batch = Batch::default();
        for (place, record) in records.iter().enumerate() {
            match select(record) {
                Selected::Forward(event) => {
                    let event = event.with_source(self.source.clone());
                    let changed_at = (!is_redrive(record)).then_some(event.time);
                    batch.places.push(place);
                    batch.changed_at.push(changed_at);
                    batch.traces.push(event.traceparent.clone());
                    batch.records.push(Record {
                        data: event.to_json().into_bytes(),
                        id: event.subject,
                    });
                }
                Selected::Skip(_) => batch.skipped += 1,
                Selected::Unreadable(unreadable) => {
                    batch.unreadable += 1;
                    tracing::error!(
                        notification_id = key(record),
                        sequence_number = sequence_number(record),
                        reason = unreadable.to_string(),
                        "unreadable: passed, the item stays in the table"
                    );
                }
            }
        }
        batch
    }
}

impl Batch {
    /// What was published, in the traces that the messages came with.
    fn spans(&self, published: &Published, times: (Timestamp, Timestamp)) -> Vec<Span> {
        let all = self.records.iter().zip(&self.traces);
        all.zip(&published.confirmed)
            .filter(|(_, confirmed)| **confirmed)
            .filter_map(|((record, trace), _)| {
                Span::of(trace.as_ref(), &record.id, "forward", times)
            })
            .collect()
    }
}

fn sequence_number(record: &EventRecord) -> Option<&str> {
    let number = record.change.sequence_number.as_deref();
    number.filter(|number| !number.is_empty())
}

fn metrics(batch: &Batch, published: &Published, now: Timestamp, budget: Budget) -> Metrics {
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

    use onewrite::testing::{
        EntryFault, Fault, FaultyStream, InMemoryStream, InMemoryTable, StreamFault, contract,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_change_is_counted_once_and_every_failure_by_its_kind() {
        use onewrite::{item::attribute, table::NewNotifications as _};
        let table = InMemoryTable::default();
        for id in ["a", "b", "never", "removed"] {
            table
                .insert(&contract::notification(id, "1"))
                .await
                .unwrap();
        }
        table.remove("removed");
        // A status that is none: the one change here that concerns the downstream and cannot be told.
        let broken = serde_dynamo::AttributeValue::S("x".to_owned());
        table.edit("a", |item| {
            drop(item.insert(attribute::STATUS.to_owned(), broken));
        });
        let event = table.stream_event();
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
        let batch = forward.read(&event.records);
        let budget = Budget::of_remaining(None, Duration::from_secs(10));
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
            // All four are lost; "a" and "never" fail; "never" fails alone with "a"; "never" is refused.
            ("PutRecordsCalls", 4),
            ("FailedCalls", 2),
            ("FailedEntries", 3),
            ("RetriedEntries", 4 + 2 + 1),
        ] {
            assert_eq!(metrics.get(name), count, "{name}");
        }
    }
}
