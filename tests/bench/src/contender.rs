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
    let bytes = std::fs::metadata(&path)?.len();
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
    let own =
        |architecture: &Architecture| architecture.target().starts_with(std::env::consts::ARCH);
    let architecture = Architecture::ALL.into_iter().find(own);
    let architecture = architecture.unwrap_or(Architecture::X86_64);
    let built = binaries::build(workspace, architecture, progress).await?;
    let names = [
        ("ingest", INGEST, Job::Ingest, &[][..]),
        (
            "ingest",
            INGEST_BATCHED,
            Job::Ingest,
            &[("BATCHED_INSERTS", "true"), ("MAX_IN_FLIGHT", "100")],
        ),
        ("forward", FORWARD, Job::Forward, &[]),
        ("complete", COMPLETE, Job::Complete, &[]),
    ];
    let made = names
        .into_iter()
        .filter_map(|(function, name, job, settings)| {
            let binary = built.iter().find(|binary| binary.function == function)?;
            let program = program(name, job, binary.path.clone());
            Some(program.map(|program| Contender {
                environment: pairs(settings),
                ..program
            }))
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
