//! Planted bugs that services like this one have had or could have. The simulation must find each of them, otherwise
//! its success proves nothing.
//!
//! A planted bug is a wrong port under the real handler ([`ports`]), a simple handler with one defect ([`ingest`],
//! [`forward`]; a test shows that they are correct otherwise), or a wrong setting of the event sources.

mod forward;
mod ingest;
mod ports;

use crate::functions::{Functions, Parts};
use ports::{WrongStream, WrongTable};

macro_rules! bugs {
    ($($bug:ident, $name:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug {
            /// The simple handlers without a bug.
            Nothing,
            $($bug),*
        }

        impl Bug {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$bug),*];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    Self::Nothing => "none",
                    $(Self::$bug => $name),*
                }
            }
        }
    };
}

bugs! {
    Unconditional, "ingest: the condition is left out";
    CheckThenAct, "ingest: it looks first, then writes";
    FingerprintIgnored, "ingest: the fingerprint is not compared";
    ConflictAcknowledged, "ingest: a conflict is acknowledged";
    MalformedAcknowledged, "ingest: a malformed message is acknowledged";
    AcknowledgedBeforeWrite, "ingest: acknowledged before the write";
    PanicFailsBatch, "ingest: a panic fails the batch";
    PanicSwallowed, "ingest: a panic is swallowed";
    FifoGoesOn, "ingest: FIFO goes on after a failure";
    NullIdentifiers, "ingest: null identifiers";
    IngestIgnoresDeadline, "ingest: the deadline is ignored";
    IdTruncated, "ingest: the id is truncated";
    PayloadRewritten, "ingest: the payload is written anew";
    ExpiresInInit, "ingest: a time to live in INIT";
    EntryFailuresDropped, "forward: failed entries of PutRecords are dropped";
    RetryOvertakes, "forward: a retry that overtakes";
    TwoOfAnId, "forward: two records of an id in one call";
    ReportsHighest, "forward: checkpoint at the highest failure";
    ReportsFirstSeen, "forward: checkpoint at the first failure seen";
    PassesUnpublished, "forward: checkpoint past an unpublished record";
    UnreadableBlocks, "forward: an unreadable record blocks its shard";
    ModifyDropped, "forward: MODIFY is dropped";
    RemovalTold, "forward: an event for a removal";
    ForwardIgnoresDeadline, "forward: the deadline is ignored";
    RedriveChangesId, "forward: a redrive changes the event id";
    WrongPartitionKey, "forward: the partition key is not the id";
    DoneUnconditional, "complete: DONE without a condition";
    BackToInit, "complete: DONE goes back to INIT";
    ClockInCondition, "complete: the wall clock in a condition";
    EffectBesideDone, "complete: the effect is not in DONE's transaction";
    Latest, "mapping: LATEST in place of TRIM_HORIZON";
    ChildBeforeParent, "mapping: a child shard is read before its parent";
}

impl Bug {
    /// The functions with the planted bug.
    pub(crate) fn plant(self, parts: &Parts) -> Functions {
        let right = parts.functions();
        let table = || WrongTable::new(parts.table.clone(), self);
        match self {
            Self::Latest | Self::ChildBeforeParent => right,
            Self::Unconditional
            | Self::CheckThenAct
            | Self::FingerprintIgnored
            | Self::IdTruncated
            | Self::PayloadRewritten
            | Self::ExpiresInInit => Functions {
                ingest: parts.ingest(&parts.faulty_table(table())),
                ..right
            },
            Self::DoneUnconditional
            | Self::BackToInit
            | Self::ClockInCondition
            | Self::EffectBesideDone => Functions {
                complete: parts.complete(parts.faulty_table(table()), parts.accountant.clone()),
                ..right
            },
            Self::EntryFailuresDropped | Self::WrongPartitionKey => {
                let stream = parts.faulty_stream(parts.stream.clone());
                Functions {
                    forward: parts.forward(WrongStream::new(stream, self)),
                    ..right
                }
            }
            Self::Nothing => Functions {
                ingest: ingest::handler(parts, self),
                forward: forward::handler(parts, self),
                ..right
            },
            Self::ConflictAcknowledged
            | Self::MalformedAcknowledged
            | Self::AcknowledgedBeforeWrite
            | Self::PanicFailsBatch
            | Self::PanicSwallowed
            | Self::FifoGoesOn
            | Self::NullIdentifiers
            | Self::IngestIgnoresDeadline => Functions {
                ingest: ingest::handler(parts, self),
                ..right
            },
            Self::RetryOvertakes
            | Self::TwoOfAnId
            | Self::ReportsHighest
            | Self::ReportsFirstSeen
            | Self::PassesUnpublished
            | Self::UnreadableBlocks
            | Self::ModifyDropped
            | Self::RemovalTold
            | Self::RedriveChangesId
            | Self::ForwardIgnoresDeadline => Functions {
                forward: forward::handler(parts, self),
                ..right
            },
        }
    }
}
