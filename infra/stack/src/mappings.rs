//! The event source mappings of a function.

use aws_sdk_lambda::{
    operation::list_event_source_mappings::ListEventSourceMappingsError,
    types::EventSourceMappingConfiguration,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{error::StackError, stack::Stack};

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

/// Lists the mappings of a function.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list(stack: &Stack, function: &str) -> Result<Vec<Mapping>, StackError> {
    let listed = list_configurations(stack, function).await?;
    Ok(listed.into_iter().map(Mapping::from).collect())
}

/// Lists the mappings of a function, as Lambda describes them.
///
/// # Errors
/// [`StackError`]: a call failed.
pub async fn list_configurations(
    stack: &Stack,
    function: &str,
) -> Result<Vec<EventSourceMappingConfiguration>, StackError> {
    let listed = stack
        .lambda
        .list_event_source_mappings()
        .function_name(function)
        .send()
        .await;
    match listed {
        Ok(listed) => Ok(listed.event_source_mappings.unwrap_or_default()),
        Err(error)
            if matches!(
                error.as_service_error(),
                Some(ListEventSourceMappingsError::ResourceNotFoundException(_))
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(StackError::from_sdk("ListEventSourceMappings", &error)),
    }
}
