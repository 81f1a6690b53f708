//! Sequential writes.

use aws_config::BehaviorVersion;
use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_dynamodb::Client;
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let table = std::env::var("TABLE_NAME")?;
    let client = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let mut failed = Vec::new();
        for message in &event.payload.records {
            if let Err(error) = sample::store(&client, &table, message).await {
                tracing::error!(%error, "failed");
                failed.push(message.message_id.clone().unwrap_or_default());
            }
        }
        Ok::<_, Error>(sample::response(failed))
    }))
    .await
}
