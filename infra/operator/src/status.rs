//! `onewrite status`: how the whole stack stands: its queues, mappings, bucket, alarms and, where asked for, its items.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use aws_sdk_lambda::{
    operation::list_event_source_mappings::ListEventSourceMappingsError,
    types::EventSourceMappingConfiguration,
};
use clap::Args;
use jiff::Timestamp;
use onewrite::{item::attribute, notification::Status as NotificationStatus};
use serde::Serialize;

use crate::{
    error::OperatorError,
    look::{self, Depth},
    stack::Stack,
    trace::duration,
};

/// The alias that the template's mappings invoke (`AutoPublishAlias`).
const ALIAS: &str = "live";

/// Lambda's word for a mapping that has read nothing.
const NO_RECORDS: &str = "No records processed";

/// What to look at, and how often.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Also counts the items by status, which reads the whole table: half a read unit for each 4 KB of it.
    #[arg(long)]
    pub count: bool,
    /// Looks again every so many seconds, until it is interrupted; as JSON, one document a line.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "5",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub watch: Option<u64>,
}

impl StatusArgs {
    /// The pause between two looks, where there is more than one.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.watch.map(Duration::from_secs)
    }
}

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
    /// The stack's alarms that are in ALARM.
    pub alarms: Vec<Alarm>,
    /// The items, where they were counted.
    pub items: Option<Items>,
    /// When it was looked at.
    pub looked_at: Timestamp,
}

/// An alarm that is in ALARM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Since when it is in ALARM.
    pub since: Option<Timestamp>,
    /// What it means and what to do.
    pub description: String,
}

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Lambda's word for it: `Enabled`, `Disabled`, `Creating` and the like.
    pub state: String,
    /// What became of its last batch, in Lambda's words; none where it has not said. It does not say for queues.
    pub last_result: Option<String>,
    /// Whether it reads a stream.
    pub is_of_stream: bool,
    /// When it, its state or its result changed last.
    pub last_modified: Option<Timestamp>,
}

impl Mapping {
    /// In words. That nothing was read is said as what it is: a stream without data has no lag either.
    fn text(&self, now: Timestamp) -> String {
        let Self {
            state,
            last_result,
            is_of_stream,
            last_modified,
        } = self;
        match last_result.as_deref() {
            Some(result) if result != NO_RECORDS => format!("{state}, {result}"),
            None if !is_of_stream => state.clone(),
            _ => match last_modified {
                Some(at) => format!(
                    "{state}, no data since {at} ({}), which proves nothing",
                    duration(now.as_millisecond() - at.as_millisecond())
                ),
                None => format!("{state}, no records processed yet, which proves nothing"),
            },
        }
    }
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
        alarms: alarms(stack).await?,
        items: if count {
            Some(items(stack).await?)
        } else {
            None
        },
        looked_at: Timestamp::now(),
    })
}

/// The mappings of a function and of its alias: each name lists its own.
async fn of_function(stack: &Stack, function: &str) -> Result<Vec<Mapping>, OperatorError> {
    let mut by_id = BTreeMap::new();
    for name in [function.to_owned(), format!("{function}:{ALIAS}")] {
        let listed = stack
            .lambda
            .list_event_source_mappings()
            .function_name(name)
            .send()
            .await;
        let listed = match listed {
            Ok(listed) => listed.event_source_mappings.unwrap_or_default(),
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(ListEventSourceMappingsError::ResourceNotFoundException(_))
                ) =>
            {
                Vec::new()
            }
            Err(error) => return Err(OperatorError::of("ListEventSourceMappings", &error)),
        };
        let listed = listed.into_iter();
        by_id.extend(listed.map(|one| (one.uuid.clone().unwrap_or_default(), mapping(one))));
    }
    Ok(by_id.into_values().collect())
}

fn mapping(listed: EventSourceMappingConfiguration) -> Mapping {
    let source = listed.event_source_arn.unwrap_or_default();
    Mapping {
        state: listed.state.unwrap_or_default(),
        last_result: listed.last_processing_result,
        is_of_stream: source.split(':').nth(2) != Some("sqs"),
        last_modified: listed
            .last_modified
            .and_then(|at| Timestamp::from_second(at.secs()).ok()),
    }
}

async fn alarms(stack: &Stack) -> Result<Vec<Alarm>, OperatorError> {
    let prefix = format!("{}-", stack.name);
    let mut pages = stack
        .cloudwatch
        .describe_alarms()
        .alarm_name_prefix(&prefix)
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .state_value(StateValue::Alarm)
        .into_paginator()
        .send();
    let mut alarms = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| OperatorError::of("DescribeAlarms", &error))?;
        let metric = page.metric_alarms.unwrap_or_default().into_iter();
        let metric = metric.map(|one| {
            (
                one.alarm_name,
                one.state_updated_timestamp,
                one.alarm_description,
            )
        });
        let composite = page.composite_alarms.unwrap_or_default().into_iter();
        let composite = composite.map(|one| {
            (
                one.alarm_name,
                one.state_updated_timestamp,
                one.alarm_description,
            )
        });
        let all = metric
            .chain(composite)
            .map(|(name, since, description)| Alarm {
                name: name.unwrap_or_default(),
                since: since.and_then(|at| Timestamp::from_second(at.secs()).ok()),
                description: description.unwrap_or_default(),
            });
        alarms.extend(all.filter(|alarm| is_of_stack(&alarm.name, &prefix)));
    }
    Ok(alarms)
}

/// Whether an alarm is the stack's own: another stack's name may begin with this one's. What follows the name in the
/// template has no hyphen.
fn is_of_stack(alarm: &str, prefix: &str) -> bool {
    alarm
        .strip_prefix(prefix)
        .is_some_and(|rest| !rest.contains('-'))
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
            for mapping in mappings {
                rows.push((function.to_owned(), mapping.text(self.looked_at)));
            }
        }
        rows.push((
            "failure bucket".to_owned(),
            format!("{} objects", self.failures),
        ));
        if self.alarms.is_empty() {
            rows.push(("alarms".to_owned(), "none in ALARM".to_owned()));
        }
        for Alarm {
            name,
            since,
            description,
        } in &self.alarms
        {
            let since = since.map_or_else(String::new, |at| format!(" since {at}"));
            rows.push(("ALARM".to_owned(), format!("{name}{since}: {description}")));
        }
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
        let mapping = |last_result: Option<&str>, is_of_stream| Mapping {
            state: "Enabled".to_owned(),
            last_result: last_result.map(str::to_owned),
            is_of_stream,
            last_modified: Timestamp::from_second(60).ok(),
        };
        let status = Status {
            queue: Depth {
                waiting: 3,
                hidden: 1,
            },
            dead_letters: Depth::default(),
            failures: 2,
            mappings: BTreeMap::from([
                ("ingest", vec![mapping(None, false)]),
                (
                    "forward",
                    vec![mapping(Some(NO_RECORDS), true), mapping(Some("OK"), true)],
                ),
            ]),
            alarms: vec![Alarm {
                name: "onewrite-DeadLetters".to_owned(),
                since: Timestamp::from_second(30).ok(),
                description: "Look.".to_owned(),
            }],
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
                "ingest          Enabled\n",
                "forward         Enabled, no data since 1970-01-01T00:01:00Z (30.000s), which proves nothing\n",
                "forward         Enabled, OK\n",
                "complete        no event source mapping\n",
                "failure bucket  2 objects\n",
                "ALARM           onewrite-DeadLetters since 1970-01-01T00:00:30Z: Look.\n",
                "INIT            1 items\n",
                "oldest INIT     1m30s\n",
            )
        );
    }

    #[test]
    fn an_alarm_of_a_stack_with_a_longer_name_is_not_ours() {
        assert!(is_of_stack("one-DeadLetters", "one-"));
        for other in ["one-two-DeadLetters", "two-DeadLetters", "oneDeadLetters"] {
            assert!(!is_of_stack(other, "one-"), "{other}");
        }
    }
}
