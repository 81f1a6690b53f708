//! Whether a stack has a downstream.

use std::collections::BTreeMap;

/// The parameters that name the targets of `complete`.
pub const ARNS: &str = "DownstreamArns";
pub const URL: &str = "DownstreamUrl";

/// Whether the template creates the mapping of `complete`. Templates without these parameters always do; an emulator reports
/// only parameters that were given.
#[must_use]
pub fn is_configured(parameters: &BTreeMap<String, String>, is_local: bool) -> bool {
    let values: Vec<_> = [ARNS, URL]
        .into_iter()
        .filter_map(|name| parameters.get(name))
        .collect();
    (values.is_empty() && !is_local) || values.iter().any(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_parameter_is_a_downstream() {
        let is_configured = |values: &[(&str, &str)], is_local| {
            let values = values.iter();
            let values = values.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            is_configured(&values.collect(), is_local)
        };
        assert!(is_configured(&[], false), "a template without them");
        assert!(!is_configured(&[], true), "the emulator");
        for is_local in [false, true] {
            assert!(!is_configured(&[(ARNS, ""), (URL, "")], is_local));
            assert!(is_configured(&[(ARNS, ""), (URL, "https://x")], is_local));
            assert!(is_configured(&[(ARNS, "arn"), (URL, "")], is_local));
        }
    }
}
