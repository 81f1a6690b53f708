//! Checks of the KMS key. SQS and Kinesis decrypt a message with the key that encrypted it (SQS developer guide, "Encryption
//! at rest"; Kinesis developer guide, "Data protection"), and the functions' roles may use the keys that the parameters name.

use crate::doctor::{
    check::{
        Breaks::Guarantee,
        Check, DEAD_LETTER_QUEUE,
        Level::Broken,
        Place, QUEUE, STREAM, Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{Finding, Guarantee::Progress},
    snapshot::StackSnapshot,
};

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let queue = stack.queue.as_ref().ok();
    let dead_letters = stack.dead_letter_queue.as_ref().ok();
    let stream = stack.stream.as_ref().ok();
    let keys: [(Place, Option<&str>); 3] = [
        (QUEUE, queue.and_then(|one| one.kms_key.as_deref())),
        (
            DEAD_LETTER_QUEUE,
            dead_letters.and_then(|one| one.kms_key.as_deref()),
        ),
        (STREAM, stream.and_then(|one| one.kms_key.as_deref())),
    ];
    let keys = keys.into_iter();
    let of_place = |(place, key): (Place, Option<&str>)| {
        let key = key?.to_owned();
        Some(run(CHECKS, Scope { stack, place }, &key))
    };
    keys.filter_map(of_place).flatten().collect()
}

const CHECKS: &[Check<String>] = &[Check {
    id: "key",
    severity: Broken,
    breaks: Guarantee(Progress),
    found: |scope, key| {
        let named = ["KmsKeyArn", "PreviousKmsKeyArn"];
        let mut named = named.iter().filter_map(|name| scope.stack.parameter(name));
        (!is_of_aws(key) && !named.any(|arn| is_same_key(arn, key))).then(|| format!("key {key}"))
    },
    needed: For(|scope, _| {
        let key = scope.stack.parameter("KmsKeyArn");
        format!(
            "{}, or PreviousKmsKeyArn",
            key.unwrap_or("the key that KmsKeyArn names")
        )
    }),
    why: "the functions may not decrypt what this key encrypted: messages expire unread, and records block their shard",
    fix: Fixed(
        "deploy with the key as PreviousKmsKeyArn, until everything that it encrypted is processed",
    ),
}];

/// Whether AWS manages the key for the service. Every role may use it through the service.
fn is_of_aws(key: &str) -> bool {
    key.contains("alias/aws/")
}

/// A key is named by its ARN, its id or an alias. Only ids can be compared; an alias may lead to the key.
fn is_same_key(arn: &str, key: &str) -> bool {
    let id = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    key.contains("alias/") || id(arn) == id(key)
}
