//! What the resources of a stack hold of one notification.

use jiff::Timestamp;
use onewrite::item::UnreadableItem;
use onewrite_stack::{
    dead_letter::DeadLetter,
    dead_letter_queue::inspect::Inspection,
    failure_bucket::FailedBatch,
    function_errors::{FunctionErrors, LoggedError},
    stream::StreamRecord,
    table::StoredItem,
};

/// The part of the notification stream that was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamPart {
    /// Everything that can hold an event of the notification.
    All,
    /// Records that Kinesis accepted before this time.
    Until(Timestamp),
    Nothing,
}

/// Everything that was found of a notification.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub id: String,
    pub collected_at: Timestamp,
    pub item: Option<Result<StoredItem, UnreadableItem>>,
    pub records: Vec<StreamRecord>,
    pub stream: StreamPart,
    /// The dead letters of the notification, and rejected ones that contain its id.
    pub dead_letters: Vec<DeadLetter>,
    /// About how many dead letters could not be inspected. They may be of the notification.
    pub uninspected_dead_letters: usize,
    /// The failed batches that contain the notification.
    pub failures: Vec<FailedBatch>,
    /// The number of objects in the failure bucket that cannot be read. They may contain the notification.
    pub unreadable_failures: usize,
    /// The newest error of the notification in the log of each function.
    pub errors: Vec<FunctionErrors>,
    /// The last error of `forward`, of whichever notification: calls that failed are logged without ids.
    pub last_error_of_forward: Option<LoggedError>,
    /// The last error of `complete`, of whichever notification, if this one has none or was not tried: the downstream failed
    /// for an event in front of it.
    pub last_error_of_complete: Option<LoggedError>,
    /// Whether a downstream is configured. Without one, `complete` does not settle the notification.
    pub has_downstream: bool,
    /// The last results of the mappings, as Lambda reports them.
    pub last_result_of_forward: Option<String>,
    pub last_result_of_complete: Option<String>,
    /// The approximate number of messages in the queue. None of them can be inspected.
    pub waiting: usize,
}

impl Evidence {
    /// Adds the dead letters that were inspected.
    pub(crate) fn with_dead_letters(self, inspection: Inspection) -> Self {
        Self {
            dead_letters: inspection.letters,
            uninspected_dead_letters: inspection.not_inspected,
            ..self
        }
    }
}
