//! The checks, by the part of the stack that they look at, from left to right as messages flow.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use onewrite::{
    item::attribute,
    limits::MAX_RECEIVES,
    notification::{MessagePointers, Pointer},
};
use onewrite_event_sources::filter::{FilterCriteria, Source};
use serde_json::{Value, json};

use super::{
    Finding, Promise, Severity,
    deployed::{Deployed, Mapping, Queue, Read, Reader, Table, Unread},
};

/// The visibility timeout in timeouts of the function (Lambda developer guide, "Configuring an Amazon SQS queue").
const VISIBILITY_FACTOR: i64 = 6;

/// Longest `MessageRetentionPeriod` (SQS quotas: 14 days).
const MAX_QUEUE_RETENTION_SECONDS: i64 = 14 * DAY_SECONDS;

/// How long a table's stream keeps a change (DynamoDB developer guide, "DynamoDB Streams": 24 hours).
const TABLE_STREAM_SECONDS: i64 = DAY_SECONDS;

/// Readers of one shard of a table's stream (DynamoDB developer guide, "DynamoDB Streams"): two, and one for a global
/// table, whose replication reads too.
const TABLE_STREAM_READERS: usize = 2;

const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
const HOUR_SECONDS: i64 = 60 * 60;

use Promise::{
    AcknowledgedMeansStored, CheckpointIsHonest, Effect, Isolation, NothingInvented,
    OrderPerNotification, Progress, Silence, Status, WrittenOnce,
};
use Severity::{Advice, Broken, Unchecked};

/// Every check.
pub(super) fn all(deployed: &Deployed) -> Vec<Finding> {
    let mut findings = unread(deployed);
    findings.extend(queue(deployed));
    findings.extend(dead_letter_queue(deployed));
    findings.extend(ingest(deployed));
    findings.extend(table(deployed));
    findings.extend(forward(deployed));
    findings.extend(stream(deployed));
    findings.extend(complete(deployed));
    findings.extend(bucket(deployed));
    findings
}

/// A part that was not read has no findings of its own, so that it has this one.
fn unread(deployed: &Deployed) -> Vec<Finding> {
    fn of<T>(part: &Read<T>) -> Option<&Unread> {
        part.as_ref().err()
    }
    let Deployed {
        ingest,
        forward,
        complete,
        ..
    } = deployed;
    let parts = [
        ("queue", of(&deployed.queue), AcknowledgedMeansStored),
        (
            "dead-letter queue",
            of(&deployed.dead_letter_queue),
            AcknowledgedMeansStored,
        ),
        ("ingest", of(&ingest.function), AcknowledgedMeansStored),
        (
            "ingest's mapping",
            of(&ingest.mappings),
            AcknowledgedMeansStored,
        ),
        (
            "ingest's reserved concurrency",
            of(&deployed.reserved_concurrency),
            AcknowledgedMeansStored,
        ),
        ("table", of(&deployed.table), WrittenOnce),
        (
            "table's time to live",
            of(&deployed.time_to_live),
            WrittenOnce,
        ),
        (
            "table's point-in-time recovery",
            of(&deployed.is_recoverable),
            WrittenOnce,
        ),
        ("forward", of(&forward.function), NothingInvented),
        (
            "forward's mapping",
            of(&forward.mappings),
            CheckpointIsHonest,
        ),
        ("stream", of(&deployed.stream), OrderPerNotification),
        ("complete", of(&complete.function), Status),
        ("complete's mapping", of(&complete.mappings), Status),
        (
            "failure bucket's encryption",
            of(&deployed.bucket_encryption),
            Silence,
        ),
        (
            "failure bucket's public access block",
            of(&deployed.bucket_public),
            Silence,
        ),
        (
            "failure bucket's policy",
            of(&deployed.bucket_policy),
            Silence,
        ),
    ];
    let finding = |(place, unread, breaks): (&'static str, Option<&Unread>, Promise)| {
        let unread = unread?;
        Some(match unread {
            Unread::Gone(_) => Finding {
                check: "missing",
                place,
                severity: Broken,
                found: unread.to_string(),
                needed: "what the stack's outputs name".to_owned(),
                breaks,
                why: "what the pipeline stands on is not there",
                repair: "find out who deleted it; then deploy the stack anew: `sam deploy`"
                    .to_owned(),
            },
            Unread::Failed(_) => Finding {
                check: "unread",
                place,
                severity: Unchecked,
                found: unread.to_string(),
                needed: "to be read".to_owned(),
                breaks,
                why: "nobody knows whether it is as it must be",
                repair: "look again as somebody who may make this call".to_owned(),
            },
        })
    };
    parts.into_iter().filter_map(finding).collect()
}

impl Deployed {
    /// How bad it is that a safeguard is off: broken, unless the stack's owner has asked for it by this parameter.
    fn unless_asked_for(&self, parameter: &str) -> Severity {
        match self.parameters.get(parameter).map(String::as_str) {
            Some("false") => Advice,
            _ => Broken,
        }
    }
}

fn set_queue(url: &str, attribute: &str, value: impl std::fmt::Display) -> String {
    format!("aws sqs set-queue-attributes --queue-url {url} --attributes {attribute}={value}")
}

fn update_mapping(mapping: &Mapping, options: &str) -> String {
    let uuid = &mapping.uuid;
    format!("aws lambda update-event-source-mapping --uuid {uuid} {options}")
}

fn deploy(parameter: &str, value: &str) -> String {
    format!("sam deploy --parameter-overrides {parameter}={value}")
}

fn queue(deployed: &Deployed) -> Vec<Finding> {
    let Ok(queue) = &deployed.queue else {
        return Vec::new();
    };
    let (place, url) = ("queue", &deployed.queue_url);
    let mut findings = Vec::new();
    if queue.max_receives != Some(MAX_RECEIVES.into()) && queue.dead_letter_target.is_some() {
        let found = queue
            .max_receives
            .map_or("none".to_owned(), |count| count.to_string());
        findings.push(Finding {
            check: "max-receives",
            place,
            severity: Broken,
            found: format!("maxReceiveCount {found}"),
            needed: format!("maxReceiveCount {MAX_RECEIVES}"),
            breaks: AcknowledgedMeansStored,
            why: "a message that fails is to be received six times before it is given up",
            repair: set_redrive_policy(deployed),
        });
    }
    if let Ok(dead_letters) = &deployed.dead_letter_queue
        && queue.dead_letter_target.as_deref() != Some(&dead_letters.arn)
    {
        let found = queue.dead_letter_target.as_deref();
        findings.push(Finding {
            check: "dead-letter-queue",
            place,
            severity: Broken,
            found: found.unwrap_or("no redrive policy").to_owned(),
            needed: format!("deadLetterTargetArn {}", dead_letters.arn),
            breaks: AcknowledgedMeansStored,
            why: "a message that cannot be stored is not kept where it is looked for, and is lost when it is too old",
            repair: set_redrive_policy(deployed),
        });
    }
    findings.extend(encrypted(place, url, queue));
    findings.extend(tls(deployed, place, queue.policy.as_deref()));
    findings
}

fn set_redrive_policy(deployed: &Deployed) -> String {
    let arn = deployed.dead_letter_queue.as_ref();
    let arn = arn.map_or("DEAD_LETTER_QUEUE_ARN", |queue| &queue.arn);
    let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES.to_string()});
    let attributes = json!({"RedrivePolicy": policy.to_string()});
    let url = &deployed.queue_url;
    format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{attributes}'")
}

fn dead_letter_queue(deployed: &Deployed) -> Vec<Finding> {
    let Ok(dead_letters) = &deployed.dead_letter_queue else {
        return Vec::new();
    };
    let (place, url) = ("dead-letter queue", &deployed.dead_letter_queue_url);
    let mut findings = Vec::new();
    let kept = dead_letters.retention_seconds;
    let queue_keeps = deployed
        .queue
        .as_ref()
        .map_or(0, |queue| queue.retention_seconds);
    if kept < queue_keeps.max(MAX_QUEUE_RETENTION_SECONDS) {
        let is_broken = kept < queue_keeps;
        findings.push(Finding {
            check: "dead-letter-retention",
            place,
            severity: if is_broken { Broken } else { Advice },
            found: format!("MessageRetentionPeriod {kept}"),
            needed: if is_broken {
                format!("at least the queue's, {queue_keeps}")
            } else {
                format!("{MAX_QUEUE_RETENTION_SECONDS}, the longest there is")
            },
            breaks: AcknowledgedMeansStored,
            why: "a dead letter keeps the age of its message (on a standard queue), and is deleted before anybody has seen it",
            repair: set_queue(url, "MessageRetentionPeriod", MAX_QUEUE_RETENTION_SECONDS),
        });
    }
    findings.extend(encrypted(place, url, dead_letters));
    findings.extend(tls(deployed, place, dead_letters.policy.as_deref()));
    findings
}

fn encrypted(place: &'static str, url: &str, queue: &Queue) -> Option<Finding> {
    (!queue.is_encrypted).then(|| Finding {
        check: "encryption",
        place,
        severity: Broken,
        found: "SqsManagedSseEnabled false, and no KmsMasterKeyId".to_owned(),
        needed: "one of them".to_owned(),
        breaks: Silence,
        why: "payloads lie in the queue as they are",
        repair: set_queue(url, "SqsManagedSseEnabled", true),
    })
}

fn tls(deployed: &Deployed, place: &'static str, policy: Option<&str>) -> Option<Finding> {
    (!policy.is_some_and(refuses_plain_text)).then(|| Finding {
        check: "tls",
        place,
        severity: deployed.unless_asked_for("RequireTls"),
        found: "no statement that denies requests without TLS".to_owned(),
        needed: r#"Deny for everybody where aws:SecureTransport is "false""#.to_owned(),
        breaks: Silence,
        why: "payloads may cross the network in plain text",
        repair: format!(
            "{}; where it is `true` already, a policy was changed by hand: put the template's back",
            deploy("RequireTls", "true")
        ),
    })
}

/// Whether a policy denies everybody whatever comes without TLS.
fn refuses_plain_text(policy: &str) -> bool {
    fn has(value: &Value, wanted: &str) -> bool {
        match value {
            Value::Array(values) => values.iter().any(|value| has(value, wanted)),
            Value::String(text) => text == wanted,
            Value::Bool(flag) => flag.to_string() == wanted,
            _ => false,
        }
    }
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => std::slice::from_ref(statement),
    };
    statements.iter().any(|statement| {
        let everybody =
            has(&statement["Principal"], "*") || has(&statement["Principal"]["AWS"], "*");
        let everything = has(&statement["Action"], "sqs:*")
            || has(&statement["Action"], "s3:*")
            || has(&statement["Action"], "*");
        let conditions = statement["Condition"].as_object();
        let plain = has(
            &statement["Condition"]["Bool"]["aws:SecureTransport"],
            "false",
        );
        // Another condition beside it would let some of it through.
        let alone = conditions.is_some_and(|conditions| {
            conditions.len() == 1
                && conditions["Bool"]
                    .as_object()
                    .is_some_and(|bool| bool.len() == 1)
        });
        statement["Effect"] == "Deny" && everybody && everything && plain && alone
    })
}

fn ingest(deployed: &Deployed) -> Vec<Finding> {
    let reader = &deployed.ingest;
    let mut findings = common(deployed, reader, "ingest", AcknowledgedMeansStored);
    for mapping in reader.own() {
        findings.extend(ingest_mapping(deployed, mapping));
    }
    if let Some(other) = reader.others().next() {
        let Mapping { uuid, function, .. } = other;
        findings.push(Finding {
            check: "queue-readers",
            place: "queue",
            severity: Broken,
            found: format!("a mapping to {function}, too"),
            needed: "ingest alone".to_owned(),
            breaks: AcknowledgedMeansStored,
            why: "each message goes to one reader: what the other takes is deleted and never stored",
            repair: format!("aws lambda delete-event-source-mapping --uuid {uuid}"),
        });
    }
    let Ok(function) = &reader.function else {
        return findings;
    };
    let variable = |name: &str| function.variables.get(name).map(String::as_str);
    findings.extend(points_to_table(
        deployed,
        "ingest",
        variable("TABLE_NAME"),
        AcknowledgedMeansStored,
    ));
    findings.extend(pointers(&variable));
    findings
}

fn ingest_mapping(deployed: &Deployed, mapping: &Mapping) -> Vec<Finding> {
    let place = "ingest";
    let mut findings = Vec::new();
    if let (Ok(queue), Ok(function)) = (&deployed.queue, &deployed.ingest.function) {
        let timeout = function.timeout_seconds;
        let needed = VISIBILITY_FACTOR * timeout + mapping.batching_window_seconds;
        if queue.visibility_timeout_seconds < needed {
            findings.push(Finding {
                check: "visibility-timeout",
                place: "queue",
                severity: Broken,
                found: format!("VisibilityTimeout {}", queue.visibility_timeout_seconds),
                needed: format!(
                    "at least {needed}: {VISIBILITY_FACTOR} times the timeout of ingest, {timeout}, and its batching window, {}",
                    mapping.batching_window_seconds
                ),
                breaks: AcknowledgedMeansStored,
                why: "a message that still waits for its turn is received again, and wears out its six receives untried",
                repair: set_queue(&deployed.queue_url, "VisibilityTimeout", needed),
            });
        }
        if queue.is_fifo && mapping.batch_size != 1 {
            findings.push(Finding {
                check: "fifo-batch-size",
                place,
                severity: Broken,
                found: format!("BatchSize {} on a FIFO queue", mapping.batch_size),
                needed: "BatchSize 1".to_owned(),
                breaks: Isolation,
                why: "what was received behind a message that fails wears out its own receives and follows it into the dead-letter queue",
                repair: update_mapping(mapping, "--batch-size 1"),
            });
        }
    }
    if !mapping.filters.is_empty() {
        findings.push(Finding {
            check: "ingest-filter",
            place,
            severity: Broken,
            found: format!("filter criteria: {}", mapping.filters.join(" or ")),
            needed: "none".to_owned(),
            breaks: AcknowledgedMeansStored,
            why: "Lambda deletes the messages that a filter leaves out",
            repair: update_mapping(mapping, "--filter-criteria '{}'"),
        });
    }
    if mapping.maximum_concurrency.is_none() && !mapping.has_pollers {
        findings.push(Finding {
            check: "maximum-concurrency",
            place,
            severity: Advice,
            found: "neither MaximumConcurrency nor provisioned pollers".to_owned(),
            needed: "one of them".to_owned(),
            breaks: AcknowledgedMeansStored,
            why: "when the account's concurrency is used up, throttled messages wear out their six receives untried",
            repair: update_mapping(mapping, "--scaling-config MaximumConcurrency=50"),
        });
    }
    if let (Ok(Some(reserved)), Some(maximum)) =
        (&deployed.reserved_concurrency, mapping.maximum_concurrency)
        && i64::from(*reserved) < maximum
    {
        findings.push(Finding {
            check: "reserved-concurrency",
            place,
            severity: Broken,
            found: format!("{reserved} reserved, MaximumConcurrency {maximum}"),
            needed: format!("at least {maximum} reserved, or none"),
            breaks: AcknowledgedMeansStored,
            why: "messages that are throttled wear out their six receives untried",
            repair: format!("aws lambda delete-function-concurrency --function-name {}; MaximumConcurrency is the bound to set", deployed.ingest.name),
        });
    }
    findings
}

fn pointers<'a>(variable: &impl Fn(&str) -> Option<&'a str>) -> Vec<Finding> {
    let pointers = [
        (
            "NOTIFICATION_ID_POINTER",
            MessagePointers::DEFAULT_ID,
            "NotificationIdPointer",
        ),
        (
            "NOTIFICATION_TYPE_POINTER",
            MessagePointers::DEFAULT_TYPE,
            "NotificationTypePointer",
        ),
        (
            "PAYLOAD_POINTER",
            MessagePointers::DEFAULT_PAYLOAD,
            "PayloadPointer",
        ),
    ];
    let finding =
        |found: String, needed: &str, why: &'static str, parameter: &str, value: &str| Finding {
            check: "pointers",
            place: "ingest",
            severity: Broken,
            found,
            needed: needed.to_owned(),
            breaks: AcknowledgedMeansStored,
            why,
            repair: deploy(parameter, value),
        };
    let mut findings = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (name, default, parameter) in pointers {
        let text = variable(name).unwrap_or(default);
        let repair = |why: &'static str, found: String, needed: &str| {
            finding(found, needed, why, parameter, default)
        };
        if let Err(error) = text.parse::<Pointer>() {
            findings.push(repair(
                "ingest does not start: every message ends as a dead letter",
                format!("{name}: {error}"),
                "a JSON pointer",
            ));
        } else if name == "NOTIFICATION_ID_POINTER" && text.is_empty() {
            findings.push(repair(
                "the whole body is never an id: every message ends as a dead letter",
                format!("{name} is empty"),
                "the place of the id",
            ));
        } else if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == text) {
            findings.push(repair(
                "one value cannot be two things: messages are refused, or told apart by the wrong one",
                format!("{name} and {other} are both {text:?}"),
                "three places",
            ));
        }
        seen.push((name, text));
    }
    findings
}

fn points_to_table(
    deployed: &Deployed,
    place: &'static str,
    found: Option<&str>,
    breaks: Promise,
) -> Option<Finding> {
    points_to(
        place,
        "TABLE_NAME",
        found,
        &deployed.table_name,
        breaks,
        "it writes where nobody looks, or is refused",
    )
}

fn points_to(
    place: &'static str,
    variable: &str,
    found: Option<&str>,
    needed: &str,
    breaks: Promise,
    why: &'static str,
) -> Option<Finding> {
    (found != Some(needed)).then(|| Finding {
        check: "environment",
        place,
        severity: Broken,
        found: format!("{variable} is {}", found.unwrap_or("not set")),
        needed: format!("{variable} is {needed}, the stack's own"),
        breaks,
        why,
        repair: "`sam deploy` puts the template's settings back; see in CloudTrail who changed them (UpdateFunctionConfiguration)".to_owned(),
    })
}

/// What every function's mapping must have.
fn common(
    deployed: &Deployed,
    reader: &Reader,
    place: &'static str,
    breaks: Promise,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A table without a stream has a finding of its own.
    let has_source =
        place != "forward" || !matches!(&deployed.table, Ok(table) if table.stream_view.is_none());
    if reader.mappings.is_ok() && has_source && reader.own().next().is_none() {
        findings.push(Finding {
            check: "mapping",
            place,
            severity: Broken,
            found: "no event source mapping of its source invokes it".to_owned(),
            needed: "one".to_owned(),
            breaks: Progress,
            why: "nothing comes to it, and what waits is deleted when it is too old",
            repair: "`sam deploy` makes the template's mapping again; then `onewrite reconcile`"
                .to_owned(),
        });
    }
    if reader.own().count() > 1 {
        let uuids: Vec<&str> = reader.own().map(|mapping| mapping.uuid.as_str()).collect();
        findings.push(Finding {
            check: "mapping",
            place,
            severity: Advice,
            found: format!(
                "{} mappings of its source invoke it: {}",
                uuids.len(),
                uuids.join(", ")
            ),
            needed: "one".to_owned(),
            breaks: Effect,
            why: "every event comes as often as there are mappings; nothing is wrong with that but its price",
            repair: "delete the one that is not the stack's: aws lambda delete-event-source-mapping --uuid UUID"
                .to_owned(),
        });
    }
    for mapping in reader.own() {
        if !mapping.is_on() {
            findings.push(paused(deployed, place, mapping));
        }
        if !mapping.reports_batch_item_failures {
            findings.push(Finding {
                check: "partial-responses",
                place,
                severity: Broken,
                found: "FunctionResponseTypes has no ReportBatchItemFailures".to_owned(),
                needed: "ReportBatchItemFailures".to_owned(),
                breaks,
                why: "Lambda does not read which records have failed, and takes the whole batch for done",
                repair: update_mapping(
                    mapping,
                    "--function-response-types ReportBatchItemFailures",
                ),
            });
        }
    }
    findings
}

/// A pause of everything, asked for by the parameter, is a decision; anything else that stands still is not.
fn paused(deployed: &Deployed, place: &'static str, mapping: &Mapping) -> Finding {
    let readers = [&deployed.ingest, &deployed.forward, &deployed.complete];
    let all_stand_still = readers
        .iter()
        .all(|reader| reader.own().all(|mapping| !mapping.is_on()));
    let severity = match deployed.unless_asked_for("EventSourcesEnabled") {
        Advice if all_stand_still => Advice,
        _ => Broken,
    };
    Finding {
        check: "paused",
        place,
        severity,
        found: format!("its mapping is {}", mapping.state),
        needed: "Enabled".to_owned(),
        breaks: Progress,
        why: "messages wait for 14 days, changes in the table's stream for 24 hours, events in the stream for its retention; then they are gone",
        repair: if severity == Advice {
            deploy("EventSourcesEnabled", "true")
        } else {
            update_mapping(mapping, "--enabled")
        },
    }
}

fn table(deployed: &Deployed) -> Vec<Finding> {
    let name = &deployed.table_name;
    let place = "table";
    let update = |options: &str| format!("aws dynamodb update-table --table-name {name} {options}");
    let mut findings = Vec::new();
    if let Ok(table) = &deployed.table {
        findings.extend(table_itself(deployed, table, &update));
    }
    if let Ok(Some(attribute)) = &deployed.time_to_live
        && attribute != attribute::EXPIRES_AT
    {
        findings.push(Finding {
            check: "time-to-live",
            place,
            severity: Broken,
            found: format!("items expire by {attribute:?}"),
            needed: format!("{:?}, which items in INIT do not have", attribute::EXPIRES_AT),
            breaks: WrittenOnce,
            why: "items may be removed while copies of their messages live, and before they are DONE",
            repair: format!(
                "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=false,AttributeName={attribute}; an hour later the same with Enabled=true,AttributeName={}",
                attribute::EXPIRES_AT
            ),
        });
    }
    if deployed.is_recoverable == Ok(false) {
        findings.push(Finding {
            check: "point-in-time-recovery",
            place,
            severity: Broken,
            found: "off".to_owned(),
            needed: "on".to_owned(),
            breaks: WrittenOnce,
            why: "a table that is lost or spoilt cannot be had back, and every id could be written again",
            repair: format!(
                "aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            ),
        });
    }
    findings
}

fn table_itself(
    deployed: &Deployed,
    table: &Table,
    update: &impl Fn(&str) -> String,
) -> Vec<Finding> {
    let place = "table";
    let mut findings = Vec::new();
    if table.key != [attribute::NOTIFICATION_ID] {
        findings.push(Finding {
            check: "table-key",
            place,
            severity: Broken,
            found: format!("the key is {}", table.key.join(" and ")),
            needed: format!("{} alone", attribute::NOTIFICATION_ID),
            breaks: WrittenOnce,
            why: "the condition of the one write is judged for the key",
            repair: "a key cannot be changed: deploy another stack".to_owned(),
        });
    }
    if table.stream_view.as_deref() != Some("NEW_AND_OLD_IMAGES") {
        let found = table.stream_view.as_deref();
        findings.push(Finding {
            check: "table-stream",
            place,
            severity: Broken,
            found: found.map_or("no stream".to_owned(), |view| format!("a stream of {view}")),
            needed: "a stream of NEW_AND_OLD_IMAGES".to_owned(),
            breaks: CheckpointIsHonest,
            why: "forward sees no change, or cannot tell what has changed: nothing is published",
            repair: format!(
                "{} (first `StreamEnabled=false` where there is another); a new stream has a new ARN, so `sam deploy` then, and `onewrite reconcile`",
                update("--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES")
            ),
        });
    }
    if !table.is_protected {
        findings.push(Finding {
            check: "deletion-protection",
            place,
            severity: deployed.unless_asked_for("TableDeletionProtection"),
            found: "off".to_owned(),
            needed: "on".to_owned(),
            breaks: WrittenOnce,
            why: "one call deletes the table, and every id could be written again",
            repair: update("--deletion-protection-enabled"),
        });
    }
    if !table.has_kms_key {
        findings.push(Finding {
            check: "encryption",
            place,
            // DynamoDB always encrypts (developer guide, "Encryption at rest"); the key is the question.
            severity: Advice,
            found: "encrypted with a key of DynamoDB's own, which nobody can watch or revoke"
                .to_owned(),
            needed: "a key of KMS".to_owned(),
            breaks: Silence,
            why: "who reads the payloads cannot be told by the key's use",
            repair: update("--sse-specification Enabled=true"),
        });
    }
    if !table.replicas.is_empty() && !table.is_strongly_consistent {
        findings.push(Finding {
            check: "global-table",
            place,
            severity: Broken,
            found: format!("it is also written in {}", table.replicas.join(", ")),
            needed: "one region, or MultiRegionConsistency STRONG".to_owned(),
            breaks: WrittenOnce,
            why: "a condition is judged in its own region alone, and the last writer wins: an id can be accepted twice",
            repair: "delete the replicas, or make the table anew with multi-region strong consistency"
                .to_owned(),
        });
    }
    findings
}

fn forward(deployed: &Deployed) -> Vec<Finding> {
    let reader = &deployed.forward;
    let mut findings = common(deployed, reader, "forward", CheckpointIsHonest);
    for mapping in reader.own() {
        let limit = TABLE_STREAM_SECONDS;
        findings.extend(stream_mapping(
            deployed,
            "forward",
            mapping,
            limit,
            CheckpointIsHonest,
        ));
        if let Some(attempts) = mapping.maximum_retry_attempts {
            findings.push(Finding {
                check: "retry-attempts",
                place: "forward",
                severity: Advice,
                found: format!("MaximumRetryAttempts {attempts}"),
                needed: "-1: their age is the limit".to_owned(),
                breaks: Progress,
                why: "changes are given up early when Kinesis refuses them for a while; they are in the failure bucket then",
                repair: update_mapping(mapping, "--maximum-retry-attempts -1"),
            });
        }
        let changes = changes();
        if let Some((what, pattern)) = not_passed(Source::DynamoDb, &mapping.filters, &changes) {
            findings.push(Finding {
                check: "forward-filter",
                place: "forward",
                severity: Broken,
                found: format!("{pattern} leaves out {what}"),
                needed: r#"{"eventName": ["INSERT", "MODIFY"]}"#.to_owned(),
                breaks: CheckpointIsHonest,
                why: "what a filter leaves out is passed for good: its event is never published",
                repair: update_mapping(
                    mapping,
                    r#"--filter-criteria '{"Filters": [{"Pattern": "{\"eventName\": [\"INSERT\", \"MODIFY\"]}"}]}'; then `onewrite reconcile`"#,
                ),
            });
        }
    }
    if let (Ok(mappings), Ok(table)) = (&reader.mappings, &deployed.table) {
        // Replication is one of the readers.
        let limit = TABLE_STREAM_READERS - usize::from(!table.replicas.is_empty());
        if mappings.len() > limit {
            let others: Vec<String> = reader
                .others()
                .map(|mapping| format!("{} ({})", mapping.function, mapping.uuid))
                .collect();
            findings.push(Finding {
                check: "table-stream-readers",
                place: "table",
                severity: Broken,
                found: format!(
                    "{} readers of its stream; beside forward: {}",
                    mappings.len(),
                    others.join(", ")
                ),
                needed: format!("{limit} at most"),
                breaks: Progress,
                why: "DynamoDB throttles the readers of a shard beyond that: forward falls behind, and changes are gone after 24 hours",
                repair: "have the others read the notification stream; aws lambda delete-event-source-mapping --uuid UUID"
                    .to_owned(),
            });
        }
    }
    if let Ok(function) = &reader.function {
        findings.extend(points_to(
            "forward",
            "STREAM_NAME",
            function.variables.get("STREAM_NAME").map(String::as_str),
            &deployed.stream_name,
            CheckpointIsHonest,
            "it publishes where nobody reads, or is refused",
        ));
    }
    findings
}

/// What the mapping of a stream must have. `kept_seconds`: how long the stream keeps a record.
fn stream_mapping(
    deployed: &Deployed,
    place: &'static str,
    mapping: &Mapping,
    kept_seconds: i64,
    breaks: Promise,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if mapping.starting_position.as_deref() != Some("TRIM_HORIZON") {
        findings.push(Finding {
            check: "starting-position",
            place,
            severity: Broken,
            found: format!(
                "StartingPosition {}",
                mapping.starting_position.as_deref().unwrap_or("unknown")
            ),
            needed: "TRIM_HORIZON".to_owned(),
            breaks,
            why: "what came while the mapping was made is missing",
            repair: format!(
                "it cannot be changed: aws lambda delete-event-source-mapping --uuid {}, make it again from TRIM_HORIZON, then `onewrite reconcile`",
                mapping.uuid
            ),
        });
    }
    let age = mapping.maximum_record_age_seconds;
    if age.is_none_or(|age| age >= kept_seconds) {
        findings.push(Finding {
            check: "record-age",
            place,
            severity: Broken,
            found: age.map_or("MaximumRecordAgeInSeconds without end".to_owned(), |age| {
                format!("MaximumRecordAgeInSeconds {age}")
            }),
            needed: format!("less than {kept_seconds}, for which its stream keeps a record"),
            breaks,
            why: "a record that cannot be handled is gone from the stream before it gets to the failure bucket",
            repair: update_mapping(
                mapping,
                &format!(
                    "--maximum-record-age-in-seconds {}",
                    kept_seconds - HOUR_SECONDS
                ),
            ),
        });
    }
    let bucket = &deployed.bucket_name;
    let destination = mapping.failure_destination.as_deref();
    // arn:aws:s3:::name
    let is_bucket =
        |arn: &str| arn.split(':').nth(2) == Some("s3") && arn.ends_with(&format!(":::{bucket}"));
    if !destination.is_some_and(is_bucket) {
        let partition = mapping_partition(deployed);
        findings.push(Finding {
            check: "failure-destination",
            place,
            severity: Broken,
            found: destination.unwrap_or("none").to_owned(),
            needed: format!("the failure bucket, {bucket}"),
            breaks,
            why: "what is given up is not kept, or without its content, or where nobody looks",
            repair: update_mapping(
                mapping,
                &format!(
                    "--destination-config '{{\"OnFailure\": {{\"Destination\": \"arn:{partition}:s3:::{bucket}\"}}}}'"
                ),
            ),
        });
    }
    if !mapping.bisects {
        findings.push(Finding {
            check: "bisect",
            place,
            severity: if mapping.reports_batch_item_failures {
                Advice
            } else {
                Broken
            },
            found: "BisectBatchOnFunctionError false".to_owned(),
            needed: "true".to_owned(),
            breaks: Isolation,
            why: "a record that fails its whole invocation takes its neighbours with it",
            repair: update_mapping(mapping, "--bisect-batch-on-function-error"),
        });
    }
    findings
}

/// `aws`, `aws-cn` or `aws-us-gov`.
fn mapping_partition(deployed: &Deployed) -> &str {
    let queue = deployed.queue.as_ref().ok();
    queue
        .and_then(|queue| queue.arn.split(':').nth(1))
        .unwrap_or("aws")
}

/// The first of the records that no filter lets pass, with the filters as they are.
fn not_passed<'r>(
    source: Source,
    filters: &[String],
    records: &'r [(&'static str, Value)],
) -> Option<(&'r str, String)> {
    // What cannot be read as a filter here is none that AWS has taken; nothing is known of what it lets pass.
    let criteria = FilterCriteria::compile(source, filters);
    let passes = |record: &Value| {
        criteria
            .as_ref()
            .is_ok_and(|criteria| criteria.matches(&record.to_string()))
    };
    let lost = records.iter().find(|(_, record)| !passes(record));
    lost.map(|(what, _)| (*what, filters.join(" or ")))
}

/// The changes that must become events.
fn changes() -> [(&'static str, Value); 3] {
    let image = |status: &str, redrives: Option<&str>| {
        let mut image = json!({
            attribute::NOTIFICATION_ID: {"S": "rf_8841"},
            attribute::STATUS: {"S": status},
            attribute::TYPE: {"S": "refund"},
            attribute::PAYLOAD: {"S": "{}"},
            attribute::FINGERPRINT: {"S": "cd74aea9"},
            attribute::CREATED_AT: {"S": "2026-11-23T10:00:00.123Z"},
            attribute::UPDATED_AT: {"S": "2026-11-23T10:00:00.123Z"},
            attribute::VERSION: {"N": if status == "INIT" { "1" } else { "2" }},
            attribute::SOURCE_MESSAGE_ID: {"S": "3f7a"},
        });
        if let Some(redrives) = redrives {
            image[attribute::REDRIVES] = json!({"N": redrives});
        }
        image
    };
    let record = |name: &str, old: Option<Value>, new: Value| {
        let mut record = json!({
            "eventID": "1",
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_428_000,
                "Keys": {attribute::NOTIFICATION_ID: {"S": "rf_8841"}},
                "NewImage": new,
                "SequenceNumber": "100000000000000000001",
                "SizeBytes": 300,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:1:table/t/stream/1",
        });
        if let Some(old) = old {
            record["dynamodb"]["OldImage"] = old;
        }
        record
    };
    let init = || image("INIT", None);
    [
        ("a new notification", record("INSERT", None, init())),
        (
            "a change to DONE",
            record("MODIFY", Some(init()), image("DONE", None)),
        ),
        (
            "a redrive",
            record("MODIFY", Some(init()), image("INIT", Some("1"))),
        ),
    ]
}

/// The event that `complete` must see.
fn events() -> [(&'static str, Value); 1] {
    let event = json!({
        "specversion": "1.0",
        "id": "rf_8841/INIT",
        "source": "onewrite",
        "type": "refund.init",
        "subject": "rf_8841",
        "time": "2026-11-23T10:00:00.123Z",
        "datacontenttype": "application/json",
        "partitionkey": "rf_8841",
        "sequence": "1",
        "status": "INIT",
        "fingerprint": "cd74aea9",
        "data": {},
    });
    let record = json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "rf_8841",
            "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
            "data": BASE64_STANDARD.encode(event.to_string()),
            "approximateArrivalTimestamp": 1_795_428_000.123,
        },
        "eventSource": "aws:kinesis",
        "eventName": "aws:kinesis:record",
    });
    [("the event of a new notification", record)]
}

fn stream(deployed: &Deployed) -> Vec<Finding> {
    let Ok(stream) = &deployed.stream else {
        return Vec::new();
    };
    let (place, name) = ("stream", &deployed.stream_name);
    let mut findings = Vec::new();
    if let Some(distribution) = &stream.distribution
        && distribution != "USER_PARTITION_KEY"
    {
        findings.push(Finding {
            check: "record-distribution",
            place,
            severity: Broken,
            found: format!("RecordDistributionStrategy {distribution}"),
            needed: "USER_PARTITION_KEY".to_owned(),
            breaks: OrderPerNotification,
            why: "Kinesis ignores partition keys: the events of one notification lie in several shards",
            repair: format!(
                "aws kinesis update-stream-record-distribution-strategy --stream-name {name} --record-distribution-strategy USER_PARTITION_KEY"
            ),
        });
    }
    if !stream.is_encrypted {
        findings.push(Finding {
            check: "encryption",
            place,
            severity: Broken,
            found: "EncryptionType NONE".to_owned(),
            needed: "KMS".to_owned(),
            breaks: Silence,
            why: "payloads lie in the stream as they are",
            repair: format!(
                "aws kinesis start-stream-encryption --stream-name {name} --encryption-type KMS --key-id alias/aws/kinesis"
            ),
        });
    }
    let queue_keeps = deployed
        .queue
        .as_ref()
        .map_or(0, |queue| queue.retention_seconds)
        / HOUR_SECONDS;
    if stream.retention_hours < queue_keeps {
        findings.push(Finding {
            check: "stream-retention",
            place,
            // Nothing is lost by it: what was stored and not DONE can be published again at any time.
            severity: Advice,
            found: format!("RetentionPeriodHours {}", stream.retention_hours),
            needed: format!("{queue_keeps}, as the queue has, where your consumers may stand still for as long as ingest may"),
            breaks: Progress,
            why: "a consumer that stands still for longer misses events; those of items in INIT come again by `onewrite reconcile`",
            repair: deploy("StreamRetentionHours", &queue_keeps.to_string()),
        });
    }
    findings
}

fn complete(deployed: &Deployed) -> Vec<Finding> {
    let reader = &deployed.complete;
    let mut findings = common(deployed, reader, "complete", Status);
    // Kinesis keeps a record for a day at least.
    let kept_seconds = deployed
        .stream
        .as_ref()
        .map_or(DAY_SECONDS, |stream| stream.retention_hours * HOUR_SECONDS);
    for mapping in reader.own() {
        findings.extend(stream_mapping(
            deployed,
            "complete",
            mapping,
            kept_seconds,
            Status,
        ));
        if mapping.maximum_retry_attempts.is_none() {
            findings.push(Finding {
                check: "retry-attempts",
                place: "complete",
                severity: Broken,
                found: "MaximumRetryAttempts without end".to_owned(),
                needed: "a number".to_owned(),
                breaks: Isolation,
                why: "an event that cannot be completed holds its shard, and all events behind it, until it is too old",
                repair: update_mapping(mapping, "--maximum-retry-attempts 100"),
            });
        }
        let filter = r#"--filter-criteria '{"Filters": [{"Pattern": "{\"data\": {\"type\": [{\"suffix\": \".init\"}]}}"}]}'"#;
        let events = events();
        let (severity, found, why) = match not_passed(Source::Kinesis, &mapping.filters, &events) {
            Some((what, pattern)) => (
                Broken,
                format!("{pattern} leaves out {what}"),
                "what a filter leaves out is passed for good: its item stays in INIT",
            ),
            None if mapping.filters.is_empty() => (
                Advice,
                "none".to_owned(),
                "complete is invoked for the events of DONE too, which it ignores: nothing is wrong with that but its price",
            ),
            None => continue,
        };
        findings.push(Finding {
            check: "complete-filter",
            place: "complete",
            severity,
            found,
            needed: r#"{"data": {"type": [{"suffix": ".init"}]}}"#.to_owned(),
            breaks: Status,
            why,
            repair: update_mapping(mapping, filter),
        });
    }
    let Ok(function) = &reader.function else {
        return findings;
    };
    let variable = |name: &str| function.variables.get(name).map(String::as_str);
    findings.extend(points_to_table(
        deployed,
        "complete",
        variable("TABLE_NAME"),
        Status,
    ));
    findings.extend(done_retention(deployed, variable("DONE_RETENTION_DAYS")));
    findings
}

fn done_retention(deployed: &Deployed, days: Option<&str>) -> Option<Finding> {
    let days: i64 = days.and_then(|days| days.parse().ok()).unwrap_or(0);
    if days == 0 {
        return None;
    }
    let keeps = |queue: &Read<Queue>| queue.as_ref().map_or(0, |queue| queue.retention_seconds);
    let copies = keeps(&deployed.queue) + keeps(&deployed.dead_letter_queue);
    if days * DAY_SECONDS <= copies {
        let needed = copies / DAY_SECONDS + 1;
        return Some(Finding {
            check: "done-retention",
            place: "complete",
            severity: Broken,
            found: format!("items are kept for {days} days after DONE"),
            needed: format!(
                "0, for ever, or at least {needed}: longer than a message can lie in both queues"
            ),
            breaks: WrittenOnce,
            why: "a copy of a message that comes after its item was removed is accepted anew",
            repair: deploy("DoneRetentionDays", &needed.to_string()),
        });
    }
    (deployed.time_to_live == Ok(None)).then(|| Finding {
        check: "time-to-live",
        place: "table",
        severity: Advice,
        found: "off, with DONE_RETENTION_DAYS set".to_owned(),
        needed: format!("on, by {:?}", attribute::EXPIRES_AT),
        breaks: Progress,
        why: "items are not removed: nothing is wrong with that but its price",
        repair: format!(
            "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification Enabled=true,AttributeName={}",
            deployed.table_name,
            attribute::EXPIRES_AT
        ),
    })
}

fn bucket(deployed: &Deployed) -> Vec<Finding> {
    let (place, name) = ("failure bucket", &deployed.bucket_name);
    let mut findings = Vec::new();
    if deployed.bucket_encryption == Ok(None) {
        findings.push(Finding {
            check: "encryption",
            place,
            severity: Broken,
            found: "no default encryption".to_owned(),
            needed: "AES256 or aws:kms".to_owned(),
            breaks: Silence,
            why: "payloads lie in the bucket as they are",
            repair: format!(
                "aws s3api put-bucket-encryption --bucket {name} --server-side-encryption-configuration '{{\"Rules\": [{{\"ApplyServerSideEncryptionByDefault\": {{\"SSEAlgorithm\": \"AES256\"}}}}]}}'"
            ),
        });
    }
    if let Ok(off) = &deployed.bucket_public
        && !off.is_empty()
    {
        findings.push(Finding {
            check: "public-access",
            place,
            severity: Broken,
            found: format!("{} off", off.join(", ")),
            needed: "the whole public access block".to_owned(),
            breaks: Silence,
            why: "one policy or list is enough to show payloads to everybody",
            repair: format!(
                "aws s3api put-public-access-block --bucket {name} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
            ),
        });
    }
    if let Ok(policy) = &deployed.bucket_policy {
        findings.extend(tls(deployed, place, policy.as_deref()));
    }
    findings
}
