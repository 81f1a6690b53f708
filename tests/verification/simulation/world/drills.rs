//! What a world checks after its faults have stopped: Kinesis is slow, or one receiver is busy, and nothing else fails.

use std::time::Duration;

use onewrite_event_sources::Millis;
use onewrite_testing::SlowPath;

use super::World;
use crate::clock;
use crate::invariants::{CheckResult, violated};
use crate::messages::{Message, Size};
use crate::settings::{DEPLOYED_TIMEOUT, STREAM_FUNCTION_TIMEOUT};

/// One event of a small payload passes in a call, two do not.
const SLOW_PATH: SlowPath = SlowPath {
    latency: Duration::from_millis(500),
    bytes_per_second: 125,
};
/// The number of notifications that are sent while Kinesis is slow.
const SLOW_NOTIFICATIONS: usize = 16;
/// Time for their events, of which each call publishes one.
const MAX_SLOW_TIME: Millis = 30 * 60_000;
/// The most copies of an event while Kinesis is slow. A call of 32 events is halved five times. Later, some calls are larger again.
const MAX_COPIES: usize = 12;
/// The number of notifications that are sent while a receiver is busy, and for how long it is.
const HELD_NOTIFICATIONS: usize = 12;
const HOLD_TIME: Millis = 60_000;

impl World {
    /// Runs the drill of this world, if it has one. They take much virtual time, so most worlds have none.
    pub(super) async fn run_drill(&mut self) -> CheckResult {
        match self.plan.seed % 16 {
            1 if self.sources[0].mapping.maximum_retry_attempts.is_none() => {
                self.check_slow_kinesis().await
            }
            2 if self.parts.has_receivers => self.check_busy_receiver().await,
            _ => Ok(()),
        }
    }

    /// Checks that all events are published while Kinesis is so slow that only small calls pass, and that few copies of them are.
    async fn check_slow_kinesis(&mut self) -> CheckResult {
        self.note(None, || "Kinesis is slow".to_owned());
        self.parts.deploy();
        self.fault_plan.set_slow(Some(SLOW_PATH));
        self.stream_function_timeout = DEPLOYED_TIMEOUT;
        let ids: Vec<String> = (0..SLOW_NOTIFICATIONS)
            .map(|number| format!("slow{number}"))
            .collect();
        for id in &ids {
            self.send(Message::fresh(id, Size::Small));
        }
        self.drain_within(MAX_SLOW_TIME).await?;
        self.invariants.check_copies(&ids, MAX_COPIES)?;
        self.fault_plan.set_slow(None);
        self.stream_function_timeout = STREAM_FUNCTION_TIMEOUT;
        Ok(())
    }

    /// Checks that the notifications of other receivers are settled while one receiver is busy.
    async fn check_busy_receiver(&mut self) -> CheckResult {
        self.parts.deploy();
        let id = |number| format!("held{number}");
        let held = usize::from(self.mixer.one_in(2));
        self.note(None, || format!("the receiver of {} is busy", id(held)));
        self.parts.receivers.hold_for(&id(held));
        for number in 0..HELD_NOTIFICATIONS {
            self.send(Message::fresh(&id(number), Size::Small));
        }
        self.advance(clock::now() + HOLD_TIME).await?;
        self.parts.receivers.release();
        self.reconcile().await?;
        self.invariants
            .check_final_state(&self.queue, &self.parts.table)
    }

    /// Checks that an invocation of `complete` has settled all notifications of its batch whose receivers work, if one receiver is
    /// busy and nothing else fails.
    pub(crate) fn check_isolation(&self, which: usize, numbers: &[String]) -> CheckResult {
        if which == 0 {
            return Ok(());
        }
        let mut unsettled = self.invariants.unsettled(numbers);
        let receivers = &self.parts.receivers;
        match unsettled.find(|id| receivers.work_for(id)) {
            Some(id) => violated(
                "Isolation",
                id,
                "not settled, although only another receiver is busy",
            ),
            None => Ok(()),
        }
    }
}
