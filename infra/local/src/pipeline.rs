//! A pipeline that can be sent messages and looked at: a stack of this machine's, or one that is deployed.

use std::time::Duration;

use crate::clients::Clients;
use crate::error::LocalError;
use crate::stack::StackOutputs;

/// What is needed of a pipeline to run messages through it and to judge what became of them.
pub trait Pipeline {
    /// Clients that may send, and look.
    fn clients(&self) -> &Clients;

    /// Where its parts are.
    fn outputs(&self) -> &StackOutputs;

    /// Why it no longer works, where that can be seen.
    fn failure(&mut self) -> Option<LocalError>;

    /// Whether nothing is under way between its parts, as far as can be seen.
    fn is_idle(&self) -> bool;

    /// Whether this notification was there before and has no part in the run.
    fn is_of_others(&self, id: &str) -> bool;

    /// How it is watched.
    fn pace(&self) -> Pace;
}

/// How a pipeline is watched until it has come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks.
    pub poll: Duration,
    /// It is at rest when it looked so for this long: a record can be between two of its parts in one look.
    pub rest: Duration,
    /// Where nothing moved for this long, it never will. Longer than what is rightly still: the visibility timeout.
    pub stall: Duration,
}
