//! Runs a poller: carries out its actions side by side, hands their results back in, and wakes it when it asks.
//!
//! Knows nothing of any service: what an action means is the performer's.

use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use onewrite_event_sources::Millis;
use tokio::sync::{mpsc, watch};

/// A poller as a pure state machine.
pub(super) trait Poller: Send + 'static {
    type Input: Send + 'static;
    type Action: Send + 'static;

    fn handle(&mut self, now: Millis, input: Self::Input) -> Vec<Self::Action>;
    fn next_wakeup(&self) -> Option<Millis>;
    fn wake() -> Self::Input;
    fn status(&self) -> Status;
}

/// What carries a poller's actions out.
pub(super) trait Performer<P: Poller>: Send + 'static {
    /// Starts an action; its future ends with the input that answers it. None where no answer is wanted.
    fn perform(&mut self, action: P::Action) -> Option<BoxFuture<'static, P::Input>>;
}

/// How much a mapping has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Records or messages that were read and are not yet done with.
    pub held: usize,
    /// Invocations that run.
    pub invocations: usize,
}

impl Status {
    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.held == 0 && self.invocations == 0
    }
}

/// Milliseconds since 1970 that never go backwards, whatever is done to the machine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    epoch: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        let epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            epoch,
        }
    }

    pub(super) fn now(&self) -> Millis {
        Millis::try_from((self.epoch + self.started.elapsed()).as_millis()).unwrap_or(Millis::MAX)
    }
}

/// Runs `poller` until `commands` is closed.
pub(super) async fn drive<P: Poller, D: Performer<P>>(
    mut poller: P,
    mut performer: D,
    mut commands: mpsc::UnboundedReceiver<P::Input>,
    status: watch::Sender<Status>,
) {
    let clock = Clock::start();
    let mut under_way: FuturesUnordered<BoxFuture<'static, P::Input>> = FuturesUnordered::new();
    loop {
        let wait = poller
            .next_wakeup()
            .map(|at| Duration::from_millis(at.saturating_sub(clock.now())));
        let input = tokio::select! {
            command = commands.recv() => match command {
                Some(input) => input,
                None => return,
            },
            Some(input) = under_way.next() => input,
            () = sleep(wait) => P::wake(),
        };
        let actions = poller.handle(clock.now(), input);
        under_way.extend(
            actions
                .into_iter()
                .filter_map(|action| performer.perform(action)),
        );
        status.send_replace(poller.status());
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
