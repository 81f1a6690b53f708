//! How long a message stays hidden after a transient failure.

use std::time::Duration;

use crate::limits::{MAX_RECEIVES, MAX_VISIBILITY_TIMEOUT};

/// The shortest wait after each receive that failed, except the last: 30 s, 2 min, 15 min, 1 h and 2 h.
///
/// A short wait suffices for a throttle, which usually ends within seconds. The sum is longer than [`OUTAGE`]. After the last
/// receive, a longer wait would not add an attempt: the next receive moves the message to the dead-letter queue.
pub const WAITS: [Duration; MAX_RECEIVES as usize - 1] = [
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
];

/// The outage for which [`WAITS`] are made. The longest known outage of DynamoDB took nearly three hours, on 19 and 20 October
/// 2025 (AWS, "Summary of the Amazon DynamoDB Service Disruption in the Northern Virginia (US-EAST-1) Region").
pub const OUTAGE: Duration = Duration::from_secs(3 * 60 * 60);

/// The longest outage to wait for. With a longer one, the last wait would exceed [`MAX_VISIBILITY_TIMEOUT`].
pub const MAX_OUTAGE: Duration = Duration::from_secs(10 * 60 * 60);

/// The most that jitter adds to a wait, in percent. Because of it, messages that failed together do not return together.
pub const JITTER_PERCENT: u32 = 25;

/// The longest wait: the last one of [`MAX_OUTAGE`], with jitter.
const MAX_WAIT_SECONDS: u64 = WAITS[WAITS.len() - 1].as_secs() * MAX_OUTAGE.as_secs()
    / OUTAGE.as_secs()
    * (100 + JITTER_PERCENT as u64)
    / 100;

// SQS counts the 12 hours from the receive. An invocation, of at most 15 minutes, precedes the wait.
const _: () = assert!(MAX_WAIT_SECONDS + 15 * 60 < MAX_VISIBILITY_TIMEOUT.as_secs());

/// The waits of a message between its receives, which together outlast an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    outage: Duration,
}

impl Waits {
    /// The waits for an outage of this length, at most [`MAX_OUTAGE`]: [`WAITS`] in proportion.
    #[must_use]
    pub fn outlasting(outage: Duration) -> Self {
        Self {
            outage: outage.min(MAX_OUTAGE),
        }
    }

    /// The wait after the `receive_count`-th receive failed for a transient reason. `draw` is from 0 to 1.
    ///
    /// `None` means that the message keeps the visibility timeout of the queue: after the last receive, and for a receive
    /// count that SQS does not send.
    #[must_use]
    pub fn after(&self, receive_count: u32, draw: f64) -> Option<Duration> {
        let index = usize::try_from(receive_count.checked_sub(1)?).ok()?;
        let scale = self.outage.div_duration_f64(OUTAGE);
        let shortest = WAITS.get(index)?.mul_f64(scale);
        let jitter = shortest.mul_f64(draw.clamp(0.0, 1.0)) * JITTER_PERCENT / 100;
        // SQS accepts whole seconds.
        let seconds = (shortest + jitter).as_secs_f64().ceil();
        Some(Duration::from_secs_f64(seconds))
    }

    /// The longest of all waits.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.after(MAX_RECEIVES - 1, 1.0).unwrap_or_default()
    }
}

impl Default for Waits {
    /// The waits for an outage of three hours.
    fn default() -> Self {
        Self::outlasting(OUTAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_for_the_longest_known_outage_are_those_of_the_table() {
        let waits = Waits::default();
        let shortest: Vec<_> = (1..MAX_RECEIVES).map(|n| waits.after(n, 0.0)).collect();
        assert_eq!(shortest, WAITS.map(Some));
        assert_eq!(waits.longest(), Duration::from_secs(150 * 60));
    }

    #[test]
    fn the_last_receive_keeps_the_timeout_of_the_queue() {
        for count in [0, MAX_RECEIVES, MAX_RECEIVES + 1, u32::MAX] {
            assert_eq!(Waits::default().after(count, 0.5), None, "{count}");
        }
    }

    #[test]
    fn no_wait_exceeds_what_sqs_allows() {
        let longest = Waits::outlasting(Duration::MAX).longest();
        assert_eq!(longest, Duration::from_secs(MAX_WAIT_SECONDS));
    }

    proptest! {
        #[test]
        fn all_receives_span_more_than_the_outage(seconds in 1..=MAX_OUTAGE.as_secs(), draw in 0.0..=1.0) {
            let outage = Duration::from_secs(seconds);
            let waits = Waits::outlasting(outage);
            let span: Duration = (1..=MAX_RECEIVES).filter_map(|count| waits.after(count, draw)).sum();
            prop_assert!(span > outage, "{span:?}");
        }

        #[test]
        fn no_wait_is_shorter_than_the_one_before(seconds in 1..=MAX_OUTAGE.as_secs(), count in 2..MAX_RECEIVES, one in 0.0..=1.0, other in 0.0..=1.0) {
            let waits = Waits::outlasting(Duration::from_secs(seconds));
            prop_assert!(waits.after(count - 1, one) <= waits.after(count, other));
        }

        #[test]
        fn jitter_only_adds_whole_seconds(count in 1..MAX_RECEIVES, draw in -1.0..=2.0) {
            let jittered = Waits::default().after(count, draw).unwrap();
            let shortest = WAITS[count as usize - 1];
            let longest = shortest * (100 + JITTER_PERCENT) / 100 + Duration::from_secs(1);
            prop_assert!(jittered >= shortest && jittered <= longest);
            prop_assert_eq!(jittered.subsec_nanos(), 0);
        }
    }
}
