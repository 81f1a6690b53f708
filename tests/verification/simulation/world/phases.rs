//! The phases of a world: faults, then their end, and the checks that follow.

use onewrite::item::PayloadCompression;
use onewrite_event_sources::Millis;
use onewrite_event_sources::{sqs, stream};

use super::World;
use crate::clock;
use crate::fault_plan::FaultKind;
use crate::invariants::{CheckResult, violated};
use crate::messages::{Message, Size, generate_messages};
use crate::pending::{Due, StreamSource};
use crate::settings::{self, VISIBILITY};

/// Limit of virtual time in which the world must drain after the fault period.
const MAX_DRAIN_TIME: Millis = 3_600_000;
/// Limit of virtual time in which a message that can never be stored must leave the queue: its receives, each with a
/// visibility timeout, a batching window and an invocation. Deferred as often, it would stay longer.
const MAX_POISON_TIME: Millis = onewrite::limits::MAX_RECEIVES as Millis * VISIBILITY * 9 / 4;
/// The longest pause that a circuit breaker chooses itself.
const LONGEST_PAUSE: Millis = 60_000;
/// How often an operator redrives events that mappings discard again.
const MAX_REDRIVES: usize = 5;
/// One in this many worlds gets a payload that only compression makes small enough for an item after all faults have stopped.
const HUGE_ONE_IN: u64 = 64;
/// Longer than a stream retains its records.
const LONGER_THAN_RETENTION: Millis = 25 * 3_600_000;

impl World {
    pub(super) async fn run_to_end(&mut self) -> CheckResult {
        self.handle_queue_input(sqs::Input::Enable)?;
        // A new mapping takes time to become active. It must not miss changes made in the meantime.
        for which in 0..self.sources.len() {
            let up = clock::now() + self.mixer.next() % 5_000;
            self.schedule(up, Due::Source(which, stream::Input::Enable));
        }
        let messages = self.messages();
        if self.fault_plan.occurs(FaultKind::ItemEarlier) {
            self.store_earlier_items(&messages);
        }
        self.run_fault_period(messages).await?;
        if self.fault_plan.occurs(FaultKind::StreamTrimmed) {
            self.trim().await?;
        }
        let expires = self.fault_plan.occurs(FaultKind::ItemExpires);
        self.note(None, || "the faults stop".to_owned());
        self.fault_plan.stop();
        clock::set_error(0);
        self.enable_all()?;
        let last = self.send_last();
        // It takes much virtual time, so not every world does it.
        if self.plan.seed.is_multiple_of(8) {
            self.check_poison().await?;
        }
        self.drain().await?;
        self.check_last(&last)?;
        self.reconcile().await?;
        self.invariants
            .check_final_state(&self.queue, &self.parts.table)?;
        self.run_drill().await?;
        self.check_silence(expires).await
    }

    /// The messages that upstream sends while faults happen.
    fn messages(&mut self) -> Vec<Message> {
        let until = crate::plan::FAULT_PERIOD * 3 / 4;
        let compression = self.parts.compression;
        let messages = generate_messages(&mut self.mixer, &self.fault_plan, until, compression);
        let kept = messages.into_iter().enumerate();
        let kept = kept.filter(|(place, _)| self.plan.sends(*place));
        kept.map(|(_, message)| message).collect()
    }

    /// Sends new notifications of several sizes, and copies of those that the earlier version stored. Returns the ids of the
    /// messages and of the notifications.
    fn send_last(&mut self) -> Vec<(String, String)> {
        let is_huge = self.plan.seed.is_multiple_of(HUGE_ONE_IN)
            && self.parts.compression == PayloadCompression::Auto;
        let large = if is_huge {
            Size::Huge
        } else {
            Size::Repetitive
        };
        let sizes = [Size::Small, large, Size::Random].into_iter().enumerate();
        let fresh = sizes.map(|(place, size)| Message::fresh(&format!("fresh{place}"), size));
        let messages = fresh.chain(std::mem::take(&mut self.earlier));
        let send = |message: Message| {
            let id = message.id().to_owned();
            (self.send(message), id)
        };
        messages.map(send).collect()
    }

    /// Checks what became of the messages that were sent after all faults had stopped.
    fn check_last(&self, messages: &[(String, String)]) -> CheckResult {
        let dead = self.queue.dead_letter_queue();
        // A message that is stored but never deleted is dead-lettered in the end, and so is one behind a conflict of its group.
        let are_deleted = self.choices.delete_fails_one_in == 0 && !self.fifo;
        for (message_id, id) in messages {
            let is_dead = are_deleted && dead.is_some_and(|dead| dead.contains(message_id));
            if is_dead || !self.invariants.is_stored(id) {
                let what = "sent after all faults had stopped, but not stored";
                return violated("Progress", id, what);
            }
        }
        Ok(())
    }

    /// Sends messages and injects faults.
    async fn run_fault_period(&mut self, messages: Vec<Message>) -> CheckResult {
        let end = clock::START + self.plan.fault_period;
        let mut messages = messages.into_iter().peekable();
        let mut next_fault = clock::START;
        loop {
            let next_message = messages.peek().map(|message| clock::START + message.at);
            let next = [Some(next_fault), next_message, Some(end)];
            self.advance(next.into_iter().flatten().min().unwrap_or(end))
                .await?;
            let now = clock::now();
            if next_message.is_some_and(|at| at <= now)
                && let Some(message) = messages.next()
            {
                self.send(message);
            }
            if now >= end {
                break;
            }
            if now >= next_fault {
                next_fault = now + 500 + self.mixer.next() % 3_000;
                self.inject_faults()?;
            }
        }
        for message in messages {
            self.send(message);
        }
        Ok(())
    }

    /// Disables the mapping of `forward` for so long that the table's stream drops its records.
    async fn trim(&mut self) -> CheckResult {
        self.note(None, || "all mappings are disabled for 25 hours".to_owned());
        self.handle_queue_input(sqs::Input::Disable)?;
        for which in 0..self.sources.len() {
            self.handle_source_input(which, stream::Input::Disable)?;
        }
        self.due
            .retain(|(_, _, due)| !matches!(due, Due::Source(_, stream::Input::Enable)));
        self.advance(clock::now() + 2 * settings::VISIBILITY)
            .await?;
        clock::skip(LONGER_THAN_RETENTION).await;
        self.observe()?;
        self.table_stream.trim(clock::now());
        self.invariants.record_trimmed();
        self.is_trimmed = true;
        Ok(())
    }

    /// Checks that a message that can never be stored soon leaves the queue.
    async fn check_poison(&mut self) -> CheckResult {
        let poison = self.send(Message::malformed(0, "poison", 1));
        self.advance(clock::now() + MAX_POISON_TIME).await?;
        if self.queue.contains(&poison) {
            let what = "a message that can never be stored stays in the queue for too long";
            return violated("Progress", "?", what);
        }
        Ok(())
    }

    pub(crate) fn enable_all(&mut self) -> CheckResult {
        self.handle_queue_input(sqs::Input::Enable)?;
        for which in 0..self.sources.len() {
            self.handle_source_input(which, stream::Input::Enable)?;
        }
        Ok(())
    }

    /// Runs until every message has been handled and every stream is drained.
    async fn drain(&mut self) -> CheckResult {
        self.drain_within(MAX_DRAIN_TIME).await
    }

    /// As [`World::drain`], within this time.
    pub(crate) async fn drain_within(&mut self, limit: Millis) -> CheckResult {
        let end = clock::now() + limit;
        loop {
            self.advance(clock::now() + 5_000).await?;
            let unfinished_work = self.invariants.unfinished_work();
            let is_quiet = self.queue.is_empty()
                && self.running.is_empty()
                && self.queue_poller.is_idle()
                && self.sources.iter().all(|source| source.poller.is_idle());
            if is_quiet && unfinished_work.is_none() {
                return Ok(());
            }
            if clock::now() >= end {
                let message = self.queue.message_ids().next();
                return unfinished_work.map_or_else(
                    || {
                        violated(
                            "Progress",
                            message.unwrap_or("?"),
                            "the world does not drain",
                        )
                    },
                    Err,
                );
            }
        }
    }

    /// Redrives the items whose events a mapping discarded, as an operator does, by the rule of the operator's tool. While a
    /// circuit breaker is open, a mapping with few retries discards them again.
    pub(super) async fn reconcile(&mut self) -> CheckResult {
        for _ in 0..MAX_REDRIVES {
            if self.parts.has_receivers {
                self.advance(clock::now() + LONGEST_PAUSE).await?;
            }
            self.invariants.unconsumed.clear();
            for id in self.ids_to_redrive() {
                // Of what the stream discarded, nobody knows which events are missing, so all are published again.
                if !self.is_trimmed {
                    self.invariants.check_redrive(&id)?;
                }
                self.redrive(&id);
            }
            self.drain().await?;
            if !self.invariants.has_open_item() {
                break;
            }
        }
        Ok(())
    }

    /// Checks that removals and edits publish no events once all work is finished.
    async fn check_silence(&mut self, expires: bool) -> CheckResult {
        let published_before = self.records;
        let mut expired = Vec::new();
        for (place, id) in self.invariants.settled_ids().into_iter().enumerate() {
            if expires && place.is_multiple_of(2) {
                self.note(Some(&id), || "removed by its time to live".to_owned());
                self.parts.table.expire(&id);
                expired.push(id);
            } else {
                self.edit(&id);
            }
        }
        self.advance(clock::now() + 10_000).await?;
        if self.records != published_before {
            let what = "an event was published although no status changed";
            return violated("Nothing invented", "?", what);
        }
        self.check_reused_ids(&expired).await
    }

    /// Uses the ids of removed items again, while a consumer reads all events from the beginning of their stream. The events
    /// of the removed notifications must not settle the new ones.
    async fn check_reused_ids(&mut self, ids: &[String]) -> CheckResult {
        if ids.is_empty() {
            return Ok(());
        }
        self.note(None, || "mapping 1 is created again".to_owned());
        self.lose_source(1);
        self.sources[1] = StreamSource::new(settings::replaying_mapping(), self.choices);
        for id in ids {
            self.invariants.record_expired(id);
            self.send(Message::reused(id));
        }
        self.handle_source_input(1, stream::Input::Enable)?;
        self.drain().await?;
        self.reconcile().await?;
        self.invariants
            .check_final_state(&self.queue, &self.parts.table)
    }
}
