//! The questions that the AWS documentation leaves open (Q1 to Q21), each with a default answer and an answer drawn
//! from a seed.
//!
//! A consumer that is correct under only one of the answers is wrong, so the simulation draws all of them.

/// The answers to the open questions that have two possible answers.
///
/// Questions with a single answer (Q1, Q2, Q3, Q5, Q10, Q12, Q16, Q17, Q19, Q20) have no field. The state machine
/// implements their rule, and a test carries their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    /// The seed of all other fields. It also seeds shuffles (Q15) and the lane hash (Q18).
    pub seed: u64,
    /// Q4: a FIFO batch contains only one message group. By default it may contain several.
    pub fifo_one_group_per_batch: bool,
    /// Q6: the first pause before a failed stream batch is retried, in milliseconds. It doubles at each retry.
    pub retry_base_millis: u64,
    /// Q6: the longest pause between retries, in milliseconds.
    pub retry_cap_millis: u64,
    /// Q7: bisecting an odd batch puts the larger half first. By default n/2 is rounded down.
    pub bisect_round_up: bool,
    /// Q8: a half inherits the attempts of its batch. By default it starts at 0.
    pub bisect_carries_attempts: bool,
    /// Q9: newer records are added to a retried remainder.
    pub top_up_retries: bool,
    /// Q13: after the mapping is disabled or updated, or the poller is lost, the result of an invocation in flight is
    /// ignored and its records are retried. By default the result counts.
    pub ignore_in_flight_on_change: bool,
    /// Q14: one in this many deletes fails after a success (0: none), so that the message returns after its
    /// visibility timeout.
    pub delete_fails_one_in: u32,
    /// Q15: standard queues return messages in shuffled order.
    pub shuffle_standard: bool,
    /// Q21: plain numbers in a filter pattern match by value. By default they match by spelling.
    pub numbers_by_value: bool,
}

impl Choices {
    /// The default answer to each question, with seed 0 and no shuffling.
    #[must_use]
    pub fn default_outcomes() -> Self {
        Self {
            seed: 0,
            fifo_one_group_per_batch: false,
            retry_base_millis: 100,
            retry_cap_millis: 10_000,
            bisect_round_up: false,
            bisect_carries_attempts: false,
            top_up_retries: false,
            ignore_in_flight_on_change: false,
            delete_fails_one_in: 0,
            shuffle_standard: false,
            numbers_by_value: false,
        }
    }

    /// Answers every question from `seed`; the same seed always gives the same answers.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut bits = Mixer::new(seed);
        Self {
            seed,
            fifo_one_group_per_batch: bits.one_in(2),
            retry_base_millis: 1 + bits.next() % 2_000,
            retry_cap_millis: 2_000 + bits.next() % 60_000,
            bisect_round_up: bits.one_in(2),
            bisect_carries_attempts: bits.one_in(2),
            top_up_retries: bits.one_in(2),
            ignore_in_flight_on_change: bits.one_in(2),
            delete_fails_one_in: if bits.one_in(2) {
                0
            } else {
                2 + (bits.next() % 20) as u32
            },
            shuffle_standard: bits.one_in(2),
            numbers_by_value: bits.one_in(2),
        }
    }
}

/// The SplitMix64 generator. Not for secrets. Every platform and version of this crate draws the same numbers, so
/// that a seed in a report reproduces a run.
#[derive(Debug, Clone)]
pub struct Mixer(u64);

impl Mixer {
    /// Creates a generator whose sequence depends on `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns true once in `n` draws on average; `n` is at least 1.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.next().is_multiple_of(u64::from(n.max(1)))
    }
}

/// Hashes a key; the result is the same on every platform and in every version.
pub(crate) fn stable_hash(key: &str, seed: u64) -> u64 {
    // FNV-1a, mixed so that the high bits differ between short keys too.
    let fnv = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Mixer::new(fnv ^ seed).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_choices() {
        assert_eq!(Choices::from_seed(7), Choices::from_seed(7));
    }

    #[test]
    fn draws_both_answers_to_every_question() {
        let drawn: Vec<Choices> = (0..64).map(Choices::from_seed).collect();
        let both = |f: fn(&Choices) -> bool| drawn.iter().any(f) && !drawn.iter().all(f);
        assert!(both(|c| c.fifo_one_group_per_batch));
        assert!(both(|c| c.bisect_round_up));
        assert!(both(|c| c.bisect_carries_attempts));
        assert!(both(|c| c.top_up_retries));
        assert!(both(|c| c.ignore_in_flight_on_change));
        assert!(both(|c| c.delete_fails_one_in == 0));
        assert!(both(|c| c.shuffle_standard));
        assert!(both(|c| c.numbers_by_value));
    }
}
