//! `forward`: publishes each change of the table to Kinesis, in order for each notification.
//!
//! - [`run`]: the whole function
//! - [`change`]: the parts of a change that are used
//! - [`select`]: which changes become events
//! - [`publish`]: events into the stream, in order for each notification
//! - [`call_limit`]: how large a call may be
//! - [`confirmed`]: which events of a redelivered batch are in the stream
//! - [`handler`]: handles one batch
//! - [`config`]: the settings
#![deny(missing_docs)]

pub mod call_limit;
pub mod change;
pub mod config;
pub mod confirmed;
pub mod handler;
pub mod publish;
pub mod select;
mod window;

use lambda_runtime::Error;
use onewrite_aws::{clients, kinesis::KinesisStream};
use onewrite_runtime::{
    budget::Budget, config::read_or_exit, invocation, observer::Observer, telemetry,
};

use crate::{
    change::ChangeEvent,
    config::Config,
    handler::{ESSENTIAL_METRICS, Forward},
};

/// Runs the Lambda function.
///
/// # Errors
/// The Lambda runtime API cannot be reached. A missing or invalid setting ends the process instead.
pub async fn run() -> Result<(), Error> {
    telemetry::init();
    let config = read_or_exit(Config::read);
    let stream = KinesisStream::new(&clients::sdk_config().await, &config.stream_name);
    let observer = Observer::default().with_selection(config.metrics, &ESSENTIAL_METRICS);
    let forward = Forward::new(stream, config.event_source).with_observer(observer);
    invocation::serve(
        config.invocation_budget,
        async |event: ChangeEvent, budget: Budget| forward.handle(event, budget).await,
    )
    .await
}
