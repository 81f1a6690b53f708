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
        Self { stream, source }
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
        let published = publish(&self.stream, &batch.records, budget).await;
        metrics(event.records.len(), &batch, &published).emit();
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
