//! SDK configuration: one shared HTTP client, all timeouts set, few attempts.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, ConfigLoader, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};

use onewrite::limits::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, DYNAMODB_RETRY_BASE, MAX_ATTEMPTS, OPERATION_TIMEOUT,
    PUT_RECORDS_TIMEOUT, READ_TIMEOUT, RETRY_BASE,
};

use crate::http;

/// The behavior of every SDK client of this project. `latest()` would change with an update of the SDK: new timeouts, retries or
/// HTTP clients (AWS SDK for Rust developer guide, "Setting behavior versions").
#[must_use]
pub fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// The retries of the SDK's standard mode, with the base delay for transient errors that AWS specifies since 2026. The SDK's own
/// is a second (AWS Developer Tools Blog, "Updated default retry behavior for AWS SDKs and tools").
#[must_use]
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_initial_backoff(RETRY_BASE)
}

/// Loads the SDK configuration of this process: region, credentials and endpoints (`AWS_ENDPOINT_URL` and similar) from the
/// environment, timeouts and attempts from [`onewrite::limits`]. Load it once. All clients of one configuration share its
/// HTTP client.
pub async fn sdk_config() -> SdkConfig {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
    loader(endpoint.as_deref()).load().await
}

/// Creates a DynamoDB client. AWS specifies half the delay between attempts for this service.
#[must_use]
pub fn dynamodb_client(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    let retries = config.retry_config().cloned().unwrap_or_else(retries);
    let config = aws_sdk_dynamodb::config::Builder::from(config)
        .retry_config(retries.with_initial_backoff(DYNAMODB_RETRY_BASE));
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// Creates a Kinesis client. Its calls carry megabytes, so each has more time, and one attempt: the caller retries, because after
/// an unknown outcome it sends less.
#[must_use]
pub fn kinesis_client(config: &SdkConfig) -> aws_sdk_kinesis::Client {
    let timeouts = timeouts(
        PUT_RECORDS_TIMEOUT,
        PUT_RECORDS_TIMEOUT,
        PUT_RECORDS_TIMEOUT,
    );
    let config = aws_sdk_kinesis::config::Builder::from(config)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    aws_sdk_kinesis::Client::from_conf(config.build())
}

/// Creates an SQS client.
#[must_use]
pub fn sqs_client(config: &SdkConfig) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(config)
}

/// The SDK itself limits only the time to connect. An endpoint that never responds would block the invocation.
fn timeouts(read: Duration, attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// `endpoint` replaces those of AWS if it is set in the environment.
pub(crate) fn loader(endpoint: Option<&str>) -> ConfigLoader {
    aws_config::defaults(behavior_version())
        .http_client(http::client(endpoint))
        .timeout_config(timeouts(READ_TIMEOUT, ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
        // The timeouts bound every request and response already, and the protection costs CPU on each of them.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(retries().with_max_attempts(MAX_ATTEMPTS))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        net::TcpListener,
        process::Command,
    };

    use aws_config::Region;

    use super::*;

    async fn config() -> SdkConfig {
        let region = Region::from_static("us-east-1");
        let loader = loader(None).empty_test_environment().region(region);
        loader.test_credentials().load().await
    }

    fn assert_timeouts(timeouts: Option<&TimeoutConfig>, expected: [Duration; 4]) {
        let timeouts = timeouts.unwrap();
        let set = [
            timeouts.connect_timeout(),
            timeouts.read_timeout(),
            timeouts.operation_attempt_timeout(),
            timeouts.operation_timeout(),
        ];
        assert_eq!(set, expected.map(Some));
    }

    #[tokio::test]
    async fn sets_every_timeout_and_the_retries() {
        let config = config().await;
        let usual = [
            CONNECT_TIMEOUT,
            READ_TIMEOUT,
            ATTEMPT_TIMEOUT,
            OPERATION_TIMEOUT,
        ];
        assert_timeouts(config.timeout_config(), usual);
        let retries = config.retry_config().unwrap();
        assert_eq!(retries.max_attempts(), MAX_ATTEMPTS);
        assert_eq!(retries.initial_backoff(), RETRY_BASE);
        assert_eq!(
            config.behavior_version(),
            Some(BehaviorVersion::v2026_01_12())
        );

        let client = dynamodb_client(&config);
        let retries = client.config().retry_config().unwrap();
        assert_eq!(retries.max_attempts(), MAX_ATTEMPTS);
        assert_eq!(retries.initial_backoff(), DYNAMODB_RETRY_BASE);
        assert_timeouts(client.config().timeout_config(), usual);

        let client = kinesis_client(&config);
        let retries = client.config().retry_config().unwrap();
        assert_eq!(retries.max_attempts(), 1);
        let longer = [
            CONNECT_TIMEOUT,
            PUT_RECORDS_TIMEOUT,
            PUT_RECORDS_TIMEOUT,
            PUT_RECORDS_TIMEOUT,
        ];
        assert_timeouts(client.config().timeout_config(), longer);
    }

    /// Set in the process that the test starts.
    const CHILD: &str = "ONEWRITE_TEST_CALLS_KINESIS";

    /// The environment of a process cannot be changed safely, so the test starts itself in another one.
    #[tokio::test]
    async fn connects_through_the_proxy_of_the_environment() {
        if std::env::var_os(CHILD).is_some() {
            let call = kinesis_client(&config().await).list_streams().send().await;
            assert!(call.is_err());
            return;
        }
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["connects_through_the_proxy_of_the_environment", "--quiet"])
            .env_clear()
            .envs([(CHILD, "1"), ("HTTPS_PROXY", &url)])
            .spawn()
            .unwrap();
        let mut line = String::new();
        let (connection, _) = proxy.accept().unwrap();
        BufReader::new(connection).read_line(&mut line).unwrap();
        assert_eq!(
            line.trim_end(),
            "CONNECT kinesis.us-east-1.amazonaws.com:443 HTTP/1.1"
        );
        assert!(child.wait().unwrap().success());
    }
}
