//! A simple `forward` that retries unconfirmed records round by round, with at most one planted bug.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use onewrite::event::NotificationEvent;
use onewrite::item::{NotificationItem, attribute};
use onewrite::limits::MAX_ITEM_BYTES;
use onewrite::stream::{EventStream, PutResult, Record};
use onewrite_forward::change::{ChangeEvent, ChangeRecord};
use onewrite_forward::select::{Selection, select};
use onewrite_runtime::budget::Budget;
use serde_dynamo::Item;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::Bug;
use crate::clock;
use crate::functions::{Handler, Parts, sequence_numbers};

/// Records per call.
const CALL: usize = 3;

struct Forward<S> {
    stream: S,
    bug: Bug,
    /// Records per call. Fewer if the outcome of a call was unknown.
    call: Cell<usize>,
    /// What was published and need not be published again.
    memory: RefCell<HashSet<String>>,
}

pub(super) fn handler(parts: &Parts, bug: Bug) -> Handler {
    let stream = parts.faulty_stream(parts.stream.clone());
    let start = move |stream| Forward {
        stream,
        bug,
        call: Cell::new(CALL),
        memory: RefCell::default(),
    };
    let numbers = |event: &Value| {
        let event = event.to_string().parse::<ChangeEvent>();
        event.map_or_else(|_| Vec::new(), |event| sequence_numbers(&event))
    };
    parts.publishing(stream, start, numbers, |forward, event: Value, budget| {
        async move { forward.handle(event, budget).await }.boxed_local()
    })
}

/// Records to publish, each with its index in the batch.
type Pending = Vec<(usize, Record)>;

impl<S: EventStream> Forward<S> {
    async fn handle(&self, json: Value, budget: Budget) -> Result<Value, String> {
        let event = json.to_string().parse::<ChangeEvent>();
        let event = event.map_err(|error| error.to_string())?;
        let places = event.records.iter().enumerate();
        let mut pending: Pending = places
            .filter_map(|(place, change)| {
                let images = &json["Records"][place]["dynamodb"];
                let record = self.record(change, images)?;
                (!self.remembers(place, change, &record)).then_some((place, record))
            })
            .collect();
        let all = pending.clone();
        // In the order of their first failures.
        let mut failed = Vec::new();
        while !pending.is_empty() {
            if budget.left().is_zero() && self.bug != Bug::ForwardIgnoresDeadline {
                break;
            }
            pending = self.round(pending, &mut failed, budget).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let is_unpublished = |place| pending.iter().any(|(other, _)| *other == place);
        for (place, record) in &all {
            let is_remembered = match self.bug {
                Bug::ConfirmedForgotten => false,
                Bug::UnconfirmedRemembered => !is_unpublished(*place) || failed.contains(place),
                _ => !is_unpublished(*place),
            };
            if is_remembered {
                let name = self.name(*place, &event.records[*place], record);
                self.memory.borrow_mut().insert(name);
            }
        }
        let unpublished = |place: &&usize| pending.iter().any(|(other, _)| other == *place);
        let lowest = pending.iter().map(|(place, _)| *place).min();
        let reported = match self.bug {
            Bug::ReportsHighest => pending.iter().map(|(place, _)| *place).max(),
            Bug::ReportsFirstSeen => failed.iter().find(unpublished).copied().or(lowest),
            Bug::PassesUnpublished => lowest.map(|place| place + 1),
            _ => lowest,
        };
        let Some(place) = reported.filter(|place| *place < event.records.len()) else {
            return Ok(json!({"batchItemFailures": []}));
        };
        match event.records[place].sequence_number.as_deref() {
            Some(number) if !number.is_empty() => {
                Ok(json!({"batchItemFailures": [{"itemIdentifier": number}]}))
            }
            _ => Err("a change without sequence number".to_owned()),
        }
    }

    /// Sends a few calls concurrently, with responses in any order. Returns the records that are still unpublished.
    async fn round(&self, pending: Pending, failed: &mut Vec<usize>, budget: Budget) -> Pending {
        let mut ids = HashSet::new();
        let is_next = |(_, record): &(usize, Record)| {
            ids.insert(record.id.clone()) || self.bug == Bug::SameIdInOneCall
        };
        let (next, mut rest): (Pending, Pending) = pending.into_iter().partition(is_next);
        let calls = next
            .chunks(self.call.get())
            .map(|call| self.call(call, budget));
        let mut calls: FuturesUnordered<_> = calls.collect();
        while let Some(again) = calls.next().await {
            failed.extend(again.iter().map(|(place, _)| *place));
            rest.extend(again);
        }
        if self.bug != Bug::RetryOvertakes {
            rest.sort_by_key(|(place, _)| *place);
        }
        rest
    }

    /// Sends one call. Returns the records that were not confirmed.
    async fn call(&self, call: &[(usize, Record)], budget: Budget) -> Pending {
        if call.iter().any(|(_, record)| record.data.is_empty()) {
            return call.to_vec();
        }
        let records: Vec<Record> = call.iter().map(|(_, record)| record.clone()).collect();
        let put = async {
            tokio::time::sleep(Duration::from_millis(10).mul_f64(clock::jitter())).await;
            self.stream.put(&records).await.ok()
        };
        let response = if self.bug == Bug::ForwardIgnoresDeadline {
            put.await
        } else {
            let response = tokio::time::timeout_at(budget.end(), put).await;
            response.ok().flatten()
        };
        match &response {
            Some(_) => self.call.set(CALL),
            None if self.bug == Bug::NeverShrinks => {}
            None => self.call.set((self.call.get() / 2).max(1)),
        }
        let is_confirmed = |place: usize| {
            let put = response.as_ref().and_then(|puts| puts.get(place));
            matches!(put, Some(PutResult::Confirmed { .. }))
        };
        let unconfirmed = (0..call.len()).filter(|place| !is_confirmed(*place));
        unconfirmed.map(|place| call[place].clone()).collect()
    }

    /// The name by which a published change is remembered.
    fn name(&self, place: usize, change: &ChangeRecord, record: &Record) -> String {
        match self.bug {
            Bug::ConfirmedById => {
                let event = NotificationEvent::parse(&record.data);
                event.map(|event| event.id()).unwrap_or_default()
            }
            Bug::ConfirmedByPlace => place.to_string(),
            _ => change.sequence_number.clone().unwrap_or_default(),
        }
    }

    fn remembers(&self, place: usize, change: &ChangeRecord, record: &Record) -> bool {
        let name = self.name(place, change, record);
        !name.is_empty() && self.memory.borrow().contains(&name)
    }

    /// The record that a change requires. The function reads only a part of the old image in `images`.
    fn record(&self, record: &ChangeRecord, images: &Value) -> Option<Record> {
        let is = |bug| self.bug == bug;
        let change = record.change.as_ref()?;
        let is_kind = |kind| change.kind.as_deref() == Some(kind);
        let old_image = &images["OldImage"];
        let event = match select(record) {
            Selection::Forward(_) if is(Bug::ModifyDropped) && is_kind("MODIFY") => None,
            Selection::Forward(_) if is(Bug::FirstRedriveSkipped) && is_first_redrive(images) => {
                None
            }
            Selection::Forward(event) => Some(*event),
            Selection::Skip(_) if is(Bug::RemovalPublished) && is_kind("REMOVE") => {
                event_of(old_image)
            }
            Selection::Skip(_)
                if is(Bug::AbsentRedrivesChanged) && old_image[attribute::REDRIVES].is_null() =>
            {
                event_of(&images["NewImage"])
            }
            // An event without data, which is never published.
            Selection::Unreadable(_) if is(Bug::UnreadableBlocks) => {
                let id = onewrite_forward::select::key(record)?;
                return Some(Record {
                    id: onewrite::notification::NotificationId::parse(id).ok()?,
                    data: Vec::new(),
                });
            }
            Selection::Skip(_) | Selection::Unreadable(_) => None,
        }?;
        let mut document = event.to_json();
        if is(Bug::InflatedUnreadable) && event.data.as_str().len() > MAX_ITEM_BYTES {
            return None;
        }
        if is(Bug::InflatedTruncated) {
            document.truncate(MAX_ITEM_BYTES);
        }
        if is(Bug::RedriveChangesId) && redrives(&images["NewImage"]) != 0 {
            let id = event.id();
            document = document.replacen(&id, &format!("{id}/again"), 1);
        }
        Some(Record {
            id: event.subject.clone(),
            data: document.into_bytes(),
        })
    }
}

/// The event of an item, if it is a notification.
fn event_of(image: &Value) -> Option<NotificationEvent> {
    let item: Item = serde_json::from_value(image.clone()).ok()?;
    let item = NotificationItem::from_item(&item).ok()?;
    Some(NotificationEvent::from_item(&item))
}

/// How often an operator requested the event of an item again.
fn redrives(image: &Value) -> u64 {
    let digits = image[attribute::REDRIVES]["N"].as_str();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Whether an operator requested the event of the item for the first time, and nothing else changed.
fn is_first_redrive(images: &Value) -> bool {
    let (old, new) = (&images["OldImage"], &images["NewImage"]);
    let is_same_status = old[attribute::STATUS] == new[attribute::STATUS];
    is_same_status && old[attribute::REDRIVES].is_null() && redrives(new) == 1
}
