//! The first deployment, as `sam deploy --guided` asks for it.

use std::process::Command;

use onewrite_tests::template::repository;

use crate::template;
use crate::translated::sam;

#[test]
fn a_guided_deployment_needs_enter_alone() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(sam().program("python"))
        .arg(repository("tests/tests/template/python/guided.py"))
        .arg(repository("template.yaml"))
        .arg(directory.path())
        .output()
        .unwrap();
    let transcript = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{transcript}{errors}");
    for (name, _) in template().parameters() {
        assert!(transcript.contains(&format!("Parameter {name}")), "{name}");
    }
    // The first call to AWS, after the last question.
    let call = "Could not connect to the endpoint URL";
    assert!(transcript.contains(call), "{transcript}");
}
