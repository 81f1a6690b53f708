//! Errors of the local stack. Each has one line that says what happened and one that says what to do.
//!
//! A broken guarantee of the pipeline is not an error: the oracle reports it as a result.

use std::path::PathBuf;

use onewrite_stack::error::StackError;
use onewrite_stack::outputs::MissingOutput;

/// The reason the local stack failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("no python3 of version 3.10 or newer was found{}", .found.as_deref().map(|v| format!(" (found {v})")).unwrap_or_default())]
    PythonMissing {
        /// The version that was found instead, if any.
        found: Option<String>,
    },
    #[error("python3 has no working venv module")]
    VenvMissing,
    #[error("the nightly toolchain of Rust is not installed")]
    NightlyMissing,
    #[error("Rust cannot build for {target}: its standard library is not installed")]
    TargetMissing { target: &'static str },
    #[error("{} has {bytes} bytes, which exceeds Lambda's limit", .path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("failed to download the Python packages: {reason}")]
    PackagesUnreachable {
        /// The last line of pip's output.
        reason: String,
    },
    #[error("failed to start {program}: {source}")]
    Spawn {
        program: String,
        source: std::io::Error,
    },
    #[error("{step} failed: {reason}")]
    Step {
        step: String,
        /// The last lines of the output.
        reason: String,
        /// The file with all of the output.
        log: PathBuf,
    },
    #[error("port {port} is already in use on 127.0.0.1")]
    PortBusy { port: u16 },
    #[error("{what} was not ready within {seconds} s")]
    NotReady {
        /// The name of the part that did not start.
        what: String,
        seconds: u64,
        log: PathBuf,
    },
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}, line {line}: {reason}", .path.display())]
    MessageFile {
        /// The file; `-` for standard input.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The reason it cannot be sent. Never contains the message itself.
        reason: String,
    },
    /// A target of a stack cannot be created.
    #[error("{target} {reason}")]
    InvalidTarget {
        /// A name or a file.
        target: String,
        reason: String,
    },
    /// A directory that is not the one of a release package.
    #[error("{} is not a release package: {reason}", .directory.display())]
    InvalidPackage { directory: PathBuf, reason: String },
    #[error("the template has no parameter {name}")]
    UnknownParameter { name: String },
    /// The SAM CLI deployed the stack, or it is a release package.
    #[error("a stack that was started with --release or --package cannot be deployed again")]
    NotRedeployable,
    /// The process that runs the stack reports this.
    #[error("the deployment failed: {reason}")]
    Deployment { reason: String },
    #[error("no running stack: {reason}")]
    NoStack { reason: String },
    /// The queues of a deployed stack are not empty, so a run cannot tell its own dead letters apart.
    #[error("{queue} holds {messages} messages")]
    StackInUse {
        /// The queue's URL.
        queue: String,
        /// The number of messages, visible or not.
        messages: usize,
    },
    /// Another `cargo local up` owns the stack file.
    #[error("`cargo local up` is already running in this workspace")]
    AlreadyUp,
    #[error("{call} failed: {reason}")]
    Aws {
        /// The API call.
        call: &'static str,
        /// The error and its causes, on one line.
        reason: String,
    },
    /// The stack, or the output of a tool that deploys it, is not what this tool was written for.
    #[error("the deployed stack is not as expected: {0}")]
    UnexpectedStack(String),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    MissingOutput(#[from] MissingOutput),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

impl LocalError {
    /// A failed SDK call, with its causes on one line.
    pub(crate) fn aws<E: std::error::Error>(call: &'static str, error: &E) -> Self {
        Self::Aws {
            call,
            reason: causes(error),
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            path: path.into(),
            source,
        }
    }

    /// Suggests what the user can do.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::PythonMissing { .. } => "install Python 3.10 or newer and make sure that `python3` is on PATH".into(),
            Self::VenvMissing => "install it (on Debian and Ubuntu: apt install python3-venv)".into(),
            Self::NightlyMissing => "install it: rustup toolchain install nightly".into(),
            Self::TargetMissing { target } => format!("install its standard library: rustup target add {target}"),
            Self::PackagesUnreachable { .. } => {
                "connect to the network, or set PIP_INDEX_URL to a package index; this is needed only the first time"
                    .into()
            }
            Self::Spawn { .. } => "check that it is installed and on PATH".into(),
            Self::Step { log, .. } | Self::NotReady { log, .. } => format!("see the complete output in {}", log.display()),
            Self::PortBusy { .. } => "omit --port to use a free port, or stop the program that uses it".into(),
            Self::MessageFile { .. } => "each line is one message of 1 byte to 1 MiB of text".into(),
            Self::InvalidTarget { .. } => "docs/running-locally.md describes the targets".into(),
            Self::InvalidPackage { .. } => "download a release, or build one with `cargo local package`".into(),
            Self::UnknownParameter { .. } => "docs/settings.md lists the parameters".into(),
            Self::NotRedeployable => "start the stack without these options".into(),
            Self::Deployment { .. } => "the old settings still apply".into(),
            Self::NoStack { .. } => "start one with `cargo local up`".into(),
            Self::StackInUse { .. } => "use a stack that nothing else sends to, and empty its queues first".into(),
            Self::AlreadyUp => "use its stack (see target/local/stack.json), or end it first".into(),
            Self::File { .. } | Self::Aws { .. } | Self::UnexpectedStack(_) | Self::Stack(_) | Self::MissingOutput(_) | Self::TooLarge { .. } | Self::Interrupted => return None,
        })
    }
}

/// An error and its causes on one line, without repetitions.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line.replace('\n', " ")
}

/// The result of an operation of this crate that does I/O.
pub type Result<T> = std::result::Result<T, LocalError>;
