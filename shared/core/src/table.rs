//! The ports to the table: the one write of `ingest`, the transition to DONE or REFUSED, and the current states.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{
    error::ServiceError,
    item::NotificationItem,
    notification::{ConsumerName, Fingerprint, NotificationId, Refusal, Status},
};

/// The table as `ingest` sees it: one conditional write and nothing else.
pub trait NewNotifications: Send + Sync {
    /// Writes `item` if the table has no item with its id.
    ///
    /// An adapter MUST decide and write in one atomic step. It MUST NOT change an existing item. It MUST return
    /// [`InsertResult::Exists`] even if the existing item comes from an earlier attempt of the same call whose response
    /// was lost. It MUST return in bounded time. If it returns an error, or if the future is dropped, the item may or may
    /// not have been written.
    ///
    /// # Errors
    /// [`TableError`]: the outcome is not known, so the message must be retried.
    fn insert(
        &self,
        item: &NotificationItem,
    ) -> impl Future<Output = Result<InsertResult, TableError>> + Send;
}

/// The result of one insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertResult {
    /// This call created the item.
    Created,
    /// The table already had an item with this id. Nothing was written.
    Exists {
        /// The fingerprint of the existing item, or `None` if somebody removed it by hand.
        fingerprint: Option<Fingerprint>,
    },
}

/// The table as a consumer sees it: INIT -> DONE or REFUSED, alone or together with the consumer's own writes.
pub trait Completions: Send + Sync {
    /// A write of the consumer that can be committed together with the status.
    type Write: Send + Sync;

    /// Settles one item: moves it from INIT to the status of the verdict, if it is still in INIT and still has the given
    /// version and fingerprint. Commits `writes` in the same atomic step.
    ///
    /// An adapter MUST let at most one call per item succeed, ever. It MUST commit all of `writes` or none of them, and
    /// none unless the item moved. It MUST return in bounded time. If it returns an error, or if the future is
    /// dropped, either everything was committed or nothing.
    ///
    /// # Errors
    /// [`TableError`]: the outcome is not known, so the event must be retried.
    fn complete(
        &self,
        completion: &Completion,
        writes: Vec<Self::Write>,
    ) -> impl Future<Output = Result<CompletionResult, TableError>> + Send;
}

/// The current states of notifications, for a consumer that must not call another system for one that is settled already.
pub trait CurrentStates: Send + Sync {
    /// Reads what the table has under these ids. An id without an item is absent from the result.
    ///
    /// An adapter MUST return a state that the table had after this call began. It MUST NOT leave out an id because the
    /// table did not answer for it. It MUST return in bounded time. An id may be given twice.
    ///
    /// # Errors
    /// [`TableError`]: the states are not known, so the events must be retried.
    fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> impl Future<Output = Result<HashMap<NotificationId, CurrentState>, TableError>> + Send;
}

/// The current state of one notification. An item without a valid status or version, which somebody has edited, counts as
/// INIT with version 0, which no event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentState {
    /// The status.
    pub status: Status,
    /// The version.
    pub version: u64,
    /// The fingerprint, or `None` if somebody removed it by hand.
    pub fingerprint: Option<Fingerprint>,
}

/// What the downstream decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The effect has happened, or its writes are committed with this verdict.
    Done,
    /// The downstream will never accept the notification.
    Refused(Refusal),
}

impl Verdict {
    /// The status of the item after this verdict.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Done => Status::Done,
            Self::Refused(_) => Status::Refused,
        }
    }
}

/// A request to settle one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The key of the item.
    pub id: NotificationId,
    /// The version that the event carried. The item moves only if it still has this version.
    pub version: u64,
    /// The fingerprint that the event carried. It differs from the item's if the item was removed and its id was used
    /// again, for another notification.
    pub fingerprint: Fingerprint,
    /// What the downstream decided.
    pub verdict: Verdict,
    /// The name of the consumer, stored as `settled_by`.
    pub settled_by: Option<ConsumerName>,
    /// The time of the completion, stored as `updated_at`.
    pub at: Timestamp,
    /// When DynamoDB may remove the item, in seconds since 1970.
    pub expires_at: Option<i64>,
}

/// The result of one completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionResult {
    /// This call settled the item. Each item has one winner.
    Settled,
    /// The item already had this final status. Nothing was written.
    AlreadySettled(Status),
    /// The table has no item with this id. Nothing was written.
    UnknownId,
    /// The item has another fingerprint, so it is another notification: the one of the event was removed, and its id was
    /// used again. Nothing was written.
    OtherNotification,
    /// The item has another version and is in INIT, so somebody edited it. Nothing was written.
    VersionMismatch,
    /// A condition on one of the consumer's own writes was false. Nothing was written.
    WritesRefused,
}

/// A call to the table whose outcome is not known. The message or event must be retried.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// DynamoDB gave no usable answer.
    #[error("DynamoDB: {0}")]
    Service(#[from] ServiceError),
    /// More writes than fit into one transaction beside the write of the status. Nothing was sent.
    #[error("{writes} writes to commit with the status, but at most {max} are allowed")]
    TooManyWrites {
        /// The number of writes in the request.
        writes: usize,
        /// The largest allowed number.
        max: usize,
    },
    /// The condition failed, but DynamoDB did not return the old item. A duplicate and a conflict look the same then.
    #[error("the condition failed and DynamoDB did not return the existing item")]
    NoOldItem,
}

impl TableError {
    /// Whether a retry alone may succeed. If not, an operator must act.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Service(error) => error.is_transient(),
            Self::TooManyWrites { .. } | Self::NoOldItem => false,
        }
    }
}
