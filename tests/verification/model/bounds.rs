//! The bounds of one run of the model, and its planted bug.

use std::fmt::{self, Display};

use crate::bugs::Bug;

/// The largest bounds: a state has a fixed size.
pub const MAX_IDS: usize = 4;
pub const MAX_WORKERS: usize = 4;

/// Bounds of the state space. They limit everything that could repeat without end, so that every path ends. Progress
/// is only guaranteed once faults stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Bounds {
    /// Notification ids. Each has one message; the first has a second one with other content
    #[arg(long, default_value_t = Self::default().ids, value_parser = clap::value_parser!(u8).range(1..=MAX_IDS as i64))]
    pub ids: u8,
    /// Deliveries that SQS repeats, of messages in flight or already deleted
    #[arg(long, default_value_t = Self::default().duplicates)]
    pub duplicates: u8,
    /// Concurrent instances of `ingest`
    #[arg(long, default_value_t = Self::default().workers, value_parser = clap::value_parser!(u8).range(1..=MAX_WORKERS as i64))]
    pub workers: u8,
    /// Process crashes, of any function at any step
    #[arg(long, default_value_t = Self::default().crashes)]
    pub crashes: u8,
    /// Calls that fail, or that report a failure and take effect later
    #[arg(long, default_value_t = Self::default().losses)]
    pub losses: u8,
    /// Notifications completed before their events are published
    #[arg(long, default_value_t = Self::default().elsewhere)]
    pub elsewhere: u8,
    /// Conflicts per message before it is dead-lettered
    #[arg(long, default_value_t = Self::default().refusals, value_parser = clap::value_parser!(u8).range(1..=6))]
    pub refusals: u8,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            ids: 2,
            duplicates: 2,
            workers: 2,
            crashes: 2,
            losses: 1,
            elsewhere: 1,
            refusals: 1,
        }
    }
}

impl Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ids,
            duplicates,
            workers,
            crashes,
            losses,
            elsewhere,
            refusals,
        } = self;
        write!(
            f,
            "ids {ids}, duplicates {duplicates}, workers {workers}, crashes {crashes}, losses {losses}, \
             elsewhere {elsewhere}, refusals {refusals}"
        )
    }
}

/// The protocol within its bounds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pipeline {
    pub bounds: Bounds,
    /// The planted bug, if any.
    pub bug: Option<Bug>,
    /// Whether to visit independent actions in every order; see `reduction`.
    pub in_every_order: bool,
    /// The property to check. `None` checks all guarantees.
    pub property: Option<&'static str>,
}

impl Pipeline {
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
