//! Parts of the stack that could not be read: a part without a finding must have been checked.

use crate::doctor::{
    check::{DOWNSTREAM, TABLE},
    finding::{
        Finding,
        Guarantee::{
            self, AcknowledgedMeansStored, CheckpointIsHonest, NothingInvented,
            OrderPerNotification, Progress, Silence, Status, WrittenOnce,
        },
        Severity,
    },
    fixes::UNDO_DELETION,
    snapshot::{ReadError, ReadResult, StackSnapshot},
};

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let parts = parts(stack).into_iter();
    // A resource that does not exist has its own check.
    let resources = stack.downstream.iter().map(|resource| {
        let error = resource.settings.as_ref().err();
        let is_failure = |error: &&ReadError| matches!(error, ReadError::Failed(_));
        (DOWNSTREAM.name, error.filter(is_failure), Progress)
    });
    parts
        .chain(resources)
        .filter_map(|(place, error, breaks)| Some(finding(place, error?, breaks)))
        .collect()
}

type Part<'a> = (&'static str, Option<&'a ReadError>, Guarantee);

#[rustfmt::skip]
fn parts(stack: &StackSnapshot) -> [Part<'_>; 20] {
    fn error<T>(part: &ReadResult<T>) -> Option<&ReadError> {
        part.as_ref().err()
    }
    let StackSnapshot { ingest, forward, complete, .. } = stack;
    [
        ("queue", error(&stack.queue), AcknowledgedMeansStored),
        ("dead-letter queue", error(&stack.dead_letter_queue), AcknowledgedMeansStored),
        ("queues of earlier deployments", error(&stack.orphaned_queues), AcknowledgedMeansStored),
        ("concurrency quota", error(&stack.concurrency_quota), AcknowledgedMeansStored),
        ("ingest", error(&ingest.function), AcknowledgedMeansStored),
        ("ingest's mapping", error(&ingest.mappings), AcknowledgedMeansStored),
        ("ingest's reserved concurrency", error(&stack.reserved_concurrency), AcknowledgedMeansStored),
        ("table", error(&stack.table), WrittenOnce),
        ("table's time to live", error(&stack.time_to_live), WrittenOnce),
        ("table's point-in-time recovery", error(&stack.has_point_in_time_recovery), WrittenOnce),
        ("forward", error(&forward.function), NothingInvented),
        ("forward's mapping", error(&forward.mappings), CheckpointIsHonest),
        ("stream", error(&stack.stream), OrderPerNotification),
        ("complete", error(&complete.function), Status),
        ("complete's mapping", error(&complete.mappings), Status),
        ("notifications in INIT", error(&stack.pending), Progress),
        ("failure bucket's encryption", error(&stack.bucket_encryption), Silence),
        ("failure bucket's public access block", error(&stack.disabled_access_blocks), Silence),
        ("failure bucket's policy", error(&stack.bucket_policy), Silence),
        ("failure bucket's lifecycle", error(&stack.bucket_lifecycle), Progress),
    ]
}

fn finding(place: &'static str, error: &ReadError, breaks: Guarantee) -> Finding {
    match error {
        ReadError::NotFound(_) => Finding {
            check: "missing",
            place,
            severity: Severity::Broken,
            found: error.to_string(),
            needed: "the resource that the stack's outputs name".to_owned(),
            breaks,
            why: "the pipeline cannot work without it",
            // A deployment would create an empty table, in which every id can be written again.
            repair: if place.starts_with(TABLE.name) {
                "do not deploy: restore the table from point-in-time recovery, and name its stream in ExistingTableStreamArn"
            } else {
                UNDO_DELETION
            }
            .to_owned(),
        },
        ReadError::Failed(_) => Finding {
            check: "unread",
            place,
            severity: Severity::Unchecked,
            found: error.to_string(),
            needed: "a readable configuration".to_owned(),
            breaks,
            why: "the configuration may be wrong",
            repair: "run `onewrite doctor` again with a role that may make this call".to_owned(),
        },
    }
}
