//! Checks of the notification stream.

use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check,
        Level::{Advice, Broken},
        STREAM, Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{
        Finding,
        Guarantee::{Progress, Silence},
    },
    fixes::deploy,
    snapshot::{StackSnapshot, Stream},
};

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let place = STREAM;
    match &stack.stream {
        Ok(stream) => run(CHECKS, Scope { stack, place }, stream),
        Err(_) => Vec::new(),
    }
}

const CHECKS: &[Check<Stream>] = &[
    Check {
        id: "record-distribution",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stream| {
            let distribution = stream.distribution.as_deref()?;
            (distribution != "USER_PARTITION_KEY")
                .then(|| format!("RecordDistributionStrategy {distribution}"))
        },
        needed: Fixed("USER_PARTITION_KEY"),
        why: "Kinesis ignores partition keys and spreads the events of a notification over several shards",
        fix: For(|scope, _| {
            format!(
                "aws kinesis update-stream-record-distribution-strategy --stream-name {} --record-distribution-strategy USER_PARTITION_KEY",
                scope.stack.stream_name
            )
        }),
    },
    Check {
        id: "encryption",
        severity: Broken,
        breaks: Guarantee(Silence),
        found: |_, stream| (!stream.is_encrypted).then(|| "EncryptionType NONE".to_owned()),
        needed: Fixed("KMS"),
        why: "Kinesis stores payloads unencrypted",
        fix: For(|scope, _| {
            format!(
                "aws kinesis start-stream-encryption --stream-name {} --encryption-type KMS --key-id alias/aws/kinesis",
                scope.stack.stream_name
            )
        }),
    },
    Check {
        id: "stream-retention",
        // Nothing is lost: every item that is stored and not DONE can be published again.
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |scope, stream| {
            (stream.retention_hours < queue_retention_hours(scope))
                .then(|| format!("RetentionPeriodHours {}", stream.retention_hours))
        },
        needed: For(|scope, _| {
            format!(
                "{}, the retention of the queue, if consumers may stop for as long as ingest may",
                queue_retention_hours(scope)
            )
        }),
        why: "a consumer that stops for longer misses events; `onewrite reconcile` re-publishes those of items in INIT",
        fix: For(|scope, _| deploy("StreamRetentionHours", queue_retention_hours(scope))),
    },
];

fn queue_retention_hours(scope: &Scope<'_>) -> i64 {
    scope.stack.queue_retention_seconds() / (60 * 60)
}
