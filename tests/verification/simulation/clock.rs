//! Virtual time: the time of the world, and the time that the functions' clocks show.
//!
//! It is tokio's paused clock. While functions run, it moves from one timer to the next. Otherwise the world advances it.

use std::cell::Cell;
use std::time::Duration;

use jiff::Timestamp;
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Mixer;
use tokio::time::Instant;

/// The start of virtual time.
pub(crate) const START: Millis = 1_767_225_600_000;

thread_local! {
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    static ERROR: Cell<i64> = const { Cell::new(0) };
    static JITTER: Cell<u64> = const { Cell::new(0) };
}

/// Runs a world on this thread, in virtual time from [`START`].
pub(crate) fn run<T>(seed: u64, world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        begin(seed);
        world.await
    })
}

fn begin(seed: u64) {
    STARTED.set(Some(Instant::now()));
    ERROR.set(0);
    JITTER.set(seed);
}

/// The current time of the world.
pub(crate) fn now() -> Millis {
    let elapsed = STARTED.get().map(|began| began.elapsed().as_millis());
    START + elapsed.map_or(0, |millis| Millis::try_from(millis).unwrap())
}

/// Advances the time while nothing happens.
pub(crate) async fn skip(millis: Millis) {
    tokio::time::advance(Duration::from_millis(millis)).await;
}

/// Sets the error of the functions' clocks, in milliseconds.
pub(crate) fn set_error(millis: i64) {
    ERROR.set(millis);
}

/// The time that the functions' clocks show.
pub(crate) fn wall_clock() -> Timestamp {
    let now = i64::try_from(now()).unwrap();
    Timestamp::from_millisecond(now + ERROR.get()).unwrap()
}

/// The jitter of the functions' retries.
pub(crate) fn jitter() -> f64 {
    let next = Mixer::new(JITTER.get()).next();
    JITTER.set(next);
    (next >> 11) as f64 / (1_u64 << 53) as f64
}
