//! The inputs and actions that a poller and its driver exchange.

use std::fmt;

use crate::Millis;
use crate::invocation::InvocationOutcome;
use crate::mapping::SqsMapping;
use crate::message::Message;
use crate::report::MalformedResponse;

/// The properties of queue and function that the poller needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInfo {
    pub arn: String,
    pub region: String,
    pub fifo: bool,
    pub visibility_timeout_seconds: u32,
    /// The timeout of the function; together with a batching window it may extend the visibility timeout (S4).
    pub function_timeout_seconds: u32,
}

/// Identifies a receive or delete; unique within a poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Identifies an invocation; unique within a poller. A retried batch is a new invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// What happened.
///
/// The driver MUST answer every action except [`Action::Report`] exactly once, with the input that the action's
/// documentation names. Answers to actions that the poller no longer waits for have no effect. Answers to the actions
/// of another poller MUST NOT be passed in: if a poller is replaced, its calls in flight are dropped with it.
#[derive(Clone)]
pub enum Input {
    /// Start or resume polling.
    Enable,
    /// Stop polling. Received messages are still invoked and their outcome counts, unless
    /// [`ignore_in_flight_on_change`](crate::choices::Choices::ignore_in_flight_on_change) is set (Q13).
    Disable,
    /// Continue with other settings. Batches in flight are treated as in [`Input::Disable`]. `enabled` is ignored.
    Reconfigure(SqsMapping),
    /// A receive ended, possibly without a message.
    Received {
        call: CallId,
        /// The messages in the order of the response.
        messages: Vec<Message>,
    },
    /// A receive failed. Messages that it may have received return after their visibility timeout.
    ReceiveFailed { call: CallId },
    /// An invocation ended.
    Invoked {
        invocation: InvocationId,
        outcome: InvocationOutcome,
    },
    /// A delete deleted all of its messages.
    Deleted { call: CallId },
    /// Some or all messages of a delete are not deleted, or may not be. They return after their visibility timeout.
    DeleteFailed {
        call: CallId,
        message_ids: Vec<String>,
    },
    /// The time of `SqsPoller::next_wakeup` was reached.
    Wake,
}

/// An action for the driver to perform.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Receive messages with all system attributes and message attributes. Answer: [`Input::Received`] or
    /// [`Input::ReceiveFailed`].
    Receive {
        call: CallId,
        max_messages: u32,
        wait_seconds: u32,
        /// The visibility timeout of the queue, unless a batching window needs a longer one (S4).
        visibility_timeout_seconds: u32,
    },
    /// Invoke the function synchronously. Answer: [`Input::Invoked`].
    Invoke {
        invocation: InvocationId,
        /// The event as JSON text.
        payload: String,
        message_ids: Vec<String>,
    },
    /// Delete at most ten messages. Answer: [`Input::Deleted`] or [`Input::DeleteFailed`].
    Delete {
        call: CallId,
        entries: Vec<DeleteEntry>,
    },
    /// Log and count a finding. No answer.
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
            // Omits the payload.
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
    pub message_id: String,
    pub receipt_handle: String,
}

/// Something worth a log line or a metric. Contains ids, never a body or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The filters dropped these messages, so they are deleted (S19, Q16).
    Filtered { message_ids: Vec<String> },
    /// A valid partial batch response. The failed messages stay until their visibility timeout ends (S13).
    BatchItemFailures {
        invocation: InvocationId,
        message_ids: Vec<String>,
    },
    /// The response is malformed, so the whole batch failed (S12, Q2, Q3).
    MalformedResponse {
        invocation: InvocationId,
        reason: MalformedResponse,
        message_ids: Vec<String>,
    },
    /// The response names messages more than once and was parsed as a set (Q1).
    RepeatedIdentifiers {
        invocation: InvocationId,
        /// The number of repeated entries.
        count: usize,
    },
    /// FIFO: the response acknowledges messages behind a failed one of their group. They are deleted, so the failed
    /// message will be processed after them (F6, Q5).
    BrokenFifoOrder {
        invocation: InvocationId,
        message_ids: Vec<String>,
    },
    /// The function failed, so nothing is deleted (S7).
    FunctionError {
        invocation: InvocationId,
        message_ids: Vec<String>,
    },
    /// The function did not run, for a reason other than throttling, so nothing is deleted (X2).
    InvocationError {
        invocation: InvocationId,
        message_ids: Vec<String>,
    },
    /// The function did not run. The batch is kept and retried (S9).
    Throttled {
        invocation: InvocationId,
        /// The time of the retry, if the visibility timeout lasts until then.
        retry_at: Millis,
    },
    /// Received messages were released without an outcome. They return with a higher receive count (S9).
    Released {
        cause: ReleaseCause,
        message_ids: Vec<String>,
    },
    /// A receive failed, so polling pauses.
    ReceiveFailed { retry_at: Millis },
    /// A delete failed after the function acknowledged the messages, so they will be delivered again (Q14).
    DeleteFailed { message_ids: Vec<String> },
}

/// The reason why messages were released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseCause {
    /// The visibility timeout ended while the function was throttled (S9, Q20).
    Throttled,
    /// The visibility timeout ended before the invocation.
    VisibilityTimeoutEnded,
    /// FIFO: an earlier message of the group failed (F5).
    GroupFailed,
    /// The mapping was disabled or changed (Q13).
    MappingChanged,
}

/// What a poller has in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    pub receives: usize,
    /// Received messages that wait for their invocation, including throttled ones.
    pub buffered: usize,
    pub invocations: usize,
    pub deletes: usize,
}
