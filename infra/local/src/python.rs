//! The virtual environments of the emulator, the SAM CLI and checkov, below `target/local/python`.
//!
//! Packages are only ever installed into these environments, so an "externally managed" Python (PEP 668) works too.
//! The name of an environment has a hash of its requirements, the interpreter and its path (its scripts contain its
//! absolute path, so a moved workspace needs a new one). The marker file is written last, so an environment whose
//! installation was interrupted is not used.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::error::{LocalError, Result};
use crate::hex::hex;
use crate::process::{Program, command, last_lines};
use crate::progress::Progress;
use crate::workspace::{FileLock, Workspace};

/// The oldest Python version that the pinned packages support.
const OLDEST: (u32, u32) = (3, 10);

/// Names to search for on `PATH`, preferred first.
const NAMES: [&str; 2] = ["python3", "python"];

/// A set of pinned packages.
#[derive(Debug, Clone, Copy)]
pub struct Requirements {
    name: &'static str,
    label: &'static str,
    text: &'static str,
}

impl Requirements {
    /// `text` is a requirements file with hashes. Messages call the packages `label`.
    #[must_use]
    pub const fn new(name: &'static str, label: &'static str, text: &'static str) -> Self {
        Self { name, label, text }
    }

    /// The version of a package.
    pub(crate) fn pinned(&self, package: &str) -> Option<&str> {
        let mut lines = self.text.lines();
        lines.find_map(|line| {
            let version = line.strip_prefix(package)?.strip_prefix("==")?;
            version.split_whitespace().next()
        })
    }
}

/// ministack and what it needs to read a SAM template. Separate from the SAM CLI because both pin boto3, differently.
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

/// checkov. Separate from the SAM CLI because it pins an old boto3.
pub const CHECKOV: Requirements =
    Requirements::new("checkov", "checkov", include_str!("../python/checkov.txt"));

/// A Python interpreter of a supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    path: PathBuf,
    version: String,
}

impl Interpreter {
    /// Finds the first supported interpreter on `PATH`.
    ///
    /// # Errors
    /// [`LocalError::PythonMissing`], which names the version of an interpreter that is too old.
    pub async fn find() -> Result<Self> {
        Self::find_among(&NAMES).await
    }

    async fn find_among(names: &[&str]) -> Result<Self> {
        let mut found = None;
        for name in names {
            let Some((path, version)) = query(name).await else {
                continue;
            };
            match parse_version(&version) {
                Some(parsed) if parsed >= OLDEST => return Ok(Self { path, version }),
                _ => found = found.or(Some(version)),
            }
        }
        Err(LocalError::PythonMissing { found })
    }

    /// Returns the path of the executable.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn can_create_environments(&self) -> bool {
        let mut command = Command::from(command(&self.path));
        command
            .args(["-c", "import ensurepip, venv"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }
}

/// Returns the path of the executable, with shims resolved, and its version.
async fn query(name: &str) -> Option<(PathBuf, String)> {
    let script = "import platform, sys; print(sys.executable); print(platform.python_version())";
    let mut command = Command::from(command(name));
    command
        .args(["-I", "-c", script])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = command
        .output()
        .await
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (path, version) = text.trim().split_once('\n')?;
    Some((PathBuf::from(path.trim()), version.trim().to_owned()))
}

fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A virtual environment with its packages installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    root: PathBuf,
}

impl Environment {
    /// Returns the path of one of its programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// Returns the directory of its programs.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }
}

/// Returns the environment for `requirements` and creates it if necessary. Several processes may call this at once.
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
    let name = format!("Installing {}", requirements.label);
    let step = progress.long_step(name, "half a minute, only the first time", None);
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
    hex(&hash.finalize()[..8])
}

async fn install(
    home: &Path,
    root: &Path,
    interpreter: &Interpreter,
    requirements: Requirements,
) -> Result<()> {
    if !interpreter.can_create_environments().await {
        return Err(LocalError::VenvMissing);
    }
    let log = home.join(format!("{}.log", requirements.name));
    let _ = std::fs::remove_file(&log);
    let python = || interpreter.path();
    Program::new(python(), python(), &log)
        .args(["-m", "venv", "--clear"])
        .arg(root)
        .run("creating a virtual environment")
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
        .arg(&file)
        // A user's pip.conf may ask for `user`, which fails inside an environment.
        .env("PIP_USER", "0");
    let step = format!("installing {}", requirements.label);
    pip.run(&step).await.map_err(|error| explain(error, &log))
}

/// What pip and its libraries write if no package index can be reached.
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
    if UNREACHABLE.iter().any(|message| text.contains(message)) {
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
    fn requirements_interpreter_and_path_select_the_environment() {
        let key = |text, version, home| super::key(text, &interpreter(version), Path::new(home));
        let one = key("a==1", "3.11.2", "/here");
        assert_eq!(one, key("a==1", "3.11.2", "/here"));
        assert_ne!(one, key("a==2", "3.11.2", "/here"));
        assert_ne!(one, key("a==1", "3.12.0", "/here"));
        assert_ne!(one, key("a==1", "3.11.2", "/there"));
    }

    #[tokio::test]
    async fn reports_missing_python_in_one_line_with_help() {
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
    async fn names_the_version_of_a_python_that_is_too_old() {
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
    async fn reports_unreachable_package_index() {
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
    fn compares_versions_numerically() {
        assert!(parse_version("3.9.18").unwrap() < OLDEST);
        assert!(parse_version("3.10.0").unwrap() >= OLDEST);
        assert_eq!(parse_version("nonsense"), None);
    }
}
