//! Errors of the packaging command.

use std::path::{Path, PathBuf};

use onewrite_local::error::LocalError;

/// The package cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error("{}: {source}", .path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A template that this package cannot translate.
    #[error("template.yaml: {0}")]
    Template(String),
    #[error("{call} failed: {reason}")]
    Command {
        /// The command and its first arguments.
        call: String,
        /// The last line that it wrote.
        reason: String,
    },
    /// The output of a tool is not what this tool was written for.
    #[error("{0}")]
    Unexpected(String),
    #[error("{program} does not contain the list of its crates: {reason}")]
    NotAuditable { program: String, reason: String },
    #[error("the repository has changes that are not committed; commit them, or use --allow-dirty")]
    Dirty,
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
}

impl PackageError {
    pub(crate) fn file(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::File {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, PackageError>;

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| PackageError::file(path, source))
}
