//! Handles one batch of Kinesis records and returns its batch item failure.

use std::time::Duration;

use aws_lambda_events::event::streams::KinesisEventResponse;
use futures::{StreamExt as _, stream};
use onewrite::{
    completion::{Completer, CompletionError, CompletionOutcome, Downstream},
    event::NotificationEvent,
    notification::Status,
    table::Completions,
};
use onewrite_runtime::{
    budget::Budget,
    observer::Observer,
    spans::Span,
    telemetry::{Metrics, elapsed},
};

use crate::record::{IncomingEvent, MissingSequenceNumber, ShardEvent, UnreadableRecord, lowest};

/// The outcome of one event.
#[derive(Debug)]
pub enum EventOutcome {
    /// This invocation moved the notification to DONE.
    Done,
    /// This invocation moved the notification to REFUSED.
    Refused,
    /// The notification was already settled.
    AlreadySettled,
    /// The notification was already settled with the other status than the downstream decided now.
    Contradicted,
    /// The event does not report INIT. The filter of the mapping drops such events, but the code does not rely on it.
    Ignored,
    /// The notification is not known to be settled.
    Failed(EventFailure),
}

/// Why an event must be retried. An event that no retry helps goes to the failure destination after the last retry of
/// the mapping.
#[derive(Debug, thiserror::Error)]
pub enum EventFailure {
    /// The record is not an event of this project.
    #[error(transparent)]
    Unreadable(#[from] UnreadableRecord),
    /// The notification could not be completed.
    #[error(transparent)]
    Completion(#[from] CompletionError),
    /// The time of the invocation was up.
    #[error("the time of the invocation was up")]
    OutOfTime,
}

impl EventOutcome {
    /// The name of the outcome in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Refused => "Refused",
            Self::AlreadySettled => "AlreadySettled",
            Self::Contradicted => "Contradicted",
            Self::Ignored => "Ignored",
            Self::Failed(_) => "Failed",
        }
    }
}

/// The names of all outcomes. Each line of metrics contains all of them, also with the value 0.
const OUTCOMES: [&str; 6] = [
    "Done",
    "Refused",
    "AlreadySettled",
    "Contradicted",
    "Ignored",
    "Failed",
];

/// The names of all metrics, except the names of failures.
///
/// `Received` is the sum of the outcomes and of `Copies`, the events that a batch contained twice. `StoredToDone` is the
/// time from storing a notification to its DONE. `RemainingTime` is what was left of the invocation.
pub const METRICS: [&str; 10] = [
    "Received",
    "Copies",
    "Done",
    "Refused",
    "AlreadySettled",
    "Contradicted",
    "Ignored",
    "Failed",
    "StoredToDone",
    "RemainingTime",
];

/// A handled event of the batch.
struct HandledEvent {
    /// The sequence numbers of the records that contain it.
    sequence_numbers: Vec<String>,
    outcome: EventOutcome,
    /// From storing to DONE, if this invocation wrote DONE.
    stored_to_done: Option<Duration>,
    /// Its part of the trace, if this invocation wrote DONE.
    span: Option<Span>,
}

impl EventFailure {
    /// The name of the failure in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "Unreadable",
            Self::Completion(error) => error.name(),
            Self::OutOfTime => "OutOfTime",
        }
    }

    /// Whether a retry alone may succeed. If not, an operator must act.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::Completion(error) => error.is_transient(),
            Self::OutOfTime => true,
        }
    }
}

impl From<CompletionOutcome> for EventOutcome {
    fn from(outcome: CompletionOutcome) -> Self {
        match outcome {
            CompletionOutcome::Settled(Status::Refused) => Self::Refused,
            CompletionOutcome::Settled(_) => Self::Done,
            CompletionOutcome::AlreadySettled(_) => Self::AlreadySettled,
            CompletionOutcome::Contradicted(_) => Self::Contradicted,
            CompletionOutcome::Ignored => Self::Ignored,
        }
    }
}

/// The handler of `complete`. It is the same for all batches.
pub struct Complete<T, D> {
    completer: Completer<T>,
    downstream: D,
    max_in_flight: usize,
    observer: Observer,
}

impl<T: Completions, D: Downstream<T::Write>> Complete<T, D> {
    /// Completes the notifications that `downstream` accepts. At most `max_in_flight` are processed at the same time.
    pub fn new(completer: Completer<T>, downstream: D, max_in_flight: usize) -> Self {
        Self {
            completer,
            downstream,
            max_in_flight,
            observer: Observer::default(),
        }
    }

    /// Uses this clock and these outputs for metrics and spans.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Handles one batch. The response names the lowest failed record, from which Lambda retries.
    ///
    /// Every event is tried, even after a failure. Their order does not matter, because each belongs to another
    /// notification or to another version of it.
    ///
    /// # Errors
    /// [`MissingSequenceNumber`]: the whole batch fails. Notifications that are settled by then stay settled.
    pub async fn handle(
        &self,
        event: ShardEvent,
        budget: Budget,
    ) -> Result<KinesisEventResponse, MissingSequenceNumber> {
        let received = event.records.len();
        let batch: Vec<HandledEvent> = stream::iter(IncomingEvent::read_all(event.records))
            .map(|incoming| self.handle_event(incoming, budget))
            .buffer_unordered(self.max_in_flight)
            .collect()
            .await;
        let spans: Vec<Span> = batch.iter().filter_map(|one| one.span.clone()).collect();
        self.observer
            .report(&metrics(received, &batch, budget), &spans);
        let failed = batch
            .iter()
            .filter(|handled| matches!(handled.outcome, EventOutcome::Failed(_)))
            .flat_map(|handled| &handled.sequence_numbers);
        let mut response = KinesisEventResponse::default();
        if let Some(sequence_number) = lowest(failed)? {
            response.add_failure(sequence_number);
        }
        Ok(response)
    }

    async fn handle_event(&self, incoming: IncomingEvent, budget: Budget) -> HandledEvent {
        let started = self.observer.now();
        let outcome = match &incoming.event {
            Ok(event) => self
                .complete(event, budget)
                .await
                .unwrap_or_else(EventOutcome::Failed),
            Err(unreadable) => EventOutcome::Failed(unreadable.clone().into()),
        };
        log(&incoming, &outcome);
        let done_now = incoming
            .event
            .ok()
            .filter(|_| matches!(outcome, EventOutcome::Done));
        let now = self.observer.now();
        HandledEvent {
            sequence_numbers: incoming.sequence_numbers,
            outcome,
            // The time of an INIT event is the time at which its item was stored.
            stored_to_done: done_now.as_ref().map(|event| elapsed(event.time, now)),
            span: done_now.and_then(|event| {
                let trace = event.traceparent.as_ref();
                Span::new(trace, &event.subject, "complete", (started, now))
            }),
        }
    }

    async fn complete(
        &self,
        event: &NotificationEvent,
        budget: Budget,
    ) -> Result<EventOutcome, EventFailure> {
        if budget.left().is_zero() {
            return Err(EventFailure::OutOfTime);
        }
        let completion = self.completer.complete(event, &self.downstream);
        match tokio::time::timeout_at(budget.end(), completion).await {
            Ok(Ok(outcome)) => Ok(outcome.into()),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(EventFailure::OutOfTime),
        }
    }
}

/// Logs one line per event, with ids only.
fn log(incoming: &IncomingEvent, outcome: &EventOutcome) {
    let notification_id = incoming
        .event
        .as_ref()
        .ok()
        .map(|event| event.subject.as_str());
    let sequence_number = incoming.sequence_numbers.first();
    match outcome {
        EventOutcome::Done => tracing::debug!(notification_id, sequence_number, "done"),
        EventOutcome::Refused => tracing::info!(notification_id, sequence_number, "refused"),
        EventOutcome::AlreadySettled => {
            tracing::info!(notification_id, sequence_number, "already settled")
        }
        EventOutcome::Contradicted => tracing::error!(
            notification_id,
            sequence_number,
            "the downstream decided otherwise than before; the first decision stays"
        ),
        EventOutcome::Ignored => tracing::debug!(notification_id, sequence_number, "ignored"),
        EventOutcome::Failed(failure) => {
            let (name, reason) = (failure.name(), failure.to_string());
            if failure.is_transient() {
                tracing::warn!(
                    notification_id,
                    sequence_number,
                    failure = name,
                    reason,
                    "failed, Lambda will deliver it again"
                );
            } else {
                tracing::error!(
                    notification_id,
                    sequence_number,
                    failure = name,
                    reason,
                    "failed, it goes to the failure destination unless somebody fixes the cause"
                );
            }
        }
    }
}

fn metrics(received: usize, batch: &[HandledEvent], budget: Budget) -> Metrics {
    let mut metrics = Metrics::new("complete");
    metrics.add("Received", received);
    metrics.add("Copies", received - batch.len());
    for name in OUTCOMES {
        metrics.add(name, 0);
    }
    for handled in batch {
        metrics.add(handled.outcome.name(), 1);
        if let EventOutcome::Failed(failure) = &handled.outcome {
            metrics.add(failure.name(), 1);
        }
        if let Some(time) = handled.stored_to_done {
            metrics.time("StoredToDone", time);
        }
    }
    metrics.time("RemainingTime", budget.left());
    metrics
}
