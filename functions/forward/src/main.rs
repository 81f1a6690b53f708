//! Wires `forward`: settings, the stream, the handler, the Lambda runtime.

use aws_lambda_events::event::dynamodb::Event;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use onewrite::{
    adapters::{clients, kinesis::KinesisStream},
    budget::Budget,
    config,
    invocation::{self, Incoming},
    telemetry,
};
use onewrite_forward::{config::Config, handler::Forward};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::read_or_exit(Config::read);
    let stream = KinesisStream::new(&clients::sdk_config().await, &config.stream_name);
    let forward = Forward::new(stream, config.event_source);

    lambda_runtime::run(service_fn(async |event: LambdaEvent<Incoming<Event>>| {
        let budget = Budget::of_invocation(&event.context, config.invocation_budget);
        invocation::run(forward.handle(event.payload.0, budget)).await
    }))
    .await
}
