//! INIT -> DONE around a downstream's own effect: what a consumer calls for each event it receives.
//!
//! # What is promised of the effect
//!
//! DONE has exactly one winner per notification id, however many consumers compete. The effect is another matter, for
//! nothing can make a call to somewhere else atomic with a write to the table. What holds is decided by how the effect
//! is plugged in:
//!
//! - **Committed with DONE** ([`Effect::CommitWith`]): exactly once. The effect is DynamoDB writes that commit in the
//!   transaction that writes DONE, or not at all.
//! - **Called before DONE, idempotent by the notification id** ([`Effect::Happened`]): exactly one effect, although the
//!   call is made at least once.
//! - **Called before DONE, not idempotent**: at least once. A crash, a lost response or a competitor between the call
//!   and DONE means a second call.
//!
//! In no case is a notification DONE whose effect did not happen.
//!
//! # A consumer of one's own
//!
//! ```
//! use async_trait::async_trait;
//! use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
//! use onewrite::{
//!     completion::{Completer, CompletionError, Downstream, DownstreamError, Effect, Outcome},
//!     event::NotificationEvent,
//!     table::Completions,
//! };
//!
//! /// An effect elsewhere: the notification id is its idempotency key.
//! struct Refunds(PaymentProvider);
//!
//! #[async_trait]
//! impl<W: Send> Downstream<W> for Refunds {
//!     async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
//!         let key = event.subject.as_str();
//!         self.0
//!             .refund(key, event.data.as_str())
//!             .await
//!             .map_err(|status| DownstreamError::new(format!("the provider answered {status}")))?;
//!         Ok(Effect::Happened)
//!     }
//! }
//!
//! /// An effect in a table of one's own: committed with DONE, so exactly once.
//! struct Ledger;
//!
//! #[async_trait]
//! impl Downstream<TransactWriteItem> for Ledger {
//!     async fn accept(&self, event: &NotificationEvent) -> Result<Effect<TransactWriteItem>, DownstreamError> {
//!         let text = |text: &str| AttributeValue::S(text.to_owned());
//!         let entry = Put::builder()
//!             .table_name("ledger")
//!             .item("entry_id", text(event.subject.as_str()))
//!             .item("entry", text(event.data.as_str()))
//!             .build()
//!             .map_err(|_| DownstreamError::new("the ledger entry is incomplete"))?;
//!         Ok(Effect::CommitWith(vec![TransactWriteItem::builder().put(entry).build()]))
//!     }
//! }
//!
//! /// One record of the stream. Where this is an error, the record must come again.
//! async fn consume<T: Completions>(
//!     completer: &Completer<T>,
//!     downstream: &impl Downstream<T::Write>,
//!     record: &[u8],
//! ) -> Result<Outcome, Box<dyn std::error::Error>> {
//!     let event = NotificationEvent::parse(record)?;
//!     Ok(completer.complete(&event, downstream).await?)
//! }
//! # struct PaymentProvider;
//! # impl PaymentProvider {
//! #     async fn refund(&self, _key: &str, _order: &str) -> Result<(), u16> { Ok(()) }
//! # }
//! ```

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures::FutureExt as _;
use jiff::Timestamp;

use crate::{
    event::NotificationEvent,
    item::{expiry, to_millis},
    notification::Status,
    table::{Completed, Completion, Completions, TableError},
};

/// The place of a downstream's own work. `W` is what the table can commit together with DONE.
#[async_trait]
pub trait Downstream<W>: Send + Sync {
    /// Acts on one notification, or says which writes are the act. See the [module](self) for what is promised.
    ///
    /// It MUST be ready to be called again with the same notification: after a crash, a lost response or an error, for
    /// an event that was delivered twice, also where the item is in DONE already, and by several consumers at once. So
    /// an effect outside the table needs [`NotificationEvent::subject`] as its idempotency key. It SHOULD return in
    /// bounded time; it is dropped where the invocation's time is up.
    ///
    /// # Errors
    /// [`DownstreamError`]: the notification stays in INIT and its event comes again.
    async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError>;
}

/// Where the effect of an accepted notification is.
pub enum Effect<W> {
    /// It has happened, and happening again under the same notification id would change nothing.
    Happened,
    /// It is these writes: they commit together with DONE, or not at all. DONE is one write of the transaction, so
    /// there may be one fewer than [`MAX_TRANSACT_WRITES`](crate::limits::MAX_TRANSACT_WRITES).
    CommitWith(Vec<W>),
}

/// Why a downstream did not accept a notification. The event comes again.
///
/// The reason is logged, so it must be free of what the notification says: a status code or a name, never an error's
/// text that may quote its request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DownstreamError {
    reason: String,
}

impl DownstreamError {
    /// An error for a reason that may be logged.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// What came of one event that needs no second delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// This call moved the notification to DONE. Exactly one call per id ever has this outcome, or none where the
    /// winner's response was lost.
    Accepted,
    /// The notification was in DONE before. Nothing was written, so no effect was committed a second time.
    AlreadyDone,
    /// The event tells of no INIT, so there is nothing to accept. The downstream was not called.
    Ignored,
}

/// Why an event must come again: the notification is not known to be in DONE.
#[derive(Debug, thiserror::Error)]
pub enum CompletionError {
    /// The event has no item: it was removed, or the event is not of this table.
    #[error("the table has no item of this notification id")]
    UnknownId,
    /// The item is neither in DONE nor in the version that the event tells of: somebody edited it.
    #[error("the item is in another version than the event")]
    VersionMismatch,
    /// A condition on one of the downstream's own writes did not hold, so none was made and the item stays in INIT.
    #[error("a condition on the downstream's own writes did not hold")]
    WritesRefused,
    /// The downstream did not accept.
    #[error("the downstream did not accept: {0}")]
    Downstream(#[from] DownstreamError),
    /// The downstream's code, or the table's, panicked. Its message is not repeated: it may quote anything.
    #[error("the code panicked")]
    Panicked,
    /// The table gave no outcome. DONE and the writes have happened together or not at all.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl CompletionError {
    /// The name of the error in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownId => "UnknownId",
            Self::VersionMismatch => "VersionMismatch",
            Self::WritesRefused => "WritesRefused",
            Self::Downstream(_) => "DownstreamFailed",
            Self::Panicked => "Panicked",
            Self::Table(_) => "TableFailed",
        }
    }

    /// Whether the same event may succeed later without somebody putting something right.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Downstream(_) | Self::Panicked => true,
            Self::Table(error) => {
                matches!(
                    error,
                    TableError::Throttled { .. } | TableError::Unknown { .. }
                )
            }
            Self::UnknownId | Self::VersionMismatch | Self::WritesRefused => false,
        }
    }
}

/// Takes notifications from INIT to DONE around a [`Downstream`].
pub struct Completer<T> {
    table: T,
    retention_days: u32,
    clock: fn() -> Timestamp,
}

impl<T: Completions> Completer<T> {
    /// Completes in `table`. DynamoDB may remove an item `retention_days` after its DONE; 0 keeps it for good.
    ///
    /// The retention must be longer than anybody upstream may repeat a message: what is removed is no longer known, and
    /// its message would be a new notification.
    pub fn new(table: T, retention_days: u32) -> Self {
        Self {
            table,
            retention_days,
            clock: Timestamp::now,
        }
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// Has `downstream` accept the event's notification and moves it to DONE.
    ///
    /// It may be dropped at any moment: the notification is then as after a [`CompletionError::Table`].
    ///
    /// # Errors
    /// [`CompletionError`]: the event must come again.
    pub async fn complete<D: Downstream<T::Write> + ?Sized>(
        &self,
        event: &NotificationEvent,
        downstream: &D,
    ) -> Result<Outcome, CompletionError> {
        if event.status != Status::Init {
            return Ok(Outcome::Ignored);
        }
        AssertUnwindSafe(self.accept_and_write(event, downstream))
            .catch_unwind()
            .await
            .unwrap_or(Err(CompletionError::Panicked))
    }

    async fn accept_and_write<D: Downstream<T::Write> + ?Sized>(
        &self,
        event: &NotificationEvent,
        downstream: &D,
    ) -> Result<Outcome, CompletionError> {
        let writes = match downstream.accept(event).await? {
            Effect::Happened => Vec::new(),
            Effect::CommitWith(writes) => writes,
        };
        match self.table.complete(&self.completion(event), writes).await? {
            Completed::Accepted => Ok(Outcome::Accepted),
            Completed::AlreadyDone => Ok(Outcome::AlreadyDone),
            Completed::UnknownId => Err(CompletionError::UnknownId),
            Completed::VersionMismatch => Err(CompletionError::VersionMismatch),
            Completed::WritesRefused => Err(CompletionError::WritesRefused),
        }
    }

    fn completion(&self, event: &NotificationEvent) -> Completion {
        let at = to_millis((self.clock)());
        Completion {
            id: event.subject.clone(),
            version: event.sequence,
            at,
            expires_at: (self.retention_days > 0).then(|| expiry(at, self.retention_days)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        item::NotificationItem,
        notification::Status,
        table::NewNotifications as _,
        testing::{InMemoryTable, contract},
    };

    use super::*;

    struct Called;

    #[async_trait]
    impl<W: Send> Downstream<W> for Called {
        async fn accept(&self, _event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
            Ok(Effect::Happened)
        }
    }

    /// The item after its completion, where it may be removed `retention_days` later.
    async fn completed(retention_days: u32) -> NotificationItem {
        let table = InMemoryTable::default();
        let item = contract::notification("n1", "1");
        table.insert(&item).await.unwrap();
        let completer =
            Completer::new(table.clone(), retention_days).with_clock(|| Timestamp::UNIX_EPOCH);
        let event = NotificationEvent::of_item(&item);
        let outcome = completer.complete(&event, &Called).await.unwrap();
        assert_eq!(outcome, Outcome::Accepted);
        let outcome = completer.complete(&event, &Called).await.unwrap();
        assert_eq!(outcome, Outcome::AlreadyDone);
        NotificationItem::from_item(&table.item("n1").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn done_is_at_the_clock_s_time_and_expires_where_it_is_to() {
        let kept = completed(0).await;
        assert_eq!((kept.status, kept.expires_at), (Status::Done, None));
        assert_eq!(kept.updated_at, Timestamp::UNIX_EPOCH);
        assert_eq!(completed(1).await.expires_at, Some(86_400));
    }

    #[tokio::test]
    async fn an_event_of_done_is_ignored() {
        let mut item = contract::notification("n1", "1");
        item.status = Status::Done;
        let completer = Completer::new(InMemoryTable::default(), 0);
        let event = NotificationEvent::of_item(&item);
        let outcome = completer.complete(&event, &Called).await.unwrap();
        assert_eq!(outcome, Outcome::Ignored);
    }

    #[test]
    fn errors_have_names_and_say_whether_to_try_again() {
        let reason = || "busy".to_owned();
        let code = || "Code".to_owned();
        for (error, name, transient) in [
            (CompletionError::UnknownId, "UnknownId", false),
            (CompletionError::VersionMismatch, "VersionMismatch", false),
            (CompletionError::WritesRefused, "WritesRefused", false),
            (
                DownstreamError::new(reason()).into(),
                "DownstreamFailed",
                true,
            ),
            (CompletionError::Panicked, "Panicked", true),
            (
                TableError::Throttled { code: code() }.into(),
                "TableFailed",
                true,
            ),
            (
                TableError::Unknown { reason: reason() }.into(),
                "TableFailed",
                true,
            ),
            (
                TableError::Refused { code: code() }.into(),
                "TableFailed",
                false,
            ),
        ] {
            assert_eq!((error.name(), error.is_transient()), (name, transient));
        }
    }
}
