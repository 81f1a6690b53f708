//! The tools and the tests compile each shared dependency once: no crate but a few small ones has two sets of features, and no
//! build has other variables than a build from a shell.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use onewrite_tests::{cargo::cargo, template::repository};

/// The crates of a build with their versions and features, from `cargo tree`.
fn crates(selection: &[&str]) -> BTreeSet<String> {
    let output = cargo()
        .args(["tree", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .args(selection)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo tree {selection:?}: {stderr}"
    );
    let crates = String::from_utf8(output.stdout).unwrap();
    let without_mark = |line: &str| line.trim_end_matches(" (*)").to_owned();
    crates.lines().map(without_mark).collect()
}

/// The crates that the operator's tool and the tests compile with `onewrite-stack/operator` and `onewrite-console/server`, and
/// `cargo local` without. The first feature needs five more SDK crates, which would be about a quarter of the first build of
/// `cargo local`; the second one needs a web server.
const WITHOUT_OPERATOR: [&str; 3] = ["aws-config", "onewrite-console", "onewrite-stack"];

/// The SDK crates of the feature `onewrite-stack/operator`.
const OPERATOR_SDKS: [&str; 5] = [
    "aws-sdk-cloudwatch",
    "aws-sdk-lambda",
    "aws-sdk-s3",
    "aws-sdk-sso",
    "aws-sdk-ssooidc",
];

/// The name and the version of a crate, without its features.
fn version(one: &str) -> &str {
    one.split(" [").next().unwrap_or_default()
}

fn name(one: &str) -> &str {
    one.split(' ').next().unwrap_or_default()
}

#[test]
fn tools_and_tests_compile_shared_dependencies_once() {
    let of_tests = crates(&["--workspace", "--edges", "normal,build,dev"]);
    // The last one is the build of the functions in `cargo local demo`.
    for tool in [
        "--package=onewrite-local",
        "--package=onewrite-operator",
        "--package=onewrite-bench",
        "--package=onewrite-workspace-hack --package=onewrite-ingest --package=onewrite-forward --package=onewrite-complete",
    ] {
        let mut selection: Vec<&str> = tool.split(' ').collect();
        selection.push("--edges=normal,build");
        let own: Vec<_> = crates(&selection)
            .into_iter()
            .filter(|one| !of_tests.contains(one) && !WITHOUT_OPERATOR.contains(&name(one)))
            .collect();
        assert!(
            own.is_empty(),
            "{tool} compiles crates with other features than the tests: {own:#?}. Add the features to infra/workspace-hack/Cargo.toml"
        );
    }
}

/// The first `cargo local demo` compiles the tool, then the functions together with `onewrite-workspace-hack`.
#[test]
fn demo_compiles_each_dependency_once_and_no_sdk_of_the_operator() {
    let tool = crates(&["--package=onewrite-local", "--edges=normal,build"]);
    let functions = crates(&[
        "--package=onewrite-workspace-hack",
        "--package=onewrite-ingest",
        "--package=onewrite-forward",
        "--package=onewrite-complete",
        "--edges=normal,build",
    ]);
    for one in tool.union(&functions) {
        assert!(!OPERATOR_SDKS.contains(&name(one)), "{one}");
    }
    let tool: BTreeMap<_, _> = tool.iter().map(|one| (version(one), one)).collect();
    for one in &functions {
        let other = tool.get(&version(one));
        assert!(other.is_none_or(|other| *other == one), "{one}, {other:?}");
    }
}

/// Adds the Rust files below a directory.
fn collect_rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            collect_rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The build script of ring depends on variables that `cargo test` sets for each test.
#[test]
fn builds_in_tests_do_not_see_the_variables_of_the_test() {
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
    let command = cargo();
    let removed: BTreeSet<_> = command
        .get_envs()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.to_owned())
        .collect();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            assert!(removed.contains(&name), "{text}");
        }
    }
    let mut files = Vec::new();
    for directory in ["docs", "functions", "infra", "shared", "tests"] {
        collect_rust_files(&repository(directory), &mut files);
    }
    assert!(files.len() > 100, "{}", files.len());
    let bare = concat!("Command::new(env!(", "\"CARGO\"))");
    files.retain(|file| std::fs::read_to_string(file).unwrap().contains(bare));
    assert!(
        files.is_empty(),
        "use onewrite_tests::cargo::cargo in {files:?}"
    );
}
