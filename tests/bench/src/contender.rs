//! Who is measured, and how each is built and started.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use onewrite_local::{
    binaries::{self, Architecture},
    process::Program,
    progress::Progress,
    python::{self, Interpreter, Requirements},
    workspace::Workspace,
};

/// The function whose job a contender does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Messages into the table.
    Ingest,
    /// Changes of the table into the stream.
    Forward,
    /// From the stream to DONE.
    Complete,
}

/// Somebody who does the job of a function.
#[derive(Debug, Clone)]
pub struct Contender {
    /// In tables and in [`crate::goals`].
    pub name: &'static str,
    /// Whose job it does.
    pub job: Job,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// What it is told beside Lambda's environment.
    pub environment: Vec<(String, String)>,
    /// Bytes of its program, where that is all there is to deploy.
    pub bytes: Option<u64>,
}

/// This project's `ingest`: a `PutItem` for each message.
pub const INGEST: &str = "onewrite";
/// The same with `BATCHED_INSERTS`, and as many messages at a time as fill whole batches.
pub const INGEST_BATCHED: &str = "onewrite, batched";
/// This project's `forward`.
pub const FORWARD: &str = "onewrite forward";
/// Another build of `ingest`.
pub const INGEST_OTHER: &str = "other build";
/// Another build with `BATCHED_INSERTS`.
pub const INGEST_BATCHED_OTHER: &str = "other build, batched";
/// Another build of `forward`.
pub const FORWARD_OTHER: &str = "other build, forward";
/// Another build of `complete`.
pub const COMPLETE_OTHER: &str = "other build, complete";
/// The same SDK call and nothing else.
pub const BARE: &str = "bare SDK call";
/// The same HTTP request, signed, and nothing else.
pub const RAW: &str = "raw HTTP and SigV4";
/// This project's `complete`.
pub const COMPLETE: &str = "onewrite complete";
/// `PutRecords` and nothing else.
pub const BARE_FORWARD: &str = "bare PutRecords";
/// AWS's sample in Rust, one message after the other.
pub const SAMPLE: &str = "Rust sample";
/// The same, all messages at once.
pub const SAMPLE_ALL: &str = "Rust sample, at once";
/// AWS's sample in Rust with `PutRecord` for each record.
pub const SAMPLE_FORWARD: &str = "Rust sample, PutRecord";
/// Python with boto3 and Powertools: batches and idempotency.
pub const PYTHON: &str = "Python, Powertools";
/// The same without idempotency: a conditional write.
pub const PYTHON_PLAIN: &str = "Python, conditional write";
/// The same, all messages at once.
pub const PYTHON_ALL: &str = "Python, at once";
/// Python with boto3.
pub const PYTHON_FORWARD: &str = "Python forward";
/// INIT, send, DONE.
pub const DOUBLE_WRITE: &str = "Python, double write";
/// Node with the SDK v3 and Powertools: batches and idempotency.
pub const NODE: &str = "Node, Powertools";
/// The same without idempotency: a conditional write.
pub const NODE_PLAIN: &str = "Node, conditional write";
/// Node with the SDK v3.
pub const NODE_FORWARD: &str = "Node forward";

const PYTHON_REQUIREMENTS: Requirements = Requirements::new(
    "bench",
    "the Python peers",
    include_str!("../peers/python/requirements.txt"),
);

fn pairs(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.iter().map(own).collect()
}

fn program(name: &'static str, job: Job, path: PathBuf) -> Result<Contender> {
    let file = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
    let bytes = file.len();
    Ok(Contender {
        name,
        job,
        directory: path.parent().map(Path::to_path_buf).unwrap_or_default(),
        program: path,
        arguments: Vec::new(),
        environment: Vec::new(),
        bytes: Some(bytes),
    })
}

/// The functions as they are deployed on this machine's architecture.
///
/// # Errors
/// The build's.
pub async fn functions(workspace: &Workspace, progress: Progress) -> Result<Vec<Contender>> {
    let is_here =
        |architecture: &Architecture| architecture.target().starts_with(std::env::consts::ARCH);
    let architecture = Architecture::ALL.into_iter().find(is_here);
    let architecture = architecture.unwrap_or(Architecture::X86_64);
    let built = binaries::build(workspace, architecture, progress).await?;
    let path = |function: &str| {
        let binary = built.iter().find(|binary| binary.function == function);
        let binary = binary.with_context(|| format!("{function} was not built"))?;
        Ok(binary.path.clone())
    };
    own([INGEST, INGEST_BATCHED, FORWARD, COMPLETE], path)
}

/// Another build of the functions, of other code or with other options: the folder that `cargo lambda build` made.
///
/// # Errors
/// A function is not there.
pub fn other_build(directory: &Path) -> Result<Vec<Contender>> {
    let names = [
        INGEST_OTHER,
        INGEST_BATCHED_OTHER,
        FORWARD_OTHER,
        COMPLETE_OTHER,
    ];
    own(names, |function| {
        Ok(directory.join(function).join("bootstrap"))
    })
}

/// This project's functions: `ingest`, the same with batched inserts, `forward` and `complete`.
fn own(names: [&'static str; 4], path: impl Fn(&str) -> Result<PathBuf>) -> Result<Vec<Contender>> {
    let batched = &[("BATCHED_INSERTS", "true"), ("MAX_IN_FLIGHT", "100")];
    let functions = [
        ("ingest", Job::Ingest, &[][..]),
        ("ingest", Job::Ingest, batched),
        ("forward", Job::Forward, &[]),
        ("complete", Job::Complete, &[]),
    ];
    let made = names
        .into_iter()
        .zip(functions)
        .map(|(name, (function, job, settings))| {
            Ok(Contender {
                environment: pairs(settings),
                ..program(name, job, path(function)?)?
            })
        });
    made.collect()
}

/// A package of the Rust peers. Each is built by itself, for features that one asks for would be in all.
///
/// # Errors
/// The build's.
pub async fn rust(
    workspace: &Workspace,
    package: &str,
    programs: &[(&str, &'static str, Job)],
    progress: Progress,
) -> Result<Vec<Contender>> {
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
    let made = programs
        .iter()
        .map(|(file, name, job)| program(name, *job, target.join("release").join(file)));
    made.collect()
}

/// The Python peers, in an environment of their own.
///
/// # Errors
/// No Python, or its packages are not to be had.
pub async fn python(workspace: &Workspace, progress: Progress) -> Result<Vec<Contender>> {
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
    let contender = |(module, name, job)| Contender {
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
    Ok(modules.into_iter().map(contender).collect())
}

/// The Node peers, bundled, from a copy of their folder: packages are installed beside it.
///
/// # Errors
/// No Node, or its packages are not to be had.
pub async fn node(workspace: &Workspace, progress: Progress) -> Result<Vec<Contender>> {
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
    let program = on_path("node").context("there is no node on PATH")?;
    let modules = [
        ("ingest", NODE, Job::Ingest),
        ("ingest_plain", NODE_PLAIN, Job::Ingest),
        ("forward", NODE_FORWARD, Job::Forward),
    ];
    let contender = |(module, name, job)| Contender {
        name,
        job,
        program: program.clone(),
        arguments: vec![format!("dist/{module}.cjs")],
        directory: home.clone(),
        environment: Vec::new(),
        bytes: None,
    };
    Ok(modules.into_iter().map(contender).collect())
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
    fn another_build_is_whole_or_what_is_missing_is_named() {
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
        let contenders = other_build(directory.path()).unwrap();
        let told: Vec<_> = contenders
            .iter()
            .map(|one| (one.name, one.job, one.bytes, one.environment.len()))
            .collect();
        let expected = [
            (INGEST_OTHER, Job::Ingest, Some(6), 0),
            (INGEST_BATCHED_OTHER, Job::Ingest, Some(6), 2),
            (FORWARD_OTHER, Job::Forward, Some(7), 0),
            (COMPLETE_OTHER, Job::Complete, Some(8), 0),
        ];
        assert_eq!(told, expected);
    }
}
