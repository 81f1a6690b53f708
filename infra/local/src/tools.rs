//! Tools of cargo's own kind, each in a pinned version, installed once below `target/local/tools`.

use std::path::PathBuf;

use crate::error::Result;
use crate::process::Program;
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::workspace::{FileLock, Workspace};

/// A tool and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The crate, which is also the name of its program.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
}

/// Fuzzing with libFuzzer.
pub const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

/// Changes the code in many places, one at a time, and runs the tests.
pub const MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    version: "27.1.0",
};

/// Which lines and branches the tests run through.
pub const LLVM_COV: Tool = Tool {
    name: "cargo-llvm-cov",
    version: "0.9.1",
};

/// Rules over CloudFormation templates.
pub const GUARD: Tool = Tool {
    name: "cfn-guard",
    version: "3.2.1",
};

impl Tool {
    /// Its program; installs it where that was not done before.
    ///
    /// # Errors
    /// [`crate::error::LocalError::Step`] with cargo's last words.
    pub async fn install(
        self,
        workspace: &Workspace,
        interpreter: &Interpreter,
        progress: Progress,
    ) -> Result<PathBuf> {
        let Self { name, version } = self;
        let tools = workspace.local().join("tools");
        let home = tools.join(format!("{name}-{version}"));
        let program = home.join("bin").join(name);
        let _lock = FileLock::acquire(&tools.join(format!("{name}.lock")), progress).await?;
        if program.exists() {
            return Ok(program);
        }
        let step = progress.step(format!("Installing {name}"));
        let log = tools.join(format!("{name}.log"));
        // What an earlier try said is nothing of this one.
        let _ = std::fs::remove_file(&log);
        let install = Program::new(interpreter.path(), "cargo", log)
            .args(["install", name, "--locked", "--version", version])
            .arg("--root")
            .arg(&home);
        install.run(&format!("cargo install {name}")).await?;
        step.done();
        Ok(program)
    }
}
