//! A mapping's settings as they are written in requests and listings, checked one by one.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::{Destination, DestinationKind, Refusal, StartingPosition, StreamKind, limits};
use crate::Millis;
use crate::filter::{FilterCriteria, Source};

/// The wire form, of requests and of listings: every number as wide as JSON's, so that bounds are checked here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settings {
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
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnFailure {
    destination: Option<String>,
}

impl Settings {
    /// A listing tells the state, a request what is asked for; a mapping on its way to `Enabled` is to run.
    pub(super) fn enabled(&self) -> bool {
        let stopped = matches!(
            self.state.as_deref(),
            Some("Disabled" | "Disabling" | "Deleting")
        );
        self.enabled.unwrap_or(!stopped)
    }

    /// A listing tells the ARN, a request may hold a name instead.
    pub(super) fn function(&self) -> String {
        self.function_arn
            .as_ref()
            .or(self.function_name.as_ref())
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn window(&self) -> Result<u32, Refusal> {
        let given = self.maximum_batching_window_in_seconds;
        let window = within(
            "maximumBatchingWindowInSeconds",
            given,
            &limits::WINDOW_SECONDS,
        )?;
        Ok(window.and_then(unless_endless).unwrap_or(0))
    }

    pub(super) fn reports_failures(&self) -> Result<bool, Refusal> {
        const KNOWN: &str = "ReportBatchItemFailures";
        let types = self.function_response_types.as_deref().unwrap_or_default();
        if let Some(other) = types.iter().find(|t| *t != KNOWN) {
            let (setting, value) = ("functionResponseTypes", other.clone());
            return Err(Refusal::NotOneOf {
                setting,
                value,
                allowed: KNOWN,
            });
        }
        Ok(!types.is_empty())
    }

    pub(super) fn filters(&self, source: Source) -> Result<FilterCriteria, Refusal> {
        let filters = self
            .filter_criteria
            .as_ref()
            .and_then(|c| c.filters.as_deref())
            .unwrap_or_default();
        let pattern = |filter: &WireFilter| filter.pattern.clone().unwrap_or_default();
        let patterns: Vec<String> = filters.iter().map(pattern).collect();
        FilterCriteria::compile(source, &patterns)
    }

    pub(super) fn starting_position(&self, kind: StreamKind) -> Result<StartingPosition, Refusal> {
        let at = self.starting_position_timestamp;
        let Some(position) = self.starting_position.as_deref() else {
            return Err(Refusal::StartingPositionMissing);
        };
        match (position, kind, at) {
            ("TRIM_HORIZON", _, None) => Ok(StartingPosition::TrimHorizon),
            ("LATEST", _, None) => Ok(StartingPosition::Latest),
            ("AT_TIMESTAMP", StreamKind::DynamoDb, _) => {
                Err(Refusal::StartingPosition(self.event_source_arn.clone()))
            }
            ("AT_TIMESTAMP", StreamKind::Kinesis, Some(at)) if at >= 0.0 => Ok(
                StartingPosition::AtTimestamp((at * 1_000.0).round() as Millis),
            ),
            ("TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP", ..) => {
                Err(Refusal::StartingPositionTimestamp)
            }
            (other, ..) => Err(Refusal::NotOneOf {
                setting: "startingPosition",
                value: other.to_owned(),
                allowed: "LATEST, AT_TIMESTAMP, TRIM_HORIZON",
            }),
        }
    }

    pub(super) fn record_age(&self) -> Result<Option<u32>, Refusal> {
        let given = self.maximum_record_age_in_seconds;
        match within(
            "maximumRecordAgeInSeconds",
            given,
            &limits::RECORD_AGE_SECONDS,
        )? {
            Some(age) if (0..limits::SHORTEST_RECORD_AGE_SECONDS).contains(&age) => {
                Err(Refusal::RecordAge)
            }
            age => Ok(age.and_then(unless_endless)),
        }
    }

    pub(super) fn destination(&self) -> Result<Option<Destination>, Refusal> {
        let on_failure = self
            .destination_config
            .as_ref()
            .and_then(|c| c.on_failure.as_ref());
        let Some(arn) = on_failure
            .and_then(|f| f.destination.clone())
            .filter(|arn| !arn.is_empty())
        else {
            return Ok(None);
        };
        let kind = match service_of(&arn) {
            Some("sqs" | "sns") if arn.ends_with(".fifo") => return Err(Refusal::Destination),
            Some("sqs") => DestinationKind::Sqs,
            Some("sns") => DestinationKind::Sns,
            Some("s3") => DestinationKind::S3,
            _ if arn.starts_with("kafka://") => DestinationKind::Kafka,
            _ => return Err(Refusal::Destination),
        };
        Ok(Some(Destination { kind, arn }))
    }

    pub(super) fn batch_size(&self, default: i64) -> Result<i64, Refusal> {
        let given = within("batchSize", self.batch_size, &limits::BATCH_SIZE)?;
        Ok(given.unwrap_or(default))
    }

    pub(super) fn maximum_concurrency(&self) -> Result<Option<usize>, Refusal> {
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

    pub(super) fn retry_attempts(&self) -> Result<Option<u32>, Refusal> {
        let given = self.maximum_retry_attempts;
        let given = within("maximumRetryAttempts", given, &limits::RETRY_ATTEMPTS)?;
        Ok(given.and_then(unless_endless))
    }

    pub(super) fn parallelization_factor(&self) -> Result<usize, Refusal> {
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

    /// Listings may spell out what does not apply, with its default: only a value that asks for something is refused.
    pub(super) fn refuse_what_queues_lack(&self) -> Result<(), Refusal> {
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
            ("DestinationConfig", !matches!(self.destination(), Ok(None))),
        ];
        refuse_first(&asked_for, "SQS")
    }

    /// The same for streams; tumbling windows exist, but not here (D29).
    pub(super) fn refuse_what_streams_lack(&self) -> Result<(), Refusal> {
        if self
            .tumbling_window_in_seconds
            .is_some_and(|window| window != 0)
        {
            return Err(Refusal::TumblingWindow);
        }
        let concurrency = self
            .scaling_config
            .as_ref()
            .and_then(|s| s.maximum_concurrency);
        refuse_first(&[("ScalingConfig", concurrency.is_some())], "stream")
    }
}

fn refuse_first(
    asked_for: &[(&'static str, bool)],
    source_kind: &'static str,
) -> Result<(), Refusal> {
    match asked_for.iter().find(|(_, asked_for)| *asked_for) {
        Some((setting, _)) => Err(Refusal::NotForThisSource {
            setting,
            source_kind,
        }),
        None => Ok(()),
    }
}

/// The third part of an ARN.
pub(super) fn service_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(1)
}

fn within(
    setting: &'static str,
    value: Option<i64>,
    bounds: &RangeInclusive<i64>,
) -> Result<Option<i64>, Refusal> {
    match value {
        Some(value) if value < *bounds.start() => Err(Refusal::TooSmall {
            setting,
            value,
            bound: *bounds.start(),
        }),
        Some(value) if value > *bounds.end() => Err(Refusal::TooLarge {
            setting,
            value,
            bound: *bounds.end(),
        }),
        value => Ok(value),
    }
}

/// A value that is within its bounds, where -1 stands for none.
fn unless_endless(value: i64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// A value that is within its bounds, all of which are small and positive.
pub(super) fn to_usize(value: i64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
