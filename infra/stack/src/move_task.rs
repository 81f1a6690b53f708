//! Message move tasks: SQS itself moves all dead letters back to the queue, whatever the reason for each.
//!
//! SQS API reference, `StartMessageMoveTask`, `ListMessageMoveTasks` and `CancelMessageMoveTask`; SQS developer guide, "Learn
//! how to configure a dead-letter queue redrive". Standard queues and, since November 2023, FIFO queues support them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_sdk_sqs::types::{ListMessageMoveTasksResultEntry, QueueAttributeName};
use serde::Serialize;
use tokio::time::sleep;

use crate::{error::StackError, queue, stack::Stack};

/// The most messages per second of a task (`MaxNumberOfMessagesPerSecond`).
pub const MAX_RATE: u32 = 500;
/// How long a task runs at most (SQS developer guide, "Amazon SQS message quotas").
pub const MAX_DURATION: Duration = Duration::from_secs(36 * 3_600);

/// The time between two looks at the progress of a task, and after how many looks without the task to give up.
const POLL: Duration = Duration::from_secs(2);
const MAX_MISSING: u32 = 30;

/// The newest task of a dead-letter queue. Its counts are approximate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveTask {
    pub status: MoveTaskStatus,
    pub moved: u64,
    /// The number of messages when the task started. SQS does not know it before.
    pub to_move: Option<u64>,
    pub rate: Option<u32>,
    /// Why the task failed.
    pub failure: Option<String>,
    /// When it started, in milliseconds since 1970. It tells two tasks apart.
    pub started_at: i64,
    /// Needed to cancel the task. SQS shows it only while the task runs.
    #[serde(skip)]
    pub handle: Option<String>,
}

/// The status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MoveTaskStatus {
    Running,
    Completed,
    Cancelling,
    Cancelled,
    Failed,
}

impl MoveTaskStatus {
    fn parse(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "COMPLETED" => Self::Completed,
            "CANCELLING" => Self::Cancelling,
            "CANCELLED" => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

impl From<ListMessageMoveTasksResultEntry> for MoveTask {
    fn from(entry: ListMessageMoveTasksResultEntry) -> Self {
        Self {
            status: MoveTaskStatus::parse(entry.status().unwrap_or_default()),
            moved: u64::try_from(entry.approximate_number_of_messages_moved).unwrap_or(0),
            to_move: entry
                .approximate_number_of_messages_to_move
                .and_then(|count| u64::try_from(count).ok()),
            rate: entry
                .max_number_of_messages_per_second
                .and_then(|rate| u32::try_from(rate).ok()),
            failure: entry.failure_reason,
            started_at: entry.started_timestamp,
            handle: entry.task_handle,
        }
    }
}

/// The move tasks of a dead-letter queue. SQS runs at most one at a time for each queue.
pub trait MoveTasks: Send + Sync {
    /// Starts a task and returns its handle.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn start(&self, rate: u32) -> impl Future<Output = Result<String, StackError>> + Send;

    /// The newest task; `None` if there was none.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn newest(&self) -> impl Future<Output = Result<Option<MoveTask>, StackError>> + Send;

    /// Cancels a running task. What it moved stays in the queue.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn cancel(&self, handle: &str) -> impl Future<Output = Result<(), StackError>> + Send;
}

/// The move tasks from the dead-letter queue of a stack to its queue.
#[derive(Debug)]
pub struct StackMoveTasks<'a> {
    stack: &'a Stack,
    source: String,
    destination: String,
}

impl<'a> StackMoveTasks<'a> {
    /// Reads the ARNs of both queues.
    ///
    /// # Errors
    /// [`StackError`]: a call failed.
    pub async fn new(stack: &'a Stack) -> Result<Self, StackError> {
        Ok(Self {
            stack,
            source: queue_arn(stack, &stack.outputs.dead_letter_queue_url).await?,
            destination: queue_arn(stack, &stack.outputs.queue_url).await?,
        })
    }
}

impl MoveTasks for StackMoveTasks<'_> {
    async fn start(&self, rate: u32) -> Result<String, StackError> {
        let start = self.stack.sqs.start_message_move_task();
        let started = start
            .source_arn(&self.source)
            // Without it, the task fails at a message that somebody sent to the dead-letter queue: it has no source.
            .destination_arn(&self.destination)
            .max_number_of_messages_per_second(rate.min(MAX_RATE).cast_signed())
            .send()
            .await
            .map_err(|error| StackError::from_sdk("StartMessageMoveTask", &error))?;
        Ok(started.task_handle.unwrap_or_default())
    }

    async fn newest(&self) -> Result<Option<MoveTask>, StackError> {
        let list = self.stack.sqs.list_message_move_tasks();
        let listed = list
            .source_arn(&self.source)
            .max_results(1)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("ListMessageMoveTasks", &error))?;
        let mut tasks = listed.results.unwrap_or_default().into_iter();
        Ok(tasks.next().map(MoveTask::from))
    }

    async fn cancel(&self, handle: &str) -> Result<(), StackError> {
        let cancel = self.stack.sqs.cancel_message_move_task();
        let cancelled = cancel.task_handle(handle).send().await;
        cancelled.map_err(|error| StackError::from_sdk("CancelMessageMoveTask", &error))?;
        Ok(())
    }
}

async fn queue_arn(stack: &Stack, url: &str) -> Result<String, StackError> {
    let name = QueueAttributeName::QueueArn;
    let mut attributes = queue::read_attributes(stack, url, name.clone()).await?;
    attributes.remove(&name).ok_or_else(|| StackError::Call {
        call: "GetQueueAttributes",
        reason: "no QueueArn in the response".to_owned(),
    })
}

/// Waits for the end of the task that started after `previous`, the newest one before, and returns its last state. Set
/// `is_interrupted` to cancel it. `on_progress` is called at each look. The result is `None` if SQS does not list the task.
///
/// # Errors
/// [`StackError`]: a call failed, or SQS refused to cancel the task. The task goes on in SQS.
pub async fn follow(
    tasks: &impl MoveTasks,
    previous: Option<&MoveTask>,
    is_interrupted: &AtomicBool,
    on_progress: impl Fn(&MoveTask),
) -> Result<Option<MoveTask>, StackError> {
    let (mut is_cancelled, mut was_refused) = (false, false);
    let mut missing = 0;
    while missing < MAX_MISSING {
        let newest = tasks.newest().await?;
        match newest {
            Some(task) if previous.is_none_or(|one| one.started_at != task.started_at) => {
                on_progress(&task);
                if !task.status.is_active() {
                    return Ok(Some(task));
                }
                if let Some(handle) = &task.handle
                    && is_interrupted.load(Ordering::Relaxed)
                    && !is_cancelled
                {
                    // A task that ended in the meantime cannot be cancelled; the next look shows how it ended.
                    match tasks.cancel(handle).await {
                        Ok(()) => is_cancelled = true,
                        Err(error) if was_refused => return Err(error),
                        Err(_) => was_refused = true,
                    }
                }
            }
            _ => missing += 1,
        }
        sleep(POLL).await;
    }
    Ok(None)
}

/// How long a task takes at least.
#[must_use]
pub fn duration(messages: usize, rate: u32) -> Duration {
    Duration::from_secs(messages as u64 / u64::from(rate.clamp(1, MAX_RATE)))
}

#[cfg(test)]
mod tests;
