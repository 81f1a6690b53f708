//! An outage of the table of three hours, without any other fault and without an operator.

use onewrite::deferral::MAX_WAIT;
use onewrite_event_sources::Millis;

use crate::clock;
use crate::fault_plan::FaultKind;
use crate::invariants::{CheckResult, Violation};
use crate::messages::Message;
use crate::plan::Plan;
use crate::world::World;

const HOUR: Millis = 3_600_000;
/// The longest known outage of DynamoDB took nearly three hours.
const OUTAGE: Millis = 3 * HOUR;
/// The notifications that are sent during the outage. Those of one FIFO group follow each other.
const NOTIFICATIONS: u64 = 24;
const GROUPS: u64 = 8;

/// The result of an outage.
pub(crate) struct Outage {
    pub(crate) is_fifo: bool,
    /// The bodies of the dead letters.
    pub(crate) dead: Vec<String>,
    /// Notifications that are in the table at the end.
    pub(crate) stored: usize,
}

/// Runs the world of a seed through an outage. If the queue cannot be reached either, no message is deferred.
pub(crate) fn run(seed: u64, is_queue_reachable: bool) -> Result<Outage, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        clock::begin(seed);
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
        let table = &world.parts.table;
        let dead = world.queue.dead_letter_queue_mut().unwrap();
        let now = clock::now();
        let dead = std::iter::from_fn(|| dead.receive(now, 10).pop().map(|message| message.body));
        Ok(Outage {
            is_fifo: world.fifo,
            dead: dead.collect(),
            stored: table.items().len(),
        })
    })
}

impl World {
    async fn outage(&mut self) -> CheckResult {
        self.fault_plan.begin_outage();
        self.enable_all()?;
        self.send(Message::malformed(0, "malformed", 1));
        for place in 0..NOTIFICATIONS {
            let mut message = Message::fresh(&format!("n{place}"));
            message.group = format!("g{}", place % GROUPS);
            self.send(message);
            let is_at_the_start = place < NOTIFICATIONS / 2;
            let pause = if is_at_the_start { 0 } else { HOUR / 8 };
            self.advance(clock::now() + pause).await?;
        }
        self.advance(clock::START + OUTAGE).await?;
        self.fault_plan.end_outage();
        // The messages of a group that waited behind their head come after it.
        let longest = u64::try_from(MAX_WAIT.as_millis()).unwrap() + HOUR / 2;
        self.drain_within(longest).await?;
        self.invariants
            .check_final_state(&self.queue, &self.parts.table)
    }
}

/// The number of notifications of an outage.
pub(crate) fn notifications() -> usize {
    usize::try_from(NOTIFICATIONS).unwrap()
}
