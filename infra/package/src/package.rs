//! Builds a package.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use onewrite_local::binaries::Architecture;
use onewrite_local::error::LocalError;
use onewrite_local::progress::Progress;
use onewrite_local::workspace::{FUNCTIONS, Workspace};

use crate::build::{Build, Commit};
use crate::contents::{self, Contents, Program};
use crate::error::{PackageError, Result};

/// What is packaged, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    pub version: String,
    /// Only this architecture. It must be supported.
    pub architecture: Option<Architecture>,
    /// A directory that does not exist or is empty. Default: [`default_directory`], whose content is replaced.
    pub out: Option<PathBuf>,
    /// Whether files may differ from the commit.
    pub allow_dirty: bool,
}

/// A package on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub directory: PathBuf,
    /// The files with their sizes in bytes.
    pub files: Vec<(String, usize)>,
    /// The architectures that this machine does not support, and the reason.
    pub skipped: Vec<(Architecture, String)>,
}

/// Returns the directory of a package.
#[must_use]
pub fn default_directory(workspace: &Workspace, version: &str) -> PathBuf {
    let target = workspace.root().join("target").join("package");
    target.join(format!("onewrite-{version}"))
}

/// Builds everything and writes the package.
///
/// # Errors
/// [`PackageError::Dirty`], [`PackageError::NotEmpty`], or a failed build.
pub async fn package(
    workspace: &Workspace,
    request: &Request,
    progress: Progress,
) -> Result<Package> {
    let commit = Commit::read(workspace.root()).await?;
    if commit.is_dirty && !request.allow_dirty {
        return Err(PackageError::Dirty);
    }
    // Before the build, which takes long.
    if let Some(out) = &request.out {
        require_empty(out)?;
    }
    let build = Build::prepare(workspace, commit.epoch, progress).await?;
    let requested = request.architecture;
    let all = requested.map_or(Architecture::ALL.to_vec(), |one| vec![one]);
    let (mut programs, mut architectures, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for architecture in all {
        match build.functions(&FUNCTIONS, architecture).await {
            Ok(paths) => {
                let named = FUNCTIONS.iter().zip(paths);
                programs
                    .extend(named.map(|(name, path)| Program::function(name, architecture, path)));
                architectures.push(architecture);
            }
            Err(PackageError::Local(error @ LocalError::TargetMissing { .. }))
                if requested.is_none() =>
            {
                let help = error.help().unwrap_or_default();
                skipped.push((architecture, format!("{error}; {help}")));
            }
            Err(error) => return Err(error),
        }
    }
    let operator = build.operator().await?;
    programs.push(Program::operator(&build.rust().host, operator));
    let contents = Contents {
        version: request.version.clone(),
        timestamp: timestamp(commit.epoch)?,
        rust: build.rust().version.clone(),
        architectures,
        programs,
        is_auditable: true,
    };
    let step = progress.step("Writing the package");
    let files = contents.files(workspace.root()).await?;
    let directory = create(workspace, request)?;
    contents::write(&files, &directory)?;
    step.done();
    Ok(Package {
        directory,
        files: files
            .into_iter()
            .map(|(name, file)| (name, file.bytes.len()))
            .collect(),
        skipped,
    })
}

fn timestamp(epoch: i64) -> Result<String> {
    let time = Timestamp::from_second(epoch);
    let unexpected = |_| PackageError::Unexpected(format!("{epoch} is not a time"));
    Ok(time.map_err(unexpected)?.to_string())
}

fn require_empty(directory: &Path) -> Result<()> {
    let is_empty = match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(source) => return Err(PackageError::file(directory, source)),
    };
    if is_empty {
        Ok(())
    } else {
        Err(PackageError::NotEmpty(directory.to_path_buf()))
    }
}

/// Creates the directory of the package. Only the default one may have content, that of an earlier package, which is removed.
fn create(workspace: &Workspace, request: &Request) -> Result<PathBuf> {
    let directory = match &request.out {
        Some(out) => {
            require_empty(out)?;
            out.clone()
        }
        None => {
            let directory = default_directory(workspace, &request.version);
            if directory.exists() {
                std::fs::remove_dir_all(&directory)
                    .map_err(|source| PackageError::file(&directory, source))?;
            }
            directory
        }
    };
    std::fs::create_dir_all(&directory).map_err(|source| PackageError::file(&directory, source))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(out: Option<PathBuf>) -> Request {
        Request {
            version: "1.2.3".into(),
            architecture: None,
            out,
            allow_dirty: false,
        }
    }

    #[test]
    fn keeps_the_files_of_a_directory_that_is_named() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(root.path());
        let out = root.path().join("out");
        assert_eq!(
            create(&workspace, &request(Some(out.clone()))).unwrap(),
            out
        );
        assert!(
            create(&workspace, &request(Some(out.clone()))).is_ok(),
            "still empty"
        );
        std::fs::write(out.join("mine"), "").unwrap();
        let error = create(&workspace, &request(Some(out.clone()))).unwrap_err();
        assert!(matches!(error, PackageError::NotEmpty(_)), "{error}");
        assert!(out.join("mine").exists());
    }

    #[test]
    fn replaces_an_earlier_package_of_the_same_version() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(root.path());
        let directory = create(&workspace, &request(None)).unwrap();
        std::fs::write(directory.join("old"), "").unwrap();
        assert_eq!(create(&workspace, &request(None)).unwrap(), directory);
        assert!(directory.exists() && !directory.join("old").exists());
    }

    #[test]
    fn names_the_time_of_the_commit() {
        assert_eq!(timestamp(1_767_323_045).unwrap(), "2026-01-02T03:04:05Z");
    }
}
