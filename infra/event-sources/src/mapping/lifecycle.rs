//! The states a mapping passes through (X12).

use super::StreamKind;

/// The state of a mapping, as `GetEventSourceMapping` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Creating,
    Enabling,
    Enabled,
    Disabling,
    Disabled,
    Updating,
    Deleting,
}

impl State {
    /// AWS's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }
}

/// What happens to a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `UpdateEventSourceMapping`; `enabled` is what it asks for, none if it leaves that alone.
    Update {
        /// `Enabled` of the request.
        enabled: Option<bool>,
    },
    /// `DeleteEventSourceMapping`.
    Delete,
    /// The service has carried out the last request.
    Settle,
}

/// A request that came while an earlier one was still being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ResourceInUseException: the event source mapping is {}", .0.as_str())]
pub struct StateConflict(pub State);

/// How the last read of a stream went, as `LastProcessingResult` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessingResult {
    /// Nothing was read yet.
    NoRecordsProcessed,
    /// The function took its batch.
    Ok,
    /// It did not.
    Problem,
}

impl ProcessingResult {
    /// AWS's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRecordsProcessed => "No records processed",
            Self::Ok => "OK",
            Self::Problem => "PROBLEM: Function call failed",
        }
    }
}

/// Where a mapping stands, and where it goes from there once the service has carried out the last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    state: State,
    /// Whether it is to run; decides where `Updating` ends.
    enabled: bool,
}

impl Lifecycle {
    /// A mapping that was just asked for. One that is not to run is `Disabled` at once (recorded for SQS).
    #[must_use]
    pub fn created(enabled: bool) -> Self {
        let state = if enabled { State::Creating } else { State::Disabled };
        Self { state, enabled }
    }

    /// The present state.
    #[must_use]
    pub fn state(self) -> State {
        self.state
    }

    /// Whether the source is read. While a request is carried out an enabled mapping may still, or again, be polling:
    /// only `Disabled`, and one not yet running, promise silence.
    #[must_use]
    pub fn polls(self) -> bool {
        match self.state {
            State::Enabled | State::Disabling => true,
            State::Updating => self.enabled,
            State::Creating | State::Enabling | State::Disabled | State::Deleting => false,
        }
    }

    /// The next stage; none once the mapping is gone.
    ///
    /// # Errors
    /// [`StateConflict`] for a request while another is being carried out.
    pub fn apply(self, change: Change) -> Result<Option<Self>, StateConflict> {
        let Self { state, enabled } = self;
        let next = |state, enabled| Ok(Some(Self { state, enabled }));
        match (state, change) {
            (State::Enabled, Change::Update { enabled: Some(false) }) => next(State::Disabling, false),
            (State::Disabled, Change::Update { enabled: Some(true) }) => next(State::Enabling, true),
            (State::Enabled | State::Disabled, Change::Update { .. }) => next(State::Updating, enabled),
            (State::Enabled | State::Disabled, Change::Delete) => next(State::Deleting, false),
            (State::Deleting, Change::Settle) => Ok(None),
            (_, Change::Settle) if enabled => next(State::Enabled, true),
            (_, Change::Settle) => next(State::Disabled, false),
            (busy, Change::Update { .. } | Change::Delete) => Err(StateConflict(busy)),
        }
    }

    /// `StateTransitionReason`: the two kinds of source spell it differently (recorded).
    #[must_use]
    pub fn state_transition_reason(stream: Option<StreamKind>) -> &'static str {
        match stream {
            None => "USER_INITIATED",
            Some(StreamKind::DynamoDb | StreamKind::Kinesis) => "User action",
        }
    }
}
