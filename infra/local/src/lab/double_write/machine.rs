//! The double write as a state machine with a queue, a table and a ledger. Without I/O and without a clock.
//!
//! A batch is handled one message after another. Each call arrives at its service 2 to 5 ms after it was made, and its response takes
//! as long; the seed draws the times. So copies in batches that start together all read before the first of them writes, as they do
//! with real services.
//!
//! Where a fault leaves two outcomes open, this takes the one that is better for the double write: reads are never throttled, and a
//! send that fails was not booked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use onewrite::limits::MAX_ATTEMPTS;
use onewrite_console::lab::{Fault, Ledger};
use onewrite_console::view::Count;
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::Mixer;

use crate::lab::switches::{Design, Place, Switches};
use crate::oracle::Meaning;
use crate::sample::Sample;

/// Messages of a batch, as the template's mapping has it.
const BATCH: usize = 10;

/// Lost and repeated notifications that are named, of each kind.
const EXAMPLES: usize = 5;

/// What the double write has in common with the stack beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub seed: u64,
    /// Whether the queue is a FIFO queue, whose message group is the notification id.
    pub is_fifo: bool,
    /// The visibility timeout of the queue, in milliseconds.
    pub visibility: Millis,
    /// Receives before a message moves to the dead-letter queue.
    pub max_receives: u32,
    /// Concurrent invocations of its function.
    pub concurrency: usize,
    /// Whether it sends again if the item is in INIT. Then it loses nothing, and repeats more.
    pub resends: bool,
}

impl Default for Settings {
    /// The values of a local stack.
    fn default() -> Self {
        Self {
            seed: 0,
            is_fifo: false,
            visibility: 6_000,
            max_receives: 6,
            concurrency: 5,
            resends: false,
        }
    }
}

#[derive(Debug)]
struct Queued {
    /// The notification; `None` for a malformed message.
    id: Option<String>,
    content: String,
    receives: u32,
    visible_at: Millis,
}

/// What happened to a notification, beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Incident {
    /// A fault of one of its calls.
    Fault(Fault),
    /// A copy was received, and acknowledged because the item existed.
    Skipped,
    /// Read that there is no item while a copy was being handled.
    Raced,
    /// All attempts of the send failed.
    SendFailed,
}

/// What is known of a notification.
#[derive(Debug, Default)]
struct Known {
    /// Messages in the queue.
    open: u32,
    is_dead_lettered: bool,
    effects: u32,
    /// Distinct messages that have read that there is no item, and went on.
    handled: BTreeSet<u64>,
    incidents: BTreeSet<Incident>,
}

#[derive(Debug)]
struct Item {
    content: String,
    is_done: bool,
}

/// A call of one message's handler arrives at its service.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    invocation: u64,
    message: u64,
    step: Step,
    attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Read,
    WriteInit,
    Send,
    WriteDone,
}

/// A batch that is being handled.
#[derive(Debug, Default)]
struct Invocation {
    waiting: VecDeque<u64>,
    acknowledged: Vec<u64>,
    failed: Vec<u64>,
}

/// The state of the double write.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: Settings,
    switches: Switches,
    mixer: Mixer,
    next_number: u64,
    is_paused: bool,
    queue: BTreeMap<u64, Queued>,
    /// The messages that can be received, by the time from which on.
    receivable: BTreeSet<(Millis, u64)>,
    /// The messages of each group of a FIFO queue. Only the first one can be received.
    groups: BTreeMap<String, VecDeque<u64>>,
    table: BTreeMap<String, Item>,
    known: BTreeMap<String, Known>,
    /// By time and number.
    arrivals: BTreeMap<(Millis, u64), Arrival>,
    invocations: BTreeMap<u64, Invocation>,
    /// Malformed messages that the dead-letter queue has.
    rejected: u64,
    /// Messages with other content for an existing item, which were acknowledged like duplicates.
    conflicts_dropped: u64,
}

impl Machine {
    pub(crate) fn new(settings: Settings, switches: Switches) -> Self {
        Self {
            settings,
            switches,
            mixer: Mixer::new(settings.seed),
            next_number: 0,
            is_paused: false,
            queue: BTreeMap::new(),
            receivable: BTreeSet::new(),
            groups: BTreeMap::new(),
            table: BTreeMap::new(),
            known: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            invocations: BTreeMap::new(),
            rejected: 0,
            conflicts_dropped: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The time that a request or a response takes.
    fn travel(&mut self) -> Millis {
        2 + self.mixer.next() % 4
    }

    /// Puts messages into the queue.
    pub(crate) fn send(&mut self, now: Millis, messages: &[Sample]) {
        for message in messages {
            let (id, content) = match &message.meaning {
                Meaning::Valid { id, content, .. } => (Some(id.clone()), content.clone()),
                Meaning::Malformed => (None, String::new()),
            };
            let number = self.number();
            let mut is_first = true;
            if let Some(id) = &id {
                self.known.entry(id.clone()).or_default().open += 1;
                if self.settings.is_fifo {
                    let group = self.groups.entry(id.clone()).or_default();
                    is_first = group.is_empty();
                    group.push_back(number);
                }
            }
            let queued = Queued {
                id,
                content,
                receives: 0,
                visible_at: now,
            };
            self.queue.insert(number, queued);
            if is_first {
                self.receivable.insert((now, number));
            }
        }
    }

    /// Follows a change of its queue.
    pub(crate) fn configure(&mut self, visibility: Millis, max_receives: u32) {
        (self.settings.visibility, self.settings.max_receives) = (visibility, max_receives);
    }

    pub(crate) fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Does everything that happens until `now`.
    pub(crate) fn advance(&mut self, now: Millis) {
        while let Some(at) = self.next_wakeup().filter(|at| *at <= now) {
            self.receive(at);
            while let Some(entry) = self
                .arrivals
                .first_entry()
                .filter(|entry| entry.key().0 <= at)
            {
                let arrival = entry.remove();
                self.arrive(at, arrival);
            }
        }
    }

    /// Does everything that is left. Virtual time makes no one wait.
    pub(crate) fn run_to_end(&mut self) {
        while let Some(at) = self.next_wakeup() {
            self.advance(at);
        }
    }

    /// When something happens next; `None` if nothing does until the next message.
    pub(crate) fn next_wakeup(&self) -> Option<Millis> {
        let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let can_receive = !self.is_paused && self.invocations.len() < self.settings.concurrency;
        let receivable = self.receivable.first().filter(|_| can_receive);
        let receive = receivable.map(|(at, _)| *at);
        arrival.into_iter().chain(receive).min()
    }

    /// Starts invocations for the visible messages. Pollers that wait at the same time share them.
    fn receive(&mut self, now: Millis) {
        let idle = self
            .settings
            .concurrency
            .saturating_sub(self.invocations.len());
        if self.is_paused || idle == 0 {
            return;
        }
        let visible = self.receivable.range(..=(now, u64::MAX));
        let visible: Vec<(Millis, u64)> = visible.take(idle * BATCH).copied().collect();
        for poller in 0..idle.min(visible.len()) {
            let batch = visible.iter().skip(poller).step_by(idle);
            self.invoke(now, batch.copied());
        }
    }

    fn invoke(&mut self, now: Millis, batch: impl Iterator<Item = (Millis, u64)>) {
        let mut state = Invocation::default();
        for (visible_at, number) in batch {
            self.receivable.remove(&(visible_at, number));
            let Some(queued) = self.queue.get_mut(&number) else {
                continue;
            };
            if queued.receives >= self.settings.max_receives {
                self.dead_letter(number);
                continue;
            }
            queued.receives += 1;
            queued.visible_at = now + self.settings.visibility;
            if queued.id.is_some() {
                state.waiting.push_back(number);
            } else {
                state.failed.push(number);
            }
        }
        let invocation = self.number();
        self.invocations.insert(invocation, state);
        self.handle_next(now, invocation);
    }

    /// Handles the next message of a batch, or ends its invocation.
    fn handle_next(&mut self, now: Millis, invocation: u64) {
        let waiting = self.invocations.get_mut(&invocation);
        let next = waiting.and_then(|state| state.waiting.front().copied());
        let Some(message) = next else {
            return self.end(invocation);
        };
        let arrival = Arrival {
            invocation,
            message,
            step: Step::Read,
            attempt: 1,
        };
        let at = now + self.travel();
        self.schedule(at, arrival);
    }

    fn dead_letter(&mut self, number: u64) {
        match self.delete(number) {
            Some(id) => self.known.entry(id).or_default().is_dead_lettered = true,
            None => self.rejected += 1,
        }
    }

    /// Removes a message from the queue. Returns its notification.
    fn delete(&mut self, number: u64) -> Option<String> {
        let id = self.queue.remove(&number)?.id?;
        self.known.entry(id.clone()).or_default().open -= 1;
        if let Some(group) = self.groups.get_mut(&id) {
            group.pop_front();
            match group.front().copied() {
                Some(next) => self.show(next),
                None => drop(self.groups.remove(&id)),
            }
        }
        Some(id)
    }

    fn schedule(&mut self, at: Millis, arrival: Arrival) {
        let number = self.number();
        self.arrivals.insert((at, number), arrival);
    }

    /// The next call of a message's handler arrives after the response to this one.
    fn go_on(&mut self, now: Millis, arrival: Arrival, step: Step) {
        let next = Arrival {
            step,
            attempt: 1,
            ..arrival
        };
        let at = now + self.travel() + self.travel();
        self.schedule(at, next);
    }

    /// The client tries a call again, with exponential back-off. Afterwards the message fails.
    fn retry(&mut self, now: Millis, arrival: Arrival) {
        if arrival.attempt >= MAX_ATTEMPTS {
            if arrival.step == Step::Send {
                self.note(arrival.message, Incident::SendFailed);
            }
            return self.finish(now, arrival, false);
        }
        let next = Arrival {
            attempt: arrival.attempt + 1,
            ..arrival
        };
        let back_off = self.mixer.next() % (50 << arrival.attempt);
        let at = now + back_off + self.travel();
        self.schedule(at, next);
    }

    fn arrive(&mut self, now: Millis, arrival: Arrival) {
        let Some(queued) = self.queue.get(&arrival.message) else {
            return;
        };
        let (Some(id), content) = (queued.id.clone(), queued.content.clone()) else {
            return;
        };
        match arrival.step {
            Step::Read => self.read(now, arrival, &id, &content),
            Step::WriteInit => self.write_init(now, arrival, id, content),
            Step::Send => self.send_downstream(now, arrival, id),
            Step::WriteDone => self.write_done(now, arrival, &id),
        }
    }

    fn read(&mut self, now: Millis, arrival: Arrival, id: &str, content: &str) {
        let known = self.known.entry(id.to_owned()).or_default();
        if let Some(item) = self.table.get(id) {
            if item.content != content {
                self.conflicts_dropped += 1;
            } else if self.settings.resends && !item.is_done {
                return self.go_on(now, arrival, Step::Send);
            }
            known.incidents.insert(Incident::Skipped);
            return self.finish(now, arrival, true);
        }
        known.handled.insert(arrival.message);
        if known.handled.len() > 1 {
            known.incidents.insert(Incident::Raced);
        }
        self.go_on(now, arrival, Step::WriteInit);
    }

    fn write_init(&mut self, now: Millis, arrival: Arrival, id: String, content: String) {
        let fault = self.fault(arrival, Place::Store);
        match fault {
            Some(Fault::KillIngestBeforeWrite) => return self.kill(arrival),
            Some(Fault::ThrottleTable) => return self.retry(now, arrival),
            _ => {}
        }
        let item = Item {
            content,
            is_done: false,
        };
        self.table.insert(id, item);
        match fault {
            Some(Fault::KillIngestAfterWrite) => self.kill(arrival),
            _ => self.go_on(now, arrival, Step::Send),
        }
    }

    fn send_downstream(&mut self, now: Millis, arrival: Arrival, id: String) {
        let fault = self.fault(arrival, Place::Send);
        if fault == Some(Fault::FailEntries) {
            return self.retry(now, arrival);
        }
        self.known.entry(id).or_default().effects += 1;
        match fault {
            Some(Fault::CutKinesis) => self.retry(now, arrival),
            _ => self.go_on(now, arrival, Step::WriteDone),
        }
    }

    fn write_done(&mut self, now: Millis, arrival: Arrival, id: &str) {
        match self.fault(arrival, Place::Settle) {
            Some(Fault::KillCompleteAfterEffect) => return self.kill(arrival),
            Some(Fault::ThrottleTable) => return self.retry(now, arrival),
            _ => {}
        }
        if let Some(item) = self.table.get_mut(id) {
            item.is_done = true;
        }
        self.finish(now, arrival, true);
    }

    fn fault(&mut self, arrival: Arrival, place: Place) -> Option<Fault> {
        let fault = self.switches.at(Design::DoubleWrite, place)?;
        self.note(arrival.message, Incident::Fault(fault));
        Some(fault)
    }

    fn note(&mut self, message: u64, incident: Incident) {
        let id = self
            .queue
            .get(&message)
            .and_then(|queued| queued.id.as_ref());
        if let Some(known) = id.and_then(|id| self.known.get_mut(id)) {
            known.incidents.insert(incident);
        }
    }

    /// The process ends: no message of its batch is acknowledged.
    fn kill(&mut self, arrival: Arrival) {
        let Some(killed) = self.invocations.remove(&arrival.invocation) else {
            return;
        };
        let Invocation {
            waiting,
            acknowledged,
            failed,
        } = killed;
        for number in waiting.into_iter().chain(acknowledged).chain(failed) {
            self.show(number);
        }
    }

    /// The message can be received again after its visibility timeout.
    fn show(&mut self, number: u64) {
        if let Some(queued) = self.queue.get(&number) {
            self.receivable.insert((queued.visible_at, number));
        }
    }

    fn finish(&mut self, now: Millis, arrival: Arrival, is_acknowledged: bool) {
        if let Some(state) = self.invocations.get_mut(&arrival.invocation) {
            state.waiting.pop_front();
            let finished = if is_acknowledged {
                &mut state.acknowledged
            } else {
                &mut state.failed
            };
            finished.push(arrival.message);
        }
        let at = now + self.travel();
        self.handle_next(at, arrival.invocation);
    }

    /// At the end of an invocation, the queue deletes the acknowledged messages.
    fn end(&mut self, invocation: u64) {
        let Some(state) = self.invocations.remove(&invocation) else {
            return;
        };
        for number in state.acknowledged {
            self.delete(number);
        }
        for number in state.failed {
            self.show(number);
        }
    }

    /// Effects by notification, and what is lost or on its way.
    pub(crate) fn ledger(&self) -> Ledger {
        let (mut ledger, mut lost, mut repeated) = (Ledger::default(), Vec::new(), Vec::new());
        for (id, known) in &self.known {
            ledger.effects.0 += u64::from(known.effects);
            match known.effects {
                0 if known.is_lost() => lost.push(id),
                0 => ledger.pending.0 += 1,
                1 => {}
                _ => repeated.push(id),
            }
        }
        (ledger.lost, ledger.repeated) = (count(lost.len()), count(repeated.len()));
        let named = |ids: Vec<&String>| ids.into_iter().take(EXAMPLES).cloned().collect::<Vec<_>>();
        ledger.examples = named(lost);
        ledger.examples.extend(named(repeated));
        ledger
    }

    /// The effects and incidents of each notification that is lost or was repeated.
    pub(crate) fn casualties(&self) -> impl Iterator<Item = (&String, u32, &BTreeSet<Incident>)> {
        let hurt = |known: &Known| known.is_lost() || known.effects > 1;
        let known = self.known.iter().filter(move |(_, known)| hurt(known));
        known.map(|(id, known)| (id, known.effects, &known.incidents))
    }

    /// Messages with other content for an existing item, which were acknowledged like duplicates.
    pub(crate) fn conflicts_dropped(&self) -> u64 {
        self.conflicts_dropped
    }

    /// How often each fault has happened.
    pub(crate) fn happened(&self, design: Design) -> BTreeMap<Fault, u32> {
        self.switches.happened(design)
    }

    /// Malformed messages in the dead-letter queue.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Items that stay in INIT although nothing handles them any more.
    pub(crate) fn stuck(&self) -> usize {
        let is_settled = |id: &String| self.known.get(id).is_none_or(|known| known.open == 0);
        let open = self.table.iter().filter(|(_, item)| !item.is_done);
        open.filter(|(id, _)| is_settled(id)).count()
    }
}

impl Known {
    fn is_lost(&self) -> bool {
        self.effects == 0 && self.open == 0 && !self.is_dead_lettered
    }
}

fn count(number: usize) -> Count {
    Count(number as u64)
}
