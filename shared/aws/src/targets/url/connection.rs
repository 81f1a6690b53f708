//! Requests to an endpoint with the HTTP client of the SDK. It follows no redirect.

use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::context::{Error, Output},
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        ser_de::DeserializeResponse,
    },
};
use aws_smithy_types::{
    body::SdkBody, byte_stream::ByteStream, config_bag::ConfigBag, error::ErrorMetadata,
    timeout::TimeoutConfig,
};
use onewrite::completion::DownstreamError;
use tokio::time::timeout;

use crate::{
    clients,
    failure::from_sdk_error,
    targets::{
        address::{HttpUrl, InvalidTarget},
        limits::{CALL_TIMEOUT, DRAIN_TIMEOUT, HTTP_CONNECT_TIMEOUT, MAX_DRAINED_BYTES},
    },
};

/// What of a response decides.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The header `retry-after`.
    pub(super) retry_after: Option<String>,
    /// The header `onewrite-refusal`.
    pub(super) refusal: Option<String>,
}

/// An endpoint that is posted to.
pub(super) struct Connection {
    operation: Operation<Request, Head, ErrorMetadata>,
    /// It can be a secret.
    path: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

struct Request {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// A response whose body has not been read.
#[derive(Debug)]
struct Head {
    response: Response,
    body: SdkBody,
}

impl Connection {
    pub(super) fn new(config: &SdkConfig, url: &HttpUrl) -> Result<Self, InvalidTarget> {
        let client = config.http_client().ok_or(InvalidTarget::HttpClient)?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(HTTP_CONNECT_TIMEOUT)
            .read_timeout(CALL_TIMEOUT)
            .operation_attempt_timeout(CALL_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT);
        let operation = Operation::builder()
            .service_name("url")
            .operation_name("Post")
            .behavior_version(clients::behavior_version())
            .http_client(client)
            .endpoint_url(&url.origin)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts.build())
            .serializer(serialize)
            .deserializer_impl::<Head, ErrorMetadata>(ReadHead)
            .build();
        Ok(Self {
            operation,
            path: url.path.clone(),
        })
    }

    /// Posts a body. Without a response, the outcome is unknown: the endpoint may have done its work.
    pub(super) async fn post(
        &self,
        headers: Vec<(&'static str, String)>,
        body: String,
    ) -> Result<Response, DownstreamError> {
        let request = Request {
            path: self.path.clone(),
            headers,
            body,
        };
        let head = Box::pin(self.operation.invoke(request)).await;
        let head = head.map_err(|error| {
            let error = from_sdk_error(&error);
            let reason = format!("the endpoint did not answer: {error}");
            if error.is_transient() {
                DownstreamError::retry_later(reason, None)
            } else {
                DownstreamError::new(reason)
            }
        })?;
        drain(head.body).await;
        Ok(head.response)
    }
}

/// Reads a small rest of the response, because only a connection without one can be used again. The content is ignored.
async fn drain(body: SdkBody) {
    let reading = async {
        let (mut body, mut bytes) = (ByteStream::new(body), 0);
        while let Some(Ok(part)) = body.next().await {
            bytes += part.len();
            if bytes > MAX_DRAINED_BYTES {
                break;
            }
        }
    };
    // If it takes longer, the connection is closed.
    let _ = timeout(DRAIN_TIMEOUT, reading).await;
}

fn serialize(input: Request) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(input.body));
    request.set_method("POST")?;
    request.set_uri(input.path)?;
    for (name, value) in input.headers {
        request.headers_mut().try_insert(name, value)?;
    }
    Ok(request)
}

/// Takes the response before its body is read, which has no limit.
#[derive(Debug)]
struct ReadHead;

impl DeserializeResponse for ReadHead {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<Error>>> {
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        let header = |name| response.headers().get(name).map(str::to_owned);
        let head = Head {
            response: Response {
                status: response.status().as_u16(),
                retry_after: header("retry-after"),
                refusal: header("onewrite-refusal"),
            },
            body,
        };
        Some(Ok(Output::erase(head)))
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        _: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        Err(OrchestratorError::other("the response was not streamed"))
    }
}
