//! The settings of `complete`.

use std::time::Duration;

use onewrite_runtime::config::{ConfigError, Environment};

/// The settings of `complete`, read once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table of notifications.
    pub table_name: String,
    /// `DONE_RETENTION_DAYS`: DynamoDB may remove an item this many days after it was settled, 0 to 36,500. 0 keeps
    /// it forever.
    pub done_retention_days: u32,
    /// `MAX_IN_FLIGHT`: notifications of one batch that are processed at the same time, 1 to 1,000.
    pub max_in_flight: usize,
    /// `INVOCATION_BUDGET_MS`: the time limit of an invocation whose deadline is not known.
    pub invocation_budget: Duration,
}

impl Config {
    /// Reads the settings from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`] names the first variable that is missing or invalid.
    pub fn read<F: Fn(&str) -> Option<String>>(
        environment: &Environment<F>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            table_name: environment.required("TABLE_NAME")?,
            done_retention_days: environment.bounded("DONE_RETENTION_DAYS", 0, 0..=36_500)? as u32,
            max_in_flight: environment.bounded("MAX_IN_FLIGHT", 16, 1..=1_000)? as usize,
            invocation_budget: environment.invocation_budget()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let lookup = |name: &str| {
            settings
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, text)| (*text).to_owned())
        };
        Config::read(&Environment::new(lookup))
    }

    #[test]
    fn only_the_table_name_is_required() {
        let config = read(&[("TABLE_NAME", "t")]).unwrap();
        assert_eq!(
            config,
            Config {
                table_name: "t".to_owned(),
                done_retention_days: 0,
                max_in_flight: 16,
                invocation_budget: Duration::from_secs(30),
            }
        );
        assert_eq!(
            read(&[]).unwrap_err().to_string(),
            "environment variable TABLE_NAME is not set"
        );
    }

    #[test]
    fn reads_all_settings() {
        let config = read(&[
            ("TABLE_NAME", "t"),
            ("DONE_RETENTION_DAYS", "30"),
            ("MAX_IN_FLIGHT", "4"),
            ("INVOCATION_BUDGET_MS", "1500"),
        ])
        .unwrap();
        assert_eq!(config.done_retention_days, 30);
        assert_eq!(config.max_in_flight, 4);
        assert_eq!(config.invocation_budget, Duration::from_millis(1_500));
    }

    #[test]
    fn errors_name_the_variable() {
        for (name, value) in [
            ("DONE_RETENTION_DAYS", "-1"),
            ("DONE_RETENTION_DAYS", "36501"),
            ("MAX_IN_FLIGHT", "0"),
            ("INVOCATION_BUDGET_MS", "x"),
        ] {
            let error = read(&[("TABLE_NAME", "t"), (name, value)])
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("environment variable {name} is wrong: ")),
                "{error}"
            );
        }
    }
}
