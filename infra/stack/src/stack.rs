//! A deployed stack: the SDK clients for it, its outputs and its parameters.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use onewrite::notification::{MessagePointers, Pointer};

use crate::{
    error::StackError,
    location::{StackLocation, is_loopback},
    outputs::StackOutputs,
};

/// A deployed stack.
#[derive(Debug, Clone)]
pub struct Stack {
    pub name: String,
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub kinesis: aws_sdk_kinesis::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub outputs: StackOutputs,
    /// The template's parameters and their deployed values.
    pub parameters: BTreeMap<String, String>,
    /// Whether the stack runs in an emulator on this machine, where `cargo local` polls in place of the mappings.
    pub is_local: bool,
}

impl Stack {
    /// Finds a stack by its name and reads its outputs.
    ///
    /// # Errors
    /// [`StackError`]: there are no credentials, the stack does not exist, or it is not a onewrite stack.
    pub async fn find(location: &StackLocation) -> Result<Self, StackError> {
        let config = location.load_config().await?;
        let (outputs, parameters) = describe(&config, &location.stack).await?;
        let outputs = StackOutputs::new(outputs).map_err(|missing| StackError::NotOnewrite {
            name: location.stack.clone(),
            output: missing.0,
        })?;
        let name = location.stack.clone();
        Ok(Self::new(name, &config, outputs, parameters))
    }

    /// Creates the clients for a stack whose outputs are known.
    #[must_use]
    pub fn new(
        name: String,
        config: &SdkConfig,
        outputs: StackOutputs,
        parameters: BTreeMap<String, String>,
    ) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(config)
            // Emulators have no host name for each bucket.
            .force_path_style(config.endpoint_url().is_some())
            .build();
        Self {
            name,
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            kinesis: aws_sdk_kinesis::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(config),
            outputs,
            parameters,
            is_local: config.endpoint_url().is_some_and(is_loopback),
        }
    }

    /// Reads the pointers by which `ingest` finds the parts of a message, from the configuration of the function.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    pub async fn message_pointers(&self) -> Result<MessagePointers, StackError> {
        let configuration = self
            .lambda
            .get_function_configuration()
            .function_name(&self.outputs.ingest)
            .send()
            .await
            .map_err(|error| StackError::from_sdk("GetFunctionConfiguration", &error))?;
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

type Texts = BTreeMap<String, String>;

/// Reads the outputs and the parameters of a stack.
async fn describe(config: &SdkConfig, name: &str) -> Result<(Texts, Texts), StackError> {
    let described = aws_sdk_cloudformation::Client::new(config)
        .describe_stacks()
        .stack_name(name)
        .send()
        .await;
    let not_found = || StackError::StackNotFound {
        name: name.to_owned(),
        region: config.region().map(ToString::to_string).unwrap_or_default(),
    };
    let described = described.map_err(|error| {
        match StackError::from_sdk("DescribeStacks", &error) {
            // CloudFormation has no error code of its own for a stack that does not exist.
            StackError::Call { reason, .. } if reason == "ValidationError" => not_found(),
            other => other,
        }
    })?;
    let stack = described
        .stacks
        .and_then(|stacks| stacks.into_iter().next());
    let stack = stack.ok_or_else(not_found)?;
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
