//! The inputs and actions that the poller of a stream and its driver exchange.

use std::fmt;

use super::record::StreamRecord;
use crate::Millis;
use crate::failure_record::{Condition, FailureRecord};
use crate::invocation::InvocationOutcome;
use crate::mapping::{Destination, StreamMapping};
use crate::report::MalformedResponse;

/// Identifies a listing, read or failure record; unique within a poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Identifies an invocation; unique within a poller. Every attempt of a batch is a separate invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// A position in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Before the oldest record.
    TrimHorizon,
    /// After the newest record.
    Latest,
    /// Before the first record that arrived at or after this time; Kinesis only (K2).
    AtTimestamp(Millis),
    /// After the record with this sequence number.
    After(String),
}

/// A shard as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDescription {
    pub id: String,
    /// The parents: none, one (after a split) or two (after a merge). They may no longer exist.
    pub parents: Vec<String>,
}

/// What happened.
///
/// The driver MUST answer every action except [`Action::Report`] exactly once, with the input that the action's
/// documentation names. Answers to actions that the poller no longer waits for have no effect. Answers to the actions
/// of another poller MUST NOT be passed in: if a poller is replaced, its calls in flight are dropped with it.
#[derive(Clone)]
pub enum Input {
    /// Start polling, or resume after the checkpoint (X12).
    Enable,
    /// Stop polling. Results of batches in flight count, unless
    /// [`ignore_in_flight_on_change`](crate::choices::Choices::ignore_in_flight_on_change) is set (Q13). All other
    /// records are read again.
    Disable,
    /// Continue with other settings. Records are treated as in [`Input::Disable`]. `enabled` and `starting_position`
    /// are ignored.
    Reconfigure(StreamMapping),
    /// All shards of the stream.
    Shards {
        call: CallId,
        /// The shards in any order.
        shards: Vec<ShardDescription>,
    },
    /// A listing failed.
    ListFailed { call: CallId },
    /// A read ended, possibly without a record.
    Records {
        call: CallId,
        records: Vec<StreamRecord>,
        /// Whether the shard is closed and nothing follows these records.
        end_of_shard: bool,
    },
    /// A read failed, for a reason other than [`Input::Trimmed`].
    ReadFailed { call: CallId },
    /// The stream no longer contains the requested position.
    Trimmed { call: CallId },
    /// An invocation ended.
    Invoked {
        invocation: InvocationId,
        /// The request id, if known; failure records contain it.
        request_id: Option<String>,
        outcome: InvocationOutcome,
    },
    /// The destination accepted a failure record.
    FailureRecordDelivered { call: CallId },
    /// The destination rejected a failure record. Its records are discarded anyway (Q12).
    FailureRecordRejected { call: CallId },
    /// The time of `StreamPoller::next_wakeup` was reached.
    Wake,
}

/// An action for the driver to perform.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// List all shards of the stream, including closed ones. Answer: [`Input::Shards`] or [`Input::ListFailed`].
    ListShards { call: CallId },
    /// Read a shard. Answer: [`Input::Records`], [`Input::Trimmed`] or [`Input::ReadFailed`].
    ///
    /// A driver MUST keep the iterator that the shard's last read returned, and continue with it if `position` is
    /// where that read ended (after its last record, or at its own position if it returned none). A second iterator
    /// at [`Position::Latest`] would skip the records between the two. If the iterator has expired, the driver gets a
    /// new one (D20).
    Read {
        call: CallId,
        shard: String,
        position: Position,
        limit: u32,
    },
    /// Invoke the function synchronously. Answer: [`Input::Invoked`].
    Invoke {
        invocation: InvocationId,
        /// The event as JSON text.
        payload: String,
        shard: String,
        sequence_numbers: Vec<String>,
    },
    /// Send a failure record about a discarded batch to the failure destination. Answer: [`Input::FailureRecordDelivered`] or
    /// [`Input::FailureRecordRejected`].
    SendFailureRecord {
        call: CallId,
        destination: Destination,
        failure_record: Box<FailureRecord>,
        /// The event of its records as JSON text, for a destination that stores it (D23).
        event: String,
    },
    /// Log and count a finding. No answer.
    Report(Finding),
}

impl fmt::Debug for Action {
    /// Omits the events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListShards { call } => f.debug_struct("ListShards").field("call", call).finish(),
            Self::Read {
                call,
                shard,
                position,
                limit,
            } => f
                .debug_struct("Read")
                .field("call", call)
                .field("shard", shard)
                .field("position", position)
                .field("limit", limit)
                .finish(),
            Self::Invoke {
                invocation,
                shard,
                sequence_numbers,
                ..
            } => f
                .debug_struct("Invoke")
                .field("invocation", invocation)
                .field("shard", shard)
                .field("sequence_numbers", sequence_numbers)
                .finish_non_exhaustive(),
            Self::SendFailureRecord {
                call,
                destination,
                failure_record,
                ..
            } => f
                .debug_struct("SendFailureRecord")
                .field("call", call)
                .field("destination", destination)
                .field("failure_record", failure_record)
                .finish_non_exhaustive(),
            Self::Report(finding) => f.debug_tuple("Report").field(finding).finish(),
        }
    }
}

/// A range of records of one shard, by sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub shard: String,
    pub first: String,
    pub last: String,
    pub count: usize,
}

/// Something worth a log line or a metric. Contains sequence numbers, never a record or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The filters dropped records, so they are never delivered (D24).
    Filtered { shard: String, count: usize },
    /// A valid partial batch response: these records are retried (D13).
    BatchItemFailures {
        invocation: InvocationId,
        /// From the lowest failed record to the end of the batch.
        again: Span,
    },
    /// The response is malformed, so the whole batch failed (D12, Q2, Q3).
    MalformedResponse {
        invocation: InvocationId,
        reason: MalformedResponse,
        batch: Span,
    },
    /// The response names records more than once and was parsed as a set (Q1).
    RepeatedIdentifiers {
        invocation: InvocationId,
        /// The number of repeated entries.
        count: usize,
    },
    /// The function failed. The batch is retried, whole or in halves (D9, D15).
    FunctionError {
        invocation: InvocationId,
        batch: Span,
    },
    /// The function did not run: throttling or another invocation error. This does not count as an attempt (D9).
    NotInvoked {
        invocation: InvocationId,
        throttled: bool,
        retry_at: Millis,
    },
    /// A batch was discarded (D17, D18). A failure record is sent if the mapping has a destination.
    Discarded { condition: Condition, records: Span },
    /// The destination rejected the failure record about discarded records (Q12).
    FailureRecordRejected { records: Span },
    /// The stream no longer contains the next record. Reading continues with the oldest record (D20, Q10).
    Trimmed { shard: String },
    /// A read failed and will be retried.
    ReadFailed { shard: String, retry_at: Millis },
    /// A listing failed and will be retried.
    ListFailed { retry_at: Millis },
    /// All records of a closed shard are processed, so its children can be read (D6, K4).
    ShardFinished { shard: String },
}

/// What a poller has in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    pub calls: usize,
    /// Unprocessed records, including those of running invocations.
    pub records: usize,
    pub invocations: usize,
    pub failure_records: usize,
}
