//! `complete`: calls the downstream for each notification and moves it to DONE or REFUSED.
//!
//! - [`run`]: the whole function, for a program of your own with your own downstream
//! - [`downstream`]: the downstream that this repository deploys
//! - [`record`]: decodes Kinesis records and decides which one is reported after a failure
//! - [`handler`], [`outcome`], [`settled`]: handles one batch, what can come of an event, and what the process remembers
//! - [`config`]: the settings
//!
//! [`onewrite::completion`] states the guarantees. Your own consumer can call it directly, as this function does.
#![deny(missing_docs)]

pub mod config;
pub mod downstream;
pub mod handler;
pub mod outcome;
pub mod record;
pub mod settled;

use aws_sdk_dynamodb::types::TransactWriteItem;
use lambda_runtime::Error;
use onewrite::completion::{Completer, Downstream};
use onewrite_aws::{clients, dynamodb::DynamoDbTable};
use onewrite_runtime::{budget::Budget, config::read_or_exit, invocation, telemetry};

use crate::{config::Config, handler::Complete, record::ShardEvent};

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
    let table = DynamoDbTable::new(&clients::sdk_config().await, &config.table_name);
    let completer = Completer::new(table, config.done_retention_days);
    let complete = Complete::new(completer, downstream, config.max_in_flight);
    invocation::serve(
        config.invocation_budget,
        async |event: ShardEvent, budget: Budget| complete.handle(event, budget).await,
    )
    .await
}
