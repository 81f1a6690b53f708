//! Invokes a function: synchronously, once, in bounded time.

use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use onewrite_aws::signed_service::{Response, SendError};
use onewrite_event_sources::invocation::InvocationOutcome;

use crate::lambda::Lambda;

/// Invokes functions for a poller. Tests decorate it to inject failures or to record invocations.
#[async_trait]
pub trait Invoker: Send + Sync {
    /// Invokes `function` with this event.
    ///
    /// An implementation MUST return in bounded time and MUST NOT retry. If it does not know whether the code ran, it
    /// MUST return [`InvocationOutcome::FunctionError`], because the code may have run.
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult;
}

/// The result of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationResult {
    pub outcome: InvocationOutcome,
    /// The request id in the function's log, if the service returned it.
    pub request_id: Option<String>,
}

/// A deployed function, as its event source mappings see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// The ARN that the mapping invokes: the function's or an alias's.
    pub arn: String,
    pub timeout_seconds: u32,
}

/// Added to the function's timeout before the client stops waiting, so that the emulator's timeout comes first.
const GRACE: Duration = Duration::from_secs(15);

/// Invokes the deployed function through the emulator's Invoke API, with its role, memory and timeout.
#[derive(Debug, Clone)]
pub struct LambdaInvoker {
    client: Lambda,
}

impl LambdaInvoker {
    #[must_use]
    pub fn new(client: Lambda) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Invoker for LambdaInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        let limit = Duration::from_secs(function.timeout_seconds.into()) + GRACE;
        let call = self.client.invoke(&function.arn, payload);
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => from_response(response),
            Ok(Err(error)) => without_request_id(outcome_of_error(&error)),
            Err(_) => without_request_id(timed_out(limit)),
        }
    }
}

/// Lambda API reference, `Invoke`: a header tells that the function failed.
fn from_response(response: Response) -> InvocationResult {
    let request_id = response.header("x-amzn-requestid").map(ToOwned::to_owned);
    let function_error = response.header("x-amz-function-error");
    let outcome = match function_error.map(ToOwned::to_owned) {
        Some(kind) => InvocationOutcome::FunctionError(kind),
        None => match String::from_utf8(response.body) {
            Ok(text) => InvocationOutcome::Response(text),
            Err(_) => InvocationOutcome::FunctionError("the response is not UTF-8".into()),
        },
    };
    InvocationResult {
        outcome,
        request_id,
    }
}

fn without_request_id(outcome: InvocationOutcome) -> InvocationResult {
    InvocationResult {
        outcome,
        request_id: None,
    }
}

/// Only an error response proves that the code did not run. Without a response, or with a part of one, it may have run.
fn outcome_of_error(error: &SendError) -> InvocationOutcome {
    if error.as_service_error().is_none() {
        return InvocationOutcome::FunctionError(crate::error::causes(error));
    }
    match status(error) {
        Some(429) => InvocationOutcome::Throttled,
        _ => {
            let code = error.code().unwrap_or("no error code");
            InvocationOutcome::InvocationError(code.to_owned())
        }
    }
}

fn timed_out(limit: Duration) -> InvocationOutcome {
    InvocationOutcome::FunctionError(format!("no response within {} s", limit.as_secs()))
}

fn status(error: &SendError) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    fn response(status: u16) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), SdkBody::empty())
    }

    #[test]
    fn code_may_have_run_if_the_response_was_cut_off() {
        let cut_off = SendError::response_error("connection reset", response(200));
        assert!(matches!(
            outcome_of_error(&cut_off),
            InvocationOutcome::FunctionError(_)
        ));
        let timed_out = SendError::timeout_error("timeout");
        assert!(matches!(
            outcome_of_error(&timed_out),
            InvocationOutcome::FunctionError(_)
        ));
        let denied = ErrorMetadata::builder().code("AccessDeniedException");
        let denied = SendError::service_error(denied.build(), response(403));
        let expected = InvocationOutcome::InvocationError("AccessDeniedException".to_owned());
        assert_eq!(outcome_of_error(&denied), expected);
        let throttled = SendError::service_error(ErrorMetadata::builder().build(), response(429));
        assert_eq!(outcome_of_error(&throttled), InvocationOutcome::Throttled);
    }
}
