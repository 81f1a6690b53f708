//! Events, and a downstream whose effects are entries of a ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::Mutex,
    sync::atomic::AtomicUsize,
    sync::atomic::Ordering::SeqCst,
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use onewrite::{
    completion::{Completer, Downstream, DownstreamError, Effect},
    event::NotificationEvent,
    item::{NotificationItem, attribute},
    notification::{NotificationId, Status},
    stream::Record,
    table::{Completions, CurrentStates, NewNotifications},
};
use onewrite_complete::{handler::Complete, record::ShardEvent};
use onewrite_runtime::budget::Budget;
use onewrite_testing::{InMemoryTable, StoredRecord, contract, lambda_event};
use serde_dynamo::AttributeValue as Value;

pub(crate) const BUDGET: Duration = Duration::from_secs(10);

pub(crate) const LEDGER: &str = "ledger";

/// A downstream whose behaviour depends on the prefix of the id: `rejects-`, `panics-`, `hangs-`,
/// `doubted-` (its write's condition is false), `calls-` (the call is the effect), `slow-` (the same, after 7.5 s), `refuses-`, `busy-`. Any other effect is a new entry of
/// the ledger per call, so a repeated effect leaves two entries.
#[derive(Default)]
pub(crate) struct LedgerDownstream {
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) most_in_flight: AtomicUsize,
    /// Whether the handler checks the current states first.
    pub(crate) checks_state: bool,
}

impl Downstream<TransactWriteItem> for &LedgerDownstream {
    async fn accept(
        &self,
        event: &NotificationEvent,
    ) -> Result<Effect<TransactWriteItem>, DownstreamError> {
        let id = event.subject.as_str();
        let call = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(id.to_owned());
            calls.len()
        };
        let now = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.most_in_flight.fetch_max(now, SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.in_flight.fetch_sub(1, SeqCst);
        let kind = id.split_once('-').map_or("", |(kind, _)| kind);
        match kind {
            "rejects" => return Err(DownstreamError::new("the downstream rejects the event")),
            "busy" => return Err(DownstreamError::retry_later("the downstream is busy", None)),
            "panics" => panic!("{}", event.data.as_str()),
            "hangs" => pending().await,
            "calls" => return Ok(Effect::Happened),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(7_500)).await;
                return Ok(Effect::Happened);
            }
            "refuses" => return Ok(Effect::Refused("account_closed".parse().unwrap())),
            _ => {}
        }
        let text = |text: String| AttributeValue::S(text);
        let entry = Put::builder()
            .table_name(LEDGER)
            .item("entry_id", text(format!("{id}#{call}")))
            .item("of", text(id.to_owned()))
            .set_condition_expression(
                (kind == "doubted").then(|| "attribute_exists(of)".to_owned()),
            )
            .build()
            .unwrap();
        let write = TransactWriteItem::builder().put(entry).build();
        Ok(Effect::CommitWith(vec![write]))
    }

    fn checks_state(&self) -> bool {
        self.checks_state
    }
}

impl LedgerDownstream {
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

pub(crate) fn table() -> InMemoryTable {
    InMemoryTable::default().with_other_table(LEDGER, "entry_id")
}

/// Stores a notification; returns its INIT event.
pub(crate) async fn store(table: &InMemoryTable, id: &str) -> Vec<u8> {
    let item = contract::notification(id, &format!(r#"{{"canary":"of {id}"}}"#));
    table.insert(&item).await.unwrap();
    document(&item)
}

pub(crate) async fn store_all(table: &InMemoryTable, ids: &[&str]) -> Vec<Vec<u8>> {
    let mut documents = Vec::new();
    for id in ids {
        documents.push(store(table, id).await);
    }
    documents
}

/// The INIT event of a notification that is not in the table.
pub(crate) fn unknown(id: &str) -> Vec<u8> {
    document(&contract::notification(id, "null"))
}

pub(crate) fn done_event(id: &str) -> Vec<u8> {
    let mut item = contract::notification(id, "null");
    item.status = Status::Done;
    item.version = Status::Done.version();
    document(&item)
}

pub(crate) fn document(item: &NotificationItem) -> Vec<u8> {
    NotificationEvent::from_item(item).to_json().into_bytes()
}

/// The sequence number of a record: 8, 9, 10, 11 …, which sort as numbers but not as text.
pub(crate) fn sequence_number(place: usize) -> String {
    (8 + place).to_string()
}

pub(crate) fn batch(documents: &[Vec<u8>]) -> ShardEvent {
    batch_from(0, documents)
}

pub(crate) fn batch_from(first: usize, documents: &[Vec<u8>]) -> ShardEvent {
    let records: Vec<_> = documents
        .iter()
        .enumerate()
        .skip(first)
        .map(|(place, data)| StoredRecord {
            sequence_number: sequence_number(place),
            shard_id: "shardId-000000000000".to_owned(),
            record: Record {
                id: NotificationId::parse("any").unwrap(),
                data: data.clone(),
            },
            at: Timestamp::UNIX_EPOCH,
        })
        .collect();
    lambda_event::kinesis(&records)
}

pub(crate) fn complete<T: Completions + CurrentStates>(
    table: T,
    downstream: &LedgerDownstream,
) -> Complete<T, &LedgerDownstream>
where
    for<'a> &'a LedgerDownstream: Downstream<T::Write>,
{
    Complete::new(Completer::new(table, 0), downstream, 4)
}

/// Returns the reported sequence number, if any.
pub(crate) async fn handle<T: Completions<Write = TransactWriteItem> + CurrentStates>(
    table: T,
    downstream: &LedgerDownstream,
    event: ShardEvent,
) -> Option<String> {
    handle_within(table, downstream, event, BUDGET).await
}

pub(crate) async fn handle_within<T: Completions<Write = TransactWriteItem> + CurrentStates>(
    table: T,
    downstream: &LedgerDownstream,
    event: ShardEvent,
    budget: Duration,
) -> Option<String> {
    let response = complete(table, downstream)
        .handle(event, Budget::from_remaining(None, budget))
        .await
        .unwrap();
    assert!(
        response.batch_item_failures.len() <= 1,
        "only the lowest failure"
    );
    response
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier.unwrap())
        .next()
}

pub(crate) fn is_done(table: &InMemoryTable, id: &str) -> bool {
    let status = table.item(id).unwrap().get(attribute::STATUS).cloned();
    status == Some(Value::S("DONE".to_owned()))
}

/// Counts the committed effects of each notification.
pub(crate) fn ledger(table: &InMemoryTable) -> BTreeMap<String, usize> {
    let mut effects = BTreeMap::new();
    for entry in table.other_items(LEDGER).into_values() {
        let Some(Value::S(id)) = entry.get("of").cloned() else {
            panic!("an entry without notification id");
        };
        *effects.entry(id).or_default() += 1;
    }
    effects
}

/// Counts the changes of each item, including its INSERT.
pub(crate) fn changes(table: &InMemoryTable) -> BTreeMap<String, usize> {
    let mut changes = BTreeMap::new();
    for change in table.changes() {
        *changes.entry(change.id).or_default() += 1;
    }
    changes
}

pub(crate) fn assert_each_done_once<'a>(
    table: &InMemoryTable,
    ids: impl IntoIterator<Item = &'a str>,
) {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    for id in &ids {
        assert!(is_done(table, id), "{id} is DONE");
    }
    let each = |count| ids.iter().map(|id| ((*id).to_owned(), count)).collect();
    assert_eq!(ledger(table), each(1), "one effect each");
    assert_eq!(changes(table), each(2), "INSERT and one transition each");
}
