//! The functions in the dev profile, for `demo` and `up`. They build in a minute, where `sam build` takes ten.
//!
//! The package of a function is a script that executes the program, so neither the SAM CLI nor an upload is needed.
//! `python/deploy.py` makes the calls, in the emulator's environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::emulator::{Credentials, isolated};
use crate::error::{LocalError, Result};
use crate::process::Program;
use crate::python::{Environment, Interpreter};
use crate::workspace::{FUNCTIONS, Workspace};

const DEPLOY: &str = include_str!("../python/deploy.py");

/// The functions, and `onewrite-workspace-hack`: with it, dependencies have the features that they have in this tool, so
/// cargo does not compile them again.
const PACKAGES: [&str; 4] = [
    "--package=onewrite-workspace-hack",
    "--package=onewrite-ingest",
    "--package=onewrite-forward",
    "--package=onewrite-complete",
];

/// The programs of the functions, by function.
pub type Programs = BTreeMap<String, PathBuf>;

/// Builds the functions with one call of cargo.
///
/// # Errors
/// [`LocalError::Step`] with the last lines of cargo's output.
pub async fn build(
    workspace: &Workspace,
    interpreter: &Interpreter,
    log: &Path,
) -> Result<Programs> {
    let _ = std::fs::remove_file(log);
    let messages = log.with_extension("json");
    Program::new(interpreter.path(), "cargo", log)
        .args(["build", "--locked", "--bins", "--lib"])
        .args(PACKAGES)
        // Its messages name the programs, wherever the target directory is.
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace.root())
        .output(&messages)
        .run("building the functions")
        .await?;
    let text =
        std::fs::read_to_string(&messages).map_err(|source| LocalError::file(&messages, source))?;
    let programs = programs(&text);
    match FUNCTIONS.iter().find(|name| !programs.contains_key(**name)) {
        Some(name) => Err(LocalError::UnexpectedStack(format!(
            "cargo built no {name}"
        ))),
        None => Ok(programs),
    }
}

/// Returns the programs of the functions that cargo's messages name.
fn programs(messages: &str) -> Programs {
    #[derive(Deserialize)]
    struct Artifact {
        target: Target,
        executable: PathBuf,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts
        .filter(|artifact| FUNCTIONS.contains(&artifact.target.name.as_str()))
        .map(|artifact| (artifact.target.name, artifact.executable))
        .collect()
}

/// Copies a program into the stack's directory, because the next build overwrites it. `number` makes the name unique.
///
/// # Errors
/// [`LocalError::File`].
pub fn copy(program: &Path, name: &str, number: u64, directory: &Path) -> Result<PathBuf> {
    let directory = directory.join("functions");
    std::fs::create_dir_all(&directory).map_err(|source| LocalError::file(&directory, source))?;
    let copy = directory.join(format!("{name}-{number}"));
    std::fs::copy(program, &copy).map_err(|source| LocalError::file(program, source))?;
    Ok(copy)
}

/// Where `deploy.py` runs, and the emulator that it calls.
#[derive(Debug, Clone)]
pub struct Deployer {
    pub interpreter: Interpreter,
    pub environment: Environment,
    pub endpoint: String,
    pub credentials: Credentials,
    /// The stack's directory, for the log and the specification.
    pub directory: PathBuf,
}

/// The input of `deploy.py deploy`.
#[derive(Debug, Serialize)]
pub struct Deployment<'a> {
    pub stack_name: &'a str,
    pub bucket: &'a str,
    pub template: &'a Path,
    pub parameters: &'a BTreeMap<String, String>,
    /// The programs, by function.
    pub functions: &'a Programs,
    /// Files that are uploaded as they are, by their keys in the bucket.
    pub packages: &'a BTreeMap<String, PathBuf>,
}

/// The input of `deploy.py redeploy`.
#[derive(Debug, Serialize)]
pub struct Redeployment<'a> {
    pub stack_name: &'a str,
    pub bucket: &'a str,
    pub parameters: &'a BTreeMap<String, String>,
}

/// The input of `deploy.py update`.
#[derive(Debug, Serialize)]
pub struct Update {
    /// The programs, by the name of the deployed function.
    pub functions: Programs,
}

impl Deployer {
    /// Creates the stack and returns its outputs.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the reason for the failure.
    pub async fn deploy(&self, deployment: &Deployment<'_>) -> Result<BTreeMap<String, String>> {
        parse_outputs(&self.run("deploy", deployment).await?)
    }

    /// Deploys the running stack with other parameters, without a change of the code. Returns the stack's outputs.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the reason for the failure.
    pub async fn redeploy(
        &self,
        redeployment: &Redeployment<'_>,
    ) -> Result<BTreeMap<String, String>> {
        parse_outputs(&self.run("redeploy", redeployment).await?)
    }

    /// Replaces the code of functions and ends every instance of the old code.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the reason for the failure.
    pub async fn update(&self, update: &Update) -> Result<()> {
        self.run("update", update).await.map(|_| ())
    }

    /// Runs `deploy.py targets`, which creates the targets of a stack.
    ///
    /// # Errors
    /// [`LocalError::Step`] with the reason for the failure.
    pub(crate) async fn create_targets<T: DeserializeOwned>(
        &self,
        targets: &impl Serialize,
    ) -> Result<T> {
        let text = self.run("targets", targets).await?;
        serde_json::from_str(&text)
            .map_err(|error| LocalError::UnexpectedStack(format!("deploy.py targets: {error}")))
    }

    async fn run(&self, command: &str, input: &impl Serialize) -> Result<String> {
        let file = |extension: &str| self.directory.join(format!("{command}.{extension}"));
        let (specification, output, log) = (file("json"), file("out"), file("log"));
        let text = serde_json::to_vec(input).map_err(|error| LocalError::File {
            path: specification.clone(),
            source: error.into(),
        })?;
        std::fs::write(&specification, text)
            .map_err(|source| LocalError::file(&specification, source))?;
        let _ = std::fs::remove_file(&log);
        let python = self.environment.program("python");
        let program = Program::new(self.interpreter.path(), python, log);
        isolated(program, &self.directory)
            .args(["-I", "-c", DEPLOY, command])
            .arg(&specification)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", &self.credentials.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.credentials.secret_access_key)
            .output(&output)
            .run(&format!("deploy.py {command}"))
            .await?;
        std::fs::read_to_string(&output).map_err(|source| LocalError::file(&output, source))
    }
}

fn parse_outputs(text: &str) -> Result<BTreeMap<String, String>> {
    serde_json::from_str(text)
        .map_err(|_| LocalError::UnexpectedStack("the template has no outputs".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_programs_from_cargo_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"onewrite_ingest"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"ingest"},"executable":"/t/debug/ingest"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/debug/other"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let expected = Programs::from([("ingest".into(), "/t/debug/ingest".into())]);
        assert_eq!(programs(messages), expected);
    }
}
