//! The Lambda function `complete`, which delivers notifications to the targets of its settings.

use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    onewrite_complete::run_targets().await
}
