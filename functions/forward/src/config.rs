//! The settings of `forward`.

use std::time::Duration;

use onewrite::event::EventSource;
use onewrite_runtime::{
    config::{ConfigError, Environment},
    telemetry::MetricSelection,
};

/// The settings of `forward`, read once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `STREAM_NAME`: the Kinesis stream for the events.
    pub stream_name: String,
    /// `EVENT_SOURCE`: the CloudEvents attribute `source`.
    pub event_source: EventSource,
    /// `INVOCATION_BUDGET_MS`: the time limit of an invocation whose deadline is not known.
    pub invocation_budget: Duration,
    /// `METRICS`: which metrics are emitted.
    pub metrics: MetricSelection,
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
            stream_name: environment.required("STREAM_NAME")?,
            event_source: environment.parsed("EVENT_SOURCE", EventSource::default())?,
            invocation_budget: environment.invocation_budget()?,
            metrics: environment.metric_selection()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use onewrite_testing::settings::lookup;

    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&Environment::new(lookup(settings)))
    }

    #[test]
    fn only_the_stream_name_is_required() {
        let config = read(&[("STREAM_NAME", "s")]).unwrap();
        assert_eq!(
            config,
            Config {
                stream_name: "s".to_owned(),
                event_source: EventSource::default(),
                invocation_budget: Duration::from_secs(30),
                metrics: MetricSelection::Essential,
            }
        );
        assert_eq!(
            read(&[]).unwrap_err().to_string(),
            "environment variable STREAM_NAME is not set"
        );
    }

    #[test]
    fn reads_all_settings() {
        let config = read(&[
            ("STREAM_NAME", "s"),
            ("EVENT_SOURCE", "//refunds.example"),
            ("INVOCATION_BUDGET_MS", "1500"),
        ])
        .unwrap();
        assert_eq!(config.event_source.as_str(), "//refunds.example");
        assert_eq!(config.invocation_budget, Duration::from_millis(1_500));
    }

    #[test]
    fn errors_name_the_variable() {
        for (name, value) in [
            ("EVENT_SOURCE", ""),
            ("EVENT_SOURCE", "a b"),
            ("INVOCATION_BUDGET_MS", "999"),
        ] {
            let error = read(&[("STREAM_NAME", "s"), (name, value)])
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("environment variable {name} is wrong: ")),
                "{error}"
            );
        }
    }
}
