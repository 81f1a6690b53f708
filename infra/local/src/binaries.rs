//! `build`: the functions' binaries as they are deployed, for each architecture that this machine can build for.

use std::path::{Path, PathBuf};

use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::process::{Program, last_lines};
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::workspace::{FileLock, Workspace};

/// The functions, which are also their crates' directories and their binaries.
pub const FUNCTIONS: [&str; 3] = ["ingest", "forward", "complete"];

/// Most bytes that Lambda takes of a function's code, unpacked (Lambda developer guide, "Lambda quotas": 250 MB).
pub const MAX_CODE_BYTES: u64 = 250 * 1024 * 1024;

/// An instruction set of Lambda's, by the name that the template's `Architecture` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    /// AWS Graviton.
    #[value(name = "arm64")]
    Arm64,
    /// AMD and Intel.
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// Both, the template's default first.
    pub const ALL: [Self; 2] = [Self::Arm64, Self::X86_64];

    /// The name in the template.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// Rust's name of the target.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// What `sam build` says to cargo-lambda, which builds for this machine where it is told nothing.
    fn option(self) -> Option<&'static str> {
        match self {
            Self::Arm64 => Some("--arm64"),
            Self::X86_64 if cfg!(target_arch = "x86_64") => None,
            Self::X86_64 => Some("--x86-64"),
        }
    }
}

/// A function's binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The function.
    pub function: &'static str,
    /// What it runs on.
    pub architecture: Architecture,
    /// How large it is.
    pub bytes: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Builds each function for `architecture` as `sam build` does: by cargo-lambda, in the function's directory, so that a
/// dependency has the features that this function asks for, whatever others do.
///
/// # Errors
/// [`LocalError::TargetMissing`] where Rust's standard library for it is not installed, [`LocalError::Step`] with the
/// compiler's last words, [`LocalError::TooLarge`] where Lambda would not take it.
pub async fn build(
    workspace: &Workspace,
    architecture: Architecture,
    progress: Progress,
) -> Result<Vec<Binary>> {
    let interpreter = Interpreter::find().await?;
    let directory = workspace.local().join("binaries");
    let _lock = FileLock::acquire(&directory.join("lock"), progress).await?;
    require_target(workspace, architecture.target(), &interpreter, &directory).await?;
    let packages = python::environment(workspace, &interpreter, python::SAM, progress).await?;
    let sam = Sam::new(workspace.clone(), packages, interpreter);
    let built = directory.join(architecture.name());
    let mut binaries = Vec::new();
    for function in FUNCTIONS {
        let step = progress.step(format!("Building {function} for {}", architecture.name()));
        let log = directory.join(format!("{function}-{}.log", architecture.name()));
        // What an earlier build said is nothing of this one.
        let _ = std::fs::remove_file(&log);
        sam.cargo_lambda(&directory, &log)
            .args(["build", "--locked", "--release"])
            .args(architecture.option())
            .args(["--bin", function, "--lambda-dir"])
            .arg(&built)
            .current_dir(workspace.root().join("functions").join(function))
            .run("cargo lambda build")
            .await?;
        let path = built.join(function).join("bootstrap");
        binaries.push(binary(function, architecture, path)?);
        step.done();
    }
    Ok(binaries)
}

fn binary(function: &'static str, architecture: Architecture, path: PathBuf) -> Result<Binary> {
    let file = std::fs::metadata(&path).map_err(|source| LocalError::file(&path, source))?;
    let bytes = file.len();
    if bytes > MAX_CODE_BYTES {
        return Err(LocalError::TooLarge { path, bytes });
    }
    Ok(Binary {
        function,
        architecture,
        bytes,
        path,
    })
}

/// cargo-lambda would install a target that is missing, into the toolchain that all projects of the machine share.
async fn require_target(
    workspace: &Workspace,
    target: &'static str,
    interpreter: &Interpreter,
    directory: &Path,
) -> Result<()> {
    let log = directory.join("rustc.log");
    let _ = std::fs::remove_file(&log);
    Program::new(interpreter.path(), "rustc", &log)
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(workspace.root())
        .run("rustc")
        .await?;
    let libraries = PathBuf::from(last_lines(&log));
    if libraries.is_dir() {
        Ok(())
    } else {
        Err(LocalError::TargetMissing { target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_lambda_would_not_take_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bootstrap");
        let file = std::fs::File::create(&path).unwrap();
        let read = || binary("ingest", Architecture::Arm64, path.clone());
        file.set_len(MAX_CODE_BYTES).unwrap();
        assert_eq!(read().unwrap().bytes, MAX_CODE_BYTES);
        file.set_len(MAX_CODE_BYTES + 1).unwrap();
        assert!(matches!(read(), Err(LocalError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_target_is_there_where_its_standard_library_is() {
        let workspace = Workspace::here();
        let interpreter = Interpreter::find().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let require = |target| require_target(&workspace, target, &interpreter, directory.path());
        let mut targets = Architecture::ALL.map(Architecture::target).into_iter();
        let own = targets.find(|target| target.starts_with(std::env::consts::ARCH));
        require(own.unwrap()).await.unwrap();
        // No Lambda runs on it, so nobody has it here.
        let other = require("s390x-unknown-linux-gnu").await.unwrap_err();
        assert!(matches!(other, LocalError::TargetMissing { .. }), "{other}");
        assert!(other.help().unwrap().contains("rustup target add s390x-"));
    }
}
