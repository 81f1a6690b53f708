//! Collects what the resources of a stack hold of one notification. It changes nothing that anybody reads.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use onewrite_stack::{
    dead_letter_queue,
    error::StackError,
    failure_bucket,
    queue::{self, QueueDepth},
    stack::Stack,
    stream, table,
};

use super::evidence::Evidence;

/// The clock of `ingest`, which writes `created_at`, may be ahead of the clock of Kinesis by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Reads every resource that can hold the notification. Dead letters are received only if `inspect_dead_letters` is set.
pub(super) async fn collect(
    stack: &Stack,
    id: &str,
    inspect_dead_letters: bool,
) -> Result<Evidence, StackError> {
    let item = table::fetch_item(stack, id).await?;
    let readable = item.as_ref().and_then(|item| item.as_ref().ok());
    let since = readable.and_then(|item| item.created_at.checked_sub(CLOCK_SKEW).ok());
    let records = stream::read_records(stack, id, since).await?;
    let mut failures = failure_bucket::read_failed_batches(stack, since).await?;
    failures.retain(|batch| batch.ids.contains(id));
    let dead_letters = if inspect_dead_letters {
        let ids = BTreeSet::from([id.to_owned()]);
        dead_letter_queue::list(stack, &ids, |_| {}).await?
    } else {
        Vec::new()
    };
    let QueueDepth { waiting, hidden } = queue::read_depth(stack, &stack.outputs.queue_url).await?;
    Ok(Evidence {
        id: id.to_owned(),
        collected_at: Timestamp::now(),
        item,
        records,
        dead_letters,
        failures,
        waiting: waiting + hidden,
    })
}
