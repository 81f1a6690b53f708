//! SDK clients that speak to one emulator and to nothing else: endpoint, credentials and region are given, never read
//! from the user's environment or profile. Only a deployed stack, asked for by its name, is met as the environment says.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::emulator::{Credentials, REGION};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Above the longest answer that is rightly slow: a long poll, or an invocation that runs into its own time limit.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A call with all its attempts.
const OPERATION_LIMIT: Duration = Duration::from_secs(120);

/// One client of each service, sharing connections.
#[derive(Debug, Clone)]
pub struct Clients {
    /// CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// DynamoDB Streams.
    pub streams: aws_sdk_dynamodbstreams::Client,
    /// Kinesis Data Streams.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Lambda. Its calls are not repeated: an invocation that was repeated behind a poller's back would be one too many.
    pub lambda: aws_sdk_lambda::Client,
    /// S3, by path: the emulator has no host name per bucket.
    pub s3: aws_sdk_s3::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
}

impl Clients {
    /// Clients for the emulator at `endpoint`.
    #[must_use]
    pub fn new(endpoint: &str, credentials: &Credentials) -> Self {
        Self::of(&config(endpoint, credentials))
    }

    /// Clients for an endpoint that may take `limit` to answer.
    pub(crate) fn patient(endpoint: &str, credentials: &Credentials, limit: Duration) -> Self {
        let timeouts = timeouts(limit, limit);
        Self::of(
            &config(endpoint, credentials)
                .into_builder()
                .timeout_config(timeouts)
                .build(),
        )
    }

    /// Clients of the account, region and endpoint that the environment or the profile names, as AWS's own tools read
    /// them.
    pub async fn of_environment() -> Self {
        let shared = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https())
            .timeout_config(timeouts(READ_LIMIT, OPERATION_LIMIT))
            .retry_config(RetryConfig::standard());
        Self::of(&shared.load().await)
    }

    fn of(shared: &SdkConfig) -> Self {
        let once = aws_sdk_lambda::config::Builder::from(shared)
            .retry_config(RetryConfig::disabled())
            .build();
        let by_path = aws_sdk_s3::config::Builder::from(shared)
            .force_path_style(true)
            .build();
        Self {
            cloudwatch: aws_sdk_cloudwatch::Client::new(shared),
            dynamodb: aws_sdk_dynamodb::Client::new(shared),
            streams: aws_sdk_dynamodbstreams::Client::new(shared),
            kinesis: aws_sdk_kinesis::Client::new(shared),
            lambda: aws_sdk_lambda::Client::from_conf(once),
            s3: aws_sdk_s3::Client::from_conf(by_path),
            sqs: aws_sdk_sqs::Client::new(shared),
        }
    }
}

/// The configuration that every client here is made of; a test may make its own of it.
#[must_use]
pub fn config(endpoint: &str, credentials: &Credentials) -> SdkConfig {
    let identity = aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        None,
        None,
        "onewrite-local",
    );
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(identity))
        .http_client(https())
        .timeout_config(timeouts(READ_LIMIT, OPERATION_LIMIT))
        .retry_config(RetryConfig::standard())
        .build()
}

fn https() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

fn timeouts(read: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(read)
        .operation_attempt_timeout(read)
        .operation_timeout(operation)
        .build()
}
