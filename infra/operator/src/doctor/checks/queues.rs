//! Checks of the queue and the dead-letter queue.

use onewrite::limits::MAX_RECEIVES;
use serde_json::{Value, json};

use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check, DEAD_LETTER_QUEUE,
        Level::{Advice, Broken, BrokenUnlessDisabledBy},
        QUEUE, Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{Finding, Guarantee::Silence},
    fixes::{delete_mapping, set_queue_attribute},
    snapshot::{Consumer, Mapping, OrphanedQueue, Queue, StackSnapshot},
};

/// The visibility timeout as a multiple of the function's timeout (Lambda developer guide, "Configuring an Amazon SQS
/// queue").
const VISIBILITY_FACTOR: i64 = 6;

/// The longest `MessageRetentionPeriod` (SQS quotas: 14 days).
const MAX_RETENTION_SECONDS: i64 = 14 * 24 * 60 * 60;

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let scope = |place| Scope { stack, place };
    if let Ok(queue) = &stack.queue {
        findings.extend(run(QUEUE_CHECKS, scope(QUEUE), queue));
        findings.extend(run(ENCRYPTION, scope(QUEUE), queue));
        findings.extend(run(TLS, scope(QUEUE), &queue.policy));
    }
    for mapping in stack.ingest.own_mappings() {
        findings.extend(run(VISIBILITY_TIMEOUT, scope(QUEUE), mapping));
    }
    findings.extend(run(QUEUE_READERS, scope(QUEUE), &stack.ingest));
    for orphaned in stack.orphaned_queues.as_deref().unwrap_or_default() {
        findings.extend(run(ORPHANED, scope(QUEUE), orphaned));
    }
    if let Ok(queue) = &stack.dead_letter_queue {
        let scope = scope(DEAD_LETTER_QUEUE);
        findings.extend(run(DEAD_LETTER_CHECKS, scope, queue));
        findings.extend(run(ENCRYPTION, scope, queue));
        findings.extend(run(TLS, scope, &queue.policy));
    }
    findings
}

const QUEUE_CHECKS: &[Check<Queue>] = &[
    Check {
        id: "max-receives",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, queue| {
            let is_wrong = queue.max_receives != Some(MAX_RECEIVES.into());
            let count = queue.max_receives.map(|count| count.to_string());
            (is_wrong && queue.dead_letter_target.is_some())
                .then(|| format!("maxReceiveCount {}", count.as_deref().unwrap_or("not set")))
        },
        needed: For(|_, _| format!("maxReceiveCount {MAX_RECEIVES}")),
        why: "a failing message must be received six times before SQS moves it to the dead-letter queue",
        fix: For(set_redrive_policy),
    },
    Check {
        id: "dead-letter-queue",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |scope, queue| {
            let dead_letters = scope.stack.dead_letter_queue.as_ref().ok()?;
            let target = queue.dead_letter_target.as_deref();
            (target != Some(&dead_letters.arn)).then(|| match target {
                Some(target) => format!("deadLetterTargetArn {target}"),
                None => "no redrive policy".to_owned(),
            })
        },
        needed: For(|scope, _| format!("deadLetterTargetArn {}", dead_letter_arn(scope))),
        why: "SQS does not move failing messages to the stack's dead-letter queue; without any, it deletes them when they expire",
        fix: For(set_redrive_policy),
    },
];

fn dead_letter_arn<'a>(scope: &Scope<'a>) -> &'a str {
    let queue = scope.stack.dead_letter_queue.as_ref();
    queue.map_or("DEAD_LETTER_QUEUE_ARN", |queue| &queue.arn)
}

fn set_redrive_policy(scope: &Scope<'_>, queue: &Queue) -> String {
    let (url, arn) = (&queue.url, dead_letter_arn(scope));
    let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES.to_string()});
    let attributes = json!({"RedrivePolicy": policy.to_string()});
    format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{attributes}'")
}

const VISIBILITY_TIMEOUT: &[Check<Mapping>] = &[Check {
    id: "visibility-timeout",
    severity: Broken,
    breaks: GuaranteeOfPlace,
    found: |scope, mapping| {
        let timeout = scope.stack.queue.as_ref().ok()?.visibility_timeout_seconds;
        (timeout < needed_visibility_timeout(scope, mapping)?)
            .then(|| format!("VisibilityTimeout {timeout}"))
    },
    needed: For(|scope, mapping| {
        format!(
            "at least {}: {VISIBILITY_FACTOR} times the timeout of ingest plus the batching window",
            needed_visibility_timeout(scope, mapping).unwrap_or_default()
        )
    }),
    why: "SQS delivers a message again while Lambda still holds it, and the message uses up its six receives",
    fix: For(|scope, mapping| match &scope.stack.queue {
        Ok(queue) => set_queue_attribute(
            queue,
            "VisibilityTimeout",
            needed_visibility_timeout(scope, mapping).unwrap_or_default(),
        ),
        Err(_) => String::new(),
    }),
}];

/// The shortest sufficient visibility timeout; `None` if the timeout of `ingest` is unknown.
fn needed_visibility_timeout(scope: &Scope<'_>, mapping: &Mapping) -> Option<i64> {
    let function = scope.stack.ingest.function.as_ref().ok()?;
    Some(VISIBILITY_FACTOR * function.timeout_seconds + mapping.batching_window_seconds)
}

const QUEUE_READERS: &[Check<Consumer>] = &[Check {
    id: "queue-readers",
    severity: Broken,
    breaks: GuaranteeOfPlace,
    found: |_, ingest| {
        let other = ingest.other_mappings().next()?;
        Some(format!("a mapping to {}, besides ingest", other.function))
    },
    needed: Fixed("ingest as the only consumer"),
    why: "SQS delivers each message to one consumer: messages that the other one receives are deleted and never stored",
    fix: For(|_, ingest| {
        let other = ingest.other_mappings().next();
        delete_mapping(other.map_or("UUID", |mapping| &mapping.uuid))
    }),
}];

const ORPHANED: &[Check<OrphanedQueue>] = &[Check {
    id: "orphaned-queue",
    severity: Broken,
    breaks: GuaranteeOfPlace,
    found: |_, queue| Some(format!("~{} messages in {}", queue.messages, queue.url)),
    needed: Fixed("no messages in queues that an earlier deployment left behind"),
    why: "a change of QueueType replaces both queues: nothing reads the old ones, no alarm watches them, and their messages expire after 14 days",
    fix: For(|scope, old| {
        let to = scope
            .stack
            .queue
            .as_ref()
            .map_or("QUEUE_URL", |queue| queue.url.as_str());
        format!(
            "point the senders to {to}, send the messages of {} there again, then delete the old queue",
            old.url
        )
    }),
}];

const DEAD_LETTER_CHECKS: &[Check<Queue>] = &[
    Check {
        id: "dead-letter-retention",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |scope, queue| {
            (queue.retention_seconds < scope.stack.queue_retention_seconds())
                .then(|| retention(queue))
        },
        needed: For(|scope, _| {
            let retention = scope.stack.queue_retention_seconds();
            format!("at least {retention}, the retention of the queue")
        }),
        why: RETENTION_CONSEQUENCE,
        fix: For(|_, queue| set_longest_retention(queue)),
    },
    Check {
        id: "dead-letter-retention",
        severity: Advice,
        breaks: GuaranteeOfPlace,
        found: |scope, queue| {
            let is_enough = queue.retention_seconds >= scope.stack.queue_retention_seconds();
            (is_enough && queue.retention_seconds < MAX_RETENTION_SECONDS).then(|| retention(queue))
        },
        needed: For(|_, _| format!("{MAX_RETENTION_SECONDS}, the maximum")),
        why: RETENTION_CONSEQUENCE,
        fix: For(|_, queue| set_longest_retention(queue)),
    },
];

/// In a standard queue (SQS developer guide, "Using dead-letter queues").
const RETENTION_CONSEQUENCE: &str = "a dead letter keeps its original enqueue time, so SQS deletes it before anybody can inspect it";

fn retention(queue: &Queue) -> String {
    format!("MessageRetentionPeriod {}", queue.retention_seconds)
}

pub(super) fn set_longest_retention(queue: &Queue) -> String {
    set_queue_attribute(queue, "MessageRetentionPeriod", MAX_RETENTION_SECONDS)
}

const ENCRYPTION: &[Check<Queue>] = &[Check {
    id: "encryption",
    severity: Broken,
    breaks: Guarantee(Silence),
    found: |_, queue| {
        (!queue.is_encrypted)
            .then(|| "neither SqsManagedSseEnabled nor KmsMasterKeyId is set".to_owned())
    },
    needed: Fixed("one of them"),
    why: "SQS stores payloads unencrypted",
    fix: For(|_, queue| set_queue_attribute(queue, "SqsManagedSseEnabled", true)),
}];

/// The check of a resource policy: of a queue, or of the failure bucket.
pub(super) const TLS: &[Check<Option<String>>] = &[Check {
    id: "tls",
    severity: BrokenUnlessDisabledBy("RequireTls"),
    breaks: Guarantee(Silence),
    found: |_, policy| {
        let is_required = policy.as_deref().is_some_and(denies_plain_text);
        (!is_required).then(|| "no policy statement denies requests without TLS".to_owned())
    },
    needed: Fixed(r#"Deny for everybody if aws:SecureTransport is "false""#),
    why: "clients can send and receive payloads in plain text",
    fix: Fixed("somebody changed the policy: restore the statement `OnlyOverTls` of the template"),
}];

/// Whether a policy denies everybody every request without TLS.
fn denies_plain_text(policy: &str) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => std::slice::from_ref(statement),
    };
    statements.iter().any(|statement| {
        let principal = &statement["Principal"];
        let is_for_everybody = contains(principal, "*") || contains(&principal["AWS"], "*");
        let is_for_everything = ["sqs:*", "s3:*", "*"]
            .iter()
            .any(|action| contains(&statement["Action"], action));
        statement["Effect"] == "Deny"
            && is_for_everybody
            && is_for_everything
            && has_only_the_tls_condition(&statement["Condition"])
    })
}

/// An additional condition would let some requests without TLS pass.
fn has_only_the_tls_condition(condition: &Value) -> bool {
    let has_one_key = |value: &Value| value.as_object().is_some_and(|object| object.len() == 1);
    has_one_key(condition)
        && has_one_key(&condition["Bool"])
        && contains(&condition["Bool"]["aws:SecureTransport"], "false")
}

/// Whether a policy element, which may be a list, contains a value.
fn contains(element: &Value, wanted: &str) -> bool {
    match element {
        Value::Array(values) => values.iter().any(|value| contains(value, wanted)),
        Value::String(text) => text == wanted,
        Value::Bool(flag) => flag.to_string() == wanted,
        _ => false,
    }
}
