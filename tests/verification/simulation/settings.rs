//! Settings of queue, streams and mappings: the template's values, with variations drawn from the seed.

use onewrite_aws::targets::CALL_TIMEOUT;
use onewrite_event_sources::Millis;
use onewrite_event_sources::choices::{Choices, Mixer};
use onewrite_event_sources::mapping::{SqsMapping, StreamKind, StreamMapping};
use onewrite_event_sources::queue::{QueueSettings, Redrive};
use onewrite_event_sources::shards::StreamSettings;
use onewrite_event_sources::sqs::QueueInfo;
use onewrite_event_sources::stream::SourceInfo;
use serde_json::json;

use crate::bugs::Bug;
use crate::fault_plan::{FaultKind, FaultPlan};

/// Timeout of `ingest`, in milliseconds.
pub(crate) const FUNCTION_TIMEOUT: Millis = 3_000;
/// The longest call of a target, in milliseconds. `complete` begins none if less time is left.
pub(crate) const CALL_TIME: Millis = CALL_TIMEOUT.as_millis() as Millis;
/// Timeout of `forward` and `complete`, in milliseconds.
pub(crate) const STREAM_FUNCTION_TIMEOUT: Millis = CALL_TIME + 3_000;
/// Timeout of `forward` and `complete` in the template, in milliseconds.
pub(crate) const DEPLOYED_TIMEOUT: Millis = 60_000;
/// Visibility timeout of the queue, in milliseconds.
pub(crate) const VISIBILITY: Millis = 2 * FUNCTION_TIMEOUT;

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111111111111:function:f";
const KINESIS: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/s";
/// The filter of a consumer that reads events of INIT only.
pub(crate) const INIT_EVENTS: &str = r#"{"data": {"type": [{"suffix": ".init"}]}}"#;
const TABLE_STREAM: &str = "arn:aws:dynamodb:eu-west-1:111111111111:table/t/stream/2026";

pub(crate) fn queue(fifo: bool, seed: u64, choices: &Choices) -> QueueSettings {
    let settings = if fifo {
        QueueSettings::fifo()
    } else {
        QueueSettings::standard()
    };
    QueueSettings {
        visibility_timeout: VISIBILITY,
        redrive: Some(Redrive {
            max_receive_count: onewrite::limits::MAX_RECEIVES,
            retention: settings.retention,
        }),
        shuffle: choices.shuffle_standard,
        seed,
        ..settings
    }
}

pub(crate) fn queue_facts(fifo: bool) -> QueueInfo {
    QueueInfo {
        arn: queue_arn(fifo),
        region: "eu-west-1".to_owned(),
        fifo,
        visibility_timeout_seconds: u32::try_from(VISIBILITY / 1_000).unwrap(),
        function_timeout_seconds: u32::try_from(FUNCTION_TIMEOUT / 1_000).unwrap(),
    }
}

fn queue_arn(fifo: bool) -> String {
    let name = if fifo { "q.fifo" } else { "q" };
    format!("arn:aws:sqs:eu-west-1:111111111111:{name}")
}

pub(crate) fn queue_mapping(fifo: bool, mixer: &mut Mixer) -> SqsMapping {
    let mut settings = json!({
        "UUID": "u",
        "FunctionArn": FUNCTION,
        "EventSourceArn": queue_arn(fifo),
        "BatchSize": 1 + mixer.next() % 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 2 + mixer.next() % 4},
    });
    if !fifo && mixer.one_in(3) {
        settings["MaximumBatchingWindowInSeconds"] = json!(2);
    }
    SqsMapping::from_json(&settings.to_string()).unwrap()
}

/// Settings for a mapping of the table's stream or of Kinesis. In some worlds it discards a batch after a few
/// failures.
pub(crate) fn stream_mapping(
    kind: StreamKind,
    mixer: &mut Mixer,
    fault_plan: &FaultPlan,
    bug: Option<Bug>,
) -> StreamMapping {
    let (arn, start) = match kind {
        StreamKind::DynamoDb if bug == Some(Bug::Latest) => (TABLE_STREAM, "LATEST"),
        StreamKind::DynamoDb => (TABLE_STREAM, "TRIM_HORIZON"),
        StreamKind::Kinesis => (KINESIS, "TRIM_HORIZON"),
    };
    let mut settings = json!({
        "UUID": "u",
        "FunctionArn": FUNCTION,
        "EventSourceArn": arn,
        "StartingPosition": start,
        "BatchSize": 1 + mixer.next() % 20,
        "ParallelizationFactor": 1 + mixer.next() % 4,
        "BisectBatchOnFunctionError": mixer.one_in(2),
        "MaximumRetryAttempts": -1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    if kind == StreamKind::Kinesis && mixer.one_in(2) {
        settings["FilterCriteria"] = json!({"Filters": [{"Pattern": INIT_EVENTS}]});
    }
    if fault_plan.occurs(FaultKind::RetriesExhausted) {
        settings["MaximumRetryAttempts"] = json!(fault_plan.draw(FaultKind::RetriesExhausted, 4));
        let queue = "arn:aws:sqs:eu-west-1:111111111111:failures";
        settings["DestinationConfig"] = json!({"OnFailure": {"Destination": queue}});
    }
    StreamMapping::from_json(&settings.to_string()).unwrap()
}

/// The mapping of a consumer that reads the whole notification stream again. It gives up on an event after a few attempts,
/// because the notifications of some events no longer exist.
pub(crate) fn replaying_mapping() -> StreamMapping {
    let settings = json!({
        "UUID": "u",
        "FunctionArn": FUNCTION,
        "EventSourceArn": KINESIS,
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 10,
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": 2,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    StreamMapping::from_json(&settings.to_string()).unwrap()
}

pub(crate) fn table_stream() -> StreamSettings {
    StreamSettings {
        empty_one_in: 4,
        ..StreamSettings::new(StreamKind::DynamoDb)
    }
}

pub(crate) fn kinesis_facts() -> SourceInfo {
    SourceInfo {
        arn: KINESIS.to_owned(),
        region: "eu-west-1".to_owned(),
        invoke_identity_arn: "arn:aws:iam::111111111111:role/complete".to_owned(),
    }
}
