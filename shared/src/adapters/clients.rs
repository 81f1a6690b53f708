//! How the SDK is set up: one HTTP client for all, every timeout set, few attempts.

use aws_config::{
    BehaviorVersion, ConfigLoader, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::limits::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, MAX_ATTEMPTS, OPERATION_TIMEOUT, READ_TIMEOUT,
};

/// The SDK's configuration for this process: region, credentials and endpoints (`AWS_ENDPOINT_URL` and its like) from
/// the environment, timeouts and attempts from [`crate::limits`]. Load it once; its HTTP client is shared by all
/// clients made of it.
pub async fn sdk_config() -> SdkConfig {
    loader().load().await
}

/// A client of DynamoDB.
#[must_use]
pub fn dynamodb_client(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(config)
}

/// A client of Kinesis.
#[must_use]
pub fn kinesis_client(config: &SdkConfig) -> aws_sdk_kinesis::Client {
    aws_sdk_kinesis::Client::new(config)
}

pub(super) fn loader() -> ConfigLoader {
    // ring: aws-lc pays some 50 ms of entropy at the first TLS use of a process.
    let http_client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    // The SDK bounds nothing by itself but the time to connect: an endpoint that never answers would hold a call for
    // ever, and with it the invocation.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::replay;

    #[tokio::test]
    async fn every_timeout_and_the_attempts_are_set() {
        let config = replay::loader().load().await;
        let timeouts = config.timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.read_timeout(), Some(READ_TIMEOUT));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
        assert_eq!(timeouts.operation_timeout(), Some(OPERATION_TIMEOUT));
        assert_eq!(config.retry_config().unwrap().max_attempts(), MAX_ATTEMPTS);
    }
}
