//! `ingest`: turns each SQS message into one conditional write, and does nothing else.
//!
//! - [`run`]: the whole function, for a program of your own with your own aggregation
//! - [`aggregate`]: the aggregation that this repository deploys
//! - [`message`]: the parts of an SQS message that are used, and which messages must wait for each other
//! - [`handler`]: handles one batch
//! - [`deferral`]: delays the next delivery of messages that failed for a transient reason
//! - [`config`]: the settings
//!
//! There must never be a second side effect here. A failed message goes back to its queue, and only the queue moves it to
//! the dead-letter queue. A deferral only changes when the queue delivers the message again.
#![deny(missing_docs)]

pub mod aggregate;
pub mod config;
pub mod deferral;
pub mod handler;
pub mod message;

use lambda_runtime::Error;
use onewrite::{item::Enrichment, notification::Notification};
use onewrite_aws::{clients, dynamodb::DynamoDbTable, sqs::SqsQueue, warm_up::warm_up_dynamodb};
use onewrite_runtime::{
    budget::Budget, config::read_or_exit, invocation, observer::Observer, telemetry,
};

use crate::{
    config::Config,
    handler::{ESSENTIAL_METRICS, Ingest},
    message::QueueEvent,
};

/// Runs the Lambda function with your own aggregation. See [`aggregate::aggregate`] for what it may do.
///
/// ```no_run
/// use onewrite::{item::Enrichment, notification::Notification};
///
/// fn with_size(notification: &Notification) -> Enrichment {
///     let mut enrichment = Enrichment::default();
///     enrichment.insert("payload_bytes", notification.payload.as_str().len());
///     enrichment
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), lambda_runtime::Error> {
///     onewrite_ingest::run(with_size).await
/// }
/// ```
///
/// # Errors
/// The Lambda runtime API cannot be reached. A missing or invalid setting ends the process instead.
pub async fn run(aggregate: impl Fn(&Notification) -> Enrichment) -> Result<(), Error> {
    telemetry::init();
    let config = read_or_exit(Config::read);
    let sdk_config = clients::sdk_config().await;
    warm_up_dynamodb(&sdk_config, config.connections()).await;
    let table = DynamoDbTable::new(&sdk_config, &config.table_name);
    let queue = config
        .queue_url
        .map(|url| SqsQueue::new(&sdk_config, url.as_str()));
    let observer = Observer::default().with_selection(config.metrics, &ESSENTIAL_METRICS);
    let ingest = Ingest::new(table, config.pointers, config.max_in_flight, aggregate)
        .with_observer(observer)
        .with_queue(queue)
        .with_waits(config.waits)
        .with_compression(config.compression);
    invocation::serve(
        config.invocation_budget,
        async |event: QueueEvent, budget: Budget| ingest.handle(event, budget).await,
    )
    .await
}
