//! The programs that are measured, and how to build and start them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use onewrite_local::{
    binaries::{self, Architecture},
    process::Program,
    progress::Progress,
    python::{self, Interpreter, Requirements},
    workspace::Workspace,
};

/// The function whose job a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Write messages from the queue to the table.
    Ingest,
    /// Publish changes of the table to the stream.
    Forward,
    /// Complete notifications from the stream.
    Complete,
}

/// A program that does the job of a function: one of this project's functions or an alternative.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The name in tables and in [`crate::goals`].
    pub name: &'static str,
    pub job: Job,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// The working directory.
    pub directory: PathBuf,
    /// Variables in addition to Lambda's environment.
    pub environment: Vec<(String, String)>,
    /// Size of the program in bytes, if it is all that would be deployed.
    pub bytes: Option<u64>,
}

/// This project's `ingest`.
pub const INGEST: &str = "onewrite";
/// The same with `PayloadCompression=never`.
pub const INGEST_PLAIN: &str = "onewrite, not compressed";
/// This project's `forward`.
pub const FORWARD: &str = "onewrite forward";
/// This project's `complete`.
pub const COMPLETE: &str = "onewrite complete";
/// Another build of `ingest`.
pub const INGEST_OTHER: &str = "other build";
/// Another build of `forward`.
pub const FORWARD_OTHER: &str = "other build, forward";
/// Another build of `complete`.
pub const COMPLETE_OTHER: &str = "other build, complete";
/// Only the SDK call of `ingest`.
pub const BARE: &str = "bare SDK call";
/// Only the signed HTTP request of `ingest`.
pub const RAW: &str = "raw HTTP and SigV4";
/// Only `PutRecords`.
pub const BARE_FORWARD: &str = "bare PutRecords";
/// AWS's sample in Rust, with sequential writes.
pub const SAMPLE: &str = "Rust sample";
/// AWS's sample in Rust, with concurrent writes.
pub const SAMPLE_ALL: &str = "Rust sample, concurrent";
/// AWS's sample in Rust, with `PutRecord` for each record.
pub const SAMPLE_FORWARD: &str = "Rust sample, PutRecord";
/// Python with boto3 and Powertools: batches and idempotency.
pub const PYTHON: &str = "Python, Powertools";
/// Python with boto3 and Powertools: batches and a conditional write.
pub const PYTHON_PLAIN: &str = "Python, conditional write";
/// The same with concurrent writes.
pub const PYTHON_ALL: &str = "Python, concurrent";
/// Python with boto3.
pub const PYTHON_FORWARD: &str = "Python forward";
/// Python that writes INIT, sends, and writes DONE.
pub const DOUBLE_WRITE: &str = "Python, double write";
/// Node with the SDK v3 and Powertools: batches and idempotency.
pub const NODE: &str = "Node, Powertools";
/// Node with the SDK v3 and Powertools: batches and a conditional write.
pub const NODE_PLAIN: &str = "Node, conditional write";
/// Node with the SDK v3.
pub const NODE_FORWARD: &str = "Node forward";

const PYTHON_REQUIREMENTS: Requirements = Requirements::new(
    "bench",
    "the Python peers",
    include_str!("../peers/python/requirements.txt"),
);

fn program(name: &'static str, job: Job, path: PathBuf) -> Result<Peer> {
    let file = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
    let bytes = file.len();
    Ok(Peer {
        name,
        job,
        directory: path.parent().map(Path::to_path_buf).unwrap_or_default(),
        program: path,
        arguments: Vec::new(),
        environment: Vec::new(),
        bytes: Some(bytes),
    })
}

/// The architecture of this machine.
fn own_architecture() -> Architecture {
    let is_here =
        |architecture: &Architecture| architecture.target().starts_with(std::env::consts::ARCH);
    let architecture = Architecture::ALL.into_iter().find(is_here);
    architecture.unwrap_or(Architecture::X86_64)
}

/// Builds this project's functions for the architecture of this machine, as they are deployed.
///
/// # Errors
/// If the build fails.
pub async fn functions(workspace: &Workspace, progress: Progress) -> Result<Vec<Peer>> {
    let built = binaries::build(workspace, own_architecture(), progress).await?;
    let path = |function: &str| {
        let binary = built.iter().find(|binary| binary.function == function);
        let binary = binary.with_context(|| format!("{function} was not built"))?;
        Ok(binary.path.clone())
    };
    let mut peers = own_functions([INGEST, FORWARD, COMPLETE], path)?;
    let ingest = peers.iter().find(|peer| peer.job == Job::Ingest).cloned();
    peers.extend(ingest.map(|ingest| Peer {
        name: INGEST_PLAIN,
        environment: vec![("PAYLOAD_COMPRESSION".to_owned(), "never".to_owned())],
        ..ingest
    }));
    Ok(peers)
}

/// Builds the bare calls as the functions are built, so that they share compiled dependencies.
///
/// # Errors
/// If the build fails.
pub async fn bare(workspace: &Workspace, progress: Progress) -> Result<Vec<Peer>> {
    let package = workspace.root().join("tests/bench/bare");
    let programs = ["bare-ingest", "bare-forward"].map(|program| (package.clone(), program));
    let built =
        binaries::build_programs(workspace, &programs, own_architecture(), progress).await?;
    let jobs = [(BARE, Job::Ingest), (BARE_FORWARD, Job::Forward)];
    let built = built.into_iter().zip(jobs);
    built
        .map(|(binary, (name, job))| program(name, job, binary.path))
        .collect()
}

/// Finds another build of the functions, from other code or with other options, in the output folder of `cargo lambda
/// build`.
///
/// # Errors
/// If a function is missing.
pub fn other_build(directory: &Path) -> Result<Vec<Peer>> {
    let names = [INGEST_OTHER, FORWARD_OTHER, COMPLETE_OTHER];
    own_functions(names, |function| {
        Ok(directory.join(function).join("bootstrap"))
    })
}

/// Names the peers `ingest`, `forward` and `complete`.
fn own_functions(
    names: [&'static str; 3],
    path: impl Fn(&str) -> Result<PathBuf>,
) -> Result<Vec<Peer>> {
    let functions = [
        ("ingest", Job::Ingest),
        ("forward", Job::Forward),
        ("complete", Job::Complete),
    ];
    let named = names.into_iter().zip(functions);
    named
        .map(|(name, (function, job))| program(name, job, path(function)?))
        .collect()
}

/// Builds a package of the Rust peers. Each needs its own build, because cargo would unify their features.
///
/// # Errors
/// If the build fails.
pub async fn rust(
    workspace: &Workspace,
    package: &str,
    programs: &[(&str, &'static str, Job)],
    progress: Progress,
) -> Result<Vec<Peer>> {
    let interpreter = Interpreter::find().await?;
    let manifest = peers(workspace).join("rust").join("Cargo.toml");
    let target = workspace.root().join("target").join("bench");
    let step = progress.step(format!("Building the Rust peers ({package})"));
    let log = target.join(format!("build-{package}.log"));
    let _ = std::fs::remove_file(&log);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(interpreter.path(), cargo, &log)
        .args(["build", "--locked", "--release", "--package", package])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .run("cargo build")
        .await?;
    step.done();
    let release = target.join("release");
    programs
        .iter()
        .map(|(file, name, job)| program(name, *job, release.join(file)))
        .collect()
}

/// Installs the Python peers in their own virtual environment.
///
/// # Errors
/// If there is no Python, or its packages cannot be installed.
pub async fn python(workspace: &Workspace, progress: Progress) -> Result<Vec<Peer>> {
    let interpreter = Interpreter::find().await?;
    let packages =
        python::environment(workspace, &interpreter, PYTHON_REQUIREMENTS, progress).await?;
    let modules = [
        ("ingest", PYTHON, Job::Ingest),
        ("ingest_plain", PYTHON_PLAIN, Job::Ingest),
        ("ingest_all", PYTHON_ALL, Job::Ingest),
        ("forward", PYTHON_FORWARD, Job::Forward),
        ("double_write", DOUBLE_WRITE, Job::Ingest),
    ];
    let peer = |(module, name, job)| Peer {
        name,
        job,
        program: packages.program("python"),
        arguments: vec![
            "-m".to_owned(),
            "awslambdaric".to_owned(),
            format!("{module}.handler"),
        ],
        directory: peers(workspace).join("python"),
        environment: vec![
            ("LAMBDA_TASK_ROOT".to_owned(), ".".to_owned()),
            ("_HANDLER".to_owned(), format!("{module}.handler")),
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
        ],
        bytes: None,
    };
    Ok(modules.into_iter().map(peer).collect())
}

/// Installs and bundles the Node peers in a copy of their folder.
///
/// # Errors
/// If there is no Node, or its packages cannot be installed.
pub async fn node(workspace: &Workspace, progress: Progress) -> Result<Vec<Peer>> {
    let interpreter = Interpreter::find().await?;
    let home = workspace.root().join("target").join("bench").join("node");
    let log = home.with_extension("log");
    let _ = std::fs::remove_file(&log);
    let step = progress.step("Installing the Node peers");
    std::fs::create_dir_all(&home)?;
    for file in std::fs::read_dir(peers(workspace).join("node"))? {
        let file = file?;
        std::fs::copy(file.path(), home.join(file.file_name()))?;
    }
    for arguments in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
        Program::new(interpreter.path(), "npm", &log)
            .args(arguments)
            .current_dir(&home)
            .run("npm")
            .await?;
    }
    step.done();
    let program = on_path("node").context("node was not found on PATH")?;
    let modules = [
        ("ingest", NODE, Job::Ingest),
        ("ingest_plain", NODE_PLAIN, Job::Ingest),
        ("forward", NODE_FORWARD, Job::Forward),
    ];
    let peer = |(module, name, job)| Peer {
        name,
        job,
        program: program.clone(),
        arguments: vec![format!("dist/{module}.cjs")],
        directory: home.clone(),
        environment: Vec::new(),
        bytes: None,
    };
    Ok(modules.into_iter().map(peer).collect())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    places.find(|place| place.is_file())
}

fn peers(workspace: &Workspace) -> PathBuf {
    workspace.root().join("tests").join("bench").join("peers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_build_names_a_missing_function() {
        let directory = tempfile::tempdir().unwrap();
        let add = |function: &str| {
            let home = directory.path().join(function);
            std::fs::create_dir(&home).unwrap();
            std::fs::write(home.join("bootstrap"), function).unwrap();
        };
        add("ingest");
        add("complete");
        let error = other_build(directory.path()).unwrap_err();
        assert!(
            format!("{error:#}").contains("forward/bootstrap"),
            "{error:#}"
        );

        add("forward");
        let peers = other_build(directory.path()).unwrap();
        let found: Vec<_> = peers
            .iter()
            .map(|peer| (peer.name, peer.job, peer.bytes, peer.environment.len()))
            .collect();
        let expected = [
            (INGEST_OTHER, Job::Ingest, Some(6), 0),
            (FORWARD_OTHER, Job::Forward, Some(7), 0),
            (COMPLETE_OTHER, Job::Complete, Some(8), 0),
        ];
        assert_eq!(found, expected);
    }
}
