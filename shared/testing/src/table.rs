//! The in-memory table: models DynamoDB's conditional writes, transactions and stream, without faults.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
    str::FromStr,
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::types::{AttributeValue as SdkValue, TransactWriteItem};
use jiff::Timestamp;
use serde_dynamo::{AttributeValue, Item};

use super::{Change, lambda_event};
use crate::lock::lock;
use onewrite::error::ServiceError;
use onewrite::{
    item::{AttributeRef, NotificationItem, attribute, to_rfc3339},
    limits::{MAX_ITEM_BYTES, MAX_TRANSACT_WRITES},
    notification::{Fingerprint, NotificationId, Status},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError, Verdict,
    },
};

type Attributes = HashMap<String, AttributeValue>;

/// Models the notification table, its stream, and the consumer's own tables.
///
/// A consumer's writes may be `Put` (with or without a condition) and `ConditionCheck`; a condition may be
/// `attribute_exists(name)` or `attribute_not_exists(name)`. Anything else is rejected as `NotModelled`.
#[derive(Clone)]
pub struct InMemoryTable {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

#[derive(Default)]
struct State {
    items: BTreeMap<String, Attributes>,
    changes: Vec<Change>,
    others: BTreeMap<String, OtherTable>,
}

struct OtherTable {
    key: String,
    items: BTreeMap<String, Attributes>,
}

impl Default for InMemoryTable {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            clock: Arc::new(Timestamp::now),
        }
    }
}

impl InMemoryTable {
    /// Uses another clock for the time of a change.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            ..self
        }
    }

    /// Adds a table of the consumer, whose partition key is the attribute `key`.
    #[must_use]
    pub fn with_other_table(self, name: &str, key: &str) -> Self {
        let other = OtherTable {
            key: key.to_owned(),
            items: BTreeMap::new(),
        };
        lock(&self.state).others.insert(name.to_owned(), other);
        self
    }

    /// Returns the item with this id.
    #[must_use]
    pub fn item(&self, id: &str) -> Option<Item> {
        lock(&self.state).items.get(id).map(to_item)
    }

    /// Returns all items, by id.
    #[must_use]
    pub fn items(&self) -> BTreeMap<String, Item> {
        let state = lock(&self.state);
        state
            .items
            .iter()
            .map(|(id, attributes)| (id.clone(), to_item(attributes)))
            .collect()
    }

    /// Returns the items of a consumer's table, by key.
    #[must_use]
    pub fn other_items(&self, table: &str) -> BTreeMap<String, Item> {
        let state = lock(&self.state);
        let items = state.others.get(table).map(|other| &other.items);
        items
            .into_iter()
            .flatten()
            .map(|(key, attributes)| (key.clone(), to_item(attributes)))
            .collect()
    }

    /// Returns all changes in order. A write that changes nothing creates no stream record (developer guide, "Streams").
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.state).changes.clone()
    }

    /// Skips the first `count` changes and returns the rest.
    #[must_use]
    pub fn changes_since(&self, count: usize) -> Vec<Change> {
        lock(&self.state)
            .changes
            .get(count..)
            .unwrap_or_default()
            .to_vec()
    }

    /// Returns all changes as one Lambda event.
    #[must_use]
    pub fn stream_event<E: FromStr<Err: Debug>>(&self) -> E {
        lambda_event::dynamodb(&self.changes())
    }

    /// Edits or creates an item, as an operator with write access can.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut HashMap<String, AttributeValue>)) {
        let mut state = lock(&self.state);
        let key = AttributeValue::S(id.to_owned());
        let mut attributes =
            state.items.get(id).cloned().unwrap_or_else(|| {
                Attributes::from([(attribute::NOTIFICATION_ID.to_owned(), key)])
            });
        edit(&mut attributes);
        state.set(id, Some(attributes), (self.clock)(), false);
    }

    /// Writes an item to a consumer's table without a transaction or a condition.
    pub fn put_other(&self, table: &str, key: &str, item: HashMap<String, AttributeValue>) {
        if let Some(other) = lock(&self.state).others.get_mut(table) {
            other.items.insert(key.to_owned(), item);
        }
    }

    /// Removes an item, as an operator with write access can.
    pub fn remove(&self, id: &str) {
        lock(&self.state).set(id, None, (self.clock)(), false);
    }

    /// Removes an item, as DynamoDB TTL does.
    pub fn expire(&self, id: &str) {
        lock(&self.state).set(id, None, (self.clock)(), true);
    }
}

impl NewNotifications for InMemoryTable {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let bytes = item.bytes();
        if bytes > MAX_ITEM_BYTES {
            return Err(refused("ValidationException"));
        }
        let id = item.notification.id.as_str();
        let mut state = lock(&self.state);
        if let Some(there) = state.items.get(id) {
            let fingerprint = fingerprint(there);
            return Ok(InsertResult::Exists { fingerprint });
        }
        state.set(id, Some(item.to_item().into()), (self.clock)(), false);
        Ok(InsertResult::Created)
    }
}

impl CurrentStates for InMemoryTable {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        let state = lock(&self.state);
        let current = |id: &NotificationId| {
            let there = state.items.get(id.as_str())?;
            let status = text(there, attribute::STATUS).and_then(|text| text.parse().ok());
            let version = match there.get(attribute::VERSION) {
                Some(AttributeValue::N(version)) => version.parse().ok(),
                _ => None,
            };
            let (status, version) = status.zip(version).unwrap_or((Status::Init, 0));
            Some(CurrentState {
                status,
                version,
                fingerprint: fingerprint(there),
            })
        };
        let states = ids.iter().filter_map(|id| Some((id.clone(), current(id)?)));
        Ok(states.collect())
    }
}

impl Completions for InMemoryTable {
    type Write = TransactWriteItem;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<TransactWriteItem>,
    ) -> Result<CompletionResult, TableError> {
        let max = MAX_TRANSACT_WRITES - 1;
        if writes.len() > max {
            let writes = writes.len();
            return Err(TableError::TooManyWrites { writes, max });
        }
        let writes = writes
            .into_iter()
            .map(Write::read)
            .collect::<Result<Vec<_>, _>>()?;
        let mut state = lock(&self.state);
        let settled = match state.settle(completion) {
            Ok(settled) => settled,
            Err(outcome) => return Ok(outcome),
        };
        if !state.admits(&writes)? {
            return Ok(CompletionResult::WritesRefused);
        }
        let id = completion.id.as_str();
        state.set(id, Some(settled), (self.clock)(), false);
        state.apply(writes);
        Ok(CompletionResult::Settled)
    }
}

impl State {
    /// Replaces or removes an item, and records the change if the item differs.
    fn set(&mut self, id: &str, new: Option<Attributes>, at: Timestamp, by_ttl: bool) {
        let old = self.items.remove(id);
        let is_change = old != new;
        if is_change {
            self.changes.push(Change {
                sequence_number: format!("1{:020}", self.changes.len() + 1),
                id: id.to_owned(),
                old: old.as_ref().map(to_item),
                new: new.as_ref().map(to_item),
                at,
                by_ttl,
            });
        }
        if let Some(attributes) = new {
            self.items.insert(id.to_owned(), attributes);
        }
    }

    /// Returns the settled item, or the reason why it cannot be settled.
    fn settle(&self, completion: &Completion) -> Result<Attributes, CompletionResult> {
        let Some(there) = self.items.get(completion.id.as_str()) else {
            return Err(CompletionResult::UnknownId);
        };
        let status = text(there, attribute::STATUS).and_then(|text| text.parse::<Status>().ok());
        let found = fingerprint(there);
        if found.is_some_and(|found| found != completion.fingerprint) {
            return Err(CompletionResult::OtherNotification);
        }
        if let Some(status) = status.filter(|status| status.is_settled()) {
            return Err(CompletionResult::AlreadySettled(status));
        }
        let seen = AttributeValue::N(completion.version.to_string());
        if status != Some(Status::Init)
            || found.is_none()
            || there.get(attribute::VERSION) != Some(&seen)
        {
            return Err(CompletionResult::VersionMismatch);
        }
        let mut settled = there.clone();
        let mut set = |name: &str, value| settled.insert(name.to_owned(), value);
        let next = completion.version + 1;
        set(
            attribute::STATUS,
            AttributeValue::S(completion.verdict.status().to_string()),
        );
        if let Verdict::Refused(reason) = &completion.verdict {
            set(attribute::REFUSAL, AttributeValue::S(reason.to_string()));
        }
        set(attribute::VERSION, AttributeValue::N(next.to_string()));
        set(
            attribute::UPDATED_AT,
            AttributeValue::S(to_rfc3339(completion.at)),
        );
        if let Some(name) = &completion.settled_by {
            set(attribute::SETTLED_BY, AttributeValue::S(name.to_string()));
        }
        if let Some(seconds) = completion.expires_at {
            set(
                attribute::EXPIRES_AT,
                AttributeValue::N(seconds.to_string()),
            );
        }
        Ok(settled)
    }

    /// Evaluates every condition against the tables before the transaction.
    fn admits(&self, writes: &[Write]) -> Result<bool, TableError> {
        let mut seen = BTreeSet::new();
        let mut admitted = true;
        for write in writes {
            let other = self
                .others
                .get(&write.table)
                .ok_or_else(|| refused("ResourceNotFoundException"))?;
            let key = write
                .key_in(other)
                .ok_or_else(|| refused("ValidationException"))?;
            // TransactWriteItems accepts one action per item (DynamoDB API reference).
            if !seen.insert((&write.table, key.clone())) {
                return Err(refused("ValidationException"));
            }
            admitted &= write.condition.holds(other.items.get(&key));
        }
        Ok(admitted)
    }

    fn apply(&mut self, writes: Vec<Write>) {
        for write in writes.into_iter().filter(|write| write.is_put) {
            if let Some(other) = self.others.get_mut(&write.table)
                && let Some(key) = write.key_in(other)
            {
                other.items.insert(key, write.attributes);
            }
        }
    }
}

/// A consumer's write: a `Put`, or a `ConditionCheck` whose attributes are only the key.
struct Write {
    table: String,
    attributes: Attributes,
    is_put: bool,
    condition: Condition,
}

impl Write {
    fn read(write: TransactWriteItem) -> Result<Self, TableError> {
        match write {
            TransactWriteItem {
                put: Some(put),
                condition_check: None,
                update: None,
                delete: None,
                ..
            } => Ok(Self {
                condition: Condition::read(
                    put.condition_expression.as_deref(),
                    put.expression_attribute_names.as_ref(),
                )?,
                table: put.table_name,
                attributes: to_attributes(put.item),
                is_put: true,
            }),
            TransactWriteItem {
                condition_check: Some(check),
                put: None,
                update: None,
                delete: None,
                ..
            } => Ok(Self {
                condition: Condition::read(
                    Some(&check.condition_expression),
                    check.expression_attribute_names.as_ref(),
                )?,
                table: check.table_name,
                attributes: to_attributes(check.key),
                is_put: false,
            }),
            _ => Err(refused("NotModelled")),
        }
    }

    fn key_in(&self, other: &OtherTable) -> Option<String> {
        text(&self.attributes, &other.key).map(ToOwned::to_owned)
    }
}

enum Condition {
    Always,
    Exists(String),
    NotExists(String),
}

impl Condition {
    fn read(
        expression: Option<&str>,
        names: Option<&HashMap<String, String>>,
    ) -> Result<Self, TableError> {
        let Some(expression) = expression else {
            return Ok(Self::Always);
        };
        let (function, name) = expression
            .trim()
            .strip_suffix(')')
            .and_then(|call| call.split_once('('))
            .ok_or_else(|| refused("NotModelled"))?;
        let name = name.trim();
        let name = names.and_then(|names| names.get(name)).map_or(name, |n| n);
        match function.trim() {
            "attribute_exists" => Ok(Self::Exists(name.to_owned())),
            "attribute_not_exists" => Ok(Self::NotExists(name.to_owned())),
            _ => Err(refused("NotModelled")),
        }
    }

    fn holds(&self, item: Option<&Attributes>) -> bool {
        let has = |name: &String| item.is_some_and(|item| item.contains_key(name));
        match self {
            Self::Always => true,
            Self::Exists(name) => has(name),
            Self::NotExists(name) => !has(name),
        }
    }
}

fn refused(code: &str) -> TableError {
    TableError::Service(ServiceError::Refused {
        code: code.to_owned(),
    })
}

fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    match attributes.get(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    }
}

fn fingerprint(attributes: &Attributes) -> Option<Fingerprint> {
    match attributes.get(attribute::FINGERPRINT)? {
        AttributeValue::S(digits) => AttributeRef::Text(digits),
        AttributeValue::B(bytes) => AttributeRef::Binary(bytes),
        _ => AttributeRef::Other,
    }
    .as_fingerprint()
}

fn to_item(attributes: &Attributes) -> Item {
    Item::from(attributes.clone())
}

fn to_attributes(item: HashMap<String, SdkValue>) -> Attributes {
    Item::from(item).into()
}
