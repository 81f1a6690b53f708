//! The settings of `ingest`.

use std::{str::FromStr, time::Duration};

use onewrite::{
    deferral::{MAX_OUTAGE, OUTAGE, Waits},
    item::PayloadCompression,
    notification::MessagePointers,
};
use onewrite_runtime::{
    config::{ConfigError, Environment},
    telemetry::MetricSelection,
};

/// The settings of `ingest`, read once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table of notifications.
    pub table_name: String,
    /// `MESSAGE_POINTER`, `NOTIFICATION_ID_POINTER`, `NOTIFICATION_TYPE_POINTER`, `PAYLOAD_POINTER`.
    pub pointers: MessagePointers,
    /// `PAYLOAD_COMPRESSION`: whether large payloads are stored compressed, `auto` or `never`.
    pub compression: PayloadCompression,
    /// `QUEUE_URL`: the queue of the messages. Without it, messages that failed for a transient reason keep the visibility
    /// timeout of their queue.
    pub queue_url: Option<QueueUrl>,
    /// `OUTAGE_SECONDS`: the length of an outage after which no message is in the dead-letter queue because of it, at most ten
    /// hours.
    pub waits: Waits,
    /// `MAX_IN_FLIGHT`: messages of one batch that are written at the same time, 1 to 1,000.
    pub max_in_flight: usize,
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
        let default = MessagePointers::default();
        Ok(Self {
            table_name: environment.required("TABLE_NAME")?,
            pointers: MessagePointers {
                message: environment.parsed("MESSAGE_POINTER", default.message)?,
                id: environment.parsed("NOTIFICATION_ID_POINTER", default.id)?,
                kind: environment.parsed("NOTIFICATION_TYPE_POINTER", default.kind)?,
                payload: environment.parsed("PAYLOAD_POINTER", default.payload)?,
            },
            compression: environment
                .parsed("PAYLOAD_COMPRESSION", PayloadCompression::default())?,
            queue_url: environment.optional("QUEUE_URL")?,
            waits: Waits::outlasting(Duration::from_secs(environment.bounded(
                "OUTAGE_SECONDS",
                OUTAGE.as_secs(),
                1..=MAX_OUTAGE.as_secs(),
            )?)),
            max_in_flight: environment.bounded("MAX_IN_FLIGHT", 32, 1..=1_000)? as usize,
            invocation_budget: environment.invocation_budget()?,
            metrics: environment.metric_selection()?,
        })
    }
}

impl Config {
    /// The connections to open before the first batch: as many as it needs, if it has the default size or less. Mappings of FIFO
    /// queues deliver one message at a time.
    #[must_use]
    pub fn connections(&self) -> usize {
        let messages = match &self.queue_url {
            Some(url) if url.as_str().ends_with(".fifo") => 1,
            _ => DEFAULT_BATCH_SIZE,
        };
        messages.min(self.max_in_flight)
    }
}

/// The messages of a batch if the event source mapping says nothing else (Lambda developer guide, "Using Lambda with Amazon SQS").
const DEFAULT_BATCH_SIZE: usize = 10;

/// The URL of an SQS queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrl(String);

impl QueueUrl {
    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueUrl {
    type Err = &'static str;

    /// Distinguishes a URL from an ARN or a name, which `ChangeMessageVisibilityBatch` does not accept.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let (host, path) = rest
            .and_then(|rest| rest.split_once('/'))
            .unwrap_or_default();
        if host.is_empty() || path.is_empty() || text.contains(char::is_whitespace) {
            return Err(
                "not the URL of a queue, such as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
            );
        }
        Ok(Self(text.to_owned()))
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
    fn only_the_table_name_is_required() {
        let config = read(&[("TABLE_NAME", "t")]).unwrap();
        assert_eq!(config.table_name, "t");
        assert_eq!(config.pointers, MessagePointers::default());
        assert_eq!(config.waits, Waits::default());
        assert_eq!(config.compression, PayloadCompression::Auto);
        assert_eq!(
            read(&[]).unwrap_err().to_string(),
            "environment variable TABLE_NAME is not set"
        );
    }

    #[test]
    fn an_empty_payload_pointer_is_the_whole_body() {
        let config = read(&[("TABLE_NAME", "t"), ("PAYLOAD_POINTER", "")]).unwrap();
        assert_eq!(config.pointers.payload, "".parse().unwrap());
    }

    #[test]
    fn reads_the_pointers_of_an_envelope() {
        let config = read(&[
            ("TABLE_NAME", "t"),
            ("MESSAGE_POINTER", "/Message"),
            ("NOTIFICATION_ID_POINTER", "/source,/id"),
        ])
        .unwrap();
        assert_eq!(config.pointers.message.to_string(), "/Message");
        assert_eq!(config.pointers.id.to_string(), "/source,/id");
        assert_eq!(config.pointers.kind, MessagePointers::default().kind);
    }

    #[test]
    fn compression_can_be_switched_off() {
        let config = read(&[("TABLE_NAME", "t"), ("PAYLOAD_COMPRESSION", "never")]);
        assert_eq!(config.unwrap().compression, PayloadCompression::Never);
    }

    #[test]
    fn a_batch_needs_a_connection_for_each_message_in_flight() {
        let connections = |settings: &[(&str, &str)]| {
            let settings = [&[("TABLE_NAME", "t")], settings].concat();
            read(&settings).unwrap().connections()
        };
        assert_eq!(connections(&[]), 10);
        assert_eq!(connections(&[("MAX_IN_FLIGHT", "4")]), 4);
        let url = "https://sqs.eu-west-1.amazonaws.com/111111111111/notifications";
        assert_eq!(connections(&[("QUEUE_URL", url)]), 10);
        let url = format!("{url}.fifo");
        assert_eq!(connections(&[("QUEUE_URL", &url)]), 1);
    }

    #[test]
    fn accepts_only_urls_of_queues() {
        let of = |url| read(&[("TABLE_NAME", "t"), ("QUEUE_URL", url)]);
        for url in [
            "https://sqs.eu-west-1.amazonaws.com/111111111111/notifications.fifo",
            "http://127.0.0.1:4566/000000000000/notifications",
        ] {
            assert_eq!(of(url).unwrap().queue_url.unwrap().as_str(), url);
        }
        for url in [
            "arn:aws:sqs:eu-west-1:111111111111:notifications",
            "https://sqs.eu-west-1.amazonaws.com",
            "https:///111111111111/notifications",
            "https://host/ name",
        ] {
            assert!(of(url).is_err(), "{url}");
        }
        assert_eq!(of("").unwrap().queue_url, None);
    }

    #[test]
    fn errors_name_the_variable() {
        for (name, value) in [
            ("MESSAGE_POINTER", "Message"),
            ("NOTIFICATION_ID_POINTER", "id"),
            ("NOTIFICATION_ID_POINTER", "/a,/b,/c,/d,/e"),
            ("QUEUE_URL", "notifications"),
            ("OUTAGE_SECONDS", "36001"),
            ("PAYLOAD_COMPRESSION", "always"),
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
