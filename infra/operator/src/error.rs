//! Errors of the commands: each in one line, with what to do and an exit code.

use std::process::ExitCode;

use onewrite_stack::error::StackError;

/// Exit code: the command failed.
pub const FAILED: u8 = 1;
/// Exit code: the arguments are wrong. clap uses the same code.
pub const USAGE: u8 = 2;
/// Exit code: there is no such notification.
pub const NOT_FOUND: u8 = 3;
/// Exit code: the credentials are missing, expired or not sufficient.
pub const CREDENTIALS: u8 = 4;
/// Exit code: the changes were not confirmed. Nothing was changed.
pub const DECLINED: u8 = 5;
/// Exit code: `doctor` found a configuration that breaks a guarantee.
pub const FINDINGS: u8 = 6;

/// Exit code: Ctrl-C ended the command, which changed nothing. Shells report the same code: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("declined; nothing was changed")]
    Declined,
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// Changes need confirmation, and there is no terminal to ask on.
    #[error("there is no terminal to ask for confirmation; nothing was changed")]
    NoTerminal,
    /// The checkpoint cannot be read or written.
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
    /// The checkpoint belongs to a run with other arguments.
    #[error("{path} is the checkpoint of another run: {difference}")]
    OtherRun { path: String, difference: String },
    /// SQS did not move all dead letters.
    #[error("the move task failed: {reason}")]
    MoveTask { reason: String },
    /// A sample message cannot be used.
    #[error("{file}: {reason}")]
    Message { file: String, reason: String },
    /// `conform` cannot play.
    #[error("{0}")]
    NotPlayed(String),
    /// The console cannot listen.
    #[error("port {port} of 127.0.0.1: {reason}")]
    Port { port: u16, reason: String },
    /// The price table cannot be used.
    #[error("prices of {file}: {reason}")]
    Prices { file: String, reason: String },
}

impl OperatorError {
    /// What to do about the error.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Stack(error) => return stack_help(error),
            Self::NoTerminal => "use --yes to apply the changes without confirmation",
            Self::OtherRun { .. } => {
                "repeat the arguments of that run, name another file, or delete the file to start again"
            }
            Self::Prices { .. } => "run `onewrite cost --print-prices` to create a price table",
            Self::MoveTask { .. } => {
                "the letters that were moved stay in the queue; fix the cause and repeat the command"
            }
            Self::Port { .. } => "use another --port, or omit it to use a free port",
            Self::Declined
            | Self::Interrupted
            | Self::File { .. }
            | Self::Message { .. }
            | Self::NotPlayed(_) => return None,
        })
    }

    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Stack(StackError::Credentials { .. } | StackError::AccessDenied { .. }) => {
                CREDENTIALS
            }
            Self::Declined | Self::NoTerminal => DECLINED,
            Self::Interrupted => INTERRUPTED,
            Self::OtherRun { .. } | Self::Message { .. } | Self::NotPlayed(_) => USAGE,
            Self::Stack(_)
            | Self::File { .. }
            | Self::Prices { .. }
            | Self::Port { .. }
            | Self::MoveTask { .. } => FAILED,
        })
    }
}

fn stack_help(error: &StackError) -> Option<&'static str> {
    Some(match error {
        StackError::Credentials { .. } => {
            "name a profile with --profile, log in with `aws sso login`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        }
        StackError::AccessDenied { .. } => {
            "use a role that allows this call on the stack's resources"
        }
        StackError::StackNotFound { .. } => {
            "name the stack with --stack and its region with --region; `aws cloudformation list-stacks` lists all stacks"
        }
        StackError::NotOnewrite { .. } => {
            "name a stack that was deployed from this project's template.yaml"
        }
        StackError::NoRegion => "set --region, AWS_REGION or the region of the profile",
        StackError::Call { call, reason }
            if call.ends_with("MoveTasks") && reason == "InvalidAction" =>
        {
            "this endpoint has no message move tasks; without --all, the letters are moved one by one"
        }
        StackError::NoConnection { .. } => {
            "check the endpoint and the network; HTTPS_PROXY and NO_PROXY are honoured. A local stack must be running: `cargo local up`"
        }
        StackError::Call { .. } => return None,
    })
}
