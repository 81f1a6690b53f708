//! The event source mappings of a function.

use std::collections::BTreeMap;

use aws_sdk_lambda::{
    operation::list_event_source_mappings::ListEventSourceMappingsError,
    types::EventSourceMappingConfiguration,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{error::StackError, stack::Stack};

/// The alias that the template's mappings invoke (`AutoPublishAlias`).
const ALIAS: &str = "live";

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The state that Lambda reports: `Enabled`, `Disabled`, `Creating` and so on.
    pub state: String,
    /// The result of the last batch that Lambda reports. Lambda reports none for queues.
    pub last_result: Option<String>,
    /// Whether the mapping reads a stream.
    pub is_of_stream: bool,
    /// When the mapping, its state or its result last changed.
    pub last_modified: Option<Timestamp>,
}

impl From<EventSourceMappingConfiguration> for Mapping {
    fn from(configuration: EventSourceMappingConfiguration) -> Self {
        let source = configuration.event_source_arn.unwrap_or_default();
        Self {
            state: configuration.state.unwrap_or_default(),
            last_result: configuration.last_processing_result,
            is_of_stream: source.split(':').nth(2) != Some("sqs"),
            last_modified: configuration
                .last_modified
                .and_then(|at| Timestamp::from_second(at.secs()).ok()),
        }
    }
}

/// Lists the mappings of a function and of its alias. Lambda lists them under different names.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list(stack: &Stack, function: &str) -> Result<Vec<Mapping>, StackError> {
    let mut by_id = BTreeMap::new();
    for name in [function.to_owned(), format!("{function}:{ALIAS}")] {
        let listed = stack
            .lambda
            .list_event_source_mappings()
            .function_name(name)
            .send()
            .await;
        let listed = match listed {
            Ok(listed) => listed.event_source_mappings.unwrap_or_default(),
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(ListEventSourceMappingsError::ResourceNotFoundException(_))
                ) =>
            {
                Vec::new()
            }
            Err(error) => return Err(StackError::from_sdk("ListEventSourceMappings", &error)),
        };
        let listed = listed.into_iter();
        by_id.extend(listed.map(|one| (one.uuid.clone().unwrap_or_default(), one.into())));
    }
    Ok(by_id.into_values().collect())
}
