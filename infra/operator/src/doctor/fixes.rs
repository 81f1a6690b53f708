//! The commands that fix a configuration.

use std::fmt::Display;

use super::snapshot::{Mapping, Queue};

/// The beginning of the fixes that undo what somebody changed by hand.
pub(super) const UNDO: &str = "undo ";

/// A fix that tells how to undo a change. A deployment restores nothing: CloudFormation compares it with the deployment before, not
/// with what runs (CloudFormation user guide, "Using drift-aware change sets").
macro_rules! undo {
    ($change:literal) => {
        concat!(
            "undo ",
            $change,
            ": docs/operating.md, \"How do I undo a change that somebody made by hand?\""
        )
    };
}

/// Somebody changed the environment variables of a function.
pub(super) const UNDO_VARIABLES: &str =
    undo!("the change (UpdateFunctionConfiguration in CloudTrail)");

/// Somebody changed the lifecycle rules of the bucket.
pub(super) const UNDO_LIFECYCLE: &str =
    undo!("the change (PutBucketLifecycleConfiguration in CloudTrail)");

/// Somebody deleted a resource.
pub(super) const UNDO_DELETION: &str = undo!("the deletion, which CloudTrail shows");

/// Somebody deleted an event source mapping.
pub(super) const UNDO_DELETED_MAPPING: &str = undo!(
    "the deletion (DeleteEventSourceMapping in CloudTrail) and run `onewrite reconcile --apply`"
);

pub(super) fn set_queue_attribute(queue: &Queue, attribute: &str, value: impl Display) -> String {
    let url = &queue.url;
    format!("aws sqs set-queue-attributes --queue-url {url} --attributes {attribute}={value}")
}

pub(super) fn update_mapping(mapping: &Mapping, options: &str) -> String {
    let uuid = &mapping.uuid;
    format!("aws lambda update-event-source-mapping --uuid {uuid} {options}")
}

pub(super) fn delete_mapping(uuid: &str) -> String {
    format!("aws lambda delete-event-source-mapping --uuid {uuid}")
}

pub(super) fn update_table(table: &str, options: &str) -> String {
    format!("aws dynamodb update-table --table-name {table} {options}")
}

pub(super) fn update_time_to_live(table: &str, is_enabled: bool, attribute: &str) -> String {
    format!(
        "aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification Enabled={is_enabled},AttributeName={attribute}"
    )
}

pub(super) fn deploy(parameter: &str, value: impl Display) -> String {
    format!("sam deploy --parameter-overrides {parameter}={value}")
}
