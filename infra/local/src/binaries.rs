//! `cargo local build`: builds the functions for deployment, for each architecture that this machine supports.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::deploy::Sam;
use crate::error::{LocalError, Result};
use crate::process::{Program, last_lines};
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::workspace::{FUNCTIONS, FileLock, Workspace};

/// Lambda's limit for a function's unpacked code (Lambda developer guide, "Lambda quotas": 250 MB).
pub const MAX_CODE_BYTES: u64 = 250 * 1024 * 1024;

/// An instruction set that Lambda supports, with its value of the template's `Architecture`.
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
    /// Both architectures. The template's default comes first.
    pub const ALL: [Self; 2] = [Self::Arm64, Self::X86_64];

    /// Returns the value of the template's `Architecture`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// Returns the Rust target.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// Returns the option that `sam build` passes to cargo-lambda. Without one, it builds for this machine.
    fn option(self) -> Option<&'static str> {
        match self {
            Self::Arm64 => Some("--arm64"),
            Self::X86_64 if cfg!(target_arch = "x86_64") => None,
            Self::X86_64 => Some("--x86-64"),
        }
    }
}

/// What a build has beyond the release profile, and where its results are.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// The directory of the results and the logs.
    pub directory: PathBuf,
    /// Values of cargo's configuration, as after `--config`.
    pub config: Vec<String>,
    /// Environment variables. `None` removes one.
    pub variables: Vec<(OsString, Option<OsString>)>,
    /// Directories that come first in `PATH`.
    pub path: Vec<PathBuf>,
}

impl Recipe {
    /// The release profile, without anything else.
    #[must_use]
    pub fn release(workspace: &Workspace) -> Self {
        Self {
            directory: workspace.local().join("binaries"),
            ..Self::default()
        }
    }

    /// Adds the variables and the configuration to a call of cargo. The configuration follows the arguments that it has.
    #[must_use]
    pub fn apply(&self, cargo: Program) -> Program {
        let change = |program: Program, (name, value): &(OsString, Option<OsString>)| match value {
            Some(value) => program.env(name, value),
            None => program.env_remove(name),
        };
        let config = self
            .config
            .iter()
            .flat_map(|value| ["--config", value.as_str()]);
        self.variables.iter().fold(cargo, change).args(config)
    }
}

/// A function's binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    pub function: &'static str,
    pub architecture: Architecture,
    pub bytes: u64,
    pub path: PathBuf,
}

/// Builds each function for `architecture` as `sam build` does: with cargo-lambda, in the function's directory, so that
/// dependencies have the features that this function needs and no others.
///
/// # Errors
/// [`LocalError::TargetMissing`] if Rust's standard library for the target is not installed, [`LocalError::Step`] with
/// the last lines of the compiler's output, [`LocalError::TooLarge`] if a binary exceeds [`MAX_CODE_BYTES`].
pub async fn build(
    workspace: &Workspace,
    architecture: Architecture,
    progress: Progress,
) -> Result<Vec<Binary>> {
    let functions = workspace.root().join("functions");
    let programs = FUNCTIONS.map(|function| (functions.join(function), function));
    build_programs(workspace, &programs, architecture, progress).await
}

/// Builds other programs in the same way. Each has the directory of its package and the name of its binary.
///
/// # Errors
/// As [`build`].
pub async fn build_programs(
    workspace: &Workspace,
    programs: &[(PathBuf, &'static str)],
    architecture: Architecture,
    progress: Progress,
) -> Result<Vec<Binary>> {
    let recipe = Recipe::release(workspace);
    build_with(workspace, programs, architecture, &recipe, progress).await
}

/// Builds programs as [`build_programs`] does, with the additions of `recipe`.
///
/// # Errors
/// As [`build`].
pub async fn build_with(
    workspace: &Workspace,
    programs: &[(PathBuf, &'static str)],
    architecture: Architecture,
    recipe: &Recipe,
    progress: Progress,
) -> Result<Vec<Binary>> {
    let interpreter = Interpreter::find().await?;
    let directory = &recipe.directory;
    let _lock = FileLock::acquire(&directory.join("lock"), progress).await?;
    require_target(workspace, architecture.target(), &interpreter, directory).await?;
    let packages = python::environment(workspace, &interpreter, python::SAM, progress).await?;
    let sam = Sam::new(workspace.clone(), packages, interpreter);
    let built = directory.join(architecture.name());
    let mut binaries = Vec::new();
    for (package, program) in programs {
        let log = directory.join(format!("{program}-{}.log", architecture.name()));
        let _ = std::fs::remove_file(&log);
        let name = format!("Building {program} for {}", architecture.name());
        let step = progress.long_step(name, "3 minutes the first time", Some(&log));
        let lambda = sam
            .cargo_lambda(directory, &log)
            .env("PATH", sam.path(&recipe.path))
            .args(["build", "--locked", "--release"]);
        recipe
            .apply(lambda)
            .args(architecture.option())
            .args(["--bin", program, "--lambda-dir"])
            .arg(&built)
            .current_dir(package)
            .run("cargo lambda build")
            .await?;
        let path = built.join(program).join("bootstrap");
        binaries.push(binary(program, architecture, path)?);
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

/// Fails if the target is missing. cargo-lambda would install it into the toolchain, which other projects use too.
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
    fn rejects_code_larger_than_lambda_allows() {
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
    async fn finds_targets_by_their_standard_library() {
        let workspace = Workspace::here();
        let interpreter = Interpreter::find().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let require = |target| require_target(&workspace, target, &interpreter, directory.path());
        let mut targets = Architecture::ALL.map(Architecture::target).into_iter();
        let own = targets.find(|target| target.starts_with(std::env::consts::ARCH));
        require(own.unwrap()).await.unwrap();
        // Lambda does not support it, so it is not installed here.
        let other = require("s390x-unknown-linux-gnu").await.unwrap_err();
        assert!(matches!(other, LocalError::TargetMissing { .. }), "{other}");
        assert!(other.help().unwrap().contains("rustup target add s390x-"));
    }
}
