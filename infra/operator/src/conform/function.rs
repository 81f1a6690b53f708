//! A consumer that is a Lambda function of the emulator.

use std::collections::HashMap;

use aws_sdk_lambda::{
    Client,
    types::{Environment, LogType},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use onewrite_stack::error::StackError;

use super::{
    judge::Answer,
    program::read_report,
    proxy::{Proxy, Tables},
};

/// A function whose variables name the tables of the plays until [`Function::restore`].
pub struct Function {
    client: Client,
    name: String,
    variables: HashMap<String, String>,
}

impl Function {
    /// Lets the function work on these tables, through the proxy.
    ///
    /// # Errors
    /// [`StackError`]: there is no such function, or it cannot be changed.
    pub async fn prepare(
        client: Client,
        name: &str,
        tables: &Tables,
        proxy: &Proxy,
    ) -> Result<Self, StackError> {
        let call = "GetFunctionConfiguration";
        let found = client.get_function_configuration().function_name(name);
        let found = found.send().await;
        let found = found.map_err(|error| StackError::from_sdk(call, &error))?;
        let environment = found.environment.and_then(|one| one.variables);
        let function = Self {
            client,
            name: name.to_owned(),
            variables: environment.unwrap_or_default(),
        };
        let mut variables = function.variables.clone();
        variables.extend([
            ("TABLE_NAME".to_owned(), tables.notifications.clone()),
            ("LEDGER_TABLE_NAME".to_owned(), tables.ledger.clone()),
            // The emulator sets AWS_ENDPOINT_URL itself. The variable of one service has priority (AWS SDKs and Tools
            // reference guide, "Service-specific endpoints").
            ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), proxy.endpoint()),
        ]);
        function.set(variables).await?;
        Ok(function)
    }

    /// Gives the function its own variables again.
    ///
    /// # Errors
    /// [`StackError`]: the function cannot be changed.
    pub async fn restore(self) -> Result<(), StackError> {
        self.set(self.variables.clone()).await
    }

    async fn set(&self, variables: HashMap<String, String>) -> Result<(), StackError> {
        let environment = Environment::builder()
            .set_variables(Some(variables))
            .build();
        let request = self.client.update_function_configuration();
        let request = request.function_name(&self.name).environment(environment);
        let updated = request.send().await;
        let call = "UpdateFunctionConfiguration";
        updated
            .map(drop)
            .map_err(|error| StackError::from_sdk(call, &error))
    }

    /// Invokes the function with a batch. Returns its answer and the end of its log.
    ///
    /// # Errors
    /// [`StackError`]: Lambda did not invoke the function.
    pub async fn invoke(
        &self,
        batch: String,
        numbers: &[&str],
    ) -> Result<(Answer, String), StackError> {
        let request = self.client.invoke().function_name(&self.name);
        let request = request
            .log_type(LogType::Tail)
            .payload(batch.into_bytes().into());
        let output = request.send().await;
        let output = output.map_err(|error| StackError::from_sdk("Invoke", &error))?;
        let log = STANDARD.decode(output.log_result.unwrap_or_default());
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
        let payload = output.payload.unwrap_or_default();
        let response = String::from_utf8_lossy(payload.as_ref()).into_owned();
        let answer = match output.function_error {
            Some(kind) => Answer::Failed(format!("the function failed: {kind}")),
            None => read_report(&response, numbers),
        };
        Ok((answer, log + &response))
    }
}
