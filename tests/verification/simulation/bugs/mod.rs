//! Planted bugs that services like this one have had or could have. The simulation must find each of them, otherwise
//! its success proves nothing.
//!
//! A planted bug is a wrong port under the real handler ([`ports`], [`consumer`]), a simple handler with one defect
//! ([`ingest`], [`forward`]; a test shows that they are correct otherwise), a wrong setting of the event sources, or a wrong
//! rule of the operator.

mod bug;
mod consumer;
mod forward;
mod ingest;
mod ports;

pub(crate) use bug::Bug;

use crate::functions::{Functions, Parts};
use ports::{WrongStream, WrongTable};

impl Bug {
    /// The functions with the planted bug.
    pub(crate) fn plant(self, parts: &Parts) -> Functions {
        let right = parts.functions();
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
            | Self::BinaryFingerprintOnly
            | Self::ExpiresInInit => {
                let table = WrongTable::new(parts.table.clone(), self);
                right.with_ingest(parts.ingest(&parts.faulty_table(table)))
            }
            Self::DoneUnconditional
            | Self::BackToInit
            | Self::TextFingerprintRefused
            | Self::LoserNamed
            | Self::ClockInCondition
            | Self::EffectOutsideTransaction
            | Self::ReusedIdIgnored
            | Self::SettledById
            | Self::StateStale => right.with_complete(consumer::over_wrong_table(parts, self)),
            Self::HighestAfterStop => right.with_complete(consumer::reporting_highest(parts)),
            Self::FaultRefused
            | Self::RefusalRetried
            | Self::ForbiddenRefused
            | Self::BusyAccepted
            | Self::BusyContinued
            | Self::BusyEndsBatch
            | Self::BreakerStaysOpen
            | Self::OneTargetSuffices
            | Self::AcceptanceForgotten
            | Self::AcceptedById
            | Self::StateUnchecked
            | Self::StateFingerprintIgnored => {
                right.with_complete(consumer::with_wrong_downstream(parts, self))
            }
            Self::EntryFailuresDropped | Self::WrongPartitionKey => {
                let stream = parts.faulty_stream(parts.stream.clone());
                right.with_forward(parts.forward(WrongStream::new(stream, self)))
            }
            _ => self.plant_in_handler(parts, right),
        }
    }

    /// Plants a bug of `ingest` or `forward` in a simple handler of that function.
    fn plant_in_handler(self, parts: &Parts, right: Functions) -> Functions {
        match self {
            Self::Nothing => right
                .with_ingest(ingest::handler(parts, self))
                .with_forward(forward::handler(parts, self)),
            Self::ConflictAcknowledged
            | Self::MalformedAcknowledged
            | Self::AcknowledgedBeforeWrite
            | Self::PanicFailsBatch
            | Self::PanicSwallowed
            | Self::FifoContinues
            | Self::NullIdentifiers
            | Self::LimitBeforeCompression
            | Self::IngestIgnoresDeadline
            | Self::PoisonDeferred
            | Self::DeferredAcknowledged => right.with_ingest(ingest::handler(parts, self)),
            _ => right.with_forward(forward::handler(parts, self)),
        }
    }
}
