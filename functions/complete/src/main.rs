//! The Lambda function `complete` with the [`LogOnly`] downstream of this repository.

use lambda_runtime::Error;
use onewrite_complete::downstream::LogOnly;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    onewrite_complete::run(LogOnly).await
}
