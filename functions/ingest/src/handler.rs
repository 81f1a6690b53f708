//! One batch, from the event to the answer.

use std::{panic::AssertUnwindSafe, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use onewrite::{
    budget::Budget,
    item::{Enrichment, NotificationItem, to_millis},
    notification::{MessagePointers, Notification, NotificationId, Rejection},
    spans::{self, Span},
    table::{Inserted, NewNotifications, TableError},
    telemetry::{Metrics, elapsed},
};

use crate::message::{Message, MissingMessageId, lanes};

/// What became of one message.
#[derive(Debug)]
pub enum Outcome {
    /// Its notification is in the table now.
    Created,
    /// Its notification was in the table before, with the same fingerprint: a duplicate.
    AlreadyStored,
    /// Another notification stands under its id.
    Conflict,
    /// It can never become a notification.
    Rejected(Rejection),
    /// Nothing is known; another receive may succeed.
    Failed(Failure),
}

/// Why nothing is known of a message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The table did not answer for it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The code panicked; the other messages go on.
    #[error("the code panicked")]
    Panicked,
    /// The invocation's time was up.
    #[error("the invocation's time was up")]
    OutOfTime,
    /// An earlier message of its FIFO group failed, so it was not tried.
    #[error("an earlier message of its group failed")]
    BehindFailure,
}

impl Outcome {
    /// Whether the message may be deleted from its queue: only if its notification is in the table.
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

/// The names of all outcomes, so that each is in every metrics line, also at 0.
const OUTCOMES: [&str; 5] = ["Created", "AlreadyStored", "Conflict", "Rejected", "Failed"];

/// The names of all metrics, but for `Rejected` with the name of each rejection behind it: messages by outcome, of
/// which `Received` is the sum; from a message's sending to its notification's being stored; and what was left of the
/// invocation's time.
pub const METRICS: [&str; 8] = [
    "Received",
    "Created",
    "AlreadyStored",
    "Conflict",
    "Rejected",
    "Failed",
    "QueueToStored",
    "RemainingTime",
];

/// One message of a batch, done with.
struct Taken {
    message_id: String,
    outcome: Outcome,
    /// From its sending to its being stored, where it was stored now.
    queue_to_stored: Option<Duration>,
    /// Its part of the trace it came with, where it was stored now.
    span: Option<Span>,
}

/// The function: everything that stays the same from batch to batch.
pub struct Ingest<T> {
    table: T,
    pointers: MessagePointers,
    max_in_flight: usize,
    aggregate: fn(&Notification) -> Enrichment,
    clock: fn() -> Timestamp,
    emit: fn(&Metrics),
    tell: fn(&[Span]),
}

impl<T: NewNotifications> Ingest<T> {
    /// Writes to `table` what `pointers` find and `aggregate` adds, at most `max_in_flight` messages at a time.
    pub fn new(
        table: T,
        pointers: MessagePointers,
        max_in_flight: usize,
        aggregate: fn(&Notification) -> Enrichment,
    ) -> Self {
        Self {
            table,
            pointers,
            max_in_flight,
            aggregate,
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

    /// Takes one batch and answers which of its messages must come again.
    ///
    /// # Errors
    /// [`MissingMessageId`]: the batch fails whole; nothing of it was tried.
    pub async fn handle(
        &self,
        event: SqsEvent,
        budget: Budget,
    ) -> Result<SqsBatchResponse, MissingMessageId> {
        let messages = Message::read_all(event.records)?;
        let batch: Vec<Taken> = stream::iter(lanes(messages))
            .map(|lane| self.take_lane(lane, budget))
            .buffer_unordered(self.max_in_flight)
            .map(stream::iter)
            .flatten()
            .collect()
            .await;
        (self.emit)(&metrics(&batch, budget));
        let spans: Vec<Span> = batch
            .iter()
            .filter_map(|taken| taken.span.clone())
            .collect();
        (self.tell)(&spans);
        let mut response = SqsBatchResponse::default();
        for taken in batch {
            if !taken.outcome.is_acknowledged() {
                response.add_failure(taken.message_id);
            }
        }
        Ok(response)
    }

    /// Takes messages one after the other; behind the first that is not acknowledged, none is tried (Lambda developer
    /// guide, "SQS error handling": a FIFO function stops at the first failure and returns the rest as failed).
    async fn take_lane(&self, lane: Vec<Message>, budget: Budget) -> Vec<Taken> {
        let mut all = Vec::with_capacity(lane.len());
        let mut blocked = false;
        for message in lane {
            let began = (self.clock)();
            let (id, outcome) = if blocked {
                let untried = Outcome::Failed(Failure::BehindFailure);
                log(&message, None, &untried);
                (None, untried)
            } else {
                self.take(&message, budget).await
            };
            blocked |= !outcome.is_acknowledged();
            let now = (self.clock)();
            let stored_now = id.filter(|_| matches!(outcome, Outcome::Created));
            all.push(Taken {
                queue_to_stored: stored_now
                    .as_ref()
                    .and_then(|_| Some(elapsed(message.sent_at?, now))),
                span: stored_now.and_then(|id| {
                    Span::of(message.traceparent.as_ref(), &id, "ingest", (began, now))
                }),
                message_id: message.id,
                outcome,
            });
        }
        all
    }

    /// Takes one message: whatever goes wrong is its own failure. Also its id, where it was found.
    async fn take(&self, message: &Message, budget: Budget) -> (Option<NotificationId>, Outcome) {
        let mut id = None;
        let outcome = if budget.left().is_zero() {
            Outcome::Failed(Failure::OutOfTime)
        } else {
            let store = AssertUnwindSafe(self.store(message, &mut id)).catch_unwind();
            match tokio::time::timeout_at(budget.end(), store).await {
                Ok(Ok(Ok(outcome))) => outcome,
                Ok(Ok(Err(error))) => Outcome::Failed(error.into()),
                Ok(Err(_panic)) => Outcome::Failed(Failure::Panicked),
                Err(_elapsed) => Outcome::Failed(Failure::OutOfTime),
            }
        };
        log(message, id.as_ref(), &outcome);
        (id, outcome)
    }

    /// Parses, aggregates, writes. `id` is set as soon as it is known, for the log.
    async fn store(
        &self,
        message: &Message,
        id: &mut Option<NotificationId>,
    ) -> Result<Outcome, TableError> {
        let item = match self.read(message, id) {
            Ok(item) => item,
            Err(rejection) => return Ok(Outcome::Rejected(rejection)),
        };
        let fingerprint = item.notification.fingerprint;
        Ok(match self.table.insert(&item).await? {
            Inserted::Created => Outcome::Created,
            Inserted::Exists {
                fingerprint: Some(stored),
            } if stored == fingerprint => Outcome::AlreadyStored,
            Inserted::Exists { .. } => Outcome::Conflict,
        })
    }

    fn read(
        &self,
        message: &Message,
        id: &mut Option<NotificationId>,
    ) -> Result<NotificationItem, Rejection> {
        let body = message.body.as_ref().ok_or(Rejection::MissingBody)?;
        let notification = self.pointers.parse(body.as_bytes())?;
        *id = Some(notification.id.clone());
        let enrichment = (self.aggregate)(&notification);
        let now = to_millis((self.clock)());
        NotificationItem::new(
            notification,
            &enrichment,
            message.id.clone(),
            message.traceparent.clone(),
            now,
        )
    }
}

/// One line for each outcome that somebody may ask for; what went well is in the table.
fn log(message: &Message, notification_id: Option<&NotificationId>, outcome: &Outcome) {
    let message_id = message.id.as_str();
    let receive_count = message.receive_count;
    let notification_id = notification_id.map(NotificationId::as_str);
    match outcome {
        Outcome::Created => tracing::debug!(message_id, notification_id, "created"),
        Outcome::AlreadyStored => {
            tracing::info!(message_id, notification_id, receive_count, "already stored")
        }
        Outcome::Conflict => tracing::warn!(
            message_id,
            notification_id,
            receive_count,
            "conflict: another notification stands under this id"
        ),
        Outcome::Rejected(rejection) => {
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
        Outcome::Failed(failure) => {
            let reason = failure.to_string();
            tracing::warn!(
                message_id,
                notification_id,
                receive_count,
                reason,
                "failed, will be received again"
            );
        }
    }
}

fn metrics(batch: &[Taken], budget: Budget) -> Metrics {
    let mut metrics = Metrics::new("ingest");
    metrics.add("Received", batch.len());
    for name in OUTCOMES {
        metrics.add(name, 0);
    }
    for taken in batch {
        metrics.add(taken.outcome.name(), 1);
        if let Outcome::Rejected(rejection) = &taken.outcome {
            metrics.add(format!("Rejected{}", rejection.name()), 1);
        }
        if let Some(time) = taken.queue_to_stored {
            metrics.time("QueueToStored", time);
        }
    }
    metrics.time("RemainingTime", budget.left());
    metrics
}
