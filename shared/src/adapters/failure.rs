//! What a failed SDK call means to us, in words that hold nothing of the request or the response.

use std::{error::Error, io, iter::successors};

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{stream::StreamError, table::TableError};

/// A call that failed, by what the caller may conclude.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    Throttled { code: String },
    Unknown { reason: String },
    Refused { code: String },
}

impl Failure {
    /// Reads an SDK error. An error's own text is not used where the service or the caller wrote it: messages of
    /// DynamoDB quote values, and the raw response of a failed condition holds the old item.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ConstructionFailure(_) => Self::refused("ConstructionFailure"),
            SdkError::TimeoutError(_) => Self::unknown(timeout_text(error.source())),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                let connector = failure.as_connector_error();
                Self::unknown(timeout_text(connector.and_then(Error::source)))
            }
            SdkError::DispatchFailure(_) => Self::unknown(io_text(error)),
            SdkError::ResponseError(failure) => Self::unknown(format!(
                "HTTP {} with an unreadable body",
                failure.raw().status()
            )),
            SdkError::ServiceError(failure) => {
                Self::of_code(failure.err().code(), failure.raw().status().as_u16())
            }
            _ => Self::unknown("an error the SDK does not name"),
        }
    }

    /// Reads the code of a reason for which a transaction was canceled: nothing was written.
    pub(super) fn of_reason(code: &str) -> Self {
        Self::of_code(Some(code), 400)
    }

    /// Reads the code of a statement that failed in a batch: nothing was written, unless the server failed.
    pub(super) fn of_statement(code: Option<&str>) -> Self {
        let status = if code == Some("InternalServerError") {
            500
        } else {
            400
        };
        Self::of_code(code, status)
    }

    /// Whether trying again at once may heal it.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unknown { .. } => true,
            Self::Refused { .. } => false,
        }
    }

    fn of_code(code: Option<&str>, status: u16) -> Self {
        match code {
            Some(code) if THROTTLING_CODES.contains(&code) => Self::Throttled {
                code: code.to_owned(),
            },
            Some(code) if status >= 500 || UNKNOWN_CODES.contains(&code) => Self::unknown(code),
            Some(code) => Self::refused(code),
            None if (400..500).contains(&status) => Self::refused(&format!("HTTP {status}")),
            // Also a success whose body cannot be read: the write has most likely happened.
            None => Self::unknown(format!("HTTP {status} with an unreadable body")),
        }
    }

    pub(super) fn refused(code: &str) -> Self {
        Self::Refused {
            code: code.to_owned(),
        }
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }
}

/// Codes of a service that refuses now and may accept later; nothing was done.
const THROTTLING_CODES: [&str; 12] = [
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "TransactionConflict",
    "TransactionConflictException",
];

/// Codes below 500 that leave the outcome open: an earlier attempt of the same call may be under way.
const UNKNOWN_CODES: [&str; 3] = [
    "RequestTimeout",
    "RequestTimeoutException",
    "TransactionInProgressException",
];

/// Which timeout, and after how long: the SDK's own words, made of nothing else.
fn timeout_text(timeout: Option<&(dyn Error + 'static)>) -> String {
    timeout.map_or_else(|| "timeout".to_owned(), ToString::to_string)
}

/// The kind of the I/O error at the bottom, without its text.
fn io_text(error: &(dyn Error + 'static)) -> String {
    successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref::<io::Error>())
        .map_or_else(
            || "the connection broke".to_owned(),
            |error| error.kind().to_string(),
        )
}

impl From<Failure> for TableError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Throttled { code } => Self::Throttled { code },
            Failure::Unknown { reason } => Self::Unknown { reason },
            Failure::Refused { code } => Self::Refused { code },
        }
    }
}

impl From<Failure> for StreamError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Throttled { code } => Self::Throttled { code },
            Failure::Unknown { reason } => Self::Unknown { reason },
            Failure::Refused { code } => Self::Refused { code },
        }
    }
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
    fn only_what_was_surely_not_applied_is_refused() {
        let response = HttpResponse::new(413.try_into().unwrap(), SdkBody::empty());
        for (error, failure) in [
            (
                Failed::construction_failure(timed_out()),
                Failure::refused("ConstructionFailure"),
            ),
            (
                Failed::timeout_error(timed_out()),
                Failure::unknown("after 2 s"),
            ),
            (
                Failed::dispatch_failure(ConnectorError::timeout(timed_out().into())),
                Failure::unknown("after 2 s"),
            ),
            (
                Failed::dispatch_failure(ConnectorError::io(
                    io::Error::new(io::ErrorKind::ConnectionReset, "words").into(),
                )),
                Failure::unknown("connection reset"),
            ),
            (
                Failed::response_error(timed_out(), response),
                Failure::unknown("HTTP 413 with an unreadable body"),
            ),
        ] {
            assert_eq!(Failure::of(&error), failure, "{error:?}");
        }
        let of = |status| Failure::of_code(None, status);
        assert_eq!(of(413), Failure::refused("HTTP 413"));
        for status in [200, 500] {
            assert!(matches!(of(status), Failure::Unknown { .. }), "{status}");
        }
    }
}
