//! Scans of the table: its size, its items by status, and the items that are stuck in INIT.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use jiff::Timestamp;
use onewrite::{item::attribute, notification::Status};
use serde::Serialize;

use crate::{error::StackError, stack::Stack};

/// The read units of a page if DynamoDB does not report them: 1 MB, the most that a `Scan` reads (DynamoDB API reference).
const FULL_PAGE_UNITS: f64 = 128.0;

/// The size of the table as DynamoDB reports it; DynamoDB updates it about every six hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub arn: String,
    pub items: u64,
    pub bytes: u64,
}

/// Reads the ARN and the size of the table.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn read_table_size(stack: &Stack) -> Result<TableSize, StackError> {
    let response = stack
        .dynamodb
        .describe_table()
        .table_name(&stack.outputs.table)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("DescribeTable", &error))?;
    let table = response.table.ok_or(StackError::Call {
        call: "DescribeTable",
        reason: "the response has no table".to_owned(),
    })?;
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Ok(TableSize {
        arn: table.table_arn.unwrap_or_default(),
        items: number(table.item_count).unwrap_or(0),
        bytes: number(table.table_size_bytes).unwrap_or(0),
    })
}

/// The number of items by status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ItemCounts {
    pub by_status: BTreeMap<String, usize>,
    /// The creation time of the oldest item in INIT.
    pub oldest_pending: Option<Timestamp>,
}

impl ItemCounts {
    fn add(&mut self, status: &str, created_at: Option<Timestamp>) {
        *self.by_status.entry(status.to_owned()).or_default() += 1;
        if status == Status::Init.as_str() {
            let oldest = self.oldest_pending.into_iter().chain(created_at).min();
            self.oldest_pending = oldest;
        }
    }
}

/// Counts the items by status. It reads the whole table: half a read unit for each 4 KB.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn count_items(stack: &Stack) -> Result<ItemCounts, StackError> {
    let mut items = stack
        .dynamodb
        .scan()
        .table_name(&stack.outputs.table)
        .projection_expression("#status, #created")
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#created", attribute::CREATED_AT)
        .into_paginator()
        .items()
        .send();
    let mut counts = ItemCounts::default();
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| StackError::from_sdk("Scan", &error))?;
        let status = text(&item, attribute::STATUS).unwrap_or("unreadable");
        let created_at = text(&item, attribute::CREATED_AT).and_then(|text| text.parse().ok());
        counts.add(status, created_at);
    }
    Ok(counts)
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// One page of a parallel scan for pending items.
#[derive(Clone, Debug)]
pub struct PendingQuery {
    pub segment: u32,
    pub segments: u32,
    /// Items created at or after this time are too young.
    pub created_before: Timestamp,
    /// The most items to read.
    pub limit: Option<i32>,
    /// The last key of the page before this one.
    pub after: Option<String>,
}

/// The items in INIT of one page.
#[derive(Clone, Debug)]
pub struct PendingPage {
    /// The ids, and when each item was created.
    pub pending: Vec<(String, Timestamp)>,
    /// The number of items that were read, pending or not.
    pub items_read: u64,
    pub read_units: f64,
    /// The last key of this page; `None` at the end of the segment.
    pub last_key: Option<String>,
}

/// Reads one page of items that are in INIT and old enough. The read is eventually consistent, which is enough: such an item
/// has been in INIT for a long time, and the update after it has a condition of its own.
///
/// # Errors
/// [`StackError`]: the call failed.
pub async fn read_pending_page(
    stack: &Stack,
    query: PendingQuery,
) -> Result<PendingPage, StackError> {
    let after = query
        .after
        .map(|id| HashMap::from([(attribute::NOTIFICATION_ID.to_owned(), AttributeValue::S(id))]));
    let created_before = AttributeValue::S(format!("{:.3}", query.created_before));
    let response = stack
        .dynamodb
        .scan()
        .table_name(&stack.outputs.table)
        .segment(query.segment as i32)
        .total_segments(query.segments as i32)
        .set_limit(query.limit)
        .set_exclusive_start_key(after)
        .filter_expression("#status = :init AND #created < :before")
        .projection_expression("#id, #created")
        .expression_attribute_names("#id", attribute::NOTIFICATION_ID)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#created", attribute::CREATED_AT)
        .expression_attribute_values(":init", AttributeValue::S(Status::Init.to_string()))
        .expression_attribute_values(":before", created_before)
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("Scan", &error))?;
    let read_units = response
        .consumed_capacity()
        .and_then(ConsumedCapacity::capacity_units);
    let pending = response.items().iter().filter_map(|item| {
        let created_at = text(item, attribute::CREATED_AT)?.parse().ok()?;
        Some((
            text(item, attribute::NOTIFICATION_ID)?.to_owned(),
            created_at,
        ))
    });
    Ok(PendingPage {
        pending: pending.collect(),
        items_read: u64::try_from(response.scanned_count()).unwrap_or(0),
        read_units: read_units.unwrap_or(FULL_PAGE_UNITS),
        last_key: response
            .last_evaluated_key()
            .and_then(|key| text(key, attribute::NOTIFICATION_ID))
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_oldest_pending_item() {
        let at = |second| Timestamp::from_second(second).ok();
        let mut items = ItemCounts::default();
        for (status, created_at) in [
            ("DONE", at(1)),
            ("INIT", at(3)),
            ("INIT", at(2)),
            ("INIT", None),
        ] {
            items.add(status, created_at);
        }
        assert_eq!(items.oldest_pending, at(2));
        let by_status = [("DONE".to_owned(), 1), ("INIT".to_owned(), 3)];
        assert_eq!(items.by_status, BTreeMap::from(by_status));
    }
}
