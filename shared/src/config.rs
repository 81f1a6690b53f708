//! How a function reads its settings: once, at start, from environment variables that an error names.

use std::{fmt::Display, str::FromStr, time::Duration};

/// A setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable that has no default is not set, or empty.
    #[error("environment variable {name} is not set")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A variable's value cannot be used.
    #[error("environment variable {name} is wrong: {reason}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// Why.
        reason: String,
    },
}

/// The settings that `read` finds in the process's environment. Where one is missing or wrong, the process ends with one
/// line that names it.
pub fn read_or_exit<C>(
    read: impl FnOnce(&Environment<fn(&str) -> Option<String>>) -> Result<C, ConfigError>,
) -> C {
    read(&Environment::of_process()).unwrap_or_else(|error| {
        tracing::error!("{error}");
        std::process::exit(1)
    })
}

/// The environment variables, or a test's stand-in for them.
pub struct Environment<F>(F);

impl Environment<fn(&str) -> Option<String>> {
    /// The process's own.
    #[must_use]
    pub fn of_process() -> Self {
        Self(|name| std::env::var(name).ok())
    }
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// Whatever `lookup` finds.
    pub fn new(lookup: F) -> Self {
        Self(lookup)
    }

    /// The text of a variable that must be there.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] where it is not set or empty.
    pub fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        (self.0)(name)
            .filter(|text| !text.is_empty())
            .ok_or(ConfigError::Missing { name })
    }

    /// A variable's value, or `default` where it is not set. An empty text is a value: some settings mean something
    /// by it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where it is set to something that is no `T`.
    pub fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(text) = (self.0)(name) else {
            return Ok(default);
        };
        text.parse().map_err(|error: T::Err| ConfigError::Invalid {
            name,
            reason: error.to_string(),
        })
    }

    /// A number within `range`, or `default` where it is not set.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where it is no number or lies outside.
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

    /// `INVOCATION_BUDGET_MS`, which every function has: how long an invocation may take where its deadline is not
    /// known. The function's timeout, 1 s to 15 min; 30 s where it is not set.
    ///
    /// # Errors
    /// As [`Environment::bounded`].
    pub fn invocation_budget(&self) -> Result<Duration, ConfigError> {
        let millis = self.bounded("INVOCATION_BUDGET_MS", 30_000, 1_000..=900_000)?;
        Ok(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_variable() {
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
    fn a_number_outside_its_range_is_refused() {
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
    fn what_is_required_is_not_empty() {
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
    fn an_invocation_s_budget_is_the_function_s_timeout() {
        let of = |text: Option<&'static str>| {
            let environment = Environment::new(move |_| text.map(ToOwned::to_owned));
            environment.invocation_budget()
        };
        assert_eq!(of(None).unwrap(), Duration::from_secs(30));
        assert_eq!(of(Some("5000")).unwrap(), Duration::from_secs(5));
        assert!(of(Some("999")).is_err());
    }
}
