//! Calls of a service with a JSON protocol without its SDK crate.

use aws_config::SdkConfig;

use crate::signed_service::{Request, Response, SendError, SignedService};

/// A service with the protocol AWS JSON 1.0 or 1.1 (Smithy, "AWS JSON 1.0 protocol").
#[derive(Clone, Debug)]
pub struct JsonService {
    service: SignedService,
    protocol: JsonProtocol,
}

/// How the requests of a service name their operation.
#[derive(Clone, Copy, Debug)]
pub struct JsonProtocol {
    /// The prefix of the header `X-Amz-Target`.
    pub target: &'static str,
    /// The header `Content-Type`: `application/x-amz-json-1.0` or `application/x-amz-json-1.1`.
    pub content_type: &'static str,
}

impl JsonService {
    /// A service with this protocol.
    #[must_use]
    pub fn new(service: SignedService, protocol: JsonProtocol) -> Self {
        Self { service, protocol }
    }

    /// Amazon CloudWatch Logs.
    #[must_use]
    pub fn cloudwatch_logs(config: &SdkConfig) -> Self {
        let protocol = JsonProtocol {
            target: "Logs_20140328",
            content_type: "application/x-amz-json-1.1",
        };
        Self::new(
            SignedService::new(config, "logs", "CloudWatch Logs"),
            protocol,
        )
    }

    /// Calls an operation with `input`, a JSON document. The body of the response is one too.
    ///
    /// # Errors
    /// [`SendError`]: no response, or an error response. Its message may quote the request, so log its code only.
    pub async fn call(
        &self,
        operation: &'static str,
        input: String,
    ) -> Result<Response, SendError> {
        let request = Request {
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", self.protocol.content_type.to_owned()),
                (
                    "x-amz-target",
                    format!("{}.{operation}", self.protocol.target),
                ),
            ],
            body: input,
        };
        self.service.send(operation, request).await
    }
}
