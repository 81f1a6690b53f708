//! Collects what the resources of a stack hold of one notification. It changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use onewrite::{item::UnreadableItem, notification::Status};
use onewrite_stack::{
    error::StackError,
    failure_bucket,
    function_errors::{self, ErrorSearch, FunctionErrors, LoggedError},
    mappings,
    queue::{self, QueueDepth},
    stack::Stack,
    stream::{self, FoundRecords, StreamSearch},
    table::{self, StoredItem},
};
use tokio::time::Instant;

use super::evidence::{Evidence, StreamPart};

/// The clock of `ingest`, which writes `created_at`, may be ahead of the clock of Kinesis by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// How far back and how long the logs are searched. Our own choice: `FilterLogEvents` reads every line of a log.
const ERRORS_SINCE: Duration = Duration::from_secs(24 * 3_600);
const ERRORS_LIMIT: Duration = Duration::from_secs(10);

/// Reads every resource that can hold the notification, except for the dead-letter queue: to inspect it, messages must be received
/// and made visible again. `search` is how long to search the stream; `None` leaves it out.
pub(crate) async fn collect(
    stack: &Stack,
    id: &str,
    search: Option<Duration>,
) -> Result<Evidence, StackError> {
    let item = table::fetch_item(stack, id).await?;
    let readable = item.as_ref().and_then(|item| item.as_ref().ok());
    let since = readable.and_then(|item| item.item.created_at.checked_sub(CLOCK_SKEW).ok());
    let (records, stream) = search_stream(stack, id, item.as_ref(), search).await?;
    let mut failures = failure_bucket::read_failed_batches(stack, since).await?;
    failures.batches.retain(|batch| batch.ids.contains(id));
    let Errors {
        of_notification: errors,
        of_forward: last_error_of_forward,
        of_complete: last_error_of_complete,
    } = read_errors(stack, id, readable).await;
    let QueueDepth { waiting, hidden } = queue::read_depth(stack, &stack.outputs.queue_url).await?;
    Ok(Evidence {
        id: id.to_owned(),
        collected_at: Timestamp::now(),
        item,
        records,
        stream,
        dead_letters: Vec::new(),
        uninspected_dead_letters: 0,
        failures: failures.batches,
        unreadable_failures: failures.unreadable.len(),
        errors,
        last_error_of_forward,
        last_error_of_complete,
        has_downstream: stack.has_downstream(),
        last_result_of_forward: last_result(stack, &stack.outputs.forward).await?,
        last_result_of_complete: last_result(stack, &stack.outputs.complete).await?,
        waiting: waiting + hidden,
    })
}

/// The errors in the logs.
struct Errors {
    of_notification: Vec<FunctionErrors>,
    of_forward: Option<LoggedError>,
    of_complete: Option<LoggedError>,
}

/// Reads the newest error of the notification in each log and, if it may wait for `forward` or `complete`, their last errors.
async fn read_errors(stack: &Stack, id: &str, item: Option<&StoredItem>) -> Errors {
    let now = Timestamp::now();
    let search = ErrorSearch {
        since: now.checked_sub(ERRORS_SINCE).unwrap_or(now),
        now,
        deadline: Instant::now() + ERRORS_LIMIT,
        id: Some(id),
    };
    let mut errors = Errors {
        of_notification: function_errors::read_all(stack, search).await,
        of_forward: None,
        of_complete: None,
    };
    if item.is_some_and(|item| item.item.status == Status::Init) {
        let search = ErrorSearch { id: None, ..search };
        errors.of_forward = function_errors::read_last_of_forward(stack, search).await;
        let own = errors.of_notification.iter();
        let mut own = own.filter(|one| one.function == "complete");
        if !own.any(FunctionErrors::has_cause) {
            errors.of_complete = function_errors::read_last_of_complete(stack, search).await;
        }
    }
    errors
}

async fn last_result(stack: &Stack, function: &str) -> Result<Option<String>, StackError> {
    let mappings = mappings::list(stack, function).await?;
    Ok(mappings.into_iter().find_map(|mapping| mapping.last_result))
}

/// Searches the stream from the insert to now; for a settled item, to its settlement.
async fn search_stream(
    stack: &Stack,
    id: &str,
    item: Option<&Result<StoredItem, UnreadableItem>>,
    limit: Option<Duration>,
) -> Result<(Vec<stream::StreamRecord>, StreamPart), StackError> {
    let Some(limit) = limit else {
        return Ok((Vec::new(), StreamPart::Nothing));
    };
    let item = item.and_then(|item| Some(&item.as_ref().ok()?.item));
    let settled = item.filter(|item| item.status.is_settled());
    let settled = settled.and_then(|item| item.updated_at.checked_add(CLOCK_SKEW).ok());
    let now = Timestamp::now();
    let search = StreamSearch {
        since: item.and_then(|item| item.created_at.checked_sub(CLOCK_SKEW).ok()),
        until: settled.unwrap_or(now).min(now),
        deadline: Instant::now() + limit,
    };
    let FoundRecords {
        records,
        searched_until,
    } = stream::find_records(stack, id, search).await?;
    Ok((
        records,
        match searched_until {
            Some(until) => StreamPart::Until(until),
            None => StreamPart::All,
        },
    ))
}
