//! The name and the template parameters of a stack on the emulator.

use std::collections::BTreeMap;

use crate::error::{LocalError, Result};
use crate::template::Template;

/// The name of every stack on an emulator. Each emulator has exactly one.
pub const STACK_NAME: &str = "onewrite";

/// Template parameters for this machine. They replace long AWS durations by short ones, so that six receives take
/// seconds.
pub const LOCAL_PARAMETERS: [(&str, &str); 5] = [
    // The visibility timeout is derived from it: 6 seconds, so six receives take about forty.
    ("IngestTimeoutSeconds", "1"),
    // Each concurrent invocation is a separate process on this machine.
    ("IngestConcurrency", "5"),
    ("StreamFunctionTimeoutSeconds", "5"),
    // The drills scale a minute of an alarm down to a few seconds.
    ("DelayAlarmSeconds", "45"),
    // Metrics cost nothing here, and the drills need every alarm.
    ("Metrics", "all"),
];

/// The outage that messages outlast on this machine (`OUTAGE_SECONDS` of `ingest`): six receives take as long as with the
/// visibility timeout of the queue.
pub const LOCAL_OUTAGE_SECONDS: u64 = 30;

/// [`LOCAL_PARAMETERS`], overridden by those of the downstream, and these by `overrides`.
pub(crate) fn merge(
    downstream: &BTreeMap<String, String>,
    overrides: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let local = LOCAL_PARAMETERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let downstream = downstream.clone();
    local
        .into_iter()
        .chain(downstream)
        .chain(overrides.clone())
        .collect()
}

/// Checks that the template has these parameters. The emulator ignores the others, where CloudFormation refuses them.
///
/// # Errors
/// [`LocalError::UnknownParameter`].
pub(crate) fn check_names(
    template: &Template,
    parameters: &BTreeMap<String, String>,
) -> Result<()> {
    let is_known = |name: &&String| {
        template
            .parameters()
            .any(|(known, _)| known == name.as_str())
    };
    match parameters.keys().find(|name| !is_known(name)) {
        Some(name) => Err(LocalError::UnknownParameter { name: name.clone() }),
        None => Ok(()),
    }
}

/// Parses `NAME=VALUE`.
///
/// # Errors
/// There is no name.
pub(crate) fn parse(text: &str) -> std::result::Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_parameters_that_the_template_does_not_have() {
        let template = Template::parse("Parameters: {Ours: {Type: String}}").unwrap();
        let named = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        assert!(check_names(&template, &named("Ours")).is_ok());
        let error = check_names(&template, &named("Theirs")).unwrap_err();
        assert_eq!(error.to_string(), "the template has no parameter Theirs");
    }

    #[test]
    fn parameters_by_hand_win_over_those_of_the_downstream_and_local_ones() {
        let set = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect()
        };
        let downstream = set(&[("DownstreamUrl", "ledger"), ("DownstreamArns", "queue")]);
        let by_hand = set(&[("DownstreamUrl", ""), ("IngestTimeoutSeconds", "9")]);
        let merged = merge(&downstream, &by_hand);
        assert_eq!(merged["DownstreamUrl"], "");
        assert_eq!(merged["DownstreamArns"], "queue");
        assert_eq!(merged["IngestTimeoutSeconds"], "9");
        assert_eq!(merged["DelayAlarmSeconds"], "45");
    }

    #[test]
    fn a_parameter_value_may_be_empty_or_contain_an_equals_sign() {
        let parsed = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(parse("A="), parsed("A", ""));
        assert_eq!(parse("A=b=c"), parsed("A", "b=c"));
        assert!(parse("A").is_err() && parse("=b").is_err());
    }
}
