//! Planted bugs that services like this one have had or could have. The simulation must find each of them, otherwise
//! its success proves nothing.
//!
//! A planted bug is a wrong port under the real handler ([`ports`]), a simple handler with one defect ([`ingest`],
//! [`forward`]; a test shows that they are correct otherwise), a wrong setting of the event sources, or a wrong rule of the
//! operator.

mod bug;
mod forward;
mod ingest;
mod ports;

pub(crate) use bug::Bug;

use crate::functions::{Functions, Parts};
use ports::{WrongDownstream, WrongStream, WrongTable};

impl Bug {
    /// The functions with the planted bug.
    pub(crate) fn plant(self, parts: &Parts) -> Functions {
        let right = parts.functions();
        let table = || WrongTable::new(parts.table.clone(), self);
        match self {
            Self::Latest
            | Self::ChildBeforeParent
            | Self::RedrivesInitOnly
            | Self::RedrivesExcluded => right,
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
            | Self::EffectOutsideTransaction
            | Self::ReusedIdIgnored => Functions {
                complete: parts.complete(parts.faulty_table(table()), parts.downstream.clone()),
                ..right
            },
            Self::FaultRefused | Self::RefusalRetried => Functions {
                complete: parts.complete(
                    parts.faulty_table(parts.table.clone()),
                    WrongDownstream::new(parts.downstream.clone(), self),
                ),
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
            | Self::IngestIgnoresDeadline
            | Self::PoisonDeferred
            | Self::DeferredAcknowledged => Functions {
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
