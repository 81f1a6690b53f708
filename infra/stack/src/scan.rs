//! Scans of the table: its size, its items by status, and the items that a reconciliation or an erasure selects.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    operation::scan::builders::ScanFluentBuilder,
    types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity},
};
use jiff::Timestamp;
use onewrite::{
    item::{attribute, to_rfc3339},
    notification::Status,
    redrive::{ItemState, Reconciliation},
};
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

/// The pages that an estimate reads at most: 4 MB, or 512 read units.
const SAMPLE_PAGES: usize = 4;

/// The number of items in INIT, counted or estimated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingItems {
    pub count: u64,
    /// The items that were read.
    pub sampled: u64,
    /// If the sample is not the whole table: all items, as DynamoDB reports them about every six hours.
    pub of_items: Option<u64>,
}

impl PendingItems {
    /// DynamoDB scans in the order of the hashes of the keys (DynamoDB developer guide, "Partitions and data distribution"), so
    /// the first pages are a random sample.
    fn new(pending: u64, sampled: u64, of_items: Option<u64>) -> Self {
        let count = match of_items {
            Some(all) => {
                let all = u128::from(all.max(sampled));
                let count = u128::from(pending) * all / u128::from(sampled.max(1));
                u64::try_from(count).unwrap_or(u64::MAX)
            }
            None => pending,
        };
        Self {
            count,
            sampled,
            of_items: of_items.map(|all| all.max(sampled)),
        }
    }

    /// The number, and how it was found.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            count,
            sampled,
            of_items,
        } = self;
        match of_items {
            None => format!("{count} notifications in INIT"),
            Some(all) => {
                format!("~{count} notifications in INIT (estimated from {sampled} of ~{all} items)")
            }
        }
    }
}

/// Counts the items in INIT of a small table, and estimates them in a larger one.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn estimate_pending(stack: &Stack) -> Result<PendingItems, StackError> {
    let pages = stack
        .dynamodb
        .scan()
        .table_name(&stack.outputs.table)
        .projection_expression("#status")
        .expression_attribute_names("#status", attribute::STATUS)
        .into_paginator();
    let mut pages = pages.send();
    let (mut pending, mut sampled) = (0, 0);
    for _ in 0..SAMPLE_PAGES {
        let Some(page) = pages.next().await else {
            return Ok(PendingItems::new(pending, sampled, None));
        };
        let page = page.map_err(|error| StackError::from_sdk("Scan", &error))?;
        let is_pending =
            |item: &&HashMap<_, _>| text(item, attribute::STATUS) == Some(Status::Init.as_str());
        pending += page.items().iter().filter(is_pending).count() as u64;
        sampled += page.items().len() as u64;
        if page.last_evaluated_key().is_none() {
            return Ok(PendingItems::new(pending, sampled, None));
        }
    }
    let size = read_table_size(stack).await?;
    Ok(PendingItems::new(pending, sampled, Some(size.items)))
}

fn text<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// One page of a parallel scan.
#[derive(Clone, Debug)]
pub struct PageQuery {
    pub segment: u32,
    pub segments: u32,
    pub selection: Selection,
    /// The most items to read.
    pub limit: Option<i32>,
    /// The last key of the page before this one.
    pub after: Option<String>,
}

/// The items to select.
#[derive(Clone, Copy, Debug)]
pub enum Selection {
    /// Items whose event is published again.
    Reconcile(Reconciliation),
    /// Items that were settled before this time, and that still have their payload.
    SettledBefore(Timestamp),
}

impl Selection {
    fn includes(&self, item: &ItemState) -> bool {
        match self {
            Self::Reconcile(rule) => rule.selects(item),
            Self::SettledBefore(before) => item.status.is_settled() && item.updated_at < *before,
        }
    }

    /// Lets DynamoDB filter the items, so that others are read but not sent. DynamoDB refuses names and values that the
    /// expression does not use.
    fn filter(&self, scan: ScanFluentBuilder) -> ScanFluentBuilder {
        let time = |time: Timestamp| AttributeValue::S(to_rfc3339(time));
        let status = |status: Status| AttributeValue::S(status.to_string());
        let with_settled = |scan: ScanFluentBuilder| {
            scan.expression_attribute_names("#payload", attribute::PAYLOAD)
                .expression_attribute_values(":done", status(Status::Done))
                .expression_attribute_values(":refused", status(Status::Refused))
        };
        match self {
            Self::Reconcile(Reconciliation {
                before,
                settled_since: None,
            }) => scan
                .filter_expression(PENDING)
                .expression_attribute_values(":init", status(Status::Init))
                .expression_attribute_values(":before", time(*before)),
            Self::Reconcile(Reconciliation {
                before,
                settled_since: Some(since),
            }) => with_settled(scan)
                .filter_expression(PENDING_OR_SETTLED)
                .expression_attribute_values(":init", status(Status::Init))
                .expression_attribute_values(":before", time(*before))
                .expression_attribute_values(":since", time(*since)),
            Self::SettledBefore(before) => with_settled(scan)
                .filter_expression(SETTLED_WITH_PAYLOAD)
                .expression_attribute_values(":before", time(*before)),
        }
    }
}

/// An item that the rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedItem {
    pub id: String,
    pub state: ItemState,
}

/// The selected items of one page.
#[derive(Clone, Debug)]
pub struct SelectedPage {
    pub selected: Vec<SelectedItem>,
    /// Items that the filter returned, but that were edited and can no longer be read.
    pub unreadable: u64,
    /// The number of items that were read, selected or not.
    pub items_read: u64,
    pub read_units: f64,
    /// The last key of this page; `None` at the end of the segment.
    pub last_key: Option<String>,
}

/// The filter for items in INIT.
const PENDING: &str = "#updated < :before AND #status = :init";
/// The filter for items in INIT, and for settled items whose payload was not erased: those have an event.
const PENDING_OR_SETTLED: &str = "#updated < :before AND (#status = :init OR (#status IN (:done, :refused) AND #updated >= :since AND attribute_exists(#payload)))";

/// The filter for settled items whose payload was not erased.
const SETTLED_WITH_PAYLOAD: &str =
    "#updated < :before AND #status IN (:done, :refused) AND attribute_exists(#payload)";

/// Reads one page of the selected items. The read is eventually consistent, which is enough: such an item did
/// not change for a long time, and the update that follows checks the item again with its condition.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_page(stack: &Stack, query: PageQuery) -> Result<SelectedPage, StackError> {
    let after = query
        .after
        .map(|id| HashMap::from([(attribute::NOTIFICATION_ID.to_owned(), AttributeValue::S(id))]));
    let scan = stack
        .dynamodb
        .scan()
        .table_name(&stack.outputs.table)
        .segment(query.segment as i32)
        .total_segments(query.segments as i32)
        .set_limit(query.limit)
        .set_exclusive_start_key(after)
        .projection_expression("#id, #status, #updated, #redrives")
        .expression_attribute_names("#id", attribute::NOTIFICATION_ID)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#updated", attribute::UPDATED_AT)
        .expression_attribute_names("#redrives", attribute::REDRIVES);
    let scan = query.selection.filter(scan);
    let response = scan
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("Scan", &error))?;
    let read_units = response
        .consumed_capacity()
        .and_then(ConsumedCapacity::capacity_units);
    let items = response.items();
    let read: Vec<SelectedItem> = items.iter().filter_map(selected_item).collect();
    let unreadable = (items.len() - read.len()) as u64;
    let is_selected = |item: &SelectedItem| query.selection.includes(&item.state);
    Ok(SelectedPage {
        selected: read.into_iter().filter(is_selected).collect(),
        unreadable,
        items_read: u64::try_from(response.scanned_count()).unwrap_or(0),
        read_units: read_units.unwrap_or(FULL_PAGE_UNITS),
        last_key: response
            .last_evaluated_key()
            .and_then(|key| text(key, attribute::NOTIFICATION_ID))
            .map(str::to_owned),
    })
}

/// `None` if somebody edited the item.
fn selected_item(item: &HashMap<String, AttributeValue>) -> Option<SelectedItem> {
    let redrives = item.get(attribute::REDRIVES)?.as_n().ok()?;
    Some(SelectedItem {
        id: text(item, attribute::NOTIFICATION_ID)?.to_owned(),
        state: ItemState {
            status: text(item, attribute::STATUS)?.parse().ok()?,
            redrives: redrives.parse().ok()?,
            updated_at: text(item, attribute::UPDATED_AT)?.parse().ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire;

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

    #[tokio::test]
    async fn counts_a_small_table_and_estimates_a_large_one() {
        let keys = std::cell::Cell::new(0);
        let page = |is_last: bool| {
            keys.set(keys.get() + 1);
            let items = json!([{"status": {"S": "INIT"}}, {"status": {"S": "DONE"}}]);
            let mut page = json!({"Items": items, "Count": 2, "ScannedCount": 2});
            if !is_last {
                page["LastEvaluatedKey"] =
                    json!({"notification_id": {"S": keys.get().to_string()}});
            }
            page
        };
        let (stack, _) = wire::stack(&[("Scan", page(false)), ("Scan", page(true))]).await;
        let counted = estimate_pending(&stack).await.unwrap();
        assert_eq!(counted.text(), "2 notifications in INIT");

        let described = json!({"Table": {"ItemCount": 1_000, "TableSizeBytes": 5_000_000}});
        let mut responses = vec![("DescribeTable", described)];
        responses.extend((0..=SAMPLE_PAGES).map(|_| ("Scan", page(false))));
        let (stack, sent) = wire::stack(&responses).await;
        let estimated = estimate_pending(&stack).await.unwrap();
        assert_eq!(
            estimated.text(),
            "~500 notifications in INIT (estimated from 8 of ~1000 items)"
        );
        assert_eq!(sent.bodies("Scan").len(), SAMPLE_PAGES);
    }

    #[test]
    fn an_edited_item_is_not_selected_in_silence() {
        let string = |text: &str| AttributeValue::S(text.to_owned());
        let mut item = HashMap::from([
            (attribute::NOTIFICATION_ID.to_owned(), string("n1")),
            (attribute::STATUS.to_owned(), string("INIT")),
            (
                attribute::UPDATED_AT.to_owned(),
                string("2026-11-23T10:00:00.000Z"),
            ),
            (
                attribute::REDRIVES.to_owned(),
                AttributeValue::N("2".to_owned()),
            ),
        ]);
        let selected = selected_item(&item).unwrap();
        assert_eq!(
            (selected.state.redrives, selected.state.status),
            (2, Status::Init)
        );
        item.insert(attribute::UPDATED_AT.to_owned(), string("yesterday"));
        assert_eq!(selected_item(&item), None);
    }
}
