//! The files of a release package, which `cargo local package` writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{LocalError, Result};

/// What precedes the version in the keys of the code: the default of the template's `CodePrefix`.
const CODE_PREFIX: &str = "onewrite/";

/// A release package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    template: PathBuf,
    archives: BTreeMap<String, PathBuf>,
}

impl Package {
    /// Finds the template and the archives in a directory.
    ///
    /// # Errors
    /// [`LocalError::InvalidPackage`] if there is not exactly one template, or no archive.
    pub(crate) fn find(directory: &Path) -> Result<Self> {
        let invalid = |reason: String| LocalError::InvalidPackage {
            directory: directory.to_path_buf(),
            reason,
        };
        let (mut templates, mut zipped) = (Vec::new(), Vec::new());
        let entries = std::fs::read_dir(directory).map_err(|error| invalid(error.to_string()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = version(&name) {
                templates.push((version.to_owned(), entry.path()));
            } else if name.ends_with(".zip") {
                zipped.push((name, entry.path()));
            }
        }
        let [(version, template)] = templates.as_slice() else {
            let reason = format!("it has {} files template-VERSION.yaml", templates.len());
            return Err(invalid(reason));
        };
        if zipped.is_empty() {
            return Err(invalid("it has no .zip file".into()));
        }
        let key = |name: String| format!("{CODE_PREFIX}{version}/{name}");
        let archives = zipped.into_iter().map(|(name, path)| (key(name), path));
        Ok(Self {
            template: template.clone(),
            archives: archives.collect(),
        })
    }

    /// The path of the template.
    pub(crate) fn template(&self) -> &Path {
        &self.template
    }

    /// The archives, by their keys in the bucket of the code.
    pub(crate) fn archives(&self) -> &BTreeMap<String, PathBuf> {
        &self.archives
    }
}

/// Returns the version in the name of a template.
fn version(name: &str) -> Option<&str> {
    name.strip_prefix("template-")?.strip_suffix(".yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_archives_below_the_version_of_the_template() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            std::fs::write(directory.path().join(name), "").unwrap();
            Package::find(directory.path())
        };
        for name in ["SHA256SUMS", "ingest-arm64.zip"] {
            let error = write(name).unwrap_err().to_string();
            assert!(
                error.contains("it has 0 files template-VERSION.yaml"),
                "{error}"
            );
        }
        let package = write("template-1.2.3.yaml").unwrap();
        assert_eq!(
            package.template(),
            directory.path().join("template-1.2.3.yaml")
        );
        let archive = directory.path().join("ingest-arm64.zip");
        let expected = BTreeMap::from([("onewrite/1.2.3/ingest-arm64.zip".to_owned(), archive)]);
        assert_eq!(*package.archives(), expected);
        assert!(write("template-1.2.4.yaml").is_err());
    }

    #[test]
    fn refuses_directories_without_a_package() {
        assert!(Package::find(Path::new("/nowhere/package")).is_err());
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("template-1.2.3.yaml"), "").unwrap();
        let error = Package::find(directory.path()).unwrap_err().to_string();
        assert!(error.contains("it has no .zip file"), "{error}");
    }
}
