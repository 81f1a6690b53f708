//! The repository's files, and its template as the tests of it look at it.

use std::path::{Path, PathBuf};

use anyhow::Result;
pub use onewrite_local::template::{Template, scalar};
use onewrite_local::workspace::Workspace;

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The repository's template.
///
/// # Errors
/// Where it is not there or no YAML.
pub fn template() -> Result<Template> {
    Ok(Template::of_workspace(&Workspace::here())?)
}
