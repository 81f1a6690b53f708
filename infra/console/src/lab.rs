//! The port to the switches of a local stack, and its JSON types.
//!
//! `cargo local up` serves them on a loopback API (`GET /state`, `POST /actions`, with `Authorization: Bearer TOKEN`). The console
//! reads `/state` and passes actions on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    pipeline::PipelineError,
    view::{Charts, Count, Stage, Totals},
};

/// What `cargo local up` knows in its own process: counts of the event sources, the ledger of the target, the switches, and the
/// double write beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LabState {
    /// Since the start of the stack.
    pub totals: Totals,
    /// The sentence of these numbers.
    #[serde(default)]
    pub sentence: String,
    /// Count, rate, age, retries and last failure of each stage, as the event sources see them.
    pub stages: Vec<Stage>,
    pub charts: Charts,
    /// The switches that are on, with how many faults are left.
    pub faults: BTreeMap<Fault, Count>,
    /// Whether all event sources are paused.
    pub is_paused: bool,
    /// Effects by id since the start: how many ids have 1, and how many have more.
    pub comparison: Comparison,
    pub guided: Option<Guided>,
    /// What happened, newest last; at most 50 lines, never a payload.
    pub log: Vec<String>,
}

/// The same messages and faults through onewrite and through the double write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Distinct valid notifications sent from the console.
    pub ids: Count,
    pub onewrite: Ledger,
    pub double_write: Ledger,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Effects that happened; more than ids if one happened twice.
    pub effects: Count,
    /// Ids that have more than one effect.
    pub repeated: Count,
    /// Ids without an effect although their messages left the queue.
    pub lost: Count,
    /// Ids that are still on their way.
    pub pending: Count,
    /// At most ten ids with more than one effect, and lost ones.
    pub examples: Vec<String>,
}

/// A fault that a switch causes, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Kills `ingest` before its write reaches the table.
    KillIngestBeforeWrite,
    /// Kills `ingest` after its write, before it learns of it.
    KillIngestAfterWrite,
    /// Cuts the connection to Kinesis after the request, so that the answer is lost.
    CutKinesis,
    /// Fails single entries of PutRecords.
    FailEntries,
    /// Kills `complete` after the effect, before its write.
    KillCompleteAfterEffect,
    /// Throttles the table.
    ThrottleTable,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::KillIngestBeforeWrite,
        Self::KillIngestAfterWrite,
        Self::CutKinesis,
        Self::FailEntries,
        Self::KillCompleteAfterEffect,
        Self::ThrottleTable,
    ];
}

/// A button or a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", deny_unknown_fields)]
pub enum Action {
    /// Sends new notifications, 1 to 10,000.
    Send {
        count: u32,
    },
    /// Sends the lines of a file: one message each, at most 1,000.
    SendLines {
        lines: Vec<String>,
    },
    /// Sends one new notification five times.
    SendDuplicates,
    /// Sends a stored id with other content.
    SendConflict,
    /// Sends a malformed message.
    SendPoison,
    /// Turns a fault on for its next `count` occurrences, or off with 0.
    SetFault {
        fault: Fault,
        count: u32,
    },
    Pause,
    Resume,
    /// "Break it in 60 seconds", with this seed or a random one.
    StartGuided {
        seed: Option<u64>,
    },
    StopGuided,
}

/// The state of the guided run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guided {
    pub seed: Count,
    /// From 0; the last one is the verdict.
    pub step: u32,
    pub steps: u32,
    /// What happens now, in a sentence.
    pub text: String,
    pub is_finished: bool,
}

/// The lab of a local stack.
#[async_trait]
pub trait Lab: Send + Sync {
    async fn state(&self) -> Result<LabState, PipelineError>;

    /// Does what a button says. Returns one line for the page.
    ///
    /// # Errors
    /// [`PipelineError::Invalid`] for a number out of range.
    async fn act(&self, action: Action) -> Result<String, PipelineError>;
}
