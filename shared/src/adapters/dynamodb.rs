//! The ports to the table, on DynamoDB: one `PutItem`; one `UpdateItem`, or one `TransactWriteItems` where a consumer
//! commits writes of its own with DONE.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{
        AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
        Update,
    },
};

use super::{clients::dynamodb_client, failure::Failure};
use crate::{
    item::{NotificationItem, attribute, to_rfc3339},
    limits::MAX_TRANSACT_WRITES,
    notification::{Fingerprint, Status},
    table::{Completed, Completion, Completions, Inserted, NewNotifications, TableError},
};

/// One DynamoDB table of notifications.
#[derive(Debug, Clone)]
pub struct DynamoDbTable {
    client: Client,
    table_name: String,
}

/// An item's attributes as the SDK has them.
pub(super) fn attributes(
    item: &NotificationItem,
) -> impl Iterator<Item = (String, AttributeValue)> {
    item.attributes().map(|(name, value)| (name, value.into()))
}

pub(super) type Attributes = HashMap<String, AttributeValue>;

/// The item that made a condition fail is the answer to what it means.
pub(super) const ALL_OLD: ReturnValuesOnConditionCheckFailure =
    ReturnValuesOnConditionCheckFailure::AllOld;

impl DynamoDbTable {
    /// The table of that name, by a client of `config`.
    pub fn new(config: &SdkConfig, table_name: impl Into<String>) -> Self {
        Self {
            client: dynamodb_client(config),
            table_name: table_name.into(),
        }
    }
}

#[async_trait]
impl NewNotifications for DynamoDbTable {
    async fn insert(&self, item: &NotificationItem) -> Result<Inserted, TableError> {
        let sent = self
            .client
            .put_item()
            .table_name(&self.table_name)
            .set_item(Some(attributes(item).collect()))
            .condition_expression(format!(
                "attribute_not_exists({})",
                attribute::NOTIFICATION_ID
            ))
            .return_values_on_condition_check_failure(ALL_OLD)
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(Inserted::Created),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let old = failed.item().ok_or(TableError::NoOldItem)?;
                let fingerprint = fingerprint(old);
                Ok(Inserted::Exists { fingerprint })
            }
            _ => Err(Failure::of(&error).into()),
        }
    }
}

#[async_trait]
impl Completions for DynamoDbTable {
    type Write = TransactWriteItem;

    async fn complete(
        &self,
        completion: &Completion,
        writes: Vec<TransactWriteItem>,
    ) -> Result<Completed, TableError> {
        let max = MAX_TRANSACT_WRITES - 1;
        if writes.len() > max {
            let writes = writes.len();
            return Err(TableError::TooManyWrites { writes, max });
        }
        let done = self.done(completion)?;
        if writes.is_empty() {
            self.update(done).await
        } else {
            self.transact(done, writes).await
        }
    }
}

impl DynamoDbTable {
    /// INIT -> DONE as one conditional update.
    fn done(&self, completion: &Completion) -> Result<Update, TableError> {
        let from = Status::Init;
        let to = from
            .next()
            .ok_or_else(|| Failure::refused("NoTransition"))?;
        let key = attribute::NOTIFICATION_ID;
        let (version, updated_at) = (attribute::VERSION, attribute::UPDATED_AT);
        let mut set = format!("SET #status = :done, {version} = :next, {updated_at} = :now");
        let mut values = Attributes::from([
            (":init".to_owned(), string(from.as_str())),
            (":done".to_owned(), string(to.as_str())),
            (":seen".to_owned(), number(completion.version.into())),
            (
                ":next".to_owned(),
                number(completion.version.saturating_add(1).into()),
            ),
            (":now".to_owned(), string(&to_rfc3339(completion.at))),
        ]);
        if let Some(seconds) = completion.expires_at {
            set.push_str(&format!(", {} = :expires", attribute::EXPIRES_AT));
            values.insert(":expires".to_owned(), number(seconds.into()));
        }
        Update::builder()
            .table_name(&self.table_name)
            .key(key, string(completion.id.as_str()))
            .update_expression(set)
            // The status decides; the version says that nobody edited the item since it was seen.
            .condition_expression(format!(
                "attribute_exists({key}) AND #status = :init AND {version} = :seen"
            ))
            // STATUS is a reserved word (DynamoDB developer guide, "Reserved words").
            .expression_attribute_names("#status", attribute::STATUS)
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ALL_OLD)
            .build()
            .map_err(|_| Failure::refused("ConstructionFailure").into())
    }

    /// DONE alone. Where the SDK repeats an attempt whose response was lost, the answer is [`Completed::AlreadyDone`],
    /// which is safe: nobody is told twice that it was accepted.
    async fn update(&self, done: Update) -> Result<Completed, TableError> {
        let sent = self
            .client
            .update_item()
            .table_name(done.table_name)
            .set_key(Some(done.key))
            .update_expression(done.update_expression)
            .set_condition_expression(done.condition_expression)
            .set_expression_attribute_names(done.expression_attribute_names)
            .set_expression_attribute_values(done.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                done.return_values_on_condition_check_failure,
            )
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(Completed::Accepted),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(not_moved(failed.item()))
            }
            _ => Err(Failure::of(&error).into()),
        }
    }

    /// DONE first, the consumer's writes behind it, all or none.
    ///
    /// The client request token is the one the SDK makes afresh for each call and repeats in each attempt of it. So an
    /// attempt whose response was lost is answered as the success it was. A token derived from the id would be the
    /// same in two competing consumers, and within its ten minutes DynamoDB would answer both of them with success:
    /// two winners.
    async fn transact(
        &self,
        done: Update,
        writes: Vec<TransactWriteItem>,
    ) -> Result<Completed, TableError> {
        let mut items = vec![TransactWriteItem::builder().update(done).build()];
        items.extend(writes);
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(Completed::Accepted),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                not_committed(canceled.cancellation_reasons()).map_err(Into::into)
            }
            _ => Err(Failure::of(&error).into()),
        }
    }
}

/// What the item that was there says of a DONE that did not happen.
fn not_moved(old: Option<&Attributes>) -> Completed {
    let Some(old) = old else {
        return Completed::UnknownId;
    };
    match text(old, attribute::STATUS).and_then(|status| status.parse().ok()) {
        Some(Status::Done) => Completed::AlreadyDone,
        _ => Completed::VersionMismatch,
    }
}

/// What the reasons of a canceled transaction say; the first is that of the DONE write.
///
/// The notification is judged before the consumer's writes: a competitor that was first has most often made the
/// consumer's own conditions false too, and `AlreadyDone` is what the caller must hear then. For the same reason the
/// writes are judged only where nothing was wrong with the DONE write.
fn not_committed(reasons: &[CancellationReason]) -> Result<Completed, Failure> {
    let Some((done, writes)) = reasons.split_first() else {
        return Err(Failure::refused("TransactionCanceledException"));
    };
    match failure_code(done) {
        Some(CONDITION_FAILED) => return Ok(not_moved(done.item())),
        Some(code) => return Err(Failure::of_reason(code)),
        None => {}
    }
    let codes: Vec<_> = writes.iter().filter_map(failure_code).collect();
    if codes.contains(&CONDITION_FAILED) {
        return Ok(Completed::WritesRefused);
    }
    let code = codes.first().copied();
    Err(Failure::of_reason(
        code.unwrap_or("TransactionCanceledException"),
    ))
}

const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// The code of a reason; none for an item that was in order, whose code is `None`, in a text.
fn failure_code(reason: &CancellationReason) -> Option<&str> {
    reason.code().filter(|code| *code != "None")
}

/// The fingerprint of an item; none where somebody edited it away.
pub(super) fn fingerprint(item: &Attributes) -> Option<Fingerprint> {
    text(item, attribute::FINGERPRINT)?.parse().ok()
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
