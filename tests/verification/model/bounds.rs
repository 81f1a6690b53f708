//! How much may happen in one run of the model, and which planted bug is in it.

use std::fmt::{self, Display};

use crate::{
    bugs::Bug,
    state::{MAX_IDS, MAX_WORKERS},
};

/// What bounds the state space: all that could happen without end in the world, so that every path within has one.
/// Progress is promised for when faults stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Bounds {
    /// Notification ids. Each has one message; the first has a second one, of other content
    #[arg(long, default_value_t = Self::default().ids, value_parser = clap::value_parser!(u8).range(1..=MAX_IDS as i64))]
    pub ids: u8,
    /// Deliveries that SQS makes of its own accord, of messages in flight or already deleted
    #[arg(long, default_value_t = Self::default().duplicates)]
    pub duplicates: u8,
    /// Instances of `ingest` at the same time
    #[arg(long, default_value_t = Self::default().workers, value_parser = clap::value_parser!(u8).range(1..=MAX_WORKERS as i64))]
    pub workers: u8,
    /// Processes that die, of any function, at any step
    #[arg(long, default_value_t = Self::default().crashes)]
    pub crashes: u8,
    /// Calls that fail, or are answered with a failure and take effect at some later moment
    #[arg(long, default_value_t = Self::default().losses)]
    pub losses: u8,
    /// Notifications completed by somebody who does not wait for their events, so that INIT and DONE are unpublished at
    /// the same time
    #[arg(long, default_value_t = Self::default().elsewhere)]
    pub elsewhere: u8,
    /// Conflicts that a message is answered with before it is dead-lettered: six with the template, but one is like
    /// another
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
    /// What is wrong with it.
    pub bug: Option<Bug>,
    /// Whether independent actions are visited in every order; see `reduction`.
    pub in_every_order: bool,
    /// The property to look at; none are all promises.
    pub watched: Option<&'static str>,
}

impl Pipeline {
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
