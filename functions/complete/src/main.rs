//! Wires `complete`: settings, the table, the downstream, the handler, the Lambda runtime.

use aws_lambda_events::event::kinesis::KinesisEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use onewrite::{
    adapters::{clients, dynamodb::DynamoDbTable},
    budget::Budget,
    completion::Completer,
    config,
    invocation::{self, Incoming},
    telemetry,
};
use onewrite_complete::{config::Config, downstream::LogOnly, handler::Complete};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::read_or_exit(Config::read);
    let table = DynamoDbTable::new(&clients::sdk_config().await, &config.table_name);
    let completer = Completer::new(table, config.done_retention_days);
    let complete = Complete::new(completer, LogOnly, config.max_in_flight);

    lambda_runtime::run(service_fn(
        async |event: LambdaEvent<Incoming<KinesisEvent>>| {
            let budget = Budget::of_invocation(&event.context, config.invocation_budget);
            invocation::run(complete.handle(event.payload.0, budget)).await
        },
    ))
    .await
}
