//! The settings of a mapping as they appear in requests and listings, validated one by one.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::InvalidMapping;
use super::limits;
use super::source::{Destination, DestinationKind, StartingPosition, StreamKind};
use crate::Millis;
use crate::filter::{FilterCriteria, Source};

/// The JSON of requests and listings. Numbers have the full width of JSON numbers, so that bounds are checked here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settings {
    /// Empty if it is missing.
    #[serde(default)]
    pub(super) event_source_arn: String,
    function_arn: Option<String>,
    function_name: Option<String>,
    #[serde(default, rename = "UUID")]
    pub(super) uuid: String,
    enabled: Option<bool>,
    state: Option<String>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    function_response_types: Option<Vec<String>>,
    filter_criteria: Option<WireCriteria>,
    scaling_config: Option<ScalingConfig>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<f64>,
    maximum_retry_attempts: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    parallelization_factor: Option<i64>,
    tumbling_window_in_seconds: Option<i64>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireCriteria {
    filters: Option<Vec<WireFilter>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireFilter {
    pattern: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingConfig {
    maximum_concurrency: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    on_failure: Option<OnFailure>,
    on_success: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnFailure {
    destination: Option<String>,
}

impl Settings {
    /// A listing contains the state, a request contains the desired value. A mapping on its way to `Enabled` should
    /// be enabled.
    pub(super) fn enabled(&self) -> bool {
        let stopped = matches!(
            self.state.as_deref(),
            Some("Disabled" | "Disabling" | "Deleting")
        );
        self.enabled.unwrap_or(!stopped)
    }

    /// A listing contains the ARN; a request may contain a name instead.
    pub(super) fn function(&self) -> String {
        self.function_arn
            .as_ref()
            .or(self.function_name.as_ref())
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn window(&self) -> Result<u32, InvalidMapping> {
        let given = self.maximum_batching_window_in_seconds;
        let window = within(
            "maximumBatchingWindowInSeconds",
            given,
            &limits::WINDOW_SECONDS,
        )?;
        Ok(window.and_then(unless_endless).unwrap_or(0))
    }

    pub(super) fn reports_failures(&self) -> Result<bool, InvalidMapping> {
        const KNOWN: &str = "ReportBatchItemFailures";
        let types = self.function_response_types.as_deref().unwrap_or_default();
        if let Some(other) = types.iter().find(|t| *t != KNOWN) {
            let (setting, value) = ("functionResponseTypes", other.clone());
            return Err(InvalidMapping::NotOneOf {
                setting,
                value,
                allowed: KNOWN,
            });
        }
        Ok(!types.is_empty())
    }

    pub(super) fn filters(&self, source: Source) -> Result<FilterCriteria, InvalidMapping> {
        let filters = self
            .filter_criteria
            .as_ref()
            .and_then(|c| c.filters.as_deref())
            .unwrap_or_default();
        let pattern = |filter: &WireFilter| filter.pattern.clone().unwrap_or_default();
        let patterns: Vec<String> = filters.iter().map(pattern).collect();
        Ok(FilterCriteria::compile(source, &patterns)?)
    }

    pub(super) fn starting_position(
        &self,
        kind: StreamKind,
    ) -> Result<StartingPosition, InvalidMapping> {
        let at = self.starting_position_timestamp;
        let Some(position) = self.starting_position.as_deref() else {
            return Err(InvalidMapping::StartingPositionMissing);
        };
        match (position, kind, at) {
            ("TRIM_HORIZON", _, None) => Ok(StartingPosition::TrimHorizon),
            ("LATEST", _, None) => Ok(StartingPosition::Latest),
            ("AT_TIMESTAMP", StreamKind::DynamoDb, _) => Err(InvalidMapping::StartingPosition(
                self.event_source_arn.clone(),
            )),
            ("AT_TIMESTAMP", StreamKind::Kinesis, Some(at)) if at >= 0.0 => Ok(
                StartingPosition::AtTimestamp((at * 1_000.0).round() as Millis),
            ),
            ("TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP", ..) => {
                Err(InvalidMapping::StartingPositionTimestamp)
            }
            (other, ..) => Err(InvalidMapping::NotOneOf {
                setting: "startingPosition",
                value: other.to_owned(),
                allowed: "LATEST, AT_TIMESTAMP, TRIM_HORIZON",
            }),
        }
    }

    pub(super) fn record_age(&self) -> Result<Option<u32>, InvalidMapping> {
        let given = self.maximum_record_age_in_seconds;
        match within(
            "maximumRecordAgeInSeconds",
            given,
            &limits::RECORD_AGE_SECONDS,
        )? {
            Some(age) if (0..limits::SHORTEST_RECORD_AGE_SECONDS).contains(&age) => {
                Err(InvalidMapping::RecordAge)
            }
            age => Ok(age.and_then(unless_endless)),
        }
    }

    pub(super) fn destination(&self) -> Result<Option<Destination>, InvalidMapping> {
        let config = self.destination_config.as_ref();
        if config.is_some_and(|c| c.on_success.is_some()) {
            return Err(InvalidMapping::DestinationConfig);
        }
        let Some(arn) = config
            .and_then(|c| c.on_failure.as_ref())
            .and_then(|f| f.destination.clone())
            .filter(|arn| !arn.is_empty())
        else {
            return Ok(None);
        };
        let kind = match service_of(&arn) {
            Some("sqs" | "sns") if arn.ends_with(".fifo") => {
                return Err(InvalidMapping::Destination);
            }
            Some("sqs") => DestinationKind::Sqs,
            Some("sns") => DestinationKind::Sns,
            Some("s3") => DestinationKind::S3,
            _ if arn.starts_with("kafka://") => DestinationKind::Kafka,
            _ => return Err(InvalidMapping::Destination),
        };
        Ok(Some(Destination { kind, arn }))
    }

    pub(super) fn batch_size(&self, default: i64) -> Result<i64, InvalidMapping> {
        let given = within("batchSize", self.batch_size, &limits::BATCH_SIZE)?;
        Ok(given.unwrap_or(default))
    }

    pub(super) fn maximum_concurrency(&self) -> Result<Option<usize>, InvalidMapping> {
        let given = self
            .scaling_config
            .as_ref()
            .and_then(|s| s.maximum_concurrency);
        let given = within(
            "scalingConfig.maximumConcurrency",
            given,
            &limits::MAXIMUM_CONCURRENCY,
        )?;
        Ok(given.map(to_usize))
    }

    pub(super) fn retry_attempts(&self) -> Result<Option<u32>, InvalidMapping> {
        let given = self.maximum_retry_attempts;
        let given = within("maximumRetryAttempts", given, &limits::RETRY_ATTEMPTS)?;
        Ok(given.and_then(unless_endless))
    }

    pub(super) fn parallelization_factor(&self) -> Result<usize, InvalidMapping> {
        let given = self.parallelization_factor;
        let given = within(
            "parallelizationFactor",
            given,
            &limits::PARALLELIZATION_FACTOR,
        )?;
        Ok(given.map_or(1, to_usize))
    }

    pub(super) fn bisects(&self) -> bool {
        self.bisect_batch_on_function_error.unwrap_or(false)
    }

    /// Rejects settings that queues do not support. Listings may contain them with their defaults, so only other
    /// values are rejected.
    pub(super) fn check_supported_by_queues(&self) -> Result<(), InvalidMapping> {
        let set = |value: Option<i64>, default: i64| value.is_some_and(|value| value != default);
        let asked_for = [
            ("StartingPosition", self.starting_position.is_some()),
            ("MaximumRetryAttempts", set(self.maximum_retry_attempts, -1)),
            (
                "MaximumRecordAgeInSeconds",
                set(self.maximum_record_age_in_seconds, -1),
            ),
            ("BisectBatchOnFunctionError", self.bisects()),
            ("ParallelizationFactor", set(self.parallelization_factor, 1)),
            (
                "TumblingWindowInSeconds",
                set(self.tumbling_window_in_seconds, 0),
            ),
        ];
        reject_first(&asked_for, "SQS")?;
        match self.destination() {
            Ok(None) => Ok(()),
            _ => Err(InvalidMapping::DestinationConfig),
        }
    }

    /// Rejects settings that streams do not support. Tumbling windows exist in AWS, but are not modelled here (D29).
    pub(super) fn check_supported_by_streams(&self) -> Result<(), InvalidMapping> {
        if self
            .tumbling_window_in_seconds
            .is_some_and(|window| window != 0)
        {
            return Err(InvalidMapping::TumblingWindow);
        }
        let concurrency = self
            .scaling_config
            .as_ref()
            .and_then(|s| s.maximum_concurrency);
        reject_first(&[("ScalingConfig", concurrency.is_some())], "stream")
    }
}

fn reject_first(
    asked_for: &[(&'static str, bool)],
    source_kind: &'static str,
) -> Result<(), InvalidMapping> {
    match asked_for.iter().find(|(_, asked_for)| *asked_for) {
        Some((setting, _)) => Err(InvalidMapping::NotForThisSource {
            setting,
            source_kind,
        }),
        None => Ok(()),
    }
}

/// The service in an ARN.
pub(super) fn service_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(1)
}

fn within(
    setting: &'static str,
    value: Option<i64>,
    bounds: &RangeInclusive<i64>,
) -> Result<Option<i64>, InvalidMapping> {
    match value {
        Some(value) if value < *bounds.start() => Err(InvalidMapping::TooSmall {
            setting,
            value,
            bound: *bounds.start(),
        }),
        Some(value) if value > *bounds.end() => Err(InvalidMapping::TooLarge {
            setting,
            value,
            bound: *bounds.end(),
        }),
        value => Ok(value),
    }
}

/// Converts a value that is within its bounds; -1 means no limit.
fn unless_endless(value: i64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// Converts a value that is within its bounds, all of which are small and positive.
pub(super) fn to_usize(value: i64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
