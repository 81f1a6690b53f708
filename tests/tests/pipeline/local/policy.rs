//! Each rule of the policy rejects templates that violate it, and each skipped check of checkov would fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::slice;

use futures::{StreamExt as _, stream};
use json_patch::Patch;
use onewrite_local::check::checkov::{self, Checkov};
use onewrite_local::check::guard::{Guard, Verdict, Violation};
use onewrite_local::progress::Progress;
use onewrite_local::python::Interpreter;
use onewrite_local::template;
use onewrite_local::workspace::Workspace;
use serde_json::Value;

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

/// Applies the rules to these templates. Each call starts a process, because one for all templates takes longer for each further
/// template. Returns the results in the order of the templates.
async fn judge(guard: &Guard, directory: &Path, name: &str, templates: &[Value]) -> Vec<Verdict> {
    let log = directory.join(format!("{name}.log"));
    let directory = directory.join(name);
    std::fs::create_dir(&directory).unwrap();
    for (number, template) in templates.iter().enumerate() {
        let path = directory.join(format!("{number:02}.json"));
        std::fs::write(path, template.to_string()).unwrap();
    }
    let verdicts = guard.judge(&directory, &log).await;
    let mut verdicts = verdicts.unwrap_or_else(|e| panic!("{name}: {e}"));
    verdicts.sort_by(|one, other| one.template.cmp(&other.template));
    assert_eq!(verdicts.len(), templates.len(), "{name}");
    verdicts
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
    let right = template::read(&workspace.root().join("template.yaml")).unwrap();
    let must_fail = must_fail();

    // Every rule applies to the template, and every rule has a change that violates it.
    let verdicts = judge(
        &guard,
        directory.path(),
        "template",
        slice::from_ref(&right),
    )
    .await;
    assert_eq!(violated(&verdicts[0]), [""; 0]);
    assert_eq!(verdicts[0].not_applicable, [""; 0]);
    let rules: BTreeSet<&str> = verdicts[0].passed.iter().map(String::as_str).collect();
    let tried: BTreeSet<&str> = must_fail.keys().map(String::as_str).collect();
    assert_eq!(rules, tried);

    let break_rule = async |(rule, cases): (&String, &Vec<(String, Patch)>)| {
        assert!(!cases.is_empty(), "{rule}");
        let break_template = |(case, patch): &(String, Patch)| {
            let mut wrong = right.clone();
            json_patch::patch(&mut wrong, patch).unwrap_or_else(|e| panic!("{rule}: {case}: {e}"));
            wrong
        };
        let broken: Vec<Value> = cases.iter().map(break_template).collect();
        let verdicts = judge(&guard, directory.path(), rule, &broken).await;
        for ((case, _), verdict) in cases.iter().zip(&verdicts) {
            assert_eq!(violated(verdict), [rule], "{rule}: {case}");
        }
    };
    let cores = std::thread::available_parallelism().unwrap().get();
    let rules = stream::iter(must_fail.iter().map(break_rule)).buffer_unordered(cores);
    rules.collect::<()>().await;
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
