//! Compares how the model answers create requests and reads descriptions of mappings with the recordings.

use onewrite_event_sources::mapping::{
    InvalidMapping, Mapping, SqsMapping, StartingPosition, StreamMapping,
};
use serde_json::{Map, Value, json};

/// Sends a recorded request and compares the answer.
pub(crate) fn check_request(entry: &Value) -> Result<(), String> {
    let expect = entry["expect"].as_object().ok_or("no expectation")?;
    let answer = Mapping::from_json(&entry["request"].to_string());
    match (answer, expect.get("accepted").and_then(Value::as_object)) {
        (Ok(mapping), Some(expected)) => compare(expected, &describe(&mapping)),
        (Err(error), None) => {
            let mut expected = expect.clone();
            expected.entry("Type").or_insert_with(|| "User".into());
            compare_rejection(&error, &expected.into())
        }
        (Ok(_), None) => Err("accepted, recorded a rejection".to_owned()),
        (Err(error), Some(_)) => Err(format!("rejected: {error}")),
    }
}

/// Reads a mapping as AWS describes it, and compares every setting.
pub(crate) fn check_description(entry: &Value) -> Result<(), String> {
    const NOT_READ: [&str; 5] = [
        "EventSourceMappingArn",
        "LastModified",
        "LastProcessingResult",
        "StateTransitionReason",
        // Not supported, and zero in every recording, which the parser checks (D29).
        "TumblingWindowInSeconds",
    ];
    let described = entry["told"].as_object().ok_or("no description")?;
    let mapping = Mapping::from_json(&entry["told"].to_string()).map_err(|e| e.to_string())?;
    let mut expected = described.clone();
    expected.retain(|key, _| !NOT_READ.contains(&key.as_str()));
    let stops = ["Disabling", "Disabled", "Deleting"];
    let state = expected.remove("State").unwrap_or_default();
    let stopped = stops.into_iter().any(|stop| state == stop);
    expected.insert("Enabled".to_owned(), (!stopped).into());
    // A compiled filter has no text; the cases show that it does what it says.
    let filters = expected.remove("FilterCriteria");
    expected.insert("filtered".to_owned(), filters.is_some().into());
    compare(&expected, &describe(&mapping))
}

pub(crate) fn compare_rejection(error: &InvalidMapping, expected: &Value) -> Result<(), String> {
    let actual = json!({
        "Code": error.code(),
        "Message": error.to_string(),
        "Type": "User",
        "HTTPStatusCode": error.http_status(),
    });
    if actual == *expected {
        Ok(())
    } else {
        Err(format!("rejected with {actual}, recorded {expected}"))
    }
}

fn compare(expected: &Map<String, Value>, actual: &Value) -> Result<(), String> {
    match expected.iter().find(|(key, value)| actual[*key] != **value) {
        Some((key, value)) => Err(format!("{key} is {}, recorded {value}", actual[key])),
        None => Ok(()),
    }
}

/// Describes a mapping as AWS does.
fn describe(mapping: &Mapping) -> Value {
    match mapping {
        Mapping::Sqs(mapping) => describe_sqs(mapping),
        Mapping::Stream(mapping) => describe_stream(mapping),
    }
}

fn describe_sqs(mapping: &SqsMapping) -> Value {
    json!({
        "UUID": mapping.uuid,
        "FunctionArn": mapping.function_arn,
        "EventSourceArn": mapping.event_source_arn,
        "Enabled": mapping.enabled,
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.maximum_batching_window_in_seconds,
        "FunctionResponseTypes": response_types(mapping.report_batch_item_failures),
        "ScalingConfig": mapping.maximum_concurrency.map(|n| json!({"MaximumConcurrency": n})),
        "filtered": !mapping.filter_criteria.is_empty(),
    })
}

fn describe_stream(mapping: &StreamMapping) -> Value {
    let endless = |limit: Option<u32>| limit.map_or(-1, i64::from);
    let on_failure = mapping.on_failure.as_ref();
    let on_failure = on_failure.map_or(json!({}), |to| json!({"Destination": to.arn}));
    json!({
        "UUID": mapping.uuid,
        "FunctionArn": mapping.function_arn,
        "EventSourceArn": mapping.event_source_arn,
        "Enabled": mapping.enabled,
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.maximum_batching_window_in_seconds,
        "FunctionResponseTypes": response_types(mapping.report_batch_item_failures),
        "StartingPosition": match mapping.starting_position {
            StartingPosition::TrimHorizon => "TRIM_HORIZON",
            StartingPosition::Latest => "LATEST",
            StartingPosition::AtTimestamp(_) => "AT_TIMESTAMP",
        },
        "MaximumRetryAttempts": endless(mapping.maximum_retry_attempts),
        "MaximumRecordAgeInSeconds": endless(mapping.maximum_record_age_in_seconds),
        "BisectBatchOnFunctionError": mapping.bisect_batch_on_function_error,
        "ParallelizationFactor": mapping.parallelization_factor,
        "DestinationConfig": {"OnFailure": on_failure},
        "filtered": !mapping.filter_criteria.is_empty(),
    })
}

fn response_types(reports_failures: bool) -> Value {
    if reports_failures {
        json!(["ReportBatchItemFailures"])
    } else {
        json!([])
    }
}
