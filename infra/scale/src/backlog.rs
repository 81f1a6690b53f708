//! A first-in, first-out backlog: how much waits in one place, and since when.

use std::collections::VecDeque;

/// Amounts by kind. The place defines what the kinds are.
pub type Parts = [f64; 3];

/// Messages that reached a place in the same step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cohort {
    /// When the messages arrived in the queue, in seconds.
    pub arrived: f64,
    /// When they reached this place.
    pub entered: f64,
    /// Number of failed receives.
    pub receives: u32,
    pub parts: Parts,
}

impl Cohort {
    /// Sum of all kinds.
    #[must_use]
    pub fn amount(&self) -> f64 {
        self.parts.iter().sum()
    }
}

/// The cohorts that wait in one place.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    cohorts: VecDeque<Cohort>,
}

/// Smaller amounts are rounding errors.
const NOTHING: f64 = 1e-9;

impl Backlog {
    pub fn push(&mut self, cohort: Cohort) {
        if cohort.amount() > NOTHING {
            self.cohorts.push_back(cohort);
        }
    }

    /// Sum of all cohorts and kinds.
    #[must_use]
    pub fn amount(&self) -> f64 {
        self.cohorts.iter().map(Cohort::amount).sum()
    }

    /// Sum of all cohorts by kind.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.cohorts.iter().fold([0.0; 3], |mut sum, cohort| {
            for (sum, part) in sum.iter_mut().zip(cohort.parts) {
                *sum += part;
            }
            sum
        })
    }

    /// When the oldest message arrived in the queue.
    #[must_use]
    pub fn oldest_arrival(&self) -> Option<f64> {
        self.cohorts
            .iter()
            .map(|cohort| cohort.arrived)
            .min_by(f64::total_cmp)
    }

    /// When the next cohort reached this place.
    #[must_use]
    pub fn oldest_entered(&self) -> Option<f64> {
        self.cohorts.front().map(|cohort| cohort.entered)
    }

    /// Removes up to this amount, oldest first. A split cohort keeps the proportion of its kinds.
    pub fn remove(&mut self, amount: f64) -> Vec<Cohort> {
        self.remove_limited(amount, f64::INFINITY)
    }

    /// Like [`Self::remove`], but removes at most `first_kind` of the first kind.
    pub fn remove_limited(&mut self, amount: f64, first_kind: f64) -> Vec<Cohort> {
        let (mut left, mut left_of_first) = (amount.max(0.0), first_kind.max(0.0));
        let mut removed = Vec::new();
        while left > NOTHING
            && let Some(next) = self.cohorts.front_mut()
        {
            let (has, [first, ..]) = (next.amount(), next.parts);
            let fits_first = first <= left_of_first + NOTHING;
            if has <= left + NOTHING && fits_first {
                left -= has;
                left_of_first -= first;
                removed.extend(self.cohorts.pop_front());
                continue;
            }
            let share_of_first = if fits_first {
                1.0
            } else {
                left_of_first.max(0.0) / first
            };
            let share = (left / has).min(share_of_first);
            let mut part = *next;
            for (part, kept) in part.parts.iter_mut().zip(next.parts.iter_mut()) {
                *part *= share;
                *kept = (*kept - *part).max(0.0);
            }
            if part.amount() > 0.0 {
                removed.push(part);
            }
            break;
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cohort(arrived: f64, parts: Parts) -> Cohort {
        Cohort {
            arrived,
            entered: arrived,
            receives: 0,
            parts,
        }
    }

    #[test]
    fn removes_oldest_first_and_splits_in_proportion() {
        let mut backlog = Backlog::default();
        backlog.push(cohort(1.0, [8.0, 2.0, 0.0]));
        backlog.push(cohort(2.0, [10.0, 0.0, 0.0]));
        let removed = backlog.remove(5.0);
        assert_eq!(removed, [cohort(1.0, [4.0, 1.0, 0.0])]);
        let removed = backlog.remove(10.0);
        assert_eq!(removed.len(), 2);
        assert_eq!(backlog.parts(), [5.0, 0.0, 0.0]);
        assert_eq!(backlog.oldest_arrival(), Some(2.0));
    }

    #[test]
    fn limits_the_first_kind() {
        let mut backlog = Backlog::default();
        backlog.push(cohort(1.0, [0.0, 5.0, 0.0]));
        backlog.push(cohort(2.0, [8.0, 2.0, 0.0]));
        let removed = backlog.remove_limited(100.0, 4.0);
        assert_eq!(removed[1], cohort(2.0, [4.0, 1.0, 0.0]));
        assert_eq!(backlog.parts(), [4.0, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn conserves_the_total_amount(
            steps in prop::collection::vec((0.0..1e6_f64, 0.0..1e6_f64, 0.0..2e6_f64), 1..50),
        ) {
            let mut backlog = Backlog::default();
            let (mut added, mut removed) = (0.0, 0.0);
            for (index, (one, other, amount)) in steps.into_iter().enumerate() {
                backlog.push(cohort(index as f64, [one, other, 0.0]));
                added += one + other;
                let part: f64 = backlog.remove(amount).iter().map(Cohort::amount).sum();
                prop_assert!(part <= amount + 1e-6);
                removed += part;
                prop_assert!(backlog.parts().iter().all(|part| *part >= 0.0));
                prop_assert!((added - removed - backlog.amount()).abs() < 1e-6 * added.max(1.0));
            }
        }
    }
}
