//! Wires `ingest`: settings, the table, the handler, the Lambda runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use onewrite::{
    adapters::{batched::BatchedInserts, clients, dynamodb::DynamoDbTable},
    budget::Budget,
    config,
    invocation::{self, Incoming},
    table::NewNotifications,
    telemetry,
};
use onewrite_ingest::{aggregate::aggregate, config::Config, handler::Ingest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let config = config::read_or_exit(Config::read);
    let sdk = clients::sdk_config().await;
    let table: Box<dyn NewNotifications> = if config.batched_inserts {
        Box::new(BatchedInserts::new(&sdk, &config.table_name))
    } else {
        Box::new(DynamoDbTable::new(&sdk, &config.table_name))
    };
    let ingest = Ingest::new(table, config.pointers, config.max_in_flight, aggregate);

    lambda_runtime::run(service_fn(
        async |event: LambdaEvent<Incoming<SqsEvent>>| {
            let budget = Budget::of_invocation(&event.context, config.invocation_budget);
            invocation::run(ingest.handle(event.payload.0, budget)).await
        },
    ))
    .await
}
