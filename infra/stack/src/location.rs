//! The location of a stack, and the SDK configuration for it.

use std::{path::Path, time::Duration};

use aws_config::{Region, SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use onewrite_aws::{clients, http};
use serde::Deserialize;

use crate::error::StackError;

pub use onewrite_aws::http::is_loopback;

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
    /// Replace the credentials of the environment.
    pub credentials: Option<Credentials>,
}

/// The file that `cargo local up` writes, below the workspace.
const STACK_FILE: &str = "target/local/stack.json";

/// The environment variables that select an account, a region or an endpoint.
const SELECTING_VARIABLES: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

impl StackLocation {
    /// The stack that `cargo local up` runs in the workspace of `directory`, if neither an argument nor the environment
    /// selects another one. `is_set` tells whether an environment variable is set.
    #[must_use]
    pub fn find_local(&self, directory: &Path, is_set: impl Fn(&str) -> bool) -> Option<Self> {
        #[derive(Deserialize)]
        struct StackFile {
            endpoint: String,
            region: String,
            access_key_id: String,
            secret_access_key: String,
        }
        let Self {
            profile,
            region,
            endpoint_url,
            ..
        } = self;
        let is_selected = profile.is_some() || region.is_some() || endpoint_url.is_some();
        if is_selected || SELECTING_VARIABLES.into_iter().any(is_set) {
            return None;
        }
        let mut directories = directory.ancestors();
        let text = directories.find_map(|one| std::fs::read(one.join(STACK_FILE)).ok())?;
        let file: StackFile = serde_json::from_slice(&text).ok()?;
        let (key, secret) = (file.access_key_id, file.secret_access_key);
        Some(Self {
            stack: self.stack.clone(),
            profile: None,
            region: Some(file.region),
            endpoint_url: Some(file.endpoint),
            credentials: Some(Credentials::new(key, secret, None, None, STACK_FILE)),
        })
    }

    /// Loads the SDK configuration.
    ///
    /// # Errors
    /// [`StackError::NoRegion`] and [`StackError::Credentials`].
    pub async fn load_config(&self) -> Result<SdkConfig, StackError> {
        let endpoint = self.endpoint_url.clone();
        let endpoint = endpoint.or_else(|| std::env::var("AWS_ENDPOINT_URL").ok());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut loader = aws_config::defaults(clients::behavior_version())
            .http_client(http::client(endpoint.as_deref()))
            .timeout_config(timeouts.build())
            .retry_config(clients::retries());
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_local_stack_unless_another_one_is_selected() {
        let folder = std::env::temp_dir().join(format!("onewrite-location-{}", std::process::id()));
        let local = folder.join("target/local");
        let nested = folder.join("infra/operator");
        for directory in [&local, &nested] {
            std::fs::create_dir_all(directory).unwrap();
        }
        let any = StackLocation {
            stack: "onewrite".to_owned(),
            ..StackLocation::default()
        };
        assert!(any.find_local(&nested, |_| false).is_none());
        let file = r#"{"endpoint": "http://127.0.0.1:9", "region": "us-east-1",
            "access_key_id": "k", "secret_access_key": "s", "outputs": {}}"#;
        std::fs::write(local.join("stack.json"), file).unwrap();
        let found = any.find_local(&nested, |_| false).unwrap();
        assert_eq!(found.endpoint_url.as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!(found.credentials.unwrap().access_key_id(), "k");
        assert!(
            any.find_local(&nested, |name| name == "AWS_PROFILE")
                .is_none()
        );
        let elsewhere = StackLocation {
            region: Some("eu-west-1".to_owned()),
            ..any
        };
        assert!(elsewhere.find_local(&nested, |_| false).is_none());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
