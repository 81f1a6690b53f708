//! How much may happen in one run of the model, and which planted bug is in it.

use crate::bugs::Bug;

/// What bounds the state space. Whatever is bounded here is what could happen without end in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Bounds {
    /// Notification ids. Each has one message; the first has a second one, of other content
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub ids: u8,
    /// Deliveries that SQS makes of its own accord, of messages in flight or already deleted
    #[arg(long, default_value_t = 2)]
    pub duplicates: u8,
    /// Instances of `ingest` at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub workers: u8,
    /// Processes that die, of any function, at any step
    #[arg(long, default_value_t = 2)]
    pub crashes: u8,
    /// Calls that fail, or are answered with a failure and take effect at some later moment
    #[arg(long, default_value_t = 1)]
    pub losses: u8,
    /// Notifications completed by somebody who does not wait for their events, so that INIT and DONE are unpublished at
    /// the same time
    #[arg(long, default_value_t = 1)]
    pub elsewhere: u8,
    /// Conflicts that a message is answered with before it is dead-lettered: six with the template, but one is like
    /// another
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=6))]
    pub refusals: u8,
}

/// The protocol within its bounds, right or with one bug.
#[derive(Debug, Clone, Copy)]
pub struct Pipeline {
    pub bounds: Bounds,
    pub bug: Option<Bug>,
    /// Whether what concerns nobody else happens at once; see `reduction`.
    pub is_reduced: bool,
}

impl Pipeline {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bug: None,
            is_reduced: true,
        }
    }

    pub fn with(bug: Bug, bounds: Bounds) -> Self {
        Self {
            bounds,
            bug: Some(bug),
            is_reduced: true,
        }
    }

    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
