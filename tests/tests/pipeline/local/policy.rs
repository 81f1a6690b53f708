//! Each rule of the policy rejects templates that violate it, and each skipped check of checkov would fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use json_patch::Patch;
use onewrite_local::check::checkov::{self, Checkov};
use onewrite_local::check::guard::{Guard, Verdict, Violation};
use onewrite_local::progress::Progress;
use onewrite_local::python::Interpreter;
use onewrite_local::template;
use onewrite_local::workspace::Workspace;
use serde_json::Value;

/// The name of the unchanged template among the broken ones.
const UNCHANGED: &str = "template";

/// The rules, each with changes to template.yaml that must violate it. A change is a JSON patch (RFC 6902) of the result
/// of [`template::read`].
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

fn violated(verdict: &Verdict) -> Vec<&str> {
    verdict.violations.iter().map(Violation::rule).collect()
}

#[tokio::test]
async fn each_broken_template_violates_exactly_its_rule() {
    let workspace = Workspace::here();
    let interpreter = Interpreter::find().await.unwrap();
    let guard = Guard::new(&workspace, &interpreter, Progress::Silent)
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let templates = directory.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    let right = template::read(&workspace.root().join("template.yaml")).unwrap();
    write(&templates, UNCHANGED, &right);
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
        if name == UNCHANGED {
            // Every rule applies to the template, and every rule has a change that violates it.
            assert_eq!(violated(verdict), [""; 0]);
            assert_eq!(verdict.not_applicable, [""; 0]);
            let rules: BTreeSet<&str> = verdict.passed.iter().map(String::as_str).collect();
            let tried: BTreeSet<&str> = must_fail.keys().map(String::as_str).collect();
            assert_eq!(rules, tried);
        } else {
            let (rule, case) = broken[name];
            assert_eq!(violated(verdict), [rule], "{rule}: {case}");
        }
    }
}

#[tokio::test]
async fn every_skipped_check_would_fail() {
    let workspace = Workspace::here();
    let settings = std::fs::read_to_string(workspace.root().join(checkov::CONFIG)).unwrap();
    let (applied, skipped) = settings.split_once("skip-check:").unwrap();
    let skipped: BTreeSet<String> =
        serde_json::from_value(template::parse(skipped).unwrap()).unwrap();
    // A comment above each skipped check gives the reason.
    let reasons = settings
        .split("\n  - CKV")
        .filter(|text| text.trim_end().lines().last().unwrap().starts_with("  # "));
    assert_eq!(reasons.count(), skipped.len());

    let directory = tempfile::tempdir().unwrap();
    let all: PathBuf = directory.path().join("all.yaml");
    std::fs::write(&all, applied).unwrap();
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
    assert_eq!(found, skipped);
}
