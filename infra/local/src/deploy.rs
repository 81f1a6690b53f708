//! `sam build` and `sam deploy` of the workspace's own template, with the emulator in AWS's place.
//!
//! Built once and deployed often: a build is keyed by everything that goes into it, and several processes that need
//! the same one make it once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_yaml_ng::Value as Yaml;
use sha2::{Digest, Sha256};

use crate::clients::Clients;
use crate::emulator::{Emulator, REGION, isolated};
use crate::error::{LocalError, Result};
use crate::process::Program;
use crate::progress::Progress;
use crate::python::{Environment, Interpreter};
use crate::stack::LOCAL_PARAMETERS;
use crate::workspace::{FileLock, Workspace};

/// What a function's binary is made of, relative to the workspace.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
    "template.yaml",
    "shared",
    "functions",
];

/// Builds of other sources are removed when they were not used for this long.
const KEEP_BUILDS: Duration = Duration::from_secs(60 * 60);

pub(crate) const STACK_NAME: &str = "onewrite";
const ARTIFACT_BUCKET: &str = "onewrite-local-artifacts";

/// Beside the built template, for its paths are relative.
const FOR_EMULATOR: &str = "emulator.yaml";

/// Between two looks of the SAM CLI at a change; its own default would have it wait for seconds.
const POLL_SECONDS: &str = "0.2";

/// The template's `Architecture` for binaries that run on this machine.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// The SAM CLI and how to run it.
#[derive(Debug, Clone)]
pub struct Sam {
    workspace: Workspace,
    environment: Environment,
    interpreter: Interpreter,
}

/// The template's policy that lets `ingest` insert by PartiQL.
const INSERTS_BY_PARTIQL: &str = "BatchedInsertsPolicy";

/// Functions that are built and a template that names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    directory: PathBuf,
}

impl Build {
    /// The template as the emulator can take it. Its SAM transform knows a parameter by its default alone, where AWS's
    /// knows the value that was given. Its alarms know no metric math and no dimensions, so that each would be set off
    /// by any other's metrics: they are given none that it has, and are there to be set. It judges a PartiQL batch by
    /// an action of its own and no resource, where AWS asks for `dynamodb:PartiQLInsert` on each table.
    fn write_for_emulator(&self) -> Result<()> {
        let built = self.directory.join("template.yaml");
        let text =
            std::fs::read_to_string(&built).map_err(|source| LocalError::file(&built, source))?;
        let unreadable =
            |error| LocalError::Deployed(format!("{} is no YAML: {error}", built.display()));
        let mut template: Yaml = serde_yaml_ng::from_str(&text).map_err(unreadable)?;
        for (name, value) in LOCAL_PARAMETERS {
            if let Some(parameter) = template["Parameters"].get_mut(name) {
                parameter["Default"] = value.into();
            }
        }
        let resources = template["Resources"].as_mapping_mut().into_iter().flatten();
        for (name, resource) in resources {
            if name.as_str() == Some(INSERTS_BY_PARTIQL) {
                let statements = &mut resource["Properties"]["PolicyDocument"]["Statement"];
                let batches =
                    "{Effect: Allow, Action: dynamodb:BatchExecuteStatement, Resource: '*'}";
                let batches = serde_yaml_ng::from_str(batches).map_err(unreadable)?;
                if let Some(statements) = statements.as_sequence_mut() {
                    statements.push(batches);
                }
            }
            if resource["Type"] == "AWS::CloudWatch::Alarm" {
                let properties = &mut resource["Properties"];
                if let Some(properties) = properties.as_mapping_mut() {
                    properties.remove("Metrics");
                    properties.remove("Dimensions");
                }
                properties["Namespace"] = "set-by-hand".into();
                properties["MetricName"] = "none".into();
                properties["Statistic"] = "Sum".into();
                properties["Period"] = 60.into();
            }
        }
        let text = serde_yaml_ng::to_string(&template).map_err(unreadable)?;
        let file = self.directory.join(FOR_EMULATOR);
        std::fs::write(&file, text).map_err(|source| LocalError::file(&file, source))
    }
}

/// What the template says of the stack it made, by output name.
pub type Outputs = BTreeMap<String, String>;

impl Sam {
    /// The SAM CLI of `environment`, for `workspace`.
    #[must_use]
    pub fn new(workspace: Workspace, environment: Environment, interpreter: Interpreter) -> Self {
        Self {
            workspace,
            environment,
            interpreter,
        }
    }

    /// The functions, built for this machine with the release profile.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the compiler's last words.
    pub async fn build(&self, progress: Progress) -> Result<Build> {
        let home = self.workspace.local().join("build");
        let key = source_key(
            self.workspace.root(),
            &compiler(self.workspace.root()).await,
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
        // Written on every use: its age tells how long the build has not been used.
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
    /// [`LocalError::Step`] with the SAM CLI's last words, [`LocalError::Deployed`] when an output is missing.
    pub async fn deploy(
        &self,
        build: &Build,
        emulator: &Emulator,
        clients: &Clients,
        parameters: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Outputs> {
        let bucket = clients
            .s3
            .create_bucket()
            .bucket(ARTIFACT_BUCKET)
            .send()
            .await;
        bucket.map_err(|error| LocalError::aws("CreateBucket", &error))?;
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
                    // In quotes, for an empty value has none otherwise.
                    .map(|(name, value)| format!("{name}=\"{}\"", value.replace('"', "\\\""))),
            )
            .env("AWS_ENDPOINT_URL", emulator.endpoint())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key)
            .env("SAM_CLI_POLL_DELAY", POLL_SECONDS)
            .run("sam deploy")
            .await?;
        let said =
            std::fs::read_to_string(&log).map_err(|source| LocalError::file(&log, source))?;
        outputs(&said).ok_or_else(|| LocalError::Deployed("the template has no outputs".into()))
    }

    /// The outputs of the stack of this name, in the account and region that the environment names.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the SAM CLI's last words, where there is no such stack for one.
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
            .arg(no_settings(&home)?)
            .env("SAM_CLI_TELEMETRY", "0")
            .current_dir(self.workspace.root())
            .run("sam list stack-outputs")
            .await?;
        let said =
            std::fs::read_to_string(&log).map_err(|source| LocalError::file(&log, source))?;
        listed_outputs(&said)
            .ok_or_else(|| LocalError::Deployed(format!("the stack {name} has no outputs")))
    }

    pub(crate) fn program(&self, command: &str, directory: &Path, log: &Path) -> Result<Program> {
        let config = no_settings(directory)?;
        let program = self.tool("sam", directory, log).arg(command);
        Ok(program
            .arg("--config-file")
            .arg(config)
            .env("SAM_CLI_TELEMETRY", "0"))
    }

    /// A program of the environment, run at the workspace's root with nothing of the user's AWS settings.
    pub(crate) fn tool(&self, name: &str, directory: &Path, log: &Path) -> Program {
        let program = Program::new(self.interpreter.path(), self.environment.program(name), log);
        isolated(program, directory)
            .current_dir(self.workspace.root())
            .env("PATH", self.path())
    }

    /// `PATH` with the environment's programs first: cargo-lambda and zig are among them.
    fn path(&self) -> OsString {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let directories =
            std::iter::once(self.environment.bin()).chain(std::env::split_paths(&inherited));
        std::env::join_paths(directories).unwrap_or(inherited)
    }

    /// cargo-lambda, with everything it needs on `PATH`.
    pub fn cargo_lambda(&self, directory: &Path, log: &Path) -> Program {
        self.tool("cargo-lambda", directory, log).arg("lambda")
    }
}

/// A samconfig.toml with nothing in it: the user's is for deployments to AWS, and none of it may apply here.
fn no_settings(directory: &Path) -> Result<PathBuf> {
    let config = directory.join("samconfig.toml");
    std::fs::create_dir_all(directory).map_err(|source| LocalError::file(directory, source))?;
    std::fs::write(&config, "version = 0.1\n")
        .map_err(|source| LocalError::file(&config, source))?;
    Ok(config)
}

/// A stack's outputs as `sam list stack-outputs --output json` writes them: one JSON array, after other lines.
fn listed_outputs(said: &str) -> Option<Outputs> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        output_key: String,
        output_value: String,
    }
    let array = said.get(said.find('[')?..=said.rfind(']')?)?;
    let listed: Vec<Output> = serde_json::from_str(array).ok()?;
    let outputs = listed.into_iter();
    Some(
        outputs
            .map(|output| (output.output_key, output.output_value))
            .collect(),
    )
}

/// The stack's outputs as `sam deploy --output json` writes them, one JSON document a line among other lines.
fn outputs(said: &str) -> Option<Outputs> {
    #[derive(serde::Deserialize)]
    struct Line {
        stack_outputs: Vec<Output>,
    }
    #[derive(serde::Deserialize)]
    struct Output {
        key: String,
        value: String,
    }
    let line: Line = said
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

async fn compiler(root: &Path) -> String {
    let output = tokio::process::Command::new("rustc")
        .arg("-vV")
        .current_dir(root)
        .output()
        .await;
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// A hash of every source file's path and content, the compiler, and the architecture.
fn source_key(root: &Path, compiler: &str) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files)?;
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
    Ok(hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|source| LocalError::file(path, source))? {
            collect(
                &entry
                    .map_err(|source| LocalError::file(path, source))?
                    .path(),
                files,
            )?;
        }
    }
    Ok(())
}

/// Best effort: a build that cannot be removed only takes room.
fn remove_unused(home: &Path, key: &str) {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let marker = entry.path();
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|written| {
                SystemTime::now()
                    .duration_since(written)
                    .is_ok_and(|age| age > KEEP_BUILDS)
            });
        if old
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
    fn the_emulator_s_template_has_this_machine_s_parameters_as_defaults_and_no_metric_math() {
        let template = concat!(
            "Parameters:\n  RequireTls: {Type: String, Default: \"true\"}\n  Mine: {Default: 1}\n",
            "Resources:\n",
            "  A: {Type: AWS::SQS::Queue, Properties: {Period: !Ref Mine}}\n",
            "  BatchedInsertsPolicy: {Properties: {PolicyDocument: {Statement: []}}}\n",
            "  B: {Type: AWS::CloudWatch::Alarm, Properties: {Metrics: [{Id: a}], Threshold: !Ref Mine}}\n",
        );
        let root = workspace_with(&[("template.yaml", template)]);
        let build = Build {
            directory: root.path().to_path_buf(),
        };
        build.write_for_emulator().unwrap();
        let read = |name| -> Yaml {
            let text = std::fs::read_to_string(root.path().join(name)).unwrap();
            serde_yaml_ng::from_str(&text).unwrap()
        };
        let mut expected = read("template.yaml");
        expected["Parameters"]["RequireTls"]["Default"] = "false".into();
        let batches = "[{Effect: Allow, Action: dynamodb:BatchExecuteStatement, Resource: '*'}]";
        expected["Resources"]["BatchedInsertsPolicy"]["Properties"]["PolicyDocument"]["Statement"] =
            serde_yaml_ng::from_str(batches).unwrap();
        let alarm = "{Threshold: !Ref Mine, Namespace: set-by-hand, MetricName: none, Statistic: Sum, Period: 60}";
        expected["Resources"]["B"]["Properties"] = serde_yaml_ng::from_str(alarm).unwrap();
        assert_eq!(read(FOR_EMULATOR), expected);
    }

    #[test]
    fn a_changed_source_or_compiler_makes_another_build() {
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
    fn what_no_function_is_made_of_does_not_make_another_build() {
        let root = workspace_with(&[("Cargo.toml", "a"), ("infra/local/src/lib.rs", "b")]);
        let key = source_key(root.path(), "").unwrap();
        std::fs::write(root.path().join("infra/local/src/lib.rs"), "c").unwrap();
        assert_eq!(key, source_key(root.path(), "").unwrap());
    }

    #[test]
    fn a_deployed_stack_s_outputs_are_read_after_other_lines() {
        let said = "A new version is there\n[\n  {\n    \"OutputKey\": \"A\",\n    \"OutputValue\": \"1\",\n    \"Description\": \"\"\n  }\n]\n";
        let expected = Outputs::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(listed_outputs(said), Some(expected));
        assert_eq!(listed_outputs("No outputs found"), None);
    }

    #[test]
    fn outputs_are_read_from_among_other_lines() {
        let said = concat!(
            "Uploading\n",
            "{\"type\": \"event\", \"status\": \"CREATE_COMPLETE\"}\n",
            "{\"type\": \"outputs\", \"stack_outputs\": [{\"key\": \"A\", \"value\": \"1\", \"description\": \"\"}]}\n",
            "{\"type\": \"result\", \"status\": \"success\"}\n",
        );
        assert_eq!(
            outputs(said),
            Some(BTreeMap::from([("A".into(), "1".into())]))
        );
        assert_eq!(outputs("nothing"), None);
    }
}
