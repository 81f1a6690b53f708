//! Where things are: the workspace this tool was built from and its directories under `target/local`, and the locks
//! that let several processes use them at once.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{LocalError, Result};
use crate::progress::Progress;

/// Between two looks at a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The workspace's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace whose template and functions this tool belongs to.
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

    /// The workspace at another place.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory of `template.yaml`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything this tool writes is below here.
    #[must_use]
    pub fn local(&self) -> PathBuf {
        self.root.join("target").join("local")
    }

    /// A directory for each stack: its logs and its temporary files.
    #[must_use]
    pub fn stacks(&self) -> PathBuf {
        self.local().join("stacks")
    }

    /// The description of the stack that `up` keeps running.
    #[must_use]
    pub fn stack_file(&self) -> PathBuf {
        self.local().join("stack.json")
    }
}

/// A lock on a file, held by one process at a time and freed when the holder ends, however it ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits for the lock, and tells `progress` where it has to.
    ///
    /// # Errors
    /// [`LocalError::File`] when the lock file cannot be made.
    pub async fn acquire(path: &Path, progress: Progress) -> Result<Self> {
        if let Some(lock) = Self::try_acquire(path)? {
            return Ok(lock);
        }
        let step = progress.step("Waiting for another process at the same");
        loop {
            tokio::time::sleep(LOCK_POLL).await;
            if let Some(lock) = Self::try_acquire(path)? {
                step.done();
                return Ok(lock);
            }
        }
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// [`LocalError::File`] when the lock file cannot be made.
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
