//! Each rule of the policy refuses what breaks its promise, and each check that is left out has to be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use json_patch::Patch;
use onewrite_local::check::checkov::{self, Checkov};
use onewrite_local::check::guard::{Guard, Refused, Verdict};
use onewrite_local::progress::Progress;
use onewrite_local::python::Interpreter;
use onewrite_local::template;
use onewrite_local::workspace::Workspace;
use serde_json::Value;

/// The template under test, with the name that stands for it among those that are broken.
const WHOLE: &str = "template";

/// The rules that are said to be broken, each by the ways to break it: template.yaml with one thing changed (a JSON
/// patch, RFC 6902, to what [`template::read`] makes of it).
fn must_fail() -> BTreeMap<String, Vec<(String, Patch)>> {
    let directory = Workspace::here().root().join("infra/policy/must-fail");
    let files = std::fs::read_dir(directory).unwrap();
    let read = |path: &Path| {
        let cases: BTreeMap<String, Patch> =
            serde_json::from_value(template::read(path).unwrap()).unwrap();
        cases.into_iter().collect()
    };
    let each = files.map(|file| {
        let path = file.unwrap().path();
        let rule = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (rule, read(&path))
    });
    each.collect()
}

fn write(directory: &Path, name: &str, template: &Value) {
    let path = directory.join(format!("{name}.json"));
    std::fs::write(path, template.to_string()).unwrap();
}

fn refusing(verdict: &Verdict) -> Vec<&str> {
    verdict.refused.iter().map(Refused::rule).collect()
}

#[tokio::test]
async fn each_rule_refuses_what_breaks_its_promise_and_no_other_rule_does() {
    let workspace = Workspace::here();
    let interpreter = Interpreter::find().await.unwrap();
    let guard = Guard::new(&workspace, &interpreter, Progress::Silent)
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let templates = directory.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    let right = template::read(&workspace.root().join("template.yaml")).unwrap();
    write(&templates, WHOLE, &right);
    let must_fail = must_fail();
    let mut broken = BTreeMap::new();
    for (rule, cases) in &must_fail {
        assert!(!cases.is_empty(), "{rule}");
        for (number, (case, patch)) in cases.iter().enumerate() {
            let mut wrong = right.clone();
            json_patch::patch(&mut wrong, patch).unwrap_or_else(|e| panic!("{rule}: {case}: {e}"));
            let name = format!("{rule}-{number}");
            write(&templates, &name, &wrong);
            broken.insert(name, (rule.as_str(), case.as_str()));
        }
    }

    let log = directory.path().join("cfn-guard.log");
    let verdicts = guard.judge(&templates, &log).await.unwrap();
    assert_eq!(verdicts.len(), broken.len() + 1);
    for verdict in &verdicts {
        let name = verdict.template.file_stem().unwrap().to_str().unwrap();
        if name == WHOLE {
            // Every rule has something to look at in the template, and somebody has tried to break it.
            assert_eq!(refusing(verdict), [""; 0]);
            assert_eq!(verdict.not_applicable, [""; 0]);
            let rules: BTreeSet<&str> = verdict.kept.iter().map(String::as_str).collect();
            let tried: BTreeSet<&str> = must_fail.keys().map(String::as_str).collect();
            assert_eq!(rules, tried);
        } else {
            let (rule, case) = broken[name];
            assert_eq!(refusing(verdict), [rule], "{rule}: {case}");
        }
    }
}

#[tokio::test]
async fn every_check_that_is_left_out_would_find_something() {
    let workspace = Workspace::here();
    let settings = std::fs::read_to_string(workspace.root().join(checkov::CONFIG)).unwrap();
    let (looks_at, left_out) = settings.split_once("skip-check:").unwrap();
    let left_out: BTreeSet<String> =
        serde_json::from_value(template::parse(left_out).unwrap()).unwrap();
    // A reason stands above each.
    let reasons = settings
        .split("\n  - CKV")
        .filter(|text| text.trim_end().lines().last().unwrap().starts_with("  # "));
    assert_eq!(reasons.count(), left_out.len());

    let directory = tempfile::tempdir().unwrap();
    let all: PathBuf = directory.path().join("all.yaml");
    std::fs::write(&all, looks_at).unwrap();
    let interpreter = Interpreter::find().await.unwrap();
    let checkov = Checkov::new(&workspace, &interpreter, Progress::Silent)
        .await
        .unwrap();
    let template = workspace.root().join("template.yaml");
    let findings = checkov
        .check(&template, &all, directory.path(), Progress::Silent)
        .await
        .unwrap();
    let found: BTreeSet<String> = findings.into_iter().map(|finding| finding.rule).collect();
    assert_eq!(found, left_out);
}
