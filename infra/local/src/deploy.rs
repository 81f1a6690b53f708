//! Runs `sam build` and `sam deploy` for `template.yaml`, with the emulator as the endpoint.
//!
//! Builds are cached by a hash of their inputs. Processes that need the same build share it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::clients::Clients;
use crate::emulator::{Emulator, REGION, isolated};
use crate::emulator_template;
use crate::error::{LocalError, Result};
use crate::functions::Programs;
use crate::hex::hex;
use crate::parameters::STACK_NAME;
use crate::process::Program;
use crate::progress::Progress;
use crate::python::{Environment, Interpreter};
use crate::workspace::{FileLock, Workspace};
use onewrite_stack::outputs::Outputs;

/// The sources of the functions' binaries, relative to the workspace.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
    "template.yaml",
    "shared",
    "functions",
];

/// Builds of other sources are removed after this time without use.
const KEEP_BUILDS: Duration = Duration::from_secs(60 * 60);

pub(crate) const ARTIFACT_BUCKET: &str = "onewrite-local-artifacts";

/// The name of the template for the emulator, next to the built template.
const FOR_EMULATOR: &str = "emulator.yaml";

/// The SAM CLI's interval between two status checks of a deployment. Its default is several seconds.
const POLL_SECONDS: &str = "0.2";

/// The template's `Architecture` for binaries that run on this machine.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// The SAM CLI of a Python environment.
#[derive(Debug, Clone)]
pub struct Sam {
    workspace: Workspace,
    environment: Environment,
    interpreter: Interpreter,
}

/// Built functions and the template that references them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    directory: PathBuf,
}

impl Build {
    /// The functions' programs. `sam build` names their directories after the resources of the template.
    pub(crate) fn programs(&self) -> Programs {
        let functions = [
            ("ingest", "IngestFunction"),
            ("forward", "ForwardFunction"),
            ("complete", "CompleteFunction"),
        ];
        let program = |resource| self.directory.join(resource).join("bootstrap");
        functions
            .map(|(name, resource)| (name.to_owned(), program(resource)))
            .into()
    }

    /// Writes the template for the emulator next to the built one, because its paths are relative.
    fn write_for_emulator(&self) -> Result<()> {
        let built = self.directory.join("template.yaml");
        emulator_template::write(&built, &self.directory.join(FOR_EMULATOR), None)
    }
}

impl Sam {
    #[must_use]
    pub fn new(workspace: Workspace, environment: Environment, interpreter: Interpreter) -> Self {
        Self {
            workspace,
            environment,
            interpreter,
        }
    }

    /// Builds the functions for this machine with the release profile.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the last lines of the compiler's output.
    pub async fn build(&self, progress: Progress) -> Result<Build> {
        let home = self.workspace.local().join("build");
        let key = source_key(
            self.workspace.root(),
            &compiler_version(self.workspace.root()).await,
        )?;
        let build = Build {
            directory: home.join(&key),
        };
        let marker = home.join(format!("{key}.complete"));
        let _lock = FileLock::acquire(&home.join("lock"), progress).await?;
        if !marker.exists() {
            let step = progress.step("Building the functions (sam build)");
            self.sam_build(&build, &home.join("sam-build.log")).await?;
            build.write_for_emulator()?;
            step.done();
        }
        // Written on every use: its age is the time since the last use.
        std::fs::write(&marker, "").map_err(|source| LocalError::file(&marker, source))?;
        remove_unused(&home, &key);
        Ok(build)
    }

    async fn sam_build(&self, build: &Build, log: &Path) -> Result<()> {
        let _ = std::fs::remove_file(log);
        let home = log.parent().unwrap_or(log);
        self.program("build", home, log)?
            .arg("--template-file")
            .arg(self.workspace.root().join("template.yaml"))
            .arg("--build-dir")
            .arg(&build.directory)
            .arg("--parameter-overrides")
            .arg(format!("Architecture={ARCHITECTURE}"))
            .run("sam build")
            .await
    }

    /// Deploys `build` to `emulator` with these template parameters.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the last lines of the SAM CLI's output, [`LocalError::UnexpectedStack`] if there are no
    /// outputs.
    pub async fn deploy(
        &self,
        build: &Build,
        emulator: &Emulator,
        clients: &Clients,
        parameters: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Outputs> {
        let created = clients.buckets.create(ARTIFACT_BUCKET).await;
        created.map_err(|error| LocalError::aws("CreateBucket", &error))?;
        let log = directory.join("sam-deploy.log");
        let credentials = emulator.credentials();
        self.program("deploy", directory, &log)?
            .args([
                "--stack-name",
                STACK_NAME,
                "--region",
                REGION,
                "--s3-bucket",
                ARTIFACT_BUCKET,
            ])
            .args([
                "--capabilities",
                "CAPABILITY_IAM",
                "--no-confirm-changeset",
                "--output",
                "json",
            ])
            .arg("--template-file")
            .arg(build.directory.join(FOR_EMULATOR))
            .arg("--parameter-overrides")
            .arg(format!("Architecture={ARCHITECTURE}"))
            .args(
                parameters
                    .iter()
                    // Quoted, so that an empty value is passed at all.
                    .map(|(name, value)| format!("{name}=\"{}\"", value.replace('"', "\\\""))),
            )
            .env("AWS_ENDPOINT_URL", emulator.endpoint())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
            .env("SAM_CLI_POLL_DELAY", POLL_SECONDS)
            .run("sam deploy")
            .await?;
        let output =
            std::fs::read_to_string(&log).map_err(|source| LocalError::file(&log, source))?;
        deploy_outputs(&output)
            .ok_or_else(|| LocalError::UnexpectedStack("the template has no outputs".into()))
    }

    /// Reads the outputs of the stack of this name, in the account and region of the environment.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the last lines of the SAM CLI's output, for example if there is no such stack.
    pub async fn stack_outputs(&self, name: &str) -> Result<Outputs> {
        let home = self.workspace.local().join("deployed");
        let log = home.join("sam-list.log");
        let _ = std::fs::remove_file(&log);
        let sam = self.environment.program("sam");
        Program::new(self.interpreter.path(), sam, log.clone())
            .args(["list", "stack-outputs", "--output", "json"])
            .arg("--stack-name")
            .arg(name)
            .arg("--config-file")
            .arg(empty_samconfig(&home)?)
            .env("SAM_CLI_TELEMETRY", "0")
            .current_dir(self.workspace.root())
            .run("sam list stack-outputs")
            .await?;
        let output =
            std::fs::read_to_string(&log).map_err(|source| LocalError::file(&log, source))?;
        listed_outputs(&output)
            .ok_or_else(|| LocalError::UnexpectedStack(format!("the stack {name} has no outputs")))
    }

    pub(crate) fn program(&self, command: &str, directory: &Path, log: &Path) -> Result<Program> {
        let config = empty_samconfig(directory)?;
        let program = self.tool("sam", directory, log).arg(command);
        Ok(program
            .arg("--config-file")
            .arg(config)
            .env("SAM_CLI_TELEMETRY", "0"))
    }

    /// A program of the environment. It runs in the workspace's root without the user's AWS settings.
    pub(crate) fn tool(&self, name: &str, directory: &Path, log: &Path) -> Program {
        let program = Program::new(self.interpreter.path(), self.environment.program(name), log);
        isolated(program, directory)
            .current_dir(self.workspace.root())
            .env("PATH", self.path(&[]))
    }

    /// `PATH` with the directories `first` and then the environment's programs before everything else. cargo-lambda and zig are
    /// among these programs.
    pub(crate) fn path(&self, first: &[PathBuf]) -> OsString {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = first.iter().cloned().chain([self.environment.bin()]);
        let directories = own.chain(std::env::split_paths(&inherited));
        std::env::join_paths(directories).unwrap_or(inherited)
    }

    /// cargo-lambda, with everything it needs on `PATH`.
    pub(crate) fn cargo_lambda(&self, directory: &Path, log: &Path) -> Program {
        self.tool("cargo-lambda", directory, log).arg("lambda")
    }
}

/// Writes an empty samconfig.toml, so that the user's, which is for AWS, does not apply.
fn empty_samconfig(directory: &Path) -> Result<PathBuf> {
    let config = directory.join("samconfig.toml");
    std::fs::create_dir_all(directory).map_err(|source| LocalError::file(directory, source))?;
    std::fs::write(&config, "version = 0.1\n")
        .map_err(|source| LocalError::file(&config, source))?;
    Ok(config)
}

/// Parses the output of `sam list stack-outputs --output json`: one JSON array, after other lines.
fn listed_outputs(text: &str) -> Option<Outputs> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        output_key: String,
        output_value: String,
    }
    let array = text.get(text.find('[')?..=text.rfind(']')?)?;
    let listed: Vec<Output> = serde_json::from_str(array).ok()?;
    let outputs = listed.into_iter();
    Some(
        outputs
            .map(|output| (output.output_key, output.output_value))
            .collect(),
    )
}

/// Parses the output of `sam deploy --output json`: one JSON document per line, among other lines.
fn deploy_outputs(text: &str) -> Option<Outputs> {
    #[derive(serde::Deserialize)]
    struct Line {
        stack_outputs: Vec<Output>,
    }
    #[derive(serde::Deserialize)]
    struct Output {
        key: String,
        value: String,
    }
    let line: Line = text
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())?;
    Some(
        line.stack_outputs
            .into_iter()
            .map(|output| (output.key, output.value))
            .collect(),
    )
}

async fn compiler_version(root: &Path) -> String {
    let output = tokio::process::Command::new("rustc")
        .arg("-vV")
        .current_dir(root)
        .output()
        .await;
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// Hashes the path and content of every source file, the compiler version, and the architecture.
fn source_key(root: &Path, compiler: &str) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect_files(&root.join(source), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(compiler.as_bytes());
    add(ARCHITECTURE.as_bytes());
    for file in files {
        add(file
            .strip_prefix(root)
            .unwrap_or(&file)
            .to_string_lossy()
            .as_bytes());
        add(&std::fs::read(&file).map_err(|source| LocalError::file(&file, source))?);
    }
    Ok(hex(&hash.finalize()[..8]))
}

fn collect_files(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|source| LocalError::file(path, source))? {
            collect_files(
                &entry
                    .map_err(|source| LocalError::file(path, source))?
                    .path(),
                files,
            )?;
        }
    }
    Ok(())
}

/// Best effort: errors are ignored.
fn remove_unused(home: &Path, key: &str) {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let marker = entry.path();
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|written| {
                SystemTime::now()
                    .duration_since(written)
                    .is_ok_and(|age| age > KEEP_BUILDS)
            });
        if is_old
            && marker.extension().is_some_and(|e| e == "complete")
            && marker.file_stem().is_some_and(|s| s != key)
        {
            let _ = std::fs::remove_file(&marker);
            let _ = std::fs::remove_dir_all(marker.with_extension(""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn rebuilds_when_a_source_or_the_compiler_changes() {
        let files = [
            ("Cargo.toml", "a"),
            ("shared/src/lib.rs", "b"),
            ("functions/ingest/src/main.rs", "c"),
        ];
        let root = workspace_with(&files);
        let key = source_key(root.path(), "1.95").unwrap();
        assert_eq!(
            key,
            source_key(workspace_with(&files).path(), "1.95").unwrap()
        );
        assert_ne!(key, source_key(root.path(), "1.96").unwrap());
        std::fs::write(root.path().join("shared/src/lib.rs"), "B").unwrap();
        assert_ne!(key, source_key(root.path(), "1.95").unwrap());
    }

    #[test]
    fn does_not_rebuild_when_other_files_change() {
        let root = workspace_with(&[("Cargo.toml", "a"), ("infra/local/src/lib.rs", "b")]);
        let key = source_key(root.path(), "").unwrap();
        std::fs::write(root.path().join("infra/local/src/lib.rs"), "c").unwrap();
        assert_eq!(key, source_key(root.path(), "").unwrap());
    }

    #[test]
    fn parses_listed_outputs_after_other_lines() {
        let text = "A new version is there\n[\n  {\n    \"OutputKey\": \"A\",\n    \"OutputValue\": \"1\",\n    \"Description\": \"\"\n  }\n]\n";
        let expected = Outputs::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(listed_outputs(text), Some(expected));
        assert_eq!(listed_outputs("No outputs found"), None);
    }

    #[test]
    fn parses_deploy_outputs_among_other_lines() {
        let text = concat!(
            "Uploading\n",
            "{\"type\": \"event\", \"status\": \"CREATE_COMPLETE\"}\n",
            "{\"type\": \"outputs\", \"stack_outputs\": [{\"key\": \"A\", \"value\": \"1\", \"description\": \"\"}]}\n",
            "{\"type\": \"result\", \"status\": \"success\"}\n",
        );
        assert_eq!(
            deploy_outputs(text),
            Some(BTreeMap::from([("A".into(), "1".into())]))
        );
        assert_eq!(deploy_outputs("nothing"), None);
    }
}
