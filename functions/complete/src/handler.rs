//! Handles one batch of Kinesis records and returns its batch item failure.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_lambda_events::event::streams::KinesisEventResponse;
use futures::{StreamExt as _, stream};
use onewrite::{
    completion::{Completer, CompletionError, Downstream, DownstreamError, Standing},
    event::NotificationEvent,
    notification::{NotificationId, Refusal, Status},
    table::{Completions, CurrentState, CurrentStates},
};
use onewrite_aws::targets::CALL_TIMEOUT;
use onewrite_runtime::{
    budget::Budget,
    observer::Observer,
    spans::Span,
    telemetry::{Metrics, elapsed},
};

use crate::{
    given_up::{self, FailureStore},
    outcome::{EventFailure, EventOutcome, OUTCOMES, UnknownState},
    record::{IncomingEvent, MissingSequenceNumber, ShardEvent, lowest},
    settled::{MAX_REMEMBERED, Memory, NotificationKey},
};

/// The names of all metrics, except the names of failures.
///
/// `Received` is the sum of the outcomes and of `Copies`, the events that a batch contained twice. `StoredToDone` is the
/// time from storing a notification to its DONE. `RemainingTime` is what was left of the invocation. `GivenUp` counts the
/// failed events that are kept in the failure bucket.
pub const METRICS: [&str; 11] = [
    "Received",
    "Copies",
    "Done",
    "Refused",
    "AlreadySettled",
    "Contradicted",
    "Ignored",
    "Failed",
    "GivenUp",
    "StoredToDone",
    "RemainingTime",
];

/// The names of the metrics that `METRICS=essential` selects: those of the alarms and of `onewrite status`.
pub const ESSENTIAL_METRICS: [&str; 5] = ["Done", "Refused", "Contradicted", "Failed", "GivenUp"];

/// A handled event of the batch.
struct HandledEvent {
    /// The sequence numbers of the records that contain it.
    sequence_numbers: Vec<String>,
    outcome: EventOutcome,
    /// From storing to DONE, if this invocation wrote DONE.
    stored_to_done: Option<Duration>,
    /// Its part of the trace, if this invocation wrote DONE.
    span: Option<Span>,
    /// Whether it failed for good and was kept.
    is_given_up: bool,
}

/// Current states by id, in which an id without an item is absent.
type States = Result<HashMap<NotificationId, CurrentState>, UnknownState>;

/// What a batch has in common.
struct BatchState {
    /// `None` if the downstream does not need them.
    states: Option<States>,
    /// Whether the receiver was busy, so that no more events are begun.
    is_stopped: AtomicBool,
    budget: Budget,
    /// The time for beginning calls. A call that began later would be cut short, and its outcome would be unknown.
    time_to_begin: Budget,
}

/// An event of the batch, and what is known of it before the downstream is called.
struct PreparedEvent {
    incoming: IncomingEvent,
    known: Known,
}

enum Known {
    Nothing,
    /// This process has settled the notification.
    IsSettled,
    /// The downstream must not be called now.
    Postponed(DownstreamError),
}

/// The handler of `complete`. It is the same for all batches.
pub struct Complete<T, D> {
    completer: Completer<T>,
    downstream: D,
    max_in_flight: usize,
    settled: Memory<NotificationKey>,
    failures: Option<(Box<dyn FailureStore>, String)>,
    observer: Observer,
}

impl<T: Completions + CurrentStates, D: Downstream<T::Write>> Complete<T, D> {
    /// Completes the notifications that `downstream` accepts. At most `max_in_flight` are processed at the same time.
    pub fn new(completer: Completer<T>, downstream: D, max_in_flight: usize) -> Self {
        Self {
            completer,
            downstream,
            max_in_flight,
            settled: Memory::new(MAX_REMEMBERED),
            failures: None,
            observer: Observer::default(),
        }
    }

    /// Uses this clock and these outputs for metrics and spans.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Gives up events that no retry can help, after [`GRACE`](crate::given_up::GRACE): they are kept in `store`, with the name of
    /// this `function`. Without a store, they fail until Lambda gives them up.
    #[must_use]
    pub fn with_failure_store(
        self,
        store: impl FailureStore + 'static,
        function: impl Into<String>,
    ) -> Self {
        Self {
            failures: Some((Box::new(store), function.into())),
            ..self
        }
    }

    /// Handles one batch. The response names the lowest failed record, from which Lambda retries.
    ///
    /// An event that fails does not stop the others: their order does not matter, because each belongs to another
    /// notification or to another version of it. Only if the receiver is busy, no further event is begun. A notification that
    /// this process or the table knows to be settled is not passed to the downstream, so a retry because of one event does not
    /// repeat the calls for its neighbours.
    ///
    /// # Errors
    /// [`MissingSequenceNumber`]: the whole batch fails. Notifications that are settled by then stay settled.
    pub async fn handle(
        &self,
        event: ShardEvent,
        budget: Budget,
    ) -> Result<KinesisEventResponse, MissingSequenceNumber> {
        let received = event.records.len();
        let time_to_begin = budget.reserving(CALL_TIMEOUT);
        self.downstream.begin_batch(time_to_begin.left());
        let incoming = IncomingEvent::read_all(event.records);
        let prepared: Vec<PreparedEvent> =
            incoming.into_iter().map(|one| self.prepare(one)).collect();
        let state = BatchState {
            states: self.read_states(&prepared, budget).await,
            is_stopped: AtomicBool::new(false),
            budget,
            time_to_begin,
        };
        let batch: Vec<HandledEvent> = stream::iter(prepared)
            .map(|event| self.handle_event(event, &state))
            .buffer_unordered(self.max_in_flight)
            .collect()
            .await;
        let spans: Vec<Span> = batch.iter().filter_map(|one| one.span.clone()).collect();
        self.observer
            .report(&metrics(received, &batch, budget), &spans);
        let failed = batch
            .iter()
            .filter(|handled| matches!(handled.outcome, EventOutcome::Failed(_)))
            .filter(|handled| !handled.is_given_up)
            .flat_map(|handled| &handled.sequence_numbers);
        let mut response = KinesisEventResponse::default();
        if let Some(sequence_number) = lowest(failed)? {
            response.add_failure(sequence_number);
        }
        Ok(response)
    }

    /// Finds out what is known of an event. Asked once, because the memory can forget a notification while the batch is processed.
    fn prepare(&self, incoming: IncomingEvent) -> PreparedEvent {
        let event = incoming.event.as_ref().ok();
        let known = match event.filter(|event| event.status == Status::Init) {
            None => Known::Nothing,
            Some(event) if self.settled.contains(&NotificationKey::from(event)) => Known::IsSettled,
            Some(event) => match self.downstream.postponement(event) {
                Some(error) => Known::Postponed(error),
                None => Known::Nothing,
            },
        };
        PreparedEvent { incoming, known }
    }

    /// Reads the current states of the notifications that the downstream may have to be called for.
    async fn read_states(&self, prepared: &[PreparedEvent], budget: Budget) -> Option<States> {
        if !self.downstream.checks_state() {
            return None;
        }
        let unknown = prepared
            .iter()
            .filter(|one| matches!(one.known, Known::Nothing));
        let events = unknown.filter_map(|one| one.incoming.event.as_ref().ok());
        let open = events.filter(|event| event.status == Status::Init);
        let ids: Vec<NotificationId> = open.map(|event| event.subject.clone()).collect();
        if ids.is_empty() {
            return None;
        }
        let states = self.completer.current_states(&ids);
        Some(match tokio::time::timeout_at(budget.end(), states).await {
            Ok(states) => states.map_err(|error| UnknownState::from(&error)),
            Err(_elapsed) => Err(UnknownState::out_of_time()),
        })
    }

    async fn handle_event(
        &self,
        PreparedEvent { incoming, known }: PreparedEvent,
        state: &BatchState,
    ) -> HandledEvent {
        let started = self.observer.now();
        let outcome = match (&incoming.event, known) {
            (Ok(_), Known::IsSettled) => EventOutcome::AlreadySettled,
            (Ok(_), Known::Postponed(error)) => EventFailure::Postponed(error).into(),
            (Ok(event), Known::Nothing) => {
                let settled = self.settle(event, state).await;
                settled.unwrap_or_else(EventOutcome::Failed)
            }
            (Err(unreadable), _) => EventFailure::from(unreadable.clone()).into(),
        };
        let is_given_up = match &outcome {
            EventOutcome::Failed(failure) => self.give_up(&incoming, failure, state.budget).await,
            _ => false,
        };
        log(&incoming, &outcome, is_given_up);
        let is_done = matches!(outcome, EventOutcome::Done);
        let settled_now = incoming
            .event
            .ok()
            .filter(|_| is_done || matches!(outcome, EventOutcome::Refused(_)));
        let now = self.observer.now();
        // The time of an INIT event is the time at which its item was stored.
        let done_now = settled_now.as_ref().filter(|_| is_done);
        HandledEvent {
            sequence_numbers: incoming.sequence_numbers,
            outcome,
            stored_to_done: done_now.map(|event| elapsed(event.time, now)),
            span: settled_now.and_then(|event| {
                let trace = event.traceparent.as_ref();
                Span::new(trace, &event.subject, "complete", (started, now))
            }),
            is_given_up,
        }
    }

    /// Keeps an event that no retry can help. If that fails, the event fails, so that it is never lost.
    async fn give_up(
        &self,
        incoming: &IncomingEvent,
        failure: &EventFailure,
        budget: Budget,
    ) -> bool {
        let (record, now) = (&incoming.record, self.observer.now());
        let Some((store, function)) = &self.failures else {
            return false;
        };
        if !failure.is_permanent() || !given_up::is_due(record, now) {
            return false;
        }
        let object = given_up::object(record, function, failure.name(), now);
        let kept = store.keep(given_up::key(record), object);
        match tokio::time::timeout_at(budget.at_most(CALL_TIMEOUT).end(), kept).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let reason = error.to_string();
                tracing::warn!(reason, "an event cannot be written to the failure bucket");
                false
            }
            Err(_elapsed) => {
                tracing::warn!("the failure bucket does not answer");
                false
            }
        }
    }

    /// Settles the notification of an event, unless it is settled already.
    async fn settle(
        &self,
        event: &NotificationEvent,
        state: &BatchState,
    ) -> Result<EventOutcome, EventFailure> {
        if event.status != Status::Init {
            return Ok(EventOutcome::Ignored);
        }
        let outcome = match self.known_outcome(event, state)? {
            Some(outcome) => outcome,
            None => self.complete(event, state).await?,
        };
        if outcome.is_settled() {
            self.settled.insert(NotificationKey::from(event));
        }
        Ok(outcome)
    }

    /// The outcome that the current state of the notification decides; `None` if the downstream decides.
    fn known_outcome(
        &self,
        event: &NotificationEvent,
        state: &BatchState,
    ) -> Result<Option<EventOutcome>, EventFailure> {
        let Some(states) = &state.states else {
            return Ok(None);
        };
        let states = states.as_ref().map_err(UnknownState::clone)?;
        let outcome = Standing::new(event, states.get(&event.subject)).outcome()?;
        Ok(outcome.map(EventOutcome::from))
    }

    /// Calls the downstream and writes its verdict.
    async fn complete(
        &self,
        event: &NotificationEvent,
        state: &BatchState,
    ) -> Result<EventOutcome, EventFailure> {
        if state.is_stopped.load(Ordering::Relaxed) {
            let error = DownstreamError::postponed("the receiver is busy", None);
            return Err(EventFailure::Postponed(error));
        }
        if state.is_late() {
            return Err(EventFailure::OutOfTime);
        }
        let completion = self.completer.complete(event, &self.downstream);
        let completed = match tokio::time::timeout_at(state.budget.end(), completion).await {
            Ok(completed) => completed.map_err(|error| state.failure(error)),
            Err(_elapsed) => Err(EventFailure::OutOfTime),
        };
        if completed.as_ref().is_err_and(EventFailure::ends_batch) {
            state.is_stopped.store(true, Ordering::Relaxed);
        }
        Ok(completed?.into())
    }
}

impl BatchState {
    /// Whether it is too late to begin another call.
    fn is_late(&self) -> bool {
        self.time_to_begin.left().is_zero()
    }

    fn failure(&self, error: CompletionError) -> EventFailure {
        match error {
            CompletionError::Downstream(error) if error.is_postponed() => {
                // Calls wait for each other if their rate is limited, so time can be the reason.
                if self.is_late() {
                    EventFailure::OutOfTime
                } else {
                    EventFailure::Postponed(error)
                }
            }
            error => error.into(),
        }
    }
}

/// Logs one line per event, with ids only.
fn log(incoming: &IncomingEvent, outcome: &EventOutcome, is_given_up: bool) {
    let notification_id = incoming
        .event
        .as_ref()
        .ok()
        .map(|event| event.subject.as_str());
    let sequence_number = incoming.sequence_numbers.first();
    match outcome {
        EventOutcome::Done => tracing::debug!(notification_id, sequence_number, "done"),
        EventOutcome::Refused(refusal) => {
            let refusal = refusal.as_str();
            tracing::info!(notification_id, sequence_number, refusal, "refused");
        }
        EventOutcome::AlreadySettled => {
            tracing::info!(notification_id, sequence_number, "already settled")
        }
        EventOutcome::Contradicted { found, refusal } => tracing::error!(
            notification_id,
            sequence_number,
            found = found.as_str(),
            refusal = refusal.as_ref().map(Refusal::as_str),
            "the downstream decided otherwise than before; the first decision stays"
        ),
        EventOutcome::Ignored => tracing::debug!(notification_id, sequence_number, "ignored"),
        EventOutcome::Failed(failure) => {
            let (name, reason) = (failure.name(), failure.to_string());
            if is_given_up {
                tracing::error!(
                    notification_id,
                    sequence_number,
                    failure = name,
                    reason,
                    "given up, its event is in the failure bucket"
                );
            } else if failure.is_transient() {
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
    for name in OUTCOMES.into_iter().chain(["GivenUp"]) {
        metrics.add(name, 0);
    }
    for handled in batch {
        metrics.add(handled.outcome.name(), 1);
        if let EventOutcome::Failed(failure) = &handled.outcome {
            metrics.add(failure.name(), 1);
        }
        metrics.add("GivenUp", handled.is_given_up.into());
        if let Some(time) = handled.stored_to_done {
            metrics.time("StoredToDone", time);
        }
    }
    metrics.time("RemainingTime", budget.left());
    metrics
}
