//! What can come of one event.

use onewrite::{
    completion::{CompletionError, CompletionOutcome, DownstreamError},
    notification::{Refusal, Status},
    table::{TableError, Verdict},
};

use crate::record::UnreadableRecord;

/// The outcome of one event.
#[derive(Debug)]
pub enum EventOutcome {
    /// This invocation moved the notification to DONE.
    Done,
    /// This invocation moved the notification to REFUSED.
    Refused(Refusal),
    /// The notification was already settled.
    AlreadySettled,
    /// The notification was already settled with the other status than the downstream decided now.
    Contradicted {
        /// The status of the notification, which stays.
        found: Status,
        /// The code, if the downstream refuses now.
        refusal: Option<Refusal>,
    },
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
    /// The current state of the notification could not be read, so the downstream was not called.
    #[error(transparent)]
    StateUnknown(#[from] UnknownState),
    /// The receiver is busy, or its circuit breaker is open, so it was not called.
    #[error("{0}")]
    Postponed(DownstreamError),
    /// The time of the invocation was up, or too little was left to begin.
    #[error("the time of the invocation was up")]
    OutOfTime,
}

/// Why the current states of a batch are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the current state is not known: {reason}")]
pub struct UnknownState {
    reason: String,
    is_transient: bool,
}

impl UnknownState {
    /// The time of the invocation was up.
    pub(crate) fn out_of_time() -> Self {
        Self {
            reason: EventFailure::OutOfTime.to_string(),
            is_transient: true,
        }
    }
}

impl From<&TableError> for UnknownState {
    fn from(error: &TableError) -> Self {
        Self {
            reason: error.to_string(),
            is_transient: error.is_transient(),
        }
    }
}

impl EventOutcome {
    /// Whether the notification is settled now.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Done | Self::Refused(_) | Self::AlreadySettled | Self::Contradicted { .. } => {
                true
            }
            Self::Ignored | Self::Failed(_) => false,
        }
    }

    /// The name of the outcome in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Refused(_) => "Refused",
            Self::AlreadySettled => "AlreadySettled",
            Self::Contradicted { .. } => "Contradicted",
            Self::Ignored => "Ignored",
            Self::Failed(_) => "Failed",
        }
    }
}

/// The names of all outcomes.
pub(crate) const OUTCOMES: [&str; 6] = [
    "Done",
    "Refused",
    "AlreadySettled",
    "Contradicted",
    "Ignored",
    "Failed",
];

impl EventFailure {
    /// The name of the failure in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "Unreadable",
            Self::Completion(error) => error.name(),
            Self::StateUnknown(_) => "StateUnknown",
            Self::Postponed(_) => "Postponed",
            Self::OutOfTime => "OutOfTime",
        }
    }

    /// Whether no further event of the batch may be begun.
    #[must_use]
    pub fn ends_batch(&self) -> bool {
        let Self::Completion(CompletionError::Downstream(error)) = self else {
            return false;
        };
        error.ends_batch()
    }

    /// Whether no retry can succeed: the event cannot be read, its notification is gone or was edited, or no receiver can accept
    /// it. The event must be kept before it is given up.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Unreadable(UnreadableRecord::Event(_))
            | Self::Completion(
                CompletionError::UnknownId
                | CompletionError::OtherNotification
                | CompletionError::VersionMismatch,
            ) => true,
            Self::Completion(CompletionError::Downstream(error)) => error.is_permanent(),
            _ => false,
        }
    }

    /// Whether a retry alone may succeed. If not, an operator must act.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::Completion(error) => error.is_transient(),
            Self::StateUnknown(state) => state.is_transient,
            Self::Postponed(_) | Self::OutOfTime => true,
        }
    }
}

impl From<EventFailure> for EventOutcome {
    fn from(failure: EventFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CompletionOutcome> for EventOutcome {
    fn from(outcome: CompletionOutcome) -> Self {
        match outcome {
            CompletionOutcome::Settled(Verdict::Done) => Self::Done,
            CompletionOutcome::Settled(Verdict::Refused(refusal)) => Self::Refused(refusal),
            CompletionOutcome::AlreadySettled(_) => Self::AlreadySettled,
            CompletionOutcome::Contradicted { found, decided } => Self::Contradicted {
                found,
                refusal: match decided {
                    Verdict::Done => None,
                    Verdict::Refused(refusal) => Some(refusal),
                },
            },
            CompletionOutcome::Ignored => Self::Ignored,
        }
    }
}
