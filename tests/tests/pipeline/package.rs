//! A release package on the emulator, without a toolchain.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use onewrite_local::binaries::Architecture;
use onewrite_local::functions::{self, Programs};
use onewrite_local::process;
use onewrite_local::progress::Progress;
use onewrite_local::python::{self, Interpreter};
use onewrite_local::workspace::{FUNCTIONS, Workspace};
use onewrite_package::audit;
use onewrite_package::contents::{self, Contents, Program};
use onewrite_package::crates::Described;
use onewrite_tests::cargo;

use super::support::run_to_end;

/// What must not be necessary to deploy a package.
const TOOLCHAIN: [&str; 6] = ["cargo", "rustc", "rustup", "sam", "cargo-lambda", "zig"];

fn own_architecture() -> Architecture {
    let is_own = |one: &Architecture| one.target().starts_with(std::env::consts::ARCH);
    Architecture::ALL.into_iter().find(is_own).unwrap()
}

/// Writes the package of the functions in the dev profile, which build quickly, for this machine.
async fn write_package(interpreter: &Interpreter, directory: &Path) {
    let workspace = Workspace::here();
    let log = directory.join("build.log");
    let programs = functions::build(&workspace, interpreter, &log)
        .await
        .unwrap();
    let architecture = own_architecture();
    let program = |name: &str| Program::function(name, architecture, programs[name].clone());
    check_crates(&workspace, &programs, architecture).await;
    let contents = Contents {
        version: "1.2.3".into(),
        timestamp: "2026-01-02T03:04:05Z".into(),
        rust: "rustc".into(),
        architectures: vec![architecture],
        programs: FUNCTIONS.iter().map(|name| program(name)).collect(),
        is_auditable: false,
    };
    let files = contents.files(workspace.root()).await.unwrap();
    contents::write(&files, directory).unwrap();
}

/// Checks that every crate whose code is in a program is in its SBOM. In the dev profile, the programs also have the crates that
/// `onewrite-workspace-hack` unifies.
async fn check_crates(workspace: &Workspace, programs: &Programs, architecture: Architecture) {
    let target = architecture.target();
    let described = Described::read(workspace.root(), &[target]).await.unwrap();
    let hack = described
        .linked("onewrite-workspace-hack", target)
        .await
        .unwrap();
    for (name, path) in programs {
        let linked = described
            .linked(&format!("onewrite-{name}"), target)
            .await
            .unwrap();
        let program = std::fs::read(path).unwrap();
        let unknown = audit::unlinked(&program, &[&linked, &hack]);
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let known = audit::unlinked(&program, &[]).len();
        assert!(known > 100, "{name}: {known}");
    }
}

/// Returns a directory for `PATH` that has Python and nothing else. A script, because the path of the interpreter selects the
/// environment of the emulator.
fn only_python(interpreter: &Interpreter, directory: &Path) -> PathBuf {
    let path = directory.join("bin");
    std::fs::create_dir(&path).unwrap();
    let script = format!(
        "#!/bin/sh\nexec '{}' \"$@\"\n",
        interpreter.path().display()
    );
    let python = path.join("python3");
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Runs `cargo local demo --package`, but without cargo. The emulator accepts functions without code, but nothing is stored or settled
/// then. Returns the exit code and all output.
async fn demo(program: &Path, package: &Path, path: &Path) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(process::command(program));
    command
        .args(["demo", "--messages", "9", "--package"])
        .arg(package)
        .env("PATH", path)
        .env_remove("CARGO")
        .stdin(Stdio::null());
    run_to_end(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn package_runs_without_rust_and_sam_and_keeps_every_guarantee() {
    let interpreter = Interpreter::find().await.unwrap();
    let (workspace, progress) = (Workspace::here(), Progress::Silent);
    // The emulator stands for AWS, so it is not part of what is missing.
    python::environment(&workspace, &interpreter, python::EMULATOR, progress)
        .await
        .unwrap();
    let program = tokio::task::spawn_blocking(|| cargo::build("onewrite-local", "onewrite-local"));
    let program = program.await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let package = directory.path().join("package");
    std::fs::create_dir(&package).unwrap();
    write_package(&interpreter, &package).await;
    let path = only_python(&interpreter, directory.path());
    assert!(TOOLCHAIN.iter().all(|name| !path.join(name).exists()));

    let (code, output) = demo(&program, &package, &path).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("Every guarantee was kept."), "{output}");
}
