//! The commands that fix a configuration.

use std::fmt::Display;

use super::snapshot::{Mapping, Queue};

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
