//! Faults of the world at large, and actions of operators.

use futures::FutureExt as _;
use onewrite::item::attribute;
use onewrite::notification::{NotificationId, Status};
use onewrite::table::{Completion, Completions as _};
use onewrite_event_sources::sqs::{self, SqsPoller};
use onewrite_event_sources::stream::{self, StreamPoller};
use serde_dynamo::AttributeValue;

use crate::clock;
use crate::settings;
use crate::sources::{Due, QUEUE};
use crate::weather::Kind;
use crate::witness::Verdict;
use crate::world::{World, short};

/// Limit of shards, so that streams do not split forever.
const MAX_SHARDS: usize = 6;
const DAY: u64 = 24 * 3_600_000;

impl World {
    /// Injects one round of faults.
    pub(crate) fn trouble(&mut self) -> Verdict {
        let weather = self.weather.clone();
        if weather.strikes(Kind::ClockJumps) {
            clock::set_error(weather.draw(Kind::ClockJumps, 2 * DAY) as i64 - DAY as i64);
        }
        if weather.strikes(Kind::QueueRedelivers) {
            self.deliver_again();
        }
        if weather.strikes(Kind::QueueRedriven) {
            self.redrive_dead_letters();
        }
        self.touch_items();
        self.reshard();
        if weather.strikes(Kind::PollerLost) {
            self.lose_poller()?;
        }
        if weather.strikes(Kind::MappingDisabled) {
            let which = weather.draw(Kind::MappingDisabled, 3) as usize;
            self.note(None, || format!("mapping {which} is disabled"));
            self.tell_source(which, stream::Input::Disable)?;
            let back = clock::now() + 1_000 + weather.draw(Kind::MappingDisabled, 10_000);
            self.later(back, Due::Source(which, stream::Input::Enable));
        }
        Ok(())
    }

    fn deliver_again(&mut self) {
        let sent = self.witness.sent.len() as u64;
        let place = self.weather.draw(Kind::QueueRedelivers, sent) as usize;
        let sent = self
            .witness
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
        let taken = dead.receive(now, 10);
        for message in &taken {
            dead.delete(now, &message.receipt_handle);
        }
        for message in taken {
            let id = short(&message.message_id).to_owned();
            self.note(None, || {
                format!("message {id} is redriven from the dead-letter queue")
            });
            let letter = self.witness.redriven(&message.message_id);
            self.send(letter);
        }
    }

    /// Changes items as operators do.
    fn touch_items(&mut self) {
        let weather = self.weather.clone();
        let ids = self.witness.ids();
        let Some(id) = ids.get(weather.draw(Kind::ItemEdited, ids.len() as u64) as usize) else {
            return;
        };
        let id = (*id).to_owned();
        if weather.strikes(Kind::ItemRedriven) {
            self.redrive(&id);
        }
        if weather.strikes(Kind::ItemEdited) {
            self.edit(&id);
        }
        if weather.strikes(Kind::ItemCompleted) {
            self.complete(&id);
        }
        if weather.strikes(Kind::ItemUnreadable) {
            self.note(Some(&id), || "made unreadable by an operator".to_owned());
            self.witness.spoiled(&id);
            let none = AttributeValue::Null(true);
            self.parts.table.edit(&id, |item| {
                item.insert(attribute::PAYLOAD.to_owned(), none.clone());
                item.insert(attribute::REDRIVES.to_owned(), none);
            });
        }
    }

    /// Redrives a notification, so that `forward` publishes its last event again.
    pub(crate) fn redrive(&mut self, id: &str) {
        self.note(Some(id), || "redriven by an operator".to_owned());
        self.parts.table.edit(id, |item| {
            let Some(AttributeValue::N(redrives)) = item.get(attribute::REDRIVES) else {
                return;
            };
            let redrives = redrives.parse::<u64>().unwrap() + 1;
            let redrives = AttributeValue::N(redrives.to_string());
            item.insert(attribute::REDRIVES.to_owned(), redrives);
        });
    }

    /// Completes an item directly. Only then can DONE be written before INIT is published.
    fn complete(&mut self, id: &str) {
        self.note(Some(id), || "completed by an operator".to_owned());
        let id = NotificationId::parse(id).unwrap();
        let effect = self.parts.accountant.entry(&id);
        let completion = Completion {
            id,
            version: Status::Init.version(),
            at: clock::shown(),
            expires_at: None,
        };
        let completed = self.parts.table.complete(&completion, vec![effect]);
        // If the item cannot be completed, it does not change.
        drop(completed.now_or_never().unwrap());
    }

    /// Adds an attribute to an item.
    pub(crate) fn edit(&mut self, id: &str) {
        let note = AttributeValue::N(clock::now().to_string());
        self.parts
            .table
            .edit(id, |item| drop(item.insert("note".to_owned(), note)));
    }

    fn reshard(&mut self) {
        let (now, weather) = (clock::now(), self.weather.clone());
        let mut open = self.table_stream.open_shards();
        if open.len() < MAX_SHARDS && weather.strikes(Kind::StreamSplits) {
            let shard = &open[weather.draw(Kind::StreamSplits, open.len() as u64) as usize];
            self.table_stream.split(now, shard);
            open = self.table_stream.open_shards();
        }
        if weather.strikes(Kind::StreamMerges) {
            let pairs = open
                .iter()
                .flat_map(|low| open.iter().map(move |high| (low, high)));
            for (low, high) in pairs {
                if self.table_stream.merge(now, low, high).is_some() {
                    break;
                }
            }
        }
        if self.parts.stream.describe().len() < MAX_SHARDS && weather.strikes(Kind::KinesisSplits) {
            self.parts.stream.split();
        }
    }

    /// Loses a poller. Another poller takes over from its checkpoint.
    fn lose_poller(&mut self) -> Verdict {
        let which = self.weather.draw(Kind::PollerLost, 4) as usize;
        self.pollers[which] += 1;
        match which {
            QUEUE => {
                self.note(None, || "the queue's poller is lost".to_owned());
                self.forget(|due| matches!(due, Due::Queue(_)));
                self.receives.clear();
                self.queue_poller = SqsPoller::new(
                    self.queue_mapping.clone(),
                    settings::queue_facts(self.fifo),
                    self.choices,
                );
                self.tell_queue(sqs::Input::Enable)
            }
            which => {
                self.note(None, || format!("the poller of mapping {which} is lost"));
                self.forget(|due| matches!(due, Due::Source(of, _) if *of == which));
                let source = &mut self.sources[which];
                let checkpoints = source.poller.checkpoints();
                source.poller =
                    StreamPoller::resume(source.mapping.clone(), self.choices, &checkpoints);
                self.tell_source(which, stream::Input::Enable)
            }
        }
    }
}
