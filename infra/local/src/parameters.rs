//! The name and the template parameters of a stack on the emulator.

use std::collections::BTreeMap;

/// The name of every stack on an emulator. Each emulator has exactly one.
pub const STACK_NAME: &str = "onewrite";

/// Template parameters for this machine. They replace long AWS durations by short ones, so that six receives take
/// seconds.
pub const LOCAL_PARAMETERS: [(&str, &str); 7] = [
    // The emulator's own pollers do not follow AWS's rules. Our pollers read disabled mappings too.
    ("EventSourcesEnabled", "false"),
    ("TableDeletionProtection", "false"),
    // The visibility timeout is derived from it: 6 seconds, so six receives take about forty.
    ("IngestTimeoutSeconds", "1"),
    // Each concurrent invocation is a separate process on this machine.
    ("IngestMaximumConcurrency", "5"),
    ("StreamFunctionTimeoutSeconds", "5"),
    // The drills scale a minute of an alarm down to a few seconds.
    ("OldestMessageAlarmSeconds", "45"),
    ("IteratorAgeAlarmMilliseconds", "15000"),
];

/// The outage that messages outlast on this machine (`OUTAGE_SECONDS` of `ingest`): six receives take as long as with the
/// visibility timeout of the queue.
pub const LOCAL_OUTAGE_SECONDS: u64 = 30;

/// [`LOCAL_PARAMETERS`], overridden by `overrides`.
pub(crate) fn merge(overrides: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let local = LOCAL_PARAMETERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    local.into_iter().chain(overrides.clone()).collect()
}
