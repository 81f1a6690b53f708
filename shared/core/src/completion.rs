//! INIT -> DONE or REFUSED around the effect of a downstream: what a consumer calls for each event.
//!
//! # What is guaranteed for the effect
//!
//! Each notification has exactly one winner that settles it, however many consumers compete. The effect itself is different,
//! because no call to another system can be atomic with a write to the table. The guarantee depends on how you connect
//! the effect:
//!
//! - **Committed together with DONE** ([`Effect::CommitWith`]): exactly once. The effect consists of DynamoDB writes in
//!   the transaction that writes DONE. Either all of them commit or none.
//! - **Called before DONE, idempotent by notification id** ([`Effect::Happened`]): exactly one effect, although the call
//!   is made at least once.
//! - **Called before DONE, not idempotent**: at least once. A crash, a lost response or a competing consumer between the
//!   call and DONE causes a second call.
//!
//! A notification is never DONE without its effect. A notification that the downstream refuses for good
//! ([`Effect::Refused`]) becomes REFUSED. Nothing else does: an error is always retried.
//!
//! # Your own consumer
//!
//! ```
//! use onewrite::{
//!     completion::{Completer, CompletionOutcome, Downstream, DownstreamError, Effect},
//!     event::NotificationEvent,
//!     table::Completions,
//! };
//!
//! /// An effect in another system. The notification id is its idempotency key.
//! struct Refunds(PaymentProvider);
//!
//! impl<W: Send> Downstream<W> for Refunds {
//!     async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
//!         let key = event.subject.as_str();
//!         self.0
//!             .refund(key, event.data.as_str())
//!             .await
//!             .map_err(|status| DownstreamError::new(format!("the provider returned {status}")))?;
//!         Ok(Effect::Happened)
//!     }
//! }
//!
//! /// Processes one record of the stream. After an error, the record must be retried.
//! async fn consume<T: Completions>(
//!     completer: &Completer<T>,
//!     downstream: &impl Downstream<T::Write>,
//!     record: &[u8],
//! ) -> Result<CompletionOutcome, Box<dyn std::error::Error>> {
//!     let event = NotificationEvent::parse(record)?;
//!     Ok(completer.complete(&event, downstream).await?)
//! }
//! # struct PaymentProvider;
//! # impl PaymentProvider {
//! #     async fn refund(&self, _key: &str, _order: &str) -> Result<(), u16> { Ok(()) }
//! # }
//! ```

use std::{collections::HashMap, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;

use crate::{
    event::NotificationEvent,
    item::{expiry, to_millis},
    notification::{ConsumerName, NotificationId, Refusal, Status},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, TableError, Verdict,
    },
};

/// Your own work for each notification. `W` is a write that the table can commit together with DONE.
pub trait Downstream<W>: Send + Sync {
    /// Performs the effect of one notification, or returns the writes that are the effect. See the [module](self) for the
    /// guarantees.
    ///
    /// An implementation MUST accept being called again with the same notification: after a crash, a lost response or an
    /// error, for an event that was delivered twice (even if the item is already settled), and by several consumers at once.
    /// An effect outside the table therefore needs [`NotificationEvent::subject`] as its idempotency key. It SHOULD return
    /// in bounded time. The future is dropped when the time of the invocation is up.
    ///
    /// # Errors
    /// [`DownstreamError`]: the notification stays in INIT and its event is retried.
    fn accept(
        &self,
        event: &NotificationEvent,
    ) -> impl Future<Output = Result<Effect<W>, DownstreamError>> + Send;

    /// Whether `accept` must not be called for a notification that is settled already, has been removed, or is another one
    /// with the same id. The consumer then reads the current states first, once per batch. Another system may have
    /// forgotten the idempotency key by then: payment providers keep keys for a day, and a new event source mapping
    /// repeats a whole stream.
    ///
    /// Return `false` only if every effect is [`Effect::CommitWith`], whose writes do not commit a second time anyway.
    fn checks_state(&self) -> bool {
        true
    }

    /// Called before the events of a batch. No call may begin later than `time` from now, because it would be cut short: an
    /// implementation that waits before it calls returns [`DownstreamError::postponed`] then. It also may forget here which of
    /// its receivers were busy in the batch before.
    fn begin_batch(&self, _time: Duration) {}

    /// Why no receiver may be called for this event now; `None` if [`accept`](Self::accept) may call. The consumer then neither
    /// reads the current state nor calls `accept`, and the event is retried.
    fn postponement(&self, _event: &NotificationEvent) -> Option<DownstreamError> {
        None
    }
}

/// The answer of a downstream.
pub enum Effect<W> {
    /// The effect has happened. Repeating it with the same notification id changes nothing.
    Happened,
    /// The effect is these writes. They commit together with DONE or not at all. DONE is one write of the transaction, so
    /// at most [`MAX_TRANSACT_WRITES`](crate::limits::MAX_TRANSACT_WRITES) - 1 are allowed.
    CommitWith(Vec<W>),
    /// There will never be an effect: the notification becomes REFUSED. Only for a decision about this notification, such
    /// as a closed account. A fault of the receiver or its configuration is a [`DownstreamError`], or an expired token
    /// would refuse a whole day of notifications.
    Refused(Refusal),
}

/// Why a downstream did not accept a notification. The event is retried.
///
/// The reason is logged, so it must not contain data of the notification. Use a status code or a name, never the text of
/// an error that may quote its request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DownstreamError {
    reason: String,
    kind: ErrorKind,
    retry_after: Option<Duration>,
    /// Whether it comes from one of several targets.
    is_of_target: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorKind {
    /// The receiver or its configuration does not work.
    Fault,
    /// No receiver can ever accept the notification, unless settings change.
    Permanent,
    /// The receiver asks for fewer calls, or does not answer.
    Busy,
    /// The receiver was not called.
    Postponed,
}

impl DownstreamError {
    /// A fault of the receiver or of its configuration, with a reason that may be logged. The other events of the batch are
    /// tried nevertheless.
    pub fn new(reason: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Fault, reason, None)
    }

    /// No retry of this notification can succeed unless somebody changes settings: no receiver takes its type, or it is too large
    /// for the receiver. Not for a decision about the notification, which is [`Effect::Refused`]. After a while, `complete` gives
    /// such an event up: it writes it to the failure bucket, so that the events behind it do not wait. The notification stays in
    /// INIT.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Permanent, reason, None)
    }

    /// The receiver is overloaded or cannot be reached, so the batch ends here and is retried. `retry_after` is the time
    /// that the receiver asked for.
    pub fn retry_later(reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::of_kind(ErrorKind::Busy, reason, retry_after)
    }

    /// The receiver was not called for this event, which is retried. The other events of the batch are tried nevertheless.
    pub fn postponed(reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::of_kind(ErrorKind::Postponed, reason, retry_after)
    }

    fn of_kind(kind: ErrorKind, reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self {
            reason: reason.into(),
            kind,
            retry_after,
            is_of_target: false,
        }
    }

    /// The same error with the name of the target that it comes from. If this target is busy, the batch goes on for the other
    /// targets.
    #[must_use]
    pub fn of_target(self, name: &str) -> Self {
        Self {
            reason: format!("{name}: {}", self.reason),
            is_of_target: true,
            ..self
        }
    }

    /// Whether the receiver should not be called for other notifications now either.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.kind == ErrorKind::Busy
    }

    /// Whether no retry can succeed unless somebody changes settings.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.kind == ErrorKind::Permanent
    }

    /// Whether no receiver was called.
    #[must_use]
    pub fn is_postponed(&self) -> bool {
        self.kind == ErrorKind::Postponed
    }

    /// Whether no further event of the batch may be begun.
    #[must_use]
    pub fn ends_batch(&self) -> bool {
        self.is_busy() && !self.is_of_target
    }

    /// The time until the next call that the receiver asked for, or that remains of a pause.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Whether the downstream may be called for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The notification is the one of the event, and in INIT.
    Open,
    /// The notification is settled with this status.
    Settled(Status),
    /// The table has no item with this id.
    UnknownId,
    /// The item is another notification with the same id.
    OtherNotification,
    /// The item is in INIT and has another version than the event.
    VersionMismatch,
}

impl Standing {
    /// Compares an event with the current state of its id, by the same rules as the condition of the write that settles it.
    #[must_use]
    pub fn new(event: &NotificationEvent, current: Option<&CurrentState>) -> Self {
        let Some(current) = current else {
            return Self::UnknownId;
        };
        match current {
            // Without a fingerprint, the condition of the write fails. What is said of a settled item stays true.
            CurrentState {
                fingerprint: Some(found),
                ..
            } if *found != event.fingerprint => Self::OtherNotification,
            CurrentState { status, .. } if status.is_settled() => Self::Settled(*status),
            CurrentState {
                version,
                fingerprint: Some(_),
                ..
            } if *version == event.sequence => Self::Open,
            _ => Self::VersionMismatch,
        }
    }

    /// The outcome of an event for which the downstream must not be called; `None` if it may be.
    ///
    /// # Errors
    /// [`CompletionError`]: the same that the write would return.
    pub fn outcome(self) -> Result<Option<CompletionOutcome>, CompletionError> {
        match self {
            Self::Open => Ok(None),
            Self::Settled(status) => Ok(Some(CompletionOutcome::AlreadySettled(status))),
            Self::UnknownId => Err(CompletionError::UnknownId),
            Self::OtherNotification => Err(CompletionError::OtherNotification),
            Self::VersionMismatch => Err(CompletionError::VersionMismatch),
        }
    }
}

/// The outcome of an event that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionOutcome {
    /// This call settled the notification, with this verdict. At most one call per notification has this outcome; none has
    /// it if the winner's response was lost.
    Settled(Verdict),
    /// The notification already had this status. Nothing was written, so no effect was committed a second time.
    AlreadySettled(Status),
    /// The notification already had the other final status, which stays. Two consumers disagreed, or one changed its mind:
    /// if the effect is outside the table, it may have happened although the notification is REFUSED.
    Contradicted {
        /// The status of the notification.
        found: Status,
        /// What the downstream decided now.
        decided: Verdict,
    },
    /// The event reports another status than INIT, so there is nothing to accept. The downstream was not called.
    Ignored,
}

/// Why an event must be retried: the notification is not known to be settled.
#[derive(Debug, thiserror::Error)]
pub enum CompletionError {
    /// The table has no item for the event: it was removed, or the event belongs to another table.
    #[error("the table has no item with this notification id")]
    UnknownId,
    /// The item is another notification: the one of the event was removed, and its id was used again.
    #[error("the notification was removed, and the table has another one with this id")]
    OtherNotification,
    /// The item is in INIT and has another version than the event: somebody edited it.
    #[error("the item has another version than the event")]
    VersionMismatch,
    /// A condition on one of the downstream's own writes was false. Nothing was written and the item stays in INIT.
    #[error("a condition on the downstream's own writes was false")]
    WritesRefused,
    /// The downstream did not accept the notification.
    #[error("the downstream did not accept: {0}")]
    Downstream(#[from] DownstreamError),
    /// The code of the downstream or of the table panicked. The panic text is dropped because it may quote anything.
    #[error("the code panicked")]
    Panicked,
    /// The outcome of the write is unknown. The status and the writes were written together or not at all.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl CompletionError {
    /// The name of the error in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownId => "UnknownId",
            Self::OtherNotification => "OtherNotification",
            Self::VersionMismatch => "VersionMismatch",
            Self::WritesRefused => "WritesRefused",
            Self::Downstream(_) => "DownstreamFailed",
            Self::Panicked => "Panicked",
            Self::Table(_) => "TableFailed",
        }
    }

    /// Whether a retry alone may succeed. If not, an operator must act.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Downstream(error) => !error.is_permanent(),
            Self::Panicked => true,
            Self::Table(error) => error.is_transient(),
            Self::UnknownId
            | Self::OtherNotification
            | Self::VersionMismatch
            | Self::WritesRefused => false,
        }
    }
}

/// Settles notifications around a [`Downstream`]: INIT -> DONE or REFUSED.
pub struct Completer<T> {
    table: T,
    retention_days: u32,
    name: Option<ConsumerName>,
    clock: fn() -> Timestamp,
}

impl<T: Completions> Completer<T> {
    /// Settles items in `table`. DynamoDB may remove an item `retention_days` after it was settled; 0 keeps it forever.
    ///
    /// The retention must be longer than the time in which an upstream may repeat a message. A removed id is unknown
    /// again, and a repeated message would become a new notification.
    pub fn new(table: T, retention_days: u32) -> Self {
        Self {
            table,
            retention_days,
            name: None,
            clock: Timestamp::now,
        }
    }

    /// Stores this name with every notification that it settles, so that an operator sees who did it.
    #[must_use]
    pub fn with_name(self, name: ConsumerName) -> Self {
        let name = Some(name);
        Self { name, ..self }
    }

    /// Reads this clock instead of the system clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// Reads the current states of notifications.
    ///
    /// # Errors
    /// As [`CurrentStates::current_states`].
    pub async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError>
    where
        T: CurrentStates,
    {
        self.table.current_states(ids).await
    }

    /// Calls `downstream` with the event's notification and settles the notification.
    ///
    /// The future may be dropped at any time. The state is then the same as after a [`CompletionError::Table`].
    ///
    /// # Errors
    /// [`CompletionError`]: the event must be retried.
    pub async fn complete<D: Downstream<T::Write>>(
        &self,
        event: &NotificationEvent,
        downstream: &D,
    ) -> Result<CompletionOutcome, CompletionError> {
        if event.status != Status::Init {
            return Ok(CompletionOutcome::Ignored);
        }
        AssertUnwindSafe(self.accept_and_write(event, downstream))
            .catch_unwind()
            .await
            .unwrap_or(Err(CompletionError::Panicked))
    }

    async fn accept_and_write<D: Downstream<T::Write>>(
        &self,
        event: &NotificationEvent,
        downstream: &D,
    ) -> Result<CompletionOutcome, CompletionError> {
        let (verdict, writes) = match downstream.accept(event).await? {
            Effect::Happened => (Verdict::Done, Vec::new()),
            Effect::CommitWith(writes) => (Verdict::Done, writes),
            Effect::Refused(reason) => (Verdict::Refused(reason), Vec::new()),
        };
        let completion = self.completion(event, verdict);
        let result = self.table.complete(&completion, writes).await?;
        let decided = completion.verdict;
        match result {
            CompletionResult::Settled => Ok(CompletionOutcome::Settled(decided)),
            CompletionResult::AlreadySettled(found) if found == decided.status() => {
                Ok(CompletionOutcome::AlreadySettled(found))
            }
            CompletionResult::AlreadySettled(found) => {
                Ok(CompletionOutcome::Contradicted { found, decided })
            }
            CompletionResult::UnknownId => Err(CompletionError::UnknownId),
            CompletionResult::OtherNotification => Err(CompletionError::OtherNotification),
            CompletionResult::VersionMismatch => Err(CompletionError::VersionMismatch),
            CompletionResult::WritesRefused => Err(CompletionError::WritesRefused),
        }
    }

    fn completion(&self, event: &NotificationEvent, verdict: Verdict) -> Completion {
        let at = to_millis((self.clock)());
        Completion {
            id: event.subject.clone(),
            version: event.sequence,
            fingerprint: event.fingerprint,
            verdict,
            settled_by: self.name.clone(),
            at,
            expires_at: (self.retention_days > 0).then(|| expiry(at, self.retention_days)),
        }
    }
}
