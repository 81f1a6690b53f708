//! Checks the contracts of the ports to table and queue. Each function makes calls and panics at the first violation. The
//! in-memory model of the table and every adapter must meet them.
//!
//! All ids and keys begin with `prefix`, so several runs can share a table. Pass a unique prefix of at most 100 characters
//! to each call.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use futures::future::join_all;
use jiff::Timestamp;

use onewrite::{
    item::{Enrichment, NotificationItem, PayloadCompression, expiry, to_millis},
    limits::{
        ITEM_GROWTH_BYTES, MAX_CONSUMER_NAME_CHARS, MAX_ID_CHARS, MAX_ITEM_BYTES,
        MAX_REFUSAL_CHARS, MAX_TRANSACT_WRITES,
    },
    notification::{MessagePointers, NotificationId, Status},
    queue::{Deferral, DeferralResult, DelayedDelivery},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError, Verdict,
    },
};

/// The number of competing calls, of which one wins.
const COMPETITORS: usize = 20;

/// The number of ids in the largest read. `BatchGetItem` returns at most 100 items (DynamoDB API reference).
const MANY_IDS: usize = 120;

/// Builds a notification as `ingest` writes it.
///
/// # Panics
/// Panics if `id` is not a valid id or `payload` is not JSON.
#[must_use]
pub fn notification(id: &str, payload: &str) -> NotificationItem {
    stored_notification(id, payload, PayloadCompression::Auto)
}

fn stored_notification(
    id: &str,
    payload: &str,
    compression: PayloadCompression,
) -> NotificationItem {
    let id_json = serde_json::Value::from(id);
    let body = format!(r#"{{"notification_id":{id_json},"type":"refund","payload":{payload}}}"#);
    let notification = expect_ok(MessagePointers::default().parse(&body));
    let now = to_millis(Timestamp::now());
    let message_id = "00000000-0000-4000-8000-000000000000".to_owned();
    let item = NotificationItem::new(
        notification,
        &Enrichment::default(),
        message_id,
        None,
        now,
        compression,
    );
    expect_ok(item)
}

/// Builds the completion that the INIT event of a notification requests: DONE of `notification(id, "1")`.
///
/// # Panics
/// Panics if `id` is not a valid id.
#[must_use]
pub fn completion(id: &str) -> Completion {
    completion_of(&notification(id, "1"))
}

/// Builds the completion that the INIT event of this item requests.
#[must_use]
pub fn completion_of(item: &NotificationItem) -> Completion {
    let now = to_millis(Timestamp::now());
    Completion {
        id: item.notification.id.clone(),
        version: Status::Init.version(),
        fingerprint: item.notification.fingerprint,
        verdict: Verdict::Done,
        settled_by: None,
        at: now,
        expires_at: Some(expiry(now, 30)),
    }
}

/// Checks the contract of [`NewNotifications`].
pub async fn new_notifications(table: &impl NewNotifications, prefix: &str) {
    writes_an_item_once(table, &format!("{prefix}once")).await;
    creates_one_of_many_inserts(table, &format!("{prefix}compete")).await;
    stores_each_id_separately(table, prefix).await;
    writes_the_largest_item(table, &format!("{prefix}largest")).await;
}

async fn writes_an_item_once(table: &impl NewNotifications, id: &str) {
    let (first, other) = (notification(id, "1"), notification(id, "2"));
    assert_eq!(expect_ok(table.insert(&first).await), InsertResult::Created);
    let exists = existing(&first);
    assert_eq!(expect_ok(table.insert(&first).await), exists, "a duplicate");
    assert_eq!(expect_ok(table.insert(&other).await), exists, "a conflict");
    assert_eq!(
        expect_ok(table.insert(&first).await),
        exists,
        "left unchanged"
    );
}

async fn creates_one_of_many_inserts(table: &impl NewNotifications, id: &str) {
    let items: Vec<_> = (0..COMPETITORS)
        .map(|n| notification(id, &n.to_string()))
        .collect();
    let inserted = join_all(items.iter().map(|item| table.insert(item))).await;
    let inserted: Vec<_> = inserted.into_iter().map(expect_ok).collect();
    let created = |inserted: &InsertResult| *inserted == InsertResult::Created;
    let winners: Vec<_> = (0..COMPETITORS)
        .filter(|&n| created(&inserted[n]))
        .collect();
    assert_eq!(winners.len(), 1, "one insert creates");
    let winner = existing(&items[winners[0]]);
    for answer in inserted.iter().filter(|answer| !created(answer)) {
        assert_eq!(
            *answer, winner,
            "the others receive the winner's fingerprint"
        );
    }
}

async fn stores_each_id_separately(table: &impl NewNotifications, prefix: &str) {
    let printable: String = ('!'..='~').collect();
    let fill = |last: char| {
        let length = MAX_ID_CHARS - prefix.len() - 1;
        format!("{prefix}{}{last}", "x".repeat(length))
    };
    let ids = ["id", "ID", "id.", "1", "01", &printable].map(|end| format!("{prefix}{end}"));
    for id in ids.into_iter().chain([fill('a'), fill('b')]) {
        let inserted = expect_ok(table.insert(&notification(&id, "1")).await);
        assert_eq!(inserted, InsertResult::Created, "{id}");
    }
}

async fn writes_the_largest_item(table: &impl NewNotifications, id: &str) -> NotificationItem {
    let overhead = notification(id, "\"\"").bytes() + ITEM_GROWTH_BYTES;
    let payload = format!("\"{}\"", "x".repeat(MAX_ITEM_BYTES - overhead));
    let item = stored_notification(id, &payload, PayloadCompression::Never);
    assert_eq!(expect_ok(table.insert(&item).await), InsertResult::Created);
    assert_eq!(expect_ok(table.insert(&item).await), existing(&item));
    item
}

/// Checks the contract of [`DelayedDelivery`] with the handle of a message that was received and not deleted. The message
/// stays hidden for an hour.
pub async fn delayed_delivery(queue: &impl DelayedDelivery, receipt_handle: &str) {
    let deferral = |receipt_handle: &str| Deferral {
        receipt_handle: receipt_handle.to_owned(),
        wait: Duration::from_secs(3_600),
    };
    let deferrals = [deferral("unknown"), deferral(receipt_handle)];
    let results = expect_ok(queue.defer(&deferrals).await);
    assert!(
        matches!(
            results[..],
            [DeferralResult::Failed { .. }, DeferralResult::Deferred]
        ),
        "one result per deferral, in their order: {results:?}"
    );
}

/// Checks the contract of [`Completions`] without the consumer's writes.
pub async fn completions<T: NewNotifications + Completions>(table: &T, prefix: &str) {
    completes_an_item_once(table, &format!("{prefix}done")).await;
    rejects_an_unknown_id(table, &format!("{prefix}unknown")).await;
    refuses_an_item_once(table, &format!("{prefix}refused")).await;
    rejects_another_version(table, &format!("{prefix}version")).await;
    rejects_another_notification(table, &format!("{prefix}other")).await;
    accepts_one_of_many_completions(table, &format!("{prefix}compete")).await;
    completes_the_largest_item(table, &format!("{prefix}largest")).await;
}

async fn completes_an_item_once<T: NewNotifications + Completions>(table: &T, id: &str) {
    let item = insert_new(table, id).await;
    assert_eq!(complete(table, id).await, CompletionResult::Settled);
    assert_eq!(
        complete(table, id).await,
        CompletionResult::AlreadySettled(Status::Done)
    );
    assert_eq!(
        expect_ok(table.insert(&item).await),
        existing(&item),
        "still there"
    );
    assert_eq!(
        complete(table, id).await,
        CompletionResult::AlreadySettled(Status::Done)
    );
}

async fn rejects_an_unknown_id<T: NewNotifications + Completions>(table: &T, id: &str) {
    assert_eq!(complete(table, id).await, CompletionResult::UnknownId);
    insert_new(table, id).await;
}

async fn rejects_another_version<T: NewNotifications + Completions>(table: &T, id: &str) {
    insert_new(table, id).await;
    let mut other = completion(id);
    other.version += 1;
    let completed = expect_ok(table.complete(&other, Vec::new()).await);
    assert_eq!(completed, CompletionResult::VersionMismatch);
    assert_eq!(complete(table, id).await, CompletionResult::Settled);
    let completed = expect_ok(table.complete(&other, Vec::new()).await);
    assert_eq!(
        completed,
        CompletionResult::AlreadySettled(Status::Done),
        "DONE at any version is DONE"
    );
}

async fn refuses_an_item_once<T: NewNotifications + Completions>(table: &T, id: &str) {
    insert_new(table, id).await;
    let refused = Completion {
        verdict: Verdict::Refused(expect_ok("account_closed".parse())),
        ..completion(id)
    };
    let already = CompletionResult::AlreadySettled(Status::Refused);
    for expected in [CompletionResult::Settled, already] {
        let completed = expect_ok(table.complete(&refused, Vec::new()).await);
        assert_eq!(completed, expected);
    }
    assert_eq!(complete(table, id).await, already, "REFUSED is final");
}

async fn rejects_another_notification<T: NewNotifications + Completions>(table: &T, id: &str) {
    insert_new(table, id).await;
    let other = completion_of(&notification(id, "2"));
    for _ in 0..2 {
        let completed = expect_ok(table.complete(&other, Vec::new()).await);
        assert_eq!(completed, CompletionResult::OtherNotification);
        // The first round finds INIT, the second one finds DONE.
        complete(table, id).await;
    }
}

async fn accepts_one_of_many_completions<T: NewNotifications + Completions>(table: &T, id: &str) {
    insert_new(table, id).await;
    let completed = join_all((0..COMPETITORS).map(|_| complete(table, id))).await;
    let count = |outcome| completed.iter().filter(|&&c| c == outcome).count();
    assert_eq!(count(CompletionResult::Settled), 1);
    assert_eq!(
        count(CompletionResult::AlreadySettled(Status::Done)),
        COMPETITORS - 1
    );
}

async fn completes_the_largest_item<T: NewNotifications + Completions>(table: &T, id: &str) {
    let completion = Completion {
        verdict: Verdict::Refused(expect_ok("x".repeat(MAX_REFUSAL_CHARS).parse())),
        settled_by: Some(expect_ok("x".repeat(MAX_CONSUMER_NAME_CHARS).parse())),
        ..completion_of(&writes_the_largest_item(table, id).await)
    };
    let completed = expect_ok(table.complete(&completion, Vec::new()).await);
    assert_eq!(completed, CompletionResult::Settled);
}

/// Checks the contract of [`CurrentStates`].
pub async fn current_states<T>(table: &T, prefix: &str)
where
    T: NewNotifications + Completions + CurrentStates,
{
    reads_the_last_write(table, &format!("{prefix}last")).await;
    reads_a_refused_item(table, &format!("{prefix}refused")).await;
    reads_many_ids(table, &format!("{prefix}many-")).await;
    assert_eq!(states(table, &[]).await, [], "no id");
}

async fn reads_the_last_write<T>(table: &T, id: &str)
where
    T: NewNotifications + Completions + CurrentStates,
{
    let ids = [id.to_owned()];
    assert_eq!(states(table, &ids).await, [None], "no item yet");
    let item = insert_new(table, id).await;
    let stored = states(table, &ids).await;
    assert_eq!(stored, [Some(state_of(&item, Status::Init))]);
    complete(table, id).await;
    let settled = states(table, &ids).await;
    assert_eq!(settled, [Some(state_of(&item, Status::Done))]);
}

async fn reads_a_refused_item<T>(table: &T, id: &str)
where
    T: NewNotifications + Completions + CurrentStates,
{
    let item = insert_new(table, id).await;
    let refused = Completion {
        verdict: Verdict::Refused(expect_ok("account_closed".parse())),
        ..completion(id)
    };
    expect_ok(table.complete(&refused, Vec::new()).await);
    let settled = states(table, &[id.to_owned()]).await;
    assert_eq!(settled, [Some(state_of(&item, Status::Refused))]);
}

/// More ids than one call of DynamoDB takes. Every third one has no item, and the first one is given twice.
async fn reads_many_ids<T>(table: &T, prefix: &str)
where
    T: NewNotifications + CurrentStates,
{
    let mut ids: Vec<String> = (0..MANY_IDS).map(|n| format!("{prefix}{n}")).collect();
    let mut expected = Vec::with_capacity(ids.len());
    for (n, id) in ids.iter().enumerate() {
        if n % 3 == 1 {
            expected.push(None);
        } else {
            let item = notification(id, &n.to_string());
            expect_ok(table.insert(&item).await);
            expected.push(Some(state_of(&item, Status::Init)));
        }
    }
    ids.push(ids[0].clone());
    expected.push(expected[0]);
    assert_eq!(states(table, &ids).await, expected);
}

/// The current state of each id.
async fn states(table: &impl CurrentStates, ids: &[String]) -> Vec<Option<CurrentState>> {
    let id = |id: &String| expect_ok(NotificationId::parse(id.clone()));
    let ids: Vec<NotificationId> = ids.iter().map(id).collect();
    let states = expect_ok(table.current_states(&ids).await);
    let is_asked = states.keys().all(|id| ids.contains(id));
    assert!(is_asked, "a state of an id that was not asked for");
    ids.iter().map(|id| states.get(id).copied()).collect()
}

fn state_of(item: &NotificationItem, status: Status) -> CurrentState {
    CurrentState {
        status,
        version: status.version(),
        fingerprint: Some(item.notification.fingerprint),
    }
}

/// A table of the consumer to which effects are committed.
#[derive(Debug, Clone, Copy)]
pub struct EffectsTable<'a> {
    /// The name of the table.
    pub name: &'a str,
    /// The name of the partition key, a string attribute.
    pub key: &'a str,
}

impl EffectsTable<'_> {
    /// Builds a write that fails if an item with the same key exists.
    ///
    /// # Panics
    /// Never for a table with a name and a key.
    #[must_use]
    pub fn effect(&self, key: &str) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(self.name)
            .item(self.key, AttributeValue::S(key.to_owned()))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", self.key)
            .build();
        TransactWriteItem::builder().put(expect_ok(put)).build()
    }
}

/// Checks the contract of [`Completions`] with the consumer's writes.
pub async fn completions_with_writes<T>(table: &T, effects: EffectsTable<'_>, prefix: &str)
where
    T: NewNotifications + Completions<Write = TransactWriteItem>,
{
    let contract = Transactions { table, effects };
    contract
        .commits_effects_with_done(&format!("{prefix}commit"))
        .await;
    contract
        .commits_nothing_without_done(&format!("{prefix}without"))
        .await;
    contract
        .one_rejected_write_rejects_all(&format!("{prefix}refused"))
        .await;
    contract
        .commits_one_of_many_transactions(&format!("{prefix}compete"))
        .await;
    contract
        .rejects_too_many_writes(&format!("{prefix}size"))
        .await;
}

struct Transactions<'a, T> {
    table: &'a T,
    effects: EffectsTable<'a>,
}

impl<T: NewNotifications + Completions<Write = TransactWriteItem>> Transactions<'_, T> {
    async fn complete(&self, id: &str, keys: &[&str]) -> Result<CompletionResult, TableError> {
        let writes = keys.iter().map(|key| self.effects.effect(key)).collect();
        self.table.complete(&completion(id), writes).await
    }

    /// Checks whether an effect was committed, by trying to commit one with the same key.
    async fn is_committed(&self, key: &str) -> bool {
        let id = format!("{key}-probe");
        insert_new(self.table, &id).await;
        match expect_ok(self.complete(&id, &[key]).await) {
            CompletionResult::Settled => false,
            CompletionResult::WritesRefused => true,
            other => panic!("the probe of {key} found {other:?}"),
        }
    }

    async fn commits_effects_with_done(&self, id: &str) {
        insert_new(self.table, id).await;
        let keys = [&*format!("{id}-a"), &*format!("{id}-b")];
        let completed = expect_ok(self.complete(id, &keys).await);
        assert_eq!(completed, CompletionResult::Settled);
        for key in keys {
            assert!(self.is_committed(key).await, "{key} commits");
        }
        let late = format!("{id}-late");
        let completed = expect_ok(self.complete(id, &[&late]).await);
        assert_eq!(completed, CompletionResult::AlreadySettled(Status::Done));
        assert!(
            !self.is_committed(&late).await,
            "{late} must not commit after DONE"
        );
    }

    async fn commits_nothing_without_done(&self, id: &str) {
        let key = format!("{id}-effect");
        let completed = expect_ok(self.complete(id, &[&key]).await);
        assert_eq!(completed, CompletionResult::UnknownId);
        insert_new(self.table, id).await;
        let mut other = completion(id);
        other.version += 1;
        let writes = vec![self.effects.effect(&key)];
        let completed = expect_ok(self.table.complete(&other, writes).await);
        assert_eq!(completed, CompletionResult::VersionMismatch);
        assert!(
            !self.is_committed(&key).await,
            "{key} must not commit without DONE"
        );
    }

    async fn one_rejected_write_rejects_all(&self, id: &str) {
        insert_new(self.table, id).await;
        let (free, used) = (format!("{id}-free"), format!("{id}-used"));
        assert!(!self.is_committed(&used).await, "the probe commits it");
        let completed = expect_ok(self.complete(id, &[&free, &used]).await);
        assert_eq!(completed, CompletionResult::WritesRefused);
        assert!(!self.is_committed(&free).await, "{free} must not commit");
        let completed = complete(self.table, id).await;
        assert_eq!(
            completed,
            CompletionResult::Settled,
            "the item is still in INIT"
        );
    }

    /// Competing transactions may all fail because they conflict. Then Lambda retries the event.
    async fn commits_one_of_many_transactions(&self, id: &str) {
        insert_new(self.table, id).await;
        let keys: Vec<_> = (0..COMPETITORS).map(|n| format!("{id}-{n}")).collect();
        let calls = keys.iter().map(|key| async move {
            let completed = self.complete(id, &[key]).await;
            matches!(completed, Ok(CompletionResult::Settled))
        });
        let mut accepted = join_all(calls).await;
        let last = format!("{id}-last");
        let completed = expect_ok(self.complete(id, &[&last]).await);
        accepted.push(completed == CompletionResult::Settled);
        for (key, accepted) in keys.iter().chain([&last]).zip(&accepted) {
            assert_eq!(self.is_committed(key).await, *accepted, "{key}");
        }
        assert_eq!(accepted.iter().filter(|accepted| **accepted).count(), 1);
    }

    async fn rejects_too_many_writes(&self, id: &str) {
        insert_new(self.table, id).await;
        let keys: Vec<_> = (0..MAX_TRANSACT_WRITES)
            .map(|n| format!("{id}-{n}"))
            .collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let refused = self.complete(id, &keys).await;
        assert!(
            matches!(refused, Err(TableError::TooManyWrites { .. })),
            "{refused:?}"
        );
        let completed = expect_ok(self.complete(id, &keys[1..]).await);
        assert_eq!(completed, CompletionResult::Settled);
    }
}

async fn insert_new(table: &impl NewNotifications, id: &str) -> NotificationItem {
    let item = notification(id, "1");
    assert_eq!(
        expect_ok(table.insert(&item).await),
        InsertResult::Created,
        "{id}"
    );
    item
}

async fn complete<T: Completions>(table: &T, id: &str) -> CompletionResult {
    expect_ok(table.complete(&completion(id), Vec::new()).await)
}

fn existing(item: &NotificationItem) -> InsertResult {
    let fingerprint = Some(item.notification.fingerprint);
    InsertResult::Exists { fingerprint }
}

fn expect_ok<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
