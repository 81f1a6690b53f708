//! The virtual environments that the emulator, the SAM CLI and checkov need, made under `target/local/python`.
//!
//! Each is keyed by its requirements file, the interpreter and its place (its programs begin with its absolute path, so a
//! workspace that was moved needs another): a change of any makes a new one. The environment's marker is written last, so that a half-made one is never used.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::error::{LocalError, Result};
use crate::process::{Program, last_lines};
use crate::progress::Progress;
use crate::workspace::{FileLock, Workspace};

/// The oldest interpreter that the pinned packages support.
const OLDEST: (u32, u32) = (3, 10);

/// Names to look for on `PATH`, best first.
const NAMES: [&str; 2] = ["python3", "python"];

/// One set of pinned packages.
#[derive(Debug, Clone, Copy)]
pub struct Requirements {
    name: &'static str,
    what: &'static str,
    text: &'static str,
}

impl Requirements {
    /// The pinned packages of `text`, a requirements file with hashes; `what` says in messages what they are.
    #[must_use]
    pub const fn new(name: &'static str, what: &'static str, text: &'static str) -> Self {
        Self { name, what, text }
    }
}

/// ministack and what it needs to read a SAM template. Apart from the SAM CLI, for both pin boto3, differently.
pub const EMULATOR: Requirements = Requirements::new(
    "emulator",
    "the emulator",
    include_str!("../python/emulator.txt"),
);

/// The SAM CLI, cargo-lambda and the linters.
pub const SAM: Requirements = Requirements::new(
    "sam",
    "the SAM CLI and cargo-lambda",
    include_str!("../python/sam.txt"),
);

/// checkov. Apart from the SAM CLI, for it pins an old boto3.
pub const CHECKOV: Requirements =
    Requirements::new("checkov", "checkov", include_str!("../python/checkov.txt"));

/// A usable Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    path: PathBuf,
    version: String,
}

impl Interpreter {
    /// The first usable one on `PATH`.
    ///
    /// # Errors
    /// [`LocalError::PythonMissing`], which names an interpreter that is too old.
    pub async fn find() -> Result<Self> {
        Self::find_among(&NAMES).await
    }

    async fn find_among(names: &[&str]) -> Result<Self> {
        let mut found = None;
        for name in names {
            let Some((path, version)) = ask(name).await else {
                continue;
            };
            match parse_version(&version) {
                Some(parsed) if parsed >= OLDEST => return Ok(Self { path, version }),
                _ => found = found.or(Some(version)),
            }
        }
        Err(LocalError::PythonMissing { found })
    }

    /// The executable.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn can_make_environments(&self) -> bool {
        let mut command = Command::new(&self.path);
        command
            .args(["-c", "import ensurepip, venv"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }
}

/// The executable behind a name (shims resolved) and its version.
async fn ask(name: &str) -> Option<(PathBuf, String)> {
    let question = "import platform, sys; print(sys.executable); print(platform.python_version())";
    let mut command = Command::new(name);
    command
        .args(["-I", "-c", question])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = command
        .output()
        .await
        .ok()
        .filter(|output| output.status.success())?;
    let answer = String::from_utf8(output.stdout).ok()?;
    let (path, version) = answer.trim().split_once('\n')?;
    Some((PathBuf::from(path.trim()), version.trim().to_owned()))
}

fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A virtual environment with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    root: PathBuf,
}

impl Environment {
    /// One of its programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// The directory of its programs.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }
}

/// The environment for `requirements`, made now if it is not there. Safe when several processes ask at once.
///
/// # Errors
/// [`LocalError::VenvMissing`], [`LocalError::PackagesUnreachable`], or [`LocalError::Step`] with pip's last words.
pub async fn environment(
    workspace: &Workspace,
    interpreter: &Interpreter,
    requirements: Requirements,
    progress: Progress,
) -> Result<Environment> {
    let home = workspace.local().join("python");
    let root = home.join(format!(
        "{}-{}",
        requirements.name,
        key(requirements.text, interpreter, &home)
    ));
    let environment = Environment { root: root.clone() };
    let marker = root.join("complete");
    if marker.exists() {
        return Ok(environment);
    }
    let lock = home.join(format!("{}.lock", requirements.name));
    let _lock = FileLock::acquire(&lock, progress).await?;
    if marker.exists() {
        return Ok(environment);
    }
    let step = progress.step(format!("Installing {}", requirements.what));
    install(&home, &root, interpreter, requirements).await?;
    std::fs::write(&marker, "").map_err(|source| LocalError::file(&marker, source))?;
    step.done();
    Ok(environment)
}

fn key(requirements: &str, interpreter: &Interpreter, home: &Path) -> String {
    let mut hash = Sha256::new();
    for part in [
        requirements,
        &interpreter.version,
        &interpreter.path.to_string_lossy(),
        &home.to_string_lossy(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn install(
    home: &Path,
    root: &Path,
    interpreter: &Interpreter,
    requirements: Requirements,
) -> Result<()> {
    if !interpreter.can_make_environments().await {
        return Err(LocalError::VenvMissing);
    }
    let log = home.join(format!("{}.log", requirements.name));
    let _ = std::fs::remove_file(&log);
    let python = || interpreter.path();
    Program::new(python(), python(), &log)
        .args(["-m", "venv", "--clear"])
        .arg(root)
        .run("making it")
        .await?;

    let file = root.join("requirements.txt");
    std::fs::write(&file, requirements.text).map_err(|source| LocalError::file(&file, source))?;
    let pip = Program::new(python(), root.join("bin").join("python"), &log)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--require-hashes", "-r"])
        .arg(&file);
    let step = format!("installing {}", requirements.what);
    pip.run(&step).await.map_err(|error| explain(error, &log))
}

/// What pip and its libraries write when no index answers.
const UNREACHABLE: [&str; 7] = [
    "NewConnectionError",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Could not find a version that satisfies",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
];

fn explain(error: LocalError, log: &Path) -> LocalError {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    if UNREACHABLE.iter().any(|sign| text.contains(sign)) {
        LocalError::PackagesUnreachable {
            reason: last_lines(log),
        }
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(version: &str) -> Interpreter {
        Interpreter {
            path: "/usr/bin/python3".into(),
            version: version.into(),
        }
    }

    #[test]
    fn a_changed_requirements_file_interpreter_or_place_makes_another_environment() {
        let key = |text, version, home| super::key(text, &interpreter(version), Path::new(home));
        let one = key("a==1", "3.11.2", "/here");
        assert_eq!(one, key("a==1", "3.11.2", "/here"));
        assert_ne!(one, key("a==2", "3.11.2", "/here"));
        assert_ne!(one, key("a==1", "3.12.0", "/here"));
        assert_ne!(one, key("a==1", "3.11.2", "/there"));
    }

    #[tokio::test]
    async fn a_missing_python_is_one_clear_line_with_what_to_do() {
        let error = Interpreter::find_among(&["no-such-python"])
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no python3 of version 3.10 or newer was found"
        );
        assert!(error.help().unwrap().contains("install Python 3.10"));
    }

    #[tokio::test]
    async fn an_old_python_is_named_in_the_error() {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("python3");
        std::fs::write(&old, "#!/bin/sh\necho /usr/bin/python3\necho 3.9.2\n").unwrap();
        std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let error = Interpreter::find_among(&[old.to_str().unwrap()])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("(found 3.9.2)"), "{error}");
    }

    #[tokio::test]
    async fn an_index_that_does_not_answer_is_told_as_such() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("pip.log");
        std::fs::write(
            &log,
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution\n",
        )
        .unwrap();
        let step = LocalError::Step {
            step: "pip".into(),
            reason: String::new(),
            log: log.clone(),
        };
        let error = explain(step, &log);
        assert!(
            matches!(error, LocalError::PackagesUnreachable { .. }),
            "{error}"
        );
        assert!(!error.to_string().contains('\n'));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(parse_version("3.9.18").unwrap() < OLDEST);
        assert!(parse_version("3.10.0").unwrap() >= OLDEST);
        assert_eq!(parse_version("nonsense"), None);
    }
}
