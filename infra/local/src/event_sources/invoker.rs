//! How a function is invoked: synchronously, once, with an answer in bounded time.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use onewrite_event_sources::outcome::Outcome;

/// What a poller invokes. A test may put a decorator around one, to fail on purpose or to keep a record.
#[async_trait]
pub trait Invoker: Send + Sync {
    /// Invokes `function` with this event.
    ///
    /// An implementation MUST answer in bounded time and MUST NOT repeat the invocation by itself. Where it cannot
    /// know whether the code ran, it MUST answer [`Outcome::FunctionError`], for then it may have run.
    async fn invoke(&self, function: &Function, payload: String) -> Invoked;
}

/// The end of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoked {
    /// How it ended.
    pub outcome: Outcome,
    /// The id that the function's log has it under, where the service told it.
    pub request_id: Option<String>,
}

/// A deployed function, as its mappings see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name in the deployed stack.
    pub name: String,
    /// What its mapping invokes: the function or an alias of it.
    pub arn: String,
    /// Its own time limit, in seconds.
    pub timeout_seconds: u32,
}

/// Added to a function's own time limit before an invocation is given up: the emulator ends it first.
const GRACE: Duration = Duration::from_secs(15);

/// The emulator's Invoke API: the function as it was deployed, with its role, memory and time limit.
#[derive(Debug, Clone)]
pub struct Deployed {
    client: aws_sdk_lambda::Client,
}

impl Deployed {
    /// Through this client, which MUST NOT retry.
    #[must_use]
    pub fn new(client: aws_sdk_lambda::Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Invoker for Deployed {
    async fn invoke(&self, function: &Function, payload: String) -> Invoked {
        let limit = Duration::from_secs(function.timeout_seconds.into()) + GRACE;
        let call = self
            .client
            .invoke()
            .function_name(&function.arn)
            .payload(Blob::new(payload))
            .send();
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(output)) => answered(output),
            Ok(Err(error)) => unnamed(refused(&error)),
            Err(_) => unnamed(timed_out(limit)),
        }
    }
}

/// `cargo lambda watch`: the functions' binaries, built again when their source changes.
///
/// It speaks the same API, except that a function's error is an HTTP 500, and it knows a function by its binary.
#[derive(Debug, Clone)]
pub struct Watched {
    client: aws_sdk_lambda::Client,
    binaries: BTreeMap<String, String>,
    build_limit: Duration,
}

impl Watched {
    /// Through this client; `binaries` by deployed function name. An invocation may have to wait `build_limit` for
    /// the compiler.
    #[must_use]
    pub fn new(
        client: aws_sdk_lambda::Client,
        binaries: BTreeMap<String, String>,
        build_limit: Duration,
    ) -> Self {
        Self {
            client,
            binaries,
            build_limit,
        }
    }
}

#[async_trait]
impl Invoker for Watched {
    async fn invoke(&self, function: &Function, payload: String) -> Invoked {
        let Some(binary) = self.binaries.get(&function.name) else {
            let reason = format!("no binary is known for {}", function.name);
            return unnamed(Outcome::InvocationError(reason));
        };
        let limit = Duration::from_secs(function.timeout_seconds.into()) + self.build_limit;
        let call = self
            .client
            .invoke()
            .function_name(binary)
            .payload(Blob::new(payload))
            .send();
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(output)) => answered(output),
            Ok(Err(error)) if status(&error) == Some(500) => {
                unnamed(Outcome::FunctionError("Unhandled".into()))
            }
            Ok(Err(error)) => unnamed(refused(&error)),
            Err(_) => unnamed(timed_out(limit)),
        }
    }
}

fn answered(output: InvokeOutput) -> Invoked {
    let request_id = output.request_id().map(ToOwned::to_owned);
    let payload = output.payload.map(Blob::into_inner).unwrap_or_default();
    let outcome = match (output.function_error, String::from_utf8(payload)) {
        (Some(kind), _) => Outcome::FunctionError(kind),
        (None, Ok(text)) => Outcome::Response(text),
        (None, Err(_)) => Outcome::FunctionError("the response is not UTF-8".into()),
    };
    Invoked {
        outcome,
        request_id,
    }
}

fn unnamed(outcome: Outcome) -> Invoked {
    Invoked {
        outcome,
        request_id: None,
    }
}

/// Only an answer says that the code did not run; without one it may have.
fn refused(error: &SdkError<InvokeError>) -> Outcome {
    let code = error.code().unwrap_or("no error code").to_owned();
    match status(error) {
        Some(429) => Outcome::Throttled,
        Some(_) => Outcome::InvocationError(code),
        None if error.as_service_error().is_none() => {
            Outcome::FunctionError(crate::error::causes(error))
        }
        None => Outcome::InvocationError(code),
    }
}

fn timed_out(limit: Duration) -> Outcome {
    Outcome::FunctionError(format!("no answer within {} s", limit.as_secs()))
}

fn status(error: &SdkError<InvokeError>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}
