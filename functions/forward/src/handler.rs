//! One batch, from the event to the answer.

use aws_lambda_events::event::{
    dynamodb::{Event, EventRecord},
    streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse},
};
use onewrite::{
    budget::Budget,
    event::EventSource,
    stream::{EventStream, Record},
    telemetry::Metrics,
};

use crate::{
    publish::{Published, publish},
    select::{Selected, key, select},
};

/// A change that is not published and whose record has no sequence number cannot be reported, so the batch fails whole
/// and nothing of it is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an unpublished record has no sequence number: the whole batch is failed")]
pub struct MissingSequenceNumber;

/// The function: everything that stays the same from batch to batch.
pub struct Forward<S> {
    stream: S,
    source: EventSource,
    jitter: fn() -> f64,
    emit: fn(&Metrics),
}

/// A batch, sorted by what is to be done.
#[derive(Default)]
struct Batch {
    /// What is to be published, in the order of the changes.
    records: Vec<Record>,
    /// For each of them, its place in the batch.
    places: Vec<usize>,
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
            emit: Metrics::emit,
        }
    }

    /// The same function with another source of jitter, from 0 to 1.
    #[must_use]
    pub fn with_jitter(self, jitter: fn() -> f64) -> Self {
        Self { jitter, ..self }
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
        let batch = self.read(&event.records);
        let published = publish(&self.stream, &batch.records, budget, self.jitter).await;
        (self.emit)(&metrics(event.records.len(), &batch, &published));
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
                    batch.places.push(place);
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

fn sequence_number(record: &EventRecord) -> Option<&str> {
    let number = record.change.sequence_number.as_deref();
    number.filter(|number| !number.is_empty())
}

/// `Received` = `Forwarded` + `Skipped` + `Unreadable` + `Unpublished`, in changes; the rest tells how hard it was:
/// `FailedCalls` as a whole, `FailedEntries` of calls that succeeded, `RetriedEntries` that were put more than once.
fn metrics(received: usize, batch: &Batch, published: &Published) -> Metrics {
    let confirmed = published
        .confirmed
        .iter()
        .filter(|confirmed| **confirmed)
        .count();
    let mut metrics = Metrics::new("forward");
    metrics.add("Received", received);
    metrics.add("Forwarded", confirmed);
    metrics.add("Skipped", batch.skipped);
    metrics.add("Unreadable", batch.unreadable);
    metrics.add("Unpublished", published.confirmed.len() - confirmed);
    metrics.add("PutRecordsCalls", published.calls);
    metrics.add("FailedCalls", published.failed_calls);
    metrics.add("FailedEntries", published.failed_entries);
    metrics.add("RetriedEntries", published.retried_entries);
    metrics
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let metrics = metrics(event.records.len(), &batch, &published);
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
