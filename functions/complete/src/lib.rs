//! `complete`: calls the downstream for each notification and moves it to DONE or REFUSED.
//!
//! - [`run`]: the whole function, for a program of your own with your own downstream
//! - [`run_targets`], [`targets`]: the downstream that this repository deploys, which delivers to targets by settings
//! - [`record`]: decodes Kinesis records and decides which one is reported after a failure
//! - [`handler`], [`outcome`], [`settled`]: handles one batch, what can come of an event, and what the process remembers
//! - [`given_up`]: keeps events that no retry can help
//! - [`config`]: the settings
//!
//! [`onewrite::completion`] states the guarantees. Your own consumer can call it directly, as this function does.
#![deny(missing_docs)]

pub mod config;
pub mod given_up;
pub mod handler;
pub mod outcome;
pub mod record;
pub mod settled;
pub mod targets;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::TransactWriteItem;
use lambda_runtime::Error;
use onewrite::{
    completion::{Completer, Downstream},
    notification::ConsumerName,
};
use onewrite_aws::{
    clients,
    dynamodb::DynamoDbTable,
    failure_bucket::FailureBucket,
    targets::{InvalidTarget, ServiceTarget},
};
use onewrite_runtime::{
    budget::Budget, config::read_or_exit, invocation, observer::Observer, telemetry,
};

use crate::{
    config::{Config, TargetsConfig},
    handler::{Complete, ESSENTIAL_METRICS},
    record::ShardEvent,
    targets::{Route, Targets},
};

/// Runs the Lambda function with your own downstream.
///
/// ```no_run
/// use onewrite::{
///     completion::{Downstream, DownstreamError, Effect},
///     event::NotificationEvent,
/// };
///
/// struct Refunds;
///
/// impl<W: Send> Downstream<W> for Refunds {
///     async fn accept(&self, event: &NotificationEvent) -> Result<Effect<W>, DownstreamError> {
///         // Call your system here, with `event.subject` as idempotency key.
///         Ok(Effect::Happened)
///     }
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), lambda_runtime::Error> {
///     onewrite_complete::run(Refunds).await
/// }
/// ```
///
/// # Errors
/// The Lambda runtime API cannot be reached. A missing or invalid setting ends the process instead.
pub async fn run(downstream: impl Downstream<TransactWriteItem>) -> Result<(), Error> {
    telemetry::init();
    let config = read_or_exit(Config::read);
    serve(&config, &clients::sdk_config().await, downstream).await
}

/// Runs the Lambda function with the targets of the settings.
///
/// # Errors
/// The Lambda runtime API cannot be reached. A missing or invalid setting ends the process instead.
pub async fn run_targets() -> Result<(), Error> {
    telemetry::init();
    let config = read_or_exit(Config::read);
    let targets = read_or_exit(TargetsConfig::read);
    let sdk_config = clients::sdk_config().await;
    let routes = targets.targets.into_iter().map(|(address, types)| {
        let target = ServiceTarget::new(&sdk_config, &address, &targets.settings)?;
        Ok(Route::new(
            address.name(),
            types,
            target,
            targets.max_per_second,
        ))
    });
    let routes = routes.collect::<Result<Vec<_>, InvalidTarget>>()?;
    serve(&config, &sdk_config, Targets::new(routes)).await
}

async fn serve(
    config: &Config,
    sdk_config: &SdkConfig,
    downstream: impl Downstream<TransactWriteItem>,
) -> Result<(), Error> {
    let table = DynamoDbTable::new(sdk_config, &config.table_name);
    let mut completer = Completer::new(table, config.done_retention_days);
    if let Some(name) = &config.name {
        completer = completer.with_name(name.clone());
    }
    let observer = Observer::default().with_selection(config.metrics, &ESSENTIAL_METRICS);
    let mut complete =
        Complete::new(completer, downstream, config.max_concurrency).with_observer(observer);
    if let Some(bucket) = &config.failure_bucket {
        let function = config
            .name
            .as_ref()
            .map_or("complete", ConsumerName::as_str);
        let bucket = FailureBucket::new(sdk_config, bucket);
        complete = complete.with_failure_store(bucket, function);
    }
    invocation::serve(
        config.invocation_budget,
        async |event: ShardEvent, budget: Budget| complete.handle(event, budget).await,
    )
    .await
}
