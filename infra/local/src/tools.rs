//! Tools from crates.io, each in a pinned version. They are installed once, below `target/local/tools`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use crate::error::{LocalError, Result};
use crate::process::{Program, command};
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::workspace::{FileLock, Workspace};

/// A tool and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The name of the crate and of its program.
    pub name: &'static str,
    pub version: &'static str,
    /// The level of optimisation. A tool that waits for other programs needs none.
    opt_level: &'static str,
}

/// Fuzzing with libFuzzer.
pub const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    opt_level: "0",
};

/// Mutation testing.
pub const MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    version: "27.1.0",
    opt_level: "0",
};

/// Line and branch coverage.
pub const LLVM_COV: Tool = Tool {
    name: "cargo-llvm-cov",
    version: "0.9.1",
    opt_level: "0",
};

/// Writes the list of its crates into a program.
pub const AUDITABLE: Tool = Tool {
    name: "cargo-auditable",
    version: "0.7.7",
    opt_level: "0",
};

/// Rules for CloudFormation templates.
pub const GUARD: Tool = Tool {
    name: "cfn-guard",
    version: "3.2.1",
    // Level 1 takes 135 CPU seconds longer to build than 0, and applies the rules four times as fast: tests do that 131 times,
    // in 50 instead of 235 seconds. Level 3 is only a little faster.
    opt_level: "1",
};

/// The packages whose code is deployed.
const DEPLOYED: [&str; 6] = [
    "--package=onewrite",
    "--package=onewrite-aws",
    "--package=onewrite-runtime",
    "--package=onewrite-ingest",
    "--package=onewrite-forward",
    "--package=onewrite-complete",
];

impl Tool {
    /// Returns the path of the program and installs it if necessary.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the last lines of cargo's output.
    pub async fn install(
        self,
        workspace: &Workspace,
        interpreter: &Interpreter,
        progress: Progress,
    ) -> Result<PathBuf> {
        let Self {
            name,
            version,
            opt_level,
        } = self;
        let tools = workspace.local().join("tools");
        let home = tools.join(format!("{name}-{version}"));
        let program = home.join("bin").join(name);
        let _lock = FileLock::acquire(&tools.join(format!("{name}.lock")), progress).await?;
        if program.exists() {
            return Ok(program);
        }
        let log = tools.join(format!("{name}.log"));
        let _ = std::fs::remove_file(&log);
        let step = progress.long_step(
            format!("Installing {name}"),
            "1 to 4 minutes, only the first time",
            Some(&log),
        );
        let install = Program::new(interpreter.path(), "cargo", log)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", opt_level)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .args(["install", name, "--locked", "--version", version])
            .arg("--root")
            .arg(&home);
        install.run(&format!("cargo install {name}")).await?;
        step.done();
        Ok(program)
    }

    /// Installs the tool and replaces this process with it.
    async fn exec(
        self,
        arguments: &[&str],
        options: &[OsString],
        workspace: &Workspace,
    ) -> Result<Infallible> {
        let interpreter = Interpreter::find().await?;
        let program = self.install(workspace, &interpreter, Progress::detect());
        let program = program.await?;
        let source = command(&program)
            .args(arguments)
            .args(options)
            .current_dir(workspace.root())
            .exec();
        Err(LocalError::Spawn {
            program: program.display().to_string(),
            source,
        })
    }
}

/// Runs the packaging command in place of this process. Its crate has dependencies that the other commands do not need, so it is
/// compiled only here.
///
/// # Errors
/// [`LocalError::Spawn`]. Otherwise it does not return.
pub fn package(workspace: &Workspace, options: &[OsString]) -> Result<Infallible> {
    // In the directory of this process: `--out` may be relative.
    let source = command("cargo")
        .args(["run", "--locked", "--package", "onewrite-package"])
        .arg("--manifest-path")
        .arg(workspace.root().join("Cargo.toml"))
        .arg("--")
        .args(options)
        .exec();
    Err(LocalError::Spawn {
        program: "cargo".into(),
        source,
    })
}

/// Runs cargo-mutants in place of this process. `.cargo/mutants.toml` says which code it changes.
///
/// # Errors
/// [`LocalError::Spawn`], or an error of [`Tool::install`]. Otherwise it does not return.
pub async fn mutants(workspace: &Workspace, options: &[OsString]) -> Result<Infallible> {
    let arguments = ["mutants", "--output", "target/local"];
    MUTANTS.exec(&arguments, options, workspace).await
}

/// Runs cargo-llvm-cov in place of this process, with the tests of the packages that are deployed. It leaves out
/// `main.rs` and test code, as `.cargo/mutants.toml` does.
///
/// # Errors
/// [`LocalError::Spawn`], or an error of [`Tool::install`]. Otherwise it does not return.
pub async fn coverage(workspace: &Workspace, options: &[OsString]) -> Result<Infallible> {
    let mut arguments = vec!["llvm-cov", "--locked", "--tests"];
    arguments.extend(DEPLOYED);
    arguments.push("--ignore-filename-regex=/main\\.rs$|/tests/|/testing/");
    LLVM_COV.exec(&arguments, options, workspace).await
}
