//! The location of a stack, and the SDK configuration for it.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::error::StackError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The name of a stack, and where to find it.
#[derive(Debug, Clone, Default)]
pub struct StackLocation {
    pub stack: String,
    /// The profile of the AWS configuration.
    pub profile: Option<String>,
    pub region: Option<String>,
    /// Replaces the AWS endpoints of all services.
    pub endpoint_url: Option<String>,
}

impl StackLocation {
    /// Loads the SDK configuration.
    ///
    /// # Errors
    /// [`StackError::NoRegion`] and [`StackError::Credentials`].
    pub async fn load_config(&self) -> Result<SdkConfig, StackError> {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard());
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(StackError::NoRegion);
        }
        check_credentials(&config).await?;
        Ok(config)
    }
}

/// Resolves the credentials now. Missing credentials are then reported as such, not as a failed call.
async fn check_credentials(config: &SdkConfig) -> Result<(), StackError> {
    let provider = config.credentials_provider();
    let provider = provider.ok_or_else(|| StackError::Credentials {
        reason: "none are configured".to_owned(),
    })?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(StackError::Credentials {
            reason: error.to_string(),
        }),
    }
}
