//! Runs a poller: executes its actions concurrently, passes their results back, and wakes it at the time it asks for.
//!
//! This module knows no AWS service. The executor implements the actions.

use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use onewrite_event_sources::Millis;
use tokio::sync::{mpsc, watch};

/// A poller as a state machine without I/O.
pub(super) trait Poller: Send + 'static {
    type Input: Send + 'static;
    type Action: Send + 'static;

    fn handle(&mut self, now: Millis, input: Self::Input) -> Vec<Self::Action>;
    fn next_wakeup(&self) -> Option<Millis>;
    fn wake() -> Self::Input;
    /// Whether no record, message or invocation is in flight.
    fn is_idle(&self) -> bool;
}

/// Executes the actions of a poller.
pub(super) trait Executor<P: Poller>: Send + 'static {
    /// Starts an action. The future resolves to the poller's next input; `None` if the action has no result.
    fn execute(&mut self, action: P::Action) -> Option<BoxFuture<'static, P::Input>>;
}

/// A monotonic clock in milliseconds since 1970, unaffected by changes to the system time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: Instant,
    epoch: Duration,
}

impl Clock {
    fn new() -> Self {
        let epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            epoch,
        }
    }

    fn now(&self) -> Millis {
        Millis::try_from((self.epoch + self.started.elapsed()).as_millis()).unwrap_or(Millis::MAX)
    }
}

/// Runs `poller` until `commands` is closed.
pub(super) async fn run<P: Poller, E: Executor<P>>(
    mut poller: P,
    mut executor: E,
    mut commands: mpsc::UnboundedReceiver<P::Input>,
    is_idle: watch::Sender<bool>,
) {
    let clock = Clock::new();
    let mut running: FuturesUnordered<BoxFuture<'static, P::Input>> = FuturesUnordered::new();
    loop {
        let wait = poller
            .next_wakeup()
            .map(|at| Duration::from_millis(at.saturating_sub(clock.now())));
        let input = tokio::select! {
            command = commands.recv() => match command {
                Some(input) => input,
                None => return,
            },
            Some(input) = running.next() => input,
            () = sleep(wait) => P::wake(),
        };
        let actions = poller.handle(clock.now(), input);
        running.extend(
            actions
                .into_iter()
                .filter_map(|action| executor.execute(action)),
        );
        is_idle.send_replace(poller.is_idle());
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
