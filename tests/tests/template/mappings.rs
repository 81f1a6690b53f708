//! The event source mappings.

use std::collections::BTreeMap;

use onewrite_event_sources::filter::{FilterCriteria, Source};
use onewrite_tests::template::{Template, repository};
use serde_json::{Value, json};

use crate::{FUNCTIONS, get_att, reference, table_stream_arn, template};

/// DynamoDB keeps a change for this long (DynamoDB developer guide, "Change data capture for DynamoDB Streams").
const TABLE_STREAM_RETENTION_SECONDS: u64 = 24 * 60 * 60;

/// The largest `MaximumRecordAgeInSeconds` (Lambda API reference, `CreateEventSourceMapping`).
const MAXIMUM_RECORD_AGE_SECONDS: u64 = 604_800;

#[test]
fn mappings_report_individual_failures() {
    let template = template();
    let mappings: BTreeMap<&str, (&Value, &Value)> = template
        .resources("AWS::Lambda::EventSourceMapping")
        .map(|(name, mapping)| {
            let properties = &mapping["Properties"];
            assert_eq!(
                properties["FunctionResponseTypes"],
                json!(["ReportBatchItemFailures"]),
                "{name}"
            );
            (
                name,
                (&properties["EventSourceArn"], &properties["FunctionName"]),
            )
        })
        .collect();
    let (queue, table, stream) = (
        get_att("NotificationQueue.Arn"),
        table_stream_arn(),
        get_att("NotificationStream.Arn"),
    );
    let [ingest, forward, complete] = FUNCTIONS.map(|name| reference(&format!("{name}Function")));
    let expected = BTreeMap::from([
        ("IngestEventSource", (&queue, &ingest)),
        ("ForwardEventSource", (&table, &forward)),
        ("CompleteEventSource", (&stream, &complete)),
    ]);
    assert_eq!(mappings, expected);
}

#[test]
fn stream_records_reach_the_failure_bucket_before_they_expire() {
    let template = template();
    for mapping in ["ForwardEventSource", "CompleteEventSource"] {
        let property = |name: &str| template.property(mapping, name);
        assert_eq!(*property("StartingPosition"), "TRIM_HORIZON", "{mapping}");
        assert_eq!(*property("BisectBatchOnFunctionError"), true, "{mapping}");
        let destination = json!({"OnFailure": {"Destination": get_att("FailureBucket.Arn")}});
        assert_eq!(*property("DestinationConfig"), destination, "{mapping}");
    }
    // Only the age of a record ends its retries, unless the parameter limits the attempts of complete.
    assert_eq!(
        *template.property("ForwardEventSource", "MaximumRetryAttempts"),
        -1
    );
    assert_eq!(
        *template.property("CompleteEventSource", "MaximumRetryAttempts"),
        reference("CompleteMaximumRetryAttempts")
    );
    let attempts = template.default("CompleteMaximumRetryAttempts");
    assert_eq!(attempts.unwrap(), "-1");
    let age = template.property("ForwardEventSource", "MaximumRecordAgeInSeconds");
    let age = age.as_u64().unwrap();
    assert!((60..TABLE_STREAM_RETENTION_SECONDS).contains(&age), "{age}");
    let by_retention =
        json!({"Fn::FindInMap": ["RecordAge", reference("StreamRetentionHours"), "Seconds"]});
    assert_eq!(
        *template.property("CompleteEventSource", "MaximumRecordAgeInSeconds"),
        by_retention
    );
    let retentions = template.at("/Parameters/StreamRetentionHours/AllowedValues");
    for hours in retentions.as_array().unwrap() {
        let hours = hours.as_u64().unwrap();
        let age = template.at(&format!("/Mappings/RecordAge/{hours}/Seconds"));
        // An hour before the stream loses the record, or the largest age that Lambda allows.
        let expected = (hours * 60 * 60 - 60 * 60).min(MAXIMUM_RECORD_AGE_SECONDS);
        assert_eq!(age.as_u64(), Some(expected), "{hours}");
        assert!(hours * 60 * 60 >= TABLE_STREAM_RETENTION_SECONDS);
    }
}

#[test]
fn parallelism_is_per_item_and_limited() {
    let template = template();
    for name in ["Forward", "Complete"] {
        assert_eq!(
            *template.property(&format!("{name}EventSource"), "ParallelizationFactor"),
            reference("StreamParallelizationFactor")
        );
    }
    assert_eq!(
        *template.at("/Parameters/StreamParallelizationFactor/MaxValue"),
        10
    );
    // Provisioned pollers have their own limit, and Lambda accepts only one of the two.
    let bound = json!({"Fn::If": ["HasPollers", reference("AWS::NoValue"), {
        "MaximumConcurrency": reference("IngestConcurrency"),
    }]});
    assert_eq!(
        *template.property("IngestEventSource", "ScalingConfig"),
        bound
    );
    // Reserved concurrency would throttle, and each throttled receive counts towards the dead-letter queue (S9).
    assert!(
        template
            .property("IngestFunction", "ReservedConcurrentExecutions")
            .is_null()
    );
}

#[test]
fn one_window_fills_the_batches_of_ingest_and_forward() {
    let template = template();
    let window = |name: &str| {
        template
            .property(
                &format!("{name}EventSource"),
                "MaximumBatchingWindowInSeconds",
            )
            .clone()
    };
    let parameter = reference("BatchingWindowSeconds");
    let standard_only = json!({"Fn::If": ["IsFifo", reference("AWS::NoValue"), parameter]});
    assert_eq!(window("Ingest"), standard_only);
    assert_eq!(window("Forward"), parameter);
    // An event waits at most once on its way to the targets.
    assert!(window("Complete").is_null());
}

fn filter(template: &Template, mapping: &str, source: Source) -> FilterCriteria {
    let filters = template
        .property(mapping, "FilterCriteria/Filters")
        .as_array()
        .unwrap();
    let patterns: Vec<&str> = filters
        .iter()
        .map(|filter| filter["Pattern"].as_str().unwrap())
        .collect();
    FilterCriteria::compile(source, &patterns).unwrap()
}

fn sample(name: &str) -> Value {
    let text = std::fs::read(repository("infra/events").join(name)).unwrap();
    let event: Value = serde_json::from_slice(&text).unwrap();
    event["Records"][0].clone()
}

#[test]
fn forward_receives_inserts_and_updates_but_no_removals() {
    let filter = filter(&template(), "ForwardEventSource", Source::DynamoDb);
    assert!(filter.matches(&sample("forward.json").to_string()));
    assert!(filter.matches(&sample("forward-modify.json").to_string()));
    let mut removal = sample("forward-modify.json");
    removal["eventName"] = "REMOVE".into();
    assert!(!filter.matches(&removal.to_string()));
}

#[test]
fn complete_receives_only_init_events() {
    let filter = filter(&template(), "CompleteEventSource", Source::Kinesis);
    let init = sample("complete.json");
    assert!(filter.matches(&init.to_string()));
    let mut done = init;
    // {"type":"refund.done"}
    done["kinesis"]["data"] = "eyJ0eXBlIjoicmVmdW5kLmRvbmUifQ==".into();
    assert!(!filter.matches(&done.to_string()));
}
