//! Ports that break their contracts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::TransactWriteItem;
use onewrite::item::{NotificationItem, attribute};
use onewrite::notification::NotificationId;
use onewrite::stream::{EventStream, PutResult, Record, StreamError};
use onewrite::table::{
    Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
    NewNotifications, TableError,
};
use onewrite_testing::InMemoryTable;
use serde_dynamo::AttributeValue;

use super::Bug;
use crate::clock;
use crate::effects::{ENTRY_ID, FINGERPRINT, LEDGER, NOTIFICATION_ID};
use crate::invariants::{fingerprint, text};

#[derive(Clone)]
pub(super) struct WrongTable {
    inner: InMemoryTable,
    bug: Bug,
    effects: Arc<AtomicU64>,
    /// The states that it remembers.
    states: Arc<Mutex<HashMap<NotificationId, CurrentState>>>,
}

impl WrongTable {
    pub(super) fn new(inner: InMemoryTable, bug: Bug) -> Self {
        Self {
            inner,
            bug,
            effects: Arc::default(),
            states: Arc::default(),
        }
    }

    /// Replaces the item without a condition.
    fn overwrite(&self, item: &NotificationItem) {
        self.inner.edit(item.notification.id.as_str(), |there| {
            *there = item.to_item().into();
        });
    }

    /// Sets an attribute without a condition.
    fn set(&self, id: &str, name: &str, value: AttributeValue) {
        self.inner.edit(id, |item| {
            item.insert(name.to_owned(), value);
        });
    }

    fn has_text_fingerprint(&self, id: &str) -> bool {
        let item = self.inner.item(id);
        item.is_some_and(|item| text(&item, attribute::FINGERPRINT).is_some())
    }

    /// Commits the effect in a separate call.
    fn effect(&self, completion: &Completion) {
        let key = format!("apart-{}", self.effects.fetch_add(1, Ordering::SeqCst));
        let entry = HashMap::from([
            (ENTRY_ID.to_owned(), AttributeValue::S(key.clone())),
            (
                NOTIFICATION_ID.to_owned(),
                AttributeValue::S(completion.id.to_string()),
            ),
            (
                FINGERPRINT.to_owned(),
                AttributeValue::S(completion.fingerprint.to_string()),
            ),
        ]);
        self.inner.put_other(LEDGER, &key, entry);
    }
}

impl NewNotifications for WrongTable {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let id = item.notification.id.as_str();
        match self.bug {
            Bug::Unconditional => {
                self.overwrite(item);
                Ok(InsertResult::Created)
            }
            Bug::CheckThenAct => {
                if self.inner.item(id).is_some() {
                    return self.inner.insert(item).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                self.overwrite(item);
                Ok(InsertResult::Created)
            }
            Bug::FingerprintIgnored => Ok(match self.inner.insert(item).await? {
                InsertResult::Created => InsertResult::Created,
                InsertResult::Exists { .. } => InsertResult::Exists {
                    fingerprint: Some(item.notification.fingerprint),
                },
            }),
            Bug::IdTruncated => {
                let mut short = item.clone();
                let id: String = id.chars().take(64).collect();
                short.notification.id = NotificationId::parse(id).unwrap();
                self.inner.insert(&short).await
            }
            Bug::PayloadRewritten => {
                let inserted = self.inner.insert(item).await?;
                if inserted == InsertResult::Created {
                    let payload: serde_json::Value =
                        serde_json::from_str(item.notification.payload.as_str()).unwrap();
                    let payload = AttributeValue::S(payload.to_string());
                    self.set(id, attribute::PAYLOAD, payload);
                }
                Ok(inserted)
            }
            Bug::BinaryFingerprintOnly => {
                let inserted = self.inner.insert(item).await?;
                let is_created = inserted == InsertResult::Created;
                Ok(if !is_created && self.has_text_fingerprint(id) {
                    InsertResult::Exists { fingerprint: None }
                } else {
                    inserted
                })
            }
            Bug::ExpiresInInit => {
                let mut expiring = item.clone();
                expiring.expires_at = Some(clock::wall_clock().as_second() + 3_600);
                self.inner.insert(&expiring).await
            }
            _ => self.inner.insert(item).await,
        }
    }
}

impl CurrentStates for WrongTable {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        let mut states = self.inner.current_states(ids).await?;
        let mut known = self.states.lock().unwrap();
        for (id, state) in &mut states {
            match self.bug {
                Bug::StateStale => *state = *known.entry(id.clone()).or_insert(*state),
                Bug::SettledById if state.status.is_settled() => {
                    let fingerprint = None;
                    known.insert(
                        id.clone(),
                        CurrentState {
                            fingerprint,
                            ..*state
                        },
                    );
                }
                Bug::SettledById => *state = known.get(id).copied().unwrap_or(*state),
                _ => {}
            }
        }
        Ok(states)
    }
}

impl Completions for WrongTable {
    type Write = TransactWriteItem;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<TransactWriteItem>,
    ) -> Result<CompletionResult, TableError> {
        let id = completion.id.as_str();
        match self.bug {
            Bug::DoneUnconditional => {
                let status = AttributeValue::S(completion.verdict.status().to_string());
                self.set(id, attribute::STATUS, status);
                self.set(id, attribute::VERSION, AttributeValue::N("2".to_owned()));
                self.effect(completion);
                Ok(CompletionResult::Settled)
            }
            Bug::BackToInit => {
                let completed = self.inner.complete(completion, writes).await?;
                if matches!(completed, CompletionResult::AlreadySettled(_)) {
                    self.set(id, attribute::STATUS, AttributeValue::S("INIT".to_owned()));
                }
                Ok(completed)
            }
            Bug::ClockInCondition => {
                let item = self.inner.item(id);
                let created = item.and_then(|item| text(&item, attribute::CREATED_AT));
                let is_later = |created: &String| *created > completion.at.to_string();
                if created.as_ref().is_some_and(is_later) {
                    return Ok(CompletionResult::AlreadySettled(
                        completion.verdict.status(),
                    ));
                }
                self.inner.complete(completion, writes).await
            }
            Bug::ReusedIdIgnored => {
                let item = self.inner.item(id);
                let found = item.and_then(|item| fingerprint(&item)?.parse().ok());
                let completion = Completion {
                    fingerprint: found.unwrap_or(completion.fingerprint),
                    ..completion.clone()
                };
                self.inner.complete(&completion, writes).await
            }
            Bug::TextFingerprintRefused if self.has_text_fingerprint(id) => {
                Ok(CompletionResult::OtherNotification)
            }
            Bug::LoserNamed => {
                let completed = self.inner.complete(completion, writes).await?;
                let is_settled = matches!(completed, CompletionResult::AlreadySettled(_));
                if let Some(name) = completion.settled_by.as_ref().filter(|_| is_settled) {
                    let name = AttributeValue::S(name.to_string());
                    self.set(id, attribute::SETTLED_BY, name);
                }
                Ok(completed)
            }
            Bug::EffectOutsideTransaction => {
                self.effect(completion);
                self.inner.complete(completion, Vec::new()).await
            }
            _ => self.inner.complete(completion, writes).await,
        }
    }
}

#[derive(Clone)]
pub(super) struct WrongStream<S> {
    inner: S,
    bug: Bug,
}

impl<S> WrongStream<S> {
    pub(super) fn new(inner: S, bug: Bug) -> Self {
        Self { inner, bug }
    }

    fn change(&self, record: &Record) -> Record {
        let mut record = record.clone();
        if self.bug == Bug::WrongPartitionKey {
            record.id = NotificationId::parse("all").unwrap();
        }
        record
    }
}

impl<S: EventStream> EventStream for WrongStream<S> {
    async fn put(&self, records: &[Record]) -> Result<Vec<PutResult>, StreamError> {
        let records: Vec<Record> = records.iter().map(|record| self.change(record)).collect();
        let mut puts = self.inner.put(&records).await?;
        if self.bug == Bug::EntryFailuresDropped {
            for put in &mut puts {
                *put = PutResult::Confirmed {
                    shard_id: String::new(),
                    sequence_number: String::new(),
                };
            }
        }
        Ok(puts)
    }
}
