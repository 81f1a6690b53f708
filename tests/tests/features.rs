//! The tools and the tests compile each shared dependency once: no crate has two sets of features.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use onewrite_tests::template::repository;

/// The crates of a build with their versions and features, from `cargo tree`.
fn crates(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .args(selection)
        .current_dir(repository(""))
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
            .filter(|one| !of_tests.contains(one))
            .collect();
        assert!(
            own.is_empty(),
            "{tool} compiles crates with other features than the tests: {own:#?}. Add the features to infra/workspace-hack/Cargo.toml"
        );
    }
}
