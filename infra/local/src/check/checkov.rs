//! checkov: the good practices of others, without those that `infra/policy/checkov.yaml` leaves out, each for a reason.

use std::path::Path;

use serde::Deserialize;

use super::{Finding, new_log};
use crate::emulator::isolated;
use crate::error::Result;
use crate::process::Program;
use crate::progress::Progress;
use crate::python::{self, Environment, Interpreter};
use crate::workspace::Workspace;

/// Its settings, relative to the workspace.
pub const CONFIG: &str = "infra/policy/checkov.yaml";

/// Where it writes what it found; the name is its own.
const REPORT: &str = "results_json.json";

/// checkov and how to run it.
#[derive(Debug, Clone)]
pub struct Checkov {
    interpreter: Interpreter,
    packages: Environment,
    workspace: Workspace,
}

impl Checkov {
    /// Installs it where that was not done before.
    ///
    /// # Errors
    /// As [`python::environment`].
    pub async fn new(
        workspace: &Workspace,
        interpreter: &Interpreter,
        progress: Progress,
    ) -> Result<Self> {
        let packages =
            python::environment(workspace, interpreter, python::CHECKOV, progress).await?;
        Ok(Self {
            interpreter: interpreter.clone(),
            packages,
            workspace: workspace.clone(),
        })
    }

    /// What it finds wrong with `template` by the settings of `config`. Its log and its report are below `directory`.
    ///
    /// # Errors
    /// [`crate::error::LocalError::Step`] where it cannot look at the template.
    pub async fn check(
        &self,
        template: &Path,
        config: &Path,
        directory: &Path,
        progress: Progress,
    ) -> Result<Vec<Finding>> {
        let step = progress.step("Checking the template (checkov)");
        let log = new_log(directory, "checkov.log");
        let report = new_log(directory, REPORT);
        let program = self.packages.program("checkov");
        let mut running = isolated(
            Program::new(self.interpreter.path(), program, log),
            directory,
        )
        .arg("--config-file")
        .arg(config)
        .arg("--file")
        .arg(template)
        .args(["--output", "json", "--output-file-path"])
        .arg(directory)
        // It would ask the package index for a newer version of itself.
        .env("CKV_SKIP_PACKAGE_UPDATE_CHECK", "true")
        .current_dir(self.workspace.root())
        .spawn()?;
        let status = running.exited().await?;
        let written = std::fs::read_to_string(&report).unwrap_or_default();
        let Ok(Report { results, summary }) = serde_json::from_str(&written) else {
            return Err(running.failure("checkov"));
        };
        let found_some = !results.failed_checks.is_empty();
        if summary.parsing_errors > 0 || found_some == status.success() {
            return Err(running.failure("checkov"));
        }
        step.done();
        let finding = |check: Check| Finding {
            line: check.file_line_range.first().copied(),
            rule: check.check_id,
            message: format!("{} ({})", check.check_name, check.resource),
            template: template.to_path_buf(),
        };
        Ok(results.failed_checks.into_iter().map(finding).collect())
    }
}

/// What it writes; where it had nothing to look at, that is something else.
#[derive(Debug, Deserialize)]
struct Report {
    results: Results,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Results {
    failed_checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Summary {
    parsing_errors: usize,
}

#[derive(Debug, Deserialize)]
struct Check {
    check_id: String,
    check_name: String,
    resource: String,
    /// First and last.
    file_line_range: Vec<u32>,
}
