//! Reads the depths of the queues, checks acknowledged messages against the table, and judges dead letters, as long as the stack
//! runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use onewrite::item::{AttributeRef, attribute};
use onewrite::notification::Fingerprint;
use onewrite_stack::dead_letter::{DeadLetterReason, MessageBody, StoredContent};
use onewrite_stack::outputs::StackOutputs;
use onewrite_stack::queue;

use super::observer::StackObserver;
use super::tally::{Check, Depths, Letter};
use crate::clients::Clients;
use crate::error::{LocalError, Result, causes};

/// Time between two readings.
const INTERVAL: Duration = Duration::from_millis(500);

/// The keys of one `BatchGetItem` (DynamoDB API reference).
const BATCH_KEYS: usize = 100;

/// Checks of one round, so that a round ends soon.
const ROUND: usize = 1_000;

/// What the table has under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredRow {
    pub(super) fingerprint: Option<Fingerprint>,
    /// The message that created the item.
    pub(super) created_by: Option<String>,
}

/// Reads items by id, strongly consistent. An id without an item is missing in the result.
pub(super) trait Items: Send + Sync {
    fn fetch(
        &self,
        ids: BTreeSet<String>,
    ) -> impl Future<Output = Result<BTreeMap<String, StoredRow>>> + Send;
}

/// The table of a stack.
pub(super) struct TableItems {
    pub(super) client: aws_sdk_dynamodb::Client,
    pub(super) table: String,
}

impl Items for TableItems {
    async fn fetch(&self, ids: BTreeSet<String>) -> Result<BTreeMap<String, StoredRow>> {
        let mut left: Vec<String> = ids.into_iter().collect();
        let mut rows = BTreeMap::new();
        while !left.is_empty() {
            let batch = left.split_off(left.len().saturating_sub(BATCH_KEYS));
            let request = KeysAndAttributes::builder()
                .set_keys(Some(batch.iter().map(|id| key(id)).collect()))
                .consistent_read(true)
                .projection_expression("#id, #fingerprint, #source")
                .expression_attribute_names("#id", attribute::NOTIFICATION_ID)
                .expression_attribute_names("#fingerprint", attribute::FINGERPRINT)
                .expression_attribute_names("#source", attribute::SOURCE_MESSAGE_ID)
                .build()
                .map_err(|error| LocalError::aws("BatchGetItem", &error))?;
            let response = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(|error| LocalError::aws("BatchGetItem", &error))?;
            let items = response.responses.unwrap_or_default();
            rows.extend(items.into_values().flatten().filter_map(|item| row(&item)));
            let unprocessed = response.unprocessed_keys.unwrap_or_default();
            let keys = unprocessed.into_values().flat_map(|one| one.keys);
            left.extend(keys.filter_map(|key| text(&key, attribute::NOTIFICATION_ID)));
        }
        Ok(rows)
    }
}

fn key(id: &str) -> HashMap<String, AttributeValue> {
    let id = AttributeValue::S(id.to_owned());
    HashMap::from([(attribute::NOTIFICATION_ID.to_owned(), id)])
}

fn row(item: &HashMap<String, AttributeValue>) -> Option<(String, StoredRow)> {
    let fingerprint = match item.get(attribute::FINGERPRINT) {
        Some(AttributeValue::B(bytes)) => AttributeRef::Binary(bytes.as_ref()).as_fingerprint(),
        Some(AttributeValue::S(digits)) => AttributeRef::Text(digits).as_fingerprint(),
        _ => None,
    };
    let row = StoredRow {
        fingerprint,
        created_by: text(item, attribute::SOURCE_MESSAGE_ID),
    };
    Some((text(item, attribute::NOTIFICATION_ID)?, row))
}

fn text(item: &HashMap<String, AttributeValue>, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

/// Watches a stack until the future is dropped.
pub(super) async fn watch(observer: Arc<StackObserver>, clients: Clients, outputs: StackOutputs) {
    let items = TableItems {
        client: clients.dynamodb.clone(),
        table: outputs.table.clone(),
    };
    loop {
        if let Err(error) = round(&observer, &clients, &outputs, &items).await {
            // The emulator may be busy, or about to end.
            tracing::debug!(error = causes(&error), "failed to watch the stack");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn round(
    observer: &StackObserver,
    clients: &Clients,
    outputs: &StackOutputs,
    items: &impl Items,
) -> Result<()> {
    let acknowledged = observer.tally().acknowledged();
    // In this order, a message that moves meanwhile is not counted twice.
    let dead_letters = queue::read_depth(clients, &outputs.dead_letter_queue_url).await?;
    let waiting = queue::read_depth(clients, &outputs.queue_url).await?;
    let depths = Depths {
        acknowledged,
        dead_letters: dead_letters.total() as u64,
        waiting: waiting.total() as u64,
    };
    let now = observer.now();
    observer.tally().read_depths(now, depths);
    judge(observer, items).await?;
    check(observer, items).await
}

/// Judges the messages that were moved to the dead-letter queue.
pub(super) async fn judge(observer: &StackObserver, items: &impl Items) -> Result<()> {
    let letters = observer.tally().dead_letters(observer.now());
    if letters.is_empty() {
        return Ok(());
    }
    let ids = letters.iter().filter_map(id).collect();
    let rows = items.fetch(ids).await?;
    let (now, mut tally) = (observer.now(), observer.tally());
    for letter in &letters {
        let stored = id(letter).and_then(|id| rows.get(&id));
        let stored = stored.map_or(StoredContent::Nothing, |row| {
            StoredContent::Item(row.fingerprint)
        });
        let reason: DeadLetterReason = letter.body.reason(stored);
        tally.judged(now, letter, &reason);
    }
    Ok(())
}

fn id(letter: &Letter) -> Option<String> {
    match &letter.body {
        MessageBody::Notification { id, .. } => Some(id.to_string()),
        MessageBody::Rejected(_) => None,
    }
}

/// Checks that the table has the items of acknowledged messages.
pub(super) async fn check(observer: &StackObserver, items: &impl Items) -> Result<()> {
    let checks = observer.tally().due_checks(observer.now(), ROUND);
    if checks.is_empty() {
        return Ok(());
    }
    let ids = checks
        .iter()
        .map(|check: &Check| check.id.clone())
        .collect();
    let rows = items.fetch(ids).await?;
    let (now, mut tally) = (observer.now(), observer.tally());
    tally.checked(now, |check| {
        let row = rows.get(&check.id)?;
        Some(row.created_by.as_deref())
    });
    Ok(())
}

#[cfg(test)]
mod tests;
