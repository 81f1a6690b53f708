//! Builds programs so that the same commit and the same Rust toolchain give the same bytes in any directory.
//!
//! rustc writes paths of source files into a program, for the messages of panics. Here, they do not depend on where the
//! repository, cargo's home and the toolchain are. Variables of the environment that change the code are removed. The
//! `config.toml` in cargo's home still applies, so build a package for others on a machine without one.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use onewrite_local::binaries::{self, Architecture, Recipe};
use onewrite_local::process::{self, Program};
use onewrite_local::progress::Progress;
use onewrite_local::python::Interpreter;
use onewrite_local::tools;
use onewrite_local::workspace::Workspace;

use crate::crates::output;
use crate::error::{PackageError, Result, read};

/// Beginnings of the names of variables that change what cargo and rustc produce.
const REMOVED_PREFIXES: [&str; 6] = [
    "CARGO_BUILD_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "CFLAGS",
    "CXXFLAGS",
];

/// Other variables that change what cargo and rustc produce.
const REMOVED: [&str; 6] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
];

/// What cargo-auditable gives itself as a wrapper of rustc: the options of the cargo that calls it.
const AUDITABLE_OPTIONS: &str = r#"{"offline":false,"locked":true,"frozen":false,"config":[]}"#;

/// The Rust toolchain of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// For example `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The target of this machine.
    pub host: String,
    sysroot: PathBuf,
    commit: String,
}

impl Toolchain {
    /// Asks the rustc that cargo uses in this directory.
    ///
    /// # Errors
    /// [`PackageError::Command`], or [`PackageError::Unexpected`] if it does not say what it is.
    pub async fn find(root: &Path) -> Result<Self> {
        let rustc = |arguments: &[&str]| {
            let mut command = process::command("rustc");
            command.args(arguments).current_dir(root);
            command
        };
        let sysroot = output(rustc(&["--print", "sysroot"])).await?;
        let text = output(rustc(&["-vV"])).await?;
        Self::parse(&text, Path::new(sysroot.trim()))
            .ok_or_else(|| PackageError::Unexpected(format!("rustc -vV wrote: {text}")))
    }

    fn parse(text: &str, sysroot: &Path) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            version: text.lines().next()?.to_owned(),
            host: field("host: ")?.to_owned(),
            sysroot: sysroot.to_path_buf(),
            commit: field("commit-hash: ")?.to_owned(),
        })
    }
}

/// Returns the paths that differ between machines, and what programs contain instead. rustc uses the last one that fits.
fn remapped(root: &Path, home: &Path, target: &Path, rust: &Toolchain) -> Vec<(PathBuf, String)> {
    let library = rust
        .sysroot
        .join("lib")
        .join("rustlib")
        .join("src")
        .join("rust");
    vec![
        (root.to_path_buf(), "/onewrite".into()),
        (target.to_path_buf(), "/target".into()),
        (home.to_path_buf(), "/cargo".into()),
        (rust.sysroot.clone(), "/rust".into()),
        // As in the programs of a toolchain without the component rust-src.
        (library, format!("/rustc/{}", rust.commit)),
    ]
}

/// Returns the value of cargo's configuration for these paths.
fn flags(paths: &[(PathBuf, String)]) -> Result<String> {
    let flag = |(path, name): &(PathBuf, String)| match path.to_str() {
        Some(path) => Ok(format!("--remap-path-prefix={path}={name}")),
        None => Err(PackageError::Unexpected(format!(
            "{} is not UTF-8",
            path.display()
        ))),
    };
    let flags: Vec<String> = paths.iter().map(flag).collect::<Result<_>>()?;
    // A list of strings in JSON is one in TOML too.
    let list = serde_json::to_string(&flags)
        .map_err(|error| PackageError::Unexpected(error.to_string()))?;
    Ok(format!("build.rustflags={list}"))
}

/// Returns cargo's home.
///
/// # Errors
/// [`PackageError::Unexpected`] if the environment names none.
pub fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .ok_or_else(|| PackageError::Unexpected("there is no home directory".into()))
}

fn is_removed(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    REMOVED.contains(&name.as_ref()) || REMOVED_PREFIXES.iter().any(|start| name.starts_with(start))
}

/// How the programs of a package are built.
#[derive(Debug)]
pub struct Build {
    workspace: Workspace,
    interpreter: Interpreter,
    rust: Toolchain,
    recipe: Recipe,
    progress: Progress,
}

impl Build {
    /// Prepares a build. `epoch` is the time of the commit, in seconds since 1970.
    ///
    /// # Errors
    /// A tool cannot be installed or run.
    pub async fn prepare(workspace: &Workspace, epoch: i64, progress: Progress) -> Result<Self> {
        let interpreter = Interpreter::find().await?;
        let auditable = tools::AUDITABLE
            .install(workspace, &interpreter, progress)
            .await?;
        let rust = Toolchain::find(workspace.root()).await?;
        let home = cargo_home()?;
        let mut recipe = recipe(workspace.root(), &home, &rust, epoch)?;
        // Its name without its path, which would be a part of the metadata of each crate.
        let wrapper = (auditable.file_name(), auditable.parent());
        if let (Some(name), Some(directory)) = wrapper {
            let set = [
                ("RUSTC_WORKSPACE_WRAPPER", name),
                ("CARGO_AUDITABLE_ORIG_ARGS", AUDITABLE_OPTIONS.as_ref()),
            ];
            let set = set.map(|(name, value)| (name.into(), Some(value.to_owned())));
            recipe.variables.extend(set);
            recipe.path.push(directory.to_path_buf());
        }
        Ok(Self {
            workspace: workspace.clone(),
            interpreter,
            rust,
            recipe,
            progress,
        })
    }

    /// The Rust toolchain.
    #[must_use]
    pub fn rust(&self) -> &Toolchain {
        &self.rust
    }

    /// Builds the functions. Returns their paths in the order of `names`.
    ///
    /// # Errors
    /// As [`binaries::build`].
    pub async fn functions(
        &self,
        names: &[&'static str],
        architecture: Architecture,
    ) -> Result<Vec<PathBuf>> {
        let directory = self.workspace.root().join("functions");
        let programs: Vec<_> = names
            .iter()
            .map(|name| (directory.join(name), *name))
            .collect();
        let built = self.build(&programs, architecture).await?;
        Ok(built)
    }

    /// Builds the operator's tool for this machine. On Linux, it also runs with older versions of glibc than this machine has.
    ///
    /// # Errors
    /// [`PackageError::Local`] with the last lines of cargo's output.
    pub async fn operator(&self) -> Result<PathBuf> {
        let package = self.workspace.root().join("infra").join("operator");
        let own = Architecture::ALL
            .into_iter()
            .find(|one| one.target() == self.rust.host);
        if let Some(architecture) = own {
            let built = self.build(&[(package, "onewrite")], architecture).await?;
            let missing = || PackageError::Unexpected("cargo built no onewrite".into());
            return built.into_iter().next().ok_or_else(missing);
        }
        let log = self.recipe.directory.join("onewrite.log");
        let name = "Building onewrite for this machine";
        let step = self
            .progress
            .long_step(name, "5 minutes the first time", Some(&log));
        let cargo = Program::new(self.interpreter.path(), "cargo", &log);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = self
            .recipe
            .path
            .iter()
            .cloned()
            .chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path)
            .map_err(|error| PackageError::Unexpected(error.to_string()))?;
        let cargo = cargo.args(["build", "--locked", "--release", "--bin", "onewrite"]);
        self.recipe
            .apply(cargo)
            .env("PATH", path)
            .current_dir(package)
            .run("building onewrite")
            .await?;
        step.done();
        Ok(self
            .recipe
            .directory
            .join("target")
            .join("release")
            .join("onewrite"))
    }

    async fn build(
        &self,
        programs: &[(PathBuf, &'static str)],
        architecture: Architecture,
    ) -> Result<Vec<PathBuf>> {
        let (workspace, recipe) = (&self.workspace, &self.recipe);
        let built = binaries::build_with(workspace, programs, architecture, recipe, self.progress);
        Ok(built.await?.into_iter().map(|one| one.path).collect())
    }
}

/// The reproducible part of a build, without cargo-auditable.
fn recipe(root: &Path, home: &Path, rust: &Toolchain, epoch: i64) -> Result<Recipe> {
    let directory = root.join("target").join("package").join("build");
    // Its own, because another set of flags would compile everything else again.
    let target = directory.join("target");
    let removed = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_removed(name));
    let removed = removed.map(|name| (name, None));
    let set = [
        ("CARGO_INCREMENTAL", "0".into()),
        ("CARGO_TARGET_DIR", target.clone().into_os_string()),
        ("SOURCE_DATE_EPOCH", epoch.to_string().into()),
    ];
    let set = set.map(|(name, value)| (OsString::from(name), Some(value)));
    Ok(Recipe {
        config: vec![flags(&remapped(root, home, &target, rust))?],
        variables: removed.chain(set).collect(),
        path: Vec::new(),
        directory,
    })
}

/// The state of the repository that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// When it was made, in seconds since 1970.
    pub epoch: i64,
    /// Whether the files differ from it.
    pub is_dirty: bool,
}

impl Commit {
    /// Reads the repository at `root`. `SOURCE_DATE_EPOCH` wins over the time of the commit.
    ///
    /// # Errors
    /// [`PackageError::Command`] if it is no git repository and there is no `SOURCE_DATE_EPOCH`.
    pub async fn read(root: &Path) -> Result<Self> {
        let git = |arguments: &[&str]| {
            let mut command = process::command("git");
            command.args(arguments).current_dir(root);
            command
        };
        let given = std::env::var("SOURCE_DATE_EPOCH").ok();
        let status = output(git(&["status", "--porcelain"])).await;
        let (text, is_dirty) = match (given, status) {
            (Some(given), status) => (given, status.is_ok_and(|text| !text.is_empty())),
            (None, status) => {
                let time = output(git(&["log", "-1", "--format=%ct"])).await?;
                (time, !status?.is_empty())
            }
        };
        let unexpected = |_| PackageError::Unexpected(format!("{} is not a time", text.trim()));
        let epoch = text.trim().parse().map_err(unexpected)?;
        Ok(Self { epoch, is_dirty })
    }
}

/// Returns the version of the workspace, which the programs report.
///
/// # Errors
/// [`PackageError::File`], or [`PackageError::Unexpected`] if `Cargo.toml` has none.
pub fn workspace_version(root: &Path) -> Result<String> {
    let manifest = read(&root.join("Cargo.toml"))?;
    let table: Option<toml::Table> = manifest.parse().ok();
    let version = table.and_then(|table| {
        let package = table.get("workspace")?.get("package")?;
        Some(package.get("version")?.as_str()?.to_owned())
    });
    version.ok_or_else(|| PackageError::Unexpected("Cargo.toml has no version".into()))
}

#[cfg(test)]
mod tests;
