//! Everything that can stop the local stack, each with one line that says what happened and one that says what to do.
//!
//! A broken obligation of the pipeline is not here: that is a result, which the oracle reports.

use std::path::PathBuf;

/// Why the local stack could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No Python interpreter of a usable version on `PATH`.
    #[error("no python3 of version 3.10 or newer was found{}", .found.as_deref().map(|v| format!(" (found {v})")).unwrap_or_default())]
    PythonMissing {
        /// The version that was found instead, when there was one.
        found: Option<String>,
    },
    /// The interpreter cannot make virtual environments.
    #[error("python3 has no working venv module")]
    VenvMissing,
    /// The toolchain that fuzz targets are built by is not there.
    #[error("the nightly toolchain of Rust is not installed")]
    NightlyMissing,
    /// Rust's standard library for a target is not there.
    #[error("Rust cannot build for {target}")]
    TargetMissing {
        /// The target.
        target: &'static str,
    },
    /// A function is larger than Lambda takes.
    #[error("{} has {bytes} bytes, more than Lambda takes", .path.display())]
    TooLarge {
        /// The binary.
        path: PathBuf,
        /// How large it is.
        bytes: u64,
    },
    /// The pinned packages could not be downloaded.
    #[error("the Python packages could not be downloaded: {reason}")]
    PackagesUnreachable {
        /// pip's own last word.
        reason: String,
    },
    /// A program could not be started at all.
    #[error("{program} could not be started: {source}")]
    Spawn {
        /// What was to be started.
        program: String,
        /// Why the operating system refused.
        source: std::io::Error,
    },
    /// A program that must succeed did not.
    #[error("{step} failed: {reason}")]
    Step {
        /// What was being done.
        step: String,
        /// The last lines it wrote.
        reason: String,
        /// Where all it wrote can be read.
        log: PathBuf,
    },
    /// The port the user asked for is taken.
    #[error("port {port} is already in use on 127.0.0.1")]
    PortBusy {
        /// The port.
        port: u16,
    },
    /// A part of the stack did not get ready in time.
    #[error("{what} was not ready within {seconds} s")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// Where its output is.
        log: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the user's messages cannot be sent.
    #[error("{}, line {line}: {reason}", .path.display())]
    MessageFile {
        /// The file; `-` for standard input.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why it cannot be sent. Never the message itself.
        reason: String,
    },
    /// No stack is running, or its description cannot be read.
    #[error("no running stack: {reason}")]
    NoStack {
        /// Why.
        reason: String,
    },
    /// A deployed stack is not free for a run: the run would take its dead letters for its own.
    #[error("{queue} holds {messages} messages")]
    StackInUse {
        /// The queue's URL.
        queue: String,
        /// How many, visible or not.
        messages: usize,
    },
    /// Another `up` owns the description of the running stack.
    #[error("`cargo local up` is already running in this workspace")]
    AlreadyUp,
    /// A call to the emulator failed.
    #[error("{call} failed: {reason}")]
    Aws {
        /// The API call.
        call: &'static str,
        /// The error with its causes, on one line.
        reason: String,
    },
    /// What was deployed is not what this tool was written for.
    #[error("the deployed stack is not as expected: {0}")]
    Deployed(String),
    /// Ctrl-C or SIGTERM before the work was done.
    #[error("interrupted")]
    Interrupted,
}

impl LocalError {
    /// A failed SDK call, its causes flattened into one line.
    pub(crate) fn aws<E: std::error::Error>(call: &'static str, error: &E) -> Self {
        Self::Aws {
            call,
            reason: causes(error),
        }
    }

    /// A file operation that failed.
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            path: path.into(),
            source,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::PythonMissing { .. } => "install Python 3.10 or newer and make sure that `python3` is on PATH".into(),
            Self::VenvMissing => "install it (on Debian and Ubuntu: apt install python3-venv)".into(),
            Self::NightlyMissing => "install it: rustup toolchain install nightly".into(),
            Self::TargetMissing { target } => format!("install its standard library: rustup target add {target}"),
            Self::PackagesUnreachable { .. } => {
                "connect to the network, or name a package index in PIP_INDEX_URL; it is needed only the first time"
                    .into()
            }
            Self::Spawn { .. } => "check that it is installed and on PATH".into(),
            Self::Step { log, .. } | Self::NotReady { log, .. } => format!("all its output is in {}", log.display()),
            Self::PortBusy { .. } => "leave --port out to take a free one, or end what listens there".into(),
            Self::MessageFile { .. } => "every line is one message; a message is 1 byte to 1 MiB of text".into(),
            Self::NoStack { .. } => "start one with `cargo local up`".into(),
            Self::StackInUse { .. } => "use a stack that nobody else sends to, and empty its queues first".into(),
            Self::AlreadyUp => "use its stack (target/local/stack.json tells where it is), or end it first".into(),
            Self::File { .. } | Self::Aws { .. } | Self::Deployed(_) | Self::TooLarge { .. } | Self::Interrupted => return None,
        })
    }
}

/// An error and all its causes on one line, without saying anything twice.
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

/// The result of everything in this crate that touches the outside.
pub type Result<T> = std::result::Result<T, LocalError>;
