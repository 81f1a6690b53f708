//! How the functions are built.

use onewrite_tests::template::repository;
use serde_json::json;

use crate::{FUNCTIONS, reference, template};

#[test]
fn each_function_is_built_from_the_binary_of_its_crate() {
    let template = template();
    for name in FUNCTIONS {
        let binary = name.to_lowercase();
        let metadata =
            json!({"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": binary}});
        assert_eq!(
            *template.at(&format!("/Resources/{name}Function/Metadata")),
            metadata
        );
        let home = template
            .property(&format!("{name}Function"), "CodeUri")
            .as_str()
            .unwrap();
        assert_eq!(home, format!("functions/{binary}"));
        let manifest = std::fs::read_to_string(repository(home).join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("[[bin]]\nname = \"{binary}\"")),
            "{home}"
        );
    }
    assert_eq!(*template.at("/Globals/Function/Runtime"), "provided.al2023");
    assert_eq!(
        *template.at("/Globals/Function/Architectures"),
        json!([reference("Architecture")])
    );
    assert_eq!(template.default("Architecture").unwrap(), "arm64");
}

#[test]
fn release_profile_unwinds_on_panic() {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).unwrap();
    let (_, profile) = manifest.split_once("[profile.release]").unwrap();
    let profile = profile.split("\n[").next().unwrap();
    // cargo-lambda sets each of these if it is missing, and sets panic to "abort".
    for line in [
        "panic = \"unwind\"",
        "lto = ",
        "codegen-units = ",
        "strip = ",
    ] {
        assert!(profile.lines().any(|l| l.starts_with(line)), "{line}");
    }
}
