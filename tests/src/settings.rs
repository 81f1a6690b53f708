//! Changes the environment variables of a deployed function.

use aws_sdk_lambda::types::Environment;
use onewrite_local::clients::Clients;

/// Makes a deployed function call a service (`DYNAMODB`, `KINESIS`) at this endpoint.
///
/// # Errors
/// A call failed.
pub async fn redirect(
    clients: &Clients,
    function: &str,
    service: &str,
    endpoint: &str,
) -> anyhow::Result<()> {
    let name = format!("AWS_ENDPOINT_URL_{service}");
    set_variable(clients, function, &name, endpoint)
        .await
        .map(drop)
}

/// Sets an environment variable of a deployed function and returns the previous value.
///
/// # Errors
/// A call failed.
pub async fn set_variable(
    clients: &Clients,
    function: &str,
    name: &str,
    value: &str,
) -> anyhow::Result<Option<String>> {
    let lambda = &clients.lambda;
    let configuration = lambda
        .get_function_configuration()
        .function_name(function)
        .send()
        .await?;
    let variables = configuration
        .environment
        .and_then(|environment| environment.variables);
    let mut variables = variables.unwrap_or_default();
    let before = variables.insert(name.to_owned(), value.to_owned());
    let environment = Environment::builder()
        .set_variables(Some(variables))
        .build();
    lambda
        .update_function_configuration()
        .function_name(function)
        .environment(environment)
        .send()
        .await?;
    Ok(before)
}
