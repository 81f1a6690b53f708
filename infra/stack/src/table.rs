//! Single items of the table, and the only writes of the tools to it: [`republish`] makes `forward` publish an item's event
//! again, [`erase`] removes the payload of a settled item. Both are conditional updates. The tools never write to the
//! notification stream themselves, since only `forward` keeps the order of events.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::AttributeValue,
};
use jiff::Timestamp;
use onewrite::{
    item::{self, NotificationItem, UnreadableItem, attribute, to_rfc3339},
    notification::{NotificationType, Status},
    redrive::{ItemState, LostEvent},
};
use serde::Serialize;
use serde_dynamo::Item;

use crate::{error::StackError, stack::Stack};

/// The result of a redrive of one notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RedriveResult {
    /// The event of the item would be published again.
    WouldBeRedriven,
    /// The item was updated: `forward` publishes its event again, with the same event id.
    Redriven,
    /// The item is settled, and no event of its status is missing: there is nothing to publish.
    AlreadySettled,
    /// The payload was erased, so there is no event to publish.
    Erased,
    /// The item changed since it was read. Repeat the command.
    Changed,
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
            Self::AlreadySettled => "already settled",
            Self::Erased => "erased",
            Self::Changed => "changed meanwhile",
            Self::NoItem => "no item",
        }
    }
}

/// The result of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum EraseResult {
    /// The payload of the item would be removed.
    WouldBeErased,
    /// The payload was removed.
    Erased,
    /// The payload was removed earlier.
    AlreadyErased,
    /// The item is in INIT: its event still needs the payload.
    NotSettled,
    /// The item was edited and can no longer be read.
    Unreadable,
    /// There is no item with this id.
    NoItem,
}

impl EraseResult {
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::WouldBeErased => "would be erased",
            Self::Erased => "erased",
            Self::AlreadyErased => "already erased",
            Self::NotSettled => "in INIT, kept",
            Self::Unreadable => "unreadable, kept",
            Self::NoItem => "no item",
        }
    }
}

/// An item of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredItem {
    /// The notification. If the payload was erased, it is `null` here.
    pub item: NotificationItem,
    /// When an operator erased the payload.
    pub erased_at: Option<Timestamp>,
}

impl StoredItem {
    /// # Errors
    /// [`UnreadableItem`]: the item was edited by hand.
    pub fn from_attributes(
        mut attributes: HashMap<String, AttributeValue>,
    ) -> Result<Self, UnreadableItem> {
        let erased_at = item::erased_at(&Item::from(attributes.clone()));
        if erased_at.is_some() {
            // An erased item has everything but the payload. With one, the same code can read it.
            let null = AttributeValue::S("null".to_owned());
            attributes.insert(attribute::PAYLOAD.to_owned(), null);
        }
        Ok(Self {
            item: NotificationItem::from_item(&Item::from(attributes))?,
            erased_at,
        })
    }

    /// What the operator's rule needs of the item.
    #[must_use]
    pub fn state(&self) -> ItemState {
        ItemState::from(&self.item)
    }

    /// Whether the item must be published again, because a mapping gave up on these events of it.
    fn judge<'a>(&self, lost: impl IntoIterator<Item = &'a LostEvent>) -> RedriveResult {
        if self.erased_at.is_some() {
            RedriveResult::Erased
        } else if self.state().needs_redrive(lost) {
            RedriveResult::WouldBeRedriven
        } else {
            RedriveResult::AlreadySettled
        }
    }
}

/// What an update expects of an item, so that it changes only the item that somebody has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedItem {
    pub status: Status,
    /// `None` if it does not matter, or if the item cannot be read.
    pub redrives: Option<u64>,
    /// `None` if it does not matter, or if the item cannot be read.
    pub created_at: Option<Timestamp>,
}

/// Whether an item must be published again, and what it is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    pub result: RedriveResult,
    pub expected: ExpectedItem,
    /// `None` if there is no item, or if it cannot be read.
    pub kind: Option<NotificationType>,
}

/// Fetches the item of a notification.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn fetch_item(
    stack: &Stack,
    id: &str,
) -> Result<Option<Result<StoredItem, UnreadableItem>>, StackError> {
    let response = stack
        .dynamodb
        .get_item()
        .table_name(&stack.outputs.table)
        .key(attribute::NOTIFICATION_ID, string(id))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("GetItem", &error))?;
    Ok(response.item.map(StoredItem::from_attributes))
}

/// Determines whether an item must be published again, because a mapping gave up on these events of it, and what it is like.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn assess(stack: &Stack, id: &str, lost: &[LostEvent]) -> Result<Assessment, StackError> {
    let unknown = |result| Assessment {
        result,
        expected: ExpectedItem {
            status: Status::Init,
            redrives: None,
            created_at: None,
        },
        kind: None,
    };
    Ok(match fetch_item(stack, id).await? {
        None => unknown(RedriveResult::NoItem),
        Some(Ok(stored)) => Assessment {
            result: stored.judge(lost),
            expected: ExpectedItem {
                status: stored.item.status,
                redrives: Some(stored.item.redrives),
                created_at: Some(stored.item.created_at),
            },
            kind: Some(stored.item.notification.kind),
        },
        // An edited item in INIT is published as soon as it is readable again.
        Some(Err(_)) => unknown(RedriveResult::WouldBeRedriven),
    })
}

/// Adds one to the item's `redrives` if the item still has this status. `forward` then publishes the item's event again, with
/// the same event id.
///
/// # Errors
/// [`StackError`]: the call failed. It may have taken effect all the same; you can repeat it.
pub async fn republish(
    stack: &Stack,
    id: &str,
    status: Status,
) -> Result<RedriveResult, StackError> {
    let expected = ExpectedItem {
        status,
        redrives: None,
        created_at: None,
    };
    republish_expected(stack, id, expected).await
}

/// Does the same as [`republish`] if the item is still as expected.
///
/// # Errors
/// [`StackError`]: the call failed. It may have taken effect all the same. A repetition then finds the item changed.
pub async fn republish_expected(
    stack: &Stack,
    id: &str,
    expected: ExpectedItem,
) -> Result<RedriveResult, StackError> {
    // An erased item has no event.
    let mut condition = "#status = :status AND attribute_exists(#payload)".to_owned();
    let mut updated = update(stack, id)
        .update_expression("ADD #redrives :one")
        .expression_attribute_names("#redrives", attribute::REDRIVES)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#payload", attribute::PAYLOAD)
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
        .expression_attribute_values(":status", string(expected.status.as_str()));
    if let Some(redrives) = expected.redrives {
        // The attribute is absent while it is 0, except in items of the version before.
        condition += if redrives == 0 {
            " AND (attribute_not_exists(#redrives) OR #redrives = :redrives)"
        } else {
            " AND #redrives = :redrives"
        };
        let redrives = AttributeValue::N(redrives.to_string());
        updated = updated.expression_attribute_values(":redrives", redrives);
    }
    if let Some(created_at) = expected.created_at {
        condition += " AND #created = :created";
        updated = updated
            .expression_attribute_names("#created", attribute::CREATED_AT)
            .expression_attribute_values(":created", string(&to_rfc3339(created_at)));
    }
    let updated = updated.condition_expression(condition).send().await;
    if has_failed_condition("UpdateItem", updated)? {
        return Ok(match fetch_item(stack, id).await? {
            None => RedriveResult::NoItem,
            Some(Ok(stored)) if stored.erased_at.is_some() => RedriveResult::Erased,
            Some(Ok(stored)) if stored.item.status != expected.status => {
                RedriveResult::AlreadySettled
            }
            Some(_) => RedriveResult::Changed,
        });
    }
    Ok(RedriveResult::Redriven)
}

/// Determines what [`erase`] would do, without doing it.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn preview_erase(stack: &Stack, id: &str) -> Result<EraseResult, StackError> {
    Ok(match fetch_item(stack, id).await? {
        None => EraseResult::NoItem,
        Some(Err(_)) => EraseResult::Unreadable,
        Some(Ok(item)) if item.erased_at.is_some() => EraseResult::AlreadyErased,
        Some(Ok(item)) if item.item.status.is_settled() => EraseResult::WouldBeErased,
        Some(Ok(_)) => EraseResult::NotSettled,
    })
}

/// Removes payload and enrichment of a settled item. Id, status and fingerprint stay, so the id is still written once, and a
/// copy of its message is still recognized. `forward` ignores the change, because neither status nor `redrives` changed.
///
/// # Errors
/// [`StackError`]: the call failed. It may have taken effect all the same; you can repeat it.
pub async fn erase(stack: &Stack, id: &str, now: Timestamp) -> Result<EraseResult, StackError> {
    let updated = update(stack, id)
        .update_expression("SET #erased = :now REMOVE #payload, #enrichment")
        .condition_expression("#status IN (:done, :refused) AND attribute_exists(#payload)")
        .expression_attribute_names("#erased", attribute::ERASED_AT)
        .expression_attribute_names("#payload", attribute::PAYLOAD)
        .expression_attribute_names("#enrichment", attribute::ENRICHMENT)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_values(":now", string(&to_rfc3339(now)))
        .expression_attribute_values(":done", string(Status::Done.as_str()))
        .expression_attribute_values(":refused", string(Status::Refused.as_str()))
        .send()
        .await;
    if has_failed_condition("UpdateItem", updated)? {
        return preview_erase(stack, id).await;
    }
    Ok(EraseResult::Erased)
}

fn update(stack: &Stack, id: &str) -> UpdateItemFluentBuilder {
    stack
        .dynamodb
        .update_item()
        .table_name(&stack.outputs.table)
        .key(attribute::NOTIFICATION_ID, string(id))
}

/// Whether the condition of an update was false.
fn has_failed_condition<T, R: std::fmt::Debug>(
    call: &'static str,
    updated: Result<T, SdkError<UpdateItemError, R>>,
) -> Result<bool, StackError> {
    match updated {
        Ok(_) => Ok(false),
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(UpdateItemError::ConditionalCheckFailedException(_))
            ) =>
        {
            Ok(true)
        }
        Err(error) => Err(StackError::from_sdk(call, &error)),
    }
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[cfg(test)]
mod tests {
    use onewrite::{
        item::{Enrichment, PayloadCompression},
        notification::MessagePointers,
    };
    use serde_json::json;

    use super::*;
    use crate::wire;

    fn item(status: Status) -> NotificationItem {
        let body = r#"{"notification_id":"n1","payload":{"a": 1}}"#;
        let notification = MessagePointers::default().parse(body).unwrap();
        let (message, now) = ("m".to_owned(), Timestamp::UNIX_EPOCH);
        let enrichment = Enrichment::default();
        let new = NotificationItem::new(
            notification,
            &enrichment,
            message,
            None,
            now,
            PayloadCompression::Auto,
        )
        .unwrap();
        NotificationItem { status, ..new }
    }

    fn attributes(item: &NotificationItem) -> HashMap<String, AttributeValue> {
        let attributes = item.attributes();
        attributes
            .map(|(name, value)| (name, value.into()))
            .collect()
    }

    #[test]
    fn reads_an_erased_item_but_not_an_edited_one() {
        let mut erased = attributes(&item(Status::Done));
        erased.remove(attribute::PAYLOAD);
        assert!(StoredItem::from_attributes(erased.clone()).is_err());
        let at = string("2026-11-23T10:00:00.000Z");
        erased.insert(attribute::ERASED_AT.to_owned(), at);
        let stored = StoredItem::from_attributes(erased).unwrap();
        assert!(stored.erased_at.is_some());
        let done = item(Status::Done).notification;
        assert_eq!(stored.item.notification.fingerprint, done.fingerprint);
    }

    #[test]
    fn reads_an_item_of_the_version_before() {
        for status in [Status::Init, Status::Done] {
            let item = item(status);
            let mut older = attributes(&item);
            let digits = item.notification.fingerprint.to_string();
            let fingerprint = attribute::FINGERPRINT.to_owned();
            older.insert(fingerprint, string(&digits));
            let updated_at = string(&to_rfc3339(item.updated_at));
            older.insert(attribute::UPDATED_AT.to_owned(), updated_at);
            let zero = AttributeValue::N("0".to_owned());
            older.insert(attribute::REDRIVES.to_owned(), zero);
            let stored = StoredItem::from_attributes(older).unwrap();
            assert_eq!((stored.item, stored.erased_at), (item, None));
        }
    }

    /// DynamoDB refuses names and values that no expression uses (DynamoDB API reference, `UpdateItem`).
    #[tokio::test]
    async fn an_item_that_changed_since_it_was_read_is_not_redriven() {
        let created_at = Some(Timestamp::UNIX_EPOCH);
        for (redrives, created_at, expected) in [
            (
                Some(0),
                created_at,
                "#status = :status AND attribute_exists(#payload) AND (attribute_not_exists(#redrives) OR #redrives = :redrives) AND #created = :created",
            ),
            (
                Some(2),
                None,
                "#status = :status AND attribute_exists(#payload) AND #redrives = :redrives",
            ),
            (
                None,
                None,
                "#status = :status AND attribute_exists(#payload)",
            ),
        ] {
            let (stack, sent) = wire::stack(&[("UpdateItem", json!({}))]).await;
            let item = ExpectedItem {
                status: Status::Init,
                redrives,
                created_at,
            };
            let result = republish_expected(&stack, "n1", item).await.unwrap();
            assert_eq!(result, RedriveResult::Redriven);
            let request = sent.body("UpdateItem");
            assert_eq!(request["ConditionExpression"], expected);
            let values = &request["ExpressionAttributeValues"];
            assert_eq!(values[":redrives"]["N"].is_string(), redrives.is_some());
            let time = created_at.map(|_| json!("1970-01-01T00:00:00.000Z"));
            assert_eq!(values[":created"]["S"], time.unwrap_or_default());
            let names = request["ExpressionAttributeNames"].as_object().unwrap();
            assert_eq!(names.contains_key("#created"), created_at.is_some());
        }
    }

    #[tokio::test]
    async fn the_condition_of_a_redrive_names_why_it_failed() {
        let failed =
            json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"});
        let attributes = |status| {
            let attributes = attributes_of(&item(status)).into_iter();
            serde_json::Value::Object(attributes.collect())
        };
        for (found, expected) in [
            (json!({}), RedriveResult::NoItem),
            (
                json!({ "Item": attributes(Status::Init) }),
                RedriveResult::Changed,
            ),
            (
                json!({ "Item": attributes(Status::Done) }),
                RedriveResult::AlreadySettled,
            ),
        ] {
            let responses = [("UpdateItem", failed.clone()), ("GetItem", found)];
            let (stack, _) = wire::stack(&responses).await;
            let item = ExpectedItem {
                status: Status::Init,
                redrives: Some(3),
                created_at: None,
            };
            let result = republish_expected(&stack, "n1", item).await.unwrap();
            assert_eq!(result, expected);
        }
    }

    /// The attributes of an item in DynamoDB's JSON. Fingerprints are the only bytes here.
    fn attributes_of(item: &NotificationItem) -> Vec<(String, serde_json::Value)> {
        let digits = item.notification.fingerprint.to_string();
        let json = attributes(item).into_iter().map(|(name, value)| {
            let value = match value {
                AttributeValue::S(text) => json!({ "S": text }),
                AttributeValue::N(number) => json!({ "N": number }),
                // As items of the version before have it.
                _ => json!({ "S": digits }),
            };
            (name, value)
        });
        json.collect()
    }

    #[test]
    fn redrives_a_settled_item_only_for_a_lost_event_of_done() {
        let stored = |status, erased_at| StoredItem {
            item: item(status),
            erased_at,
        };
        let lost = |status| LostEvent {
            id: "n1".to_owned(),
            status: Some(status),
            redrives: Some(0),
        };
        let (init, done) = (lost(Status::Init), lost(Status::Done));
        for (item, event, expected) in [
            (
                stored(Status::Init, None),
                &init,
                RedriveResult::WouldBeRedriven,
            ),
            (
                stored(Status::Done, None),
                &init,
                RedriveResult::AlreadySettled,
            ),
            (
                stored(Status::Done, None),
                &done,
                RedriveResult::WouldBeRedriven,
            ),
            (
                stored(Status::Done, Some(Timestamp::UNIX_EPOCH)),
                &done,
                RedriveResult::Erased,
            ),
        ] {
            assert_eq!(item.judge([event]), expected);
        }
    }
}
