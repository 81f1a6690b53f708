//! The lifecycle of a mapping (X12).

use super::source::StreamKind;

/// The state of a mapping, as `GetEventSourceMapping` returns it.
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

/// An event in the lifecycle of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `UpdateEventSourceMapping`. `enabled` is `None` if the request does not change it.
    Update { enabled: Option<bool> },
    /// `DeleteEventSourceMapping`.
    Delete,
    /// The service has completed the last request.
    Settle,
}

/// The error of a request that arrives before the previous one is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ResourceInUseException: the event source mapping is {}", .0.as_str())]
pub struct StateConflict(pub State);

/// The result of the last read of a stream, as `LastProcessingResult` contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessingResult {
    /// Nothing was read yet.
    NoRecordsProcessed,
    /// The function succeeded.
    Ok,
    /// The function failed.
    Problem,
}

impl ProcessingResult {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRecordsProcessed => "No records processed",
            Self::Ok => "OK",
            Self::Problem => "PROBLEM: Function call failed",
        }
    }
}

/// The state of a mapping, and the state that follows once the service has completed the last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    state: State,
    /// Decides which state follows `Updating`.
    enabled: bool,
}

impl Lifecycle {
    /// Creates a mapping. A mapping that is not enabled is `Disabled` at once (recorded for SQS).
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        let state = if enabled {
            State::Creating
        } else {
            State::Disabled
        };
        Self { state, enabled }
    }

    #[must_use]
    pub fn state(self) -> State {
        self.state
    }

    /// Returns whether the source is polled. While a request is in progress, an enabled mapping may still be polling
    /// or may poll again. Only `Disabled`, and states before the first `Enabled`, guarantee that it does not.
    #[must_use]
    pub fn polls(self) -> bool {
        match self.state {
            State::Enabled | State::Disabling => true,
            State::Updating => self.enabled,
            State::Creating | State::Enabling | State::Disabled | State::Deleting => false,
        }
    }

    /// Returns the next state, or `None` once the mapping is deleted.
    ///
    /// # Errors
    /// [`StateConflict`] for a request while another one is in progress.
    pub fn apply(self, change: Change) -> Result<Option<Self>, StateConflict> {
        let Self { state, enabled } = self;
        let next = |state, enabled| Ok(Some(Self { state, enabled }));
        match (state, change) {
            (
                State::Enabled,
                Change::Update {
                    enabled: Some(false),
                },
            ) => next(State::Disabling, false),
            (
                State::Disabled,
                Change::Update {
                    enabled: Some(true),
                },
            ) => next(State::Enabling, true),
            (State::Enabled | State::Disabled, Change::Update { .. }) => {
                next(State::Updating, enabled)
            }
            (State::Enabled | State::Disabled, Change::Delete) => next(State::Deleting, false),
            (State::Deleting, Change::Settle) => Ok(None),
            (_, Change::Settle) if enabled => next(State::Enabled, true),
            (_, Change::Settle) => next(State::Disabled, false),
            (busy, Change::Update { .. } | Change::Delete) => Err(StateConflict(busy)),
        }
    }

    /// `StateTransitionReason`. Queues and streams spell it differently (recorded).
    #[must_use]
    pub fn state_transition_reason(stream: Option<StreamKind>) -> &'static str {
        match stream {
            None => "USER_INITIATED",
            Some(StreamKind::DynamoDb | StreamKind::Kinesis) => "User action",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENABLE: Change = Change::Update {
        enabled: Some(true),
    };
    const DISABLE: Change = Change::Update {
        enabled: Some(false),
    };
    const OTHER: Change = Change::Update { enabled: None };

    fn after(enabled: bool, changes: &[Change]) -> State {
        let step =
            |lifecycle: Lifecycle, change: &Change| lifecycle.apply(*change).unwrap().unwrap();
        changes.iter().fold(Lifecycle::new(enabled), step).state()
    }

    #[test]
    fn x12_requests_complete_asynchronously() {
        assert_eq!(after(true, &[]), State::Creating);
        assert_eq!(after(true, &[Change::Settle]), State::Enabled);
        assert_eq!(after(true, &[Change::Settle, DISABLE]), State::Disabling);
        assert_eq!(
            after(true, &[Change::Settle, DISABLE, Change::Settle]),
            State::Disabled
        );
        assert_eq!(after(true, &[Change::Settle, OTHER]), State::Updating);
        assert_eq!(after(true, &[Change::Settle, ENABLE]), State::Updating);
        assert_eq!(
            after(true, &[Change::Settle, OTHER, Change::Settle]),
            State::Enabled
        );
        assert_eq!(
            after(true, &[Change::Settle, Change::Delete]),
            State::Deleting
        );
        assert_eq!(after(false, &[]), State::Disabled);
        assert_eq!(after(false, &[ENABLE]), State::Enabling);
        assert_eq!(after(false, &[ENABLE, Change::Settle]), State::Enabled);
        assert_eq!(after(false, &[OTHER]), State::Updating);
        assert_eq!(after(false, &[OTHER, Change::Settle]), State::Disabled);
    }

    #[test]
    fn x12_rejects_request_during_another() {
        for (enabled, first) in [
            (true, &[][..]),
            (true, &[Change::Settle, DISABLE]),
            (false, &[ENABLE]),
        ] {
            let busy = first.iter().fold(Lifecycle::new(enabled), |l, c| {
                l.apply(*c).unwrap().unwrap()
            });
            for request in [ENABLE, DISABLE, OTHER, Change::Delete] {
                assert_eq!(busy.apply(request), Err(StateConflict(busy.state())));
            }
        }
    }

    #[test]
    fn x12_polls_while_disabling_but_not_when_disabled() {
        let disabling = Lifecycle::new(true)
            .apply(Change::Settle)
            .unwrap()
            .unwrap()
            .apply(DISABLE)
            .unwrap()
            .unwrap();
        assert!(disabling.polls());
        let disabled = disabling.apply(Change::Settle).unwrap().unwrap();
        assert!(!disabled.polls());
        assert!(!disabled.apply(OTHER).unwrap().unwrap().polls());
        let deleting = disabled.apply(Change::Delete).unwrap().unwrap();
        assert!(!deleting.polls());
        assert_eq!(deleting.apply(Change::Settle), Ok(None));
    }
}
