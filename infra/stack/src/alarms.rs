//! The alarms of a stack.

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use jiff::Timestamp;
use serde::Serialize;

use crate::{error::StackError, stack::Stack};

/// An alarm in state ALARM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    pub name: String,
    /// When it went into ALARM.
    pub since: Option<Timestamp>,
    /// The alarm's description: what it means and what to do.
    pub description: String,
}

/// Lists the alarms of the stack that are in state ALARM.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list_firing(stack: &Stack) -> Result<Vec<Alarm>, StackError> {
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
        let page = page.map_err(|error| StackError::from_sdk("DescribeAlarms", &error))?;
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
        alarms.extend(all.filter(|alarm| belongs_to_stack(&alarm.name, &prefix)));
    }
    Ok(alarms)
}

/// Whether the alarm belongs to the stack. The name of another stack may begin with the name of this one; in the template,
/// the rest of an alarm name has no hyphen.
fn belongs_to_stack(alarm: &str, prefix: &str) -> bool {
    alarm
        .strip_prefix(prefix)
        .is_some_and(|rest| !rest.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_alarms_of_stacks_with_longer_names() {
        assert!(belongs_to_stack("one-DeadLetters", "one-"));
        for other in ["one-two-DeadLetters", "two-DeadLetters", "oneDeadLetters"] {
            assert!(!belongs_to_stack(other, "one-"), "{other}");
        }
    }
}
