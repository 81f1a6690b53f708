//! Single items of the table. [`republish`] is the only write of the tools to the table: a conditional update that makes
//! `forward` publish the item's event again. The tools never write to the notification stream themselves, since only
//! `forward` keeps the order of events.

use aws_sdk_dynamodb::{operation::update_item::UpdateItemError, types::AttributeValue};
use onewrite::{
    item::{NotificationItem, UnreadableItem, attribute},
    notification::Status,
};
use serde::Serialize;
use serde_dynamo::Item;

use crate::{error::StackError, stack::Stack};

/// The result of a redrive of one notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RedriveResult {
    /// The item is in INIT: its event would be published again.
    WouldBeRedriven,
    /// The item was updated: `forward` publishes its event again, with the same event id.
    Redriven,
    /// The item is DONE: there is nothing to publish.
    AlreadyDone,
    /// There is no item with this id.
    #[serde(rename = "Gone")]
    NoItem,
}

impl RedriveResult {
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::WouldBeRedriven => "would be redriven",
            Self::Redriven => "redriven",
            Self::AlreadyDone => "already DONE",
            Self::NoItem => "no item",
        }
    }
}

/// Fetches the item of a notification.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn fetch_item(
    stack: &Stack,
    id: &str,
) -> Result<Option<Result<NotificationItem, UnreadableItem>>, StackError> {
    let response = stack
        .dynamodb
        .get_item()
        .table_name(&stack.outputs.table)
        .key(attribute::NOTIFICATION_ID, AttributeValue::S(id.to_owned()))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetItem", &error))?;
    Ok(response
        .item
        .map(|attributes| NotificationItem::from_item(&Item::from(attributes))))
}

/// Determines what [`republish`] would do, without doing it.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn preview_republish(stack: &Stack, id: &str) -> Result<RedriveResult, StackError> {
    Ok(match fetch_item(stack, id).await? {
        None => RedriveResult::NoItem,
        Some(Ok(item)) if item.status == Status::Done => RedriveResult::AlreadyDone,
        Some(_) => RedriveResult::WouldBeRedriven,
    })
}

/// Adds one to the item's `redrives` if the item is in INIT. `forward` then publishes the item's event again, with the same
/// event id.
///
/// # Errors
/// [`StackError`]: the call failed. It may have taken effect all the same; you can repeat it.
pub async fn republish(stack: &Stack, id: &str) -> Result<RedriveResult, StackError> {
    let updated = stack
        .dynamodb
        .update_item()
        .table_name(&stack.outputs.table)
        .key(attribute::NOTIFICATION_ID, AttributeValue::S(id.to_owned()))
        .update_expression("ADD #redrives :one")
        .condition_expression("#status = :init")
        .expression_attribute_names("#redrives", attribute::REDRIVES)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
        .expression_attribute_values(":init", AttributeValue::S(Status::Init.to_string()))
        .send()
        .await;
    match updated {
        Ok(_) => Ok(RedriveResult::Redriven),
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(UpdateItemError::ConditionalCheckFailedException(_))
            ) =>
        {
            preview_republish(stack, id).await
        }
        Err(error) => Err(StackError::from_sdk("UpdateItem", &error)),
    }
}
