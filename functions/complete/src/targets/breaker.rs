//! A circuit breaker: stops calls of a target that does not work, and finds out when it works again.

use std::{collections::VecDeque, time::Duration};

use onewrite::notification::NotificationId;
use tokio::time::Instant;

/// Failures in a row, of as many notifications, after which no call is made for a while.
pub const OPENING_FAILURES: usize = 5;

/// The first pause. It doubles with each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that the breaker chooses.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause that a receiver can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// The time after which a probe without a result does not count any more. Longer than any call takes.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// Most notifications that are suspected at the same time: more than a batch has.
const MAX_SUSPECTS: usize = 1_000;

/// The state of calls to one target.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    /// The target could not process these notifications since the last success. Perhaps it is their fault.
    suspects: VecDeque<NotificationId>,
    /// Whether the target was busy in this batch. `None` until a batch begins.
    was_busy: Option<bool>,
}

#[derive(Debug)]
enum State {
    /// Calls are made. These notifications failed since the last success.
    Closed { failed: Vec<NotificationId> },
    /// No calls are made until then. Afterwards these suspects were turned away.
    Open {
        until: Instant,
        pause: Duration,
        turned_away: Vec<NotificationId>,
    },
    /// One call is made, since then, to find out whether the target works again.
    Probing { since: Instant, pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failed: Vec::new() }
    }
}

/// Why no call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// No call may be made for this time.
    Wait(Duration),
    /// The target was busy for another notification, so no call may be made in this batch.
    Busy,
    /// The target could not process this notification before, so another one should find out whether the target works. Without
    /// this rule, a few notifications that always fail would be tried after each pause, and keep the breaker open.
    OthersFirst,
}

/// A call that failed.
#[derive(Debug)]
pub struct Failure<'a> {
    /// The notification that it was for.
    pub notification: &'a NotificationId,
    /// Whether the target asked for fewer calls or was not reached, which says nothing about the notification.
    pub is_busy: bool,
    /// The pause that the receiver asked for.
    pub retry_after: Option<Duration>,
}

impl Breaker {
    /// Calls may be made again although the target was busy in the batch before, unless the breaker is open.
    pub fn begin_batch(&mut self) {
        self.was_busy = Some(false);
    }

    /// Why no call may be made now, for any notification.
    #[must_use]
    pub fn rejection(&self, now: Instant) -> Option<Rejection> {
        match self.state {
            State::Open { until, .. } if now < until => Some(Rejection::Wait(until - now)),
            State::Probing { since, .. } if now < since + LONGEST_PROBE => {
                Some(Rejection::Wait(FIRST_PAUSE))
            }
            _ if self.was_busy == Some(true) => Some(Rejection::Busy),
            _ => None,
        }
    }

    /// Whether a call for this notification may be made now. The caller must report its result.
    ///
    /// # Errors
    /// [`Rejection`]: the call must not be made.
    pub fn admit(&mut self, notification: &NotificationId, now: Instant) -> Result<(), Rejection> {
        if let Some(rejection) = self.rejection(now) {
            return Err(rejection);
        }
        let pause = match &mut self.state {
            State::Closed { .. } => return Ok(()),
            State::Open {
                pause, turned_away, ..
            } => {
                // Only once, because there may be no other notification.
                if self.suspects.contains(notification) && !turned_away.contains(notification) {
                    turned_away.push(notification.clone());
                    return Err(Rejection::OthersFirst);
                }
                *pause
            }
            State::Probing { pause, .. } => *pause,
        };
        self.state = State::Probing { since: now, pause };
        Ok(())
    }

    /// The target accepted or refused a notification, so it works. If the breaker has opened since that call began, the pause
    /// remains: the receiver asked for it later. So does a busy answer, for the batch.
    pub fn succeed(&mut self) {
        if !matches!(self.state, State::Open { .. }) {
            self.state = State::default();
            self.suspects.clear();
        }
    }

    /// A call failed. Several failures of the same notification count once: one that the target cannot process must not stop
    /// the others.
    pub fn fail(&mut self, failure: &Failure<'_>, now: Instant) {
        if let Some(was_busy) = &mut self.was_busy {
            *was_busy |= failure.is_busy;
        }
        // A probe also if it was busy: some receivers limit the calls for one account.
        if !failure.is_busy || matches!(self.state, State::Probing { .. }) {
            self.suspect(failure.notification);
        }
        let asked = failure
            .retry_after
            .map(|asked| asked.min(LONGEST_RETRY_AFTER))
            .unwrap_or_default();
        let pause = match &mut self.state {
            State::Closed { failed } => {
                if !failed.contains(failure.notification) {
                    failed.push(failure.notification.clone());
                }
                if asked.is_zero() && failed.len() < OPENING_FAILURES {
                    return;
                }
                FIRST_PAUSE
            }
            // A call that began before the breaker opened. It can only prolong the pause.
            State::Open { until, .. } => {
                *until = (*until).max(now + asked);
                return;
            }
            State::Probing { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
        };
        self.state = State::Open {
            until: now + pause.max(asked),
            pause,
            turned_away: Vec::new(),
        };
    }

    fn suspect(&mut self, notification: &NotificationId) {
        if self.suspects.contains(notification) {
            return;
        }
        self.suspects.push_back(notification.clone());
        if self.suspects.len() > MAX_SUSPECTS {
            self.suspects.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> NotificationId {
        NotificationId::parse(format!("n{number}")).unwrap()
    }

    fn fail(breaker: &mut Breaker, number: usize, retry_after: Option<u64>, now: Instant) {
        let failure = Failure {
            notification: &id(number),
            is_busy: retry_after.is_some(),
            retry_after: retry_after.map(Duration::from_secs),
        };
        breaker.fail(&failure, now);
    }

    /// Asks for a call of another notification each time.
    fn admit(breaker: &mut Breaker, now: Instant) -> Result<(), Rejection> {
        static NEXT: AtomicUsize = AtomicUsize::new(1_000);
        breaker.admit(&id(NEXT.fetch_add(1, Ordering::Relaxed)), now)
    }

    fn wait(seconds: u64) -> Result<(), Rejection> {
        Err(Rejection::Wait(Duration::from_secs(seconds)))
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for number in 0..OPENING_FAILURES {
            assert_eq!(admit(&mut breaker, now), Ok(()), "{number}");
            fail(&mut breaker, number, None, now);
        }
        breaker
    }

    #[test]
    fn opens_after_failures_of_different_notifications_in_a_row() {
        let now = Instant::now();
        assert_eq!(admit(&mut opened(now), now), wait(1));
        let mut breaker = Breaker::default();
        for number in 0..3 * OPENING_FAILURES {
            fail(&mut breaker, number % (OPENING_FAILURES - 1), None, now);
        }
        assert_eq!(admit(&mut breaker, now), Ok(()), "one is missing");
        breaker.succeed();
        fail(&mut breaker, OPENING_FAILURES, None, now);
        assert_eq!(admit(&mut breaker, now), Ok(()), "a new row");
    }

    #[test]
    fn makes_one_call_after_each_pause_and_doubles_the_pause() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(admit(&mut breaker, now), wait(pause));
            now += Duration::from_secs(pause);
            assert_eq!(admit(&mut breaker, now), Ok(()));
            assert_eq!(admit(&mut breaker, now), wait(1), "a second probe");
            fail(&mut breaker, 0, None, now);
        }
        now += LONGEST_PAUSE;
        assert_eq!(admit(&mut breaker, now), Ok(()));
        breaker.succeed();
        assert_eq!([(); 2].map(|()| admit(&mut breaker, now)), [Ok(()); 2]);
    }

    #[test]
    fn pauses_for_as_long_as_the_receiver_asks() {
        let now = Instant::now();
        for (asked, pause) in [(1, 1), (90, 90), (86_400, 900)] {
            let mut breaker = Breaker::default();
            fail(&mut breaker, 0, Some(asked), now);
            assert_eq!(admit(&mut breaker, now), wait(pause));
            // A later answer to an earlier call does not shorten the pause.
            fail(&mut breaker, 1, Some(0), now);
            fail(&mut breaker, 1, None, now);
            assert_eq!(admit(&mut breaker, now), wait(pause));
        }
    }

    #[test]
    fn a_late_success_does_not_shorten_the_pause() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!([(); 2].map(|()| admit(&mut breaker, now)), [Ok(()); 2]);
        fail(&mut breaker, 0, Some(60), now);
        breaker.succeed();
        assert_eq!(admit(&mut breaker, now), wait(60));
    }

    #[test]
    fn a_notification_that_is_always_busy_does_not_stop_the_others() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for _pause in 0..2 {
            assert_eq!(breaker.admit(&id(0), now), Ok(()));
            fail(&mut breaker, 0, Some(900), now);
            now += LONGEST_RETRY_AFTER;
        }
        assert_eq!(breaker.admit(&id(0), now), Err(Rejection::OthersFirst));
        assert_eq!(breaker.admit(&id(1), now), Ok(()));
        breaker.succeed();
        assert_eq!(breaker.admit(&id(2), now), Ok(()));
    }

    #[test]
    fn a_probe_without_a_result_does_not_stop_calls_for_ever() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        now += FIRST_PAUSE;
        assert_eq!(admit(&mut breaker, now), Ok(()));
        assert_eq!(admit(&mut breaker, now), wait(1));
        assert_eq!(admit(&mut breaker, now + LONGEST_PROBE), Ok(()));
    }

    #[test]
    fn notifications_that_always_fail_do_not_keep_the_breaker_open() {
        let now = Instant::now() + FIRST_PAUSE;
        let mut breaker = opened(now - FIRST_PAUSE);
        for number in 0..OPENING_FAILURES {
            let rejected = breaker.admit(&id(number), now);
            assert_eq!(rejected, Err(Rejection::OthersFirst), "{number}");
        }
        // Without another notification, the first one that is retried finds out.
        assert_eq!(breaker.admit(&id(1), now), Ok(()));
        fail(&mut breaker, 1, None, now);
        let now = now + 2 * FIRST_PAUSE;
        assert_eq!(breaker.admit(&id(1), now), Err(Rejection::OthersFirst));
        assert_eq!(admit(&mut breaker, now), Ok(()));
    }

    #[test]
    fn a_busy_receiver_is_not_the_fault_of_the_notification() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, 0, Some(1), now);
        assert_eq!(breaker.admit(&id(0), now + FIRST_PAUSE), Ok(()));
    }

    #[test]
    fn a_busy_target_is_not_called_again_in_the_batch() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.begin_batch();
        assert_eq!([(); 2].map(|()| admit(&mut breaker, now)), [Ok(()); 2]);
        let busy = |breaker: &mut Breaker, retry_after| {
            let failure = Failure {
                notification: &id(0),
                is_busy: true,
                retry_after,
            };
            breaker.fail(&failure, now);
        };
        busy(&mut breaker, None);
        assert_eq!(admit(&mut breaker, now), Err(Rejection::Busy));
        // The success of a call that began before.
        breaker.succeed();
        assert_eq!(admit(&mut breaker, now), Err(Rejection::Busy));
        breaker.begin_batch();
        assert_eq!(admit(&mut breaker, now), Ok(()));
        busy(&mut breaker, Some(FIRST_PAUSE));
        now += FIRST_PAUSE;
        assert_eq!(
            admit(&mut breaker, now),
            Err(Rejection::Busy),
            "the pause is over"
        );
        breaker.begin_batch();
        assert_eq!(admit(&mut breaker, now), Ok(()));
    }

    #[test]
    fn a_fault_does_not_end_the_calls_of_the_batch() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.begin_batch();
        fail(&mut breaker, 0, None, now);
        assert_eq!(admit(&mut breaker, now), Ok(()));
    }

    #[test]
    fn forgets_the_oldest_suspects() {
        let mut breaker = Breaker::default();
        for number in 0..2 * MAX_SUSPECTS {
            fail(&mut breaker, number, None, Instant::now());
        }
        assert_eq!(breaker.suspects.len(), MAX_SUSPECTS);
        assert_eq!(breaker.suspects[0], id(MAX_SUSPECTS));
    }

    proptest! {
        #[test]
        fn admits_every_notification_after_the_longest_pause(
            steps in proptest::collection::vec((0_u64..100, 0_usize..8, 0_u8..4, 0_u64..2_000), 0..60),
            number in 0_usize..8,
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            for (seconds, number, step, asked) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 => breaker.succeed(),
                    1 => fail(&mut breaker, number, None, now),
                    2 => fail(&mut breaker, number, Some(asked), now),
                    _ => drop(breaker.admit(&id(number), now)),
                }
            }
            now += LONGEST_RETRY_AFTER;
            let admitted = breaker.admit(&id(number), now);
            prop_assert!(admitted != Err(Rejection::Wait(FIRST_PAUSE)));
            prop_assert_eq!(admitted.or_else(|_| breaker.admit(&id(number), now)), Ok(()));
        }

        #[test]
        fn an_open_breaker_has_at_most_one_call_in_flight(
            numbers in proptest::collection::vec(0_usize..8, 1..40),
        ) {
            let now = Instant::now();
            let mut breaker = opened(now);
            let later = now + FIRST_PAUSE;
            let admitted = numbers.iter().filter(|number| breaker.admit(&id(**number), later).is_ok());
            prop_assert!(admitted.count() <= 1);
        }
    }
}
