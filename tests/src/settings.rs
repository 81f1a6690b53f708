//! Changes the settings of a deployed function, as somebody does who deploys another value: its mapping invokes an
//! alias, so a changed function is published and the alias moved to it.

use aws_sdk_lambda::types::Environment;
use onewrite_local::clients::Clients;

/// The alias that the template's mappings invoke.
const ALIAS: &str = "live";

/// Has a deployed function reach a service (`DYNAMODB`, `KINESIS`) at this endpoint.
///
/// # Errors
/// A call that fails.
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

/// Sets an environment variable of a deployed function; returns what it was.
///
/// # Errors
/// A call that fails.
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
    let variables = configuration.environment.and_then(|set| set.variables);
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
    let published = lambda
        .publish_version()
        .function_name(function)
        .send()
        .await?;
    lambda
        .update_alias()
        .function_name(function)
        .name(ALIAS)
        .set_function_version(published.version)
        .send()
        .await?;
    Ok(before)
}
