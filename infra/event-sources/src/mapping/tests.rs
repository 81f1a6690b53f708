use serde_json::{Value, json};

use super::*;
use crate::filter::InvalidFilterCriteria;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:orders";
const FIFO: &str = "arn:aws:sqs:eu-west-1:111111111111:orders.fifo";
const TABLE: &str =
    "arn:aws:dynamodb:eu-west-1:111111111111:table/orders/stream/2026-01-01T00:00:00.000";
const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";

fn with(arn: &str, settings: &Value) -> String {
    let mut json = json!({"EventSourceArn": arn, "FunctionName": "ingest"});
    if arn == TABLE || arn == STREAM {
        json["StartingPosition"] = "TRIM_HORIZON".into();
    }
    for (key, value) in settings.as_object().unwrap() {
        json[key] = value.clone();
    }
    json.to_string()
}

fn sqs(arn: &str, settings: &Value) -> Result<SqsMapping, InvalidMapping> {
    SqsMapping::from_json(&with(arn, settings))
}

fn stream(arn: &str, settings: &Value) -> Result<StreamMapping, InvalidMapping> {
    StreamMapping::from_json(&with(arn, settings))
}

#[test]
fn s2_batch_size_and_window_of_a_standard_queue() {
    let default = sqs(QUEUE, &json!({})).unwrap();
    assert_eq!(
        (
            default.batch_size,
            default.maximum_batching_window_in_seconds
        ),
        (10, 0)
    );
    assert!(default.enabled && !default.fifo && !default.report_batch_item_failures);

    let large = sqs(
        QUEUE,
        &json!({"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1}),
    )
    .unwrap();
    assert_eq!((large.batch_size, large.batching_window()), (10_000, 1_000));
    assert!(sqs(QUEUE, &json!({"BatchSize": 1})).is_ok());
    assert!(sqs(QUEUE, &json!({"MaximumBatchingWindowInSeconds": 300})).is_ok());

    assert_eq!(
        sqs(QUEUE, &json!({"BatchSize": 11})).unwrap_err(),
        InvalidMapping::WindowNeeded
    );
    let error = |settings| sqs(QUEUE, &settings).unwrap_err();
    assert!(matches!(
        error(json!({"BatchSize": 0})),
        InvalidMapping::TooSmall {
            value: 0,
            bound: 1,
            ..
        }
    ));
    assert!(matches!(
        error(json!({"BatchSize": 10_001})),
        InvalidMapping::TooLarge { bound: 10_000, .. }
    ));
    assert!(matches!(
        error(json!({"MaximumBatchingWindowInSeconds": 301})),
        InvalidMapping::TooLarge { bound: 300, .. }
    ));
    assert!(matches!(
        error(json!({"MaximumBatchingWindowInSeconds": -1})),
        InvalidMapping::TooSmall { bound: 0, .. }
    ));
}

#[test]
fn s4_rejects_function_timeout_above_visibility_timeout() {
    let mapping = sqs(QUEUE, &json!({})).unwrap();
    assert_eq!(mapping.check_timeouts(30, 30), Ok(()));
    let error = mapping.check_timeouts(30, 60).unwrap_err();
    assert_eq!(error.code(), "InvalidParameterValueException");
    assert_eq!(
        error.to_string(),
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
    );
}

#[test]
fn s4_extends_visibility_timeout_for_long_batching_window() {
    let windowed = sqs(QUEUE, &json!({"MaximumBatchingWindowInSeconds": 20})).unwrap();
    assert_eq!(windowed.effective_visibility_timeout(30, 11), 20 + 11 + 30);
    assert_eq!(windowed.effective_visibility_timeout(31, 11), 31);
    let without_window = sqs(QUEUE, &json!({})).unwrap();
    assert_eq!(without_window.effective_visibility_timeout(30, 30), 30);
    assert_eq!(without_window.effective_visibility_timeout(10, 30), 10);
}

#[test]
fn s5_maximum_concurrency_is_2_to_1000() {
    let concurrency = |n| sqs(QUEUE, &json!({"ScalingConfig": {"MaximumConcurrency": n}}));
    assert_eq!(concurrency(2).unwrap().maximum_concurrency, Some(2));
    assert_eq!(concurrency(1_000).unwrap().maximum_concurrency, Some(1_000));
    assert!(matches!(
        concurrency(1),
        Err(InvalidMapping::TooSmall { bound: 2, .. })
    ));
    assert!(matches!(
        concurrency(1_001),
        Err(InvalidMapping::TooLarge { bound: 1_000, .. })
    ));
    assert_eq!(
        sqs(QUEUE, &json!({"ScalingConfig": {}}))
            .unwrap()
            .maximum_concurrency,
        None
    );
}

#[test]
fn f1_fifo_rejects_large_batches_and_windows() {
    let fifo = sqs(FIFO, &json!({"BatchSize": 10})).unwrap();
    assert!(fifo.fifo);
    assert_eq!(
        sqs(FIFO, &json!({"BatchSize": 11})).unwrap_err(),
        InvalidMapping::FifoBatchSize
    );
    assert_eq!(
        sqs(FIFO, &json!({"MaximumBatchingWindowInSeconds": 1})).unwrap_err(),
        InvalidMapping::FifoWindow
    );
    let both = json!({"BatchSize": 11, "MaximumBatchingWindowInSeconds": 1});
    assert_eq!(sqs(FIFO, &both).unwrap_err(), InvalidMapping::FifoWindow);
}

#[test]
fn d2_batch_size_and_window_of_a_stream() {
    for arn in [TABLE, STREAM] {
        let default = stream(arn, &json!({})).unwrap();
        assert_eq!((default.batch_size, default.batching_window()), (100, 0));
        assert_eq!(
            stream(arn, &json!({"BatchSize": 10_000}))
                .unwrap()
                .batch_size,
            10_000
        );
        assert!(matches!(
            stream(arn, &json!({"BatchSize": 10_001})),
            Err(InvalidMapping::TooLarge { .. })
        ));
        let window = json!({"MaximumBatchingWindowInSeconds": 301});
        assert!(matches!(
            stream(arn, &window),
            Err(InvalidMapping::TooLarge { .. })
        ));
    }
}

#[test]
fn d4_a_dynamodb_stream_starts_at_trim_horizon_or_latest() {
    let start = |position: &str| stream(TABLE, &json!({"StartingPosition": position}));
    assert_eq!(
        start("TRIM_HORIZON").unwrap().starting_position,
        StartingPosition::TrimHorizon
    );
    assert_eq!(
        start("LATEST").unwrap().starting_position,
        StartingPosition::Latest
    );
    assert_eq!(
        start("AT_TIMESTAMP").unwrap_err(),
        InvalidMapping::StartingPosition(TABLE.to_owned())
    );
    assert!(matches!(
        start("OLDEST").unwrap_err(),
        InvalidMapping::NotOneOf {
            setting: "startingPosition",
            ..
        }
    ));
    let missing = stream(TABLE, &json!({"StartingPosition": null})).unwrap_err();
    assert_eq!(missing, InvalidMapping::StartingPositionMissing);
}

#[test]
fn d7_parallelization_factor_is_1_to_10() {
    let factor = |n| stream(TABLE, &json!({"ParallelizationFactor": n}));
    assert_eq!(stream(TABLE, &json!({})).unwrap().parallelization_factor, 1);
    assert_eq!(factor(10).unwrap().parallelization_factor, 10);
    assert!(matches!(factor(0), Err(InvalidMapping::TooSmall { .. })));
    assert!(matches!(factor(11), Err(InvalidMapping::TooLarge { .. })));
}

#[test]
fn d10_maximum_retry_attempts_are_unlimited_or_bounded() {
    let attempts = |n| stream(TABLE, &json!({"MaximumRetryAttempts": n}));
    assert_eq!(
        stream(TABLE, &json!({})).unwrap().maximum_retry_attempts,
        None
    );
    assert_eq!(attempts(-1).unwrap().maximum_retry_attempts, None);
    assert_eq!(attempts(0).unwrap().maximum_retry_attempts, Some(0));
    assert_eq!(
        attempts(10_000).unwrap().maximum_retry_attempts,
        Some(10_000)
    );
    assert!(matches!(
        attempts(-2),
        Err(InvalidMapping::TooSmall { bound: -1, .. })
    ));
    assert!(matches!(
        attempts(10_001),
        Err(InvalidMapping::TooLarge { .. })
    ));
}

#[test]
fn d18_maximum_record_age_is_unlimited_or_60_seconds_to_a_week() {
    let age = |n| stream(TABLE, &json!({"MaximumRecordAgeInSeconds": n}));
    assert_eq!(age(-1).unwrap().maximum_record_age(), None);
    assert_eq!(age(60).unwrap().maximum_record_age(), Some(60_000));
    assert_eq!(
        age(604_800).unwrap().maximum_record_age(),
        Some(604_800_000)
    );
    assert_eq!(age(0).unwrap_err(), InvalidMapping::RecordAge);
    assert_eq!(age(59).unwrap_err(), InvalidMapping::RecordAge);
    assert!(matches!(age(604_801), Err(InvalidMapping::TooLarge { .. })));
    assert!(matches!(age(-2), Err(InvalidMapping::TooSmall { .. })));
}

#[test]
fn d21_accepts_standard_queue_topic_bucket_or_kafka_destination() {
    let to = |arn: &str| {
        let mapping = stream(
            TABLE,
            &json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}}),
        )?;
        Ok(mapping.on_failure.map(|destination| destination.kind))
    };
    assert_eq!(
        to("arn:aws:sqs:eu-west-1:111111111111:dead"),
        Ok(Some(DestinationKind::Sqs))
    );
    assert_eq!(
        to("arn:aws:sns:eu-west-1:111111111111:dead"),
        Ok(Some(DestinationKind::Sns))
    );
    assert_eq!(to("arn:aws:s3:::dead"), Ok(Some(DestinationKind::S3)));
    assert_eq!(to("kafka://dead"), Ok(Some(DestinationKind::Kafka)));
    assert_eq!(
        to("arn:aws:sqs:eu-west-1:111111111111:dead.fifo"),
        Err(InvalidMapping::Destination)
    );
    assert_eq!(
        to("arn:aws:sns:eu-west-1:111111111111:dead.fifo"),
        Err(InvalidMapping::Destination)
    );
    assert_eq!(
        to("arn:aws:lambda:eu-west-1:111111111111:function:f"),
        Err(InvalidMapping::Destination)
    );
    assert_eq!(
        stream(TABLE, &json!({"DestinationConfig": {}}))
            .unwrap()
            .on_failure,
        None
    );
}

#[test]
fn x13_rejects_destinations_of_queues_and_of_successful_invocations() {
    let to = |when: &str| json!({"DestinationConfig": {when: {"Destination": "arn:aws:sqs:eu-west-1:111111111111:q"}}});
    for rejected in [
        sqs(QUEUE, &to("OnSuccess")).unwrap_err(),
        sqs(QUEUE, &to("OnFailure")).unwrap_err(),
        stream(TABLE, &to("OnSuccess")).unwrap_err(),
    ] {
        assert_eq!(rejected, InvalidMapping::DestinationConfig);
    }
}

#[test]
fn d29_rejects_tumbling_windows() {
    assert_eq!(
        stream(TABLE, &json!({"TumblingWindowInSeconds": 30})).unwrap_err(),
        InvalidMapping::TumblingWindow
    );
    assert!(stream(TABLE, &json!({"TumblingWindowInSeconds": 0})).is_ok());
}

#[test]
fn k2_rejects_starting_position_in_the_future() {
    let at =
        json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000.5});
    let mapping = stream(STREAM, &at).unwrap();
    assert_eq!(
        mapping.starting_position,
        StartingPosition::AtTimestamp(1_700_000_000_500)
    );
    assert_eq!(mapping.check_starting_position(1_700_000_000_500), Ok(()));
    assert_eq!(
        mapping.check_starting_position(1_700_000_000_499),
        Err(InvalidMapping::StartingPositionInFuture)
    );

    let no_time = json!({"StartingPosition": "AT_TIMESTAMP"});
    assert_eq!(
        stream(STREAM, &no_time).unwrap_err(),
        InvalidMapping::StartingPositionTimestamp
    );
    let idle_time =
        json!({"StartingPosition": "LATEST", "StartingPositionTimestamp": 1_700_000_000});
    assert_eq!(
        stream(STREAM, &idle_time).unwrap_err(),
        InvalidMapping::StartingPositionTimestamp
    );
}

#[test]
fn x4_a_mapping_has_at_most_5_filters() {
    let filters = |n: usize| {
        let filter = json!({"Pattern": r#"{"body":["a"]}"#});
        sqs(
            QUEUE,
            &json!({"FilterCriteria": {"Filters": vec![filter; n]}}),
        )
    };
    assert!(filters(5).is_ok());
    assert_eq!(
        filters(6).unwrap_err(),
        InvalidMapping::FilterCriteria(InvalidFilterCriteria::TooManyFilters)
    );
    assert!(filters(0).unwrap().filter_criteria.is_empty());
}

#[test]
fn x9_rejects_invalid_pattern_as_recorded() {
    let filter =
        json!({"FilterCriteria": {"Filters": [{"Pattern": r#"{"eventSource": "aws:sqs"}"#}]}});
    let error = sqs(QUEUE, &filter).unwrap_err();
    assert_eq!(error.code(), "InvalidParameterValueException");
    assert_eq!(error.to_string(), "Invalid filter pattern definition.");
    assert_eq!(error.http_status(), 400);
    let no_pattern = json!({"FilterCriteria": {"Filters": [{}]}});
    assert!(matches!(
        sqs(QUEUE, &no_pattern),
        Err(InvalidMapping::FilterCriteria(
            InvalidFilterCriteria::Pattern(_)
        ))
    ));
}

#[test]
fn x12_parses_listings_like_requests() {
    // Lambda lists the mapping of a stream in this form: with explicit defaults, and null for absent settings.
    let listed = json!({
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "FunctionArn": "arn:aws:lambda:eu-west-1:111111111111:function:forward",
        "State": "Disabled",
        "StartingPosition": "TRIM_HORIZON",
        "StartingPositionTimestamp": null,
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": 3_600,
        "BisectBatchOnFunctionError": true,
        "ParallelizationFactor": 2,
        "TumblingWindowInSeconds": 0,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failures"}},
        "LastModified": 1_700_000_000.0,
        "LastProcessingResult": "No records processed",
        "StateTransitionReason": "User action"
    });
    let mapping = stream(TABLE, &listed).unwrap();
    assert_eq!(mapping.uuid, "14e0db71-5d35-4eb5-b481-8945cf9d10c2");
    assert_eq!(
        mapping.function_arn,
        "arn:aws:lambda:eu-west-1:111111111111:function:forward"
    );
    assert_eq!(mapping.kind, StreamKind::DynamoDb);
    assert!(
        !mapping.enabled
            && mapping.report_batch_item_failures
            && mapping.bisect_batch_on_function_error
    );
    assert_eq!(mapping.maximum_record_age(), Some(3_600_000));
    assert_eq!(mapping.on_failure.unwrap().kind, DestinationKind::S3);
}

#[test]
fn x12_listed_mapping_is_enabled_unless_stopped_or_stopping() {
    let runs = |state: &str| sqs(QUEUE, &json!({"State": state})).unwrap().enabled;
    for state in ["Creating", "Enabling", "Enabled", "Updating"] {
        assert!(runs(state), "{state}");
    }
    for state in ["Disabling", "Disabled", "Deleting"] {
        assert!(!runs(state), "{state}");
    }
}

#[test]
fn x12_accepts_defaults_of_unsupported_settings() {
    let defaults = json!({"ParallelizationFactor": 1, "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": false, "TumblingWindowInSeconds": 0});
    assert!(sqs(QUEUE, &defaults).is_ok());
    let listed = json!({"State": "Enabled", "StartingPosition": null, "DestinationConfig": {"OnFailure": {}}});
    assert!(sqs(QUEUE, &listed).unwrap().enabled);
    let given = sqs(QUEUE, &json!({"ParallelizationFactor": 2})).unwrap_err();
    assert!(matches!(
        given,
        InvalidMapping::NotForThisSource {
            setting: "ParallelizationFactor",
            ..
        }
    ));
    let given = stream(TABLE, &json!({"ScalingConfig": {"MaximumConcurrency": 2}})).unwrap_err();
    assert!(matches!(
        given,
        InvalidMapping::NotForThisSource {
            setting: "ScalingConfig",
            ..
        }
    ));
}

#[test]
fn x13_rejects_a_missing_event_source() {
    let missing = Mapping::from_json(r#"{"FunctionName": "f"}"#);
    assert_eq!(missing.unwrap_err(), InvalidMapping::EventSourceMissing);
}

#[test]
fn rejects_unknown_response_type_and_event_source() {
    let response_type = sqs(QUEUE, &json!({"FunctionResponseTypes": ["Other"]})).unwrap_err();
    assert_eq!(response_type.code(), "ValidationException");
    let other =
        Mapping::from_json(r#"{"EventSourceArn": "arn:aws:mq:eu-west-1:111111111111:broker:b"}"#);
    assert_eq!(other.unwrap_err(), InvalidMapping::EventSource);
    assert_eq!(
        stream(QUEUE, &json!({})).unwrap_err(),
        InvalidMapping::EventSource
    );
    assert_eq!(
        sqs(STREAM, &json!({})).unwrap_err(),
        InvalidMapping::EventSource
    );
    assert!(matches!(
        Mapping::from_json("{"),
        Err(InvalidMapping::Unreadable(_))
    ));
}
