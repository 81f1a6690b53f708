//! Reads the deployed event source mappings, their sources and their functions.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_event_sources::mapping::Mapping;
use onewrite_event_sources::sqs::{MAXIMUM_CONCURRENCY, QueueInfo};
use serde_json::{Map, Value, json};

use super::invoker::Function;
use crate::clients::Clients;
use crate::emulator::REGION;
use crate::error::{LocalError, Result};
use crate::lambda::Lambda;

/// A deployed mapping and its function.
pub(super) struct DeployedMapping {
    pub(super) mapping: Mapping,
    pub(super) is_enabled: bool,
    pub(super) function: Function,
    pub(super) role_arn: String,
}

impl DeployedMapping {
    pub(super) fn uuid(&self) -> &str {
        match &self.mapping {
            Mapping::Sqs(mapping) => &mapping.uuid,
            Mapping::Stream(mapping) => &mapping.uuid,
        }
    }
}

/// Reads every mapping of the stack.
pub(super) async fn read_all(clients: &Clients) -> Result<Vec<DeployedMapping>> {
    let listed = clients.functions.event_source_mappings(None).await?;
    let mut deployed = Vec::new();
    for configuration in listed {
        let mapping = parse(&configuration)?;
        let arn = text(&configuration, "FunctionArn").unwrap_or_default();
        let (function, role_arn) = read_function(clients, arn).await?;
        deployed.push(DeployedMapping {
            mapping,
            is_enabled: is_enabled(&configuration),
            function,
            role_arn,
        });
    }
    Ok(deployed)
}

/// Reads how many concurrent invocations of a function the mapping of its queue allows.
pub(super) async fn read_concurrency(functions: &Lambda, function: &str) -> Result<usize> {
    for configuration in functions.event_source_mappings(Some(function)).await? {
        if let Mapping::Sqs(mapping) = parse(&configuration)? {
            return Ok(mapping.maximum_concurrency.unwrap_or(MAXIMUM_CONCURRENCY));
        }
    }
    let reason = format!("{function} has no mapping of a queue");
    Err(LocalError::UnexpectedStack(reason))
}

fn parse(configuration: &Value) -> Result<Mapping> {
    Mapping::from_json(&as_json(configuration).to_string()).map_err(|refusal| {
        LocalError::UnexpectedStack(format!("AWS would reject a mapping: {refusal}"))
    })
}

/// Reads which mappings are enabled, by id.
pub(super) async fn read_states(functions: &Lambda) -> Result<BTreeMap<String, bool>> {
    let listed = functions.event_source_mappings(None).await?;
    let states = listed.iter().map(|mapping| {
        let uuid = text(mapping, "UUID").unwrap_or_default();
        (uuid.to_owned(), is_enabled(mapping))
    });
    Ok(states.collect())
}

fn is_enabled(mapping: &Value) -> bool {
    text(mapping, "State") == Some("Enabled")
}

/// Reads a function and its role.
async fn read_function(clients: &Clients, arn: &str) -> Result<(Function, String)> {
    let configuration = clients.functions.function_configuration(arn).await?;
    let timeout_seconds = configuration["Timeout"]
        .as_u64()
        .and_then(|seconds| u32::try_from(seconds).ok())
        .unwrap_or(3);
    let role_arn = text(&configuration, "Role").unwrap_or_default().to_owned();
    let function = Function {
        name: text(&configuration, "FunctionName")
            .unwrap_or(arn)
            .to_owned(),
        arn: arn.to_owned(),
        timeout_seconds,
    };
    Ok((function, role_arn))
}

/// Reads a queue's URL and the settings that its poller needs.
pub(super) async fn read_queue(
    clients: &Clients,
    arn: &str,
    function: &Function,
) -> Result<(String, QueueInfo)> {
    let name = arn.rsplit(':').next().unwrap_or_default();
    let response = clients.sqs.get_queue_url().queue_name(name).send().await;
    let response = response.map_err(|error| LocalError::aws("GetQueueUrl", &error))?;
    let url = response.queue_url().unwrap_or_default().to_owned();
    let request = clients.sqs.get_queue_attributes().queue_url(&url);
    let attributes = request
        .attribute_names(QueueAttributeName::VisibilityTimeout)
        .send()
        .await;
    let attributes = attributes.map_err(|error| LocalError::aws("GetQueueAttributes", &error))?;
    let visibility = attributes
        .attributes()
        .and_then(|all| all.get(&QueueAttributeName::VisibilityTimeout));
    let visibility_timeout_seconds = visibility
        .and_then(|seconds| seconds.parse().ok())
        .ok_or_else(|| {
            LocalError::UnexpectedStack(format!("the queue {name} has no visibility timeout"))
        })?;
    let facts = QueueInfo {
        arn: arn.to_owned(),
        region: REGION.to_owned(),
        fifo: name.ends_with(".fifo"),
        visibility_timeout_seconds,
        function_timeout_seconds: function.timeout_seconds,
    };
    Ok((url, facts))
}

/// Returns a string member of an object.
fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object[name].as_str()
}

/// The settings of a mapping of any source.
const COMMON_SETTINGS: [&str; 5] = [
    "UUID",
    "EventSourceArn",
    "FunctionArn",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
];

/// The settings of the mapping of a stream alone.
const STREAM_SETTINGS: [&str; 7] = [
    "StartingPosition",
    "StartingPositionTimestamp",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "ParallelizationFactor",
    "TumblingWindowInSeconds",
];

/// Converts a mapping to the input of `CreateEventSourceMapping`, so that it is parsed and validated as AWS would.
///
/// The emulator lists stream settings for a queue's mapping too. Whether the mapping is enabled can change while it is polled, so it
/// is read separately.
fn as_json(mapping: &Value) -> Value {
    let source = text(mapping, "EventSourceArn");
    let is_queue = source.is_some_and(|arn| arn.split(':').nth(2) == Some("sqs"));
    let mut settings = Map::new();
    let mut insert = |name: &str, value: Value| {
        if !value.is_null() {
            settings.insert(name.to_owned(), value);
        }
    };
    for name in COMMON_SETTINGS {
        insert(name, mapping[name].clone());
    }
    let response_types = mapping["FunctionResponseTypes"].as_array();
    insert(
        "FunctionResponseTypes",
        response_types.cloned().unwrap_or_default().into(),
    );
    if let Some(filters) = mapping["FilterCriteria"]["Filters"].as_array() {
        let filters = filters
            .iter()
            .map(|filter| json!({ "Pattern": filter["Pattern"] }));
        insert(
            "FilterCriteria",
            json!({ "Filters": filters.collect::<Vec<_>>() }),
        );
    }
    let concurrency = &mapping["ScalingConfig"]["MaximumConcurrency"];
    if !concurrency.is_null() {
        insert(
            "ScalingConfig",
            json!({ "MaximumConcurrency": concurrency }),
        );
    }
    insert("Enabled", Value::from(true));
    if !is_queue {
        for name in STREAM_SETTINGS {
            insert(name, mapping[name].clone());
        }
        if let Some(arn) = text(&mapping["DestinationConfig"]["OnFailure"], "Destination") {
            insert(
                "DestinationConfig",
                json!({ "OnFailure": { "Destination": arn } }),
            );
        }
    }
    Value::Object(settings)
}

#[cfg(test)]
mod tests {
    use onewrite_event_sources::mapping::{DestinationKind, StartingPosition};

    use super::*;

    #[test]
    fn ignores_stream_settings_in_the_mapping_of_a_queue() {
        let listed = json!({
            "UUID": "u",
            "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q",
            "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "BatchSize": 10,
            "StartingPosition": "LATEST",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": null,
            "ScalingConfig": {"MaximumConcurrency": 4},
            "State": "Disabled",
            "LastModified": 1.0,
        });
        let Ok(Mapping::Sqs(mapping)) = Mapping::from_json(&as_json(&listed).to_string()) else {
            panic!()
        };
        assert_eq!(
            (mapping.batch_size, mapping.maximum_concurrency),
            (10, Some(4))
        );
        assert!(mapping.enabled && mapping.report_batch_item_failures);
    }

    #[test]
    fn reads_every_setting_of_the_mapping_of_a_stream() {
        let pattern = r#"{"data":{"type":[{"suffix":".init"}]}}"#;
        let listed = json!({
            "UUID": "u",
            "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "BatchSize": 50,
            "MaximumBatchingWindowInSeconds": 1,
            "StartingPosition": "TRIM_HORIZON",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "MaximumRetryAttempts": 3,
            "MaximumRecordAgeInSeconds": 3600,
            "BisectBatchOnFunctionError": true,
            "ParallelizationFactor": 2,
            "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
            "DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": "arn:aws:s3:::failures"}},
        });
        let Ok(Mapping::Stream(mapping)) = Mapping::from_json(&as_json(&listed).to_string()) else {
            panic!()
        };
        assert_eq!(mapping.batch_size, 50);
        assert_eq!(mapping.maximum_batching_window_in_seconds, 1);
        assert_eq!(mapping.starting_position, StartingPosition::TrimHorizon);
        assert_eq!(mapping.maximum_retry_attempts, Some(3));
        assert_eq!(mapping.maximum_record_age_in_seconds, Some(3600));
        assert!(mapping.bisect_batch_on_function_error && mapping.report_batch_item_failures);
        assert_eq!(mapping.parallelization_factor, 2);
        assert_eq!(mapping.on_failure.unwrap().kind, DestinationKind::S3);
    }
}
