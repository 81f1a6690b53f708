//! One call of an AWS service for a target, and what its failure means.

use aws_config::{Region, SdkConfig, retry::RetryConfig};
use onewrite::{completion::DownstreamError, error::ServiceError};

use super::{
    address::Arn,
    batcher::{Delivery, TooLarge},
    limits::{CALL_TIMEOUT, MAX_BATCH_ENTRIES},
};
use crate::{
    failure::{from_sdk_error, is_throttling},
    json_service::{JsonProtocol, JsonService},
    signed_service::{Response, SendError, SignedService},
};

/// A service, as a target calls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// The name in signatures and host names.
    pub(super) name: &'static str,
    /// The name in settings and errors.
    pub(super) id: &'static str,
}

impl Service {
    /// Calls of the service in the region of `arn`, with one attempt each.
    pub(super) fn signed(self, config: &SdkConfig, arn: &Arn) -> SignedService {
        let timeouts = config.timeout_config().cloned();
        let timeouts = timeouts
            .map_or_else(Default::default, |timeouts| timeouts.to_builder())
            .read_timeout(CALL_TIMEOUT)
            .operation_attempt_timeout(CALL_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT);
        let config = config
            .to_builder()
            .region(Region::new(arn.region.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build())
            .build();
        SignedService::new(&config, self.name, self.id)
    }

    /// Calls by a JSON protocol.
    pub(super) fn json(
        self,
        config: &SdkConfig,
        arn: &Arn,
        target: &'static str,
        content_type: &'static str,
    ) -> JsonService {
        let protocol = JsonProtocol {
            target,
            content_type,
        };
        JsonService::new(self.signed(config, arn), protocol)
    }

    /// The result of a call, without anything from request and response.
    pub(super) fn answer(
        self,
        result: Result<Response, SendError>,
    ) -> Result<Response, ServiceError> {
        result.map_err(|error| from_sdk_error(&error))
    }

    /// A call that failed as a whole.
    pub(super) fn failure(self, error: &ServiceError) -> DownstreamError {
        let Self { id, .. } = self;
        match error {
            ServiceError::Throttled { code } => {
                DownstreamError::retry_later(format!("{id} throttles ({})", safe(code)), None)
            }
            // A time-out, a broken connection or a server error. The effect may have happened, and is asked for again.
            ServiceError::Unknown { reason } => DownstreamError::retry_later(
                format!("the outcome at {id} is unknown: {reason}"),
                None,
            ),
            ServiceError::Refused { code } => {
                DownstreamError::new(format!("{id} returned {}", safe(code)))
            }
        }
    }

    /// A call with a batch that failed as a whole.
    pub(super) fn batch_failure(
        self,
        sent: usize,
        error: &ServiceError,
    ) -> Result<Vec<Delivery>, TooLarge> {
        match error {
            ServiceError::Refused { code } if code == BATCH_TOO_LONG => {
                let Self { id, .. } = self;
                let reason = format!("larger than the queue or topic allows ({id})");
                Err(TooLarge(DownstreamError::permanent(reason)))
            }
            error => Ok(all(sent, &self.failure(error))),
        }
    }

    /// One entry of a batch that failed.
    pub(super) fn entry_failure(self, code: &str, is_fault: bool) -> DownstreamError {
        let Self { id, .. } = self;
        let error = match code {
            code if is_fault && INVALID_ENTRIES.contains(&code) => {
                return DownstreamError::permanent(format!(
                    "{id} does not accept the event ({code})"
                ));
            }
            code if is_throttling(code) => ServiceError::Throttled {
                code: code.to_owned(),
            },
            code if is_fault => ServiceError::refused(code),
            code => ServiceError::unknown(safe(code)),
        };
        self.failure(&error)
    }

    /// A successful response that says nothing about an entry, or cannot be read.
    pub(super) fn unreadable(self) -> DownstreamError {
        self.failure(&ServiceError::unknown("the response cannot be read"))
    }

    /// An event that the service would not accept in any call.
    pub(super) fn too_large(self) -> DownstreamError {
        let Self { id, .. } = self;
        DownstreamError::permanent(format!("larger than the service allows ({id})"))
    }
}

/// The code of SQS and SNS for a batch above the limit of the queue or the topic (SQS and SNS API references, "SendMessageBatch" and
/// "PublishBatch").
const BATCH_TOO_LONG: &str = "BatchRequestTooLong";

/// Codes of SQS and SNS for an entry that they accept in no call, for example because it is above the `MaximumMessageSize` of the
/// queue or the topic (SQS API reference, "SendMessage"; SNS developer guide, "Publishing large messages").
const INVALID_ENTRIES: [&str; 3] = [
    "InvalidMessageContents",
    "InvalidParameter",
    "InvalidParameterValue",
];

/// What a response says about one entry of a batch.
#[derive(Debug)]
pub(super) enum EntryResult {
    Accepted,
    Failed { code: String, is_fault: bool },
}

/// The results of a batch whose entries were named by their index. An entry without exactly one result has not been
/// accepted for certain.
pub(super) fn deliveries(
    service: Service,
    sent: usize,
    results: &[(String, EntryResult)],
) -> Vec<Delivery> {
    debug_assert!(sent <= MAX_BATCH_ENTRIES);
    let delivery = |index: usize| {
        let name = index.to_string();
        let mut own = results.iter().filter(|(id, _)| *id == name);
        match (own.next(), own.next()) {
            (Some((_, EntryResult::Accepted)), None) => Ok(()),
            (Some((_, EntryResult::Failed { code, is_fault })), None) => {
                Err(service.entry_failure(code, *is_fault))
            }
            _ => Err(service.unreadable()),
        }
    };
    (0..sent).map(delivery).collect()
}

/// The same result for each entry of a batch.
pub(super) fn all(sent: usize, error: &DownstreamError) -> Vec<Delivery> {
    vec![Err(error.clone()); sent]
}

/// A request that serde cannot format, which does not happen.
pub(super) fn unformattable() -> DownstreamError {
    DownstreamError::new("the request cannot be formatted")
}

/// An error code, unless it is no code. Errors are logged, and must not quote anything else.
fn safe(code: &str) -> &str {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b"._- ".contains(&byte);
    if code.len() <= 64 && code.bytes().all(is_code) {
        code
    } else {
        "an unreadable error code"
    }
}
