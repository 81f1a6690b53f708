//! What the tools and the tests share is compiled once: no crate has two sets of features among them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use onewrite_tests::template::repository;

/// The crates that a build compiles, each with its version and its features, as `cargo tree` tells them.
fn crates(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .args(selection)
        .current_dir(repository(""))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree {selection:?}: {told}");
    let crates = String::from_utf8(output.stdout).unwrap();
    let without_mark = |line: &str| line.trim_end_matches(" (*)").to_owned();
    crates.lines().map(without_mark).collect()
}

#[test]
fn what_the_tools_and_the_tests_share_is_compiled_once() {
    let tested = crates(&["--workspace", "--edges", "normal,build,dev"]);
    for tool in ["onewrite-local", "onewrite-operator", "onewrite-bench"] {
        let own: Vec<_> = crates(&["--package", tool, "--edges", "normal,build"])
            .into_iter()
            .filter(|one| !tested.contains(one))
            // Our own reference models are in the tests alone.
            .filter(|one| !one.starts_with("onewrite v"))
            .collect();
        assert!(
            own.is_empty(),
            "{tool} compiles for itself {own:#?}: add what the tests ask for to infra/workspace-hack/Cargo.toml"
        );
    }
}
