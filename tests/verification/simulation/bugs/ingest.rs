//! A simple `ingest` that processes one message after the other, with at most one planted bug.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt as _;
use onewrite::deferral::Waits;
use onewrite::item::{Enrichment, NotificationItem, PayloadCompression, to_millis};
use onewrite::limits::{MAX_ITEM_BYTES, MAX_VISIBILITY_ENTRIES};
use onewrite::notification::MessagePointers;
use onewrite::queue::{Deferral, DelayedDelivery as _};
use onewrite::table::{InsertResult, NewNotifications, TableError};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{FaultyTable, InMemoryTable};
use serde_json::{Value, json};

use super::Bug;
use crate::clock;
use crate::deferrals::Deferrals;
use crate::functions::{Handler, Parts, handler as serve};

struct Ingest {
    table: FaultyTable<InMemoryTable>,
    queue: Deferrals,
    compression: PayloadCompression,
    bug: Bug,
}

/// The outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Stored,
    FailedTransiently,
    Failed,
}

impl Outcome {
    fn stored_if(is_stored: bool) -> Self {
        if is_stored {
            Self::Stored
        } else {
            Self::Failed
        }
    }
}

pub(super) fn handler(parts: &Parts, bug: Bug) -> Handler {
    let table = parts.faulty_table(parts.table.clone());
    let queue = parts.deferrals.clone();
    let ingest = Rc::new(Ingest {
        table,
        queue,
        compression: parts.compression,
        bug,
    });
    serve(move |event: Value, budget, _| {
        let ingest = Rc::clone(&ingest);
        async move { ingest.handle(&event, budget).await }.boxed_local()
    })
}

impl Ingest {
    async fn handle(&self, event: &Value, budget: Budget) -> Result<Value, String> {
        let records = event["Records"].as_array().ok_or("no records")?;
        let (mut failures, mut deferrals) = (Vec::new(), Vec::new());
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
            let outcome = if is_blocked && self.bug != Bug::FifoContinues {
                Outcome::Failed
            } else {
                self.take(record, budget).await
            };
            if outcome == Outcome::Stored {
                continue;
            }
            blocked.extend(group);
            let is_deferred =
                outcome == Outcome::FailedTransiently || self.bug == Bug::PoisonDeferred;
            deferrals.extend(deferral(record).filter(|_| is_deferred));
            if !(is_deferred && self.bug == Bug::DeferredAcknowledged) {
                // A message without an id cannot be reported as failed.
                failures.extend(message_id.map(|id| json!({"itemIdentifier": id})));
            }
        }
        for chunk in deferrals.chunks(MAX_VISIBILITY_ENTRIES) {
            // A failed call changes nothing but the wait.
            drop(tokio::time::timeout_at(budget.end(), self.queue.defer(chunk)).await);
        }
        Ok(json!({"batchItemFailures": failures}))
    }

    async fn take(&self, record: &Value, budget: Budget) -> Outcome {
        if self.bug == Bug::IngestIgnoresDeadline {
            return Outcome::stored_if(self.store(record).await.unwrap_or(false));
        }
        if budget.left().is_zero() {
            return Outcome::FailedTransiently;
        }
        let store = AssertUnwindSafe(self.store(record)).catch_unwind();
        match tokio::time::timeout_at(budget.end(), store).await {
            Ok(Ok(Ok(is_stored))) => Outcome::stored_if(is_stored),
            Ok(Ok(Err(_))) | Err(_) if self.bug == Bug::AcknowledgedBeforeWrite => Outcome::Stored,
            Ok(Ok(Err(error))) if !error.is_transient() => Outcome::Failed,
            Ok(Ok(Err(_))) | Err(_) => Outcome::FailedTransiently,
            Ok(Err(panic)) if self.bug == Bug::PanicFailsBatch => std::panic::resume_unwind(panic),
            Ok(Err(_)) => Outcome::stored_if(self.bug == Bug::PanicSwallowed),
        }
    }

    /// Returns whether the message may be deleted.
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
        let is_too_large = notification.payload.as_str().len() > MAX_ITEM_BYTES;
        if is_too_large && self.bug == Bug::LimitBeforeCompression {
            return Ok(false);
        }
        let compression = self.compression;
        let item = NotificationItem::new(notification, &none, source, None, now, compression);
        let Ok(item) = item else {
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

/// Hides a message for as long as its receive count requires.
fn deferral(record: &Value) -> Option<Deferral> {
    let count = record["attributes"]["ApproximateReceiveCount"].as_str()?;
    Some(Deferral {
        receipt_handle: record["receiptHandle"].as_str()?.to_owned(),
        wait: Waits::default().after(count.parse().ok()?, clock::jitter())?,
    })
}
