//! How much one call to the stream may contain: less after a call without an answer, more again after quick answers.
//!
//! Kinesis can store the records of a call that is not answered in time. A retry of the same size would take as long, and store
//! the records again, as often as the time of the invocation allows. A smaller call is answered sooner.

use std::time::Duration;

use onewrite::limits::{MAX_PUT_RECORDS, MAX_PUT_RECORDS_BYTES};

/// Slow answers in a row after which a call may grow all the same. If the stream is slow because of its bandwidth, the larger
/// call gets no answer, so at most every 16th call is wasted. If it is slow for another reason, calls must not stay small.
const SLOW_ANSWERS: u32 = 16;

/// The records and the bytes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSize {
    /// The number of records.
    pub records: usize,
    /// The bytes of the records, including the partition keys.
    pub bytes: usize,
}

impl CallSize {
    /// The largest call that Kinesis accepts.
    pub const MAX: Self = Self {
        records: MAX_PUT_RECORDS,
        bytes: MAX_PUT_RECORDS_BYTES,
    };

    /// Whether a call of this `size` is allowed if `self` is the limit.
    #[must_use]
    pub fn allows(self, size: Self) -> bool {
        size.records <= self.records && size.bytes <= self.bytes
    }

    /// This size times `numerator / denominator`: at least one record and one byte, at most [`CallSize::MAX`].
    fn scaled(self, numerator: u128, denominator: u128) -> Self {
        let scale = |whole: usize, most: usize| {
            let scaled = whole as u128 * numerator / denominator.max(1);
            usize::try_from(scaled).unwrap_or(most).clamp(1, most)
        };
        Self {
            records: scale(self.records, MAX_PUT_RECORDS),
            bytes: scale(self.bytes, MAX_PUT_RECORDS_BYTES),
        }
    }

    fn min(self, other: Self) -> Self {
        Self {
            records: self.records.min(other.records),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

/// The limit of the next call. One process keeps it across its invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimit {
    longest_timeout: Duration,
    timeout: Duration,
    size: CallSize,
    slow_answers: u32,
}

impl CallLimit {
    /// Starts with the largest call. A call without an answer within `timeout` has failed.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            longest_timeout: timeout,
            timeout,
            size: CallSize::MAX,
            slow_answers: 0,
        }
    }

    /// Begins an invocation with this much time. It has time for one call that gets no answer, and for a smaller one.
    pub fn begin_invocation(&mut self, time: Duration) {
        self.timeout = self.longest_timeout.min(time / 2);
    }

    /// The time after which a call has failed.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The limit of a call that has this much time. A call with less time than the time-out is smaller, so that the end of an
    /// invocation does not cut it off.
    #[must_use]
    pub fn of_call(&self, left: Duration) -> CallSize {
        let left = left.min(self.timeout);
        self.size.scaled(left.as_micros(), self.timeout.as_micros())
    }

    /// The stream answered a call of this `size` after this `time`.
    pub fn answered(&mut self, size: CallSize, time: Duration) {
        // A call far below the limit says nothing about a call beyond it.
        if 2 * size.records <= self.size.records && 2 * size.bytes <= self.size.bytes {
            return;
        }
        // The call can be half as large as the limit, and the limit is doubled.
        let is_quick = 4 * time <= self.timeout;
        self.slow_answers = if is_quick { 0 } else { self.slow_answers + 1 };
        if is_quick || self.slow_answers >= SLOW_ANSWERS {
            self.size = self.size.scaled(2, 1);
            self.slow_answers = 0;
        }
    }

    /// A call of this `size` got no answer within `time`, or lost its connection.
    pub fn unanswered(&mut self, size: CallSize, time: Duration) {
        // The end of the invocation cut it off. That says nothing about its size.
        if time < self.timeout {
            return;
        }
        // The bytes of a single record cannot be halved.
        let smaller = match size.records {
            1 => size,
            _ => size.scaled(1, 2),
        };
        self.size = self.size.min(smaller);
        self.slow_answers = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(8);

    fn size(records: usize, bytes: usize) -> CallSize {
        CallSize { records, bytes }
    }

    #[test]
    fn halves_an_unanswered_call_down_to_one_record() {
        let mut limit = CallLimit::new(TIMEOUT);
        assert_eq!(limit.of_call(TIMEOUT), CallSize::MAX);
        let mut records = Vec::new();
        for _ in 0..12 {
            limit.unanswered(limit.of_call(TIMEOUT), TIMEOUT);
            records.push(limit.of_call(TIMEOUT).records);
        }
        assert_eq!(records, [250, 125, 62, 31, 15, 7, 3, 1, 1, 1, 1, 1]);
        assert_eq!(limit.of_call(TIMEOUT).bytes, MAX_PUT_RECORDS_BYTES >> 8);
    }

    #[test]
    fn halves_the_call_that_was_sent_and_not_the_limit() {
        let mut limit = CallLimit::new(TIMEOUT);
        limit.unanswered(size(40, 4_000), TIMEOUT);
        assert_eq!(limit.of_call(TIMEOUT), size(20, 2_000));
    }

    #[test]
    fn doubles_after_quick_answers_up_to_the_largest_call() {
        let mut limit = CallLimit::new(TIMEOUT);
        limit.unanswered(size(2, 2), TIMEOUT);
        let mut answers = 0;
        while limit.of_call(TIMEOUT) != CallSize::MAX {
            limit.answered(limit.of_call(TIMEOUT), TIMEOUT / 4);
            answers += 1;
        }
        assert_eq!(answers, MAX_PUT_RECORDS_BYTES.ilog2() + 1);
    }

    #[test]
    fn grows_seldom_after_slow_answers() {
        let mut limit = CallLimit::new(TIMEOUT);
        limit.unanswered(size(200, 2_000), TIMEOUT);
        for _ in 1..SLOW_ANSWERS {
            limit.answered(size(100, 1_000), TIMEOUT / 2);
            assert_eq!(limit.of_call(TIMEOUT), size(100, 1_000));
        }
        limit.answered(size(100, 1_000), TIMEOUT / 2);
        assert_eq!(limit.of_call(TIMEOUT), size(200, 2_000));
    }

    #[test]
    fn does_not_grow_after_a_call_far_below_the_limit() {
        let mut limit = CallLimit::new(TIMEOUT);
        limit.unanswered(size(200, 2_000), TIMEOUT);
        limit.answered(size(50, 500), Duration::ZERO);
        assert_eq!(limit.of_call(TIMEOUT), size(100, 1_000));
        limit.answered(size(1, 501), Duration::ZERO);
        assert_eq!(limit.of_call(TIMEOUT), size(200, 2_000));
    }

    #[test]
    fn fits_calls_into_the_time_that_is_left() {
        let limit = CallLimit::new(TIMEOUT);
        let quarter = size(MAX_PUT_RECORDS / 4, MAX_PUT_RECORDS_BYTES / 4);
        assert_eq!(limit.of_call(TIMEOUT / 4), quarter);
        assert_eq!(limit.of_call(Duration::from_micros(1)), size(1, 1));
        assert_eq!(limit.of_call(2 * TIMEOUT), CallSize::MAX);
    }

    #[test]
    fn the_end_of_an_invocation_shrinks_no_call() {
        let mut limit = CallLimit::new(TIMEOUT);
        limit.unanswered(size(100, 1_000_000), TIMEOUT / 2);
        assert_eq!(limit.of_call(TIMEOUT), CallSize::MAX);
    }

    #[test]
    fn a_short_invocation_has_time_for_two_calls() {
        let mut limit = CallLimit::new(TIMEOUT);
        limit.begin_invocation(TIMEOUT);
        assert_eq!(limit.timeout(), TIMEOUT / 2);
        assert_eq!(limit.of_call(TIMEOUT), CallSize::MAX);
        limit.unanswered(size(100, 1_000_000), TIMEOUT / 2);
        assert_eq!(limit.of_call(TIMEOUT), size(50, 500_000));
        limit.begin_invocation(3 * TIMEOUT);
        assert_eq!(limit.timeout(), TIMEOUT);
        assert_eq!(limit.of_call(TIMEOUT), size(50, 500_000));
    }
}
