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
    Unconditional, "ingest: writes without the condition";
    CheckThenAct, "ingest: reads the table, then writes without a condition";
    FingerprintIgnored, "ingest: does not compare fingerprints";
    ConflictAcknowledged, "ingest: acknowledges a conflict";
    MalformedAcknowledged, "ingest: acknowledges a malformed message";
    AcknowledgedBeforeWrite, "ingest: acknowledges a message whose write failed";
    PanicFailsBatch, "ingest: a panic fails the whole batch";
    PanicSwallowed, "ingest: acknowledges a message whose handler panicked";
    FifoContinues, "ingest: continues a FIFO group after a failure";
    NullIdentifiers, "ingest: accepts a message without an id";
    IngestIgnoresDeadline, "ingest: ignores the deadline";
    IdTruncated, "ingest: truncates the notification id";
    PayloadRewritten, "ingest: re-serialises the payload";
    ExpiresInInit, "ingest: sets a TTL on an item in INIT";
    EntryFailuresDropped, "forward: ignores failed entries of PutRecords";
    RetryOvertakes, "forward: publishes a later event of an id before retrying the earlier one";
    SameIdInOneCall, "forward: sends two events of one id in one PutRecords call";
    ReportsHighest, "forward: reports the highest failed sequence number";
    ReportsFirstSeen, "forward: reports the failure that was seen first";
    PassesUnpublished, "forward: moves the checkpoint past an unpublished record";
    UnreadableBlocks, "forward: an unreadable record blocks its shard";
    ModifyDropped, "forward: drops MODIFY events";
    RemovalPublished, "forward: publishes an event for a REMOVE";
    ForwardIgnoresDeadline, "forward: ignores the deadline";
    RedriveChangesId, "forward: changes the event id of a redrive";
    WrongPartitionKey, "forward: uses a constant partition key";
    DoneUnconditional, "complete: writes DONE without a condition";
    BackToInit, "complete: sets a DONE item back to INIT";
    ClockInCondition, "complete: compares wall clocks in a condition";
    EffectOutsideTransaction, "complete: commits the effect outside the transaction of DONE";
    Latest, "mapping: starts at LATEST instead of TRIM_HORIZON";
    ChildBeforeParent, "mapping: reads a child shard before its parent";
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
            | Self::EffectOutsideTransaction => Functions {
                complete: parts.complete(parts.faulty_table(table()), parts.downstream.clone()),
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
            | Self::FifoContinues
            | Self::NullIdentifiers
            | Self::IngestIgnoresDeadline => Functions {
                ingest: ingest::handler(parts, self),
                ..right
            },
            Self::RetryOvertakes
            | Self::SameIdInOneCall
            | Self::ReportsHighest
            | Self::ReportsFirstSeen
            | Self::PassesUnpublished
            | Self::UnreadableBlocks
            | Self::ModifyDropped
            | Self::RemovalPublished
            | Self::RedriveChangesId
            | Self::ForwardIgnoresDeadline => Functions {
                forward: forward::handler(parts, self),
                ..right
            },
        }
    }
}
