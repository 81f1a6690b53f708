//! Scans of the table: its size, its items by status, and the items that a reconciliation or an erasure selects, or that the
//! downstream refused.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    operation::scan::builders::ScanFluentBuilder,
    types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity},
};
use jiff::Timestamp;
use onewrite::{
    item::{attribute, to_rfc3339},
    notification::{ConsumerName, NotificationType, Refusal, Status},
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

/// The number of items by status and, if they are settled, by who settled them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ItemCounts {
    pub by_status: BTreeMap<String, usize>,
    /// The settled items by the name of the consumer.
    pub settled_by: BTreeMap<String, usize>,
    /// The settled items without such a name: their consumer has none, or they are of an earlier version.
    pub settled_by_unknown: usize,
    /// The creation time of the oldest item in INIT.
    pub oldest_pending: Option<Timestamp>,
}

impl ItemCounts {
    fn add(&mut self, item: &HashMap<String, AttributeValue>) {
        let status = text(item, attribute::STATUS).unwrap_or("unreadable");
        *self.by_status.entry(status.to_owned()).or_default() += 1;
        match status.parse() {
            Ok(Status::Init) => {
                let created_at = text(item, attribute::CREATED_AT);
                let created_at = created_at.and_then(|text| text.parse().ok());
                let oldest = self.oldest_pending.into_iter().chain(created_at).min();
                self.oldest_pending = oldest;
            }
            Ok(Status::Done | Status::Refused) => self.add_settler(item),
            Err(_) => {}
        }
    }

    fn add_settler(&mut self, item: &HashMap<String, AttributeValue>) {
        let name = text(item, attribute::SETTLED_BY);
        // Another consumer can store any text, which may be confidential.
        match name.and_then(|name| name.parse::<ConsumerName>().ok()) {
            Some(name) => *self.settled_by.entry(name.to_string()).or_default() += 1,
            None => self.settled_by_unknown += 1,
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
        .projection_expression("#status, #created, #settler")
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#created", attribute::CREATED_AT)
        .expression_attribute_names("#settler", attribute::SETTLED_BY)
        .into_paginator()
        .items()
        .send();
    let mut counts = ItemCounts::default();
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| StackError::from_sdk("Scan", &error))?;
        counts.add(&item);
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
    /// Items that the downstream refused.
    Refused,
}

impl Selection {
    fn includes(&self, item: &ItemState) -> bool {
        match self {
            Self::Reconcile(rule) => rule.selects(item),
            Self::SettledBefore(before) => item.status.is_settled() && item.updated_at < *before,
            Self::Refused => item.status == Status::Refused,
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
            Self::Refused => scan
                .filter_expression(REFUSED)
                .expression_attribute_values(":refused", status(Status::Refused)),
        }
    }
}

/// An item that the rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedItem {
    pub id: String,
    pub state: ItemState,
    /// The notification type; `None` if it is no valid one.
    pub kind: Option<NotificationType>,
    /// The code of the refusal. `None` without a refusal, and for a stored text that is not a code, which may be confidential.
    pub refusal: Option<Refusal>,
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

/// The filter for items in INIT. They have no `updated_at`, and nothing about them changed since they were created.
const PENDING: &str = "#created < :before AND #status = :init";
/// The filter for items in INIT, and for settled items whose payload was not erased: those have an event.
const PENDING_OR_SETTLED: &str = "(#created < :before AND #status = :init) OR (#updated < :before AND #updated >= :since AND #status IN (:done, :refused) AND attribute_exists(#payload))";

/// The filter for settled items whose payload was not erased.
const SETTLED_WITH_PAYLOAD: &str =
    "#updated < :before AND #status IN (:done, :refused) AND attribute_exists(#payload)";

/// The filter for items that the downstream refused.
const REFUSED: &str = "#status = :refused";

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
        .projection_expression("#id, #status, #type, #created, #updated, #redrives, #refusal")
        .expression_attribute_names("#id", attribute::NOTIFICATION_ID)
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#type", attribute::TYPE)
        .expression_attribute_names("#refusal", attribute::REFUSAL)
        .expression_attribute_names("#created", attribute::CREATED_AT)
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
    let status: Status = text(item, attribute::STATUS)?.parse().ok()?;
    let changed_at = match status {
        Status::Init => attribute::CREATED_AT,
        Status::Done | Status::Refused => attribute::UPDATED_AT,
    };
    let redrives = match item.get(attribute::REDRIVES) {
        Some(redrives) => redrives.as_n().ok()?.parse().ok()?,
        None => 0,
    };
    Some(SelectedItem {
        id: text(item, attribute::NOTIFICATION_ID)?.to_owned(),
        state: ItemState {
            status,
            redrives,
            updated_at: text(item, changed_at)?.parse().ok()?,
        },
        kind: text(item, attribute::TYPE).and_then(|text| NotificationType::parse(text).ok()),
        refusal: text(item, attribute::REFUSAL).and_then(|text| text.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::wire;

    #[test]
    fn counts_by_status_and_settler_and_finds_the_oldest_pending_item() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let created = |second| string(&to_rfc3339(at(second)));
        let mut items = ItemCounts::default();
        for (status, created_at, settled_by) in [
            ("DONE", created(1), Some("complete")),
            ("REFUSED", created(1), Some("complete")),
            ("DONE", created(1), None),
            ("DONE", created(1), Some("the account of M\u{fc}ller")),
            ("INIT", created(3), None),
            ("INIT", created(2), None),
            ("INIT", string("yesterday"), None),
        ] {
            let mut members = vec![
                (attribute::STATUS, string(status)),
                (attribute::CREATED_AT, created_at),
            ];
            members.extend(settled_by.map(|name| (attribute::SETTLED_BY, string(name))));
            items.add(&item(&members));
        }
        assert_eq!(items.oldest_pending, Some(at(2)));
        let by_status = [("DONE", 3), ("INIT", 3), ("REFUSED", 1)];
        let by_status = by_status.map(|(status, count)| (status.to_owned(), count));
        assert_eq!(items.by_status, BTreeMap::from(by_status));
        let settled_by = BTreeMap::from([("complete".to_owned(), 2)]);
        assert_eq!(items.settled_by, settled_by);
        assert_eq!(items.settled_by_unknown, 2);
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

    const CREATED_AT: &str = "2026-11-23T10:00:00.000Z";
    const SETTLED_AT: &str = "2026-11-23T10:00:05.250Z";

    fn string(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn item(members: &[(&str, AttributeValue)]) -> HashMap<String, AttributeValue> {
        let all = [
            (attribute::NOTIFICATION_ID, string("n1")),
            (attribute::CREATED_AT, string(CREATED_AT)),
        ];
        let members = all.iter().chain(members);
        members
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn reads_items_of_this_version_and_of_the_one_before() {
        let number = |number: &str| AttributeValue::N(number.to_owned());
        let (status, updated) = (attribute::STATUS, attribute::UPDATED_AT);
        let redrives = attribute::REDRIVES;
        let init = (status, string("INIT"));
        let done = (status, string("DONE"));
        let zero = (redrives, number("0"));
        let settled_at = (updated, string(SETTLED_AT));
        for (members, expected) in [
            (vec![init.clone()], (Status::Init, 0, CREATED_AT)),
            (
                vec![init.clone(), (updated, string(CREATED_AT)), zero.clone()],
                (Status::Init, 0, CREATED_AT),
            ),
            (
                vec![init, (redrives, number("2"))],
                (Status::Init, 2, CREATED_AT),
            ),
            (
                vec![done.clone(), settled_at.clone()],
                (Status::Done, 0, SETTLED_AT),
            ),
            (vec![done, settled_at, zero], (Status::Done, 0, SETTLED_AT)),
        ] {
            let state = selected_item(&item(&members)).unwrap().state;
            let at = to_rfc3339(state.updated_at);
            let found = (state.status, state.redrives, at.as_str());
            assert_eq!(found, expected, "{members:?}");
        }
    }

    #[test]
    fn shows_the_code_of_a_refusal_but_no_other_text() {
        let refused = |refusal: &str, kind: &str| {
            let members = [
                (attribute::STATUS, string("REFUSED")),
                (attribute::UPDATED_AT, string(SETTLED_AT)),
                (attribute::REFUSAL, string(refusal)),
                (attribute::TYPE, string(kind)),
            ];
            let item = selected_item(&item(&members)).unwrap();
            let texts = (
                item.kind.map(|kind| kind.to_string()),
                item.refusal.map(|code| code.to_string()),
            );
            assert!(Selection::Refused.includes(&item.state));
            texts
        };
        let code = |text: &str| Some(text.to_owned());
        assert_eq!(
            refused("account-closed", "invoice.paid"),
            (code("invoice.paid"), code("account-closed"))
        );
        assert_eq!(refused("the account of M\u{fc}ller", "\u{7}"), (None, None));
    }

    #[test]
    fn an_edited_item_is_not_selected_in_silence() {
        let (status, updated) = (attribute::STATUS, attribute::UPDATED_AT);
        let init = (status, string("INIT"));
        for edited in [
            vec![],
            vec![(status, string("DONE"))],
            vec![(status, string("DONE")), (updated, string("yesterday"))],
            vec![init.clone(), (attribute::CREATED_AT, string("yesterday"))],
            vec![init, (attribute::REDRIVES, string("2"))],
        ] {
            assert_eq!(selected_item(&item(&edited)), None, "{edited:?}");
        }
    }

    /// DynamoDB refuses names and values that no expression uses (DynamoDB API reference, `Scan`).
    #[tokio::test]
    async fn every_selection_names_exactly_what_its_expressions_use() {
        let at = Timestamp::UNIX_EPOCH;
        let reconcile = |settled_since| {
            Selection::Reconcile(Reconciliation {
                before: at,
                settled_since,
            })
        };
        for selection in [
            reconcile(None),
            reconcile(Some(at)),
            Selection::SettledBefore(at),
            Selection::Refused,
        ] {
            let page = json!({"Items": [], "Count": 0, "ScannedCount": 0});
            let (stack, sent) = wire::stack(&[("Scan", page)]).await;
            let query = PageQuery {
                segment: 0,
                segments: 1,
                selection,
                limit: None,
                after: None,
            };
            read_page(&stack, query).await.unwrap();
            let request = sent.body("Scan");
            let expressions = ["ProjectionExpression", "FilterExpression"]
                .map(|name| request[name].as_str().unwrap().to_owned())
                .join(" ");
            let used: BTreeSet<&str> = expressions
                .split(|c: char| !(c.is_ascii_alphanumeric() || ":#_".contains(c)))
                .filter(|word| word.starts_with([':', '#']))
                .collect();
            let named = ["ExpressionAttributeNames", "ExpressionAttributeValues"]
                .map(|name| request[name].as_object().unwrap().keys());
            let named: BTreeSet<&str> = named.into_iter().flatten().map(String::as_str).collect();
            assert_eq!(used, named, "{selection:?}");
        }
    }
}
