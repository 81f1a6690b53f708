//! How the whole stack stands: its queues, mappings, bucket and, where asked for, its items.

use std::collections::BTreeMap;

use jiff::Timestamp;
use onewrite::{item::attribute, notification::Status as NotificationStatus};
use serde::Serialize;

use crate::{
    error::OperatorError,
    look::{self, Depth},
    stack::Stack,
    trace::duration,
};

/// How a stack stands. What SQS counts is approximate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The queue.
    pub queue: Depth,
    /// The dead-letter queue.
    pub dead_letters: Depth,
    /// Objects in the failure bucket.
    pub failures: usize,
    /// The event source mapping of each function, by the function's name in the template.
    pub mappings: BTreeMap<&'static str, Vec<Mapping>>,
    /// The items, where they were counted.
    pub items: Option<Items>,
    /// When it was looked at.
    pub looked_at: Timestamp,
}

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Lambda's word for it: `Enabled`, `Disabled`, `Creating` and the like.
    pub state: String,
    /// What became of its last batch, in Lambda's words; none where it has not said.
    pub last_result: Option<String>,
}

/// Items by status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Items {
    /// How many there are of each status.
    pub by_status: BTreeMap<String, usize>,
    /// When the oldest item in INIT was stored.
    pub oldest_pending: Option<Timestamp>,
}

impl Items {
    fn add(&mut self, status: &str, created_at: Option<Timestamp>) {
        *self.by_status.entry(status.to_owned()).or_default() += 1;
        if status == NotificationStatus::Init.as_str() {
            let oldest = self.oldest_pending.into_iter().chain(created_at).min();
            self.oldest_pending = oldest;
        }
    }
}

/// Looks. `count` reads the whole table: at half a read unit for each 4 KB of it.
///
/// # Errors
/// [`OperatorError`]: a place could not be looked into.
pub async fn status(stack: &Stack, count: bool) -> Result<Status, OperatorError> {
    let mut mappings = BTreeMap::new();
    for (name, function) in [
        ("ingest", &stack.ingest),
        ("forward", &stack.forward),
        ("complete", &stack.complete),
    ] {
        mappings.insert(name, of_function(stack, function).await?);
    }
    Ok(Status {
        queue: look::depth(stack, &stack.queue_url).await?,
        dead_letters: look::depth(stack, &stack.dead_letter_queue_url).await?,
        failures: look::objects(stack).await?.len(),
        mappings,
        items: if count {
            Some(items(stack).await?)
        } else {
            None
        },
        looked_at: Timestamp::now(),
    })
}

async fn of_function(stack: &Stack, function: &str) -> Result<Vec<Mapping>, OperatorError> {
    let listed = stack
        .lambda
        .list_event_source_mappings()
        .function_name(function)
        .send()
        .await
        .map_err(|error| OperatorError::of("ListEventSourceMappings", &error))?;
    let mapping = |mapping: aws_sdk_lambda::types::EventSourceMappingConfiguration| Mapping {
        state: mapping.state.unwrap_or_default(),
        last_result: mapping.last_processing_result,
    };
    let listed = listed.event_source_mappings.unwrap_or_default();
    Ok(listed.into_iter().map(mapping).collect())
}

async fn items(stack: &Stack) -> Result<Items, OperatorError> {
    let mut pages = stack
        .dynamodb
        .scan()
        .table_name(&stack.table)
        .projection_expression("#status, #created")
        .expression_attribute_names("#status", attribute::STATUS)
        .expression_attribute_names("#created", attribute::CREATED_AT)
        .into_paginator()
        .items()
        .send();
    let mut items = Items::default();
    while let Some(item) = pages.next().await {
        let item = item.map_err(|error| OperatorError::of("Scan", &error))?;
        let text = |name| item.get(name).and_then(|value| value.as_s().ok());
        let status = text(attribute::STATUS).map_or("unreadable", String::as_str);
        let created_at = text(attribute::CREATED_AT).and_then(|text| text.parse().ok());
        items.add(status, created_at);
    }
    Ok(items)
}

impl Status {
    /// As a person reads it, left to right as messages flow.
    #[must_use]
    pub fn text(&self) -> String {
        let depth =
            |depth: Depth| format!("~{} waiting, ~{} under way", depth.waiting, depth.hidden);
        let mut rows = vec![
            ("queue".to_owned(), depth(self.queue)),
            ("dead letters".to_owned(), depth(self.dead_letters)),
        ];
        for function in ["ingest", "forward", "complete"] {
            let mappings = self.mappings.get(function).map_or(&[][..], Vec::as_slice);
            if mappings.is_empty() {
                rows.push((function.to_owned(), "no event source mapping".to_owned()));
            }
            for Mapping { state, last_result } in mappings {
                let last = last_result.as_deref().unwrap_or("no result yet");
                rows.push((function.to_owned(), format!("{state}, {last}")));
            }
        }
        rows.push((
            "failure bucket".to_owned(),
            format!("{} objects", self.failures),
        ));
        if let Some(items) = &self.items {
            for (status, count) in &items.by_status {
                rows.push((status.clone(), format!("{count} items")));
            }
            if let Some(oldest) = items.oldest_pending {
                let age = self.looked_at.as_millisecond() - oldest.as_millisecond();
                rows.push(("oldest INIT".to_owned(), duration(age)));
            }
        }
        let line = |(name, text): (String, String)| format!("{name:<15} {text}\n");
        rows.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pending_item_is_the_one_that_counts() {
        let at = |second| Timestamp::from_second(second).ok();
        let mut items = Items::default();
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

    #[test]
    fn counts_that_are_approximate_say_so() {
        let mapping = Mapping {
            state: "Enabled".to_owned(),
            last_result: None,
        };
        let status = Status {
            queue: Depth {
                waiting: 3,
                hidden: 1,
            },
            dead_letters: Depth::default(),
            failures: 2,
            mappings: BTreeMap::from([("ingest", vec![mapping])]),
            items: Some(Items {
                by_status: BTreeMap::from([("INIT".to_owned(), 1)]),
                oldest_pending: Some(Timestamp::UNIX_EPOCH),
            }),
            looked_at: Timestamp::from_second(90).unwrap(),
        };
        assert_eq!(
            status.text(),
            concat!(
                "queue           ~3 waiting, ~1 under way\n",
                "dead letters    ~0 waiting, ~0 under way\n",
                "ingest          Enabled, no result yet\n",
                "forward         no event source mapping\n",
                "complete        no event source mapping\n",
                "failure bucket  2 objects\n",
                "INIT            1 items\n",
                "oldest INIT     1m30s\n",
            )
        );
    }
}
