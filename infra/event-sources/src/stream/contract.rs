//! What passes between a stream's poller and its driver.

use std::fmt;

use super::record::StreamRecord;
use crate::Millis;
use crate::invocation::InvocationOutcome;
use crate::mapping::{Destination, StreamMapping};
use crate::notice::{Condition, Notice};
use crate::report::MalformedResponse;

/// Names one listing, read or notice; unique within a poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names one invocation; unique within a poller. Every attempt of a batch is an invocation of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub u64);

/// A place in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// Before the oldest record there is.
    TrimHorizon,
    /// Behind the newest record there is.
    Latest,
    /// Before the first record that arrived at or after a moment; Kinesis only (K2).
    AtTimestamp(Millis),
    /// Behind the record of this sequence number.
    After(String),
}

/// A shard as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its id.
    pub id: String,
    /// The shards it came from: none, one (a split), or two (a merge). They may be gone.
    pub parents: Vec<String>,
}

/// What happened. Every action but [`Action::Report`] MUST be answered, once, with the input that its documentation
/// names; answers to actions that the poller has given up meanwhile are welcome and have no effect. Answers to another
/// poller's actions MUST NOT be handed in: where a poller is replaced, what it had under way is dropped with it.
#[derive(Clone)]
pub enum Input {
    /// Start to poll, or resume behind the last record that was done with (X12).
    Enable,
    /// Stop to poll. The outcome of what is in flight is honoured, unless the choice
    /// [`ignore_in_flight_on_change`](crate::choices::Choices::ignore_in_flight_on_change) says otherwise (Q13);
    /// everything else that was read comes again.
    Disable,
    /// Go on with other settings; what was read as for [`Input::Disable`]. Their `enabled` and `starting_position` are
    /// not read.
    Reconfigure(StreamMapping),
    /// All shards that the stream describes.
    Shards {
        /// The listing.
        call: CallId,
        /// The shards, in any order.
        shards: Vec<ShardDescription>,
    },
    /// A listing failed.
    ListFailed {
        /// The listing.
        call: CallId,
    },
    /// A read ended, possibly with no record.
    Records {
        /// The read.
        call: CallId,
        /// What it returned, in order.
        records: Vec<StreamRecord>,
        /// The shard is closed and nothing follows these records.
        end_of_shard: bool,
    },
    /// A read failed, for a reason other than [`Input::Trimmed`].
    ReadFailed {
        /// The read.
        call: CallId,
    },
    /// The stream no longer has the position that was asked for.
    Trimmed {
        /// The read.
        call: CallId,
    },
    /// An invocation ended.
    Invoked {
        /// The invocation.
        invocation: InvocationId,
        /// The id that the service gave it, where it is known: notices name it.
        request_id: Option<String>,
        /// How it ended.
        outcome: InvocationOutcome,
    },
    /// The destination has taken a notice.
    NoticeDelivered {
        /// The notice.
        call: CallId,
    },
    /// The destination did not take a notice. Its records are given up all the same (Q12).
    NoticeRejected {
        /// The notice.
        call: CallId,
    },
    /// The time of [`super::StreamPoller::next_wakeup`] has come.
    Wake,
}

/// What to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// List all shards of the stream, closed ones too. Answer: [`Input::Shards`] or [`Input::ListFailed`].
    ListShards {
        /// Names the call in its answer.
        call: CallId,
    },
    /// Read a shard. Answer: [`Input::Records`], [`Input::Trimmed`] or [`Input::ReadFailed`].
    ///
    /// A driver MUST keep the iterator that the shard's last read returned and go on with it where `position` is where
    /// that read ended (behind its last record, or its own position if it returned none): a second iterator at
    /// [`Position::Latest`] would pass over what came between the two. It gets a new one where that has expired (D20).
    Read {
        /// Names the call in its answer.
        call: CallId,
        /// The shard.
        shard: String,
        /// Where to read.
        position: Position,
        /// The most records to return.
        limit: u32,
    },
    /// Invoke the function synchronously. Answer: [`Input::Invoked`].
    Invoke {
        /// Names the invocation in its answer.
        invocation: InvocationId,
        /// The event, as JSON text.
        payload: String,
        /// The shard of its records.
        shard: String,
        /// Sequence numbers of its records, in order.
        sequence_numbers: Vec<String>,
    },
    /// Tell the failure destination of a batch that was given up. Answer: [`Input::NoticeDelivered`] or
    /// [`Input::NoticeRejected`].
    Notify {
        /// Names the call in its answer.
        call: CallId,
        /// Where to send it.
        destination: Destination,
        /// What to send.
        notice: Box<Notice>,
        /// The event of its records, as JSON text: for a destination that keeps it (D23).
        event: String,
    },
    /// Log and count. No answer.
    Report(Finding),
}

impl fmt::Debug for Action {
    /// Without the events.
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
            Self::Notify {
                call,
                destination,
                notice,
                ..
            } => f
                .debug_struct("Notify")
                .field("call", call)
                .field("destination", destination)
                .field("notice", notice)
                .finish_non_exhaustive(),
            Self::Report(finding) => f.debug_tuple("Report").field(finding).finish(),
        }
    }
}

/// Records of one shard, by their sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The shard.
    pub shard: String,
    /// The first record.
    pub first: String,
    /// The last record.
    pub last: String,
    /// How many there are.
    pub count: usize,
}

/// Something worth a log line or a counter. Sequence numbers alone, never a record or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The filters dropped records, so they are passed for good (D24).
    Filtered {
        /// The shard.
        shard: String,
        /// How many.
        count: usize,
    },
    /// A valid partial batch response: these records come again (D13).
    BatchItemFailures {
        /// The invocation.
        invocation: InvocationId,
        /// From the lowest that failed to the end of the batch.
        again: Span,
    },
    /// The answer breaks the contract of partial batch responses, so the whole batch failed (D12, Q2, Q3).
    MalformedResponse {
        /// The invocation.
        invocation: InvocationId,
        /// What is wrong with the answer.
        reason: MalformedResponse,
        /// The batch.
        batch: Span,
    },
    /// The answer names records more than once; it was read as a set (Q1).
    RepeatedIdentifiers {
        /// The invocation.
        invocation: InvocationId,
        /// Entries beyond the first of their record.
        count: usize,
    },
    /// The function failed: the batch comes again, whole or in halves (D9, D15).
    FunctionError {
        /// The invocation.
        invocation: InvocationId,
        /// The batch.
        batch: Span,
    },
    /// The function was not run, which is no attempt (D9): throttled, or another invocation error.
    NotInvoked {
        /// The invocation.
        invocation: InvocationId,
        /// Whether it was throttled.
        throttled: bool,
        /// When it is tried again.
        retry_at: Millis,
    },
    /// A batch is given up (D17, D18). A notice is sent if the mapping has a destination.
    Discarded {
        /// Why.
        condition: Condition,
        /// The records.
        records: Span,
    },
    /// The destination did not take the notice of records that were given up (Q12).
    NoticeRejected {
        /// The records.
        records: Span,
    },
    /// The stream no longer has what was to be read next: reading goes on with the oldest record there is (D20, Q10).
    Trimmed {
        /// The shard.
        shard: String,
    },
    /// A read failed; the shard is read again later.
    ReadFailed {
        /// The shard.
        shard: String,
        /// When.
        retry_at: Millis,
    },
    /// A listing failed; the shards are listed again later.
    ListFailed {
        /// When.
        retry_at: Millis,
    },
    /// A closed shard is done with; its children may be read (D6, K4).
    ShardFinished {
        /// The shard.
        shard: String,
    },
}

/// How much a poller has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Listings and reads.
    pub calls: usize,
    /// Records that were read and are not yet done with, those of running invocations included.
    pub records: usize,
    /// Invocations that run.
    pub invocations: usize,
    /// Notices that were sent and not yet answered.
    pub notices: usize,
}
