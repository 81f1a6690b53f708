//! The table ports on DynamoDB: one `PutItem` for an insert, one `UpdateItem` for a completion, or one
//! `TransactWriteItems` if a consumer commits its own writes together with DONE. `BatchGetItem` reads the current states.
//!
//! The futures of the SDK are boxed, because they are large and deeply nested.

use std::collections::{BTreeSet, HashMap};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    primitives::Blob,
    types::{
        AttributeValue, CancellationReason, KeysAndAttributes, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem, Update,
    },
};

use crate::{
    clients::dynamodb_client,
    failure::{from_cancellation_code, from_sdk_error},
};
use onewrite::error::ServiceError;
use onewrite::{
    item::{AttributeRef, NotificationItem, attribute, to_rfc3339},
    limits::{MAX_BATCH_GET, MAX_BATCH_GET_CALLS, MAX_TRANSACT_WRITES, RETRY_BASE},
    notification::{Fingerprint, NotificationId, Status},
    table::{
        Completion, CompletionResult, Completions, CurrentState, CurrentStates, InsertResult,
        NewNotifications, TableError, Verdict,
    },
};

/// A DynamoDB table of notifications.
#[derive(Debug, Clone)]
pub struct DynamoDbTable {
    client: Client,
    table_name: String,
}

/// The attributes of an item as SDK values.
fn attributes(item: &NotificationItem) -> impl Iterator<Item = (String, AttributeValue)> {
    item.attributes().map(|(name, value)| (name, value.into()))
}

type Attributes = HashMap<String, AttributeValue>;

/// Return the existing item with a failed condition. It decides what the failure means.
const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

impl DynamoDbTable {
    /// The table with this name, accessed with a client of `config`.
    pub fn new(config: &SdkConfig, table_name: impl Into<String>) -> Self {
        Self {
            client: dynamodb_client(config),
            table_name: table_name.into(),
        }
    }
}

impl NewNotifications for DynamoDbTable {
    async fn insert(&self, item: &NotificationItem) -> Result<InsertResult, TableError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.table_name)
            .set_item(Some(attributes(item).collect()))
            .condition_expression(format!(
                "attribute_not_exists({})",
                attribute::NOTIFICATION_ID
            ))
            .return_values_on_condition_check_failure(ALL_OLD);
        let error = match Box::pin(request.send()).await {
            Ok(_) => return Ok(InsertResult::Created),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let old = failed.item().ok_or(TableError::NoOldItem)?;
                let fingerprint = fingerprint(old);
                Ok(InsertResult::Exists { fingerprint })
            }
            _ => Err(from_sdk_error(&error).into()),
        }
    }
}

impl Completions for DynamoDbTable {
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
        let update = self.settlement(completion)?;
        if writes.is_empty() {
            self.update(update, completion.fingerprint).await
        } else {
            self.transact(update, writes, completion.fingerprint).await
        }
    }
}

impl CurrentStates for DynamoDbTable {
    async fn current_states(
        &self,
        ids: &[NotificationId],
    ) -> Result<HashMap<NotificationId, CurrentState>, TableError> {
        // DynamoDB refuses a call that names a key twice.
        let ids: Vec<_> = ids.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut states = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(MAX_BATCH_GET) {
            self.read_states(ids, &mut states).await?;
        }
        Ok(states)
    }
}

impl DynamoDbTable {
    /// Reads at most [`MAX_BATCH_GET`] different ids.
    async fn read_states(
        &self,
        ids: &[&NotificationId],
        states: &mut HashMap<NotificationId, CurrentState>,
    ) -> Result<(), TableError> {
        let refused = |_| TableError::from(ServiceError::refused("ConstructionFailure"));
        let key = |id: &NotificationId| {
            Attributes::from([(attribute::NOTIFICATION_ID.to_owned(), string(id.as_str()))])
        };
        let keys = ids.iter().map(|id| key(id)).collect();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .projection_expression(format!(
                "{}, #status, {}, {}",
                attribute::NOTIFICATION_ID,
                attribute::VERSION,
                attribute::FINGERPRINT
            ))
            .expression_attribute_names("#status", attribute::STATUS);
        let mut left =
            HashMap::from([(self.table_name.clone(), request.build().map_err(refused)?)]);
        let mut pause = RETRY_BASE;
        for _ in 0..MAX_BATCH_GET_CALLS {
            let call = self.client.batch_get_item().set_request_items(Some(left));
            let output = Box::pin(call.send()).await;
            let output = output.map_err(|error| from_sdk_error(&error))?;
            let items = output.responses.into_iter().flatten();
            let items = items.flat_map(|(_, items)| items);
            states.extend(items.filter_map(|item| current_state(&item)));
            left = output.unprocessed_keys.unwrap_or_default();
            if left.values().all(|keys| keys.keys.is_empty()) {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let code = "UnprocessedKeys".to_owned();
        Err(ServiceError::Throttled { code }.into())
    }

    /// The conditional update INIT -> DONE or REFUSED.
    fn settlement(&self, completion: &Completion) -> Result<Update, TableError> {
        let key = attribute::NOTIFICATION_ID;
        let fingerprint = &completion.fingerprint;
        let (version, updated_at) = (attribute::VERSION, attribute::UPDATED_AT);
        let mut set = format!("SET #status = :settled, {version} = :next, {updated_at} = :now");
        let mut values = Attributes::from([
            (":init".to_owned(), string(Status::Init.as_str())),
            (
                ":settled".to_owned(),
                string(completion.verdict.status().as_str()),
            ),
            (
                ":fingerprint".to_owned(),
                AttributeValue::B(Blob::new(*fingerprint.as_bytes())),
            ),
            (
                ":fingerprint_text".to_owned(),
                string(&fingerprint.to_string()),
            ),
            (":seen".to_owned(), number(completion.version.into())),
            (
                ":next".to_owned(),
                number(completion.version.saturating_add(1).into()),
            ),
            (":now".to_owned(), string(&to_rfc3339(completion.at))),
        ]);
        if let Verdict::Refused(reason) = &completion.verdict {
            set.push_str(&format!(", {} = :refusal", attribute::REFUSAL));
            values.insert(":refusal".to_owned(), string(reason.as_str()));
        }
        if let Some(name) = &completion.settled_by {
            set.push_str(&format!(", {} = :settled_by", attribute::SETTLED_BY));
            values.insert(":settled_by".to_owned(), string(name.as_str()));
        }
        if let Some(seconds) = completion.expires_at {
            set.push_str(&format!(", {} = :expires", attribute::EXPIRES_AT));
            values.insert(":expires".to_owned(), number(seconds.into()));
        }
        Update::builder()
            .table_name(&self.table_name)
            .key(key, string(completion.id.as_str()))
            .update_expression(set)
            // The status decides. The version proves that nobody edited the item since the event, and the fingerprint
            // that the item is not a later notification with the same id. Earlier versions stored it as text.
            .condition_expression(format!(
                "attribute_exists({key}) AND #status = :init AND {version} = :seen AND {} IN (:fingerprint, :fingerprint_text)",
                attribute::FINGERPRINT
            ))
            // STATUS is a reserved word (DynamoDB developer guide, "Reserved words").
            .expression_attribute_names("#status", attribute::STATUS)
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ALL_OLD)
            .build()
            .map_err(|_| ServiceError::refused("ConstructionFailure").into())
    }

    /// Writes the status alone. If the SDK repeats an attempt whose response was lost, the result is
    /// [`CompletionResult::AlreadySettled`]. That is safe: `Settled` is never returned twice.
    async fn update(
        &self,
        update: Update,
        seen: Fingerprint,
    ) -> Result<CompletionResult, TableError> {
        let request = self
            .client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                update.return_values_on_condition_check_failure,
            );
        let error = match Box::pin(request.send()).await {
            Ok(_) => return Ok(CompletionResult::Settled),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(explain_failed_condition(failed.item(), seen))
            }
            _ => Err(from_sdk_error(&error).into()),
        }
    }

    /// Writes the status and the consumer's writes in one transaction.
    ///
    /// The SDK creates a new client request token per call and repeats it in each attempt of the call, so a repeated
    /// attempt after a lost response reports success. A token derived from the id would be the same in two competing
    /// consumers, and DynamoDB would report success to both of them for ten minutes: two winners.
    async fn transact(
        &self,
        update: Update,
        writes: Vec<TransactWriteItem>,
        seen: Fingerprint,
    ) -> Result<CompletionResult, TableError> {
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        items.extend(writes);
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items));
        let error = match Box::pin(request.send()).await {
            Ok(_) => return Ok(CompletionResult::Settled),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                explain_cancellation(canceled.cancellation_reasons(), seen).map_err(Into::into)
            }
            _ => Err(from_sdk_error(&error).into()),
        }
    }
}

/// The id and the state of an item; `None` for an id that no event can have.
fn current_state(item: &Attributes) -> Option<(NotificationId, CurrentState)> {
    let id = NotificationId::parse(text(item, attribute::NOTIFICATION_ID)?).ok()?;
    let status = text(item, attribute::STATUS).and_then(|status| status.parse().ok());
    let version = item.get(attribute::VERSION);
    let version = version.and_then(|version| version.as_n().ok()?.parse().ok());
    let (status, version) = status.zip(version).unwrap_or((Status::Init, 0));
    let state = CurrentState {
        status,
        version,
        fingerprint: fingerprint(item),
    };
    Some((id, state))
}

/// Explains a completion whose condition failed, from the existing item.
fn explain_failed_condition(old: Option<&Attributes>, seen: Fingerprint) -> CompletionResult {
    let Some(old) = old else {
        return CompletionResult::UnknownId;
    };
    if fingerprint(old).is_some_and(|found| found != seen) {
        return CompletionResult::OtherNotification;
    }
    text(old, attribute::STATUS)
        .and_then(|status| status.parse::<Status>().ok())
        .filter(|status| status.is_settled())
        .map_or(
            CompletionResult::VersionMismatch,
            CompletionResult::AlreadySettled,
        )
}

/// Explains a canceled transaction. The first reason belongs to the write of the status.
///
/// That write is checked before the consumer's writes: a competitor that won has usually made the consumer's conditions
/// false too, and the caller must get `AlreadySettled` then. So the other reasons count only if the first write was fine.
fn explain_cancellation(
    reasons: &[CancellationReason],
    seen: Fingerprint,
) -> Result<CompletionResult, ServiceError> {
    let Some((status, writes)) = reasons.split_first() else {
        return Err(ServiceError::refused("TransactionCanceledException"));
    };
    match failure_code(status) {
        Some(CONDITION_FAILED) => return Ok(explain_failed_condition(status.item(), seen)),
        Some(code) => return Err(from_cancellation_code(code)),
        None => {}
    }
    let codes: Vec<_> = writes.iter().filter_map(failure_code).collect();
    if codes.contains(&CONDITION_FAILED) {
        return Ok(CompletionResult::WritesRefused);
    }
    let code = codes.first().copied();
    Err(from_cancellation_code(
        code.unwrap_or("TransactionCanceledException"),
    ))
}

const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// The error code of a reason. For a write without error, DynamoDB returns the text `None`.
fn failure_code(reason: &CancellationReason) -> Option<&str> {
    reason.code().filter(|code| *code != "None")
}

/// The fingerprint of an item, or `None` if somebody removed it by hand.
fn fingerprint(item: &Attributes) -> Option<Fingerprint> {
    let value = match item.get(attribute::FINGERPRINT)? {
        AttributeValue::S(digits) => AttributeRef::Text(digits),
        AttributeValue::B(bytes) => AttributeRef::Binary(bytes.as_ref()),
        _ => AttributeRef::Other,
    };
    value.as_fingerprint()
}

fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name)?.as_s().ok().map(String::as_str)
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i128) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests;
