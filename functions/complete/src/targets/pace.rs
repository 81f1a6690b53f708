//! A limit on the calls per second.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Most groups of calls per second. The timer of tokio has a resolution of a millisecond, so single calls cannot be spread at
/// a higher rate.
const MAX_GROUPS_PER_SECOND: u32 = 100;

/// Spreads calls evenly, so that no second has more of them than the limit.
#[derive(Debug)]
pub struct Pace {
    /// `None` without a limit.
    groups: Option<Groups>,
    /// The times of the last calls, at most one group.
    last: Mutex<VecDeque<Instant>>,
}

/// The limit: any interval of this length has at most this number of calls.
#[derive(Debug)]
struct Groups {
    interval: Duration,
    calls: usize,
}

impl Groups {
    fn new(max_per_second: NonZeroU32) -> Self {
        let max_per_second = max_per_second.get();
        let calls = max_per_second.div_ceil(MAX_GROUPS_PER_SECOND);
        // As many groups as the limit allows. Any second is covered by this number of intervals.
        let groups = u64::from(max_per_second / calls);
        Self {
            interval: Duration::from_nanos(1_000_000_000_u64.div_ceil(groups)),
            calls: calls as usize,
        }
    }
}

impl Pace {
    /// At most this number of calls per second.
    #[must_use]
    pub fn new(max_per_second: Option<NonZeroU32>) -> Self {
        Self {
            groups: max_per_second.map(Groups::new),
            last: Mutex::default(),
        }
    }

    /// Waits until the next call may be made. Calls wait in the order in which they came. One that stops waiting makes no other
    /// one wait longer.
    pub async fn wait(&self) {
        let Some(groups) = &self.groups else {
            return;
        };
        let mut last = self.last.lock().await;
        if last.len() == groups.calls {
            sleep_until(last[0] + groups.interval).await;
            last.pop_front();
        }
        last.push_back(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;

    async fn call(pace: &Pace) -> Instant {
        pace.wait().await;
        Instant::now()
    }

    /// The times of calls that come after these pauses, in milliseconds.
    async fn calls_after(pauses: Vec<u64>, limit: u32) -> Vec<Instant> {
        let pace = Pace::new(NonZeroU32::new(limit));
        let mut time = Instant::now();
        let calls = pauses.into_iter().map(|pause| {
            time += Duration::from_millis(pause);
            let (time, pace) = (time, &pace);
            async move {
                sleep_until(time).await;
                call(pace).await
            }
        });
        let mut calls = join_all(calls).await;
        calls.sort();
        calls
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(future)
    }

    proptest! {
        #[test]
        fn no_second_has_more_calls_than_the_limit(
            limit in 1_u32..300,
            pauses in proptest::collection::vec(0_u64..20, 0..600),
        ) {
            let calls = run(calls_after(pauses, limit));
            for (number, first) in calls.iter().enumerate() {
                if let Some(next) = calls.get(number + limit as usize) {
                    prop_assert!(*next - *first >= Duration::from_secs(1));
                }
            }
        }
    }

    #[test]
    fn the_limit_is_nearly_reached() {
        for (limit, at_least) in [
            (1, 0.9),
            (3, 2.9),
            (100, 90.0),
            (150, 130.0),
            (10_000, 9_000.0),
        ] {
            let calls = run(calls_after(vec![0; 2 * limit as usize], limit));
            let seconds = (calls[calls.len() - 1] - calls[0]).as_secs_f64();
            let rate = (calls.len() - 1) as f64 / seconds;
            assert!(rate > at_least, "{limit}: {rate}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_call_delays_no_other_one() {
        let pace = Pace::new(NonZeroU32::new(1));
        let start = call(&pace).await;
        let abandoned = (0..10).map(|_| timeout(Duration::from_millis(10), pace.wait()));
        assert!(join_all(abandoned).await.iter().all(Result::is_err));
        // The timer of tokio has a resolution of a millisecond.
        let waited = call(&pace).await - start;
        assert!(waited < Duration::from_millis(1_002), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_no_call_waits() {
        let (pace, start) = (Pace::new(None), Instant::now());
        join_all((0..100).map(|_| pace.wait())).await;
        assert_eq!(Instant::now(), start);
    }
}
