//! A simple `forward` that retries unconfirmed records round by round, with at most one planted bug.

use std::collections::HashSet;
use std::rc::Rc;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use onewrite::event::NotificationEvent;
use onewrite::item::{AttributeRef, Attributes as _, NotificationItem, attribute};
use onewrite::stream::{EventStream, PutResult, Record};
use onewrite_forward::change::{ChangeEvent, ChangeRecord};
use onewrite_forward::select::{Selection, select};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{FaultyStream, InMemoryStream};
use serde_dynamo::Item;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::Bug;
use crate::clock;
use crate::functions::{Handler, Parts, handler as serve};

/// Records per call.
const CALL: usize = 3;

struct Forward {
    stream: FaultyStream<InMemoryStream>,
    bug: Bug,
}

pub(super) fn handler(parts: &Parts, bug: Bug) -> Handler {
    let stream = parts.faulty_stream(parts.stream.clone());
    let forward = Rc::new(Forward { stream, bug });
    serve(move |event: Value, budget, _| {
        let forward = Rc::clone(&forward);
        async move { forward.handle(event, budget).await }.boxed_local()
    })
}

/// Records to publish, each with its index in the batch.
type Pending = Vec<(usize, Record)>;

impl Forward {
    async fn handle(&self, json: Value, budget: Budget) -> Result<Value, String> {
        let event = json.to_string().parse::<ChangeEvent>();
        let event = event.map_err(|error| error.to_string())?;
        let places = event.records.iter().enumerate();
        let mut pending: Pending = places
            .filter_map(|(place, change)| {
                let old_image = &json["Records"][place]["dynamodb"]["OldImage"];
                Some((place, self.record(change, old_image)?))
            })
            .collect();
        // In the order of their first failures.
        let mut failed = Vec::new();
        while !pending.is_empty() {
            if budget.left().is_zero() && self.bug != Bug::ForwardIgnoresDeadline {
                break;
            }
            pending = self.round(pending, &mut failed, budget).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
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
        let calls = next.chunks(CALL).map(|call| self.call(call, budget));
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
        let is_confirmed = |place: usize| {
            let put = response.as_ref().and_then(|puts| puts.get(place));
            matches!(put, Some(PutResult::Confirmed { .. }))
        };
        let unconfirmed = (0..call.len()).filter(|place| !is_confirmed(*place));
        unconfirmed.map(|place| call[place].clone()).collect()
    }

    /// The record that a change requires. `old_image` is the whole one, of which the function reads only two attributes.
    fn record(&self, record: &ChangeRecord, old_image: &Value) -> Option<Record> {
        let is = |bug| self.bug == bug;
        let change = record.change.as_ref()?;
        let is_kind = |kind| change.kind.as_deref() == Some(kind);
        let event = match select(record) {
            Selection::Forward(_) if is(Bug::ModifyDropped) && is_kind("MODIFY") => None,
            Selection::Forward(event) => Some(*event),
            Selection::Skip(_) if is(Bug::RemovalPublished) && is_kind("REMOVE") => {
                let item: Item = serde_json::from_value(old_image.clone()).ok()?;
                let item = NotificationItem::from_item(&item).ok()?;
                Some(NotificationEvent::from_item(&item))
            }
            // A record that the stream rejects.
            Selection::Unreadable(_) if is(Bug::UnreadableBlocks) => {
                let id = onewrite_forward::select::key(record)?;
                return Some(Record {
                    id: onewrite::notification::NotificationId::parse(id).ok()?,
                    data: vec![0; onewrite::limits::MAX_RECORD_BYTES],
                });
            }
            Selection::Skip(_) | Selection::Unreadable(_) => None,
        }?;
        let mut document = event.to_json();
        let image = change.new_image.as_ref();
        let redrives = image.and_then(|image| image.attribute(attribute::REDRIVES));
        if is(Bug::RedriveChangesId) && redrives != Some(AttributeRef::Number("0")) {
            let id = event.id();
            document = document.replacen(&id, &format!("{id}/again"), 1);
        }
        Some(Record {
            id: event.subject.clone(),
            data: document.into_bytes(),
        })
    }
}
