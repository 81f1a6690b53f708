//! The Lambda function `forward`.

use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    onewrite_forward::run().await
}
