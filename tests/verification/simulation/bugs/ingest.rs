//! A simple `ingest` that processes one message after the other, with at most one planted bug.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt as _;
use onewrite::item::{Enrichment, NotificationItem, to_millis};
use onewrite::notification::MessagePointers;
use onewrite::table::{InsertResult, NewNotifications, TableError};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{FaultyTable, InMemoryTable};
use serde_json::{Value, json};

use super::Bug;
use crate::clock;
use crate::functions::{Handler, Parts, handler as serve};

struct Ingest {
    table: FaultyTable<InMemoryTable>,
    bug: Bug,
}

pub(super) fn handler(parts: &Parts, bug: Bug) -> Handler {
    let table = parts.faulty_table(parts.table.clone());
    let ingest = Rc::new(Ingest { table, bug });
    serve(move |event: Value, budget, _| {
        let ingest = Rc::clone(&ingest);
        async move { ingest.handle(&event, budget).await }.boxed_local()
    })
}

impl Ingest {
    async fn handle(&self, event: &Value, budget: Budget) -> Result<Value, String> {
        let records = event["Records"].as_array().ok_or("no records")?;
        let mut failures = Vec::new();
        let mut blocked = HashSet::new();
        for record in records {
            let message_id = record["messageId"].as_str().filter(|id| !id.is_empty());
            if message_id.is_none() && self.bug != Bug::NullIdentifiers {
                return Err("a message without an id".to_owned());
            }
        }
        for record in records {
            let message_id = record["messageId"].as_str().filter(|id| !id.is_empty());
            let group = record["attributes"]["MessageGroupId"].as_str();
            let is_blocked = group.is_some_and(|group| blocked.contains(group));
            let is_done =
                (!is_blocked || self.bug == Bug::FifoContinues) && self.take(record, budget).await;
            if !is_done {
                blocked.extend(group);
                // A message without an id cannot be reported as failed.
                failures.extend(message_id.map(|id| json!({"itemIdentifier": id})));
            }
        }
        Ok(json!({"batchItemFailures": failures}))
    }

    /// Processes a message. Returns whether it may be deleted.
    async fn take(&self, record: &Value, budget: Budget) -> bool {
        if self.bug == Bug::IngestIgnoresDeadline {
            return self.store(record).await.unwrap_or(false);
        }
        if budget.left().is_zero() {
            return false;
        }
        let store = AssertUnwindSafe(self.store(record)).catch_unwind();
        match tokio::time::timeout_at(budget.end(), store).await {
            Ok(Ok(Ok(is_done))) => is_done,
            Ok(Ok(Err(_))) | Err(_) => self.bug == Bug::AcknowledgedBeforeWrite,
            Ok(Err(panic)) if self.bug == Bug::PanicFailsBatch => std::panic::resume_unwind(panic),
            Ok(Err(_)) => self.bug == Bug::PanicSwallowed,
        }
    }

    async fn store(&self, record: &Value) -> Result<bool, TableError> {
        let is_malformed = self.bug == Bug::MalformedAcknowledged;
        let body = record["body"].as_str().unwrap_or_default();
        let Ok(notification) = MessagePointers::default().parse(body) else {
            return Ok(is_malformed);
        };
        let fingerprint = notification.fingerprint;
        let source = record["messageId"].as_str().unwrap_or_default().to_owned();
        let now = to_millis(clock::wall_clock());
        let none = Enrichment::default();
        let Ok(item) = NotificationItem::new(notification, &none, source, None, now) else {
            return Ok(is_malformed);
        };
        Ok(match self.table.insert(&item).await? {
            InsertResult::Created => true,
            InsertResult::Exists { fingerprint: there } => {
                there == Some(fingerprint) || self.bug == Bug::ConflictAcknowledged
            }
        })
    }
}
