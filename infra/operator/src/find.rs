//! Finds a stack by its name. Only this module uses CloudFormation.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use onewrite_stack::{
    error::StackError, location::StackLocation, outputs::StackOutputs, stack::Stack,
};

/// Finds a stack by its name and reads its outputs.
///
/// # Errors
/// [`StackError`]: there are no credentials, the stack does not exist, or it is not a onewrite stack.
pub async fn find(location: &StackLocation) -> Result<Stack, StackError> {
    let config = location.load_config().await?;
    let (outputs, parameters) = describe(&config, &location.stack).await?;
    let outputs = StackOutputs::new(outputs).map_err(|missing| StackError::NotOnewrite {
        name: location.stack.clone(),
        output: missing.0,
    })?;
    let name = location.stack.clone();
    Ok(Stack::new(name, &config, outputs, parameters))
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
            // For a stack that does not exist, CloudFormation returns the general code for invalid arguments.
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
            .filter_map(|parameter| {
                // An empty value differs from a template without the parameter.
                let value = parameter.parameter_value.unwrap_or_default();
                Some((parameter.parameter_key?, value))
            })
            .collect(),
    ))
}
