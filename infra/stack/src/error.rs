//! Errors of the access to a stack.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// The reason why a stack could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// There are no credentials, or AWS rejects them.
    #[error("no usable credentials: {reason}")]
    Credentials { reason: String },
    /// The credentials do not allow this call.
    #[error("{call}: access denied")]
    AccessDenied { call: &'static str },
    #[error("stack {name:?} does not exist in {region}")]
    StackNotFound { name: String, region: String },
    /// The stack was deployed from another template.
    #[error("stack {name:?} is not a onewrite stack: it has no output {output}")]
    NotOnewrite { name: String, output: &'static str },
    #[error("no region is set")]
    NoRegion,
    /// AWS, or the emulator, cannot be reached.
    #[error("{call}: no connection: {reason}")]
    NoConnection { call: &'static str, reason: String },
    #[error("{call} failed: {reason}")]
    Call {
        call: &'static str,
        /// The service's error code, or the kind of failure if the service returned no code.
        reason: String,
    },
}

/// The error codes of a caller that AWS does not recognize.
const UNKNOWN_CALLER: [&str; 9] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "MissingAuthenticationToken",
];

/// The error codes of a caller without the permission.
const ACCESS_DENIED: [&str; 4] = [
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthorizationError",
];

impl StackError {
    /// Converts a failed SDK call. Of the service's response it keeps only the error code: the message may quote stored
    /// data.
    pub fn from_sdk<E: ProvideErrorMetadata, R: std::fmt::Debug>(
        call: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        match error.code() {
            Some(code) if UNKNOWN_CALLER.contains(&code) => Self::Credentials {
                reason: code.to_owned(),
            },
            Some(code) if ACCESS_DENIED.contains(&code) => Self::AccessDenied { call },
            Some(code) => Self::Call {
                call,
                reason: code.to_owned(),
            },
            None => match error {
                SdkError::DispatchFailure(failure) => Self::NoConnection {
                    call,
                    reason: failure
                        .as_connector_error()
                        .map_or_else(|| error.to_string(), |error| root_cause(error)),
                },
                _ => Self::Call {
                    call,
                    reason: error.to_string(),
                },
            },
        }
    }
}

/// The last error of the chain: the operating system's or the TLS library's own words. A connection that failed has no
/// response, so there is nothing to quote.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    #[test]
    fn names_the_cause_of_a_failed_connection() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let outer = std::io::Error::other(refused);
        let failure = ConnectorError::io(outer.into());
        let error = SdkError::<GetItemError, ()>::dispatch_failure(failure);
        let error = StackError::from_sdk("DescribeStacks", &error).to_string();
        assert_eq!(error, "DescribeStacks: no connection: connection refused");
    }
}
