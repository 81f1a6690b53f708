//! The parameter `EventSourcesEnabled`: the functions that their event source mappings invoke.

use std::fmt;

/// The name of the parameter.
pub const PARAMETER: &str = "EventSourcesEnabled";

/// The functions in the order of the parameter.
const FUNCTIONS: [&str; 3] = ["ingest", "forward", "complete"];

/// Which functions are invoked by their mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnabledSources([bool; 3]);

impl EnabledSources {
    /// Parses the value of the parameter. `true` and `false` are the values of earlier templates, as is a stack without the
    /// parameter.
    #[must_use]
    pub fn parse(value: Option<&str>) -> Self {
        Self(match value {
            None | Some("true") => [true; 3],
            Some(list) => FUNCTIONS.map(|function| list.split(',').any(|one| one == function)),
        })
    }

    /// Whether the mapping of the function is enabled.
    #[must_use]
    pub fn contains(self, function: &str) -> bool {
        let mut pairs = FUNCTIONS.iter().zip(self.0);
        pairs.any(|(name, is_enabled)| *name == function && is_enabled)
    }

    /// The same with these functions enabled or disabled.
    #[must_use]
    pub fn with(self, functions: &[&str], is_enabled: bool) -> Self {
        let mut sources = self.0;
        for (name, source) in FUNCTIONS.iter().zip(&mut sources) {
            if functions.contains(name) {
                *source = is_enabled;
            }
        }
        Self(sources)
    }
}

impl fmt::Display for EnabledSources {
    /// Writes the value for `sam deploy --parameter-overrides`, where an empty one needs quotation marks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enabled = FUNCTIONS.into_iter().zip(self.0);
        let enabled: Vec<_> = enabled
            .filter_map(|(name, is_enabled)| is_enabled.then_some(name))
            .collect();
        f.write_str(if enabled.is_empty() { r#""""# } else { "" })?;
        f.write_str(&enabled.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_the_values_of_earlier_templates() {
        for (value, expected) in [
            (None, "ingest,forward,complete"),
            (Some("true"), "ingest,forward,complete"),
            (Some("ingest,complete"), "ingest,complete"),
            (Some("forward"), "forward"),
            (Some(""), r#""""#),
            (Some("false"), r#""""#),
        ] {
            let sources = EnabledSources::parse(value);
            assert_eq!(sources.to_string(), expected, "{value:?}");
        }
        assert!(EnabledSources::parse(Some("ingest")).contains("ingest"));
        assert!(!EnabledSources::parse(Some("ingest")).contains("forward"));
    }

    #[test]
    fn keeps_the_order_of_the_parameter() {
        let sources = EnabledSources::parse(Some("complete")).with(&["ingest"], true);
        assert_eq!(sources.to_string(), "ingest,complete");
        assert_eq!(sources.with(&["complete"], false).to_string(), "ingest");
    }
}
