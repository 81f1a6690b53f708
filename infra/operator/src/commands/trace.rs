//! `onewrite trace`: shows the history of one notification.

mod collect;
mod evidence;
mod report;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Args;
use onewrite::notification::NotificationId;

use self::{collect::collect, report::TraceReport};
use crate::{
    arguments::parse_id,
    context::Context,
    error::{NOT_FOUND, OperatorError},
    terminal::{Output, json, print},
};

#[derive(Debug, Clone, Args)]
pub struct TraceArguments {
    /// Notification id.
    #[arg(value_name = "ID", value_parser = parse_id)]
    id: NotificationId,
    /// Do not inspect the dead-letter queue.
    #[arg(long)]
    skip_dead_letters: bool,
}

/// Collects what is known of the notification and prints the report.
///
/// # Errors
/// [`OperatorError`]: a resource could not be read. A report without it could be wrong.
pub async fn run(arguments: &TraceArguments, context: &Context) -> Result<ExitCode, OperatorError> {
    let (id, inspect_dead_letters) = (arguments.id.as_str(), !arguments.skip_dead_letters);
    let evidence = collect(&context.stack, id, inspect_dead_letters).await?;
    let report = TraceReport::new(&evidence);
    print(&match context.output {
        Output::Table => report.text(&context.command),
        Output::Json => json(&report),
    });
    Ok(if report.is_known() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_FOUND)
    })
}
