//! How long a message stays hidden after a transient failure.

use std::time::Duration;

use crate::limits::{MAX_RECEIVES, MAX_VISIBILITY_TIMEOUT};

/// The shortest wait after each receive that failed, except the last: 30 s, 2 min, 15 min, 1 h and 2 h.
///
/// A short wait suffices for a throttle, which usually ends within seconds. The sum is longer than the longest DynamoDB
/// outage that is known: nearly three hours in us-east-1 on 19 and 20 October 2025 (AWS, "Summary of the Amazon DynamoDB
/// Service Disruption in the Northern Virginia (US-EAST-1) Region"). After the last receive, a longer wait would not add
/// an attempt: the next receive moves the message to the dead-letter queue.
pub const WAITS: [Duration; MAX_RECEIVES as usize - 1] = [
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
];

/// The most that jitter adds to a wait, in percent. Because of it, messages that failed together do not return together.
pub const JITTER_PERCENT: u32 = 25;

/// The longest wait.
pub const MAX_WAIT: Duration =
    Duration::from_secs(WAITS[WAITS.len() - 1].as_secs() * (100 + JITTER_PERCENT as u64) / 100);

// The visibility timeout must not exceed 12 hours from the receive. An invocation, of at most 15 minutes, precedes the wait.
const _: () = assert!(MAX_WAIT.as_secs() + 15 * 60 < MAX_VISIBILITY_TIMEOUT.as_secs());

/// The wait of a message after its `receive_count`-th receive failed for a transient reason. `draw` is from 0 to 1.
///
/// `None` means that the message keeps the visibility timeout of the queue: after the last receive, and for a receive count
/// that SQS does not send.
#[must_use]
pub fn wait(receive_count: u32, draw: f64) -> Option<Duration> {
    let index = usize::try_from(receive_count.checked_sub(1)?).ok()?;
    let shortest = *WAITS.get(index)?;
    let jitter = shortest.mul_f64(draw.clamp(0.0, 1.0)) * JITTER_PERCENT / 100;
    // SQS accepts whole seconds.
    Some(Duration::from_secs((shortest + jitter).as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST_OUTAGE: Duration = Duration::from_secs(3 * 60 * 60);

    #[test]
    fn all_receives_span_more_than_the_longest_known_outage() {
        let waits = (1..=MAX_RECEIVES).filter_map(|count| wait(count, 0.0));
        assert!(waits.sum::<Duration>() > LONGEST_OUTAGE);
    }

    #[test]
    fn waits_are_those_of_the_table() {
        let waits: Vec<_> = (1..MAX_RECEIVES).map(|count| wait(count, 0.0)).collect();
        assert_eq!(waits, WAITS.map(Some));
        assert_eq!(wait(MAX_RECEIVES - 1, 1.0), Some(MAX_WAIT));
    }

    #[test]
    fn the_last_receive_keeps_the_timeout_of_the_queue() {
        for count in [0, MAX_RECEIVES, MAX_RECEIVES + 1, u32::MAX] {
            assert_eq!(wait(count, 0.5), None, "{count}");
        }
    }

    proptest! {
        #[test]
        fn each_wait_is_longer_than_the_one_before(count in 2..MAX_RECEIVES, one in 0.0..=1.0, other in 0.0..=1.0) {
            prop_assert!(wait(count - 1, one) < wait(count, other));
        }

        #[test]
        fn jitter_only_adds_whole_seconds(count in 1..MAX_RECEIVES, draw in -1.0..=2.0) {
            let jittered = wait(count, draw).unwrap();
            let shortest = WAITS[count as usize - 1];
            prop_assert!(jittered >= shortest && jittered <= shortest * (100 + JITTER_PERCENT) / 100);
            prop_assert_eq!(jittered.subsec_nanos(), 0);
        }
    }
}
