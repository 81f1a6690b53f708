//! A deployed stack: how it is reached, and where its parts are, by its own outputs.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use clap::Args;
use onewrite::notification::{MessagePointers, Pointer};

use crate::{error::OperatorError, redrive::quoted};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);

/// The stack of the template's own `samconfig.toml`.
const DEFAULT_STACK: &str = "onewrite";

/// Which stack, and as whom.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The stack's name.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "ONEWRITE_STACK",
        hide_env_values = true,
        default_value = DEFAULT_STACK
    )]
    pub stack: String,
    /// The profile of the AWS configuration to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The region of the stack.
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// Another endpoint than AWS's, for all services: the one in target/local/stack.json for `cargo local up`.
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

impl Target {
    /// How this tool is called for the same stack: for commands that are suggested.
    #[must_use]
    pub fn command(&self) -> String {
        let stack = (self.stack != DEFAULT_STACK).then_some(&self.stack);
        let flags = [
            ("--stack", stack),
            ("--profile", self.profile.as_ref()),
            ("--region", self.region.as_ref()),
            ("--endpoint-url", self.endpoint_url.as_ref()),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(value?))));
        std::iter::once("onewrite".to_owned())
            .chain(flags)
            .collect()
    }
}

/// A stack that was found.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// How this tool is called for it: for commands that are suggested.
    pub command: String,
    /// CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Kinesis Data Streams.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// Where upstream sends to.
    pub queue_url: String,
    /// Where messages are after six receives.
    pub dead_letter_queue_url: String,
    /// The audit trail.
    pub table: String,
    /// Where downstream reads.
    pub stream: String,
    /// What the stream functions could not get rid of.
    pub failure_bucket: String,
    /// The function `ingest`.
    pub ingest: String,
    /// The function `forward`.
    pub forward: String,
    /// The function `complete`.
    pub complete: String,
    /// The template's parameters, as its owner has set them.
    pub parameters: BTreeMap<String, String>,
}

impl Stack {
    /// Finds the stack.
    ///
    /// # Errors
    /// [`OperatorError`]: no credentials, no such stack, or another project's.
    pub async fn find(target: &Target) -> Result<Self, OperatorError> {
        let config = config(target).await?;
        let (all, parameters) = describe(&config, &target.stack).await?;
        let output = |name: &'static str| {
            let found = all.iter().find(|(key, _)| key == name);
            let missing = || OperatorError::OtherStack {
                name: target.stack.clone(),
                output: name,
            };
            found.map(|(_, value)| value.clone()).ok_or_else(missing)
        };
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            // Other endpoints than AWS's have no host name for each bucket.
            .force_path_style(config.endpoint_url().is_some())
            .build();
        Ok(Self {
            name: target.stack.clone(),
            command: target.command(),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(&config),
            queue_url: output("NotificationQueueUrl")?,
            dead_letter_queue_url: output("DeadLetterQueueUrl")?,
            table: output("NotificationTableName")?,
            stream: output("NotificationStreamName")?,
            failure_bucket: output("FailureBucketName")?,
            ingest: output("IngestFunctionName")?,
            forward: output("ForwardFunctionName")?,
            complete: output("CompleteFunctionName")?,
            parameters,
        })
    }

    /// Where `ingest` looks in a message body.
    ///
    /// # Errors
    /// [`OperatorError`]: the call failed.
    pub async fn pointers(&self) -> Result<MessagePointers, OperatorError> {
        let configuration = self
            .lambda
            .get_function_configuration()
            .function_name(&self.ingest)
            .send()
            .await
            .map_err(|error| OperatorError::of("GetFunctionConfiguration", &error))?;
        let variables = configuration
            .environment
            .and_then(|environment| environment.variables)
            .unwrap_or_default();
        let pointer = |name: &str, default: Pointer| {
            variables
                .get(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(default)
        };
        let default = MessagePointers::default();
        Ok(MessagePointers {
            id: pointer("NOTIFICATION_ID_POINTER", default.id),
            kind: pointer("NOTIFICATION_TYPE_POINTER", default.kind),
            payload: pointer("PAYLOAD_POINTER", default.payload),
        })
    }
}

async fn config(target: &Target) -> Result<SdkConfig, OperatorError> {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_LIMIT)
        .operation_attempt_timeout(ATTEMPT_LIMIT);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard());
    if let Some(profile) = &target.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &target.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(OperatorError::NoRegion);
    }
    // Asked for here, so that their absence is told as what it is and not as a call that failed.
    let provider = config.credentials_provider();
    let provider = provider.ok_or_else(|| OperatorError::Credentials {
        reason: "there are none".to_owned(),
    })?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(config),
        Err(error) => Err(OperatorError::Credentials {
            reason: error.to_string(),
        }),
    }
}

/// The stack's outputs and its parameters.
async fn describe(
    config: &SdkConfig,
    name: &str,
) -> Result<(Vec<(String, String)>, BTreeMap<String, String>), OperatorError> {
    let stacks = aws_sdk_cloudformation::Client::new(config)
        .describe_stacks()
        .stack_name(name)
        .send()
        .await;
    let no_stack = || OperatorError::NoStack {
        name: name.to_owned(),
        region: config.region().map(ToString::to_string).unwrap_or_default(),
    };
    let stacks = stacks.map_err(|error| {
        match OperatorError::of("DescribeStacks", &error) {
            // CloudFormation has no code of its own for a stack that is not there.
            OperatorError::Aws { reason, .. } if reason == "ValidationError" => no_stack(),
            other => other,
        }
    })?;
    let stack = stacks.stacks.and_then(|stacks| stacks.into_iter().next());
    let stack = stack.ok_or_else(no_stack)?;
    let outputs = stack.outputs.unwrap_or_default().into_iter();
    let parameters = stack.parameters.unwrap_or_default().into_iter();
    Ok((
        outputs
            .filter_map(|output| Some((output.output_key?, output.output_value?)))
            .collect(),
        parameters
            .filter_map(|parameter| Some((parameter.parameter_key?, parameter.parameter_value?)))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggested_command_is_for_the_same_stack() {
        let target = |stack: &str, region: Option<&str>| Target {
            stack: stack.to_owned(),
            profile: None,
            region: region.map(str::to_owned),
            endpoint_url: None,
        };
        assert_eq!(target("onewrite", None).command(), "onewrite");
        assert_eq!(
            target("prod", Some("eu-west-1")).command(),
            "onewrite --stack prod --region eu-west-1"
        );
    }
}
