//! One SDK client for each service.

use aws_config::SdkConfig;

#[cfg(feature = "operator")]
use onewrite_aws::json_service::JsonService;

/// The clients of the services that a stack uses. They share connections.
#[derive(Debug, Clone)]
pub struct Clients {
    /// For resources of other services and regions, which only `doctor` reads.
    #[cfg(feature = "operator")]
    pub config: SdkConfig,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    pub sqs: aws_sdk_sqs::Client,
    #[cfg(feature = "operator")]
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    #[cfg(feature = "operator")]
    pub lambda: aws_sdk_lambda::Client,
    #[cfg(feature = "operator")]
    pub logs: JsonService,
    #[cfg(feature = "operator")]
    pub s3: aws_sdk_s3::Client,
}

impl Clients {
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            #[cfg(feature = "operator")]
            config: config.clone(),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            kinesis: aws_sdk_kinesis::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            #[cfg(feature = "operator")]
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            #[cfg(feature = "operator")]
            lambda: aws_sdk_lambda::Client::new(config),
            #[cfg(feature = "operator")]
            logs: JsonService::cloudwatch_logs(config),
            #[cfg(feature = "operator")]
            s3: s3(config),
        }
    }
}

#[cfg(feature = "operator")]
fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config)
        // Emulators have no host name for each bucket.
        .force_path_style(config.endpoint_url().is_some())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
