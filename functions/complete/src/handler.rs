//! One batch, from the event to the answer.

use std::time::Duration;

use aws_lambda_events::event::{kinesis::KinesisEvent, streams::KinesisEventResponse};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use onewrite::{
    budget::Budget,
    completion::{self, Completer, CompletionError, Downstream},
    event::{NotificationEvent, UnreadableEvent},
    spans::{self, Span},
    table::Completions,
    telemetry::{Metrics, elapsed},
};

use crate::record::{Arrival, MissingSequenceNumber, lowest};

/// What became of one event.
#[derive(Debug)]
pub enum Outcome {
    /// This invocation moved its notification to DONE.
    Done,
    /// Its notification was in DONE before.
    AlreadyDone,
    /// It tells of no INIT. The mapping's filter keeps such events away; the code does not rely on it.
    Ignored,
    /// Its notification is not known to be in DONE.
    Failed(Failure),
}

/// Why an event must come again. What no repetition heals goes to the failure destination when the mapping's retries
/// are used up.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The record is no event of this project.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// The notification could not be completed.
    #[error(transparent)]
    Completion(#[from] CompletionError),
    /// The invocation's time was up.
    #[error("the invocation's time was up")]
    OutOfTime,
}

impl Outcome {
    /// The name of the outcome in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::AlreadyDone => "AlreadyDone",
            Self::Ignored => "Ignored",
            Self::Failed(_) => "Failed",
        }
    }
}

/// The names of all outcomes, so that each is in every metrics line, also at 0.
const OUTCOMES: [&str; 4] = ["Done", "AlreadyDone", "Ignored", "Failed"];

/// The names of all metrics, but for those of the failures: events by outcome, of which `Received` is the sum with
/// `Copies`, events that one batch had twice; from a notification's being stored to its DONE; and what was left of the
/// invocation's time.
pub const METRICS: [&str; 8] = [
    "Received",
    "Copies",
    "Done",
    "AlreadyDone",
    "Ignored",
    "Failed",
    "StoredToDone",
    "RemainingTime",
];

/// One event of a batch, done with.
struct Taken {
    /// The records it came in.
    sequence_numbers: Vec<String>,
    outcome: Outcome,
    /// From its notification's being stored to its DONE, where that was now.
    stored_to_done: Option<Duration>,
    /// Its part of the trace its message came with, where it became DONE now.
    span: Option<Span>,
}

impl Failure {
    /// The name of the failure in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "Unreadable",
            Self::Completion(error) => error.name(),
            Self::OutOfTime => "OutOfTime",
        }
    }

    /// Whether repetition alone may heal it; else an operator must act.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::Completion(error) => error.is_transient(),
            Self::OutOfTime => true,
        }
    }
}

/// The function: everything that stays the same from batch to batch.
pub struct Complete<T, D> {
    completer: Completer<T>,
    downstream: D,
    max_in_flight: usize,
    clock: fn() -> Timestamp,
    emit: fn(&Metrics),
    tell: fn(&[Span]),
}

impl<T: Completions, D: Downstream<T::Write>> Complete<T, D> {
    /// Completes what `downstream` accepts, at most `max_in_flight` notifications at a time.
    pub fn new(completer: Completer<T>, downstream: D, max_in_flight: usize) -> Self {
        Self {
            completer,
            downstream,
            max_in_flight,
            clock: Timestamp::now,
            emit: Metrics::emit,
            tell: spans::tell,
        }
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

    /// Takes one batch and answers from which record on it must come again. Every event is tried, whatever becomes of
    /// the others, and their order does not matter: each is of another notification, or of another version of it.
    ///
    /// # Errors
    /// [`MissingSequenceNumber`]: the batch fails whole. What of it is DONE by then stays DONE.
    pub async fn handle(
        &self,
        event: KinesisEvent,
        budget: Budget,
    ) -> Result<KinesisEventResponse, MissingSequenceNumber> {
        let received = event.records.len();
        let batch: Vec<Taken> = stream::iter(Arrival::read_all(event.records))
            .map(|arrival| self.take(arrival, budget))
            .buffer_unordered(self.max_in_flight)
            .collect()
            .await;
        (self.emit)(&metrics(received, &batch, budget));
        let spans: Vec<Span> = batch
            .iter()
            .filter_map(|taken| taken.span.clone())
            .collect();
        (self.tell)(&spans);
        let failed = batch
            .iter()
            .filter(|taken| matches!(taken.outcome, Outcome::Failed(_)))
            .flat_map(|taken| &taken.sequence_numbers);
        let mut response = KinesisEventResponse::default();
        if let Some(sequence_number) = lowest(failed)? {
            response.add_failure(sequence_number);
        }
        Ok(response)
    }

    /// Takes one event: whatever goes wrong is its own failure.
    async fn take(&self, arrival: Arrival, budget: Budget) -> Taken {
        let began = (self.clock)();
        let outcome = match &arrival.event {
            Ok(event) => self
                .complete(event, budget)
                .await
                .unwrap_or_else(Outcome::Failed),
            Err(unreadable) => Outcome::Failed(unreadable.clone().into()),
        };
        log(&arrival, &outcome);
        let done_now = arrival
            .event
            .ok()
            .filter(|_| matches!(outcome, Outcome::Done));
        let now = (self.clock)();
        Taken {
            sequence_numbers: arrival.sequence_numbers,
            outcome,
            // An INIT event's time is when its item was stored.
            stored_to_done: done_now.as_ref().map(|event| elapsed(event.time, now)),
            span: done_now.and_then(|event| {
                let trace = event.traceparent.as_ref();
                Span::of(trace, &event.subject, "complete", (began, now))
            }),
        }
    }

    async fn complete(
        &self,
        event: &NotificationEvent,
        budget: Budget,
    ) -> Result<Outcome, Failure> {
        if budget.left().is_zero() {
            return Err(Failure::OutOfTime);
        }
        let completion = self.completer.complete(event, &self.downstream);
        match tokio::time::timeout_at(budget.end(), completion).await {
            Ok(Ok(completion::Outcome::Accepted)) => Ok(Outcome::Done),
            Ok(Ok(completion::Outcome::AlreadyDone)) => Ok(Outcome::AlreadyDone),
            Ok(Ok(completion::Outcome::Ignored)) => Ok(Outcome::Ignored),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(Failure::OutOfTime),
        }
    }
}

/// One line for each outcome that somebody may ask for, by the ids alone.
fn log(arrival: &Arrival, outcome: &Outcome) {
    let notification_id = arrival
        .event
        .as_ref()
        .ok()
        .map(|event| event.subject.as_str());
    let sequence_number = arrival.sequence_numbers.first();
    match outcome {
        Outcome::Done => tracing::debug!(notification_id, sequence_number, "done"),
        Outcome::AlreadyDone => tracing::info!(notification_id, sequence_number, "already done"),
        Outcome::Ignored => tracing::debug!(notification_id, sequence_number, "ignored"),
        Outcome::Failed(failure) => {
            let (name, reason) = (failure.name(), failure.to_string());
            if failure.is_transient() {
                tracing::warn!(
                    notification_id,
                    sequence_number,
                    failure = name,
                    reason,
                    "failed, will be delivered again"
                );
            } else {
                tracing::error!(
                    notification_id,
                    sequence_number,
                    failure = name,
                    reason,
                    "failed, goes to the failure destination unless it is put right"
                );
            }
        }
    }
}

fn metrics(received: usize, batch: &[Taken], budget: Budget) -> Metrics {
    let mut metrics = Metrics::new("complete");
    metrics.add("Received", received);
    metrics.add("Copies", received - batch.len());
    for name in OUTCOMES {
        metrics.add(name, 0);
    }
    for taken in batch {
        metrics.add(taken.outcome.name(), 1);
        if let Outcome::Failed(failure) = &taken.outcome {
            metrics.add(failure.name(), 1);
        }
        if let Some(time) = taken.stored_to_done {
            metrics.time("StoredToDone", time);
        }
    }
    metrics.time("RemainingTime", budget.left());
    metrics
}
