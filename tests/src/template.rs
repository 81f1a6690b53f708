//! Paths in the repository, and the parsed template.

use std::path::{Path, PathBuf};

use anyhow::Result;
pub use onewrite_local::template::{Template, scalar};
use onewrite_local::workspace::Workspace;

/// The path of a file in the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Reads the repository's template.
///
/// # Errors
/// The file is missing or is not YAML.
pub fn template() -> Result<Template> {
    Ok(Template::from_workspace(&Workspace::here())?)
}
