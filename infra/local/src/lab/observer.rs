//! Passes what the pollers see to the tally.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use onewrite_event_sources::Millis;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::mapping::StreamKind;
use onewrite_event_sources::message::Message;
use onewrite_event_sources::stream::StreamRecord;
use onewrite_stack::dead_letter::{MessageBody, MessageRules};
use onewrite_stack::outputs::StackOutputs;

use super::change::Change;
use super::series::Event;
use super::tally::{QueueRules, Tally};
use crate::event_sources::Observer;

/// Counts what the pollers of a stack see.
#[derive(Debug)]
pub struct StackObserver {
    tally: Mutex<Tally>,
    settings: Mutex<Settings>,
    clock: fn() -> Millis,
}

/// What is known once the stack is deployed.
#[derive(Debug, Default)]
struct Settings {
    rules: MessageRules,
    /// The deployed names.
    forward: String,
    complete: String,
}

impl Default for StackObserver {
    fn default() -> Self {
        Self::with_clock(now)
    }
}

impl StackObserver {
    pub(super) fn with_clock(clock: fn() -> Millis) -> Self {
        Self {
            tally: Mutex::default(),
            settings: Mutex::default(),
            clock,
        }
    }

    /// Sets what decides about messages, before the event sources start and after each deployment.
    pub(super) fn configure(&self, outputs: &StackOutputs, rules: MessageRules, queue: QueueRules) {
        let mut settings = self.settings();
        settings.rules = rules;
        settings.forward.clone_from(&outputs.forward);
        settings.complete.clone_from(&outputs.complete);
        self.tally().queue = queue;
    }

    /// The rules by which `ingest` accepts a message.
    pub(super) fn rules(&self) -> MessageRules {
        self.settings().rules.clone()
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Millis {
        (self.clock)()
    }

    fn event(&self, function: &str) -> Event {
        let settings = self.settings();
        match function {
            name if name == settings.forward => Event::Forwarded,
            name if name == settings.complete => Event::Completed,
            _ => Event::Ingested,
        }
    }
}

/// The name in the log of the function that handles this.
fn name(event: Event) -> &'static str {
    match event {
        Event::Forwarded => "forward",
        Event::Completed => "complete",
        _ => "ingest",
    }
}

/// Milliseconds since 1970.
fn now() -> Millis {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| {
        Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX)
    })
}

impl Observer for StackObserver {
    fn received(&self, messages: &[Message]) {
        if messages.is_empty() {
            return;
        }
        let rules = self.rules();
        for message in messages {
            let id = &message.message_id;
            let is_known = self.tally().knows(id);
            // Without the lock, because a body can have a mebibyte.
            let body = (!is_known).then(|| MessageBody::parse(&message.body, id, &rules));
            self.tally().received(self.now(), message, body);
        }
    }

    fn deleted(&self, message_ids: &[String]) {
        let (now, mut tally) = (self.now(), self.tally());
        message_ids.iter().for_each(|id| tally.deleted(now, id));
    }

    fn read(&self, kind: StreamKind, shard: &str, records: &[StreamRecord]) {
        let (now, mut tally) = (self.now(), self.tally());
        for record in records {
            let number = &record.sequence_number;
            match kind {
                StreamKind::DynamoDb => {
                    tally.changed(now, shard, number, || Change::parse(&record.event));
                }
                StreamKind::Kinesis => tally.published(now, shard, number),
            }
        }
    }

    fn invoking(&self, function: &str, records: usize) {
        let event = self.event(function);
        self.tally().invoking(self.now(), function, records, event);
    }

    fn invoked(&self, function: &str, records: usize, outcome: &InvocationOutcome) {
        let (now, name) = (self.now(), name(self.event(function)));
        self.tally()
            .invoked(now, (function, name), records, outcome);
    }
}
