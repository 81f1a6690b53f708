//! The numbers of a local stack, counted from what its pollers see. Without I/O, in bounded memory.
//!
//! A record of a shard and a verdict on a message count once, however often they come.

use std::collections::{BTreeMap, VecDeque};

use onewrite_console::view::{Charts, Count, Totals};
use onewrite_event_sources::Millis;
use onewrite_event_sources::invocation::InvocationOutcome;
use onewrite_event_sources::message::Message;
use onewrite_stack::dead_letter::{DeadLetterReason, MessageBody};

use super::bounded::BoundedMap;
use super::change::{Change, Frontier};
use super::function_tally::FunctionTally;
use super::log::Log;
use super::series::{Event, Latency, Series};

/// Messages in flight or waiting for their next receive that are remembered.
const SEEN_LIMIT: usize = 50_000;

/// Acknowledged messages that wait for their check.
const CHECK_LIMIT: usize = 50_000;

/// Ids that are remembered for a while: sending times, expired items, lost messages.
const ID_LIMIT: usize = 20_000;

/// Ids of stored notifications, for a conflict.
const STORED_LIMIT: usize = 100;

/// The time in which the record of a removal follows it. An item that is missing is checked again after it.
pub(super) const REMOVAL_LAG: Millis = 3_000;

/// A message that nobody received for so long, while the queue is empty, was removed by somebody else.
const GONE_AFTER: Millis = 60_000;

/// A message that was received and not acknowledged yet.
#[derive(Debug)]
struct Seen {
    body: MessageBody,
    receives: u32,
    hidden_until: Millis,
}

/// A question about the item of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) id: String,
    pub(super) message_id: String,
    /// Whether the message was acknowledged. Otherwise its item was removed.
    is_acknowledged: bool,
    /// Whether the item was missing at the first check.
    is_second: bool,
    not_before: Millis,
}

/// A message that the queue has moved to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) message_id: String,
    pub(super) body: MessageBody,
}

/// The settings of the queue that decide what a message's fate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueRules {
    pub(super) max_receives: u32,
    pub(super) visibility: Millis,
}

impl Default for QueueRules {
    fn default() -> Self {
        Self {
            max_receives: 6,
            visibility: 6_000,
        }
    }
}

/// One reading of the queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Depths {
    /// The acknowledged messages when the reading began.
    pub(super) acknowledged: u64,
    pub(super) dead_letters: u64,
    pub(super) waiting: u64,
}

#[derive(Debug)]
pub(super) struct Tally {
    pub(super) queue: QueueRules,
    seen: BoundedMap<Seen>,
    sent_at: BoundedMap<Millis>,
    checks: VecDeque<Check>,
    /// The checks of the round that runs.
    checking: Vec<Check>,
    /// Acknowledged messages whose item could not be checked.
    unchecked: u64,
    /// Ids whose item expired or was erased.
    expired: BoundedMap<()>,
    /// Messages that were acknowledged. Two invocations can have the same message.
    deleted: BoundedMap<()>,
    lost_messages: BoundedMap<()>,
    lost_ids: BoundedMap<()>,
    table: Frontier,
    stream: Frontier,
    published: BTreeMap<String, u64>,
    acknowledged: u64,
    created: u64,
    done: u64,
    refused: u64,
    duplicates: u64,
    conflicts: u64,
    rejected: u64,
    lost: u64,
    sent: u64,
    depths: Option<Depths>,
    /// Dead letters that arrived, as the depth of the queue shows, and those that were judged.
    arrived: u64,
    judged: u64,
    /// Dead letters that left their queue. They can become dead letters again.
    returned: u64,
    /// What is counted as a conflict or as rejected.
    counted: BoundedMap<()>,
    stored: VecDeque<String>,
    functions: BTreeMap<String, FunctionTally>,
    series: Series,
    pub(super) log: Log,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            queue: QueueRules::default(),
            seen: BoundedMap::new(SEEN_LIMIT),
            sent_at: BoundedMap::new(ID_LIMIT),
            checks: VecDeque::new(),
            checking: Vec::new(),
            unchecked: 0,
            expired: BoundedMap::new(ID_LIMIT),
            deleted: BoundedMap::new(ID_LIMIT),
            lost_messages: BoundedMap::new(ID_LIMIT),
            lost_ids: BoundedMap::new(ID_LIMIT),
            table: Frontier::default(),
            stream: Frontier::default(),
            published: BTreeMap::new(),
            acknowledged: 0,
            created: 0,
            done: 0,
            refused: 0,
            duplicates: 0,
            conflicts: 0,
            rejected: 0,
            lost: 0,
            sent: 0,
            depths: None,
            arrived: 0,
            judged: 0,
            returned: 0,
            counted: BoundedMap::new(ID_LIMIT),
            stored: VecDeque::new(),
            functions: BTreeMap::new(),
            series: Series::default(),
            log: Log::default(),
        }
    }
}

impl Tally {
    /// Whether the message is known, so that its body need not be parsed again.
    pub(super) fn knows(&self, message_id: &str) -> bool {
        self.seen.contains(message_id)
    }

    /// Counts a receive. `body` is the parsed body, unless the message is known.
    pub(super) fn received(&mut self, now: Millis, message: &Message, body: Option<MessageBody>) {
        let number = |name: &str| message.attributes.get(name)?.parse::<u64>().ok();
        let receives = number("ApproximateReceiveCount").unwrap_or(1);
        let receives = u32::try_from(receives).unwrap_or(u32::MAX);
        let hidden_until = now + self.queue.visibility;
        if let Some(seen) = self.seen.get_mut(&message.message_id) {
            (seen.receives, seen.hidden_until) = (receives, hidden_until);
            return;
        }
        let Some(body) = body else { return };
        self.series.count(now, Event::Received, 1);
        if let Some(sent_at) = number("SentTimestamp") {
            self.sent_at.insert(message.message_id.clone(), sent_at);
        }
        let seen = Seen {
            body,
            receives,
            hidden_until,
        };
        self.seen.insert(message.message_id.clone(), seen);
    }

    /// Counts an acknowledged message, once.
    pub(super) fn deleted(&mut self, now: Millis, message_id: &str) {
        if self.deleted.contains(message_id) {
            self.seen.remove(message_id);
            return;
        }
        self.deleted.insert(message_id.to_owned(), ());
        self.acknowledged += 1;
        self.series.count(now, Event::Acknowledged, 1);
        match self.seen.remove(message_id).map(|seen| seen.body) {
            Some(MessageBody::Notification { id, .. }) => self.check(Check {
                id: id.to_string(),
                message_id: message_id.to_owned(),
                is_acknowledged: true,
                is_second: false,
                not_before: now,
            }),
            // It has no id, so it cannot have an item.
            Some(MessageBody::Rejected(rejection)) => {
                let text = format!("rejected as {}, but acknowledged", rejection.name());
                self.lose(now, message_id, None, &text);
            }
            None => self.unchecked += 1,
        }
    }

    fn check(&mut self, check: Check) {
        if self.checks.len() < CHECK_LIMIT {
            self.checks.push_back(check);
        } else {
            self.unchecked += 1;
        }
    }

    fn lose(&mut self, now: Millis, message_id: &str, id: Option<&str>, reason: &str) {
        if self.lost_messages.contains(message_id) {
            return;
        }
        self.lost += 1;
        self.lost_messages.insert(message_id.to_owned(), ());
        if let Some(id) = id {
            self.lost_ids.insert(id.to_owned(), ());
        }
        let name = id.unwrap_or(message_id);
        self.log.add(now, &format!("LOST: {name}: {reason}"));
    }

    /// At most `limit` checks that are due. They stay open until [`Self::checked`] has all answers.
    pub(super) fn due_checks(&mut self, now: Millis, limit: usize) -> Vec<Check> {
        // Of a round that failed or was ended.
        self.checks.extend(self.checking.drain(..));
        for _ in 0..self.checks.len() {
            let Some(check) = self.checks.pop_front() else {
                break;
            };
            if check.not_before <= now && self.checking.len() < limit {
                self.checking.push(check);
            } else {
                self.checks.push_back(check);
            }
        }
        self.checking.clone()
    }

    /// Ends a round of checks. `created_by` tells the id of the message that created an item, or `None` without an item.
    pub(super) fn checked<'a>(
        &mut self,
        now: Millis,
        created_by: impl Fn(&Check) -> Option<Option<&'a str>>,
    ) {
        for check in std::mem::take(&mut self.checking) {
            let created_by = created_by(&check);
            self.check_against(now, check, created_by);
        }
    }

    fn check_against(&mut self, now: Millis, check: Check, created_by: Option<Option<&str>>) {
        match created_by {
            Some(by) => {
                let is_copy = check.is_acknowledged && by != Some(check.message_id.as_str());
                self.duplicates += u64::from(is_copy);
            }
            None if self.expired.contains(&check.id) => {}
            None if !check.is_second => self.check(Check {
                is_second: true,
                not_before: now + REMOVAL_LAG,
                ..check
            }),
            None => {
                let reason = "its message left the queue, and the table has no item";
                self.lose(now, &check.message_id, Some(&check.id), reason);
            }
        }
    }

    /// Counts a record of the table's stream, unless it was read before.
    pub(super) fn changed(
        &mut self,
        now: Millis,
        shard: &str,
        sequence_number: &str,
        parse: impl FnOnce() -> Option<Change>,
    ) {
        if !self.table.pass(shard, sequence_number) {
            return;
        }
        match parse() {
            Some(Change::Created { id, message_id, at }) => {
                self.created += 1;
                self.series.count(now, Event::Created, 1);
                let sent_at = message_id.and_then(|message_id| self.sent_at.remove(&message_id));
                if let Some((at, sent_at)) = at.zip(sent_at) {
                    let took = at.saturating_sub(sent_at);
                    self.series.measure(now, Latency::QueueToStored, took);
                }
                self.stored.push_back(id);
                let surplus = self.stored.len().saturating_sub(STORED_LIMIT);
                self.stored.drain(..surplus);
            }
            Some(Change::Settled {
                id,
                is_refused,
                took,
            }) => {
                self.series.count(now, Event::Settled, 1);
                if is_refused {
                    self.refused += 1;
                    self.log.add(now, &format!("{id} was refused by a target"));
                } else {
                    self.done += 1;
                    if let Some(took) = took {
                        self.series.measure(now, Latency::StoredToDone, took);
                    }
                }
            }
            Some(Change::Removed {
                id,
                is_expected: true,
                ..
            }) => self.expired.insert(id, ()),
            Some(Change::Removed { id, message_id, .. }) => self.check(Check {
                message_id: message_id.unwrap_or_else(|| id.clone()),
                id,
                is_acknowledged: false,
                is_second: true,
                not_before: now,
            }),
            None => {}
        }
    }

    /// Counts a record of the stream of notifications, unless it was read before.
    pub(super) fn published(&mut self, now: Millis, shard: &str, sequence_number: &str) {
        if self.stream.pass(shard, sequence_number) {
            *self.published.entry(shard.to_owned()).or_default() += 1;
            self.series.count(now, Event::Published, 1);
        }
    }

    pub(super) fn invoking(&mut self, now: Millis, function: &str, records: usize, event: Event) {
        let tally = self.functions.entry(function.to_owned()).or_default();
        tally.started(records);
        self.series.count(now, event, records as u64);
    }

    /// Counts the end of an invocation of a function. `name` is its name in the log.
    pub(super) fn invoked(
        &mut self,
        now: Millis,
        (function, name): (&str, &str),
        records: usize,
        outcome: &InvocationOutcome,
    ) {
        let tally = self.functions.entry(function.to_owned()).or_default();
        if let Some(failure) = tally.ended(now, records, outcome) {
            self.log.add(now, &format!("{name}: {failure}"));
        }
    }

    /// Notes one reading of the queues. Messages that were on their way between them are missing in it, so the number of messages
    /// grows with every reading, and is exact if no message was acknowledged meanwhile.
    pub(super) fn read_depths(&mut self, now: Millis, depths: Depths) {
        let before = self.depths.unwrap_or_default();
        self.arrived += depths.dead_letters.saturating_sub(before.dead_letters);
        self.returned += before.dead_letters.saturating_sub(depths.dead_letters);
        let sent = depths.acknowledged + depths.waiting + depths.dead_letters;
        let is_exact = depths.acknowledged == self.acknowledged;
        self.sent = if is_exact { sent } else { sent.max(self.sent) };
        self.depths = Some(depths);
        let open = self.created.saturating_sub(self.done + self.refused);
        self.series.backlog(now, depths.waiting, open);
        if depths.waiting == 0 {
            let gone = self.seen.iter().filter(|(_, seen)| {
                seen.receives < self.queue.max_receives && seen.hidden_until + GONE_AFTER < now
            });
            let gone: Vec<String> = gone.map(|(message_id, _)| message_id.clone()).collect();
            for message_id in gone {
                self.seen.remove(&message_id);
            }
        }
    }

    /// The messages that the queue has moved to the dead-letter queue: their last receive is over, and the depths show as many new
    /// dead letters, or an empty queue. They are open until they are judged.
    pub(super) fn dead_letters(&self, now: Millis) -> Vec<Letter> {
        let is_due =
            |seen: &Seen| seen.receives >= self.queue.max_receives && seen.hidden_until <= now;
        let due = self.seen.iter().filter(|(_, seen)| is_due(seen));
        let mut due: Vec<(Millis, String)> = due
            .map(|(message_id, seen)| (seen.hidden_until, message_id.clone()))
            .collect();
        due.sort_unstable();
        let is_empty = self.depths.is_some_and(|depths| depths.waiting == 0);
        if !is_empty {
            let arrived = self.arrived.saturating_sub(self.judged);
            due.truncate(usize::try_from(arrived).unwrap_or(usize::MAX));
        }
        let letters = due.into_iter().filter_map(|(_, message_id)| {
            let body = self.seen.peek(&message_id)?.body.clone();
            Some(Letter { message_id, body })
        });
        letters.collect()
    }

    /// Counts a dead letter. `ingest` can defer a message that it may store later, so such a letter is judged only if the queue is
    /// empty.
    pub(super) fn judged(&mut self, now: Millis, letter: &Letter, reason: &DeadLetterReason) {
        let is_empty = self.depths.is_some_and(|depths| depths.waiting == 0);
        let is_deferred = matches!(
            reason,
            DeadLetterReason::NotStored | DeadLetterReason::AlreadyStored
        );
        if is_deferred && !is_empty {
            if let Some(seen) = self.seen.get_mut(&letter.message_id) {
                seen.hidden_until = now + self.queue.visibility;
            }
            return;
        }
        if self.seen.remove(&letter.message_id).is_none() {
            // It was acknowledged meanwhile.
            return;
        }
        self.judged += 1;
        match reason {
            DeadLetterReason::Conflict => {
                let is_new = self.is_new(&letter.body);
                self.conflicts += u64::from(is_new);
            }
            DeadLetterReason::Rejected(_) => {
                let is_new = self.is_new(&letter.body);
                self.rejected += u64::from(is_new);
            }
            DeadLetterReason::NotStored | DeadLetterReason::AlreadyStored => {}
        }
        let name = match &letter.body {
            MessageBody::Notification { id, .. } => id.as_str(),
            MessageBody::Rejected(_) => &letter.message_id,
        };
        let text = format!("{name} is dead-lettered: {}", reason.text());
        self.log.add(now, &text);
    }

    /// Whether a dead letter was not counted before. A redrive sends a copy of it, which can become a dead letter again.
    fn is_new(&mut self, body: &MessageBody) -> bool {
        let key = match body {
            MessageBody::Notification {
                id, fingerprint, ..
            } => format!("{id} {fingerprint}"),
            MessageBody::Rejected(rejection) => rejection.name().to_owned(),
        };
        let is_copy = self.returned > 0 && self.counted.contains(&key);
        if is_copy {
            self.returned -= 1;
        } else {
            self.counted.insert(key, ());
        }
        !is_copy
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The newest stored notification.
    pub(super) fn newest_stored(&self) -> Option<&String> {
        self.stored.back()
    }

    pub(super) fn is_lost(&self, id: &str) -> bool {
        self.lost_ids.contains(id)
    }

    /// Whether every acknowledged message is checked, and every message after its last receive is judged.
    pub(super) fn is_checked(&self) -> bool {
        let mut seen = self.seen.iter();
        let is_judged = seen.all(|(_, seen)| seen.receives < self.queue.max_receives);
        is_judged && self.checks.is_empty() && self.checking.is_empty()
    }

    /// Messages that were received more than once and are neither acknowledged nor dead-lettered.
    pub(super) fn in_retry(&self) -> u64 {
        let retried = self.seen.iter().filter(|(_, seen)| seen.receives > 1);
        retried.count() as u64
    }

    pub(super) fn function(&self, name: &str) -> FunctionTally {
        self.functions.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn rate(&mut self, now: Millis, event: Event) -> f64 {
        self.series.rate(now, event)
    }

    /// Events since the start. A batch that is retried counts again.
    pub(super) fn total(&self, event: Event) -> u64 {
        self.series.total(event)
    }

    pub(super) fn charts(&mut self, now: Millis) -> Charts {
        self.series.charts(now)
    }

    /// Records of the stream of notifications, by shard.
    pub(super) fn published_by_shard(&self) -> &BTreeMap<String, u64> {
        &self.published
    }

    /// The age of the oldest message that was received and is not handled yet.
    pub(super) fn oldest(&self, now: Millis) -> Option<Millis> {
        let sent = self.seen.iter().filter_map(|(message_id, _)| {
            let sent_at = self.sent_at.peek(message_id)?;
            Some(now.saturating_sub(*sent_at))
        });
        sent.max()
    }

    /// The numbers of the sentence. Without the effects, which the target counts.
    pub(super) fn totals(&self, has_downstream: bool) -> Totals {
        let depth = |of: fn(Depths) -> u64| self.depths.map(|depths| Count(of(depths)));
        // A message that was forgotten may be one of these.
        let is_complete = self.seen.forgotten() == 0;
        let settled = |count| has_downstream.then_some(Count(count));
        Totals {
            period: "since the start".to_owned(),
            sent: self.depths.map(|_| Count(self.sent)),
            created: Some(Count(self.created)),
            done: settled(self.done),
            refused: settled(self.refused),
            effects: None,
            conflicts: is_complete.then_some(Count(self.conflicts)),
            rejected: is_complete.then_some(Count(self.rejected)),
            duplicates: (self.unchecked == 0).then_some(Count(self.duplicates)),
            waiting: depth(|depths| depths.waiting),
            dead_letters: depth(|depths| depths.dead_letters),
            failures: None,
            lost: (self.unchecked == 0 || self.lost > 0).then_some(Count(self.lost)),
        }
    }
}

#[cfg(test)]
mod tests;
