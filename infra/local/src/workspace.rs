//! The directories of the workspace, and locks that let several processes share them.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{LocalError, Result};
use crate::progress::Progress;

/// The functions. Their directories and their binaries have the same names.
pub const FUNCTIONS: [&str; 3] = ["ingest", "forward", "complete"];

/// Time between two attempts to acquire a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The workspace's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that this tool was built from.
    #[must_use]
    pub fn here() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: manifest
                .ancestors()
                .nth(2)
                .unwrap_or(manifest)
                .to_path_buf(),
        }
    }

    /// A workspace in another directory.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory of `template.yaml`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that this tool writes to.
    #[must_use]
    pub fn local(&self) -> PathBuf {
        self.root.join("target").join("local")
    }

    /// The parent of the stacks' directories, which hold their logs and temporary files.
    #[must_use]
    pub fn stacks(&self) -> PathBuf {
        self.local().join("stacks")
    }

    /// The description of the stack that `cargo local up` runs.
    #[must_use]
    pub fn stack_file(&self) -> PathBuf {
        self.local().join("stack.json")
    }
}

/// A lock on a file. It is released when its holder exits, even if the holder is killed.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Acquires the lock, waiting if another process holds it.
    ///
    /// # Errors
    /// [`LocalError::File`] if the lock file cannot be created.
    pub async fn acquire(path: &Path, progress: Progress) -> Result<Self> {
        if let Some(lock) = Self::try_acquire(path)? {
            return Ok(lock);
        }
        let step = progress.step("Waiting for another process that does the same");
        loop {
            tokio::time::sleep(LOCK_POLL).await;
            if let Some(lock) = Self::try_acquire(path)? {
                step.done();
                return Ok(lock);
            }
        }
    }

    /// Acquires the lock if no process holds it.
    ///
    /// # Errors
    /// [`LocalError::File`] if the lock file cannot be created.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| LocalError::file(parent, source))?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|source| LocalError::file(path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(LocalError::file(path, source)),
        }
    }
}
