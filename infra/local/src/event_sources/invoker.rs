//! Invokes a function: synchronously, once, in bounded time.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use onewrite_event_sources::invocation::InvocationOutcome;

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
    client: aws_sdk_lambda::Client,
}

impl LambdaInvoker {
    /// `client` MUST NOT retry.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Invoker for LambdaInvoker {
    async fn invoke(&self, function: &Function, payload: String) -> InvocationResult {
        let limit = Duration::from_secs(function.timeout_seconds.into()) + GRACE;
        let call = self
            .client
            .invoke()
            .function_name(&function.arn)
            .payload(Blob::new(payload))
            .send();
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(output)) => from_output(output),
            Ok(Err(error)) => without_request_id(outcome_of_error(&error)),
            Err(_) => without_request_id(timed_out(limit)),
        }
    }
}

fn from_output(output: InvokeOutput) -> InvocationResult {
    let request_id = output.request_id().map(ToOwned::to_owned);
    let payload = output.payload.map(Blob::into_inner).unwrap_or_default();
    let outcome = match (output.function_error, String::from_utf8(payload)) {
        (Some(kind), _) => InvocationOutcome::FunctionError(kind),
        (None, Ok(text)) => InvocationOutcome::Response(text),
        (None, Err(_)) => InvocationOutcome::FunctionError("the response is not UTF-8".into()),
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

/// Only an error response proves that the code did not run. Without a response it may have run.
fn outcome_of_error(error: &SdkError<InvokeError>) -> InvocationOutcome {
    let code = error.code().unwrap_or("no error code").to_owned();
    match status(error) {
        Some(429) => InvocationOutcome::Throttled,
        Some(_) => InvocationOutcome::InvocationError(code),
        None if error.as_service_error().is_none() => {
            InvocationOutcome::FunctionError(crate::error::causes(error))
        }
        None => InvocationOutcome::InvocationError(code),
    }
}

fn timed_out(limit: Duration) -> InvocationOutcome {
    InvocationOutcome::FunctionError(format!("no response within {} s", limit.as_secs()))
}

fn status(error: &SdkError<InvokeError>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}
