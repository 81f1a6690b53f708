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
        let state = if enabled {
            State::Creating
        } else {
            State::Disabled
        };
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

    /// `StateTransitionReason`: the two kinds of source spell it differently (recorded).
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
        changes
            .iter()
            .fold(Lifecycle::created(enabled), step)
            .state()
    }

    #[test]
    fn x12_requests_are_carried_out_asynchronously() {
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
    fn x12_a_request_during_another_is_refused() {
        for (enabled, first) in [
            (true, &[][..]),
            (true, &[Change::Settle, DISABLE]),
            (false, &[ENABLE]),
        ] {
            let busy = first.iter().fold(Lifecycle::created(enabled), |l, c| {
                l.apply(*c).unwrap().unwrap()
            });
            for request in [ENABLE, DISABLE, OTHER, Change::Delete] {
                assert_eq!(busy.apply(request), Err(StateConflict(busy.state())));
            }
        }
    }

    #[test]
    fn x12_polling_can_outlive_the_request_to_disable_but_not_disabled() {
        let disabling = Lifecycle::created(true)
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
