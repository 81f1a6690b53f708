//! The previews of redrives. Each can be applied once, for ten minutes.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use onewrite_console::pipeline::PipelineError;
use onewrite_stack::{dead_letter::DeadLetterReason, table::ExpectedItem};
use tokio::time::Instant;

/// How long a preview can be applied.
const VALID: Duration = Duration::from_secs(600);

/// The most previews that are kept; a new one replaces the oldest. Each has at most
/// [`MAX_ENTRIES`](super::candidates::MAX_ENTRIES) entries.
const MAX_PREVIEWS: usize = 20;

/// A dead letter as it was previewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedLetter {
    pub message_id: String,
    pub notification_id: Option<String>,
    pub reason: DeadLetterReason,
}

/// An item as it was previewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedItem {
    pub id: String,
    pub expected: ExpectedItem,
}

/// What a preview selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    DeadLetters(Vec<PlannedLetter>),
    Items(Vec<PlannedItem>),
}

struct Stored {
    token: String,
    at: Instant,
    plan: Plan,
}

/// The previews that can be applied.
#[derive(Default)]
pub(super) struct Previews {
    /// Oldest first.
    stored: VecDeque<Stored>,
    number: u64,
    random: RandomState,
}

impl Previews {
    /// Stores a preview and returns its name.
    pub(super) fn store(&mut self, plan: Plan, now: Instant) -> String {
        self.remove_old(now);
        if self.stored.len() >= MAX_PREVIEWS {
            self.stored.pop_front();
        }
        self.number += 1;
        // The random part keeps names apart from those of an earlier console, which a page may still show.
        let token = format!("{}-{:016x}", self.number, self.random.hash_one(self.number));
        self.stored.push_back(Stored {
            token: token.clone(),
            at: now,
            plan,
        });
        token
    }

    /// Takes a preview, so that nobody can apply it again.
    ///
    /// # Errors
    /// [`PipelineError::Invalid`]: it is unknown, used, or too old.
    pub(super) fn take(&mut self, token: &str, now: Instant) -> Result<Plan, PipelineError> {
        self.remove_old(now);
        let index = self.stored.iter().position(|one| one.token == token);
        let stored = index.and_then(|index| self.stored.remove(index));
        stored.map(|stored| stored.plan).ok_or_else(|| {
            PipelineError::Invalid(
                "this preview was applied already, or is older than ten minutes; preview again"
                    .to_owned(),
            )
        })
    }

    fn remove_old(&mut self, now: Instant) {
        self.stored
            .retain(|one| now.saturating_duration_since(one.at) < VALID);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_can_be_applied_once_and_for_ten_minutes() {
        let (mut previews, now) = (Previews::default(), Instant::now());
        let plan = Plan::Items(Vec::new());
        let first = previews.store(plan.clone(), now);
        let second = previews.store(plan.clone(), now);
        assert_ne!(first, second);
        let later = now + VALID - Duration::from_millis(1);
        assert_eq!(previews.take(&first, later).unwrap(), plan);
        assert!(previews.take(&first, later).is_err(), "used");
        assert!(previews.take(&second, now + VALID).is_err(), "too old");
        assert!(previews.take("3", now).is_err(), "unknown");
    }

    #[test]
    fn previews_that_nobody_applies_do_not_accumulate() {
        let (mut previews, now) = (Previews::default(), Instant::now());
        let mut store = || previews.store(Plan::Items(Vec::new()), now);
        let tokens: Vec<String> = (0..=MAX_PREVIEWS).map(|_| store()).collect();
        assert_eq!(previews.stored.len(), MAX_PREVIEWS);
        assert!(previews.take(&tokens[0], now).is_err());
        assert!(previews.take(&tokens[1], now).is_ok());
    }
}
