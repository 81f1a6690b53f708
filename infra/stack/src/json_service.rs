//! Calls of a service with a JSON protocol without its SDK crate.

use aws_config::SdkConfig;
use serde_json::Value;

use crate::{
    error::StackError,
    signed_service::{Request, SignedService},
};

/// A service with the protocol AWS JSON 1.1 (Smithy, "AWS JSON 1.1 protocol").
#[derive(Clone, Debug)]
pub struct JsonService {
    service: SignedService,
    /// The prefix of the header `X-Amz-Target`.
    target: &'static str,
}

impl JsonService {
    /// Amazon CloudWatch Logs.
    #[must_use]
    pub fn cloudwatch_logs(config: &SdkConfig) -> Self {
        Self {
            service: SignedService::new(config, "logs", "CloudWatch Logs"),
            target: "Logs_20140328",
        }
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    pub async fn call(&self, operation: &'static str, input: &Value) -> Result<Value, StackError> {
        let target = format!("{}.{operation}", self.target);
        let request = Request {
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", target),
            ],
            body: input.to_string(),
        };
        let response = self.service.send(operation, request).await;
        let response = response.map_err(|error| StackError::from_sdk(operation, &error))?;
        serde_json::from_slice(&response.body).map_err(|_| StackError::Call {
            call: operation,
            reason: "the response is not JSON".to_owned(),
        })
    }
}
