//! Bugs to plant into the protocol, and the guarantee that each of them breaks.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    WriteWithoutCondition,
    ConflictAcknowledged,
    FailureAcknowledged,
    AcknowledgedBeforeWrite,
    PublishedBeforeWrite,
    ModifyDropped,
    EntryFailuresDropped,
    SameIdInOneCall,
    RetryOvertakes,
    CheckpointAtHighestFailure,
    CheckpointPastUnconfirmed,
    DoneWithoutCondition,
    EffectOutsideTransaction,
    FailedCompletionPassed,
    FailureRefuses,
}

impl Bug {
    pub const ALL: [Self; 15] = [
        Self::WriteWithoutCondition,
        Self::ConflictAcknowledged,
        Self::FailureAcknowledged,
        Self::AcknowledgedBeforeWrite,
        Self::PublishedBeforeWrite,
        Self::ModifyDropped,
        Self::EntryFailuresDropped,
        Self::SameIdInOneCall,
        Self::RetryOvertakes,
        Self::CheckpointAtHighestFailure,
        Self::CheckpointPastUnconfirmed,
        Self::DoneWithoutCondition,
        Self::EffectOutsideTransaction,
        Self::FailedCompletionPassed,
        Self::FailureRefuses,
    ];

    /// The description of the bug, and the property that it breaks.
    pub fn description(self) -> (&'static str, &'static str) {
        match self {
            Self::WriteWithoutCondition => ("writes without the condition", "Written once"),
            Self::ConflictAcknowledged => {
                ("does not compare fingerprints", "Acknowledged means stored")
            }
            Self::FailureAcknowledged => {
                ("acknowledges a failed write", "Acknowledged means stored")
            }
            Self::AcknowledgedBeforeWrite => {
                ("acknowledges before the write", "Acknowledged means stored")
            }
            Self::PublishedBeforeWrite => (
                "publishes before the write (dual write)",
                "Nothing invented",
            ),
            Self::ModifyDropped => ("drops MODIFY events", "Conservation"),
            Self::EntryFailuresDropped => (
                "ignores failed entries of PutRecords",
                "Checkpoint is honest",
            ),
            Self::SameIdInOneCall => (
                "sends two events of one id in one call",
                "Order per notification",
            ),
            Self::RetryOvertakes => (
                "publishes a later event before the retry",
                "Order per notification",
            ),
            Self::CheckpointAtHighestFailure => (
                "reports the highest failure as checkpoint",
                "Checkpoint is honest",
            ),
            Self::CheckpointPastUnconfirmed => (
                "moves the checkpoint past unconfirmed changes",
                "Checkpoint is honest",
            ),
            Self::DoneWithoutCondition => ("writes DONE without a condition", "Status"),
            Self::EffectOutsideTransaction => {
                ("commits the effect outside the transaction", "Effect")
            }
            Self::FailedCompletionPassed => ("moves past a failed completion", "Progress"),
            Self::FailureRefuses => ("takes a failure for a refusal", "Verdict"),
        }
    }
}
