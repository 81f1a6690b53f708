//! What passes between a poller and its driver.

use std::fmt;

use crate::Millis;
use crate::invocation::InvocationOutcome;
use crate::mapping::SqsMapping;
use crate::message::Message;
use crate::report::MalformedResponse;

/// What the poller has to know about its queue and function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    /// ARN of the queue, as records name it.
    pub arn: String,
    /// Region of the queue, as records name it.
    pub region: String,
    /// Whether it is a FIFO queue.
    pub fifo: bool,
    /// The queue's visibility timeout.
    pub visibility_timeout_seconds: u32,
    /// The function's timeout; with a batching window it may lengthen the visibility timeout (S4).
    pub function_timeout_seconds: u32,
}

/// Names one receive or delete; unique within a poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names one invocation; unique within a poller. A throttled batch that is tried again is another invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// What happened. Every action but [`Action::Report`] MUST be answered, once, with the input that its documentation
/// names; answers to actions that the poller has given up meanwhile are welcome and have no effect. Answers to another
/// poller's actions MUST NOT be handed in: where a poller is replaced, what it had under way is dropped with it.
#[derive(Clone)]
pub enum Input {
    /// Start to poll, or resume.
    Enable,
    /// Stop to poll. What was received is still invoked and its outcome honoured, unless the choice
    /// [`ignore_in_flight_on_change`](crate::choices::Choices::ignore_in_flight_on_change) says otherwise (Q13).
    Disable,
    /// Go on with other settings; in-flight batches as for [`Input::Disable`]. Their `enabled` is not read.
    Reconfigure(SqsMapping),
    /// A receive ended, possibly with no message.
    Received {
        /// The receive.
        call: CallId,
        /// What it returned, in its order.
        messages: Vec<Message>,
    },
    /// A receive failed. Messages that it may have taken return after their visibility timeout.
    ReceiveFailed {
        /// The receive.
        call: CallId,
    },
    /// An invocation ended.
    Invoked {
        /// The invocation.
        invocation: InvocationId,
        /// How.
        outcome: InvocationOutcome,
    },
    /// All messages of a delete are deleted.
    Deleted {
        /// The delete.
        call: CallId,
    },
    /// Some messages of a delete, or all, are not deleted or may not be. They return after their visibility timeout.
    DeleteFailed {
        /// The delete.
        call: CallId,
        /// The messages that failed.
        message_ids: Vec<String>,
    },
    /// The time of [`super::SqsPoller::next_wakeup`] has come.
    Wake,
}

/// What to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Receive messages with all system attributes and message attributes.
    /// Answer: [`Input::Received`] or [`Input::ReceiveFailed`].
    Receive {
        /// Names the call in its answer.
        call: CallId,
        /// The most messages to return.
        max_messages: u32,
        /// How long to wait for a first message.
        wait_seconds: u32,
        /// The visibility timeout to ask for: the queue's, unless a batching window needs more (S4).
        visibility_timeout_seconds: u32,
    },
    /// Invoke the function synchronously. Answer: [`Input::Invoked`].
    Invoke {
        /// Names the invocation in its answer.
        invocation: InvocationId,
        /// The event, as JSON text.
        payload: String,
        /// Ids of its messages, in order.
        message_ids: Vec<String>,
    },
    /// Delete at most ten messages. Answer: [`Input::Deleted`] or [`Input::DeleteFailed`].
    Delete {
        /// Names the call in its answer.
        call: CallId,
        /// What to delete.
        entries: Vec<DeleteEntry>,
    },
    /// Log and count. No answer.
    Report(Finding),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive {
                call,
                max_messages,
                wait_seconds,
                visibility_timeout_seconds,
            } => f
                .debug_struct("Receive")
                .field("call", call)
                .field("max_messages", max_messages)
                .field("wait_seconds", wait_seconds)
                .field("visibility_timeout_seconds", visibility_timeout_seconds)
                .finish(),
            // Without the payload.
            Self::Invoke {
                invocation,
                message_ids,
                ..
            } => f
                .debug_struct("Invoke")
                .field("invocation", invocation)
                .field("message_ids", message_ids)
                .finish_non_exhaustive(),
            Self::Delete { call, entries } => f
                .debug_struct("Delete")
                .field("call", call)
                .field("entries", entries)
                .finish(),
            Self::Report(finding) => f.debug_tuple("Report").field(finding).finish(),
        }
    }
}

/// A message to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteEntry {
    /// Its id.
    pub message_id: String,
    /// The handle of the receipt that was acknowledged.
    pub receipt_handle: String,
}

/// Something worth a log line or a counter. Ids alone, never a body or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The filters dropped these messages, so they are deleted (S19, Q16).
    Filtered {
        /// The messages.
        message_ids: Vec<String>,
    },
    /// A valid partial batch response: these messages stay until their visibility timeout is over (S13).
    BatchItemFailures {
        /// The invocation.
        invocation: InvocationId,
        /// The messages that failed.
        message_ids: Vec<String>,
    },
    /// The answer breaks the contract of partial batch responses, so the whole batch failed (S12, Q2, Q3).
    MalformedResponse {
        /// The invocation.
        invocation: InvocationId,
        /// What is wrong with the answer.
        reason: MalformedResponse,
        /// The batch.
        message_ids: Vec<String>,
    },
    /// The answer names messages more than once; it was read as a set (Q1).
    RepeatedIdentifiers {
        /// The invocation.
        invocation: InvocationId,
        /// Entries beyond the first of their message.
        count: usize,
    },
    /// FIFO: the answer acknowledges messages behind a failed one of their group. They are deleted as told, so the
    /// failed one will be processed after them (F6, Q5).
    BrokenFifoOrder {
        /// The invocation.
        invocation: InvocationId,
        /// The messages that were acknowledged too early.
        message_ids: Vec<String>,
    },
    /// The function failed: nothing is deleted (S7).
    FunctionError {
        /// The invocation.
        invocation: InvocationId,
        /// The batch.
        message_ids: Vec<String>,
    },
    /// The function was not run, for another reason than throttling: nothing is deleted (X2).
    InvocationError {
        /// The invocation.
        invocation: InvocationId,
        /// The batch.
        message_ids: Vec<String>,
    },
    /// The function was not run. The batch is held and tried again (S9).
    Throttled {
        /// The invocation.
        invocation: InvocationId,
        /// When it is tried again, if its visibility lasts.
        retry_at: Millis,
    },
    /// Messages that were received are given up without an outcome. They return with a higher receive count (S9).
    Released {
        /// Why.
        cause: ReleaseCause,
        /// The messages.
        message_ids: Vec<String>,
    },
    /// A receive failed; polling pauses.
    ReceiveFailed {
        /// When it goes on.
        retry_at: Millis,
    },
    /// A delete failed after the function acknowledged the messages, so they will be delivered again (Q14).
    DeleteFailed {
        /// The messages.
        message_ids: Vec<String>,
    },
}

/// Why messages were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseCause {
    /// Their visibility ran out while the function was throttled (S9, Q20).
    Throttled,
    /// Their visibility ran out before their turn came.
    VisibilityRanOut,
    /// FIFO: a message before them in their group failed (F5).
    GroupFailed,
    /// The mapping was disabled or changed (Q13).
    MappingChanged,
}

/// How much the poller has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Receives that wait for messages.
    pub receives: usize,
    /// Messages that were received and wait for their invocation, throttled ones included.
    pub buffered: usize,
    /// Invocations that run.
    pub invocations: usize,
    /// Deletes that were not answered yet.
    pub deletes: usize,
}
