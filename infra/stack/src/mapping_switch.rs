//! Pauses and resumes event source mappings through the Lambda API, and how long what waits meanwhile is safe.

use std::time::Duration;

use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{error::StackError, mappings, queue, stack::Stack};

/// How long the table's stream keeps changes (DynamoDB developer guide, "Change data capture for DynamoDB Streams").
const TABLE_STREAM_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// How long to wait for a mapping. Lambda names no limit; it takes a minute or two.
const MAX_WAIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_secs(2);

/// An event source mapping that can be paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchableMapping {
    pub uuid: String,
    /// The state that Lambda reports: `Enabled`, `Disabled`, `Disabling` and so on.
    pub state: String,
    pub source: MappingSource,
    /// After this time, Lambda sends records to the failure bucket in place of invoking the function.
    pub maximum_record_age: Option<Duration>,
}

/// What a mapping reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MappingSource {
    Queue,
    TableStream,
    Stream,
}

impl From<EventSourceMappingConfiguration> for SwitchableMapping {
    fn from(configuration: EventSourceMappingConfiguration) -> Self {
        let arn = configuration.event_source_arn.unwrap_or_default();
        Self {
            uuid: configuration.uuid.unwrap_or_default(),
            state: configuration.state.unwrap_or_default(),
            source: match arn.split(':').nth(2) {
                Some("sqs") => MappingSource::Queue,
                Some("dynamodb") => MappingSource::TableStream,
                _ => MappingSource::Stream,
            },
            // -1: no limit.
            maximum_record_age: configuration
                .maximum_record_age_in_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
        }
    }
}

/// How long what waits for a paused mapping is safe, counted from when it was sent or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SafeTime {
    /// After this time, Lambda sends records to the failure bucket when the mapping resumes, in place of processing them.
    pub until_given_up: Option<Duration>,
    /// After this time, the source discards them.
    pub until_discarded: Duration,
}

impl SafeTime {
    /// A record is given up before the source discards it, or never.
    fn new(retention: Duration, maximum_record_age: Option<Duration>) -> Self {
        Self {
            until_given_up: maximum_record_age.filter(|age| *age < retention),
            until_discarded: retention,
        }
    }

    /// The time after which something must be repaired: the mapping must resume earlier.
    #[must_use]
    pub fn until_repair(self) -> Duration {
        self.until_given_up.unwrap_or(self.until_discarded)
    }
}

/// Lists the mappings of a function.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list(stack: &Stack, function: &str) -> Result<Vec<SwitchableMapping>, StackError> {
    let listed = mappings::list_configurations(stack, function).await?;
    Ok(listed.into_iter().map(SwitchableMapping::from).collect())
}

/// Reads how long what waits for a mapping is safe.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn read_safe_time(
    stack: &Stack,
    mapping: &SwitchableMapping,
) -> Result<SafeTime, StackError> {
    let retention = match mapping.source {
        MappingSource::Queue => read_queue_retention(stack).await?,
        MappingSource::TableStream => TABLE_STREAM_RETENTION,
        MappingSource::Stream => read_stream_retention(stack).await?,
    };
    Ok(SafeTime::new(retention, mapping.maximum_record_age))
}

async fn read_queue_retention(stack: &Stack) -> Result<Duration, StackError> {
    use aws_sdk_sqs::types::QueueAttributeName::MessageRetentionPeriod;
    let url = &stack.outputs.queue_url;
    let attributes = queue::read_attributes(stack, url, MessageRetentionPeriod).await?;
    let seconds = attributes.get(&MessageRetentionPeriod);
    let seconds = seconds.and_then(|text| text.parse().ok());
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| incomplete("GetQueueAttributes"))
}

async fn read_stream_retention(stack: &Stack) -> Result<Duration, StackError> {
    let summary = stack
        .kinesis
        .describe_stream_summary()
        .stream_name(&stack.outputs.stream)
        .send()
        .await
        .map_err(|error| StackError::from_sdk("DescribeStreamSummary", &error))?
        .stream_description_summary;
    let hours = summary.and_then(|summary| u64::try_from(summary.retention_period_hours).ok());
    hours
        .map(|hours| Duration::from_secs(hours * 3_600))
        .ok_or_else(|| incomplete("DescribeStreamSummary"))
}

fn incomplete(call: &'static str) -> StackError {
    let reason = "the response lacks the retention".to_owned();
    StackError::Call { call, reason }
}

/// The calls that switching a mapping needs.
pub trait MappingSwitch: Send + Sync {
    /// Requests that Lambda polls the event source, or stops polling it. The change takes effect later.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn request(
        &self,
        uuid: &str,
        is_enabled: bool,
    ) -> impl Future<Output = Result<(), StackError>> + Send;

    /// The state of a mapping.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn state(&self, uuid: &str) -> impl Future<Output = Result<String, StackError>> + Send;
}

impl MappingSwitch for Stack {
    async fn request(&self, uuid: &str, is_enabled: bool) -> Result<(), StackError> {
        self.lambda
            .update_event_source_mapping()
            .uuid(uuid)
            .enabled(is_enabled)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("UpdateEventSourceMapping", &error))?;
        Ok(())
    }

    async fn state(&self, uuid: &str) -> Result<String, StackError> {
        let mapping = self
            .lambda
            .get_event_source_mapping()
            .uuid(uuid)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("GetEventSourceMapping", &error))?;
        Ok(mapping.state.unwrap_or_default())
    }
}

/// The state of a mapping that is enabled or disabled.
#[must_use]
pub fn target_state(is_enabled: bool) -> &'static str {
    if is_enabled { "Enabled" } else { "Disabled" }
}

/// Enables or disables a mapping, waits until Lambda reports it, and returns the last state. It is another one than
/// [`target_state`] if Lambda takes longer than ten minutes.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn switch(
    mappings: &impl MappingSwitch,
    uuid: &str,
    is_enabled: bool,
) -> Result<String, StackError> {
    let target = target_state(is_enabled);
    let opposite = target_state(!is_enabled);
    let end = Instant::now() + MAX_WAIT;
    let mut is_requested = false;
    loop {
        let state = mappings.state(uuid).await?;
        let is_late = Instant::now() >= end;
        if state == target || is_late {
            return Ok(state);
        }
        // Lambda rejects a request during a transition (`ResourceInUseException`), so it waits for the end of that.
        if state == opposite && !is_requested {
            mappings.request(uuid, is_enabled).await?;
            is_requested = true;
        } else {
            sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use serde_json::json;

    use super::*;
    use crate::wire;

    /// A mapping that reports one state after the other, the last one for ever.
    struct Scripted {
        states: Mutex<VecDeque<&'static str>>,
        requests: Mutex<Vec<bool>>,
    }

    impl MappingSwitch for Scripted {
        async fn request(&self, _: &str, is_enabled: bool) -> Result<(), StackError> {
            self.requests.lock().unwrap().push(is_enabled);
            Ok(())
        }

        async fn state(&self, _: &str) -> Result<String, StackError> {
            let mut states = self.states.lock().unwrap();
            let state = match states.len() {
                1 => states[0],
                _ => states.pop_front().unwrap(),
            };
            Ok(state.to_owned())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_once_and_waits_for_the_state() {
        for (states, is_enabled, end, requests) in [
            (
                &["Enabled", "Enabled", "Disabling", "Disabled"][..],
                false,
                "Disabled",
                1,
            ),
            (&["Disabled"], false, "Disabled", 0),
            (&["Enabling", "Enabled"], true, "Enabled", 0),
            (
                &["Updating", "Disabled", "Enabling", "Enabled"],
                true,
                "Enabled",
                1,
            ),
            // A deployment that changes the mapping at the same time.
            (
                &["Enabling", "Enabled", "Disabling", "Disabled"],
                false,
                "Disabled",
                1,
            ),
            (&["Enabled", "Disabling"], false, "Disabling", 1),
            (&["Creating"], true, "Creating", 0),
        ] {
            let mapping = Scripted {
                states: Mutex::new(states.iter().copied().collect()),
                requests: Mutex::default(),
            };
            let last = switch(&mapping, "u-1", is_enabled).await.unwrap();
            assert_eq!(last, end, "{states:?}");
            let sent = mapping.requests.lock().unwrap();
            assert_eq!(*sent, vec![is_enabled; requests], "{states:?}");
        }
    }

    #[test]
    fn calculates_how_long_a_paused_mapping_is_safe() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        for (retention, age, given_up, repair) in [
            (24, Some(23), Some(23), 23),
            (24, None, None, 24),
            (24, Some(24), None, 24),
            (168, Some(23), Some(23), 23),
            (14 * 24, None, None, 14 * 24),
        ] {
            let time = SafeTime::new(hours(retention), age.map(hours));
            assert_eq!(time.until_given_up, given_up.map(hours));
            assert_eq!(time.until_repair(), hours(repair));
        }
    }

    #[test]
    fn recognizes_the_source_and_the_unlimited_age_of_a_mapping() {
        let mapping = |service: &str, age: i32| {
            let configuration = EventSourceMappingConfiguration::builder()
                .event_source_arn(format!("arn:aws:{service}:us-east-1:1:x"))
                .maximum_record_age_in_seconds(age)
                .build();
            let mapping = SwitchableMapping::from(configuration);
            (mapping.source, mapping.maximum_record_age)
        };
        assert_eq!(mapping("sqs", -1), (MappingSource::Queue, None));
        let day = Some(Duration::from_secs(82_800));
        assert_eq!(
            mapping("dynamodb", 82_800),
            (MappingSource::TableStream, day)
        );
        assert_eq!(mapping("kinesis", -1), (MappingSource::Stream, None));
    }
    #[tokio::test]
    async fn lists_switches_and_reads_mappings_on_the_wire() {
        let path = "/2015-03-31/event-source-mappings";
        let mapping = json!({
            "UUID": "u-1", "State": "Enabled", "MaximumRecordAgeInSeconds": 82_800,
            "EventSourceArn": "arn:aws:kinesis:us-east-1:1:stream/stream",
        });
        let listed = json!({"EventSourceMappings": [mapping]});
        let summary = json!({"StreamDescriptionSummary": {
            "StreamName": "stream", "StreamARN": "arn", "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 168, "StreamCreationTimestamp": 1, "OpenShardCount": 1,
            "EnhancedMonitoring": [],
        }});
        let (stack, sent) = wire::stack(&[
            (&format!("GET {path}?FunctionName=complete"), listed),
            (&format!("GET {path}/u-1"), json!({"State": "Disabling"})),
            (&format!("PUT {path}/u-1"), json!({"State": "Disabling"})),
            ("DescribeStreamSummary", summary),
        ])
        .await;
        let mappings = list(&stack, "complete").await.unwrap();
        let safe = read_safe_time(&stack, &mappings[0]).await.unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        assert_eq!(safe, SafeTime::new(hours(168), Some(hours(23))));
        assert_eq!(mappings[0].state, "Enabled");
        stack.request("u-1", false).await.unwrap();
        assert_eq!(
            sent.body(&format!("PUT {path}/u-1")),
            json!({"Enabled": false})
        );
        assert_eq!(stack.state("u-1").await.unwrap(), "Disabling");
    }
}
