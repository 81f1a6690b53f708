//! `onewrite trace`: shows the history of one notification.

pub(crate) mod collect;
pub(crate) mod evidence;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeSet, process::ExitCode, sync::atomic::Ordering, time::Duration};

use clap::Args;
use onewrite::notification::NotificationId;
use onewrite_stack::dead_letter_queue::{inspect::MAX_INSPECTED, inspect_ids};

use self::{collect::collect, report::TraceReport};
use crate::{
    arguments::parse_id,
    context::Context,
    error::OperatorError,
    interrupt,
    terminal::{Output, json, print},
};

#[derive(Debug, Clone, Args)]
pub struct TraceArguments {
    /// Notification id.
    #[arg(value_name = "ID", value_parser = parse_id)]
    id: NotificationId,
    /// Do not inspect the dead-letter queue. Nothing is received then.
    #[arg(long)]
    skip_dead_letters: bool,
    /// Do not search the notification stream.
    #[arg(long)]
    no_stream: bool,
    /// Search the stream for at most this long; the output says how far the search came.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_STREAM_SECONDS, conflicts_with = "no_stream",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stream_seconds: u64,
    /// Also print payload and enrichment. They can be confidential.
    #[arg(long)]
    payload: bool,
}

/// The default time for the search of the stream. Our own choice: at 2 MB a second (Kinesis quotas), enough for two minutes of
/// a shard that is written at its limit, or for a day of a quiet one.
const DEFAULT_STREAM_SECONDS: u64 = 60;

/// Collects what is known of the notification and prints the report.
///
/// # Errors
/// [`OperatorError`]: a resource could not be read. A report without it could be wrong.
pub async fn run(arguments: &TraceArguments, context: &Context) -> Result<ExitCode, OperatorError> {
    let (stack, id) = (&context.stack, arguments.id.as_str());
    let search = (!arguments.no_stream).then(|| Duration::from_secs(arguments.stream_seconds));
    let mut evidence = collect(stack, id, search).await?;
    if !arguments.skip_dead_letters {
        let ids = BTreeSet::from([id.to_owned()]);
        let interrupted = interrupt::on_ctrl_c();
        let is_interrupted = || interrupted.load(Ordering::Relaxed);
        let inspection = inspect_ids(stack, ids, MAX_INSPECTED, &is_interrupted).await;
        let inspection = interrupt::cleaned_up(&interrupted, inspection)?;
        evidence = evidence.with_dead_letters(inspection);
    }
    let mut report = TraceReport::new(&evidence);
    if arguments.payload {
        report = report.with_content(&evidence);
    }
    print(&match context.output {
        Output::Table => report.text(&context.command),
        Output::Json => json(&report),
    });
    Ok(ExitCode::from(report.place.exit_code()))
}
