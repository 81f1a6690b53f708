//! checkov: general good practices. `infra/policy/checkov.yaml` lists the checks that are skipped, each with its reason.

use std::path::Path;

use serde::Deserialize;

use super::finding::{Finding, new_log};
use crate::emulator::isolated;
use crate::error::Result;
use crate::process::Program;
use crate::progress::Progress;
use crate::python::{self, Environment, Interpreter};
use crate::workspace::Workspace;

/// The configuration of checkov, relative to the workspace.
pub const CONFIG: &str = "infra/policy/checkov.yaml";

/// The name of checkov's report. It cannot be changed.
const REPORT: &str = "results_json.json";

/// checkov and how to run it.
#[derive(Debug, Clone)]
pub struct Checkov {
    interpreter: Interpreter,
    packages: Environment,
    workspace: Workspace,
}

impl Checkov {
    /// Installs checkov if necessary.
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

    /// Checks `template` with the configuration `config`. Writes the log and the report to `directory`.
    ///
    /// # Errors
    /// [`crate::error::LocalError::Step`] if checkov cannot read the template.
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
        // Otherwise it asks the package index for a newer version.
        .env("CKV_SKIP_PACKAGE_UPDATE_CHECK", "true")
        .current_dir(self.workspace.root())
        .spawn()?;
        let status = running.exited().await?;
        let written = std::fs::read_to_string(&report).unwrap_or_default();
        let Ok(Report { results, summary }) = serde_json::from_str(&written) else {
            return Err(running.failure("checkov"));
        };
        let has_findings = !results.failed_checks.is_empty();
        if summary.parsing_errors > 0 || has_findings == status.success() {
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

/// The report. If checkov found no resources, the file has another format.
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
    /// The first and the last line.
    file_line_range: Vec<u32>,
}
