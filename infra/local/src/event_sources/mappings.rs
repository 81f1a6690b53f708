//! Reads the deployed event source mappings, their sources and their functions.

use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType, ScalingConfig};
use aws_sdk_sqs::types::QueueAttributeName;
use onewrite_event_sources::mapping::Mapping;
use onewrite_event_sources::sqs::QueueInfo;
use serde_json::{Map, Value, json};

use super::invoker::Function;
use crate::clients::Clients;
use crate::emulator::REGION;
use crate::error::{LocalError, Result};

/// A deployed mapping and its function.
pub(super) struct DeployedMapping {
    pub(super) mapping: Mapping,
    pub(super) function: Function,
    pub(super) role_arn: String,
}

/// Reads every mapping of the stack.
pub(super) async fn read_all(clients: &Clients) -> Result<Vec<DeployedMapping>> {
    let pages = clients
        .lambda
        .list_event_source_mappings()
        .into_paginator()
        .items()
        .send();
    let listed: std::result::Result<Vec<_>, _> = pages.collect().await;
    let listed = listed.map_err(|error| LocalError::aws("ListEventSourceMappings", &error))?;
    let mut deployed = Vec::new();
    for configuration in listed {
        let mapping =
            Mapping::from_json(&as_json(&configuration).to_string()).map_err(|refusal| {
                LocalError::UnexpectedStack(format!("AWS would reject a mapping: {refusal}"))
            })?;
        let arn = configuration.function_arn().unwrap_or_default();
        let (function, role_arn) = read_function(clients, arn).await?;
        deployed.push(DeployedMapping {
            mapping,
            function,
            role_arn,
        });
    }
    Ok(deployed)
}

/// Reads a function and its role.
async fn read_function(clients: &Clients, arn: &str) -> Result<(Function, String)> {
    let configuration = clients
        .lambda
        .get_function_configuration()
        .function_name(arn)
        .send()
        .await;
    let configuration =
        configuration.map_err(|error| LocalError::aws("GetFunctionConfiguration", &error))?;
    let timeout_seconds = configuration
        .timeout()
        .and_then(|seconds| u32::try_from(seconds).ok())
        .unwrap_or(3);
    let role_arn = configuration.role().unwrap_or_default().to_owned();
    let function = Function {
        name: configuration.function_name().unwrap_or(arn).to_owned(),
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

/// Converts a mapping to the input of `CreateEventSourceMapping`, so that it is parsed and validated as AWS would.
///
/// The emulator lists stream settings for a queue's mapping too, and reports every mapping as enabled.
fn as_json(mapping: &EventSourceMappingConfiguration) -> Value {
    let is_queue = mapping
        .event_source_arn()
        .is_some_and(|arn| arn.split(':').nth(2) == Some("sqs"));
    let mut settings = common_settings(mapping);
    if !is_queue {
        settings.extend(stream_settings(mapping));
    }
    let present = settings
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

type Setting = (&'static str, Option<Value>);

fn common_settings(mapping: &EventSourceMappingConfiguration) -> Vec<Setting> {
    let filters = mapping.filter_criteria().map(|criteria| {
        let filters = criteria
            .filters()
            .iter()
            .map(|filter| json!({ "Pattern": filter.pattern() }));
        json!({ "Filters": filters.collect::<Vec<_>>() })
    });
    let response_types: Vec<&str> = mapping
        .function_response_types()
        .iter()
        .map(FunctionResponseType::as_str)
        .collect();
    let concurrency = mapping
        .scaling_config()
        .and_then(ScalingConfig::maximum_concurrency);
    let batching_window = mapping.maximum_batching_window_in_seconds();
    vec![
        ("UUID", mapping.uuid().map(Value::from)),
        (
            "EventSourceArn",
            mapping.event_source_arn().map(Value::from),
        ),
        ("FunctionArn", mapping.function_arn().map(Value::from)),
        ("BatchSize", mapping.batch_size().map(Value::from)),
        (
            "MaximumBatchingWindowInSeconds",
            batching_window.map(Value::from),
        ),
        ("FunctionResponseTypes", Some(json!(response_types))),
        ("FilterCriteria", filters),
        (
            "ScalingConfig",
            concurrency.map(|concurrency| json!({ "MaximumConcurrency": concurrency })),
        ),
        ("Enabled", Some(Value::from(true))),
    ]
}

fn stream_settings(mapping: &EventSourceMappingConfiguration) -> Vec<Setting> {
    let destination = mapping
        .destination_config()
        .and_then(|config| config.on_failure()?.destination());
    vec![
        (
            "StartingPosition",
            mapping
                .starting_position()
                .map(|position| Value::from(position.as_str())),
        ),
        (
            "StartingPositionTimestamp",
            mapping
                .starting_position_timestamp()
                .map(|at| Value::from(at.as_secs_f64())),
        ),
        (
            "MaximumRetryAttempts",
            mapping.maximum_retry_attempts().map(Value::from),
        ),
        (
            "MaximumRecordAgeInSeconds",
            mapping.maximum_record_age_in_seconds().map(Value::from),
        ),
        (
            "BisectBatchOnFunctionError",
            mapping.bisect_batch_on_function_error().map(Value::from),
        ),
        (
            "ParallelizationFactor",
            mapping.parallelization_factor().map(Value::from),
        ),
        (
            "TumblingWindowInSeconds",
            mapping.tumbling_window_in_seconds().map(Value::from),
        ),
        (
            "DestinationConfig",
            destination.map(|arn| json!({ "OnFailure": { "Destination": arn } })),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{
        DestinationConfig, EventSourcePosition, Filter, FilterCriteria, OnFailure,
    };
    use onewrite_event_sources::mapping::{DestinationKind, StartingPosition};

    use super::*;

    #[test]
    fn ignores_stream_settings_in_the_mapping_of_a_queue() {
        let listed = EventSourceMappingConfiguration::builder()
            .uuid("u")
            .event_source_arn("arn:aws:sqs:us-east-1:000000000000:q")
            .function_arn("arn:aws:lambda:us-east-1:000000000000:function:f")
            .batch_size(10)
            .starting_position(EventSourcePosition::Latest)
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .scaling_config(ScalingConfig::builder().maximum_concurrency(4).build())
            .state("Disabled")
            .build();
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
        let on_failure = OnFailure::builder()
            .destination("arn:aws:s3:::failures")
            .build();
        let listed = EventSourceMappingConfiguration::builder()
            .uuid("u")
            .event_source_arn("arn:aws:kinesis:us-east-1:000000000000:stream/s")
            .function_arn("arn:aws:lambda:us-east-1:000000000000:function:f")
            .batch_size(50)
            .maximum_batching_window_in_seconds(1)
            .starting_position(EventSourcePosition::TrimHorizon)
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .maximum_retry_attempts(3)
            .maximum_record_age_in_seconds(3600)
            .bisect_batch_on_function_error(true)
            .parallelization_factor(2)
            .filter_criteria(
                FilterCriteria::builder()
                    .filters(Filter::builder().pattern(pattern).build())
                    .build(),
            )
            .destination_config(DestinationConfig::builder().on_failure(on_failure).build())
            .build();
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
