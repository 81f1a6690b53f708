//! Settings of a function, read once at start from environment variables. Errors name the variable.

use std::{fmt::Display, str::FromStr, time::Duration};

use crate::telemetry::MetricSelection;

/// A setting that is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is not set or is empty.
    #[error("environment variable {name} is not set")]
    Missing {
        /// The name of the variable.
        name: &'static str,
    },
    /// The value of a variable is invalid.
    #[error("environment variable {name} is wrong: {reason}")]
    Invalid {
        /// The name of the variable.
        name: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

/// Reads the settings from the environment of the process.
///
/// If a setting is missing or invalid, the process logs one line that names it and exits with code 1.
pub fn read_or_exit<C>(
    read: impl FnOnce(&Environment<fn(&str) -> Option<String>>) -> Result<C, ConfigError>,
) -> C {
    read(&Environment::from_process()).unwrap_or_else(|error| {
        tracing::error!("{error}");
        std::process::exit(1)
    })
}

/// The environment variables of the process, or a replacement in tests.
pub struct Environment<F>(F);

impl Environment<fn(&str) -> Option<String>> {
    /// The environment of this process.
    #[must_use]
    pub fn from_process() -> Self {
        Self(|name| std::env::var(name).ok())
    }
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// An environment that asks `lookup` for each variable.
    pub fn new(lookup: F) -> Self {
        Self(lookup)
    }

    /// The value of a required variable.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] if it is not set or empty.
    pub fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        (self.0)(name)
            .filter(|text| !text.is_empty())
            .ok_or(ConfigError::Missing { name })
    }

    /// The value of a variable, or `default` if it is not set. An empty text is a value: some settings give it a meaning.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the value is not a `T`.
    pub fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(text) = (self.0)(name) else {
            return Ok(default);
        };
        parse(name, &text)
    }

    /// The value of a variable, or `None` if it is not set or empty.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the value is not a `T`.
    pub fn optional<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = (self.0)(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        parse(name, &text).map(Some)
    }

    /// A number within `range`, or `default` if the variable is not set.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] if the value is not a number or is outside the range.
    pub fn bounded(
        &self,
        name: &'static str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let value = self.parsed(name, default)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let reason = format!(
            "{value} is not between {} and {}",
            range.start(),
            range.end()
        );
        Err(ConfigError::Invalid { name, reason })
    }

    /// `INVOCATION_BUDGET_MS`: the time limit of an invocation whose deadline is not known, in milliseconds. The template
    /// sets it to the timeout of the function. 1 s to 15 min, default 30 s.
    ///
    /// # Errors
    /// As [`Environment::bounded`].
    pub fn invocation_budget(&self) -> Result<Duration, ConfigError> {
        let millis = self.bounded("INVOCATION_BUDGET_MS", 30_000, 1_000..=900_000)?;
        Ok(Duration::from_millis(millis))
    }

    /// `METRICS`: which metrics the function emits, `essential` (default) or `all`.
    ///
    /// # Errors
    /// As [`Environment::parsed`].
    pub fn metric_selection(&self) -> Result<MetricSelection, ConfigError> {
        self.parsed("METRICS", MetricSelection::default())
    }
}

fn parse<T: FromStr<Err: Display>>(name: &'static str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|error: T::Err| ConfigError::Invalid {
        name,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_variable_may_be_unset_or_empty() {
        let of = |text: Option<&'static str>| {
            Environment::new(move |_| text.map(ToOwned::to_owned)).optional::<u8>("N")
        };
        assert_eq!(of(None), Ok(None));
        assert_eq!(of(Some("")), Ok(None));
        assert_eq!(of(Some("7")), Ok(Some(7)));
        let error = of(Some("x")).unwrap_err().to_string();
        assert!(
            error.starts_with("environment variable N is wrong"),
            "{error}"
        );
    }

    #[test]
    fn errors_name_the_variable() {
        let environment =
            Environment::new(|name| (name == "MAX_IN_FLIGHT").then(|| "ten".to_owned()));
        assert_eq!(
            environment.required("TABLE_NAME").unwrap_err().to_string(),
            "environment variable TABLE_NAME is not set"
        );
        assert_eq!(
            environment
                .bounded("MAX_IN_FLIGHT", 10, 1..=1_000)
                .unwrap_err()
                .to_string(),
            "environment variable MAX_IN_FLIGHT is wrong: invalid digit found in string"
        );
    }

    #[test]
    fn rejects_numbers_outside_the_range() {
        let environment = Environment::new(|_| Some("0".to_owned()));
        assert!(environment.bounded("MAX_IN_FLIGHT", 10, 1..=1_000).is_err());
        assert_eq!(
            environment.bounded("DONE_RETENTION_DAYS", 30, 0..=36_500),
            Ok(0)
        );
    }

    #[test]
    fn an_unset_variable_has_its_default() {
        let environment = Environment::new(|_| None);
        assert_eq!(environment.bounded("MAX_IN_FLIGHT", 10, 1..=1_000), Ok(10));
    }

    #[test]
    fn a_required_variable_must_not_be_empty() {
        let environment = Environment::new(|name| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        });
        assert_eq!(environment.required("SET").unwrap(), "value");
        for name in ["EMPTY", "UNSET"] {
            let missing = environment.required(name);
            assert!(
                matches!(missing, Err(ConfigError::Missing { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn reads_the_invocation_budget() {
        let of = |text: Option<&'static str>| {
            let environment = Environment::new(move |_| text.map(ToOwned::to_owned));
            environment.invocation_budget()
        };
        assert_eq!(of(None).unwrap(), Duration::from_secs(30));
        assert_eq!(of(Some("5000")).unwrap(), Duration::from_secs(5));
        assert!(of(Some("999")).is_err());
    }

    #[test]
    fn reads_the_selection_of_metrics() {
        let of = |text: Option<&'static str>| {
            let environment = Environment::new(move |_| text.map(ToOwned::to_owned));
            environment.metric_selection()
        };
        assert_eq!(of(None), Ok(MetricSelection::Essential));
        assert_eq!(of(Some("all")), Ok(MetricSelection::All));
        let error = of(Some("none")).unwrap_err().to_string();
        assert!(error.contains("METRICS"), "{error}");
    }
}
