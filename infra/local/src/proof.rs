//! The commands that show that the promises hold. Each is a program of the tests' crates, which know how, or a tool; here
//! they only get their names, so that all commands are found in one place.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::error::{LocalError, Result};
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// A proof, by the program that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// How cargo knows it: package, kind and name.
    pub program: [&'static str; 4],
    /// What it is always told.
    pub options: &'static [&'static str],
}

/// Handlers and event sources in simulated worlds.
pub const SIMULATE: Proof = Proof {
    program: example("simulate"),
    options: &[],
};

/// The same with a bug in it, one after the other.
pub const BUGS: Proof = Proof {
    program: example("simulate"),
    options: &["--bugs"],
};

/// Every state of the protocol within bounds.
pub const MODEL: Proof = Proof {
    program: example("model"),
    options: &[],
};

/// The very pipeline under load and random trouble.
pub const SOAK: Proof = Proof {
    program: example("soak"),
    options: &[],
};

/// The functions beside what people would use instead.
pub const BENCH: Proof = Proof {
    program: ["--package", "onewrite-bench", "--bin", "bench"],
    options: &[],
};

/// How the pipeline grows: a simulation of its capacity.
pub const SCALE: Proof = Proof {
    program: ["--package", "onewrite-scale", "--bin", "scale"],
    options: &[],
};

const fn example(name: &'static str) -> [&'static str; 4] {
    ["--package", "onewrite-tests", "--example", name]
}

impl Proof {
    /// Becomes the program: its output, its exit code and the signals it gets are its own.
    ///
    /// # Errors
    /// [`LocalError::Spawn`]; otherwise it does not return.
    pub fn run(self, workspace: &Workspace, options: &[OsString]) -> Result<Infallible> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["run", "--quiet"])
            .args(self.program)
            .arg("--")
            .args(self.options)
            .args(options);
        become_program(&mut command, workspace)
    }
}

/// Changes the code, one place after the other, and tells which changes no test sees: becomes cargo-mutants, which
/// `.cargo/mutants.toml` tells what to change.
///
/// # Errors
/// [`LocalError::Spawn`], or what kept the tool from being installed; otherwise it does not return.
pub async fn mutants(workspace: &Workspace, options: &[OsString]) -> Result<Infallible> {
    let arguments = ["mutants", "--output", "target/local"];
    become_tool(tools::MUTANTS, &arguments, workspace, options).await
}

/// The packages whose code is deployed.
const DEPLOYED: [&str; 4] = [
    "--package=onewrite",
    "--package=onewrite-ingest",
    "--package=onewrite-forward",
    "--package=onewrite-complete",
];

/// Tells which lines of the deployed code its own tests run through: becomes cargo-llvm-cov. What only wires, and what
/// is there for tests, is left out, as it is of the changes that [`mutants`] makes.
///
/// # Errors
/// [`LocalError::Spawn`], or what kept the tool from being installed; otherwise it does not return.
pub async fn coverage(workspace: &Workspace, options: &[OsString]) -> Result<Infallible> {
    let mut arguments = vec!["llvm-cov", "--locked", "--tests"];
    arguments.extend(DEPLOYED);
    arguments.push("--ignore-filename-regex=/main\\.rs$|/tests/|/testing/");
    become_tool(tools::LLVM_COV, &arguments, workspace, options).await
}

async fn become_tool(
    tool: Tool,
    arguments: &[&str],
    workspace: &Workspace,
    options: &[OsString],
) -> Result<Infallible> {
    let interpreter = Interpreter::find().await?;
    let installed = tool.install(workspace, &interpreter, Progress::detect());
    let mut command = Command::new(installed.await?);
    command.args(arguments).args(options);
    become_program(&mut command, workspace)
}

fn become_program(command: &mut Command, workspace: &Workspace) -> Result<Infallible> {
    let source = command.current_dir(workspace.root()).exec();
    Err(LocalError::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}
