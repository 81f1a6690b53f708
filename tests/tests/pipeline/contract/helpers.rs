//! The helpers in Python and JavaScript do the same as the functions, by the golden vectors.

use std::{path::Path, process::Command};

use onewrite_local::python::Interpreter;
use onewrite_tests::{script, template::repository};
use serde_json::Value;

use super::fixtures::directory;

/// Runs a script of this directory with Python and returns what it prints.
pub(crate) fn run_python(script: &str, arguments: &[&Path], input: &Value) -> Value {
    let install = async {
        script::python(&Interpreter::find().await.unwrap())
            .await
            .unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let environment = runtime.block_on(install);
    let mut command = Command::new(environment.program("python"));
    // Without files of byte code in the repository.
    command.arg("-B");
    run(command, script, arguments, input)
}

/// Makes a missing Node.js a failure.
const REQUIRE_NODE: &str = "ONEWRITE_REQUIRE_NODE";

/// The oldest supported version.
const OLDEST_NODE: u32 = 20;

/// Whether this machine has Node.js for a script.
pub(crate) fn has_node(script: &str) -> bool {
    let version = Command::new("node").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next();
    let major: u32 = major.and_then(|major| major.parse().ok()).unwrap_or(0);
    let is_new = major >= OLDEST_NODE;
    if !is_new {
        let missing = format!("no Node.js of version {OLDEST_NODE} or newer was found");
        assert!(std::env::var_os(REQUIRE_NODE).is_none(), "{missing}");
        eprintln!(
            "NOT TESTED: {script}, because {missing}. {REQUIRE_NODE}=1 makes this a failure."
        );
    }
    is_new
}

/// Runs a script of this directory with Node.js; `None` if this machine has none.
pub(crate) fn run_node(script: &str, arguments: &[&Path], input: &Value) -> Option<Value> {
    has_node(script).then(|| run(Command::new("node"), script, arguments, input))
}

fn run(mut command: Command, script: &str, arguments: &[&Path], input: &Value) -> Value {
    command
        .arg(repository("tests/tests/pipeline/contract").join(script))
        .args(arguments);
    serde_json::from_slice(&script::run(command, input).unwrap()).unwrap()
}

/// The number of vectors in all files.
fn vector_count() -> usize {
    let files = std::fs::read_dir(directory()).unwrap();
    files
        .map(|file| {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let vectors: Value = serde_json::from_str(&text).unwrap();
            vectors["vectors"].as_array().unwrap().len()
        })
        .sum()
}

/// The scripts print the number of vectors that were met, and the differences.
fn assert_all_met(printed: &Value) {
    assert_eq!(printed["differences"], serde_json::json!([]));
    assert_eq!(printed["met"], vector_count());
}

#[test]
fn the_python_helper_follows_every_vector() {
    let helper = repository("shared/contract/python");
    let printed = run_python("run_vectors.py", &[&helper, &directory()], &Value::Null);
    assert_all_met(&printed);
}

#[test]
fn the_javascript_helper_follows_every_vector() {
    let helper = repository("shared/contract/javascript/onewrite.mjs");
    if let Some(printed) = run_node("run_vectors.mjs", &[&helper, &directory()], &Value::Null) {
        assert_all_met(&printed);
    }
}
