//! `cargo local check`: checks the template without an AWS account.
//!
//! [`lint`] runs `cfn-lint` and `sam validate --lint`, [`checkov`] checks general good practices, and [`guard`] checks the
//! rules of this project.

use std::path::Path;

use crate::deploy::Sam;
use crate::error::Result;
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::template;
use crate::workspace::{FileLock, Workspace};

pub mod checkov;
mod finding;
pub mod guard;
mod lint;

pub use finding::Finding;

/// Returns the problems in `template`.
///
/// # Errors
/// A program cannot be installed or run. Findings are not errors.
pub async fn check(
    workspace: &Workspace,
    template: &Path,
    progress: Progress,
) -> Result<Vec<Finding>> {
    let interpreter = Interpreter::find().await?;
    let packages = python::environment(workspace, &interpreter, python::SAM, progress).await?;
    let sam = Sam::new(workspace.clone(), packages, interpreter.clone());
    let directory = workspace.local().join("check");
    let _lock = FileLock::acquire(&directory.join("lock"), progress).await?;
    let mut findings = lint::cfn_lint(&sam, template, &directory, progress).await?;
    let invalid = lint::sam_validate(&sam, template, &directory, progress).await?;
    // sam applies the rules of cfn-lint to the transformed template and repeats their findings in one long line. Its
    // finding is only used if cfn-lint has none.
    if findings.is_empty() {
        findings.extend(invalid);
    }
    let Ok(document) = template::read(template) else {
        // The linters have reported it.
        return Ok(findings);
    };
    let checkov = checkov::Checkov::new(workspace, &interpreter, progress).await?;
    let config = workspace.root().join(checkov::CONFIG);
    findings.extend(
        checkov
            .check(template, &config, &directory, progress)
            .await?,
    );
    let guard = guard::Guard::new(workspace, &interpreter, progress).await?;
    findings.extend(
        guard
            .check(template, &document, &directory, progress)
            .await?,
    );
    Ok(findings)
}
