//! Concurrent writes.

use aws_config::BehaviorVersion;
use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_dynamodb::Client;
use futures::future::join_all;
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let table = std::env::var("TABLE_NAME")?;
    let client = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let records = &event.payload.records;
        let stored = join_all(
            records
                .iter()
                .map(|message| sample::store(&client, &table, message)),
        );
        let failed = records
            .iter()
            .zip(stored.await)
            .filter_map(|(message, stored)| {
                let error = stored.err()?;
                tracing::error!(%error, "failed");
                message.message_id.clone()
            });
        Ok::<_, Error>(sample::response(failed.collect()))
    }))
    .await
}
