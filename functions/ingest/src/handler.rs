//! Handles one batch of SQS messages and returns its batch item failures.

use std::{panic::AssertUnwindSafe, time::Duration};

use aws_lambda_events::event::sqs::SqsBatchResponse;
use futures::{FutureExt, StreamExt, stream};
use onewrite::{
    deferral::Waits,
    item::{Enrichment, InvalidItem, NotificationItem, PayloadCompression, to_millis},
    limits::DEFERRAL_TIME,
    notification::{MessagePointers, Notification, NotificationId, Rejection},
    queue::{Deferral, DelayedDelivery, NoQueue},
    table::{InsertResult, NewNotifications, TableError},
};
use onewrite_runtime::{
    budget::Budget,
    observer::Observer,
    spans::Span,
    telemetry::{Metrics, elapsed},
};

use crate::{
    deferral::defer,
    message::{Message, MissingMessageId, QueueEvent, lanes},
};

/// The outcome of one message.
#[derive(Debug)]
pub enum MessageOutcome {
    /// The message created its notification in the table.
    Created,
    /// The table already had this notification with the same fingerprint: a duplicate.
    AlreadyStored,
    /// The table has a different notification under this id.
    Conflict,
    /// The message can never become a notification.
    Rejected(Rejection),
    /// The outcome is unknown. Another receive may succeed.
    Failed(MessageFailure),
}

/// Why the outcome of a message is unknown.
#[derive(Debug, thiserror::Error)]
pub enum MessageFailure {
    /// The table gave no usable answer.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The record of the message cannot be decoded.
    #[error("the record of the message cannot be decoded")]
    Undecodable,
    /// The aggregation returned an enrichment that could not be published. It is pure, so it would do so again.
    #[error(
        "aggregate returned an enrichment that breaks the rule {} of messages, so it could not be published",
        .0.name()
    )]
    InvalidEnrichment(Rejection),
    /// The code panicked. The other messages go on.
    #[error("the code panicked")]
    Panicked,
    /// The time of the invocation was up.
    #[error("the time of the invocation was up")]
    OutOfTime,
    /// An earlier message of the same FIFO group failed, so this one was not tried.
    #[error("an earlier message of its group failed")]
    BehindFailure,
}

impl MessageFailure {
    /// Whether a later receive alone may succeed. If not, an operator or a developer must act.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Table(error) => error.is_transient(),
            Self::OutOfTime => true,
            Self::Undecodable
            | Self::InvalidEnrichment(_)
            | Self::Panicked
            | Self::BehindFailure => false,
        }
    }
}

impl MessageOutcome {
    /// Whether the message may be deleted from its queue. True only if its notification is in the table.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        match self {
            Self::Created | Self::AlreadyStored => true,
            Self::Conflict | Self::Rejected(_) | Self::Failed(_) => false,
        }
    }

    /// The name of the outcome in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::AlreadyStored => "AlreadyStored",
            Self::Conflict => "Conflict",
            Self::Rejected(_) => "Rejected",
            Self::Failed(_) => "Failed",
        }
    }
}

/// The names of all outcomes.
const OUTCOMES: [&str; 5] = ["Created", "AlreadyStored", "Conflict", "Rejected", "Failed"];

/// The names of all metrics, except `Rejected` followed by the name of a rejection.
///
/// `Received` is the sum of the outcomes. `Deferred` counts failed messages that the queue delivers later, `NotDeferred` those
/// for which that call failed. `QueueToStored` is the time from sending a message to storing its notification.
/// `RemainingTime` is what was left of the invocation.
pub const METRICS: [&str; 10] = [
    "Received",
    "Created",
    "AlreadyStored",
    "Conflict",
    "Rejected",
    "Failed",
    "Deferred",
    "NotDeferred",
    "QueueToStored",
    "RemainingTime",
];

/// The names of the metrics that `METRICS=essential` selects: those of the alarms and of `onewrite status`.
pub const ESSENTIAL_METRICS: [&str; 4] = ["Created", "Conflict", "Rejected", "Failed"];

/// A handled message of the batch.
struct HandledMessage {
    message_id: String,
    outcome: MessageOutcome,
    /// How long the queue shall hide it.
    deferral: Option<Deferral>,
    /// From sending to storing, if this invocation stored it.
    queue_to_stored: Option<Duration>,
    /// Its part of the trace, if this invocation stored it.
    span: Option<Span>,
}

/// The handler of `ingest`. It is the same for all batches.
pub struct Ingest<T, A, Q = NoQueue> {
    table: T,
    queue: Option<Q>,
    waits: Waits,
    compression: PayloadCompression,
    pointers: MessagePointers,
    max_in_flight: usize,
    aggregate: A,
    jitter: fn() -> f64,
    observer: Observer,
}

impl<T: NewNotifications, A: Fn(&Notification) -> Enrichment> Ingest<T, A> {
    /// Finds notifications in messages with `pointers`, adds what `aggregate` returns, and writes them to `table`. At most
    /// `max_in_flight` messages are written at the same time.
    pub fn new(table: T, pointers: MessagePointers, max_in_flight: usize, aggregate: A) -> Self {
        Self {
            table,
            queue: None,
            waits: Waits::default(),
            compression: PayloadCompression::default(),
            pointers,
            max_in_flight,
            aggregate,
            jitter: rand::random,
            observer: Observer::default(),
        }
    }
}

impl<T: NewNotifications, A: Fn(&Notification) -> Enrichment, Q: DelayedDelivery> Ingest<T, A, Q> {
    /// Defers messages of `queue` that failed for a transient reason. Without a queue, they keep its visibility timeout.
    #[must_use]
    pub fn with_queue<R: DelayedDelivery>(self, queue: Option<R>) -> Ingest<T, A, R> {
        Ingest {
            table: self.table,
            queue,
            waits: self.waits,
            compression: self.compression,
            pointers: self.pointers,
            max_in_flight: self.max_in_flight,
            aggregate: self.aggregate,
            jitter: self.jitter,
            observer: self.observer,
        }
    }

    /// Uses these waits instead of those for an outage of three hours.
    #[must_use]
    pub fn with_waits(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    /// Stores large payloads compressed, or as they are.
    #[must_use]
    pub fn with_compression(self, compression: PayloadCompression) -> Self {
        Self {
            compression,
            ..self
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

    /// Handles one batch. The response names the messages that SQS must deliver again.
    ///
    /// # Errors
    /// [`MissingMessageId`]: the whole batch fails, and no message was tried.
    pub async fn handle(
        &self,
        event: QueueEvent,
        budget: Budget,
    ) -> Result<SqsBatchResponse, MissingMessageId> {
        let messages = Message::read_all(event.records)?;
        let store_budget = match self.queue {
            Some(_) => budget.reserving(DEFERRAL_TIME),
            None => budget,
        };
        let mut batch: Vec<HandledMessage> = stream::iter(lanes(messages))
            .map(|lane| self.handle_lane(lane, store_budget))
            .buffer_unordered(self.max_in_flight)
            .map(stream::iter)
            .flatten()
            .collect()
            .await;
        let deferrals: Vec<Deferral> = batch
            .iter_mut()
            .filter_map(|one| one.deferral.take())
            .collect();
        let deferred = match &self.queue {
            Some(queue) => defer(queue, &deferrals, budget).await,
            None => 0,
        };
        let mut metrics = metrics(&batch, budget);
        metrics.add("Deferred", deferred);
        metrics.add("NotDeferred", deferrals.len() - deferred);
        let spans: Vec<Span> = batch.iter().filter_map(|one| one.span.clone()).collect();
        self.observer.report(&metrics, &spans);
        let mut response = SqsBatchResponse::default();
        for handled in batch {
            if !handled.outcome.is_acknowledged() {
                response.add_failure(handled.message_id);
            }
        }
        Ok(response)
    }

    /// Handles messages one after the other. After the first that is not acknowledged, no further message is tried (Lambda
    /// developer guide, "SQS error handling": a FIFO function stops at the first failure and returns the rest as failed).
    ///
    /// Messages behind a deferred one wait as long as it does. SQS returns no message of a group while one of them is hidden
    /// (SQS developer guide, "FIFO queue delivery logic"), so a shorter wait would bring none of them back earlier.
    async fn handle_lane(&self, lane: Vec<Message>, budget: Budget) -> Vec<HandledMessage> {
        let mut all = Vec::with_capacity(lane.len());
        let mut blocked_for = None;
        for message in lane {
            let handled = match blocked_for {
                Some(wait) => behind_failure(message, wait),
                None => self.handle_message(message, budget).await,
            };
            if blocked_for.is_none() && !handled.outcome.is_acknowledged() {
                blocked_for = Some(handled.deferral.as_ref().map(|deferral| deferral.wait));
            }
            all.push(handled);
        }
        all
    }

    async fn handle_message(&self, message: Message, budget: Budget) -> HandledMessage {
        let started = self.observer.now();
        let (id, outcome) = self.try_store(&message, budget).await;
        log(&message, id.as_ref(), &outcome);
        let now = self.observer.now();
        let stored_id = id.filter(|_| matches!(outcome, MessageOutcome::Created));
        HandledMessage {
            deferral: self
                .wait(&message, &outcome)
                .and_then(|wait| deferral(&message, wait)),
            queue_to_stored: stored_id
                .as_ref()
                .and(message.sent_at)
                .map(|sent_at| elapsed(sent_at, now)),
            span: stored_id.and_then(|id| {
                Span::new(message.traceparent.as_ref(), &id, "ingest", (started, now))
            }),
            message_id: message.id,
            outcome,
        }
    }

    /// How long the queue shall hide a message: only after a transient failure. Every other message fails again, so it keeps
    /// the visibility timeout of the queue and reaches the dead-letter queue within minutes.
    fn wait(&self, message: &Message, outcome: &MessageOutcome) -> Option<Duration> {
        match outcome {
            MessageOutcome::Failed(failure) if self.queue.is_some() && failure.is_transient() => {
                self.waits.after(message.receive_count?, (self.jitter)())
            }
            _ => None,
        }
    }

    /// Stores one message. A panic or a timeout fails this message only. Also returns the notification id, if it was found.
    async fn try_store(
        &self,
        message: &Message,
        budget: Budget,
    ) -> (Option<NotificationId>, MessageOutcome) {
        let mut id = None;
        if message.is_undecodable {
            return (id, MessageOutcome::Failed(MessageFailure::Undecodable));
        }
        if budget.left().is_zero() {
            return (id, MessageOutcome::Failed(MessageFailure::OutOfTime));
        }
        let store = AssertUnwindSafe(self.store(message, &mut id)).catch_unwind();
        let outcome = match tokio::time::timeout_at(budget.end(), store).await {
            Ok(Ok(Ok(outcome))) => outcome,
            Ok(Ok(Err(error))) => MessageOutcome::Failed(error.into()),
            Ok(Err(_panic)) => MessageOutcome::Failed(MessageFailure::Panicked),
            Err(_elapsed) => MessageOutcome::Failed(MessageFailure::OutOfTime),
        };
        (id, outcome)
    }

    /// Parses, aggregates and writes. Sets `id` as soon as it is known, for the log.
    async fn store(
        &self,
        message: &Message,
        id: &mut Option<NotificationId>,
    ) -> Result<MessageOutcome, TableError> {
        let item = match self.to_item(message, id) {
            Ok(item) => item,
            Err(InvalidItem::Rejected(rejection)) => {
                return Ok(MessageOutcome::Rejected(rejection));
            }
            Err(InvalidItem::Enrichment(rejection)) => {
                let failure = MessageFailure::InvalidEnrichment(rejection);
                return Ok(MessageOutcome::Failed(failure));
            }
        };
        let fingerprint = item.notification.fingerprint;
        Ok(match self.table.insert(&item).await? {
            InsertResult::Created => MessageOutcome::Created,
            InsertResult::Exists {
                fingerprint: Some(stored),
            } if stored == fingerprint => MessageOutcome::AlreadyStored,
            InsertResult::Exists { .. } => MessageOutcome::Conflict,
        })
    }

    fn to_item(
        &self,
        message: &Message,
        id: &mut Option<NotificationId>,
    ) -> Result<NotificationItem, InvalidItem> {
        let body = message.body.as_ref().ok_or(Rejection::MissingBody)?;
        let notification = self.pointers.parse(body)?;
        *id = Some(notification.id.clone());
        let enrichment = (self.aggregate)(&notification);
        let now = to_millis(self.observer.now());
        NotificationItem::new(
            notification,
            &enrichment,
            message.id.clone(),
            message.traceparent.clone(),
            now,
            self.compression,
        )
    }
}

/// A message behind a failed one of its group, which waits for `wait`.
fn behind_failure(message: Message, wait: Option<Duration>) -> HandledMessage {
    let outcome = MessageOutcome::Failed(MessageFailure::BehindFailure);
    log(&message, None, &outcome);
    HandledMessage {
        deferral: wait.and_then(|wait| deferral(&message, wait)),
        message_id: message.id,
        outcome,
        queue_to_stored: None,
        span: None,
    }
}

fn deferral(message: &Message, wait: Duration) -> Option<Deferral> {
    let receipt_handle = message.receipt_handle.clone()?;
    Some(Deferral {
        receipt_handle,
        wait,
    })
}

/// Logs one line per message. A stored message needs no line at the default level, because the table shows it.
fn log(message: &Message, notification_id: Option<&NotificationId>, outcome: &MessageOutcome) {
    let message_id = message.id.as_str();
    let receive_count = message.receive_count;
    let notification_id = notification_id.map(NotificationId::as_str);
    match outcome {
        MessageOutcome::Created => tracing::debug!(message_id, notification_id, "created"),
        MessageOutcome::AlreadyStored => {
            tracing::info!(message_id, notification_id, receive_count, "already stored")
        }
        MessageOutcome::Conflict => tracing::warn!(
            message_id,
            notification_id,
            receive_count,
            "conflict: the table has a different notification under this id"
        ),
        MessageOutcome::Rejected(rejection) => {
            let (name, reason) = (rejection.name(), rejection.to_string());
            tracing::warn!(
                message_id,
                notification_id,
                receive_count,
                rejection = name,
                reason,
                "rejected"
            );
        }
        MessageOutcome::Failed(failure) => {
            let reason = failure.to_string();
            tracing::warn!(
                message_id,
                notification_id,
                receive_count,
                reason,
                "failed, SQS will deliver it again"
            );
        }
    }
}

fn metrics(batch: &[HandledMessage], budget: Budget) -> Metrics {
    let mut metrics = Metrics::new("ingest");
    metrics.add("Received", batch.len());
    for name in OUTCOMES {
        metrics.add(name, 0);
    }
    for handled in batch {
        metrics.add(handled.outcome.name(), 1);
        if let MessageOutcome::Rejected(rejection) = &handled.outcome {
            metrics.add(format!("Rejected{}", rejection.name()), 1);
        }
        if let Some(time) = handled.queue_to_stored {
            metrics.time("QueueToStored", time);
        }
    }
    metrics.time("RemainingTime", budget.left());
    metrics
}
