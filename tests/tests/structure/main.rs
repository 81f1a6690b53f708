//! The structure of the code: no file takes part in an import circle.
#![allow(clippy::unwrap_used)]

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imports::{Imports, read_imports};
use onewrite_tests::{cargo::cargo, template::repository};
use serde_json::Value;

/// The workspace, and the packages that are built on their own.
const MANIFESTS: [&str; 3] = [
    "Cargo.toml",
    "tests/bench/peers/rust/Cargo.toml",
    "tests/fuzz/Cargo.toml",
];

/// The root files of all libraries, programs, tests and examples.
fn crate_roots() -> BTreeSet<PathBuf> {
    let mut roots = BTreeSet::new();
    for manifest in MANIFESTS {
        let output = cargo()
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .arg("--manifest-path")
            .arg(repository(manifest))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {errors}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let targets = packages
            .iter()
            .flat_map(|package| package["targets"].as_array().unwrap());
        roots.extend(targets.map(|target| PathBuf::from(target["src_path"].as_str().unwrap())));
    }
    roots
}

/// All files that this file imports, directly or through others.
fn reachable<'a>(imports: &'a Imports, file: &Path) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&PathBuf> = imports[file].iter().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(&imports[next]);
        }
    }
    reached
}

/// The files that import each other in a circle, as lines "file imports file, file".
fn circles(root: &Path) -> Vec<String> {
    let imports = read_imports(root);
    let reachable: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = imports
        .keys()
        .map(|file| (file, reachable(&imports, file)))
        .collect();
    let mut circles = Vec::new();
    for (file, others) in &imports {
        let others: Vec<String> = others
            .iter()
            .filter(|other| reachable[other].contains(file))
            .map(|other| other.display().to_string())
            .collect();
        if !others.is_empty() {
            circles.push(format!("{} imports {}", file.display(), others.join(", ")));
        }
    }
    circles
}

#[test]
fn no_file_takes_part_in_an_import_circle() {
    let roots = crate_roots();
    assert!(roots.len() > 20, "{roots:?}");
    let found: BTreeSet<String> = std::thread::scope(|scope| {
        let roots = roots.iter();
        let running: Vec<_> = roots.map(|root| scope.spawn(|| circles(root))).collect();
        let found = running.into_iter().flat_map(|one| one.join().unwrap());
        found.collect()
    });
    assert!(found.is_empty(), "import circles: {found:#?}");
}

/// The circles in a crate with these files, as "file imports file".
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let prefix = format!("{}/", directory.path().display());
    circles(&directory.path().join("lib.rs"))
        .iter()
        .map(|circle| circle.replace(&prefix, ""))
        .collect()
}

#[test]
fn finds_circles_through_imports_paths_globs_and_reexports() {
    let b = ("b.rs", "use super::a::A; pub struct B;");
    let expected = ["a.rs imports b.rs", "b.rs imports a.rs"];
    for (lib, a) in [
        ("mod a; mod b;", "use crate::b::B; pub struct A;"),
        ("mod a; mod b;", "pub struct A; fn f() { g(crate::b::B); }"),
        ("mod a; mod b;", "use super::*; pub struct A(b::B);"),
        ("mod a; mod b;", "use crate::b as c; pub struct A(c::B);"),
        (
            "mod a; mod b;",
            "use crate::{b::{self}}; pub struct A(b::B);",
        ),
        ("mod a; mod b;", "pub struct A; m!(crate::b::B);"),
        (
            "mod a; mod b; pub use b::B as C;",
            "use crate::C; pub struct A;",
        ),
        ("mod a; mod b; pub use b::*;", "use crate::B; pub struct A;"),
        ("mod a; mod b; use b::B;", "use super::*; pub struct A(B);"),
    ] {
        assert_eq!(
            circles_of(&[("lib.rs", lib), ("a.rs", a), b]),
            expected,
            "{lib} {a}"
        );
    }
}

#[test]
fn finds_circles_between_parent_and_child() {
    let lib = ("lib.rs", "mod a;");
    let a = ("a.rs", "mod child; pub struct A(child::C);");
    let child = ("a/child.rs", "use super::A; pub struct C;");
    let expected = ["a/child.rs imports a.rs", "a.rs imports a/child.rs"];
    assert_eq!(circles_of(&[lib, a, child]), expected);
    let named = (
        "a.rs",
        "#[path = \"other.rs\"] mod child; pub struct A(child::C);",
    );
    let child = ("other.rs", child.1);
    let expected = ["a.rs imports other.rs", "other.rs imports a.rs"];
    assert_eq!(circles_of(&[lib, named, child]), expected);
}

#[test]
fn finds_no_circle_in_facades_comments_and_module_declarations() {
    let b = ("b.rs", "use crate::A; pub struct B;");
    for (lib, a) in [
        ("mod a; mod b; pub use a::A; pub use b::B;", "pub struct A;"),
        (
            "mod a; mod b; pub use a::A;",
            "/// See [`crate::b::B`].\npub struct A;",
        ),
        (
            "mod a; mod b; pub use a::A;",
            "pub const A: &str = \"crate::b::B\";",
        ),
        ("mod a; mod b; pub use a::A;", "use crate::b; pub struct A;"),
        (
            "mod a; mod b; pub use a::A;",
            "use other::b::B; pub struct A;",
        ),
        (
            "mod a; mod b; pub use a::A;",
            "pub struct A; mod c { fn f() {} mod d { use super::f; } }",
        ),
    ] {
        let none: [&str; 0] = [];
        assert_eq!(
            circles_of(&[("lib.rs", lib), ("a.rs", a), b]),
            none,
            "{lib} {a}"
        );
    }
    let lib = ("lib.rs", "mod a;");
    let a = ("a.rs", "#[cfg(test)] mod tests; pub struct A;");
    let tests = ("a/tests.rs", "use super::*; fn f(_: A) {}");
    assert!(circles_of(&[lib, a, tests]).is_empty());
}
