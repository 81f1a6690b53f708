//! Bugs to plant into the protocol, and the guarantee that each of them breaks.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    WriteWithoutCondition,
    ConflictAcknowledged,
    FailureAcknowledged,
    AcknowledgedBeforeTheWrite,
    PublishedBeforeTheWrite,
    ModifyDropped,
    EntryFailuresDropped,
    TwoOfAnIdInACall,
    RetryOvertaken,
    CheckpointAtTheHighest,
    CheckpointAtTheEnd,
    DoneWithoutCondition,
    EffectApartFromDone,
    FailedCompletionPassed,
}

impl Bug {
    pub const ALL: [Self; 14] = [
        Self::WriteWithoutCondition,
        Self::ConflictAcknowledged,
        Self::FailureAcknowledged,
        Self::AcknowledgedBeforeTheWrite,
        Self::PublishedBeforeTheWrite,
        Self::ModifyDropped,
        Self::EntryFailuresDropped,
        Self::TwoOfAnIdInACall,
        Self::RetryOvertaken,
        Self::CheckpointAtTheHighest,
        Self::CheckpointAtTheEnd,
        Self::DoneWithoutCondition,
        Self::EffectApartFromDone,
        Self::FailedCompletionPassed,
    ];

    /// The description of the bug, and the property that it breaks.
    pub fn what(self) -> (&'static str, &'static str) {
        match self {
            Self::WriteWithoutCondition => ("the condition of the write left out", "Written once"),
            Self::ConflictAcknowledged => {
                ("fingerprints not compared", "Acknowledged means stored")
            }
            Self::FailureAcknowledged => (
                "a write that failed is acknowledged",
                "Acknowledged means stored",
            ),
            Self::AcknowledgedBeforeTheWrite => {
                ("acknowledged before the write", "Acknowledged means stored")
            }
            Self::PublishedBeforeTheWrite => {
                ("the dual write: published, then stored", "Nothing invented")
            }
            Self::ModifyDropped => ("MODIFY events dropped", "Conservation"),
            Self::EntryFailuresDropped => {
                ("PutRecords entry failures dropped", "Checkpoint is honest")
            }
            Self::TwoOfAnIdInACall => ("two records of an id in a call", "Order per notification"),
            Self::RetryOvertaken => (
                "the next of an id goes before the retry",
                "Order per notification",
            ),
            Self::CheckpointAtTheHighest => {
                ("checkpoint at the highest failure", "Checkpoint is honest")
            }
            Self::CheckpointAtTheEnd => (
                "checkpoint past what is unconfirmed",
                "Checkpoint is honest",
            ),
            Self::DoneWithoutCondition => ("DONE without condition", "Status"),
            Self::EffectApartFromDone => ("the effect not committed with DONE", "Effect"),
            Self::FailedCompletionPassed => ("a failed completion passed", "Progress"),
        }
    }
}
