//! Faults of the world at large, and actions of operators.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use jiff::Timestamp;
use onewrite::event::NotificationEvent;
use onewrite::item::{NotificationItem, attribute};
use onewrite::notification::Status;
use onewrite::redrive::{ItemState, LostEvent, Reconciliation};
use onewrite::table::{Completion, CompletionResult, Completions as _, Verdict};
use onewrite_event_sources::sqs::{self, SqsPoller};
use onewrite_event_sources::stream::{self, StreamPoller};
use serde_dynamo::{AttributeValue, Item};
use serde_json::Value;

use crate::bugs::Bug;
use crate::clock;
use crate::effects::verdict;
use crate::fault_plan::FaultKind;
use crate::invariants::CheckResult;
use crate::pending::{Due, QUEUE};
use crate::settings;
use crate::world::{World, short};

/// Limit of shards, so that streams do not split forever.
const MAX_SHARDS: usize = 6;
const DAY: u64 = 24 * 3_600_000;

impl World {
    /// Injects one round of faults.
    pub(crate) fn inject_faults(&mut self) -> CheckResult {
        let fault_plan = self.fault_plan.clone();
        if fault_plan.occurs(FaultKind::ClockJumps) {
            clock::set_error(fault_plan.draw(FaultKind::ClockJumps, 2 * DAY) as i64 - DAY as i64);
        }
        if fault_plan.occurs(FaultKind::QueueRedelivers) {
            self.redeliver_message();
        }
        if fault_plan.occurs(FaultKind::QueueRedriven) {
            self.redrive_dead_letters();
        }
        self.change_items();
        self.reshard();
        if fault_plan.occurs(FaultKind::PollerLost) {
            self.lose_poller()?;
        }
        if fault_plan.occurs(FaultKind::MappingDisabled) {
            let which = fault_plan.draw(FaultKind::MappingDisabled, 3) as usize;
            self.note(None, || format!("mapping {which} is disabled"));
            self.handle_source_input(which, stream::Input::Disable)?;
            let back = clock::now() + 1_000 + fault_plan.draw(FaultKind::MappingDisabled, 10_000);
            self.schedule(back, Due::Source(which, stream::Input::Enable));
        }
        Ok(())
    }

    fn redeliver_message(&mut self) {
        let sent = self.invariants.sent.len() as u64;
        let place = self.fault_plan.draw(FaultKind::QueueRedelivers, sent) as usize;
        let sent = self
            .invariants
            .sent
            .get(place)
            .filter(|sent| !sent.is_redriven);
        let Some(message_id) = sent.map(|sent| sent.message_id.clone()) else {
            return;
        };
        if self.queue.redeliver(clock::now(), &message_id) {
            self.note(None, || {
                format!("message {} is redelivered", short(&message_id))
            });
        }
    }

    fn redrive_dead_letters(&mut self) {
        let now = clock::now();
        let Some(dead) = self.queue.dead_letter_queue_mut() else {
            return;
        };
        let messages = dead.receive(now, 10);
        for message in &messages {
            dead.delete(now, &message.receipt_handle);
        }
        for message in messages {
            let id = short(&message.message_id).to_owned();
            self.note(None, || {
                format!("message {id} is redriven from the dead-letter queue")
            });
            let message = self.invariants.mark_redriven(&message.message_id);
            self.send(message);
        }
    }

    /// Changes items as operators do.
    fn change_items(&mut self) {
        let fault_plan = self.fault_plan.clone();
        let ids = self.invariants.ids();
        let Some(id) = ids.get(fault_plan.draw(FaultKind::ItemEdited, ids.len() as u64) as usize)
        else {
            return;
        };
        let id = (*id).to_owned();
        if fault_plan.occurs(FaultKind::ItemRedriven) {
            self.redrive(&id);
        }
        if fault_plan.occurs(FaultKind::ItemEdited) {
            self.edit(&id);
        }
        if fault_plan.occurs(FaultKind::ItemCompleted) {
            self.complete(&id);
        }
        if fault_plan.occurs(FaultKind::ItemUnreadable) {
            self.note(Some(&id), || "made unreadable by an operator".to_owned());
            self.invariants.mark_unreadable(&id);
            let none = AttributeValue::Null(true);
            self.parts.table.edit(&id, |item| {
                item.insert(attribute::PAYLOAD.to_owned(), none.clone());
                item.insert(attribute::REDRIVES.to_owned(), none);
            });
        }
    }

    /// The notifications that an operator redrives after all mappings are enabled again: those that `onewrite redrive
    /// failures` selects by the failure bucket, and those that `onewrite reconcile` selects in the table. Its `--since` is
    /// needed only if the table's stream discarded changes. The world knows more than an operator, but does not use it here.
    pub(crate) fn ids_to_redrive(&self) -> Vec<String> {
        let mut lost: BTreeMap<String, Vec<LostEvent>> = BTreeMap::new();
        for failure in &self.failures {
            let event: Value = serde_json::from_str(failure["payload"].as_str().unwrap()).unwrap();
            let records = event["Records"].as_array().unwrap();
            for event in records.iter().filter_map(LostEvent::from_record) {
                lost.entry(event.id.clone()).or_default().push(event);
            }
        }
        let rule = Reconciliation {
            before: Timestamp::MAX,
            settled_since: self.is_trimmed.then_some(Timestamp::MIN),
        };
        let is_due = |id: &String, item: &Item| {
            let Ok(item) = NotificationItem::from_item(item) else {
                return false;
            };
            let state = ItemState::from(&item);
            let is_selected =
                state.needs_redrive(lost.get(id).into_iter().flatten()) || rule.selects(&state);
            match self.bug {
                Some(Bug::RedrivesInitOnly) => is_selected && state.status == Status::Init,
                Some(Bug::RedrivesExcluded) => true,
                _ => is_selected,
            }
        };
        let items = self.parts.table.items().into_iter();
        let due = items.filter(|(id, item)| is_due(id, item));
        due.map(|(id, _)| id).collect()
    }

    /// Redrives a notification, so that `forward` publishes its last event again.
    pub(crate) fn redrive(&mut self, id: &str) {
        self.note(Some(id), || "redriven by an operator".to_owned());
        self.parts.table.edit(id, |item| {
            let redrives = match item.get(attribute::REDRIVES) {
                None => 0,
                Some(AttributeValue::N(redrives)) => redrives.parse::<u64>().unwrap(),
                Some(_) => return,
            };
            let redrives = AttributeValue::N((redrives + 1).to_string());
            item.insert(attribute::REDRIVES.to_owned(), redrives);
        });
    }

    /// Completes an item directly. Only then can DONE be written before INIT is published.
    fn complete(&mut self, id: &str) {
        self.note(Some(id), || "completed by an operator".to_owned());
        let item = self.parts.table.item(id);
        let Some(Ok(item)) = item.as_ref().map(NotificationItem::from_item) else {
            return;
        };
        let fingerprint = item.notification.fingerprint;
        let verdict = verdict(id);
        let is_open = item.status == Status::Init;
        if self.parts.has_receivers && is_open {
            let receivers = &self.parts.receivers;
            receivers.settle_by_hand(id, &fingerprint.to_string());
        }
        let event = NotificationEvent::from_item(&item);
        let writes = match verdict {
            Verdict::Done if !self.parts.has_receivers => vec![self.parts.ledger.entry(&event)],
            _ => Vec::new(),
        };
        let completion = Completion {
            id: item.notification.id,
            version: Status::Init.version(),
            fingerprint,
            verdict,
            settled_by: None,
            at: clock::wall_clock(),
            expires_at: None,
        };
        let completed = self.parts.table.complete(&completion, writes);
        // If the item cannot be completed, it does not change.
        if let Some(Ok(CompletionResult::Settled)) = completed.now_or_never() {
            self.parts.witness.note_settler(id, None);
        }
    }

    /// Adds an attribute to an item.
    pub(crate) fn edit(&mut self, id: &str) {
        let note = AttributeValue::N(clock::now().to_string());
        self.parts
            .table
            .edit(id, |item| drop(item.insert("note".to_owned(), note)));
    }

    fn reshard(&mut self) {
        let (now, fault_plan) = (clock::now(), self.fault_plan.clone());
        let mut open = self.table_stream.open_shards();
        if open.len() < MAX_SHARDS && fault_plan.occurs(FaultKind::StreamSplits) {
            let shard = &open[fault_plan.draw(FaultKind::StreamSplits, open.len() as u64) as usize];
            self.table_stream.split(now, shard);
            open = self.table_stream.open_shards();
        }
        if fault_plan.occurs(FaultKind::StreamMerges) {
            let pairs = open
                .iter()
                .flat_map(|low| open.iter().map(move |high| (low, high)));
            for (low, high) in pairs {
                if self.table_stream.merge(now, low, high).is_some() {
                    break;
                }
            }
        }
        if self.parts.stream.describe().len() < MAX_SHARDS
            && fault_plan.occurs(FaultKind::KinesisSplits)
        {
            self.parts.stream.split();
        }
    }

    /// Forgets what the poller of a stream waits for.
    pub(crate) fn lose_source(&mut self, which: usize) {
        self.pollers[which] += 1;
        self.cancel(|due| matches!(due, Due::Source(index, _) if *index == which));
    }

    /// Loses a poller. Another poller takes over from its checkpoint.
    fn lose_poller(&mut self) -> CheckResult {
        let which = self.fault_plan.draw(FaultKind::PollerLost, 4) as usize;
        match which {
            QUEUE => {
                self.pollers[which] += 1;
                self.note(None, || "the queue's poller is lost".to_owned());
                self.cancel(|due| matches!(due, Due::Queue(_)));
                self.receives.clear();
                self.queue_poller = SqsPoller::new(
                    self.queue_mapping.clone(),
                    settings::queue_facts(self.fifo),
                    self.choices,
                );
                self.handle_queue_input(sqs::Input::Enable)
            }
            which => {
                self.note(None, || format!("the poller of mapping {which} is lost"));
                self.lose_source(which);
                let source = &mut self.sources[which];
                let checkpoints = source.poller.checkpoints();
                source.poller =
                    StreamPoller::resume(source.mapping.clone(), self.choices, &checkpoints);
                self.handle_source_input(which, stream::Input::Enable)
            }
        }
    }
}
