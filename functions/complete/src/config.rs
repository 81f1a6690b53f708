//! The settings of `complete`.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use onewrite::notification::ConsumerName;
use onewrite_aws::targets::{AddressKind, RefusalStatuses, TargetAddress, TargetSettings};
use onewrite_runtime::{
    config::{ConfigError, Environment},
    telemetry::MetricSelection,
};

use crate::targets::TypePattern;

const ARNS: &str = "DOWNSTREAM_ARNS";
const URL: &str = "DOWNSTREAM_URL";
const TYPES: &str = "DOWNSTREAM_TYPES";

/// The settings of `complete`, read once at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table of notifications.
    pub table_name: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`, which Lambda sets: the name that is stored with the notifications that `complete` settles.
    pub name: Option<ConsumerName>,
    /// `FAILURE_BUCKET`: the bucket that keeps events which no retry can help. Without it, they fail until Lambda gives them up.
    pub failure_bucket: Option<String>,
    /// `DONE_RETENTION_DAYS`: DynamoDB may remove an item this many days after it was settled, 0 to 36,500. 0 keeps
    /// it forever.
    pub done_retention_days: u32,
    /// `DOWNSTREAM_MAX_CONCURRENCY`: notifications of one batch that are processed at the same time, 1 to 1,000.
    pub max_concurrency: usize,
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
            table_name: environment.required("TABLE_NAME")?,
            name: environment.optional("AWS_LAMBDA_FUNCTION_NAME")?,
            failure_bucket: environment.optional("FAILURE_BUCKET")?,
            done_retention_days: environment.bounded("DONE_RETENTION_DAYS", 0, 0..=36_500)? as u32,
            max_concurrency: environment.bounded("DOWNSTREAM_MAX_CONCURRENCY", 16, 1..=1_000)?
                as usize,
            invocation_budget: environment.invocation_budget()?,
            metrics: environment.metric_selection()?,
        })
    }
}

/// The settings of the targets. A program that calls [`run`](crate::run) with another downstream does not read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetsConfig {
    /// `DOWNSTREAM_ARNS` and `DOWNSTREAM_URL`: the targets in the order of their calls, each with its patterns from
    /// `DOWNSTREAM_TYPES`. There is at least one target. One without patterns gets every type.
    pub targets: Vec<(TargetAddress, Vec<TypePattern>)>,
    /// What the targets need: tables and secret from `DOWNSTREAM_ARNS`, and `DOWNSTREAM_REFUSAL_STATUSES`.
    pub settings: TargetSettings,
    /// `DOWNSTREAM_MAX_PER_SECOND`: calls per second to one target, up to 10,000. 0 means no limit, which is `None` here.
    pub max_per_second: Option<NonZeroU32>,
}

impl TargetsConfig {
    /// Reads the settings from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`] names the first variable that is missing or invalid. No error quotes the URL, which can be a secret.
    pub fn read<F: Fn(&str) -> Option<String>>(
        environment: &Environment<F>,
    ) -> Result<Self, ConfigError> {
        let mut addresses = environment
            .parsed(ARNS, List::<TargetAddress>::default())?
            .0;
        if let Some(address) = addresses.iter().find(|one| one.kind() == AddressKind::Url) {
            return Err(invalid(ARNS, format!("{address:?} is not an ARN")));
        }
        addresses.extend(environment.optional::<TargetAddress>(URL)?);
        if let Some(address) = repeated(&addresses) {
            return Err(invalid(ARNS, format!("{address:?} occurs twice")));
        }
        let types = environment.parsed(TYPES, List::<TypeEntry>::default())?.0;
        let settings = TargetSettings {
            notification_table: environment.required("TABLE_NAME")?,
            tables: of_kinds(&addresses, &[AddressKind::Table]),
            secret: secret(&addresses)?,
            refusal_statuses: environment
                .parsed("DOWNSTREAM_REFUSAL_STATUSES", RefusalStatuses::default())?,
        };
        check_tables(&settings)?;
        Ok(Self {
            targets: targets(&addresses, &types)?,
            settings,
            max_per_second: NonZeroU32::new(environment.bounded(
                "DOWNSTREAM_MAX_PER_SECOND",
                0,
                0..=10_000,
            )? as u32),
        })
    }
}

fn invalid(name: &'static str, reason: impl Into<String>) -> ConfigError {
    let reason = reason.into();
    ConfigError::Invalid { name, reason }
}

/// The first item that occurs twice.
fn repeated<T: PartialEq>(items: &[T]) -> Option<&T> {
    let mut numbered = items.iter().enumerate();
    let found = numbered.find(|(number, item)| items[..*number].contains(item));
    found.map(|(_, item)| item)
}

fn of_kinds(addresses: &[TargetAddress], kinds: &[AddressKind]) -> Vec<TargetAddress> {
    let found = addresses.iter().filter(|one| kinds.contains(&one.kind()));
    found.cloned().collect()
}

/// The secret that signs requests to the URL.
fn secret(addresses: &[TargetAddress]) -> Result<Option<TargetAddress>, ConfigError> {
    let mut secrets = of_kinds(addresses, &[AddressKind::Secret, AddressKind::Parameter]);
    let has_url = addresses.iter().any(|one| one.kind() == AddressKind::Url);
    if secrets.len() > 1 {
        return Err(invalid(
            ARNS,
            "it contains more than one secret or parameter",
        ));
    }
    if !secrets.is_empty() && !has_url {
        return Err(invalid(ARNS, "a secret or parameter needs DOWNSTREAM_URL"));
    }
    Ok(secrets.pop())
}

/// Writes of a function into the notification table could settle a notification without its effect.
fn check_tables(settings: &TargetSettings) -> Result<(), ConfigError> {
    let mut tables = settings.tables.iter();
    if tables.any(|table| table.name() == settings.notification_table) {
        return Err(invalid(ARNS, "it contains the notification table"));
    }
    Ok(())
}

/// The targets, in the order in which they are called, with their patterns.
fn targets(
    addresses: &[TargetAddress],
    types: &[TypeEntry],
) -> Result<Vec<(TargetAddress, Vec<TypePattern>)>, ConfigError> {
    let is_target = |address: &&TargetAddress| address.kind().is_target();
    let mut targets: Vec<&TargetAddress> = addresses.iter().filter(is_target).collect();
    targets.sort_by_key(|target| target.kind());
    if targets.is_empty() {
        let reason = if addresses.is_empty() {
            "there is no target, neither here nor in DOWNSTREAM_URL"
        } else {
            "it lists only what targets use, and there is no DOWNSTREAM_URL: add the ARN of a queue, a function, a state machine, an event bus or a topic"
        };
        return Err(invalid(ARNS, reason));
    }
    if let Some(entry) = repeated(types) {
        let reason = format!("an entry for {:?} occurs twice", entry.name);
        return Err(invalid(TYPES, reason));
    }
    if let Some(entry) = types
        .iter()
        .find(|entry| targets.iter().all(|one| one.name() != entry.name))
    {
        return Err(invalid(
            TYPES,
            format!("there is no target {:?}", entry.name),
        ));
    }
    let named = |name: &str| targets.iter().filter(|one| one.name() == name).count();
    if let Some(entry) = types.iter().find(|entry| named(&entry.name) > 1) {
        let reason = format!("there are several targets {:?}", entry.name);
        return Err(invalid(TYPES, reason));
    }
    let patterns = |target: &TargetAddress| {
        let own = types.iter().filter(|entry| entry.name == target.name());
        own.map(|entry| entry.pattern.clone()).collect()
    };
    Ok(targets
        .into_iter()
        .map(|target| (target.clone(), patterns(target)))
        .collect())
}

/// A comma-separated list. The empty text is the empty list.
#[derive(Debug)]
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromStr<Err: fmt::Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let parse = |(number, part): (usize, &str)| {
            let parsed = part
                .trim()
                .parse()
                .map_err(|error: T::Err| error.to_string());
            parsed.map_err(|error| format!("entry {}: {error}", number + 1))
        };
        text.split(',')
            .enumerate()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// An entry of `DOWNSTREAM_TYPES`: the name of a target, and a pattern.
#[derive(Debug, PartialEq, Eq)]
struct TypeEntry {
    name: String,
    pattern: TypePattern,
}

impl FromStr for TypeEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pattern) = text.split_once('=').ok_or("it is not name=type")?;
        Ok(Self {
            name: name.to_owned(),
            pattern: pattern
                .parse()
                .map_err(|error: crate::targets::InvalidPattern| error.to_string())?,
        })
    }
}

#[cfg(test)]
mod tests;
