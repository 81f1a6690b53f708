//! Checks of the table.

use onewrite::item::attribute;

use super::functions::{done_retention_days, is_done_retention_too_short};
use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check,
        Level::{Advice, Broken},
        Scope, TABLE,
        Text::{Fixed, For},
        run,
    },
    finding::{
        Finding,
        Guarantee::{CheckpointIsHonest, Effect, Progress, Silence},
    },
    fixes::{update_table, update_time_to_live},
    snapshot::{Consumer, StackSnapshot, Table},
};

/// Readers of one shard of a table's stream (DynamoDB developer guide, "DynamoDB Streams"): two. In a global table,
/// replication is one of them.
const MAX_STREAM_READERS: usize = 2;

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let scope = Scope {
        stack,
        place: TABLE,
    };
    let mut findings = Vec::new();
    if let Ok(table) = &stack.table {
        findings.extend(run(TABLE_CHECKS, scope, table));
    }
    findings.extend(run(SETTINGS_CHECKS, scope, stack));
    findings.extend(run(STREAM_READERS, scope, &stack.forward));
    findings
}

const TABLE_CHECKS: &[Check<Table>] = &[
    Check {
        id: "table-key",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, table| {
            (table.key != [attribute::NOTIFICATION_ID])
                .then(|| format!("the key is {}", table.key.join(" and ")))
        },
        needed: For(|_, _| format!("{} as the only key attribute", attribute::NOTIFICATION_ID)),
        why: "DynamoDB evaluates the condition of the write for each key, not for each notification id",
        fix: Fixed(
            "a key cannot be changed: restore a backup with the right key, and name its stream in ExistingTableStreamArn",
        ),
    },
    Check {
        id: "table-stream",
        severity: Broken,
        breaks: Guarantee(CheckpointIsHonest),
        found: |_, table| match table.stream_view.as_deref() {
            Some("NEW_AND_OLD_IMAGES") => None,
            Some(view) => Some(format!("StreamViewType {view}")),
            None => Some("no stream".to_owned()),
        },
        needed: Fixed("StreamViewType NEW_AND_OLD_IMAGES"),
        why: "forward receives no changes, or cannot see what changed, and publishes nothing",
        fix: For(|scope, _| {
            format!(
                "{} (disable an existing stream first: `StreamEnabled=false`); the new stream has a new ARN, so run `sam deploy` and `onewrite reconcile` next",
                update_table(
                    &scope.stack.table_name,
                    "--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
                )
            )
        }),
    },
    Check {
        id: "deletion-protection",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, table| (!table.is_protected).then(|| "off".to_owned()),
        needed: Fixed("on"),
        why: "one call can delete the table, and then every id can be written again",
        fix: For(|scope, _| update_table(&scope.stack.table_name, "--deletion-protection-enabled")),
    },
    Check {
        id: "encryption",
        // DynamoDB always encrypts (developer guide, "Encryption at rest"); only the key can differ.
        severity: Advice,
        breaks: Guarantee(Silence),
        found: |_, table| {
            (!table.has_kms_key).then(|| {
                "encrypted with a key that DynamoDB owns: you can neither audit nor revoke it"
                    .to_owned()
            })
        },
        needed: Fixed("a KMS key"),
        why: "the use of the key does not show who reads the payloads",
        fix: For(|scope, _| {
            update_table(&scope.stack.table_name, "--sse-specification Enabled=true")
        }),
    },
    Check {
        id: "global-table",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, table| {
            (!table.replicas.is_empty() && !table.is_strongly_consistent)
                .then(|| format!("replicas in {}", table.replicas.join(", ")))
        },
        needed: Fixed("one region"),
        why: "each region evaluates conditions alone and the last writer wins, so an id can be accepted twice",
        fix: Fixed("delete the replicas"),
    },
    Check {
        id: "global-table",
        // DynamoDB developer guide, "Global tables: multi-Region strong consistency": no TTL, no transactions.
        severity: Broken,
        breaks: Guarantee(Effect),
        found: |_, table| {
            table
                .is_strongly_consistent
                .then(|| "MultiRegionConsistency STRONG".to_owned())
        },
        needed: Fixed("a table in one region"),
        why: "such a table refuses transactions, in which a consumer commits its effect with DONE, and has no TTL",
        fix: Fixed(
            "restore a backup as a table in one region, and name its stream in ExistingTableStreamArn",
        ),
    },
];

const SETTINGS_CHECKS: &[Check<StackSnapshot>] = &[
    Check {
        id: "time-to-live",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            wrong_expiry_attribute(stack).map(|attribute| format!("items expire by {attribute:?}"))
        },
        needed: For(|_, _| {
            format!(
                "{:?}, which items in INIT do not have",
                attribute::EXPIRES_AT
            )
        }),
        why: "DynamoDB can delete items before they are settled, or while copies of their messages still exist",
        fix: For(|_, stack| {
            let wrong = wrong_expiry_attribute(stack).unwrap_or_default();
            format!(
                "{}; one hour later: {}",
                update_time_to_live(&stack.table_name, false, wrong),
                update_time_to_live(&stack.table_name, true, attribute::EXPIRES_AT)
            )
        }),
    },
    Check {
        id: "time-to-live",
        severity: Advice,
        breaks: Guarantee(Progress),
        found: |_, stack| {
            let days = done_retention_days(stack.complete.function.as_ref().ok()?);
            (days != 0
                && !is_done_retention_too_short(stack, days)
                && stack.time_to_live == Ok(None))
            .then(|| "off, although DONE_RETENTION_DAYS is set".to_owned())
        },
        needed: For(|_, _| format!("on, by {:?}", attribute::EXPIRES_AT)),
        why: "DynamoDB never deletes expired items; this only costs storage",
        fix: For(|_, stack| update_time_to_live(&stack.table_name, true, attribute::EXPIRES_AT)),
    },
    Check {
        id: "point-in-time-recovery",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| (stack.has_point_in_time_recovery == Ok(false)).then(|| "off".to_owned()),
        needed: Fixed("on"),
        why: "a lost or damaged table cannot be restored, and then every id can be written again",
        fix: For(|_, stack| {
            format!(
                "aws dynamodb update-continuous-backups --table-name {} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
                stack.table_name
            )
        }),
    },
];

fn wrong_expiry_attribute(stack: &StackSnapshot) -> Option<&str> {
    let attribute = stack.time_to_live.as_ref().ok()?.as_deref()?;
    (attribute != attribute::EXPIRES_AT).then_some(attribute)
}

const STREAM_READERS: &[Check<Consumer>] = &[Check {
    id: "table-stream-readers",
    severity: Broken,
    breaks: Guarantee(Progress),
    found: |scope, forward| {
        let readers = forward.mappings.as_ref().ok()?.len();
        (readers > max_stream_readers(scope.stack.table.as_ref().ok()?)).then(|| {
            let others = forward
                .other_mappings()
                .map(|mapping| format!("{} ({})", mapping.function, mapping.uuid));
            let others: Vec<String> = others.collect();
            format!(
                "{readers} readers of its stream; besides forward: {}",
                others.join(", ")
            )
        })
    },
    needed: For(|scope, _| {
        let table = scope.stack.table.as_ref();
        format!(
            "at most {}",
            table.map_or(MAX_STREAM_READERS, max_stream_readers)
        )
    }),
    why: "DynamoDB throttles additional readers of a shard: forward falls behind, and changes expire after 24 hours",
    fix: Fixed(
        "let the others read the notification stream; aws lambda delete-event-source-mapping --uuid UUID",
    ),
}];

fn max_stream_readers(table: &Table) -> usize {
    MAX_STREAM_READERS - usize::from(!table.replicas.is_empty())
}
