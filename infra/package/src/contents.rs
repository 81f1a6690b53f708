//! The files of a package.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use onewrite_local::binaries::Architecture;
use onewrite_local::hex::hex;
use sha2::{Digest, Sha256};

use crate::crates::{Crate, CrateId, Described};
use crate::error::{PackageError, Result, read};
use crate::sbom::Subject;
use crate::{archive, audit, licences, sbom, template};

/// The name of the file with the checksums of all others, in the format of `sha256sum`.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// The name of the file with the licences.
pub const LICENSES: &str = "LICENSES";

/// A built program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The crate.
    pub package: String,
    /// The name of the program.
    pub name: String,
    /// The Rust target.
    pub target: String,
    /// Its name in the package, without the ending of an archive.
    pub file: String,
    /// Whether Lambda gets it, in an archive.
    pub is_function: bool,
    /// The file on this machine.
    pub path: PathBuf,
}

impl Program {
    /// A function.
    #[must_use]
    pub fn function(name: &str, architecture: Architecture, path: PathBuf) -> Self {
        Self {
            package: format!("onewrite-{name}"),
            name: name.to_owned(),
            target: architecture.target().to_owned(),
            file: format!("{name}-{}", architecture.name()),
            is_function: true,
            path,
        }
    }

    /// The operator's tool.
    #[must_use]
    pub fn operator(target: &str, path: PathBuf) -> Self {
        Self {
            package: "onewrite-operator".to_owned(),
            name: "onewrite".to_owned(),
            target: target.to_owned(),
            file: format!("onewrite-{target}"),
            is_function: false,
            path,
        }
    }

    /// Returns the name and the file that a package has of this program.
    fn packaged(&self, bytes: Vec<u8>) -> Result<(String, File)> {
        if self.is_function {
            let archive = archive::of_program("bootstrap", &bytes)?;
            return Ok((format!("{}.zip", self.file), archive.into()));
        }
        let file = File {
            bytes,
            is_executable: true,
        };
        Ok((self.file.clone(), file))
    }
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub is_executable: bool,
}

impl From<Vec<u8>> for File {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            is_executable: false,
        }
    }
}

/// The files of a package, by name.
pub type Files = BTreeMap<String, File>;

/// What a package is made of.
#[derive(Debug, Clone)]
pub struct Contents {
    pub version: String,
    /// The time of the commit, as RFC 3339.
    pub timestamp: String,
    /// The version of the Rust compiler.
    pub rust: String,
    /// The architectures of the functions. The first one is the default of the template.
    pub architectures: Vec<Architecture>,
    pub programs: Vec<Program>,
    /// Whether the programs must list their crates (cargo-auditable).
    pub is_auditable: bool,
}

impl Contents {
    /// Returns the files. `root` is the workspace.
    ///
    /// # Errors
    /// A program cannot be read, or does not list its crates although it must; a failure of cargo or of the template.
    pub async fn files(&self, root: &Path) -> Result<Files> {
        let mut targets: Vec<&str> = self
            .programs
            .iter()
            .map(|one| one.target.as_str())
            .collect();
        targets.sort_unstable();
        targets.dedup();
        let described = Described::read(root, &targets).await?;
        let mut files = Files::new();
        let mut crates: BTreeMap<CrateId, Crate> = BTreeMap::new();
        for program in &self.programs {
            let linked = described.linked(&program.package, &program.target).await?;
            let bytes = std::fs::read(&program.path)
                .map_err(|source| PackageError::file(&program.path, source))?;
            if self.is_auditable {
                audit::check(&program.name, &bytes, &linked)?;
            }
            let subject = Subject {
                name: &program.name,
                version: &self.version,
                target: &program.target,
                rust: &self.rust,
                program: &bytes,
                timestamp: &self.timestamp,
            };
            let bom = format!("{:#}\n", sbom::of_program(&subject, &linked));
            files.insert(
                format!("sbom-{}.cdx.json", program.file),
                bom.into_bytes().into(),
            );
            let (name, file) = program.packaged(bytes)?;
            files.insert(name, file);
            crates.extend(linked.crates);
        }
        let source = read(&root.join("template.yaml"))?;
        let template = template::translate(&source, &self.version, &self.architectures)?;
        files.insert(template_name(&self.version), template.into_bytes().into());
        let licences = licences::of_crates(root, crates.values())?;
        files.insert(LICENSES.to_owned(), licences.into_bytes().into());
        files.insert(CHECKSUMS.to_owned(), checksums(&files).into_bytes().into());
        Ok(files)
    }
}

/// Returns the name of the template of a version.
#[must_use]
pub fn template_name(version: &str) -> String {
    format!("template-{version}.yaml")
}

/// Returns the lines that `sha256sum --check` reads.
fn checksums(files: &Files) -> String {
    let mut text = String::new();
    for (name, file) in files {
        let _ = writeln!(text, "{}  {name}", hex(&Sha256::digest(&file.bytes)));
    }
    text
}

/// Writes files into a directory, which must exist.
///
/// # Errors
/// [`PackageError::File`].
pub fn write(files: &Files, directory: &Path) -> Result<()> {
    for (name, file) in files {
        let path = directory.join(name);
        let failed = |source| PackageError::file(&path, source);
        std::fs::write(&path, &file.bytes).map_err(failed)?;
        let mode = if file.is_executable { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use onewrite_local::workspace::Workspace;
    use serde_json::Value;

    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum() {
        let files = Files::from([
            ("b".to_owned(), b"abc".to_vec().into()),
            ("a".to_owned(), Vec::new().into()),
        ]);
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n";
        assert_eq!(checksums(&files), expected);
    }

    /// A package whose programs are other files: nothing here depends on what they do.
    fn contents(directory: &Path) -> Contents {
        let architecture = Architecture::X86_64;
        let program = |name: &str| {
            let path = directory.join(name);
            std::fs::write(&path, name.repeat(100)).unwrap();
            path
        };
        Contents {
            version: "1.2.3".into(),
            timestamp: "2026-01-02T03:04:05Z".into(),
            rust: "rustc 1.95.0".into(),
            architectures: vec![architecture],
            programs: vec![
                Program::function("ingest", architecture, program("ingest")),
                Program::operator(architecture.target(), program("onewrite")),
            ],
            is_auditable: false,
        }
    }

    #[tokio::test]
    async fn a_package_has_all_files_and_each_is_in_the_checksums() {
        let workspace = Workspace::here();
        let directory = tempfile::tempdir().unwrap();
        let contents = contents(directory.path());
        let files = contents.files(workspace.root()).await.unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let expected = [
            "LICENSES",
            "SHA256SUMS",
            "ingest-x86_64.zip",
            "onewrite-x86_64-unknown-linux-gnu",
            "sbom-ingest-x86_64.cdx.json",
            "sbom-onewrite-x86_64-unknown-linux-gnu.cdx.json",
            "template-1.2.3.yaml",
        ];
        assert_eq!(names, expected);
        let sums = String::from_utf8(files[CHECKSUMS].bytes.clone()).unwrap();
        assert_eq!(sums.lines().count(), expected.len() - 1);
        write(&files, directory.path()).unwrap();
        let mode = |name: &str| {
            let file = std::fs::metadata(directory.path().join(name)).unwrap();
            file.permissions().mode() & 0o777
        };
        assert_eq!(mode("onewrite-x86_64-unknown-linux-gnu"), 0o755);
        assert_eq!(mode("ingest-x86_64.zip"), 0o644);
        let again = contents.files(workspace.root()).await.unwrap();
        assert_eq!(files, again);
        let licences = String::from_utf8(files[LICENSES].bytes.clone()).unwrap();
        let bom: Value =
            serde_json::from_slice(&files["sbom-ingest-x86_64.cdx.json"].bytes).unwrap();
        for component in bom["components"].as_array().unwrap() {
            let (name, version) = (&component["name"], &component["version"]);
            let line = format!(
                "\n{} {}: ",
                name.as_str().unwrap(),
                version.as_str().unwrap()
            );
            assert!(licences.contains(&line), "{line}");
        }
        assert!(licences.contains("Apache License"), "the texts");
    }

    #[tokio::test]
    async fn refuses_programs_that_do_not_list_their_crates() {
        let directory = tempfile::tempdir().unwrap();
        let contents = Contents {
            is_auditable: true,
            ..contents(directory.path())
        };
        let error = contents.files(Workspace::here().root()).await.unwrap_err();
        assert!(
            matches!(error, PackageError::NotAuditable { .. }),
            "{error}"
        );
    }
}
