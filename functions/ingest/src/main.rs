//! The Lambda function `ingest` with the [`aggregate`] of this repository.

use lambda_runtime::Error;
use onewrite_ingest::aggregate::aggregate;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    onewrite_ingest::run(aggregate).await
}
