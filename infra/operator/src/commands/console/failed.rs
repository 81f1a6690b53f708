//! Failed calls as errors of the page.

use onewrite_console::pipeline::PipelineError;
use onewrite_stack::error::StackError;

use crate::error::OperatorError;

/// The error with what to do, as the commands print it.
pub(super) fn failed(error: StackError) -> PipelineError {
    let error = OperatorError::from(error);
    PipelineError::Failed(match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    })
}
