//! Misconfigured event source mappings.

use aws_sdk_lambda::{
    operation::update_event_source_mapping::builders::UpdateEventSourceMappingFluentBuilder as Update,
    types::{
        DestinationConfig, EventSourcePosition, Filter, FilterCriteria, OnFailure, ScalingConfig,
    },
};

use super::stack::{DoctorStack, run_doctor};

fn filters(pattern: &str) -> FilterCriteria {
    let filter = Filter::builder().pattern(pattern).build();
    FilterCriteria::builder().filters(filter).build()
}

fn destination(arn: &str) -> DestinationConfig {
    let on_failure = OnFailure::builder().destination(arn).build();
    DestinationConfig::builder().on_failure(on_failure).build()
}

pub(super) async fn check_settings(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    for (place, function) in [
        ("ingest", &outputs.ingest),
        ("forward", &outputs.forward),
        ("complete", &outputs.complete),
    ] {
        let change = |update: Update| update.set_function_response_types(Some(Vec::new()));
        let expected = [("broken", "partial-responses", place)];
        stack.check_mapping(function, change, &expected).await;
    }
    check_stream_settings(stack, "forward", &outputs.forward).await;
    check_stream_settings(stack, "complete", &outputs.complete).await;
    stack
        .check_mapping(
            &outputs.complete,
            |update| update.maximum_retry_attempts(5),
            &[("advice", "retry-attempts", "complete")],
        )
        .await;
    stack
        .check_mapping(
            &outputs.complete,
            |update| update.maximum_record_age_in_seconds(3_600),
            &[("advice", "short-record-age", "complete")],
        )
        .await;
    stack
        .check_mapping(
            &outputs.forward,
            |update| update.maximum_retry_attempts(5),
            &[("advice", "retry-attempts", "forward")],
        )
        .await;
    stack
        .check_mapping(
            &outputs.ingest,
            |update| update.scaling_config(ScalingConfig::builder().build()),
            &[("advice", "maximum-concurrency", "ingest")],
        )
        .await;
}

async fn check_stream_settings(stack: &DoctorStack, place: &str, function: &str) {
    let broken = |check| [("broken", check, place)];
    let nowhere = DestinationConfig::builder().build();
    stack
        .check_mapping(
            function,
            |update| update.destination_config(nowhere),
            &broken("failure-destination"),
        )
        .await;
    let elsewhere = destination("arn:aws:s3:::another-bucket");
    stack
        .check_mapping(
            function,
            |update| update.destination_config(elsewhere),
            &broken("failure-destination"),
        )
        .await;
    // Unlimited, and the retention of both streams.
    for age in [-1, 86_400] {
        stack
            .check_mapping(
                function,
                |update| update.maximum_record_age_in_seconds(age),
                &broken("record-age"),
            )
            .await;
    }
    stack
        .check_mapping(
            function,
            |update| update.bisect_batch_on_function_error(false),
            &[("advice", "bisect", place)],
        )
        .await;
    stack
        .check_mapping(
            function,
            |update| {
                update
                    .bisect_batch_on_function_error(false)
                    .set_function_response_types(Some(Vec::new()))
            },
            &[
                ("broken", "bisect", place),
                ("broken", "partial-responses", place),
            ],
        )
        .await;
}

pub(super) async fn check_filters(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    let criteria = [
        (
            &outputs.ingest,
            r#"{"body": {"type": ["refund"]}}"#,
            "ingest-filter",
            "ingest",
        ),
        (
            &outputs.forward,
            r#"{"eventName": ["INSERT"]}"#,
            "forward-filter",
            "forward",
        ),
        (
            &outputs.forward,
            r#"{"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"type": {"S": ["charge"]}}}}"#,
            "forward-filter",
            "forward",
        ),
        (
            &outputs.complete,
            r#"{"data": {"type": [{"suffix": ".done"}]}}"#,
            "complete-filter",
            "complete",
        ),
    ];
    for (function, pattern, check, place) in criteria {
        stack
            .check_mapping(
                function,
                |update| update.filter_criteria(filters(pattern)),
                &[("broken", check, place)],
            )
            .await;
    }
    let no_filter = FilterCriteria::builder().build();
    stack
        .check_mapping(
            &outputs.forward,
            |update| update.filter_criteria(no_filter.clone()),
            &[],
        )
        .await;
    stack
        .check_mapping(
            &outputs.complete,
            |update| update.filter_criteria(no_filter.clone()),
            &[("advice", "complete-filter", "complete")],
        )
        .await;
}

/// A mapping that invokes a published version, as templates with an alias had it.
pub(super) async fn check_version(stack: &DoctorStack) {
    let lambda = &stack.clients.lambda;
    let function = &stack.stack.outputs().complete;
    let published = lambda.publish_version().function_name(function);
    let version = published.send().await.unwrap().version.unwrap();
    let uuid = stack.mapping(function).await.uuid.unwrap();
    let invoke = async |name: &str| {
        let update = lambda.update_event_source_mapping().uuid(&uuid);
        update.function_name(name).send().await.unwrap();
    };
    invoke(&format!("{function}:{version}")).await;
    stack
        .assert_findings(&[("broken", "qualifier", "complete")])
        .await;
    invoke(function).await;
}

/// Mappings that are missing, that start at the wrong position, and that are too many.
pub(super) async fn check_number_and_position(stack: &DoctorStack) {
    let outputs = stack.stack.outputs();
    for (place, function) in [
        ("forward", &outputs.forward),
        ("complete", &outputs.complete),
    ] {
        let before = stack.mapping(function).await;
        stack.delete_mapping(before.uuid().unwrap()).await;
        let (code, found) = run_doctor(&stack.stack).await;
        let mut expected = stack.initial.clone();
        expected.insert(("broken".to_owned(), "mapping".to_owned(), place.to_owned()));
        assert_eq!((code, found), (6, expected));

        let latest = stack
            .create_mapping(&before, function, Some(EventSourcePosition::Latest))
            .await;
        stack
            .assert_findings(&[("broken", "starting-position", place)])
            .await;
        stack.delete_mapping(&latest).await;
        stack
            .create_mapping(&before, function, Some(EventSourcePosition::TrimHorizon))
            .await;
        stack.assert_findings(&[]).await;
    }

    let like = stack.mapping(&outputs.forward).await;
    let complete = &outputs.complete;
    let start = Some(EventSourcePosition::TrimHorizon);
    let second = stack.create_mapping(&like, complete, start.clone()).await;
    stack.assert_findings(&[]).await;
    let third = stack.create_mapping(&like, complete, start).await;
    stack
        .assert_findings(&[("broken", "table-stream-readers", "table")])
        .await;
    for uuid in [second, third] {
        stack.delete_mapping(&uuid).await;
    }

    let like = stack.mapping(&outputs.ingest).await;
    let competitor = stack.create_mapping(&like, &outputs.forward, None).await;
    stack
        .assert_findings(&[("broken", "queue-readers", "queue")])
        .await;
    stack.delete_mapping(&competitor).await;
}
