//! Checks of the event source mappings.

use onewrite_stack::enabled_sources::{EnabledSources, PARAMETER};

use super::filters::{dropped_change, dropped_event};
use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        COMPLETE, Check, FORWARD,
        Level::{Advice, Broken},
        Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{
        Finding,
        Guarantee::{Effect, Isolation, Progress},
    },
    fixes::{UNDO_DELETED_MAPPING, delete_mapping, deploy, update_mapping},
    snapshot::{Consumer, Mapping, StackSnapshot},
};

const HOUR_SECONDS: i64 = 60 * 60;

/// How long a table's stream keeps a change (DynamoDB developer guide, "DynamoDB Streams": 24 hours).
const TABLE_STREAM_RETENTION_SECONDS: i64 = 24 * HOUR_SECONDS;

/// The greatest `MaximumRecordAgeInSeconds` (Lambda API reference, `UpdateEventSourceMapping`).
const MAX_RECORD_AGE_SECONDS: i64 = 604_800;

/// The least `MinimumPollers` of a queue (Lambda API reference, `ProvisionedPollerConfig`).
const MIN_POLLERS: i64 = 2;

/// The least `MaximumConcurrency` (Lambda API reference, `ScalingConfig`).
const MIN_MAXIMUM_CONCURRENCY: i64 = 2;

/// The shortest retention of a Kinesis stream.
const MIN_STREAM_RETENTION_SECONDS: i64 = 24 * HOUR_SECONDS;

pub(super) fn of_ingest(scope: Scope<'_>, ingest: &Consumer) -> Vec<Finding> {
    findings(scope, ingest, &[COMMON, INGEST_CHECKS])
}

pub(super) fn of_forward(scope: Scope<'_>, forward: &Consumer) -> Vec<Finding> {
    findings(scope, forward, &[COMMON, STREAM_SOURCE, FORWARD_CHECKS])
}

pub(super) fn of_complete(scope: Scope<'_>, complete: &Consumer) -> Vec<Finding> {
    findings(scope, complete, &[COMMON, STREAM_SOURCE, COMPLETE_CHECKS])
}

fn findings(scope: Scope<'_>, consumer: &Consumer, tables: &[&[Check<Mapping>]]) -> Vec<Finding> {
    let mut findings = run(NUMBER_OF_MAPPINGS, scope, consumer);
    for mapping in consumer.own_mappings() {
        for table in tables {
            findings.extend(run(table, scope, mapping));
        }
    }
    findings
}

const NUMBER_OF_MAPPINGS: &[Check<Consumer>] = &[
    Check {
        id: "mapping",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |scope, consumer| {
            // The table check reports a table without a stream.
            let has_source = scope.place != FORWARD
                || !matches!(&scope.stack.table, Ok(table) if table.stream_view.is_none());
            // Without a downstream, the template creates no mapping of `complete`.
            let has_source =
                has_source && (scope.place != COMPLETE || scope.stack.has_downstream());
            let is_missing = consumer.mappings.is_ok() && consumer.own_mappings().next().is_none();
            (has_source && is_missing)
                .then(|| "no event source mapping of its source invokes the function".to_owned())
        },
        needed: Fixed("one event source mapping"),
        why: "the function receives nothing, and waiting messages or records are deleted when they expire",
        fix: Fixed(UNDO_DELETED_MAPPING),
    },
    Check {
        id: "mapping",
        severity: Advice,
        breaks: Guarantee(Effect),
        found: |_, consumer| {
            let uuids = consumer.own_mappings().map(|mapping| mapping.uuid.as_str());
            let uuids: Vec<&str> = uuids.collect();
            (uuids.len() > 1).then(|| {
                format!(
                    "{} mappings of its source invoke the function: {}",
                    uuids.len(),
                    uuids.join(", ")
                )
            })
        },
        needed: Fixed("one event source mapping"),
        why: "the function receives every event once for each mapping; this only costs invocations",
        fix: For(|_, _| {
            format!(
                "delete the mapping that does not belong to the stack: {}",
                delete_mapping("UUID")
            )
        }),
    },
];

const COMMON: &[Check<Mapping>] = &[
    Check {
        id: "qualifier",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |_, mapping| {
            let qualifier = mapping.qualifier.as_deref()?;
            Some(format!(
                "its mapping invokes {}:{qualifier}",
                mapping.function
            ))
        },
        needed: Fixed("a mapping that invokes the function itself"),
        // A deployment changes the function; a version is immutable, and nothing moves an alias to a new one.
        why: "code and settings of a deployment never reach what the mapping invokes",
        fix: For(|_, mapping| {
            update_mapping(mapping, &format!("--function-name {}", mapping.function))
        }),
    },
    Check {
        id: "paused",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |scope, mapping| {
            (!mapping.is_enabled() && !is_paused_by_owner(scope)).then(|| state(mapping))
        },
        needed: Fixed("Enabled"),
        why: PAUSE_CONSEQUENCE,
        fix: For(|_, mapping| update_mapping(mapping, "--enabled")),
    },
    Check {
        id: "paused",
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |scope, mapping| {
            (!mapping.is_enabled() && is_paused_by_owner(scope)).then(|| state(mapping))
        },
        needed: Fixed("Enabled"),
        why: PAUSE_CONSEQUENCE,
        fix: For(|scope, _| {
            let needed = enabled_sources(scope).with(&[scope.place.name], true);
            deploy(PARAMETER, needed)
        }),
    },
    Check {
        id: "partial-responses",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| {
            (!mapping.reports_batch_item_failures)
                .then(|| "FunctionResponseTypes lacks ReportBatchItemFailures".to_owned())
        },
        needed: Fixed("ReportBatchItemFailures"),
        why: "Lambda ignores the reported batch item failures and treats the whole batch as successful",
        fix: For(|_, mapping| {
            update_mapping(mapping, "--function-response-types ReportBatchItemFailures")
        }),
    },
];

const PAUSE_CONSEQUENCE: &str = "messages expire after 14 days, changes in the table's stream after 24 hours, and events after the stream's retention";

fn state(mapping: &Mapping) -> String {
    format!("its mapping is {}", mapping.state)
}

/// Whether the owner paused the function by parameter.
fn is_paused_by_owner(scope: &Scope<'_>) -> bool {
    !enabled_sources(scope).contains(scope.place.name)
}

fn enabled_sources(scope: &Scope<'_>) -> EnabledSources {
    let parameter = scope.stack.parameters.get(PARAMETER);
    EnabledSources::parse(parameter.map(String::as_str))
}

const INGEST_CHECKS: &[Check<Mapping>] = &[
    Check {
        id: "fifo-batch-size",
        severity: Broken,
        breaks: Guarantee(Isolation),
        found: |scope, mapping| {
            let queue = scope.stack.queue.as_ref().ok()?;
            let is_readable = scope.stack.ingest.function.is_ok();
            (is_readable && queue.is_fifo && mapping.batch_size != 1)
                .then(|| format!("BatchSize {} on a FIFO queue", mapping.batch_size))
        },
        needed: Fixed("BatchSize 1"),
        why: "a message behind a failing one uses up its own receives and becomes a dead letter too",
        fix: For(|_, mapping| update_mapping(mapping, "--batch-size 1")),
    },
    Check {
        id: "ingest-filter",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| {
            (!mapping.filters.is_empty())
                .then(|| format!("filter criteria: {}", mapping.filters.join(" or ")))
        },
        needed: Fixed("no filter criteria"),
        why: "Lambda deletes messages that no filter matches",
        fix: For(|_, mapping| update_mapping(mapping, "--filter-criteria '{}'")),
    },
    Check {
        id: "maximum-concurrency",
        severity: Advice,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| {
            (mapping.maximum_concurrency.is_none() && !mapping.has_provisioned_pollers)
                .then(|| "neither MaximumConcurrency nor provisioned pollers".to_owned())
        },
        needed: Fixed("one of them"),
        why: "if the account runs out of concurrency, throttled messages use up their six receives",
        fix: For(|_, mapping| update_mapping(mapping, "--scaling-config MaximumConcurrency=50")),
    },
    Check {
        id: "pollers",
        severity: Broken,
        breaks: Guarantee(Progress),
        found: |_, mapping| {
            let minimum = mapping.minimum_pollers?;
            (minimum < MIN_POLLERS).then(|| format!("MinimumPollers {minimum}"))
        },
        needed: For(|_, _| format!("at least {MIN_POLLERS}, or no provisioned pollers")),
        why: "Lambda refuses the next update of the mapping, so a deployment of it fails",
        fix: For(|_, _| deploy("IngestConcurrency", format!("{MIN_POLLERS}-200"))),
    },
    Check {
        id: "concurrency-quota",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |scope, mapping| {
            let quota = scope.stack.concurrency_quota.as_ref().ok()?.as_ref()?;
            let maximum = mapping.maximum_concurrency?;
            (*quota <= maximum).then(|| {
                format!(
                    "the account allows {quota} concurrent executions, MaximumConcurrency {maximum}"
                )
            })
        },
        needed: Fixed(
            "a quota above MaximumConcurrency, so that something is left for forward and complete",
        ),
        why: "throttled messages use up their six receives; new accounts allow only 10 concurrent executions",
        fix: For(|scope, _| {
            let quota = scope.stack.concurrency_quota.as_ref().ok();
            let quota = quota.and_then(|quota| *quota).unwrap_or_default();
            format!(
                "{}; raise it again after AWS raised the quota (Service Quotas, Lambda, L-B99A9384)",
                deploy(
                    "IngestConcurrency",
                    (quota / 2).max(MIN_MAXIMUM_CONCURRENCY)
                )
            )
        }),
    },
    Check {
        id: "reserved-concurrency",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |scope, mapping| {
            let reserved = scope.stack.reserved_concurrency.as_ref().ok()?.as_ref()?;
            let maximum = mapping.maximum_concurrency?;
            (i64::from(*reserved) < maximum)
                .then(|| format!("{reserved} reserved, MaximumConcurrency {maximum}"))
        },
        needed: For(|_, mapping| {
            let maximum = mapping.maximum_concurrency.unwrap_or_default();
            format!("at least {maximum} reserved, or no reserved concurrency")
        }),
        why: "throttled messages use up their six receives",
        fix: For(|scope, _| {
            format!(
                "aws lambda delete-function-concurrency --function-name {}; limit concurrency by MaximumConcurrency instead",
                scope.stack.ingest.name
            )
        }),
    },
];

const STREAM_SOURCE: &[Check<Mapping>] = &[
    Check {
        id: "starting-position",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| {
            let position = mapping.starting_position.as_deref();
            (position != Some("TRIM_HORIZON"))
                .then(|| format!("StartingPosition {}", position.unwrap_or("unknown")))
        },
        needed: Fixed("TRIM_HORIZON"),
        why: "records that arrived while the mapping was being created are skipped",
        fix: For(|_, mapping| {
            format!(
                "the position cannot be changed: {}, create the mapping again with TRIM_HORIZON, then run `onewrite reconcile`",
                delete_mapping(&mapping.uuid)
            )
        }),
    },
    Check {
        id: "record-age",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |scope, mapping| match mapping.maximum_record_age_seconds {
            None => Some("MaximumRecordAgeInSeconds unlimited".to_owned()),
            Some(age) => (age >= source_retention_seconds(scope))
                .then(|| format!("MaximumRecordAgeInSeconds {age}")),
        },
        needed: For(|scope, _| {
            let retention = source_retention_seconds(scope);
            format!("less than {retention}, the retention of its stream")
        }),
        why: "a failing record expires in the stream before Lambda writes it to the failure bucket",
        fix: For(|scope, mapping| {
            let age = source_retention_seconds(scope) - HOUR_SECONDS;
            update_mapping(mapping, &format!("--maximum-record-age-in-seconds {age}"))
        }),
    },
    Check {
        id: "parallelization",
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |scope, mapping| {
            let parameter = scope.stack.parameter("StreamParallelizationFactor")?;
            let factor = mapping.parallelization_factor?.to_string();
            // An emulator ignores the setting.
            (!scope.stack.is_local && factor != parameter)
                .then(|| format!("ParallelizationFactor {factor}"))
        },
        needed: For(|scope, _| {
            let parameter = scope.stack.parameter("StreamParallelizationFactor");
            format!("{}, the stack's parameter", parameter.unwrap_or_default())
        }),
        why: "the function processes more or fewer notifications at the same time than the parameter says",
        fix: For(|scope, mapping| {
            let parameter = scope.stack.parameter("StreamParallelizationFactor");
            let factor = parameter.unwrap_or_default();
            update_mapping(mapping, &format!("--parallelization-factor {factor}"))
        }),
    },
    Check {
        id: "failure-destination",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |scope, mapping| {
            let destination = mapping.failure_destination.as_deref();
            let is_bucket =
                destination.is_some_and(|arn| is_bucket_arn(arn, &scope.stack.bucket_name));
            (!is_bucket).then(|| destination.unwrap_or("no failure destination").to_owned())
        },
        needed: For(|scope, _| format!("the failure bucket, {}", scope.stack.bucket_name)),
        why: "Lambda drops records that it gives up, or keeps them without their content, or keeps them elsewhere",
        fix: For(|scope, mapping| {
            let (partition, bucket) = (scope.stack.partition(), &scope.stack.bucket_name);
            update_mapping(
                mapping,
                &format!(
                    "--destination-config '{{\"OnFailure\": {{\"Destination\": \"arn:{partition}:s3:::{bucket}\"}}}}'"
                ),
            )
        }),
    },
    Check {
        id: "bisect",
        severity: Broken,
        breaks: Guarantee(Isolation),
        found: |_, mapping| {
            (!mapping.bisects && !mapping.reports_batch_item_failures)
                .then(|| "BisectBatchOnFunctionError false".to_owned())
        },
        needed: Fixed("BisectBatchOnFunctionError true"),
        why: BISECT_CONSEQUENCE,
        fix: For(enable_bisect),
    },
    Check {
        id: "bisect",
        severity: Advice,
        breaks: Guarantee(Isolation),
        found: |_, mapping| {
            (!mapping.bisects && mapping.reports_batch_item_failures)
                .then(|| "BisectBatchOnFunctionError false".to_owned())
        },
        needed: Fixed("BisectBatchOnFunctionError true"),
        why: BISECT_CONSEQUENCE,
        fix: For(enable_bisect),
    },
];

const BISECT_CONSEQUENCE: &str =
    "if one record fails its whole invocation, its neighbours are given up with it";

fn enable_bisect(_: &Scope<'_>, mapping: &Mapping) -> String {
    update_mapping(mapping, "--bisect-batch-on-function-error")
}

/// The longest useful record age: Lambda's maximum, or an hour less than the retention, in which a failing record can still be
/// written to the failure bucket.
fn longest_record_age(scope: &Scope<'_>) -> i64 {
    (source_retention_seconds(scope) - HOUR_SECONDS).min(MAX_RECORD_AGE_SECONDS)
}

/// How long the source of this function keeps a record.
fn source_retention_seconds(scope: &Scope<'_>) -> i64 {
    if scope.place == FORWARD {
        return TABLE_STREAM_RETENTION_SECONDS;
    }
    scope
        .stack
        .stream
        .as_ref()
        .map_or(MIN_STREAM_RETENTION_SECONDS, |stream| {
            stream.retention_hours * HOUR_SECONDS
        })
}

fn is_bucket_arn(arn: &str, bucket: &str) -> bool {
    // arn:aws:s3:::name
    arn.split(':').nth(2) == Some("s3") && arn.ends_with(&format!(":::{bucket}"))
}

const FORWARD_CHECKS: &[Check<Mapping>] = &[
    Check {
        id: "retry-attempts",
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |_, mapping| {
            let attempts = mapping.maximum_retry_attempts?;
            Some(format!("MaximumRetryAttempts {attempts}"))
        },
        needed: Fixed("-1 (unlimited): the maximum record age is the limit"),
        why: "if Kinesis refuses records for a while, Lambda gives changes up early and writes them to the failure bucket",
        fix: For(|_, mapping| update_mapping(mapping, "--maximum-retry-attempts -1")),
    },
    Check {
        id: "forward-filter",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| dropped_change(&mapping.filters),
        needed: Fixed(r#"{"eventName": ["INSERT", "MODIFY"]}"#),
        why: "Lambda skips a change that no filter matches, and its event is never published",
        fix: For(|_, mapping| {
            update_mapping(
                mapping,
                r#"--filter-criteria '{"Filters": [{"Pattern": "{\"eventName\": [\"INSERT\", \"MODIFY\"]}"}]}'; then run `onewrite reconcile`"#,
            )
        }),
    },
];

/// The value of `MaximumRetryAttempts` without a limit, and the default of the template.
const UNLIMITED: i64 = -1;

fn retry_attempts(stack: &StackSnapshot) -> i64 {
    let parameter = stack.parameter("CompleteMaximumRetryAttempts");
    parameter
        .and_then(|text| text.parse().ok())
        .unwrap_or(UNLIMITED)
}

const COMPLETE_CHECKS: &[Check<Mapping>] = &[
    Check {
        id: "short-record-age",
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |scope, mapping| {
            let age = mapping.maximum_record_age_seconds?;
            (age < longest_record_age(scope)).then(|| format!("MaximumRecordAgeInSeconds {age}"))
        },
        needed: For(|scope, _| {
            format!(
                "{}: an hour less than the retention of the stream, or the maximum",
                longest_record_age(scope)
            )
        }),
        why: "after a pause, Lambda gives up events that the stream still has",
        fix: For(|scope, mapping| {
            let age = longest_record_age(scope);
            update_mapping(mapping, &format!("--maximum-record-age-in-seconds {age}"))
        }),
    },
    Check {
        id: "retry-attempts",
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |scope, mapping| {
            let attempts = mapping.maximum_retry_attempts.unwrap_or(UNLIMITED);
            (attempts != retry_attempts(scope.stack))
                .then(|| format!("MaximumRetryAttempts {attempts}"))
        },
        needed: For(|scope, _| {
            format!(
                "{}: CompleteMaximumRetryAttempts, where -1 means that only the age of a record ends its retries",
                retry_attempts(scope.stack)
            )
        }),
        why: "an outage of the downstream uses a small number up, and Lambda gives up events that it would deliver later",
        fix: For(|scope, mapping| {
            let attempts = retry_attempts(scope.stack);
            update_mapping(mapping, &format!("--maximum-retry-attempts {attempts}"))
        }),
    },
    Check {
        id: "complete-filter",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| dropped_event(&mapping.filters),
        needed: Fixed(COMPLETE_FILTER),
        why: "Lambda skips an event that no filter matches, and its item stays in INIT",
        fix: For(set_complete_filter),
    },
    Check {
        id: "complete-filter",
        severity: Advice,
        breaks: GuaranteeOfPlace,
        found: |_, mapping| {
            (mapping.filters.is_empty() && dropped_event(&mapping.filters).is_none())
                .then(|| "no filter criteria".to_owned())
        },
        needed: Fixed(COMPLETE_FILTER),
        why: "complete is also invoked for events of DONE and REFUSED, which it ignores; this only costs invocations",
        fix: For(set_complete_filter),
    },
];

const COMPLETE_FILTER: &str = r#"{"data": {"type": [{"suffix": ".init"}]}}"#;

fn set_complete_filter(_: &Scope<'_>, mapping: &Mapping) -> String {
    update_mapping(
        mapping,
        r#"--filter-criteria '{"Filters": [{"Pattern": "{\"data\": {\"type\": [{\"suffix\": \".init\"}]}}"}]}'"#,
    )
}
