//! Helpers that the verification tests share.

use std::path::{Path, PathBuf};

/// The path of a file of this repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}
