//! What keeps a command from its answer, each in one line, with what to do and its exit code.

use std::process::ExitCode;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// Exit code: the command could not do its work.
pub const FAILED: u8 = 1;
/// Exit code: no such notification. Wrong usage is 2, by clap.
pub const NOT_FOUND: u8 = 3;
/// Exit code: credentials are missing, expired, or not allowed to look.
pub const CREDENTIALS: u8 = 4;
/// Exit code: the question was not answered by yes, or could not be asked. Nothing was changed.
pub const DECLINED: u8 = 5;
/// Exit code: wrong usage that only the work itself brings to light; clap's own code for what it sees.
pub const USAGE: u8 = 2;
/// Exit code: `doctor` has found something that breaks a promise.
pub const FINDINGS: u8 = 6;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There are no credentials, or AWS does not accept them.
    #[error("no usable credentials: {reason}")]
    Credentials {
        /// Why, as the SDK or the service says.
        reason: String,
    },
    /// The credentials may not make this call.
    #[error("{call}: not allowed")]
    NotAllowed {
        /// The API call.
        call: &'static str,
    },
    /// There is no such stack.
    #[error("there is no stack {name:?} in {region}")]
    NoStack {
        /// Its name.
        name: String,
        /// Where it was looked for.
        region: String,
    },
    /// The stack is none of this project's.
    #[error("the stack {name:?} has no output {output}")]
    OtherStack {
        /// Its name.
        name: String,
        /// The output it should have.
        output: &'static str,
    },
    /// No region is set.
    #[error("no region is set")]
    NoRegion,
    /// The question was answered by no.
    #[error("declined; nothing was changed")]
    Declined,
    /// Something is to be changed, and there is nobody to ask.
    #[error("there is no terminal to ask on; nothing was changed")]
    NobodyToAsk,
    /// The checkpoint could not be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Where it is.
        path: String,
        /// Why.
        reason: String,
    },
    /// The checkpoint is of a run with other arguments.
    #[error("{path} is the checkpoint of another run: {what}")]
    OtherRun {
        /// Where it is.
        path: String,
        /// What differs.
        what: String,
    },
    /// A table of prices cannot be used.
    #[error("prices of {file}: {reason}")]
    Prices {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A call failed.
    #[error("{call} failed: {reason}")]
    Aws {
        /// The API call.
        call: &'static str,
        /// The service's code, or the kind of the failure.
        reason: String,
    },
}

/// Codes by which AWS says that it does not know the caller.
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

/// Codes by which AWS says that the caller may not.
const NOT_ALLOWED: [&str; 4] = [
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthorizationError",
];

impl OperatorError {
    /// Of a failed SDK call. The service's own words are left out, but for its code: they may quote what is stored.
    pub(crate) fn of<E: ProvideErrorMetadata, R>(call: &'static str, error: &SdkError<E, R>) -> Self
    where
        R: std::fmt::Debug,
    {
        match error.code() {
            Some(code) if UNKNOWN_CALLER.contains(&code) => Self::Credentials {
                reason: code.to_owned(),
            },
            Some(code) if NOT_ALLOWED.contains(&code) => Self::NotAllowed { call },
            Some(code) => Self::Aws {
                call,
                reason: code.to_owned(),
            },
            None => Self::Aws {
                call,
                reason: error.to_string(),
            },
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Credentials { .. } => {
                "name a profile by --profile, log in (`aws sso login`), or set AWS_ACCESS_KEY_ID and its secret"
            }
            Self::NotAllowed { .. } => {
                "use a role that may make this call on the stack's resources"
            }
            Self::NoStack { .. } => {
                "name it by --stack, and its region by --region; `aws cloudformation list-stacks` tells which there are"
            }
            Self::OtherStack { .. } => {
                "name a stack that was deployed from this project's template.yaml"
            }
            Self::NoRegion => "name one by --region, AWS_REGION or the profile",
            Self::NobodyToAsk => "give --yes to do it without a question",
            Self::OtherRun { .. } => {
                "give the arguments it was begun with, name another file, or delete it to begin anew"
            }
            Self::Prices { .. } => "`onewrite cost --print-prices` writes one to begin with",
            Self::Declined | Self::File { .. } | Self::Aws { .. } => return None,
        })
    }

    /// The process' exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Credentials { .. } | Self::NotAllowed { .. } => CREDENTIALS,
            Self::Declined | Self::NobodyToAsk => DECLINED,
            Self::OtherRun { .. } => USAGE,
            _ => FAILED,
        })
    }
}
