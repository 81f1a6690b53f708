//! The poller of a stream's shards, DynamoDB Streams or Kinesis, as a pure state machine.

mod contract;
mod record;

pub use contract::{
    Action, CallId, Finding, InFlight, Input, InvocationId, Position, ShardDescription, Span,
};
pub use record::{DynamoDbRecord, KinesisRecord, SourceFacts, StreamRecord};

use crate::Millis;
use crate::choices::Choices;
use crate::mapping::{State, StreamMapping};

/// The poller of one mapping.
pub struct StreamPoller {}

impl StreamPoller {
    /// A poller that waits for [`Input::Enable`].
    #[must_use]
    pub fn new(_mapping: StreamMapping, _choices: Choices) -> Self {
        Self {}
    }

    /// Takes in what happened at `now`, and returns what to do, in order. Times MUST not go backwards.
    #[must_use = "the actions are not done by themselves"]
    pub fn handle(&mut self, _now: Millis, _input: Input) -> Vec<Action> {
        Vec::new()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Wake`], if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Millis> {
        None
    }

    /// The state of the mapping.
    #[must_use]
    pub fn state(&self) -> State {
        State::Disabled
    }

    /// How much is under way.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        InFlight {
            calls: 0,
            records: 0,
            invocations: 0,
            notices: 0,
        }
    }
}
