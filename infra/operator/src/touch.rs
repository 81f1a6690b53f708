//! The one write of this tool to the table: a conditional touch that has an item's event published again. Never a write
//! to the stream itself, which nothing would put in order.

use aws_sdk_dynamodb::{operation::update_item::UpdateItemError, types::AttributeValue};
use onewrite::{item::attribute, notification::Status};
use serde::Serialize;

use crate::{error::OperatorError, look, stack::Stack};

/// What became of one notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It is in INIT: its event would be asked for.
    WouldBeRedriven,
    /// Its event was asked for: it comes again, under the id it had.
    Redriven,
    /// It is DONE; there is nothing to ask for.
    AlreadyDone,
    /// It has no item.
    Gone,
}

impl Outcome {
    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::WouldBeRedriven => "would be redriven",
            Self::Redriven => "redriven",
            Self::AlreadyDone => "DONE already",
            Self::Gone => "has no item",
        }
    }
}

/// What a touch would do now.
///
/// # Errors
/// [`OperatorError`]: the call failed.
pub async fn would_be(stack: &Stack, id: &str) -> Result<Outcome, OperatorError> {
    Ok(match look::item(stack, id).await? {
        None => Outcome::Gone,
        Some(Ok(item)) if item.status == Status::Done => Outcome::AlreadyDone,
        Some(_) => Outcome::WouldBeRedriven,
    })
}

/// Adds one to the item's `redrives` while it is in INIT: `forward` publishes the change under the id it had.
///
/// # Errors
/// [`OperatorError`]: the call failed. It may have had its effect; a touch may be given again.
pub async fn touch(stack: &Stack, id: &str) -> Result<Outcome, OperatorError> {
    let touched = stack
        .dynamodb
        .update_item()
        .table_name(&stack.table)
        .key(attribute::NOTIFICATION_ID, AttributeValue::S(id.to_owned()))
        .update_expression("ADD #redrives :one")
        .condition_expression("#status = :init")
        .expression_attribute_names("#redrives", attribute::REDRIVES)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
        .expression_attribute_values(":init", AttributeValue::S(Status::Init.to_string()))
        .send()
        .await;
    match touched {
        Ok(_) => Ok(Outcome::Redriven),
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(UpdateItemError::ConditionalCheckFailedException(_))
            ) =>
        {
            would_be(stack, id).await
        }
        Err(error) => Err(OperatorError::of("UpdateItem", &error)),
    }
}
