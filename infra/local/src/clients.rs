//! SDK clients.
//!
//! Clients for an emulator take endpoint, credentials and region from the caller and never from the user's environment or
//! profile. Only clients for a stack that is deployed to AWS use the environment.

use std::ops::Deref;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use onewrite_aws::{clients, http};

use crate::buckets::Buckets;
use crate::emulator::{Credentials, REGION};
use crate::lambda::Lambda;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Must exceed the longest legitimate response time: a long poll, or an invocation that runs into its timeout.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// The limit of a call including its retries.
const OPERATION_LIMIT: Duration = Duration::from_secs(120);

/// The clients for a stack, and those that run its event sources. It dereferences to the former.
#[derive(Debug, Clone)]
pub struct Clients {
    stack: onewrite_stack::clients::Clients,
    pub functions: Lambda,
    pub buckets: Buckets,
    pub streams: aws_sdk_dynamodbstreams::Client,
}

impl Deref for Clients {
    type Target = onewrite_stack::clients::Clients;

    fn deref(&self) -> &Self::Target {
        &self.stack
    }
}

impl Clients {
    /// Creates clients for the emulator at `endpoint`.
    #[must_use]
    pub fn new(endpoint: &str, credentials: &Credentials) -> Self {
        Self::from_config(&config(endpoint, credentials))
    }

    /// Creates clients for the account, region and endpoint of the environment or profile, as AWS's own tools do.
    pub async fn from_environment() -> Self {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
        let shared = aws_config::defaults(clients::behavior_version())
            .http_client(http::client(endpoint.as_deref()))
            .timeout_config(timeouts(READ_LIMIT, OPERATION_LIMIT))
            .retry_config(clients::retries());
        Self::from_config(&shared.load().await)
    }

    fn from_config(shared: &SdkConfig) -> Self {
        Self {
            stack: onewrite_stack::clients::Clients::new(shared),
            functions: Lambda::new(shared),
            buckets: Buckets::new(shared),
            streams: aws_sdk_dynamodbstreams::Client::new(shared),
        }
    }
}

/// The configuration of the clients for an emulator. Tests may derive their own from it.
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
        .behavior_version(clients::behavior_version())
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(identity))
        .http_client(http::client(Some(endpoint)))
        .timeout_config(timeouts(READ_LIMIT, OPERATION_LIMIT))
        .retry_config(clients::retries())
        .build()
}

fn timeouts(read: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(read)
        .operation_attempt_timeout(read)
        .operation_timeout(operation)
        .build()
}
