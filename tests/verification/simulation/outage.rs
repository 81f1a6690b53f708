//! An outage of the table of three hours, without any other fault and without an operator.

use std::time::Duration;

use onewrite::deferral::{OUTAGE, Waits};
use onewrite_event_sources::{Millis, choices::Choices};

use crate::clock;
use crate::fault_plan::FaultKind;
use crate::invariants::{CheckResult, Violation};
use crate::messages::{Message, Size};
use crate::plan::Plan;
use crate::world::World;

const MINUTE: Millis = 60_000;
/// The notifications that are sent during the outage. Those of one FIFO group follow each other.
const NOTIFICATIONS: u64 = 24;
const GROUPS: u64 = 8;

/// The result of an outage.
pub(crate) struct Outage {
    pub(crate) is_fifo: bool,
    pub(crate) dead_letters: usize,
    /// Notifications that are in the table at the end.
    pub(crate) stored: usize,
}

/// The seeds of worlds in which no delete fails. One that fails after the last receive dead-letters a stored message.
pub(crate) fn seeds() -> impl Iterator<Item = u64> {
    (0..).filter(|seed| Choices::from_seed(*seed).delete_fails_one_in == 0)
}

/// Runs the world of a seed through an outage. If the queue cannot be reached either, no message is deferred.
pub(crate) fn run(seed: u64, is_queue_reachable: bool) -> Result<Outage, Violation> {
    clock::run(seed, async {
        let plan = Plan {
            without: FaultKind::ALL.to_vec(),
            ..Plan::from_seed(seed)
        };
        let mut world = World::new(&plan, None, false);
        world.parts.deferrals.use_whole_waits();
        if !is_queue_reachable {
            world.parts.deferrals.make_unreachable();
        }
        world.outage().await?;
        Ok(Outage {
            is_fifo: world.fifo,
            dead_letters: world.queue.dead_letter_queue().unwrap().len(),
            stored: world.parts.table.items().len(),
        })
    })
}

impl World {
    async fn outage(&mut self) -> CheckResult {
        self.fault_plan.begin_outage();
        self.enable_all()?;
        self.send(Message::malformed(0, "malformed", 1));
        for place in 0..NOTIFICATIONS {
            let mut message = Message::fresh(&format!("n{place}"), Size::Small);
            message.group = format!("g{}", place % GROUPS);
            self.send(message);
            let is_at_the_start = place < NOTIFICATIONS / 2;
            let pause = if is_at_the_start { 0 } else { 10 * MINUTE };
            self.advance(clock::now() + pause).await?;
        }
        let millis = |time: Duration| Millis::try_from(time.as_millis()).unwrap();
        self.advance(clock::START + millis(OUTAGE)).await?;
        self.fault_plan.end_outage();
        let longest = millis(Waits::default().longest());
        self.drain_within(longest + 10 * MINUTE).await?;
        self.invariants
            .check_final_state(&self.queue, &self.parts.table)
    }
}

/// The number of notifications of an outage.
pub(crate) fn notifications() -> usize {
    usize::try_from(NOTIFICATIONS).unwrap()
}
