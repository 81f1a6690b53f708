//! What the page shows, as JSON types. Counts that can be large are strings, because a number of JavaScript is exact to 2^53 only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A count as a decimal string in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl Serialize for Count {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Whether the pipeline runs on this machine, and what the page may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The name of the stack.
    pub stack: String,
    /// The region, or the endpoint of a local stack.
    pub location: String,
    /// Whether the stack runs in the emulator.
    pub is_local: bool,
    /// Whether the page may redrive. Without `--allow-changes` it may not.
    pub allows_changes: bool,
    /// Whether the page has the switches of a local stack.
    pub has_lab: bool,
    /// The command line that runs the tool on this stack, such as `onewrite --stack orders`.
    pub command: String,
}

/// One reading of the whole pipeline. What could not be read is `None` and named in `not_read`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// When it was read, in RFC 3339.
    pub at: String,
    /// The one sentence on top. It claims only what was counted.
    pub sentence: String,
    pub totals: Totals,
    /// The stages from left to right: queue, ingest, table, forward, stream, complete, targets.
    pub stages: Vec<Stage>,
    pub alarms: Vec<Alarm>,
    /// What could not be read, and why.
    pub not_read: Vec<String>,
}

/// The numbers of the sentence. On AWS, those of the period; on a local stack, those since its start. `None`: unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The period of the numbers, such as "since the start" or "in the last 3 hours".
    pub period: String,
    /// Messages that the queue accepted.
    pub sent: Option<Count>,
    /// Items created.
    pub created: Option<Count>,
    /// Notifications in DONE.
    pub done: Option<Count>,
    pub refused: Option<Count>,
    /// Effects in the ledger of the local target: distinct notifications that it booked.
    pub effects: Option<Count>,
    /// Messages whose id is stored with other content.
    pub conflicts: Option<Count>,
    /// Messages that break a rule.
    pub rejected: Option<Count>,
    /// Messages that repeat a stored notification.
    pub duplicates: Option<Count>,
    /// Messages that wait in the queue, in flight included.
    pub waiting: Option<Count>,
    pub dead_letters: Option<Count>,
    /// Objects in the failure bucket.
    pub failures: Option<Count>,
    /// Messages that left the queue although the table has no item of them. Counted on a local stack only.
    pub lost: Option<Count>,
}

/// A stage of the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `queue`, `ingest`, `table`, `forward`, `stream`, `complete` or `targets`.
    pub name: String,
    /// The resource's name, such as the function's.
    pub resource: String,
    /// The headline number and what it counts, such as 12 and "waiting".
    pub count: Option<Count>,
    pub count_of: String,
    /// Per second, over the last minute.
    pub rate: Option<f64>,
    /// The age of the oldest message or record, in milliseconds.
    pub oldest_millis: Option<Count>,
    /// Messages or batches that are retried now.
    pub in_retry: Option<Count>,
    /// Whether the event source mapping in front of the stage is paused.
    pub is_paused: bool,
    /// Alarms of this stage in state ALARM: their names.
    pub alarms: Vec<String>,
    /// Whether it fails now, which the page shows in red. A failure that is over is not shown so.
    pub is_failing: bool,
    /// The last failure, its reason and its time, never with a payload.
    pub last_failure: Option<String>,
    /// More about the stage in words, such as "shard 0: 12 records".
    pub details: Vec<String>,
}

/// An alarm in state ALARM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub name: String,
    /// RFC 3339.
    pub since: Option<String>,
    pub description: String,
}

/// The history of one notification: the report of `onewrite trace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub id: String,
    /// `Done`, `Refused`, `Stored`, ... as in `onewrite trace --output json`.
    pub place: String,
    pub settled_by: Option<String>,
    pub steps: Vec<TraceStep>,
    /// What this means, in sentences.
    pub summary: Vec<String>,
    /// The sequence numbers of its records in the stream, with the shard.
    pub records: Vec<TraceRecord>,
    /// Copies elsewhere: dead letters and failed batches, in words.
    pub copies: Vec<String>,
    /// The newest errors of the functions about it.
    pub errors: Vec<String>,
    /// What may be run again, and the command to copy.
    pub commands: Vec<Command>,
    pub has_payload: bool,
    pub looked_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// RFC 3339.
    pub at: String,
    pub what: String,
    pub detail: String,
    /// The time since the step before, in milliseconds.
    pub gap_millis: Option<Count>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    pub shard: String,
    /// A string: it has more digits than a number of JavaScript keeps.
    pub sequence_number: String,
    pub event_id: String,
}

/// A command to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What it does.
    pub purpose: String,
    pub line: String,
}

/// Payload and enrichment of a notification. Sent only when asked for, never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub payload: String,
    pub enrichment: Option<String>,
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.payload.len())
    }
}

/// Where work that needs somebody can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    DeadLetters,
    /// Items in INIT for longer than an age.
    Pending,
    FailureBucket,
    /// Notifications that the downstream refused. They are final: listed, never redriven.
    Refused,
}

/// A filter. `apply` and `preview` refuse one that selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// The notification type.
    pub notification_type: Option<String>,
    /// The reason, such as `conflict`.
    pub reason: Option<String>,
    /// Only what is older, in milliseconds.
    pub older_than_millis: Option<Count>,
    pub ids: Vec<String>,
}

impl Filter {
    /// Whether it selects everything: blank texts, empty ids and an age of 0 restrict nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_blank =
            |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
        is_blank(&self.notification_type)
            && is_blank(&self.reason)
            && self.older_than_millis.unwrap_or_default().0 == 0
            && self.ids.iter().all(String::is_empty)
    }
}

/// One thing that needs somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Identifies the entry in its list: the message id, or the notification id.
    pub key: String,
    pub notification_id: Option<String>,
    pub notification_type: Option<String>,
    pub reason: String,
    /// RFC 3339.
    pub since: Option<String>,
    /// Whether a redrive can help.
    pub is_redrivable: bool,
    /// More in words: the rejection, the attempts.
    pub detail: String,
}

/// A list of what needs somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    pub entries: Vec<Entry>,
    /// All entries by reason, also those that the filter leaves out.
    pub by_reason: BTreeMap<String, Count>,
    /// How many were not inspected, if the list is not complete.
    pub not_inspected: Option<Count>,
    pub looked_at: String,
    /// What the reader must know, in sentences: what the look did, and what the list leaves out.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a redrive would do. `apply` does exactly this, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The name of this preview. It is valid for ten minutes and for one use.
    pub token: String,
    pub kind: Kind,
    pub entries: Vec<Entry>,
    /// The command that does the same. Empty if no command selects exactly these entries.
    pub command: String,
    /// What the preview leaves out and why, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The result of one entry of a redrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub key: String,
    pub notification_id: Option<String>,
    /// Whether it was redriven.
    pub is_redriven: bool,
    /// Such as "moved", "settled meanwhile", "gone".
    pub result: String,
}

/// Series over time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Charts {
    /// Seconds between two points.
    pub period_seconds: u32,
    /// RFC 3339: the time of each point, oldest first.
    pub times: Vec<String>,
    pub series: Vec<Series>,
    /// Why a series is missing.
    pub not_read: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// `throughput`, `queue_to_stored`, `stored_to_done` or `backlog`: the chart it belongs to.
    pub chart: String,
    /// Such as "created", "p50", "p99", "queue".
    pub name: String,
    /// `count`, `per_second` or `milliseconds`.
    pub unit: String,
    /// One value for each time; `None` without data.
    pub values: Vec<Option<f64>>,
}
