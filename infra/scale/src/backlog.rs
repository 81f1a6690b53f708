//! What waits in one place, first come, first served, and since when.

use std::collections::VecDeque;

/// Some of a kind, some of another; what the kinds are is the place's.
pub type Parts = [f64; 3];

/// What came to a place in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cohort {
    /// When its messages arrived in the queue, in seconds.
    pub born: f64,
    /// When it came to this place.
    pub entered: f64,
    /// How often it was received in vain.
    pub receives: u32,
    /// How many, by kind.
    pub parts: Parts,
}

impl Cohort {
    /// How many of all kinds.
    #[must_use]
    pub fn amount(&self) -> f64 {
        self.parts.iter().sum()
    }
}

/// What waits.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    cohorts: VecDeque<Cohort>,
}

/// Less than this is nothing: what is left by rounding.
const NOTHING: f64 = 1e-9;

impl Backlog {
    /// Adds what came.
    pub fn push(&mut self, cohort: Cohort) {
        if cohort.amount() > NOTHING {
            self.cohorts.push_back(cohort);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn amount(&self) -> f64 {
        self.cohorts.iter().map(Cohort::amount).sum()
    }

    /// How many of each kind wait.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.cohorts.iter().fold([0.0; 3], |mut sum, cohort| {
            for (sum, part) in sum.iter_mut().zip(cohort.parts) {
                *sum += part;
            }
            sum
        })
    }

    /// When the oldest was born.
    #[must_use]
    pub fn oldest_born(&self) -> Option<f64> {
        self.cohorts
            .iter()
            .map(|cohort| cohort.born)
            .min_by(f64::total_cmp)
    }

    /// When the one that is next came here.
    #[must_use]
    pub fn oldest_entered(&self) -> Option<f64> {
        self.cohorts.front().map(|cohort| cohort.entered)
    }

    /// Takes as many as that, or all there are, the first first. A cohort is split with its kinds in proportion.
    pub fn take(&mut self, amount: f64) -> Vec<Cohort> {
        self.take_within(amount, f64::INFINITY)
    }

    /// The same, and no more of the first kind than that.
    pub fn take_within(&mut self, amount: f64, of_first: f64) -> Vec<Cohort> {
        let (mut left, mut left_of_first) = (amount.max(0.0), of_first.max(0.0));
        let mut taken = Vec::new();
        while left > NOTHING
            && let Some(next) = self.cohorts.front_mut()
        {
            let (has, [first, ..]) = (next.amount(), next.parts);
            let fits_first = first <= left_of_first + NOTHING;
            if has <= left + NOTHING && fits_first {
                left -= has;
                left_of_first -= first;
                taken.extend(self.cohorts.pop_front());
                continue;
            }
            let share_of_first = if fits_first {
                1.0
            } else {
                left_of_first.max(0.0) / first
            };
            let share = (left / has).min(share_of_first);
            let mut part = *next;
            for (taken, kept) in part.parts.iter_mut().zip(next.parts.iter_mut()) {
                *taken *= share;
                *kept = (*kept - *taken).max(0.0);
            }
            if part.amount() > 0.0 {
                taken.push(part);
            }
            break;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cohort(born: f64, parts: Parts) -> Cohort {
        Cohort {
            born,
            entered: born,
            receives: 0,
            parts,
        }
    }

    #[test]
    fn the_first_goes_first_and_is_split_in_proportion() {
        let mut backlog = Backlog::default();
        backlog.push(cohort(1.0, [8.0, 2.0, 0.0]));
        backlog.push(cohort(2.0, [10.0, 0.0, 0.0]));
        let taken = backlog.take(5.0);
        assert_eq!(taken, [cohort(1.0, [4.0, 1.0, 0.0])]);
        let taken = backlog.take(10.0);
        assert_eq!(taken.len(), 2);
        assert_eq!(backlog.parts(), [5.0, 0.0, 0.0]);
        assert_eq!(backlog.oldest_born(), Some(2.0));
    }

    #[test]
    fn the_first_kind_can_be_held_back() {
        let mut backlog = Backlog::default();
        backlog.push(cohort(1.0, [0.0, 5.0, 0.0]));
        backlog.push(cohort(2.0, [8.0, 2.0, 0.0]));
        let taken = backlog.take_within(100.0, 4.0);
        assert_eq!(taken[1], cohort(2.0, [4.0, 1.0, 0.0]));
        assert_eq!(backlog.parts(), [4.0, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_owed(
            steps in prop::collection::vec((0.0..1e6_f64, 0.0..1e6_f64, 0.0..2e6_f64), 1..50),
        ) {
            let mut backlog = Backlog::default();
            let (mut came, mut went) = (0.0, 0.0);
            for (index, (one, other, take)) in steps.into_iter().enumerate() {
                backlog.push(cohort(index as f64, [one, other, 0.0]));
                came += one + other;
                let taken: f64 = backlog.take(take).iter().map(Cohort::amount).sum();
                prop_assert!(taken <= take + 1e-6);
                went += taken;
                prop_assert!(backlog.parts().iter().all(|part| *part >= 0.0));
                prop_assert!((came - went - backlog.amount()).abs() < 1e-6 * came.max(1.0));
            }
        }
    }
}
