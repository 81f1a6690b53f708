//! The double write beside a local stack: the design that most teams write first, on copies of the same messages and with the same
//! faults.
//!
//! Its handler does this for each message, as [`machine`] describes in detail:
//!
//! 1. Read the item. If it exists, somebody has handled the notification: acknowledge.
//! 2. Write the item with the status INIT.
//! 3. Send the notification downstream.
//! 4. Write DONE, and acknowledge.
//!
//! It has what onewrite has: the same queue with its visibility timeout and receives, as many concurrent batches of up to ten messages,
//! partial batch responses, and clients that try each call as often. A batch is handled one message after another, so a killed process
//! loses one notification at most. Its receiver books every message that it is sent. It cannot recognise a copy, because each
//! send gets a new id from the service, as with SQS, SNS and Kinesis.
//!
//! So its losses and repetitions follow from two writes without a transaction, and not from a bug:
//!
//! | fault | result |
//! | --- | --- |
//! | killed before INIT is written | once: the message is received again |
//! | killed after INIT is written | lost: the item exists, so the next receive acknowledges |
//! | the response to the send is lost | twice: the client sends again |
//! | the send fails | once, unless all attempts of the client fail: then it is lost |
//! | killed after the send, before DONE | once: the item stays in INIT, and the next receive acknowledges |
//! | the table throttles | once: the client writes again |
//! | copies at the same time | several times: each reads that there is no item |
//!
//! Two changes would help, and each has its price. If it sent again whenever the item is in INIT ([`Settings::resends`]), nothing would
//! be lost, and more would be sent twice. If its receiver checked the notification id of each message, no copy would have an effect. Both together,
//! with something that finds items that are stuck, is what onewrite is.

pub(crate) mod machine;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onewrite_console::lab::Ledger;
use onewrite_event_sources::Millis;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use machine::Machine;
pub use machine::Settings;

use super::switches::Switches;
use crate::sample::Sample;

/// A running double write. It ends when it is dropped.
pub struct DoubleWrite {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    machine: Mutex<Machine>,
    changed: Notify,
    started: Instant,
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    async fn run(&self) {
        loop {
            let (now, wakeup) = {
                let mut machine = self.machine();
                machine.advance(self.now());
                (self.now(), machine.next_wakeup())
            };
            let changed = self.changed.notified();
            match wakeup {
                Some(at) => {
                    let wait = Duration::from_millis(at.saturating_sub(now));
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                None => changed.await,
            }
        }
    }
}

impl fmt::Debug for DoubleWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoubleWrite")
    }
}

impl Drop for DoubleWrite {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DoubleWrite {
    /// Starts it, with the same switches as those of the stack.
    #[must_use]
    pub fn start(settings: Settings, switches: Switches) -> Self {
        let shared = Arc::new(Shared {
            machine: Mutex::new(Machine::new(settings, switches)),
            changed: Notify::new(),
            started: Instant::now(),
        });
        let running = Arc::clone(&shared);
        let task = tokio::spawn(async move { running.run().await });
        Self { shared, task }
    }

    /// Puts copies of messages into its queue.
    pub fn send(&self, messages: &[Sample]) {
        let now = self.shared.now();
        self.shared.machine().send(now, messages);
        self.shared.changed.notify_one();
    }

    /// Follows a change of the stack's queue: the visibility timeout in milliseconds, and the receives.
    pub fn configure(&self, visibility: Millis, max_receives: u32) {
        self.shared.machine().configure(visibility, max_receives);
    }

    /// Stops receiving, or goes on.
    pub fn pause(&self, is_paused: bool) {
        self.shared.machine().pause(is_paused);
        self.shared.changed.notify_one();
    }

    /// What became of the notifications.
    #[must_use]
    pub fn comparison(&self) -> Ledger {
        self.shared.machine().ledger()
    }
}

#[cfg(test)]
mod tests;
