//! Classifies SDK errors. The result holds nothing from the request or the response.

use std::{error::Error, io, iter::successors};

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use onewrite::error::ServiceError;

/// Classifies an SDK error.
///
/// Texts that the service or the caller wrote are never used: DynamoDB's messages quote values, and the raw response of
/// a failed condition contains the old item.
pub(crate) fn from_sdk_error<E>(error: &SdkError<E, HttpResponse>) -> ServiceError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => ServiceError::refused("ConstructionFailure"),
        SdkError::TimeoutError(_) => ServiceError::unknown(timeout_text(error.source())),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            let connector = failure.as_connector_error();
            ServiceError::unknown(timeout_text(connector.and_then(Error::source)))
        }
        SdkError::DispatchFailure(_) => ServiceError::unknown(io_error_kind(error)),
        SdkError::ResponseError(failure) => ServiceError::unknown(format!(
            "HTTP {} with an unreadable body",
            failure.raw().status()
        )),
        SdkError::ServiceError(failure) => {
            from_code(failure.err().code(), failure.raw().status().as_u16())
        }
        _ => ServiceError::unknown("unknown kind of SDK error"),
    }
}

/// Classifies a cancellation reason of a transaction. A canceled transaction wrote nothing.
pub(crate) fn from_cancellation_code(code: &str) -> ServiceError {
    from_code(Some(code), 400)
}

fn from_code(code: Option<&str>, status: u16) -> ServiceError {
    match code {
        Some(code) if is_throttling(code) || status == 429 => ServiceError::Throttled {
            code: code.to_owned(),
        },
        Some(code) if status >= 500 || UNKNOWN_CODES.contains(&code) => ServiceError::unknown(code),
        Some(code) => ServiceError::refused(code),
        None if (400..500).contains(&status) => ServiceError::refused(format!("HTTP {status}")),
        // Also a success whose body cannot be parsed: the write has most likely happened.
        None => ServiceError::unknown(format!("HTTP {status} with an unreadable body")),
    }
}

/// Whether the call was not executed and may succeed later.
pub(crate) fn is_throttling(code: &str) -> bool {
    THROTTLING_CODES.contains(&code)
}

/// Codes of calls that were not executed and may succeed later: those of the SDK's standard retries (aws-runtime,
/// `THROTTLING_ERRORS`), and those of single services.
const THROTTLING_CODES: [&str; 22] = [
    "BandwidthLimitExceeded",
    // Step Functions: too many executions are running.
    "ExecutionLimitExceeded",
    // SNS and SQS.
    "KMSThrottling",
    "KMSThrottlingException",
    "KmsThrottled",
    // Step Functions.
    "KmsThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    // SNS.
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    // Lambda.
    "TooManyRequestsException",
    "TransactionConflict",
    "TransactionConflictException",
];

/// Codes with an HTTP status below 500 that leave the outcome open: an earlier attempt of the same call may still run.
const UNKNOWN_CODES: [&str; 3] = [
    "RequestTimeout",
    "RequestTimeoutException",
    "TransactionInProgressException",
];

/// Which timeout expired and after how long. The SDK's text contains nothing else.
fn timeout_text(timeout: Option<&(dyn Error + 'static)>) -> String {
    timeout.map_or_else(|| "timeout".to_owned(), ToString::to_string)
}

/// The kind of the underlying I/O error, without its text.
fn io_error_kind(error: &(dyn Error + 'static)) -> String {
    successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<io::Error>())
        .map_or_else(
            || "the connection broke".to_owned(),
            |error| error.kind().to_string(),
        )
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::put_item::PutItemError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    type Failed = SdkError<PutItemError, HttpResponse>;

    fn timed_out() -> io::Error {
        io::Error::other("after 2 s")
    }

    #[test]
    fn refuses_only_calls_that_were_certainly_not_executed() {
        let response = HttpResponse::new(413.try_into().unwrap(), SdkBody::empty());
        for (error, failure) in [
            (
                Failed::construction_failure(timed_out()),
                ServiceError::refused("ConstructionFailure"),
            ),
            (
                Failed::timeout_error(timed_out()),
                ServiceError::unknown("after 2 s"),
            ),
            (
                Failed::dispatch_failure(ConnectorError::timeout(timed_out().into())),
                ServiceError::unknown("after 2 s"),
            ),
            (
                Failed::dispatch_failure(ConnectorError::io(
                    io::Error::new(io::ErrorKind::ConnectionReset, "words").into(),
                )),
                ServiceError::unknown("connection reset"),
            ),
            (
                Failed::response_error(timed_out(), response),
                ServiceError::unknown("HTTP 413 with an unreadable body"),
            ),
        ] {
            assert_eq!(from_sdk_error(&error), failure, "{error:?}");
        }
        assert_eq!(from_code(None, 413), ServiceError::refused("HTTP 413"));
        for status in [200, 500] {
            assert!(
                matches!(from_code(None, status), ServiceError::Unknown { .. }),
                "{status}"
            );
        }
    }
}
