//! The crates that are linked into a program.
//!
//! `cargo tree` selects them: it resolves the features of one package for one target, as `cargo build` does, and leaves out
//! build scripts and procedural macros. `cargo metadata` describes them, and `Cargo.lock` has their checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use onewrite_local::process;

use crate::error::{PackageError, Result, read};

/// Name and version. No two sources have the same; [`Described::read`] checks it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrateId {
    pub name: String,
    pub version: String,
}

/// A crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    pub id: CrateId,
    /// An SPDX expression. `None` if the manifest has none.
    pub licence: Option<String>,
    pub description: Option<String>,
    pub repository: Option<String>,
    /// The directory of its source.
    pub directory: PathBuf,
    /// Whether it comes from a registry. The others are part of this repository.
    pub is_registered: bool,
    /// The SHA-256 of its archive in the registry, in hexadecimal digits.
    pub checksum: Option<String>,
}

/// All crates of the workspace and its dependencies.
#[derive(Debug)]
pub struct Described {
    root: PathBuf,
    crates: BTreeMap<CrateId, Crate>,
}

/// The crates of a program and which of them each crate uses. The root is the package of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    pub root: CrateId,
    pub crates: BTreeMap<CrateId, Crate>,
    pub uses: BTreeMap<CrateId, BTreeSet<CrateId>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Described {
    /// Reads the crates of the workspace at `root`, for these targets.
    ///
    /// # Errors
    /// [`PackageError::Command`], or [`PackageError::Unexpected`] if two sources have the same crate.
    pub async fn read(root: &Path, targets: &[&str]) -> Result<Self> {
        let filters = targets.iter().map(|one| format!("--filter-platform={one}"));
        let arguments = ["metadata", "--locked", "--format-version=1"].map(str::to_owned);
        let text = cargo(root, arguments.into_iter().chain(filters)).await?;
        let lock = read(&root.join("Cargo.lock"))?;
        let crates = describe(&text, &lock)?;
        Ok(Self {
            root: root.to_path_buf(),
            crates,
        })
    }

    /// Returns the crates that are linked into the programs of a package.
    ///
    /// # Errors
    /// [`PackageError::Command`], or [`PackageError::Unexpected`] for a crate that cargo does not describe.
    pub async fn linked(&self, package: &str, target: &str) -> Result<Linked> {
        let arguments = ["tree", "--locked", "--package", package, "--target", target];
        let format = ["--prefix=depth", "--format=|{p}", "--charset=ascii"];
        let edges = ["--edges=normal,no-proc-macro"];
        let all = arguments.into_iter().chain(format).chain(edges);
        let text = cargo(&self.root, all).await?;
        let (root, uses) = parse_tree(&text)?;
        let unknown = |id: &CrateId| {
            PackageError::Unexpected(format!(
                "cargo does not describe {} {}",
                id.name, id.version
            ))
        };
        let describe = |id: &CrateId| {
            let one = self.crates.get(id).ok_or_else(|| unknown(id))?;
            Ok((id.clone(), one.clone()))
        };
        let crates = uses.keys().map(describe).collect::<Result<_>>()?;
        Ok(Linked { root, crates, uses })
    }
}

/// Runs cargo in the workspace and returns what it wrote.
async fn cargo<S: AsRef<OsStr>>(
    root: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String> {
    let mut command = process::command("cargo");
    command.args(arguments).current_dir(root);
    output(command).await
}

/// Runs a command and returns what it wrote to its standard output.
///
/// # Errors
/// [`PackageError::Command`] with the last line of its standard error.
pub(crate) async fn output(command: std::process::Command) -> Result<String> {
    let arguments = command.get_args().take(2).map(OsStr::to_string_lossy);
    let program = command.get_program().to_string_lossy();
    let words: Vec<_> = std::iter::once(program).chain(arguments).collect();
    let call = words.join(" ");
    let failed = |reason: String| PackageError::Command {
        call: call.clone(),
        reason,
    };
    let output = tokio::process::Command::from(command)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty());
    Err(failed(last.unwrap_or("it wrote nothing").trim().to_owned()))
}

fn describe(metadata: &str, lock: &str) -> Result<BTreeMap<CrateId, Crate>> {
    let unexpected =
        |what: &str, error: String| PackageError::Unexpected(format!("{what}: {error}"));
    let metadata: Metadata = serde_json::from_str(metadata)
        .map_err(|error| unexpected("cargo metadata", error.to_string()))?;
    let lock: Lock =
        toml::from_str(lock).map_err(|error| unexpected("Cargo.lock", error.to_string()))?;
    let checksums: BTreeMap<(String, String), Option<String>> = lock
        .package
        .into_iter()
        .map(|one| ((one.name, one.version), one.checksum))
        .collect();
    let mut crates = BTreeMap::new();
    for package in metadata.packages {
        let key = (package.name.clone(), package.version.clone());
        let Some(checksum) = checksums.get(&key).cloned() else {
            let reason = format!("{} {} is missing", key.0, key.1);
            return Err(unexpected("Cargo.lock", reason));
        };
        let id = CrateId {
            name: package.name,
            version: package.version,
        };
        let manifest = &package.manifest_path;
        let described = Crate {
            id: id.clone(),
            licence: package.license.map(|text| spdx(&text)),
            description: package.description,
            repository: package.repository,
            directory: manifest.parent().unwrap_or(manifest).to_path_buf(),
            is_registered: package.source.is_some(),
            checksum,
        };
        if crates.insert(id, described).is_some() {
            let reason = format!("{} {} has two sources", key.0, key.1);
            return Err(unexpected("cargo metadata", reason));
        }
    }
    Ok(crates)
}

/// Old manifests separate alternatives with a slash, which SPDX does not know.
fn spdx(licence: &str) -> String {
    let alternatives: Vec<&str> = licence.split('/').map(str::trim).collect();
    alternatives.join(" OR ")
}

/// Parses `cargo tree --prefix=depth --format=|{p}`: `2|name v1.0.0 (source) (*)`. A crate that is marked with `(*)` has its
/// dependencies elsewhere.
fn parse_tree(text: &str) -> Result<(CrateId, BTreeMap<CrateId, BTreeSet<CrateId>>)> {
    let invalid = |line: &str| PackageError::Unexpected(format!("cargo tree wrote: {line}"));
    let mut uses: BTreeMap<CrateId, BTreeSet<CrateId>> = BTreeMap::new();
    // The crates from the root to the last line.
    let mut path: Vec<CrateId> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (depth, rest) = line.split_once('|').ok_or_else(|| invalid(line))?;
        let depth: usize = depth.parse().map_err(|_| invalid(line))?;
        let mut words = rest.split(' ');
        let (name, version) = (words.next(), words.next());
        let version = version.and_then(|version| version.strip_prefix('v'));
        let (Some(name), Some(version)) = (name, version) else {
            return Err(invalid(line));
        };
        let id = CrateId {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        if depth > path.len() || (depth == 0) != path.is_empty() {
            return Err(invalid(line));
        }
        path.truncate(depth);
        if let Some(parent) = path.last() {
            uses.entry(parent.clone()).or_default().insert(id.clone());
        }
        uses.entry(id.clone()).or_default();
        path.push(id);
    }
    let root = path.first().cloned().ok_or_else(|| invalid(""))?;
    Ok((root, uses))
}

#[cfg(test)]
mod tests {
    use onewrite_local::workspace::Workspace;

    use super::*;

    fn id(name: &str) -> CrateId {
        CrateId {
            name: name.into(),
            version: "1.0.0".into(),
        }
    }

    fn ids<const N: usize>(names: [&str; N]) -> BTreeSet<CrateId> {
        names.map(id).into()
    }

    #[test]
    fn reads_which_crate_uses_which() {
        let text = "0|a v1.0.0 (/w/a)\n1|b v1.0.0\n2|c v1.0.0\n1|d v1.0.0\n2|b v1.0.0 (*)\n";
        let (root, uses) = parse_tree(text).unwrap();
        assert_eq!(root, id("a"));
        let expected = [
            (id("a"), ids(["b", "d"])),
            (id("b"), ids(["c"])),
            (id("c"), ids([])),
            (id("d"), ids(["b"])),
        ];
        assert_eq!(uses, expected.into());
    }

    #[test]
    fn refuses_other_output_of_cargo_tree() {
        for text in [
            "",
            "a v1.0.0",
            "1|a v1.0.0",
            "0|a",
            "0|a v1.0.0\n0|b v1.0.0",
            "0|a v1.0.0\n2|b v1.0.0",
        ] {
            assert!(parse_tree(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_old_alternatives_as_spdx() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(spdx("MIT OR Apache-2.0"), "MIT OR Apache-2.0");
    }

    /// The names and versions of `Cargo.lock` that a package can reach over any kind of dependency.
    fn reachable(lock: &str, package: &str) -> BTreeSet<CrateId> {
        let lock: toml::Table = lock.parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        let field = |one: &toml::Value, name: &str| one[name].as_str().unwrap().to_owned();
        let mut found = BTreeSet::new();
        let mut next = vec![package.to_owned()];
        while let Some(wanted) = next.pop() {
            // "name", or "name version" if there are several versions.
            let mut words = wanted.split(' ');
            let (name, version) = (words.next().unwrap(), words.next());
            let is_wanted = |one: &&toml::Value| {
                field(one, "name") == name
                    && version.is_none_or(|version| field(one, "version") == version)
            };
            let one = packages.iter().find(is_wanted).unwrap();
            let (name, version) = (field(one, "name"), field(one, "version"));
            if found.insert(CrateId { name, version }) {
                let dependencies = one.get("dependencies").and_then(toml::Value::as_array);
                let names = dependencies.into_iter().flatten();
                next.extend(names.map(|name| name.as_str().unwrap().to_owned()));
            }
        }
        found
    }

    /// A crate of the lock file that `cargo tree` leaves out is not compiled for the target at all, or is a procedural macro, or
    /// is used by one or by a build script. Rust's own view of the build, the list of compiled crates, is compared by
    /// [`crate::audit`].
    #[tokio::test]
    async fn linked_crates_are_locked_with_their_checksums() {
        let workspace = Workspace::here();
        let target = "x86_64-unknown-linux-gnu";
        let described = Described::read(workspace.root(), &[target]).await.unwrap();
        let lock = read(&workspace.root().join("Cargo.lock")).unwrap();
        for package in ["onewrite-ingest", "onewrite-forward", "onewrite-complete"] {
            let linked = described.linked(package, target).await.unwrap();
            let reachable = reachable(&lock, package);
            assert!(linked.crates.keys().all(|id| reachable.contains(id)));
            assert_eq!(linked.root.name, package);
            let names: BTreeSet<&str> = linked.crates.keys().map(|id| id.name.as_str()).collect();
            for name in [
                "onewrite",
                "onewrite-aws",
                "lambda_runtime",
                "tokio",
                "rustls",
                "serde_core",
            ] {
                assert!(names.contains(name), "{package}: {name}");
            }
            for name in [
                "async-trait",
                "syn",
                "cc",
                "onewrite-testing",
                "proptest",
                "windows-sys",
            ] {
                assert!(!names.contains(name), "{package}: {name}");
            }
            for one in linked.crates.values() {
                assert_eq!(one.checksum.is_some(), one.is_registered, "{:?}", one.id);
                assert!(one.licence.is_some(), "{:?}", one.id);
            }
        }
    }
}
