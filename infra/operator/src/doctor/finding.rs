//! What a check reports.

use serde::Serialize;

/// How serious a finding is. The order is the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A guarantee does not hold, or will not hold in a failure.
    Broken,
    /// The configuration could not be read, so it may be broken.
    Unchecked,
    /// Every guarantee holds, but the setting deserves attention.
    Advice,
}

/// A guarantee of the documentation by its name there, or a word for what else is at stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Guarantee {
    /// A message is deleted from the queue only after its notification is stored.
    #[serde(rename = "Acknowledged means stored")]
    AcknowledgedMeansStored,
    /// Each notification id has at most one item, ever.
    #[serde(rename = "Written once")]
    WrittenOnce,
    /// Events exist only for stored items.
    #[serde(rename = "Nothing invented")]
    NothingInvented,
    /// The checkpoint passes a change only after Kinesis confirmed it or the failure bucket has it.
    #[serde(rename = "Checkpoint is honest")]
    CheckpointIsHonest,
    /// The events of an id are in the order of its changes.
    #[serde(rename = "Order per notification")]
    OrderPerNotification,
    /// INIT goes to DONE or to REFUSED.
    Status,
    /// Each id has one accepted effect.
    Effect,
    /// A bad message or record never fails its neighbours.
    Isolation,
    /// Only authorized readers see a payload.
    Silence,
    /// Every accepted notification reaches its end.
    Progress,
}

impl Guarantee {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedMeansStored => "Acknowledged means stored",
            Self::WrittenOnce => "Written once",
            Self::NothingInvented => "Nothing invented",
            Self::CheckpointIsHonest => "Checkpoint is honest",
            Self::OrderPerNotification => "Order per notification",
            Self::Status => "Status",
            Self::Effect => "Effect",
            Self::Isolation => "Isolation",
            Self::Silence => "Silence",
            Self::Progress => "Progress",
        }
    }
}

/// A misconfiguration. The field names are the fields of the JSON output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The id of the check.
    pub check: &'static str,
    /// The affected part of the stack.
    pub place: &'static str,
    pub severity: Severity,
    /// The current configuration.
    pub found: String,
    /// The required configuration.
    pub needed: String,
    /// The guarantee that is or would be broken.
    pub breaks: Guarantee,
    /// The consequence.
    pub why: &'static str,
    /// The command or action that fixes it.
    pub repair: String,
}
