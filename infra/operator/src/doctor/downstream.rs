//! The settings of the downstream by their names.

/// The variable of `complete` with the ARNs of its targets and of what they use.
pub(super) const ARNS_VARIABLE: &str = "DOWNSTREAM_ARNS";
pub(super) const URL_VARIABLE: &str = "DOWNSTREAM_URL";
pub(super) const TYPES_VARIABLE: &str = "DOWNSTREAM_TYPES";

/// Each variable of the downstream with the template's parameter.
pub(super) const SETTINGS: [(&str, &str); 6] = [
    (ARNS_VARIABLE, "DownstreamArns"),
    (URL_VARIABLE, "DownstreamUrl"),
    (TYPES_VARIABLE, "DownstreamTypes"),
    ("DOWNSTREAM_REFUSAL_STATUSES", "DownstreamRefusalStatuses"),
    ("DOWNSTREAM_MAX_PER_SECOND", "DownstreamMaxPerSecond"),
    ("DOWNSTREAM_MAX_CONCURRENCY", "DownstreamMaxConcurrency"),
];
