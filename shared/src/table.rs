//! The ports to the table: the one write of `ingest`, and the transition to DONE.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    item::NotificationItem,
    notification::{Fingerprint, NotificationId},
};

/// The table as `ingest` sees it: one conditional write, and nothing else.
#[async_trait]
pub trait NewNotifications: Send + Sync {
    /// Writes `item` if no item of its id is there.
    ///
    /// An adapter MUST decide and write in one atomic step, and MUST NOT change an item that is there. It MUST answer
    /// [`Inserted::Exists`] also where the item there is its own, from an attempt whose response was lost. It MUST
    /// return in bounded time. Where it returns an error or is dropped, the item may have been written or not.
    ///
    /// # Errors
    /// [`TableError`]: nothing is known; the message must come again.
    async fn insert(&self, item: &NotificationItem) -> Result<Inserted, TableError>;
}

#[async_trait]
impl<T: NewNotifications + ?Sized> NewNotifications for Box<T> {
    async fn insert(&self, item: &NotificationItem) -> Result<Inserted, TableError> {
        (**self).insert(item).await
    }
}

/// What came of one insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The item is there now, and was not before.
    Created,
    /// An item of that id was there before; nothing was written.
    Exists {
        /// Its fingerprint; none where somebody edited it away.
        fingerprint: Option<Fingerprint>,
    },
}

/// The table as a consumer sees it: INIT -> DONE, alone or together with the consumer's own writes.
#[async_trait]
pub trait Completions: Send + Sync {
    /// A write of the consumer's own that can be committed together with DONE.
    type Write: Send + Sync;

    /// Moves one item from INIT to DONE if it is still in INIT at the version that was seen, and commits `writes` in
    /// the same atomic step.
    ///
    /// An adapter MUST let at most one call per id succeed, ever, and MUST commit all of `writes` or none, and none
    /// unless the item moved. It MUST return in bounded time. Where it returns an error or is dropped, both may have
    /// happened or neither.
    ///
    /// # Errors
    /// [`TableError`]: nothing is known; the event must come again.
    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<Self::Write>,
    ) -> Result<Completed, TableError>;
}

/// Which item to move to DONE, and what to write with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The item's key.
    pub id: NotificationId,
    /// The version in which it was seen; the item moves only from this one.
    pub version: u64,
    /// When, for `updated_at`.
    pub at: Timestamp,
    /// When DynamoDB may remove it, in seconds since 1970.
    pub expires_at: Option<i64>,
}

/// What came of one completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// This call moved the item to DONE. One winner per id.
    Accepted,
    /// The item was in DONE before; nothing was written.
    AlreadyDone,
    /// There is no item of that id; nothing was written.
    UnknownId,
    /// The item is in another version than the one seen, and not DONE: somebody edited it. Nothing was written.
    VersionMismatch,
    /// A condition on one of the consumer's own writes did not hold; nothing was written.
    WritesRefused,
}

/// A call to the table whose outcome is not known. The message or event must come again.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Throttled past the SDK's own attempts.
    #[error("the table is throttled ({code})")]
    Throttled {
        /// DynamoDB's error code.
        code: String,
    },
    /// Timed out, cut off, or a server error: the write may have happened.
    #[error("the outcome of the write is not known: {reason}")]
    Unknown {
        /// What happened, in the SDK's words, without the request.
        reason: String,
    },
    /// Refused in a way that a retry alone does not heal (access denied, no such table, a validation error). It is
    /// retried all the same, for what heals it is a deployment, and the message must outlive that.
    #[error("the table refuses the call ({code})")]
    Refused {
        /// DynamoDB's error code.
        code: String,
    },
    /// More writes than fit one transaction beside the DONE write. Nothing was sent.
    #[error("{writes} writes to commit with DONE, {max} are allowed")]
    TooManyWrites {
        /// How many there are.
        writes: usize,
        /// How many there may be.
        max: usize,
    },
    /// The condition failed but the old item was not returned, so duplicate and conflict cannot be told apart.
    #[error("the condition failed and the item that was there was not returned")]
    NoOldItem,
}

impl TableError {
    /// The name of the error in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "Throttled",
            Self::Unknown { .. } => "Unknown",
            Self::Refused { .. } => "Refused",
            Self::TooManyWrites { .. } => "TooManyWrites",
            Self::NoOldItem => "NoOldItem",
        }
    }
}
